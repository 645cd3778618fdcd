"""NIR files: HDF5 as nir 1.0.8 lays it out, readable by nir.read, and everything of nir.write.

::

    /version                      the version of nir
    /node/type                    "NIRGraph"
    /node/edges                   n x 2 names
    /node/nodes/<name>/type       the kind of node, "LIF"
    /node/nodes/<name>/<field>    a number, an array or a string
    .../metadata/<key>            likewise, or a group of such

A file may come from a stranger. Reading it follows no link and no reference out of it, runs no
filter that HDF5 would have to load, and fails with an error that names the place in the file.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np

from nirgen.runtime.errors import InvalidFile, InvalidGraph, Problem
from nirgen.runtime.nesting import DEEPEST
from nirgen.runtime.primitives import PRIMITIVES

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

_DEEPEST_GROUP = 3 * DEEPEST
"""How many levels of groups are read: two for a graph in a graph, and some for metadata."""

_TYPES = ("input_type", "output_type")

_FILTERS = frozenset(
    {
        h5py.h5z.FILTER_DEFLATE,
        h5py.h5z.FILTER_SHUFFLE,
        h5py.h5z.FILTER_FLETCHER32,
        h5py.h5z.FILTER_SZIP,
        h5py.h5z.FILTER_SCALEOFFSET,
        h5py.h5z.FILTER_NBIT,
        h5py.h5z.FILTER_LZF,
    }
)
"""Filters that are part of h5py; HDF5 would look for any other among its plugins, and load it."""

_DAMAGE = (
    OSError,
    RuntimeError,
    KeyError,
    ValueError,
    TypeError,
    AttributeError,
    ArithmeticError,
    MemoryError,
)
"""What h5py raises about a file that it can't make sense of."""


# Reading


def read(path: str | Path) -> nir.NIRGraph:
    """The graph in a NIR file, as it is there: `shapes.infer` checks and completes it.

    Fields that older files lack are None. Fields that nir doesn't know are kept in the node's
    `unknown_fields`, and written again. Attributes `input_type` and `output_type` of all nodes but
    Input, Output and Flatten are yet to be inferred.

    Raises:
        OSError: the file can't be opened (FileNotFoundError, PermissionError, ...).
        InvalidFile: it is no HDF5 file, is damaged, or points to something outside.
        InvalidGraph: it holds no graph: unknown nodes, missing fields, wrong kinds of values.
    """
    reader = _Reader()
    graph = None
    with _opened(path) as file, reader.noting("/"):
        graph = reader.root(file)
    if reader.damages:
        raise InvalidFile([*reader.damages, *reader.findings_elsewhere()])
    if reader.findings or graph is None:
        raise InvalidGraph(reader.findings)
    return graph


@contextlib.contextmanager
def _opened(path: str | Path) -> Iterator[h5py.File]:
    with open(path, "rb"):
        pass  # says what the system has against it better than HDF5 does
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        problem = Problem(str(path), f"is not an HDF5 file, or damaged: {error}")
        raise InvalidFile(problem) from error
    with file:
        yield file


class _Reader:
    """One reading of a file.

    Attributes:
        damages: what is wrong with the file.
        findings: what is wrong with the graph in it.
    """

    def __init__(self) -> None:
        self.damages: list[Problem] = []
        self.findings: list[Problem] = []
        self._groups: set[Any] = set()

    @contextlib.contextmanager
    def noting(self, place: str) -> Iterator[None]:
        """Inside, what h5py raises is noted as damage at `place`."""
        try:
            yield
        except _DAMAGE as error:
            self.damages.append(Problem(place, f"can't be read: {error}"))

    def root(self, file: h5py.File) -> nir.NIRGraph | None:
        """The outermost graph."""
        members = self._members(file, "/")
        if not isinstance(members.get("node"), h5py.Group):
            self.damages.append(Problem("/node", "is missing, or not a group: this is no NIR file"))
            return None
        node = self._node(self._tree(members["node"], "/node"), "/node")
        if node is not None and not isinstance(node, nir.NIRGraph):
            self._find("/node/type", f"is {type(node).__name__}; a file holds a NIRGraph")
            return None
        return node

    def findings_elsewhere(self) -> list[Problem]:
        """The findings that don't merely follow from damage where they are, or above."""
        damaged = {damage.place for damage in self.damages}
        return [f for f in self.findings if damaged.isdisjoint(_with_parents(f.place))]

    # HDF5 to trees

    def _tree(self, group: h5py.Group, place: str, depth: int = 0) -> Tree:
        """All that a group holds; what can't be read is noted and left out."""
        tree: Tree = {}
        with self.noting(place):
            self._demand_new(group, depth)
            for name, member in self._members(group, place).items():
                at = f"{place}/{name}"
                with self.noting(at):
                    if isinstance(member, h5py.Group):
                        tree[name] = self._tree(member, at, depth + 1)
                    elif isinstance(member, h5py.Dataset):
                        tree[name] = _value(member)
                    else:
                        raise ValueError("it is neither a group nor a dataset")
        return tree

    def _demand_new(self, group: h5py.Group, depth: int) -> None:
        """Raise ValueError where links make a tree endless, or larger than the file."""
        if depth > _DEEPEST_GROUP:
            raise ValueError(f"groups are nested more than {_DEEPEST_GROUP} deep")
        identity = h5py.h5o.get_info(group.id).addr
        if identity in self._groups:
            raise ValueError("the group is linked to from two places")
        self._groups.add(identity)

    def _members(self, group: h5py.Group, place: str) -> dict[str, Any]:
        """What a group links to inside the file."""
        members = {}
        for name in group:
            with self.noting(f"{place.rstrip('/')}/{name}"):
                link = group.get(name, getlink=True)
                if not isinstance(link, h5py.HardLink):
                    where = f"{getattr(link, 'filename', '')}{link.path}"
                    raise ValueError(f"it is a link to {where!r}, which is not followed")
                members[name] = group[name]
        return members

    # Trees to nodes

    def _node(self, tree: Tree, place: str) -> nir.NIRNode | None:
        """A node of what its group holds; None where something is wrong with it."""
        kind = tree.pop("type", None)
        cls = _KINDS.get(kind) if isinstance(kind, str) else None
        if cls is None:
            known = ", ".join(_KINDS)
            what = "is missing" if kind is None else f"is {kind!r}, which NIR doesn't know"
            self._find(f"{place}/type", what, f"NIR has {known}")
            return None
        metadata = _plain(tree.pop("metadata", {}))
        if not isinstance(metadata, dict):
            self._find(f"{place}/metadata", "is not a group")
            return None
        if cls is nir.NIRGraph:
            return self._graph(tree, metadata, place)
        return self._primitive(cls, tree, metadata, place)

    def _graph(self, tree: Tree, metadata: Tree, place: str) -> nir.NIRGraph:
        members = tree.pop("nodes", None)
        if not isinstance(members, dict):
            self._find(f"{place}/nodes", "is missing, or not a group")
            members = {}
        nodes: dict[str, nir.NIRNode] = {}
        for name, member in members.items():
            at = f"{place}/nodes/{name}"
            if not isinstance(member, dict):
                self._find(at, "is not a group")
            elif (node := self._node(member, at)) is not None:
                nodes[name] = node
        edges = self._edges(tree.pop("edges", None), f"{place}/edges")
        graph = nir.NIRGraph(nodes=nodes, edges=edges, metadata=metadata, type_check=False)
        return _with_unknown(graph, tree)

    def _edges(self, value: Any, place: str) -> list[tuple[str, str]]:
        if isinstance(value, np.ndarray) and value.size == 0:
            return []
        if not (isinstance(value, list) and all(_is_pair(edge) for edge in value)):
            self._find(place, "is missing" if value is None else "is not an array of n x 2 names")
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
                self._find(f"{place}/{name}", "is missing")
            return _OPTIONAL.get(name)
        value = tree.pop(name)
        numeric = isinstance(value, (int, float, np.ndarray))
        if not numeric and not (name == "padding" and isinstance(value, str)):
            self._find(f"{place}/{name}", "is not a number or an array of numbers")
        if name in _SIZES and isinstance(value, np.ndarray):
            return _as_sizes(value)
        return value

    def _find(self, place: str, what: str, advice: str = "") -> None:
        self.findings.append(Problem(place, what, advice))


def _value(dataset: h5py.Dataset) -> Any:
    """What a dataset holds: a string, (nested) lists of strings, an int, or an array.

    Raises:
        ValueError: it keeps its numbers elsewhere, or in a form that NIR doesn't have.
    """
    if h5py.check_string_dtype(dataset.dtype) is not None:
        _demand_inside(dataset)
        return _decoded(dataset[()])
    array = _array(dataset)
    if array.ndim == 0:
        return array.item() if array.dtype.kind in "iub" else array
    return array


def _array(dataset: h5py.Dataset) -> np.ndarray[Any, np.dtype[Any]]:
    """The numbers of a dataset: the one place where an array comes into memory."""
    _demand_inside(dataset)
    if dataset.dtype.kind not in "fiub":
        raise ValueError(f"it holds {dataset.dtype}, not numbers or strings")
    return np.asarray(dataset[()])


def _demand_inside(dataset: h5py.Dataset) -> None:
    """Raise ValueError if reading the dataset would open another file, or load a filter."""
    if dataset.external or dataset.is_virtual:
        raise ValueError("its values are in another file, which is not opened")
    if dataset.shape is None:
        raise ValueError("it is empty")
    properties = dataset.id.get_create_plist()
    for k in range(properties.get_nfilters()):
        number, _, _, name = properties.get_filter(k)
        if number not in _FILTERS:
            raise ValueError(f"it is compressed by filter {number} ({name!r}), which is not loaded")


def _decoded(value: Any) -> Any:
    """Strings of bytes, also in nested lists."""
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if isinstance(value, np.ndarray):
        return _decoded(value.tolist())
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    return value


def _plain(value: Any) -> Any:
    """Metadata with numbers in place of arrays without axes."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value


def _with_parents(place: str) -> Iterator[str]:
    """`/a/b`, `/a`."""
    while place:
        yield place
        place = place.rpartition("/")[0]


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


# Writing


def write(path: str | Path, graph: nir.NIRGraph, compression: str | int | None = None) -> None:
    """Write a graph into a NIR file, all of it or nothing.

    The file comes into being beside `path` and takes its place when it is complete and on disk.
    Whatever fails before, the old file stays, and nothing else is left behind.

    Args:
        path: the file; one that is there is replaced.
        graph: the graph.
        compression: of arrays, as h5py has it: "gzip", "lzf", a level of gzip, or None: numbers lie
            in the file as in memory.

    Raises:
        InvalidGraph: something in the graph can't be stored; `problems` names every place.
        OSError: the file can't be written.
    """
    tree = {"version": nir.version, "node": _tree_of(graph)}
    with _replacing(path) as temporary, h5py.File(temporary, "x") as file:
        _store(file, tree, compression)


@contextlib.contextmanager
def _replacing(path: str | Path) -> Iterator[Path]:
    """A path to write a new file to, which then takes the place of the one at `path`."""
    target = Path(os.path.realpath(path))  # of a link, what it points to is replaced
    temporary = target.with_name(f".{secrets.token_hex(8)}.nir")
    try:
        yield temporary
        _flush(temporary)
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    with contextlib.suppress(OSError):  # not every system can flush a folder
        _flush(target.parent)


def _flush(path: Path) -> None:
    """Return when what was written to a file or folder is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _store(group: h5py.Group, tree: Tree, compression: str | int | None) -> None:
    """Write what `_tree_of` made."""
    for name, value in tree.items():
        if isinstance(value, dict):
            # The order in which nodes were created is that of execution.
            _store(group.create_group(name, track_order=name == "nodes"), value, compression)
        elif isinstance(value, (str, list)):
            group.create_dataset(name, data=value, dtype=h5py.string_dtype())
        else:
            squeezed = compression if value.size and value.ndim else None
            group.create_dataset(name, data=value, compression=squeezed)


def _tree_of(graph: nir.NIRGraph) -> Tree:
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
