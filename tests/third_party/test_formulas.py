"""Formulas at the edges of their domains, over arrays, and over what a live layer holds."""

from __future__ import annotations

import warnings
from typing import Any

import nir
import numpy as np
import pytest
import torch
from torch import nn

from nir_exchange import reference
from nir_runtime.errors import ExportRefused, ImportRefused
from nirgen.mapping.functions import FUNCTIONS

from . import cells
from .making import Making

DT, SIZE = 1e-4, 3

FORGETTING = """\
layer: cells.Forgetting
node: LI
step: |
  v = exp(-1 / tau) * v + x
  y = v
state: {v: v}
start: {v: 0}
bind: {tau: dt / (1 - exp(-1 / tau)), r: 1 / (1 - exp(-1 / tau)), v_leak: 0}
domain: {tau: tau > 0}
reject:
  - when: tau < 0.1
    because: a step leaves next to nothing
    instead: use a larger tau
  - when: tau > 1e6
    because: a step leaves next to everything
    instead: use a smaller tau
"""
KEEPING = """\
layer: cells.Keeping
node: LI
step: |
  v = kept * v + x
  y = v
state: {v: v}
start: {v: 0}
read: {kept: READ}
bind: {tau: dt / (1 - kept), r: 1 / (1 - kept), v_leak: 0}
domain: {kept: 0 < kept < 1}
"""


def run(net: nn.Module) -> torch.Tensor:
    for module in net.modules():
        if hasattr(module, "reset"):
            module.reset()
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, 2, SIZE, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        outputs = [net(step) for step in x]
    return torch.stack([y[0] if isinstance(y, tuple) else y for y in outputs])


def there_and_back(converter: Any, layer: nn.Module) -> None:
    """The layer, the reference of its node, and what comes back, side by side."""
    graph = converter.export_to_nir(layer, torch.zeros(1, SIZE))
    imported = converter.import_from_nir(graph, dtype=torch.float64)
    assert any(type(m) is type(layer) for m in imported.modules())
    expected = run(layer)
    oracle = reference.import_from_nir(graph, dt=DT, dtype=torch.float64)
    for other in (oracle, imported):
        torch.testing.assert_close(run(other), expected, rtol=1e-9, atol=1e-12)
    assert expected.abs().max() > 1


@pytest.mark.parametrize("tau", [0.5, 3.0, torch.tensor([0.5, 3.0, 40.0], dtype=torch.float64)])
def test_formulas_of_each_neuron(tau: float | torch.Tensor, maker: Making) -> None:
    """`exp` and `log` take arrays, as `check` says of a parameter of type Tensor."""
    there_and_back(maker.converter({"forgetting": FORGETTING}), cells.Forgetting(tau))


@pytest.mark.filterwarnings("error")
def test_what_a_formula_cannot_have_is_refused(maker: Making) -> None:
    """By the layer's own bounds, and with nothing but our errors."""
    converter = maker.converter({"forgetting": FORGETTING})
    for tau in (0.0, -1.0, 1e9, float("nan"), torch.tensor([1.0, 0.0, 2.0])):
        with pytest.raises(ExportRefused):
            converter.export_to_nir(cells.Forgetting(tau), torch.zeros(1, SIZE))


@pytest.mark.parametrize("tau", [DT / 2, DT, np.array([DT / 2, DT, 1.0])])
def test_a_node_whose_layer_has_no_number_goes_elsewhere(tau: Any, maker: Making) -> None:
    """The logarithm of less than zero; of zero, it is a number that gives zero again."""
    converter = maker.converter({"forgetting": FORGETTING})
    fields = {"tau": tau, "r": np.asarray(tau) / DT, "v_leak": 0.0}
    graph = nir.NIRGraph.from_list(
        nir.LI(**{name: np.full(SIZE, value) for name, value in fields.items()})
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        imported = converter.import_from_nir(graph, dtype=torch.float64)
    own = any(isinstance(m, cells.Forgetting) for m in imported.modules())
    assert own is bool(np.all(tau == DT))
    oracle = reference.import_from_nir(graph, dt=DT, dtype=torch.float64)
    torch.testing.assert_close(run(imported), run(oracle), rtol=1e-12, atol=1e-12)


# --- mappings -------------------------------------------------------------------------------

BIND = "bind: {tau: dt / (1 - exp(-1 / tau)), r: 1 / (1 - exp(-1 / tau)), v_leak: 0}"
LIMITS = FORGETTING[FORGETTING.index("domain") :]

EDGES = {
    # The bound belongs to the domain, and the formula has no value there.
    "division by zero": ("1 / tau", "tau >= 0", "`1 / tau` has no finite value for tau = 0.0"),
    "in an exponent": ("exp(-1 / tau)", "tau >= 0", "has no finite value for tau = 0.0"),
    "at the upper bound": ("1 / (1 - tau)", "0 <= tau <= 1", "has no finite value for tau = 1.0"),
    "logarithm of zero": ("log(tau)", "tau >= 0", "`log(tau)` has no finite value"),
    "logarithm of less": ("log(tau)", "tau > -1", "`log(tau)` has no finite value"),
    "root of less": ("sqrt(tau)", "tau >= -1", "`sqrt(tau)` has no finite value"),
    "odds of one": ("logit(tau)", "0 < tau <= 1", "has no finite value for tau = 1.0"),
    "odds of more": ("logit(tau)", "0 < tau < 2", "`logit(tau)` has no finite value"),
    "overflow": ("exp(tau)", "tau > 0", "`exp(tau)` has no finite value"),
    "overflow of a product": ("exp(tau * 600)", "0 <= tau <= 2", "has no finite value"),
    "nothing is zero": ("1 / (tau - tau)", "tau > 0", "has no finite value"),
    "an empty domain": ("tau", "2 < tau < 1", "the domain of `tau` holds no number"),
    "a domain of a bound that is outside": ("tau", "1 < tau <= 1", "holds no number"),
}


@pytest.mark.parametrize("name", EDGES)
def test_formulas_without_a_value_are_problems_of_the_mapping(name: str, maker: Making) -> None:
    formula, domain, problem = EDGES[name]
    text = FORGETTING.replace(BIND, f"bind: {{tau: '{formula}', r: 1, v_leak: 0}}")
    text = text.replace(LIMITS, f"domain: {{tau: {domain}}}\nexport_only: the example says so\n")
    assert problem in maker.problems({"forgetting": text})


@pytest.mark.parametrize("domain", ["tau > 0", "0 < tau < 50"])
def test_a_bound_at_which_a_formula_has_no_value(domain: str, maker: Making) -> None:
    """It does not stop the generator: there is only no `dt` to advise where it is reached."""
    text = FORGETTING.replace("domain: {tau: tau > 0}", f"domain: {{tau: {domain}}}")
    there_and_back(maker.converter({"forgetting": text}), cells.Forgetting(2.0))


@pytest.mark.parametrize("domain", ["tau >= 0", "tau < 0", "-1 < tau < 0", "tau > -1"])
def test_a_domain_in_which_it_has_none(domain: str, maker: Making) -> None:
    text = FORGETTING.replace("domain: {tau: tau > 0}", f"domain: {{tau: {domain}}}")
    text = text.replace(LIMITS[LIMITS.index("reject") :], "")
    problems = maker.problems({"forgetting": text})
    assert "no finite value" in problems or "does not undo the export" in problems


def test_a_function_of_one_number_does_not_take_an_array(maker: Making) -> None:
    for function in ("pair", "single", "single_or_word"):
        text = FORGETTING.replace(BIND, f"bind: {{tau: {function}(tau), r: 1, v_leak: 0}}")
        problem = f"`{function}` takes one number, and `tau` has one for each neuron"
        assert problem in maker.problems({"forgetting": text})


ELEMENTWISE = sorted(f.name for f in FUNCTIONS.values() if f.elementwise and f.arity == 1)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_functions_of_each_element(name: str) -> None:
    """An array, a tensor and a number give the same, in the proofs as in converters."""
    from nir_runtime import functions

    function, proved = getattr(functions, name), FUNCTIONS[name].evaluate
    values = np.array([[0.25, 0.5], [0.75, 0.125]])
    expected = [[function(float(x)) for x in row] for row in values]
    for given in (values, torch.tensor(values, requires_grad=True)):
        assert np.array_equal(np.asarray(function(given)), expected)
    assert proved is not None
    np.testing.assert_allclose(proved(values), expected, rtol=1e-15)
    for given in (0.25, np.float64(0.25), np.array(0.25), torch.tensor(0.25, dtype=torch.float64)):
        assert isinstance(function(given), float)
        assert function(given) == function(0.25)


# --- what a live layer holds ----------------------------------------------------------------


@pytest.mark.parametrize(
    "read", ["share", "exp(log_kept)", "1 - (1 - share)", "sigmoid(logit(share))"]
)
def test_properties_and_plain_numbers_are_read(read: str, maker: Making) -> None:
    """The constructor makes them of its parameter; there is nothing to load into them."""
    converter = maker.converter({"keeping": KEEPING.replace("READ", read)})
    for kept in (0.3, 0.9):
        there_and_back(converter, cells.Keeping(kept))


def test_a_class_attribute_is_read(maker: Making) -> None:
    """Of all layers alike: an import makes only the layer that has it."""
    text = KEEPING.replace("READ", "RATE")
    converter = maker.converter({"keeping": text})
    there_and_back(converter, cells.Keeping(0.5))


@pytest.mark.parametrize(
    ("read", "what"),
    [("told", "one finite number is needed"), ("absent", "has no attribute 'absent'")],
)
def test_what_is_no_number_is_refused(read: str, what: str, maker: Making) -> None:
    """A method, or nothing."""
    converter = maker.converter({"keeping": KEEPING.replace("READ", read)})
    with pytest.raises(ExportRefused, match=what):
        converter.export_to_nir(cells.Keeping(0.5), torch.zeros(1, SIZE))


@pytest.mark.parametrize("read", ["inner.kept", "told()", "shares[0]", "getattr(self)"])
def test_what_is_no_name_is_no_formula(read: str, maker: Making) -> None:
    assert "keeping.yaml:8:" in maker.problems({"keeping": KEEPING.replace("READ", f"'{read}'")})


def test_a_domain_without_a_lower_bound(maker: Making) -> None:
    """There is no `dt` to advise where it is left."""
    text = KEEPING.replace("read: {kept: READ}\n", "").replace("0 < kept < 1", "kept < 1")
    converter = maker.converter({"keeping": text.replace("kept: kept < 1", "kept: kept < 0.5")})
    fields = {"tau": 4 * DT, "r": 4.0, "v_leak": 0.0}
    node = nir.LI(**{name: np.full(SIZE, value) for name, value in fields.items()})
    with pytest.raises(ImportRefused, match=r"needs kept < 0\.5"):
        converter.import_from_nir(nir.NIRGraph.from_list(node))
