"""The proofs of a mapping: every variant, every form of `normalize`, both ways."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from nirgen.mapping import inverse
from nirgen.mapping.expressions import (
    Expression,
    Name,
    NotComputable,
    names,
    show,
    solve,
)
from nirgen.mapping.inverse import MappingInverse
from nirgen.mapping.model import (
    NODE,
    FrameworkMappings,
    LayerMapping,
    Mappings,
    Node,
    Normalization,
    Part,
    Variant,
)
from nirgen.mapping.problems import Problems, did_you_mean
from nirgen.mapping.steps import OUTPUT
from nirgen.proving import draws, repair, systems, wording
from nirgen.proving.arithmetic import Arithmetic, Meaningless, needs_decimals, sixty_digits
from nirgen.proving.draws import Layer, Shapes, Source
from nirgen.proving.systems import Pair, System
from nirgen.proving.trajectories import (
    Counterexample,
    Machine,
    Nodes,
    Race,
    layer_start,
    spare,
)

DRAWS = 12
"""How many layers of a variant are tried."""

MORE_DRAWS = 60
"""How many more, for what only few layers show."""


def check(mappings: Mappings, problems: Problems) -> None:
    """Prove all mappings that have a step; what can't be proved is a problem."""
    with sixty_digits():
        for framework in mappings.frameworks:
            for mapping in framework.layers:
                if mapping.step and mapping.nodes:
                    _Proof(mapping, framework, mappings.nodes, problems).check()


@dataclass
class Trial:
    """What a variant is tried with: its systems, an arithmetic, a source of layers."""

    variant: Variant
    pair: Pair
    arithmetic: Arithmetic
    source: Source
    shapes: Shapes


@dataclass
class _Proof:
    mapping: LayerMapping
    framework: FrameworkMappings
    nodes: Mapping[str, Node]
    problems: Problems
    tried: int = 0
    ties: int = 0

    def __post_init__(self) -> None:
        self.named = draws.named(self.mapping)

    @property
    def _place(self) -> str:
        """The mapping's file; whatever the folder is called, the same samples are drawn."""
        return self.mapping.file.partition("/")[2]

    def check(self) -> None:
        if self._resets_exist():
            starts = _Starts(self.mapping, self.problems)
            variants = self.mapping.variants()
            if all(self._variant(variant, starts) for variant in variants) and self._is_complete():
                if not self.tried:
                    self._cannot_try("for no layer meets its conditions")
                self._ties_are_told()
                starts.check()
                for form in self.mapping.normalize:
                    self._normalization(form)

    def _ties_are_told(self) -> None:
        """Whether the output's comparison shows what was found: that it fires at its threshold."""
        if self.ties and not self.mapping.step.fires_at_threshold:
            what = f"{self.mapping.layers[0]} fires at its threshold, and NIR's node only above it"
            mend = f"let `{OUTPUT}` be that comparison, such as `{OUTPUT} = h >= v_threshold`"
            self.problems.add(self.mapping.places["step"], what, mend)

    def _resets_exist(self) -> bool:
        sound = True
        known = {reset for node in self.mapping.nodes for reset in self.nodes[node].resets}
        for choice in self.mapping.choices:
            for case in choice.cases:
                reset = case.annotate.get("reset")
                if reset is not None and reset not in known:
                    sound = False
                    mend = did_you_mean(str(reset), known)
                    self.problems.add(case.at, f"nir.yaml has no reset `{reset}`", mend)
        return sound

    # --- from the layer to the node, and back ---

    def _variant(self, variant: Variant, starts: _Starts) -> bool:
        if _has_words_of_its_own(variant):
            self.tried = True
            return True
        trial = self.trial(variant)
        if trial is None:
            return self._may_be_said(variant)
        drawn = tried = 0
        impossible = f"{variant.node} has no such fields"
        for _ in range(DRAWS):
            layer = trial.shapes.draw(variant, trial.source)
            if layer is None:
                break  # no layer is of all these cases, or chance found few
            if not self._alternatives(layer, trial.arithmetic) or not self._has_fields(
                trial, layer
            ):
                return False
            drawn += 1
            try:
                failure = self.run(trial, layer, starts)
            except Meaningless as error:
                self.problems.add(self.mapping.places["step"], str(error))
                return False
            except NotComputable as error:
                impossible = str(error)
                continue
            tried += 1
            if failure is not None:
                self._refuse(trial, failure)
                return False
            if not self._comes_back(trial, layer):
                return False
        if drawn and tried < drawn / 3:
            where = " and ".join(f"`{show(case.when)}`" for case in variant.cases)
            self._cannot_try(f"of those with {where}: {impossible}" if where else impossible)
            return False
        self.tried += tried
        starts.look_longer(self, trial)
        return True

    def _is_complete(self) -> bool:
        """Whether some case of each choice applies, whatever the layer."""
        arithmetic = Arithmetic(decimal=needs_decimals(self.mapping.read.values()))
        source = Source(f"{self._place} cases", arithmetic)
        wanted = draws.wanted(self.mapping, ())
        shapes = Shapes(
            self.mapping,
            self.framework.signature(self.mapping),
            wanted,
            frozenset(),
            {},
            self.named,
        )
        layers = (shapes.any(source) for _ in range(MORE_DRAWS if self.mapping.choices else 0))
        return all(layer is None or self._alternatives(layer, arithmetic) for layer in layers)

    def _may_be_said(self, variant: Variant) -> bool:
        """Whether no reset is stated of a node that has none."""
        shapes = Shapes(self.mapping, {}, frozenset(), frozenset(), {}, {})
        reset, known = variant.metadata.get("reset"), self.nodes[variant.node].resets
        if reset is None or reset in known or shapes.are_contradictory(variant, Arithmetic()):
            return True
        at = next(case.at for case in variant.cases if "reset" in case.metadata)
        self.problems.add(at, f"{variant.node} has no reset `{reset}`", did_you_mean("", known))
        return False

    def _cannot_try(self, why: str) -> None:
        """Silence would look like a proof."""
        what = f"nothing can be proved of {self.mapping.layers[0]}, {why}"
        mend = "look at its `domain`, `reject` and `when`"
        self.problems.add(self.mapping.places["step"], what, mend)

    def trial(self, variant: Variant) -> Trial | None:
        """What a variant is tried with; None where a node of its chain has no step."""
        reset = variant.metadata.get("reset")
        if reset is not None and reset not in self.nodes[variant.node].resets:
            return None
        pair = systems.pair(self.mapping, variant, self.nodes)
        if pair is None:
            return None
        formulas = [*pair.formulas(), *self.mapping.read.values()]
        arithmetic = Arithmetic(decimal=needs_decimals(formulas))
        shapes = Shapes(
            self.mapping,
            self.framework.signature(self.mapping),
            draws.wanted(self.mapping, systems.read(pair)),
            frozenset(t for link in variant.links for t in link.tensors.values()),
            _domains(variant, self.nodes[variant.node]),
            self.named,
        )
        seed = " ".join([self._place, *(show(case.when) for case in variant.cases)])
        return Trial(variant, pair, arithmetic, Source(seed, arithmetic), shapes)

    def run(self, trial: Trial, layer: Layer, starts: _Starts | None) -> Counterexample | None:
        """Both sides from the start on."""
        pair, arithmetic = trial.pair, trial.arithmetic
        given = {**layer.parameters, **layer.live}
        nodes = Nodes.of(pair.chain, layer.parameters, {}, arithmetic)
        node = self.nodes[trial.variant.node]
        if not draws.are_within(node, nodes.node.values, arithmetic):
            raise NotComputable(f"{node.name} takes no such fields")
        usual = {n: arithmetic.value(f, nodes.node.values) for n, f in pair.usual.items()}
        start = {n: arithmetic.value(f, layer.parameters) for n, f in pair.start.items()}
        start = {n: usual[n] if value is None else value for n, value in start.items()}
        if starts is not None:
            starts.note(trial.variant, start, usual, layer, arithmetic)
        nodes.node.values |= start
        own = layer_start(pair.relation, pair.held, start, given, arithmetic)
        own |= dict(spare(pair.layer, own, arithmetic))
        machine = Machine(pair.layer, {**given, **own}, arithmetic)
        race = Race(machine, nodes, pair.relation, lambda x: x, arithmetic)
        failure = race.run(trial.source)
        self.ties += race.ties
        return failure

    def _alternatives(self, layer: Layer, arithmetic: Arithmetic) -> bool:
        """Whether exactly one case of each choice applies; at the edges of domains, too."""
        for choice in self.mapping.choices:
            try:
                cases = [c for c in choice.cases if draws.is_true(c.when, layer, arithmetic)]
            except Meaningless as error:
                self.problems.add(choice.at, str(error))
                return False
            if not cases and draws.can_tell(choice, layer):
                told = wording.values(layer.parameters, _names(case.when for case in choice.cases))
                self.problems.add(choice.at, f"no case of `{choice.name}` applies to {told}")
                return False
            if len(cases) > 1:
                guards = " and ".join(f"`{show(case.when)}`" for case in cases)
                told = wording.values(layer.parameters, _names(case.when for case in cases))
                what = f"cases of `{choice.name}` overlap: {guards} hold for {told}"
                self.problems.add(choice.at, what)
                return False
        return True

    def _has_fields(self, trial: Trial, layer: Layer) -> bool:
        """Whether the node's fields have values; at the edges of domains, too."""
        for binding in trial.variant.bind:
            if binding.field in trial.pair.chain.node.fields:
                try:
                    trial.arithmetic.value(binding.formula, layer.parameters)
                except NotComputable:
                    wanted = names(binding.formula)
                    told = wording.values(layer.parameters, wanted)
                    what = f"`{show(binding.formula)}` has no finite value for {told}"
                    mend = "declare the `domain` in which it holds"
                    self.problems.add(binding.at, what, mend)
                    return False
        return True

    def _refuse(self, trial: Trial, failure: Counterexample) -> None:
        def holds(pair: Pair, layer: Layer) -> bool:
            return self.run(replace(trial, pair=pair), layer, None) is None

        decimal = trial.arithmetic.decimal
        mended = repair.mended(
            trial.variant, trial.pair, trial.shapes, Source("mending", Arithmetic(decimal)), holds
        )
        at, what, mend = wording.refusal(self.mapping, trial.variant, failure, mended)
        self.problems.add(at, what, mend)

    def _comes_back(self, trial: Trial, layer: Layer) -> bool:
        """Whether the node that is made gives the layer that it was made of, exactly."""
        if self.mapping.direction != "both" or not trial.variant.imported:
            return True
        backwards = inverse.invert(self.mapping, self.nodes[trial.variant.node])
        found = _read_back(backwards, trial, layer)
        for name, value in found.items():
            there = layer.parameters.get(name, value)
            if not trial.arithmetic.same(there, value):
                what = f"`{name}` = {wording.number(there)} comes back as {wording.number(value)}"
                self.problems.add(self.mapping.places.get("bind", self.mapping.at), what)
                return False
        return True

    # --- from any node to the layer behind a map ---

    def _normalization(self, form: Normalization) -> None:
        node = self.nodes[form.node]
        formulas = [form.gain, form.shift, *form.layer.values(), *form.start.values()]
        formulas += [line.formula for line in self.mapping.step.lines]
        arithmetic = Arithmetic(decimal=needs_decimals([*formulas, *self.mapping.read.values()]))
        source = Source(f"{self._place} {form.node}", arithmetic)
        tried = 0
        for _ in range(4 * DRAWS):
            fields = draws.node(node, form.when, source)
            if fields is None:
                break
            try:
                failure = self.run_normalized(form, node, fields, source)
            except NotComputable:
                continue
            tried += 1
            if tried > 2 * DRAWS:
                return
            if failure is not None:
                self._refuse_form(form, node, failure, arithmetic)
                return
        if tried < DRAWS / 2:
            few = "few" if tried else "no"
            what = f"`normalize` makes layers of {few} {node.name} nodes that `when` takes"
            self.problems.add(form.at, what, "look at its `when` and `layer`, and at `domain`")

    def _refuse_form(
        self, form: Normalization, node: Node, failure: Counterexample, arithmetic: Arithmetic
    ) -> None:
        source = Source("mending", Arithmetic(arithmetic.decimal))
        drawn = [draws.node(node, form.when, source) for _ in range(repair.TRIED)]
        nodes = [fields for fields in drawn if fields is not None]

        def holds(changed: Normalization) -> bool:
            tried = 0
            for fields in nodes:
                with suppress(NotComputable):
                    if self.run_normalized(changed, node, fields, source) is not None:
                        return False
                    tried += 1
            return tried > len(nodes) / 2

        mended = repair.mended_form(form, node, holds)
        at, what, mend = wording.refused_form(self.mapping, form, failure, mended)
        self.problems.add(at, what, mend)

    def run_normalized(
        self, form: Normalization, node: Node, fields: Mapping[str, Any], source: Source
    ) -> Counterexample | None:
        """A node, and the layer that an import makes for it; only outputs are compared."""
        arithmetic = source.arithmetic
        parameters = self._normalized(form, fields, arithmetic)
        domains = [d for n, d in self.mapping.domain.items() if n in parameters]
        if not all(draws.holds(domain, parameters, arithmetic) for domain in domains):
            raise NotComputable("an import refuses the node")
        gain, shift = (arithmetic.value(f, fields) for f in (form.gain, form.shift))
        system = System(node.step, {}, tuple(node.start))
        nodes = Nodes([], Machine(system, dict(fields), arithmetic), [], [], arithmetic.number(0))
        nodes.node.values |= {n: arithmetic.value(f, fields) for n, f in node.start.items()}
        start = {n: arithmetic.value(f, fields) for n, f in form.start.items()}
        own = layer_start(self.mapping.state, self.mapping.held, start, parameters, arithmetic)
        layer = systems.layer(self.mapping)
        own |= dict(spare(layer, own, arithmetic))
        machine = Machine(layer, {**parameters, **own}, arithmetic)
        race = Race(machine, nodes, {}, lambda x: gain * x + shift, arithmetic)
        return race.run(source, steps=8)

    def _normalized(
        self, form: Normalization, fields: Mapping[str, Any], arithmetic: Arithmetic
    ) -> dict[str, Any]:
        """The parameters of the layer that is made, as it has them."""
        found: dict[str, Any] = {"dt": fields["dt"]}
        for name, parameter in self.framework.signature(self.mapping).items():
            if name in form.layer:
                found[name] = arithmetic.value(form.layer[name], fields)
            elif name in self.mapping.fix:
                found[name] = arithmetic.number(self.mapping.fix[name].value)
            elif name == self.mapping.time_step or self.mapping.derive.get(name) == Name("dt"):
                found[name] = fields["dt"]
            elif parameter.kept is None or not parameter.required:
                found[name] = arithmetic.number(parameter.default)
        for name, formula in self.mapping.read.items():
            for attribute in names(formula) - set(found):
                solved = solve(formula, attribute, Name(name))
                if solved is not None:
                    found[attribute] = arithmetic.value(solved, found)
        return found


def _has_words_of_its_own(variant: Variant) -> bool:
    """Whether a node's metadata tells its reader more than `nir.yaml` has a meaning for.

    What such a word means is its reader's knowledge, and no formula's.
    """
    keys = {key for case in variant.cases for key in case.annotate}
    return any(key != "reset" and not key.endswith("_initial") for key in keys)


def _domains(variant: Variant, node: Node) -> dict[str, Expression]:
    """The domains of fields that a parameter is as it is, by parameter."""
    found = {
        b.formula.name: node.fields[b.field].domain
        for b in variant.bind
        if isinstance(b.formula, Name)
    }
    return {name: domain for name, domain in found.items() if domain is not None}


def _names(formulas: Iterable[Expression]) -> frozenset[str]:
    return frozenset(name for formula in formulas for name in names(formula))


def _read_back(backwards: MappingInverse, trial: Trial, layer: Layer) -> dict[str, Any]:
    """The parameters that an import finds in a variant's node."""
    arithmetic = trial.arithmetic
    values: dict[str, Any] = {"dt": layer.parameters["dt"]}
    for binding in trial.variant.bind:
        try:
            values[NODE + binding.field] = arithmetic.value(binding.formula, layer.parameters)
        except NotComputable:
            continue
    found: dict[str, Any] = {}
    inversions = [backwards.shared]
    for choice in backwards.choices:
        for case in choice.cases:
            if case.case in trial.variant.cases:
                found |= {name: arithmetic.number(v) for name, v in case.given.items()}
                inversions.append(case.inversion)
    for inversion in inversions:
        for solved in inversion.solved:
            try:
                value = arithmetic.value(solved.formula, {**values, **found})
            except NotComputable:
                continue
            found[solved.parameter] = value
    return found


@dataclass
class _Starts:
    """Where states start, beside where NIR has them: what differs must be said, with a reason."""

    mapping: LayerMapping
    problems: Problems

    def __post_init__(self) -> None:
        self._tried: set[int] = set()
        self._elsewhere: dict[tuple[int, str], str] = {}

    def note(
        self,
        variant: Variant,
        start: Mapping[str, Any],
        usual: Mapping[str, Any],
        layer: Layer,
        arithmetic: Arithmetic,
    ) -> None:
        for part in _parts(self.mapping, variant):
            self._tried.add(id(part))
            for variable, formula in part.start.items():
                if not arithmetic.same(start[variable], usual[variable]) and not _is_own(
                    self.mapping, formula
                ):
                    spoken_of = _names(binding.formula for binding in variant.bind)
                    told = wording.values(layer.parameters, spoken_of | names(formula))
                    self._elsewhere.setdefault(
                        (id(part), variable),
                        f"{variable} starts at {wording.given(formula, start[variable])}, and"
                        f" {variant.node}'s at {wording.number(usual[variable])}; for {told}",
                    )

    def look_longer(self, proof: _Proof, trial: Trial) -> None:
        """Find a layer that starts elsewhere, where one is said to: it may be a rare one."""
        claimed = [p for p in _parts(self.mapping, trial.variant) if p.starts_elsewhere]
        for _ in range(MORE_DRAWS if claimed else 0):
            if all(
                (id(p), name) in self._elsewhere for p in claimed for name in p.starts_elsewhere
            ):
                return
            layer = trial.shapes.draw(trial.variant, trial.source)
            if layer is not None:
                with suppress(NotComputable):
                    proof.run(trial, layer, self)

    def check(self) -> None:
        for at, part in _placed(self.mapping):
            for variable in {**part.start, **part.starts_elsewhere}:
                found = self._elsewhere.get((id(part), variable))
                claimed = variable in part.starts_elsewhere
                if found is not None and not claimed:
                    mend = "if the layer does start there, say why in `starts_elsewhere`"
                    self.problems.add(at, found, mend)
                if found is None and claimed and id(part) in self._tried:
                    what = f"{variable} starts where NIR has it, and `starts_elsewhere` denies it"
                    self.problems.add(at, what, "leave it out, or mend `start`")


def _is_own(mapping: LayerMapping, formula: Expression) -> bool:
    """Whether a start is a parameter that says nothing else: the caller's choice."""
    bound = _names(b.formula for v in mapping.variants() for b in v.bind)
    return isinstance(formula, Name) and formula.name not in bound


def _parts(mapping: LayerMapping, variant: Variant) -> Iterator[Part]:
    yield mapping.part
    yield from (case.part for case in variant.cases)


def _placed(mapping: LayerMapping) -> Iterator[tuple[Any, Part]]:
    yield mapping.places.get("start", mapping.at), mapping.part
    for choice in mapping.choices:
        yield from ((case.at, case.part) for case in choice.cases)
