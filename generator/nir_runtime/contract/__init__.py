"""What a graph means in numbers: the primitives, their dynamics, shapes and order."""
