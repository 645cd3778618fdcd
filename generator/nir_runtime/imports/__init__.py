"""A graph becomes a network. `importing` is the way in."""
