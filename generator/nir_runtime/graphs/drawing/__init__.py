"""A graph as a picture: `drawing.draw` is the way in."""
