"""Attacks on an export: networks that do something besides their layers.

`python -m tests.attacks [part of a name]` shows what becomes of each.
"""
