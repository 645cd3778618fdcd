"""What is proved of a mapping: the layer's step is the node's, on exact numbers.

The layer's `step` and the node's, under the mapping's formulas and its relation of states, must be
one system: the same output and related states, from related starts. They are run side by side on
layers from the declared domains, with inputs around the threshold. Numbers are fractions, so that
no tolerance is needed, and a wrong factor shows as a counterexample. It runs without a framework.
"""

from nirgen.proving.checking import check

__all__ = ["check"]
