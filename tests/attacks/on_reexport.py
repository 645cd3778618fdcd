"""Networks that an import made, changed since, and exported again."""

from __future__ import annotations

import copy
import importlib
import io
import itertools
from collections.abc import Callable
from typing import Any

import nir
import numpy as np
import torch
from spikingjelly.activation_based import functional, surrogate
from torch import Tensor, nn

from tests.attacks.corpus import Expect, attack, noise

JELLY, TORCH, NORSE, REFERENCE = "spikingjelly", "snntorch", "norse", "reference"
ALL = (JELLY, TORCH, NORSE, REFERENCE)
DT = 1e-3


def graph(**lif: Any) -> nir.NIRGraph:
    """Nodes that no layer of a framework computes as it stands."""
    source = np.random.default_rng(5)
    parameters = {"tau": 5e-3, "r": 2.0, "v_leak": 0.1, "v_threshold": 0.8, "v_reset": -0.2, **lif}
    nodes = {
        "input": nir.Input(input_type={"input": np.array([4])}),
        "a": nir.Affine(weight=source.normal(size=(6, 4)) * 9, bias=source.normal(size=6)),
        "lif": nir.LIF(**{k: np.broadcast_to(v, 6).astype(float) for k, v in parameters.items()}),
        "b": nir.Linear(weight=source.normal(size=(8, 6)) * 3),
        "if": nir.IF(r=np.full(8, 300.0), v_threshold=np.full(8, 1.2), v_reset=np.zeros(8)),
        "c": nir.Linear(weight=source.normal(size=(8, 8)) * 3),
        "cuba": nir.CubaLIF(
            tau_syn=np.full(8, 3e-3), tau_mem=np.full(8, 4e-3), r=np.full(8, 3.0),
            v_leak=np.zeros(8), v_threshold=np.full(8, 0.5), v_reset=np.zeros(8),
            w_in=np.full(8, 2.0),
        ),
        "output": nir.Output(output_type={"output": np.array([8])}),
    }  # fmt: skip
    names = list(nodes)
    edges = list(itertools.pairwise(names))
    return nir.NIRGraph(nodes=nodes, edges=edges, type_check=False)


def imported(framework: str, given: nir.NIRGraph, **options: Any) -> Any:
    converter = importlib.import_module(f"nir_exchange.{framework}")
    return converter.import_from_nir(given, dt=DT, dtype=torch.float64, **options)


def changed(
    name: str,
    where: tuple[str, ...] | str,
    expect: Expect,
    *,
    given: Callable[[], nir.NIRGraph] = graph,
    options: dict[str, Any] | None = None,
    **importing: Any,
) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    """Register imports that a function changes; it may return another network."""

    def register(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
        for framework in (where,) if isinstance(where, str) else where:

            def build(framework: str = framework) -> tuple[nn.Module, Tensor]:
                net = imported(framework, given(), **importing)
                other = change(net)
                return net if other is None else other, noise()

            attack(f"re-export: {name}", framework, expect, options=options or {})(build)
        return change

    return register


def _parts(net: Any) -> list[nn.Module]:
    return [m for m in net.modules() if m is not net]


# As it was imported


@changed("nothing", ALL, "equal")
def nothing(net: Any) -> None:
    """As it was imported."""


@changed("a copy", ALL, "equal")
def a_copy(net: Any) -> Any:
    return copy.deepcopy(net)


@changed("saved and loaded", (JELLY, NORSE, REFERENCE), "equal")
def saved(net: Any) -> Any:
    file = io.BytesIO()
    torch.save(net, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@changed("in training mode", ALL, "equal")
def training(net: Any) -> None:
    net.train()


@changed("other weights", ALL, "equal")
def weights(net: Any) -> None:
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(1.5)


@changed("a bias that is new", ALL, "either")
def new_bias(net: Any) -> None:
    net.b.bias = nn.Parameter(torch.full((8,), 0.7))


@changed("a bias that is gone", (JELLY, TORCH, NORSE), "either")
def no_bias(net: Any) -> None:
    net.a.bias = None


@changed("trained", ALL, "either")
def trained(net: Any) -> None:
    for parameter in net.parameters():
        parameter.grad = torch.full_like(parameter, 0.3)
    torch.optim.SGD(net.parameters(), lr=1.0).step()


@changed("trained, with tau", JELLY, "either", learn_tau=True)
def trained_tau(net: Any) -> None:
    for parameter in net.parameters():
        parameter.grad = torch.full_like(parameter, 0.5)
    torch.optim.SGD(net.parameters(), lr=1.0).step()


@changed("tau learned, by hand", JELLY, "either", learn_tau=True)
def learned_tau(net: Any) -> None:
    for module in net.modules():
        if hasattr(module, "w"):
            module.w.data.add_(1.0)


@changed("learn_tau, as it was", JELLY, "equal", learn_tau=True)
def learn_tau(net: Any) -> None:
    """Nothing was learned."""


@changed("load_state_dict of another network", ALL, "either")
def loaded(net: Any) -> None:
    state = {
        key: value * 1.5 if value.is_floating_point() else value
        for key, value in net.state_dict().items()
    }
    net.load_state_dict(state)


@changed("load_state_dict of another graph", ALL, "either")
def loaded_other(net: Any) -> None:
    framework = {m.__module__.partition(".")[0] for m in net.modules()}
    kind = next((k for k in (JELLY, TORCH, NORSE) if k in framework), REFERENCE)
    other = imported(kind, graph(r=0.7, v_threshold=0.3, v_leak=-0.4, tau=2e-3))
    net.load_state_dict(other.state_dict())


# Neurons that changed


def _buffers(name: str) -> Callable[[Any], None]:
    def change(net: Any) -> None:
        found = [b for k, b in net.named_buffers() if k.endswith(name) and b.numel()]
        if not found:
            raise AttributeError(name)
        for buffer in found:
            buffer.mul_(1.6).add_(0.1)

    return change


changed("other gains", (JELLY, NORSE, TORCH), "either")(_buffers(".gain"))
changed("other shifts", (JELLY, NORSE, TORCH), "either")(_buffers(".shift"))
changed("other beta", TORCH, "either")(lambda net: _set(net, "beta", 0.3))
changed("other thresholds, snnTorch", TORCH, "either")(lambda net: _set(net, "threshold", 0.4))
changed("other alpha", TORCH, "either")(lambda net: _set(net, "alpha", 0.2))
changed("graded_spikes_factor", TORCH, "either")(lambda net: _set(net, "graded_spikes_factor", 2.0))
for _field in ("tau", "r", "v_leak", "v_threshold", "v_reset"):
    changed(f"the reference's {_field}", REFERENCE, "either")(_buffers(f"lif.{_field}"))
for _field in ("tau_syn", "tau_mem", "w_in"):
    changed(f"the reference's {_field}", REFERENCE, "either")(_buffers(f"cuba.{_field}"))
changed("a hosted system's r", TORCH, "either")(_buffers("dynamics.r"))
changed("a hosted system's threshold", TORCH, "either")(_buffers("dynamics.v_threshold"))


def _set(net: Any, name: str, value: Any) -> None:
    found = [m for m in net.modules() if hasattr(m, name) and m not in (net.load_state,)]
    if not found:
        raise AttributeError(name)
    for module in found:
        old = getattr(module, name)
        setattr(module, name, torch.full_like(old, value) if torch.is_tensor(old) else value)


def _neurons(net: Any) -> list[Any]:
    return [m.neuron for m in net.modules() if hasattr(m, "neuron")]


@changed("v_threshold of the neurons", JELLY, "either")
def v_threshold(net: Any) -> None:
    for neuron in _neurons(net):
        neuron.v_threshold = 0.6


@changed("v_reset of the neurons", JELLY, "either")
def v_reset(net: Any) -> None:
    for neuron in _neurons(net):
        neuron.v_reset = -0.5


@changed("v_reset of the neurons is None", JELLY, "either")
def v_reset_none(net: Any) -> None:
    for neuron in _neurons(net):
        neuron.v_reset = None


@changed("tau of the neuron", JELLY, "either")
def tau(net: Any) -> None:
    net.lif.neuron.tau = 1.5


@changed("decay_input of the neuron", JELLY, "either")
def decay_input(net: Any) -> None:
    net.lif.neuron.decay_input = False


@changed("v_decay of the neuron", JELLY, "either")
def v_decay(net: Any) -> None:
    net.cuba.neuron.v_decay = 0.2


@changed("the surrogate is none", JELLY, "refused")
def no_surrogate(net: Any) -> None:
    net.cuba.neuron.surrogate_function = surrogate.Sigmoid(spiking=False)


@changed("where v starts", JELLY, "either")
def starts(net: Any) -> None:
    net.lif.neuron.set_reset_value("v", -3.0)
    functional.reset_net(net)


@changed("p of the cells", NORSE, "either")
def p(net: Any) -> None:
    net.lif.neuron.p = net.lif.neuron.p._replace(v_th=torch.tensor(0.4))


@changed("dt of the cells", NORSE, "either")
def cell_dt(net: Any) -> None:
    for neuron in _neurons(net):
        neuron.dt = 5e-4


@changed("p of the cells, in place", NORSE, "either")
def p_in_place(net: Any) -> None:
    net.lif.neuron.p.v_leak.add_(0.3)


@changed("dt of the reference's nodes", REFERENCE, "either")
def node_dt(net: Any) -> None:
    for part in _parts(net):
        if hasattr(part, "dt"):
            part.dt = 5e-4


@changed("reset_by of the reference's nodes", REFERENCE, "either")
def reset_by(net: Any) -> None:
    net.lif.reset_by = "subtract"


@changed("the node that a module remembers", (JELLY, NORSE), "either")
def remembered(net: Any) -> None:
    net.lif.node.r = net.lif.node.r * 3  # the module computes what it did


@changed("the neuron inside is another", JELLY, "either")
def another_neuron(net: Any) -> None:
    net.lif.neuron = copy.deepcopy(net.if_1.neuron)


@changed("a neuron's forward", ALL, "refused")
def neuron_forward(net: Any) -> None:
    original = net.lif.forward
    net.lif.forward = lambda x, *rest: original(x * 2, *rest)


@changed("the forward of a neuron inside", (JELLY, NORSE), "refused")
def inner_forward(net: Any) -> None:
    original = net.lif.neuron.forward
    net.lif.neuron.forward = lambda x, *rest: original(x * 2, *rest)


@changed("a hook on a neuron inside", (JELLY, NORSE), "refused")
def inner_hook(net: Any) -> None:
    net.lif.neuron.register_forward_pre_hook(lambda module, args: (args[0] * 2, *args[1:]))


@changed("a hook on a neuron", ALL, "refused")
def hook(net: Any) -> None:
    net.lif.register_forward_pre_hook(lambda module, args: (args[0] * 2, *args[1:]))


@changed("a hook on the network", ALL, "refused")
def network_hook(net: Any) -> None:
    net.register_forward_pre_hook(lambda module, args: (args[0] * 2, *args[1:]))


@changed("two neurons exchanged", (JELLY, NORSE, REFERENCE), "either")
def exchanged(net: Any) -> None:
    net.if_1, net.cuba = net.cuba, net.if_1


@changed("a layer replaced", (JELLY, TORCH, NORSE), "equal")
def layer_replaced(net: Any) -> None:
    net.b = nn.Linear(6, 8)
    net.b.weight.data *= 8


@changed("a layer replaced by two", ALL, "either")
def layer_replaced_by_two(net: Any) -> None:
    net.b = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 8))
    net.b[0].weight.data *= 8


@changed("the forward is edited", ALL, "either")
def edited(net: Any) -> None:
    (node,) = (n for n in net.graph.nodes if n.op == "call_module" and n.target == "c")
    with net.graph.inserting_after(node):
        scaled = net.graph.call_function(torch.mul, (node, 2.0))
    node.replace_all_uses_with(scaled, delete_user_cb=lambda user: user is not scaled)
    net.recompile()


@changed("inside of another network", (JELLY, REFERENCE), "equal")
def inside(net: Any) -> Any:
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.scale = net, 2.0

        def forward(self, x: Tensor) -> Any:
            return self.inner(x * self.scale)[0]

    return Outer()


@changed("its state is the output", (JELLY, REFERENCE), "refused")
def state_out(net: Any) -> Any:
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = net

        def forward(self, x: Tensor) -> Any:
            _y, state = self.inner(x)
            return state["cuba"]["v"] if isinstance(state["cuba"], dict) else state["cuba"]

    return Outer()


@changed("a run is left over", (JELLY, TORCH, REFERENCE), "either")
def left_over(net: Any) -> None:
    with torch.no_grad():
        for step in noise():
            net(step)


@changed("a run is left over, Norse", NORSE, "equal")
def norse_left_over(net: Any) -> None:
    with torch.no_grad():
        for step in noise():
            net(step)


@changed("half precision for a while", ALL, "either")
def halved(net: Any) -> None:
    net.half().double()


@changed("single precision for a while", ALL, "either")
def single(net: Any) -> None:
    net.float().double()


# Another dt than it was built for


@changed("at another dt", ALL, "either", options={"dt": 2e-3})
def other_dt(net: Any) -> None:
    """What it computes is what it was built for."""


@changed("at another dt, with other weights", ALL, "either", options={"dt": 5e-4})
def other_dt_weights(net: Any) -> None:
    net.a.weight.data *= 1.5


@changed("at another dt, nothing to normalize", ALL, "either", options={"dt": 2e-3},
         given=lambda: graph(r=1.0, v_leak=0.0, v_threshold=1.0, v_reset=0.0))  # fmt: skip
def other_dt_plain(net: Any) -> None:
    """Layers that need no gain and no shift."""


# Graphs with other nodes


def _delayed() -> nir.NIRGraph:
    given = graph()
    given.nodes["delay"] = nir.Delay(np.full(8, 2e-3))
    given.edges = [e for e in given.edges if e != ("if", "c")] + [("if", "delay"), ("delay", "c")]
    return given


def _recurrent() -> nir.NIRGraph:
    given = graph()
    source = np.random.default_rng(6)
    given.nodes["back"] = nir.Linear(weight=source.normal(size=(8, 8)))
    given.edges = [*given.edges, ("if", "back"), ("back", "if")]
    return given


def _threshold() -> nir.NIRGraph:
    given = graph()
    given.nodes["b"] = nir.Linear(weight=given.nodes["b"].weight)
    given.nodes["if"] = nir.Threshold(np.full(8, 0.5))
    return given


def _li() -> nir.NIRGraph:
    given = graph()
    given.nodes["if"] = nir.LI(tau=np.full(8, 4e-3), r=np.full(8, 2.0), v_leak=np.full(8, 0.2))
    given.nodes["cuba"] = nir.CubaLI(
        tau_syn=np.full(8, 3e-3), tau_mem=np.full(8, 4e-3), r=np.full(8, 3.0),
        v_leak=np.full(8, 0.1), w_in=np.full(8, 2.0),
    )  # fmt: skip
    return given


for _name, _given in (
    ("a Delay", _delayed), ("a cycle", _recurrent), ("a Threshold", _threshold),
    ("integrators", _li),
):  # fmt: skip
    changed(f"{_name}, nothing changed", ALL, "equal", given=_given)(lambda net: None)
    changed(f"{_name}, at another dt", ALL, "either", given=_given, options={"dt": 2e-3})(
        lambda net: None
    )
    changed(f"{_name}, buffers scaled", ALL, "either", given=_given)(
        lambda net: [b.mul_(1.3) for b in net.buffers() if b.is_floating_point()] and None
    )


@changed("a Delay's number of steps", REFERENCE, "either", given=_delayed)
def delay_steps(net: Any) -> None:
    part = net.delay
    names = [k for k, v in vars(part).items() if isinstance(v, int) and not isinstance(v, bool)]
    buffers = dict(part.named_buffers())
    if buffers:
        next(iter(buffers.values())).mul_(0.5)
    elif names:
        setattr(part, names[0], 1)


@changed("the weights of a cycle", ALL, "either", given=_recurrent)
def cycle_weights(net: Any) -> None:
    for parameter in net.parameters():
        parameter.data.mul_(0.7)
