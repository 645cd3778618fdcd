"""A network becomes a graph. `exporting` is the way in."""
