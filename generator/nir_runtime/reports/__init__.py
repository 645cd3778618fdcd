"""What became of each layer or node. `explaining` is the way in."""
