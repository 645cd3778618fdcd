"""What a change of the mappings means, and what a mapping says: for people who review them.

`nirgen diff` compares two versions of a folder of mappings (`sides`, `compare`, `render`), `nirgen
explain` prints one mapping (`explain`), `nirgen new` starts a folder (`start`), and `nirgen
signatures` keeps the constructor signatures true (`installed`, `signatures`). README.md is the map.
"""
