"""NIR graphs as trees: what a NIR file holds of each node, by name.

::

    {"type": "NIRGraph", "edges": [["a", "b"]], "nodes": {"lif": {"type": "LIF", "tau": ...}}}

A value is a number, an array, a string, a list of strings, or a dictionary of such.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import nir
import numpy as np

from nir_runtime.contract.nesting import DEEPEST
from nir_runtime.contract.primitives import PRIMITIVES
from nir_runtime.errors import InvalidGraph, Problem

Tree = dict[str, Any]
"""What a group holds: arrays, strings, lists of strings and trees, by name."""

_KINDS: Mapping[str, type[nir.NIRNode]] = {cls.__name__: cls for cls in (*PRIMITIVES, nir.NIRGraph)}

_OPTIONAL: Mapping[str, object] = {
    "v_reset": None,
    "w_in": None,
    "bias": None,
    "input_shape": None,
    "start_dim": 1,
    "end_dim": -1,
}
"""Fields that older files lack, with what stands for them until shapes are inferred."""

_SIZES = frozenset(
    [
        *("input_shape", "kernel_size", "stride", "padding", "dilation", "groups"),
        *("start_dim", "end_dim"),
    ]
)
"""Fields of whole numbers, which nodes hold as int or tuple rather than as arrays."""

_TYPES = ("input_type", "output_type")


# Trees to graphs


def graph_of(tree: Tree, place: str) -> tuple[nir.NIRGraph | None, list[Problem]]:
    """The graph that a tree holds, as far as it holds one, and all that is wrong with it.

    Args:
        tree: of a file; emptied.
        place: the path of the tree in the file.
    """
    growing = _Growing()
    node = growing.node(tree, place)
    if node is not None and not isinstance(node, nir.NIRGraph):
        growing.find(f"{place}/type", f"is {type(node).__name__}; a file holds a NIRGraph")
        node = None
    return node, growing.findings


class _Growing:
    """Nodes out of trees; `findings` has what is wrong with the graph."""

    def __init__(self) -> None:
        self.findings: list[Problem] = []

    def node(self, tree: Tree, place: str) -> nir.NIRNode | None:
        """A node of what its group holds; None where something is wrong with it."""
        kind = tree.pop("type", None)
        cls = _KINDS.get(kind) if isinstance(kind, str) else None
        if cls is None:
            known = ", ".join(_KINDS)
            what = "is missing" if kind is None else f"is {kind!r}, which NIR doesn't know"
            self.find(f"{place}/type", what, f"NIR has {known}")
            return None
        metadata = _plain(tree.pop("metadata", {}))
        if not isinstance(metadata, dict):
            self.find(f"{place}/metadata", "is not a group")
            return None
        if cls is nir.NIRGraph:
            return self._graph(tree, metadata, place)
        return self._primitive(cls, tree, metadata, place)

    def _graph(self, tree: Tree, metadata: Tree, place: str) -> nir.NIRGraph:
        members = tree.pop("nodes", None)
        if not isinstance(members, dict):
            self.find(f"{place}/nodes", "is missing, or not a group")
            members = {}
        nodes: dict[str, nir.NIRNode] = {}
        for name, member in members.items():
            at = f"{place}/nodes/{name}"
            if not isinstance(member, dict):
                self.find(at, "is not a group")
            elif (node := self.node(member, at)) is not None:
                nodes[name] = node
        edges = self._edges(tree.pop("edges", None), f"{place}/edges")
        graph = nir.NIRGraph(nodes=nodes, edges=edges, metadata=metadata, type_check=False)
        return _with_unknown(graph, tree)

    def _edges(self, value: Any, place: str) -> list[tuple[str, str]]:
        if isinstance(value, np.ndarray) and value.size == 0:
            return []
        if not (isinstance(value, list) and all(_is_pair(edge) for edge in value)):
            self.find(place, "is missing" if value is None else "is not an array of n x 2 names")
            return []
        return [(source, target) for source, target in value]

    def _primitive(
        self, cls: type[nir.NIRNode], tree: Tree, metadata: Tree, place: str
    ) -> nir.NIRNode | None:
        before = len(self.findings)
        fields = {name: self._field(tree, name, place) for name in _stored_fields(cls)}
        if len(self.findings) > before:
            return None
        return _with_unknown(_built(cls, fields, metadata), tree)

    def _field(self, tree: Tree, name: str, place: str) -> Any:
        """A field's value; what is not there and must be is noted."""
        if name not in tree:
            if name not in (*_OPTIONAL, "input_type"):
                self.find(f"{place}/{name}", "is missing")
            return _OPTIONAL.get(name)
        value = tree.pop(name)
        numeric = isinstance(value, (int, float, np.ndarray))
        if not numeric and not (name == "padding" and isinstance(value, str)):
            self.find(f"{place}/{name}", "is not a number or an array of numbers")
        if name in _SIZES and isinstance(value, np.ndarray):
            return _as_sizes(value)
        return value

    def find(self, place: str, what: str, advice: str = "") -> None:
        self.findings.append(Problem(place, what, advice))


def _plain(value: Any) -> Any:
    """Metadata with numbers in place of arrays without axes."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value


def _is_pair(edge: object) -> bool:
    return isinstance(edge, list) and len(edge) == 2 and all(isinstance(n, str) for n in edge)


def _as_sizes(array: np.ndarray[Any, np.dtype[Any]]) -> Any:
    """Whole numbers as a tuple; what is anything else is left for the check of the graph."""
    return tuple(array.tolist()) if array.ndim == 1 and array.dtype.kind in "iu" else array


def _stored_fields(cls: type[nir.NIRNode]) -> tuple[str, ...]:
    """The names under which a file holds a node's fields."""
    if cls in (nir.Input, nir.Output):
        return ("shape",)
    names = [field.name for field in dataclasses.fields(cls)]
    derived = {*_TYPES, "metadata"}
    own = tuple(name for name in names if name not in derived)
    return ("input_type", *own) if cls is nir.Flatten else own


def _built(cls: type[nir.NIRNode], fields: Tree, metadata: Tree) -> nir.NIRNode:
    """A node of its fields.

    Not by its constructor, which demands what `shapes.infer` is there to complete, such as equal
    shapes of all parameters, and works out types that are wrong for some convolutions.
    """
    shape = fields.pop("shape", None)
    arriving = fields.pop("input_type", shape)
    node: nir.NIRNode = object.__new__(cls)
    vars(node).update(
        fields,
        input_type={"input": _as_shape(arriving)},
        output_type={"output": _as_shape(shape)},
        metadata=metadata,
    )
    return node


def _as_shape(value: Any) -> Any:
    return None if value is None else np.atleast_1d(value)


def _with_unknown(node: Any, tree: Tree) -> Any:
    """The node, with the fields that are left over; derived types are dropped."""
    unknown = {name: value for name, value in tree.items() if name not in _TYPES}
    if unknown:
        node.unknown_fields = unknown
    return node


# Graphs to trees


def tree_of(graph: nir.NIRGraph) -> Tree:
    """What the file holds of a graph; raises InvalidGraph with all that it can't hold."""
    writer = _Writer()
    tree = writer.node(graph, "/node", 0)
    if writer.problems:
        raise InvalidGraph(writer.problems)
    return tree


class _Writer:
    """Nodes to trees. What can't be stored is noted in `problems`, and left out."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def node(self, node: nir.NIRNode, place: str, depth: int) -> Tree:
        """What a node's group holds."""
        cls = type(node)
        if _KINDS.get(cls.__name__) is not cls:
            self._note(f"{place}/type", f"is {cls.__name__}, which NIR doesn't know")
            return {}
        if cls is nir.NIRGraph:
            fields = self._graph(node, place, depth)
        else:
            fields = self._fields(node, place)
        unknown = self._group(getattr(node, "unknown_fields", {}), place, depth)
        metadata = self._group(node.metadata, f"{place}/metadata", depth)
        described = {"metadata": metadata} if metadata else {}
        return {"type": cls.__name__, **fields, **unknown, **described}

    def _graph(self, graph: nir.NIRGraph, place: str, depth: int) -> Tree:
        if depth > DEEPEST:
            self._note(place, f"graphs are nested more than {DEEPEST} deep")
            return {}
        nodes = {
            name: self.node(node, f"{place}/nodes/{name}", depth + 1)
            for name, node in graph.nodes.items()
            if self._is_name(name, f"{place}/nodes/{name}")
        }
        edges = [[str(source), str(target)] for source, target in graph.edges]
        return {"nodes": nodes, "edges": edges or np.empty((0, 2))}

    def _fields(self, node: nir.NIRNode, place: str) -> Tree:
        values = {name: _stored_value(node, name) for name in _stored_fields(type(node))}
        present = {name: value for name, value in values.items() if value is not None}
        for name in values.keys() - present.keys() - {*_OPTIONAL, "input_type"}:
            self._note(f"{place}/{name}", "is None")
        return self._group(present, place, 0)

    def _group(self, values: Mapping[Any, Any], place: str, depth: int) -> Tree:
        """What a file can hold of a dictionary."""
        tree: Tree = {}
        for name, value in values.items():
            at = f"{place}/{name}"
            if not self._is_name(name, at):
                continue
            if isinstance(value, Mapping):
                if depth > DEEPEST:
                    self._note(at, f"is nested more than {DEEPEST} deep")
                    continue
                tree[name] = self._group(value, at, depth + 1)
            else:
                with self._noting(at):
                    tree[name] = _storable(value)
        return tree

    @contextlib.contextmanager
    def _noting(self, place: str) -> Iterator[None]:
        try:
            yield
        except (ValueError, TypeError) as error:
            self._note(place, str(error))

    def _is_name(self, name: object, place: str) -> bool:
        """Whether HDF5 can hold the name; noted if not."""
        right = isinstance(name, str) and name not in ("", ".") and not {"/", "\0"} & set(name)
        if not right:
            self._note(
                place,
                f"{name!r} is no name that HDF5 can hold",
                "use a string without '/', other than '' and '.'",
            )
        return right

    def _note(self, place: str, what: str, advice: str = "") -> None:
        self.problems.append(Problem(place, what, advice))


def _stored_value(node: nir.NIRNode, name: str) -> Any:
    """What a node has for a name in the file."""
    if isinstance(node, nir.Output) and name == "shape":
        return node.output_type["output"]
    if name in ("shape", "input_type"):
        return node.input_type["input"]
    return getattr(node, name)


def _storable(value: Any) -> Any:
    """A value as a string, a list of strings, or an array of numbers.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(value, str):
        if "\0" in value:
            raise ValueError("HDF5 can't hold a string with a NUL in it")
        value.encode("utf-8")
        return value
    if isinstance(value, (list, tuple)) and value and all(isinstance(v, str) for v in value):
        return [_storable(v) for v in value]
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"HDF5 can't hold {value!r:.100}: it is neither a string nor numbers")
    return array
