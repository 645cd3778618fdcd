"""Trees -> the model: every key known, every required one there, every formula parsed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from nirgen.mapping import expressions, source, steps
from nirgen.mapping.expressions import Expression, Literal
from nirgen.mapping.model import (
    ALWAYS,
    CALLS,
    KEPT,
    WAYS,
    Binding,
    Called,
    Case,
    Choice,
    Example,
    Field,
    Fixed,
    Framework,
    FrameworkMappings,
    LayerMapping,
    Link,
    Links,
    Mappings,
    Mode,
    Node,
    Normalization,
    Option,
    Parameter,
    Part,
    Rejection,
    Reset,
    Structure,
)
from nirgen.mapping.problems import Location, Problems, did_you_mean
from nirgen.mapping.source import Constant, Scalar, Sequence, Tree
from nirgen.mapping.steps import Step

T = TypeVar("T")
KINDS = ("parameter", "tensor", "size", "shape")


def shipped() -> Path:
    """The folder of the mappings that this project's own converters were generated from."""
    installed = Path(__file__).parents[1] / "mappings"
    return installed if installed.is_dir() else Path(__file__).parents[3] / "mappings"


def read_mappings(folder: Path, problems: Problems) -> Mappings:
    """The mappings of a folder: `nir.yaml`, or else ours, and a folder for each framework."""
    nodes = read_nodes(folder, problems)
    frameworks = [
        _framework_mappings(folder, path.parent, problems)
        for path in sorted(folder.glob("*/framework.yaml"))
    ]
    if not frameworks:
        what = "there are no mappings here"
        problems.add(Location(folder.name, 1, 1), what, "a folder with a framework.yaml is needed")
    return Mappings(nodes, _based([f for f in frameworks if f is not None], problems))


def read_nodes(folder: Path, problems: Problems) -> dict[str, Node]:
    """The NIR primitives: those of the folder's `nir.yaml`, or else ours."""
    primitives = folder if (folder / "nir.yaml").exists() else shipped()
    return _read_file(primitives, primitives / "nir.yaml", problems, _nodes) or {}


def _based(
    frameworks: list[FrameworkMappings], problems: Problems
) -> tuple[FrameworkMappings, ...]:
    """The frameworks, each knowing the one it builds on."""
    known = {found.framework.name: found for found in frameworks}
    for found in frameworks:
        for key in ("builds_on", "fallback"):
            _demand_framework(found.framework, key, known, problems)
    return tuple(replace(found, base=_base(found, known, problems)) for found in frameworks)


def _demand_framework(
    framework: Framework, key: str, known: Iterable[str], problems: Problems
) -> None:
    """A framework that another one names is in the same folder, or is one of ours."""
    name = getattr(framework, key)
    ours = {path.parent.name for path in shipped().glob("*/framework.yaml")}
    if name is not None and name not in {*known, *ours}:
        mend = did_you_mean(name, {*known, *ours})
        problems.add(framework.places[key], f"there is no framework `{name}`", mend)


def _base(
    found: FrameworkMappings, known: Mapping[str, FrameworkMappings], problems: Problems
) -> FrameworkMappings | None:
    """What a framework builds on: of the same folder, or else of ours."""
    name = found.framework.builds_on
    if name is None or name in known:
        return known.get(name or "")
    if (shipped() / name / "framework.yaml").exists():
        return _framework_mappings(shipped(), shipped() / name, problems)
    return None


def _framework_mappings(root: Path, folder: Path, problems: Problems) -> FrameworkMappings | None:
    framework = _read_file(root, folder / "framework.yaml", problems, _framework)
    signatures = _read_file(root, folder / "signatures.yaml", problems, _signatures) or {}
    paths = [
        path
        for path in sorted(folder.glob("*.yaml"))
        if path.name not in ("framework.yaml", "signatures.yaml")
    ]
    layers = [_read_file(root, path, problems, _layer_mapping) for path in paths]
    if framework is None:
        return None
    return FrameworkMappings(framework, signatures, tuple(m for m in layers if m is not None))


def _read_file(
    root: Path, path: Path, problems: Problems, build: Callable[[_Entries], T]
) -> T | None:
    file = f"{root.name}/{path.relative_to(root).as_posix()}"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        problems.add(Location(file, 1, 1), "the file is missing")
        return None
    except UnicodeDecodeError as error:
        problems.add(Location(file, 1, 1), f"not UTF-8: {error.reason} at byte {error.start}")
        return None
    tree = source.parse(text, file, problems)
    if tree is None:
        return None
    entries = _Entries.of(tree, "the file", problems)
    result = build(entries)
    entries.refuse_the_rest()
    return result


class _Entries:
    """The entries of a YAML mapping, taken one by one; what is left over is an error."""

    def __init__(self, tree: source.Mapping, what: str, problems: Problems) -> None:
        self.left = dict(tree.entries)
        self.keys = tree.keys
        self.at = tree.at
        self.what = what
        self.problems = problems
        self.known: list[str] = []

    @classmethod
    def of(cls, tree: Tree, what: str, problems: Problems) -> _Entries:
        if not isinstance(tree, source.Mapping):
            problems.add(tree.at, f"{what} must have keys and values")
            tree = source.Mapping({}, {}, tree.at)
        return cls(tree, what, problems)

    def take(self, key: str, required: bool = False) -> Tree | None:
        self.known.append(key)
        value = self.left.pop(key, None)
        if value is None and required and key not in self.keys:
            self.problems.add(self.at, f"{self.what} needs `{key}`")
        return value

    def place(self, key: str) -> Location:
        return self.keys.get(key, self.at)

    def text(self, key: str, required: bool = False) -> str:
        tree = self.take(key, required)
        if tree is None:
            return ""
        if not isinstance(tree, Scalar):
            self.problems.add(tree.at, f"`{key}` must be text")
            return ""
        return tree.text.rstrip("\n")

    def constant(self, key: str) -> Constant:
        return _constant(self.take(key), self.problems)

    def formula(self, key: str, required: bool = False) -> Expression:
        tree = self.take(key, required)
        return Literal(None) if tree is None else _formula(tree, self.problems)

    def entries(self, key: str) -> _Entries:
        """The mapping under `key`; empty where there is none."""
        tree = self.take(key) or source.Mapping({}, {}, self.at)
        return _Entries.of(tree, f"`{key}`", self.problems)

    def items(self, key: str) -> tuple[Tree, ...]:
        tree = self.take(key)
        if tree is None:
            return ()
        if not isinstance(tree, Sequence):
            self.problems.add(tree.at, f"`{key}` must be a list")
            return ()
        return tree.items

    def words(self, key: str) -> tuple[str, ...]:
        return tuple(item.text for item in self.items(key) if isinstance(item, Scalar))

    def each(self, build: Callable[[str, Tree, Location], T]) -> dict[str, T]:
        """Every entry, whatever its key."""
        taken, self.left = self.left, {}
        return {key: build(key, tree, self.place(key)) for key, tree in taken.items()}

    def texts(self, key: str) -> dict[str, str]:
        def build(name: str, tree: Tree, at: Location) -> str:
            if isinstance(tree, Scalar) and tree.text:
                return tree.text
            self.problems.add(at, f"`{name}` needs a text")
            return ""

        return self.entries(key).each(build)

    def formulas(self, key: str, of_step: bool = False) -> dict[str, Expression]:
        return self.entries(key).each(lambda _, tree, __: _formula(tree, self.problems, of_step))

    def step(self, key: str) -> Step:
        tree = self.take(key)
        if tree is None:
            return Step()
        if not isinstance(tree, Scalar):
            self.problems.add(tree.at, f"`{key}` must be lines of text")
            return Step()
        return steps.parse(tree.text, tree.at, self.problems)

    def constants(self, key: str) -> dict[str, Constant]:
        return self.entries(key).each(lambda _, tree, __: _constant(tree, self.problems))

    def refuse_the_rest(self) -> None:
        for key in self.left:
            mend = did_you_mean(key, self.known)
            self.problems.add(self.place(key), f"{self.what} has no key `{key}`", mend)


def _formula(tree: Tree, problems: Problems, of_step: bool = False) -> Expression:
    if not isinstance(tree, Scalar):
        problems.add(tree.at, "a formula must be one line of text")
        return Literal(None)
    text = {"true": "True", "false": "False", "null": "None"}.get(tree.text, tree.text)
    return expressions.parse(text, tree.at, problems, of_step) or Literal(None)


def _constant(tree: Tree | None, problems: Problems) -> Constant:
    if tree is None:
        return None
    if not isinstance(tree, Scalar):
        problems.add(tree.at, "a number, a word, true, false or null must stand here")
        return None
    return tree.value


# --- nir.yaml -------------------------------------------------------------------------------


def _nodes(entries: _Entries) -> dict[str, Node]:
    resets = entries.entries("resets").each(lambda n, t, at: _reset(n, t, at, entries.problems))
    nodes = entries.each(lambda name, tree, at: _node(name, tree, at, entries.problems))
    return {n: replace(node, resets=resets) if node.fires else node for n, node in nodes.items()}


def _reset(name: str, tree: Tree, at: Location, problems: Problems) -> Reset:
    entries = _Entries.of(tree, f"the reset `{name}`", problems)
    says, before = entries.text("says", required=True), entries.step("before")
    reset = Reset(name, says, before, entries.step("spike"), at)
    entries.refuse_the_rest()
    return reset


def _node(name: str, tree: Tree, at: Location, problems: Problems) -> Node:
    entries = _Entries.of(tree, f"the node `{name}`", problems)
    node = Node(
        name=name,
        says=entries.text("says", required=True),
        step=entries.step("step"),
        equation=entries.text("equation"),
        fields=entries.entries("fields").each(lambda n, t, a: _field(n, t, a, problems)),
        start=entries.formulas("start"),
        resets={},
        at=at,
    )
    entries.refuse_the_rest()
    return node


def _field(name: str, tree: Tree, at: Location, problems: Problems) -> Field:
    entries = _Entries.of(tree, f"the field `{name}`", problems)
    kind = entries.text("kind", required=True)
    if kind not in KINDS:
        problems.add(entries.place("kind"), f"unknown kind `{kind}`", did_you_mean(kind, KINDS))
    domain = entries.formula("domain") if "domain" in entries.left else None
    field = Field(name, kind, entries.text("unit"), entries.text("says"), domain, at)
    entries.refuse_the_rest()
    return field


# --- framework.yaml, signatures.yaml --------------------------------------------------------


def _framework(entries: _Entries) -> Framework:
    return Framework(
        name=Path(entries.at.file).parent.name,
        title=entries.text("framework", required=True),
        version=entries.text("version", required=True),
        packages=entries.words("packages"),
        modules=entries.texts("modules"),
        mode=_mode(entries.entries("mode")) if "mode" in entries.left else None,
        dt=entries.text("dt") or "1e-4",
        options=entries.entries("options").each(lambda n, t, a: _option(n, t, a, entries.problems)),
        calls=_calls(entries),
        sequences=entries.words("sequences"),
        containers=_containers(entries),
        cell=entries.text("cell") or None,
        load_state=entries.text("load_state") or None,
        read_state=entries.text("read_state") or None,
        beginning=entries.text("beginning") or None,
        reset_value=entries.text("reset_value") or None,
        preset=entries.text("preset") or None,
        builds_on=entries.text("builds_on") or None,
        fallback=entries.text("fallback") or None,
        places=dict(entries.keys),
        at=entries.at,
    )


def _containers(entries: _Entries) -> dict[str, str]:
    """How each container runs its layers."""
    containers = entries.texts("containers")
    for layer, way in containers.items():
        if way not in WAYS:
            mend = did_you_mean(way, WAYS)
            entries.problems.add(
                entries.place("containers"), f"{layer}: `{way}` is not a way to run layers", mend
            )
    return containers


def _calls(entries: _Entries) -> tuple[Called, ...]:
    """One way of calling layers, or several of which the last needs no condition."""
    tree = entries.take("calls")
    if tree is None:
        return ()
    if isinstance(tree, Scalar):
        return (Called(_call(tree.text, tree.at, entries.problems), None, tree.at),)
    if not isinstance(tree, Sequence) or not tree.items:
        entries.problems.add(tree.at, "`calls` must be a call, or a list of calls", CALLS[1])
        return ()
    ways = tuple(_called(item, entries.problems) for item in tree.items)
    for way in ways:
        if (way.when is None) != (way is ways[-1]):
            what = "the last way of `calls` is for all other layers, and only it has no `when`"
            entries.problems.add(way.at, what)
    return ways


def _called(tree: Tree, problems: Problems) -> Called:
    entries = _Entries.of(tree, "a way of `calls`", problems)
    when = entries.formula("when") if "when" in entries.left else None
    entries.known.append("when")
    call = _call(entries.text("call", required=True), entries.place("call"), problems)
    entries.refuse_the_rest()
    return Called(call, when, entries.at)


def _call(text: str, at: Location, problems: Problems) -> str:
    if text not in CALLS:
        problems.add(at, f"`{text}` is not a way of calling a layer", did_you_mean(text, CALLS))
    return text


def _option(name: str, tree: Tree, at: Location, problems: Problems) -> Option:
    """Its text alone is that of a switch which is off."""
    if isinstance(tree, Scalar):
        return Option(name, tree.text, False, at)
    entries = _Entries.of(tree, f"the option `{name}`", problems)
    option = Option(
        name, entries.text("says", required=True), entries.constant("default") is True, at
    )
    entries.refuse_the_rest()
    return option


def _mode(entries: _Entries) -> Mode:
    axes = dict(entries.constants("axes").items())
    mode = Mode(
        attribute=entries.text("attribute", required=True),
        axes={name: value for name, value in axes.items() if isinstance(value, int)},
        default=entries.text("default", required=True),
    )
    if mode.default not in mode.axes:
        entries.problems.add(
            entries.place("default"),
            f"`{mode.default}` is not one of the modes",
            did_you_mean(mode.default, mode.axes),
        )
    entries.refuse_the_rest()
    return mode


def _signatures(entries: _Entries) -> dict[str, dict[str, Parameter]]:
    def signature(layer: str, tree: Tree, at: Location) -> dict[str, Parameter]:
        given = _Entries.of(tree, f"the signature of `{layer}`", entries.problems)
        found: dict[str, Parameter] = {}
        for several in given.each(lambda n, t, a: _parameters(n, t, a, entries.problems)).values():
            for parameter in several:
                if parameter.name in found:
                    what = f"`{layer}` has two parameters `{parameter.name}`"
                    entries.problems.add(parameter.at, what, "formulas can't tell them apart")
                found[parameter.name] = parameter
        return found

    return entries.each(signature)


def _parameters(name: str, tree: Tree, at: Location, problems: Problems) -> tuple[Parameter, ...]:
    """One parameter, or the fields of one that is a structure."""
    entries = _Entries.of(tree, f"the parameter `{name}`", problems)
    if "fields" not in entries.keys:
        return (_parameter(name, entries, at),)
    structure = Structure(name, entries.text("type", required=True))
    fields = entries.entries("fields").each(
        lambda n, t, a: _parameter(n, _Entries.of(t, f"the field `{n}`", problems), a)
    )
    entries.refuse_the_rest()
    return tuple(replace(field, part_of=structure) for field in fields.values())


def _parameter(name: str, entries: _Entries, at: Location) -> Parameter:
    parameter = Parameter(
        name=name,
        type=entries.text("type"),
        required="default" not in entries.keys,
        default=entries.constant("default"),
        at=at,
        of=entries.text("of") or None,
        kept=entries.text("kept") or None,
    )
    if parameter.kept not in (None, *KEPT):
        mend = did_you_mean(parameter.kept, KEPT)
        entries.problems.add(
            entries.place("kept"), f"a layer keeps nothing as `{parameter.kept}`", mend
        )
    entries.refuse_the_rest()
    return parameter


# --- a layer's mapping ----------------------------------------------------------------------


def _layer_mapping(entries: _Entries) -> LayerMapping:
    file = Path(entries.at.file)
    places = dict(entries.keys)
    direction, because = _direction(entries)
    node = entries.text("node") or None
    return LayerMapping(
        file=entries.at.file,
        stem=file.stem,
        layers=_layers(entries),
        node=node,
        step=entries.step("step"),
        equation=entries.text("equation"),
        source=entries.text("source"),
        direction=direction,
        because=because,
        instead=entries.text("instead", required=direction == "refuse"),
        in_training=entries.text("in_training"),
        on_request=entries.text("on_request") or None,
        read=entries.formulas("read"),
        attributes=entries.texts("attributes"),
        state=entries.formulas("state", of_step=True),
        calls=_calls(entries),
        part=_part(entries),
        links=_links(entries),
        fold=entries.constant("fold") is True,
        normalize=_normalizations(entries, node or ""),
        choices=(*_always(entries), *_choices(entries.entries("cases"))),
        derive=entries.formulas("derive"),
        time_step=entries.text("time_step") or None,
        fix=_fix(entries.entries("fix")),
        reject=tuple(_rejection(tree, entries.problems) for tree in entries.items("reject")),
        options=entries.words("options"),
        ignore=entries.texts("ignore"),
        domain=entries.formulas("domain"),
        examples=tuple(_example(tree, entries.problems) for tree in entries.items("examples")),
        places=places,
        at=entries.at,
    )


def _direction(entries: _Entries) -> tuple[str, str]:
    """`both`, unless a key gives the reason for something less."""
    for key, direction in (("export_only", "export"), ("skip", "skip"), ("refuse", "refuse")):
        if key in entries.left:
            return direction, entries.text(key)
        entries.known.append(key)
    return "both", ""


def _normalizations(entries: _Entries, node: str) -> tuple[Normalization, ...]:
    """One form, or a list of them, for a node each."""
    tree = entries.take("normalize")
    if tree is None:
        return ()
    trees = tree.items if isinstance(tree, Sequence) else (tree,)
    return tuple(_normalization(each, node, entries.problems) for each in trees)


def _normalization(tree: Tree, node: str, problems: Problems) -> Normalization:
    inner = _Entries.of(tree, "`normalize`", problems)
    result = Normalization(
        node=inner.text("node") or node,
        when=inner.formula("when", required=True),
        gain=inner.formula("gain", required=True),
        shift=inner.formula("shift", required=True),
        layer=inner.formulas("layer"),
        start=inner.formulas("start"),
        at=inner.at,
    )
    inner.refuse_the_rest()
    return result


def _links(entries: _Entries) -> Links:
    return Links(
        before=tuple(_link(tree, entries.problems) for tree in entries.items("before")),
        then=tuple(_link(tree, entries.problems) for tree in entries.items("then")),
        feedback=tuple(_link(tree, entries.problems) for tree in entries.items("feedback")),
    )


def _link(tree: Tree, problems: Problems) -> Link:
    entries = _Entries.of(tree, "a node of a chain", problems)
    link = Link(
        node=entries.text("node", required=True),
        bind=_bindings(entries),
        tensors=entries.texts("tensors"),
        at=entries.at,
    )
    entries.refuse_the_rest()
    return link


def _layers(entries: _Entries) -> tuple[str, ...]:
    first = entries.text("layer", required=True)
    return (first, *entries.words("also")) if first else ()


def _part(entries: _Entries) -> Part:
    return Part(
        bind=_bindings(entries),
        tensors=entries.texts("tensors"),
        start=entries.formulas("start"),
        starts_elsewhere=entries.texts("starts_elsewhere"),
    )


def _bindings(entries: _Entries) -> tuple[Binding, ...]:
    bind = entries.entries("bind")
    bindings = bind.each(lambda f, tree, at: Binding(f, _formula(tree, entries.problems), at))
    return tuple(bindings.values())


def _always(entries: _Entries) -> Iterable[Choice]:
    """What a mapping annotates whatever the layer's parameters are: a choice of one case."""
    keys = ("annotate", "because")
    given = {key: entries.left[key] for key in keys if key in entries.left}
    entries.known += keys
    if "annotate" not in given:
        return
    for key in given:
        del entries.left[key]
    at = entries.place("annotate")
    places = {key: entries.place(key) for key in given}
    tree = source.Mapping(given, places, at)
    yield Choice(ALWAYS, (_case(tree, entries.problems, Literal(True)),), at)


def _choices(entries: _Entries) -> tuple[Choice, ...]:
    def choice(name: str, tree: Tree, at: Location) -> Choice:
        if not isinstance(tree, Sequence):
            entries.problems.add(tree.at, f"`{name}` must be a list of cases")
            return Choice(name, (), at)
        return Choice(name, tuple(_case(item, entries.problems) for item in tree.items), at)

    return tuple(entries.each(choice).values())


def _case(tree: Tree, problems: Problems, when: Expression | None = None) -> Case:
    """A case; one that is given its condition always applies, and has none of its own."""
    entries = _Entries.of(tree, "a case" if when is None else "the file", problems)
    case = Case(
        when=entries.formula("when", required=True) if when is None else when,
        node=entries.text("node") or None,
        part=_part(entries),
        links=_links(entries),
        annotate=entries.constants("annotate"),
        remember=entries.constants("remember"),
        because=entries.text("because", required="annotate" in entries.keys),
        export_only=entries.text("export_only"),
        at=entries.at,
    )
    if "annotate" in entries.keys and not case.annotate:
        mend = "give it a key and a value, or remove it"
        problems.add(entries.place("annotate"), "`annotate` says nothing", mend)
    entries.refuse_the_rest()
    return case


def _fix(entries: _Entries) -> dict[str, Fixed]:
    def fixed(name: str, tree: Tree, at: Location) -> Fixed:
        inner = _Entries.of(tree, f"the fixed parameter `{name}`", entries.problems)
        if "to" not in inner.keys:
            entries.problems.add(at, f"the fixed parameter `{name}` needs `to`")
        result = Fixed(
            parameter=name,
            value=inner.constant("to"),
            because=inner.text("because", required=True),
            instead=inner.text("instead", required=True),
            at=at,
        )
        inner.refuse_the_rest()
        return result

    return entries.each(fixed)


def _rejection(tree: Tree, problems: Problems) -> Rejection:
    entries = _Entries.of(tree, "a rejection", problems)
    rejection = Rejection(
        when=entries.formula("when", required=True),
        because=entries.text("because", required=True),
        instead=entries.text("instead", required=True),
        at=entries.at,
    )
    entries.refuse_the_rest()
    return rejection


def _example(tree: Tree, problems: Problems) -> Example:
    entries = _Entries.of(tree, "an example", problems)
    dt = entries.constant("dt")
    if not isinstance(dt, float):
        problems.add(entries.place("dt"), "an example needs `dt`, in seconds, such as 1e-4")
        dt = 1e-4
    example = Example(entries.constants("layer"), entries.constants("node"), dt, entries.at)
    entries.refuse_the_rest()
    return example


def constants(values: Mapping[str, Constant]) -> str:
    """Constants as a reader of messages sees them: `tau=10.0, decay_input=False`."""
    return ", ".join(f"{name}={value!r}" for name, value in values.items())
