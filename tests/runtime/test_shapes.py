from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import nir
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from nir_runtime.contract.nesting import DEEPEST, thin_copy, without_ports
from nir_runtime.contract.shapes import ShapeMismatch, infer, output_shape
from nir_runtime.errors import InvalidGraph

from .counting import calls_made
from .handmade import affine, chain, graph, lif, shaped_input


def shape_in(node: nir.NIRNode) -> tuple[int, ...]:
    return tuple(node.input_type["input"])


def shape_out(node: nir.NIRNode) -> tuple[int, ...]:
    return tuple(node.output_type["output"])


def problems(broken: nir.NIRGraph) -> list[str]:
    """What `infer` finds, each with its place in front."""
    with pytest.raises(InvalidGraph) as raised:
        infer(broken)
    return [str(problem) for problem in raised.value.problems]


def output() -> nir.Output:
    return nir.Output({"output": None})


def conv2d(weight: tuple[int, ...], **fields: Any) -> nir.Conv2d:
    given = {"input_shape": None, "stride": 1, "padding": 0, "dilation": 1, "groups": 1}
    return nir.Conv2d(weight=np.ones(weight), bias=np.ones(weight[0]), **(given | fields))


def bare(kind: type[nir.NIRNode], **fields: Any) -> nir.NIRNode:
    """A node as a file may hold it, past the checks of nir's constructors."""
    node = kind.__new__(kind)
    vars(node).update(fields, metadata={})
    return node


# Shapes that follow from geometry


@given(
    groups=st.integers(1, 3),
    channels=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.one_of(st.just("valid"), st.tuples(st.integers(0, 2), st.integers(0, 2))),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    size=st.tuples(st.integers(7, 12), st.integers(7, 12)),
)
def test_a_convolution_gives_the_shape_that_torch_gives(
    groups: int,
    channels: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: str | tuple[int, int],
    dilation: tuple[int, int],
    size: tuple[int, int],
) -> None:
    weight = (channels[0] * groups, channels[1], *kernel)
    arriving = (channels[1] * groups, *size)
    x, w = torch.zeros(1, *arriving), torch.zeros(weight)
    computed = F.conv2d(x, w, None, stride, padding, dilation, groups).shape[1:]
    node = conv2d(weight, stride=stride, padding=padding, dilation=dilation, groups=groups)
    assert output_shape(node, arriving) == tuple(computed)

    flat = bare(
        nir.Conv1d,
        input_shape=None,
        weight=np.ones(weight[:3]),
        bias=np.ones(weight[0]),
        stride=stride[0],
        padding=padding if isinstance(padding, str) else padding[0],
        dilation=dilation[0],
        groups=groups,
    )
    computed = F.conv1d(
        x[..., 0], w[..., 0], None, stride[0], flat.padding, dilation[0], groups
    ).shape[1:]
    assert output_shape(flat, arriving[:2]) == tuple(computed)


def test_padding_same_keeps_the_size_of_an_even_kernel_too() -> None:
    assert output_shape(conv2d((4, 3, 2, 5), padding="same"), (3, 9, 10)) == (4, 9, 10)


@pytest.mark.parametrize("kind", [nir.SumPool2d, nir.AvgPool2d])
def test_a_pooling_with_a_rectangular_window(kind: type[nir.NIRNode]) -> None:
    node = kind(kernel_size=np.array([3, 5]), stride=np.array([1, 2]), padding=np.array([0, 2]))
    computed = F.avg_pool2d(torch.zeros(2, 10, 10), (3, 5), (1, 2), (0, 2)).shape
    assert output_shape(node, (2, 10, 10)) == tuple(computed)


@pytest.mark.parametrize(
    ("start", "end", "flat"),
    [(0, -1, (24,)), (1, -1, (2, 12)), (0, 1, (6, 4)), (-2, -1, (2, 12)), (1, 1, (2, 3, 4))],
)
def test_flatten(start: int, end: int, flat: tuple[int, ...]) -> None:
    node = nir.Flatten({"input": None}, start, end)
    assert output_shape(node, (2, 3, 4)) == flat
    assert tuple(torch.zeros(2, 3, 4).flatten(start, end).shape) == flat


def test_a_matrix_with_leading_axes() -> None:
    weight = np.ones((2, 3, 5, 4))
    assert output_shape(nir.Linear(weight), (2, 3, 4)) == (2, 3, 5)
    assert output_shape(nir.Affine(weight, np.ones((2, 3, 5))), (2, 3, 4)) == (2, 3, 5)


@pytest.mark.parametrize(
    ("node", "arriving", "sentence"),
    [
        (
            conv2d((8, 3, 3, 3)),
            (4, 32, 32),
            "weight takes 3 input channels, and (4, 32, 32) arrives",
        ),
        (
            conv2d((8, 3, 3, 3), groups=2),
            (3, 32, 32),
            "weight takes 6 input channels, and (3, 32, 32) arrives",
        ),
        (conv2d((8, 3, 3, 3)), (3, 32), "it takes (channels, height, width), and (3, 32) arrives"),
        (conv2d((8, 3, 3, 3)), (3, 2, 9), "a (3, 3) kernel does not fit into (2, 9)"),
        (
            conv2d((8, 3, 3, 3), dilation=4, padding=2),
            (3, 4, 9),
            "a (3, 3) kernel with dilation (4, 4) does not fit into (4, 9) padded by (2, 2)",
        ),
        (
            nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
            (4, 4),
            "it takes (channels, height, width), and (4, 4) arrives",
        ),
        (affine(0), (5,), "weight (4, 4) takes (4,), and (5,) arrives"),
        (affine(0), (2, 4), "weight (4, 4) takes (4,), and (2, 4) arrives"),
        (lif((4,)), (5,), "its parameters have shape (4,), and (5,) arrives"),
        (
            nir.Flatten({"input": None}, 1, -1),
            (400,),
            "it flattens the axes 1 to -1, and (400,) arrives",
        ),
    ],
)
def test_a_mismatch_is_a_sentence(
    node: nir.NIRNode, arriving: tuple[int, ...], sentence: str
) -> None:
    with pytest.raises(ShapeMismatch) as raised:
        output_shape(node, arriving)
    assert str(raised.value) == sentence


# Whole graphs


def test_all_shapes_of_a_network_are_filled_in() -> None:
    made = chain(
        conv2d((16, 3, 3, 5), padding=(1, 0), groups=2),
        lif((1,)),
        nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        nir.Flatten({"input": None}, 0, -1),
        nir.Affine(np.ones((10, 16 * 5 * 4)), np.ones(10)),
        lif((1,)),
        features=(6, 10, 12),
    )
    infer(made)
    shapes = [(shape_in(node), shape_out(node)) for node in made.nodes.values()]
    assert shapes == [
        ((6, 10, 12), (6, 10, 12)),
        ((6, 10, 12), (16, 10, 8)),
        ((16, 10, 8), (16, 10, 8)),
        ((16, 10, 8), (16, 5, 4)),
        ((16, 5, 4), (320,)),
        ((320,), (10,)),
        ((10,), (10,)),
        ((10,), (10,)),
    ]
    assert made.nodes["_0"].input_shape == (10, 12)
    assert made.input_type["input_1"].tolist() == [6, 10, 12]
    assert made.output_type["output"].tolist() == [10]


def test_the_fields_have_one_form_afterwards() -> None:
    one = bare(
        nir.Conv1d,
        input_shape=np.array([9]),
        weight=np.ones((2, 4, 3)),
        stride=np.array([2]),
        padding=np.int64(1),
        dilation=1,
        groups=np.int64(1),
        bias=np.ones(2),
    )
    pool = nir.SumPool2d(np.int64(2), np.array([2, 2]), 0)
    first = chain(one, features=None)
    infer(first)
    assert (one.input_shape, one.stride, one.padding, one.groups) == (9, 2, 1, 1)
    infer(chain(conv2d((2, 3, 3, 3), stride=np.array([1, 2])), pool, features=(3, 8, 8)))
    assert (pool.kernel_size, pool.stride, pool.padding) == ((2, 2), (2, 2), (0, 0))
    assert all(type(size) is int for size in (*pool.kernel_size, one.stride, one.input_shape))


def test_nodes_that_nir_itself_refuses_to_type() -> None:
    """Grouped and rectangular convolutions, and an Output that has axes of size one too many."""
    made = graph(
        {
            "input": nir.Input(np.array([4, 9, 9])),
            "conv": conv2d((1, 2, 9, 9), groups=1, input_shape=None),
            "grouped": conv2d((2, 2, 1, 1), groups=2),
            "output": nir.Output(np.array([1, 1, 1])),
            "flatten": nir.Flatten({"input": None}, 0, -1),
        },
        ("input", "grouped"),
        ("grouped", "conv"),
        ("conv", "flatten"),
        ("flatten", "output"),
    )
    infer(made)
    assert shape_out(made.nodes["grouped"]) == (2, 9, 9)
    assert shape_out(made.nodes["flatten"]) == (1,)
    assert shape_in(made.nodes["output"]) == (1,)


@pytest.mark.parametrize("shape", [(), (1,)])
def test_scalar_parameters_take_the_shape_of_the_neighbours(shape: tuple[int, ...]) -> None:
    node = nir.LIF(*(np.full(shape, value, np.float32) for value in (1e-3, 1, 0, 0.3, 0)))
    infer(chain(affine(0), node))
    assert node.tau.shape == node.v_reset.shape == (4,)
    assert node.tau.dtype == np.float32
    assert node.v_threshold.tolist() == [np.float32(0.3)] * 4
    assert node.tau.strides == (0,)  # a view: nothing was written out


def test_scalars_beside_arrays() -> None:
    node = bare(
        nir.CubaLIF,
        tau_syn=np.float64(1e-3),
        tau_mem=np.full(4, 2e-3),
        r=1,
        v_leak=np.zeros((1,)),
        v_threshold=np.array([1, 2, 3, 4]),
    )
    infer(chain(node, features=None))
    assert node.tau_syn.tolist() == [1e-3] * 4
    assert node.r.tolist() == [1] * 4
    assert node.v_reset.tolist() == [0] * 4
    assert node.w_in.tolist() == [1] * 4
    assert node.v_threshold.dtype.kind == "i"
    assert shape_in(node) == (4,)


def test_a_shape_is_found_behind_a_node_where_none_is_before_it() -> None:
    made = chain(lif(()), nir.Scale(np.array(2.0)), affine(0), features=None)
    infer(made)
    assert [shape_out(node) for node in made.nodes.values()] == [(4,)] * 5


def test_scalars_alone_have_the_shape_that_the_output_has_or_their_own() -> None:
    made = graph(
        {"i": shaped_input(None), "lif": lif((1,)), "o": nir.Output(np.array([3]))},
        ("i", "lif"),
        ("lif", "o"),
    )
    infer(made)
    assert shape_in(made.nodes["i"]) == (3,)
    alone = chain(lif((1,)), features=None)
    infer(alone)
    assert shape_out(alone.nodes["output"]) == (1,)


def test_a_cycle_of_scalar_neurons() -> None:
    made = graph(
        {"i": shaped_input((4,)), "a": lif(()), "w": affine(0), "b": lif(()), "o": output()},
        ("i", "a"),
        ("a", "w"),
        ("w", "b"),
        ("b", "a"),
        ("b", "b"),
        ("b", "o"),
    )
    infer(made)
    assert {shape_out(node) for node in made.nodes.values()} == {(4,)}


def test_missing_fields_are_filled_in() -> None:
    node = bare(nir.IF, r=np.ones(4, np.float16), v_threshold=np.ones(4))
    conv = conv2d((2, 4, 1, 1))
    conv.bias = None
    infer(chain(node))
    infer(chain(conv, features=(4, 3, 3)))
    assert node.v_reset.tolist() == [0] * 4
    assert conv.bias.tolist() == [0, 0]


def test_a_bias_without_axes_is_for_all() -> None:
    node = bare(nir.Affine, weight=np.ones((3, 4)), bias=np.array(0.5))
    infer(chain(node))
    assert node.bias.tolist() == [0.5] * 3


def test_a_thin_copy_keeps_the_original_and_shares_the_arrays() -> None:
    inner = chain(lif(()))
    made = chain(affine(0), inner)
    before = copy.deepcopy(made)
    copied = thin_copy(made)
    infer(copied)
    assert made.nodes["_0"].weight is copied.nodes["_0"].weight
    assert vars(made.nodes["_1"].nodes["_0"]).keys() == vars(lif(())).keys()
    assert made.nodes["_1"].nodes["_0"].tau.shape == ()
    assert made.nodes["output"].input_type == before.nodes["output"].input_type
    assert copied.nodes["_1"].nodes["_0"].tau.shape == (4,)


# Nested graphs


def test_nested_graphs_have_shapes_of_their_own_and_dotted_names() -> None:
    made = chain(chain(chain(affine(0), lif(()), features=None), features=None))
    flat = infer(made)
    assert list(flat.places) == [
        "input_1",
        "output",
        "_0.input_1",
        "_0.output",
        "_0._0.input_1",
        "_0._0._0",
        "_0._0._1",
        "_0._0.output",
    ]
    assert flat.places["_0._0._1"] == "/node/nodes/_0/nodes/_0/nodes/_1"
    assert flat.inputs == ("input_1",)
    assert flat.targets["input_1"] == ["_0.input_1"]
    assert flat.sources["output"] == ["_0.output"]
    assert made.nodes["_0"].nodes["_0"].input_type["input_1"].tolist() == [4]
    assert made.nodes["_0"].nodes["_0"].output_type["output"].tolist() == [4]


def test_ports_dissolve_into_edges() -> None:
    made = chain(chain(chain(affine(0), lif(()), features=None), features=None), lif(()))
    flat = without_ports(infer(made))
    assert flat.edges == (
        ("input_1", "_0._0._0"),
        ("_1", "output"),
        ("_0._0._0", "_0._0._1"),
        ("_0._0._1", "_1"),
    )
    assert (
        list(flat.nodes) == list(flat.places) == ["input_1", "_1", "output", "_0._0._0", "_0._0._1"]
    )


def test_a_port_that_sums_for_several_nodes_stays() -> None:
    inner = graph(
        {"i": shaped_input(None), "a": lif(), "b": lif(), "o": output()},
        ("i", "a"),
        ("i", "b"),
        ("a", "o"),
        ("b", "o"),
    )
    made = graph(
        {"i": shaped_input((4,)), "w": affine(0), "sub": inner, "o": output()},
        ("i", "w"),
        ("i", "sub"),
        ("w", "sub"),
        ("sub", "o"),
    )
    flat = without_ports(infer(made))
    assert flat.sources["sub.i"] == ["i", "w"]
    assert flat.sources["o"] == ["sub.a", "sub.b"]


def test_a_port_beside_the_edge_that_it_would_double_stays() -> None:
    through = graph({"i": shaped_input(None), "o": output()}, ("i", "o"))
    made = graph(
        {"i": shaped_input((4,)), "sub": through, "a": lif(), "o": output()},
        ("i", "sub"),
        ("sub", "a"),
        ("i", "a"),
        ("a", "o"),
    )
    assert without_ports(infer(made)).sources["a"] == ["i", "sub.o"]


def test_a_dotted_name_of_the_outer_graph_stays_its_own() -> None:
    made = graph(
        {"i": shaped_input((4,)), "sub": chain(lif()), "sub._0": affine(0), "o": output()},
        ("i", "sub"),
        ("sub", "sub._0"),
        ("sub._0", "o"),
    )
    flat = infer(made)
    assert flat.nodes["sub._0"] is made.nodes["sub._0"]
    assert flat.nodes["sub._0_"] is made.nodes["sub"].nodes["_0"]


def test_a_problem_in_a_nested_graph_names_its_path() -> None:
    made = chain(chain(lif(tau=-1.0)))
    assert problems(made) == ["/node/nodes/_0/nodes/_0/tau: must be positive everywhere"]


def test_an_edge_can_not_say_which_input_of_a_nested_graph_it_means() -> None:
    inner = graph(
        {"a": shaped_input((4,)), "b": shaped_input((4,)), "lif": lif(), "o": output()},
        ("a", "lif"),
        ("b", "lif"),
        ("lif", "o"),
    )
    (found,) = problems(chain(inner))
    assert found.startswith(
        "/node/edges: the edge 'input_1' -> '_0' "
        "can't say which of the 2 Input nodes of '_0' it means"
    )


def test_a_graph_that_holds_itself_ends() -> None:
    made = chain(lif())
    made.nodes["_0"] = made
    assert f"graphs are nested more than {DEEPEST} deep" in " ".join(problems(made))


# What is wrong


def changed(name: str, **fields: Any) -> nir.NIRGraph:
    made = chain(affine(0), lif(), nir.Delay(np.zeros(4)))
    vars(made.nodes[name]).update(fields)
    return made


def convolved(**fields: Any) -> nir.NIRGraph:
    made = chain(conv2d((4, 3, 3, 3)), features=(3, 8, 8))
    vars(made.nodes["_0"]).update(fields)
    return made


def pooled(**fields: Any) -> nir.NIRGraph:
    node = nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0]))
    vars(node).update(fields)
    return chain(node, features=(3, 8, 8))


def edged(*edges: tuple[str, str]) -> nir.NIRGraph:
    made = chain(affine(0), lif())
    made.edges += edges
    return made


class Gain(nir.Scale):
    """Not a primitive: nobody else would know what it computes."""


@pytest.mark.parametrize(
    ("broken", "found"),
    [
        (lambda: changed("_1", tau=np.array([1, 0, 1, 1])), "_1/tau: must be positive everywhere"),
        (lambda: changed("_1", tau=np.full(4, -1.0)), "_1/tau: must be positive everywhere"),
        (
            lambda: changed("_1", r=np.array([1, np.nan, 1, np.inf])),
            "_1/r: is NaN or infinite in 2 of 4 elements",
        ),
        (
            lambda: changed("_1", v_leak=np.broadcast_to(-np.inf, (4,))),
            "_1/v_leak: is NaN or infinite in 4 of 4 elements",
        ),
        (lambda: changed("_1", r=np.array(["a"] * 4)), "_1/r: is not an array of numbers"),
        (lambda: changed("_1", r=np.ones(4, complex)), "_1/r: is not an array of numbers"),
        (lambda: changed("_1", r=[[1], [1, 2]]), "_1/r: is not an array of numbers"),
        (lambda: changed("_1", r=None), "_1/r: is missing"),
        (lambda: changed("_1", r=np.ones((0,))), "_1/r: is empty: its shape is (0,)"),
        (
            lambda: changed("_1", v_threshold=np.ones(3)),
            "_1/v_threshold: has shape (3,), and the parameters before it have (4,)",
        ),
        (
            lambda: changed("_1", r=np.ones((1, 4))),
            "_1/r: has shape (1, 4), and the parameters before it have (4,)",
        ),
        (lambda: changed("_2", delay=np.array([0, -1e-3, 0, 0])), "_2/delay: must not be negative"),
        (
            lambda: changed("_0", weight=np.full((4, 4), np.nan)),
            "_0/weight: is NaN or infinite in 16",
        ),
        (lambda: changed("_0", weight=np.ones(4)), "_0/weight: has shape (4,); (..., out, in)"),
        (
            lambda: changed("_0", bias=np.ones(3)),
            "_0/bias: has shape (3,), and weight (4, 4) needs (4,)",
        ),
        (lambda: changed("_0", bias=np.array([1, 1, 1, np.nan])), "_0/bias: is NaN or infinite"),
        (lambda: changed("_0", weight=np.ones((4, 5))), "_0: it takes (5,), and (4,) arrives from"),
        (
            lambda: changed("_0", weight=np.ones((5, 4)), bias=np.ones(5)),
            "_1: it takes (4,), and (5,) arrives from '_0'",
        ),
        (lambda: changed("input_1", input_type={"input": np.array([0])}), "input_1/shape: is (0,)"),
        (
            lambda: changed("input_1", input_type={"input": np.array(["a"])}),
            "input_1/shape: is not a shape",
        ),
        (
            lambda: changed("output", output_type={"output": np.array([3])}),
            "output: its shape is (3,), and (4,) arrives",
        ),
        (lambda: convolved(groups=2), "_0: weight takes 6 input channels, and (3, 8, 8) arrives"),
        (lambda: convolved(groups=3), "_0/groups: is 3, which does not divide 4 channels"),
        (lambda: convolved(groups=0), "_0/groups: is 0; at least 1 is needed"),
        (lambda: convolved(stride=(0, 1)), "_0/stride: is (0, 1); at least 1 is needed"),
        (
            lambda: convolved(stride=(1, 1, 1)),
            "_0/stride: is (1, 1, 1); 2 whole numbers are needed",
        ),
        (lambda: convolved(stride=1.5), "_0/stride: is 1.5; 2 whole numbers are needed"),
        (lambda: convolved(dilation=0), "_0/dilation: is 0; at least 1 is needed"),
        (lambda: convolved(padding=-1), "_0/padding: is -1; at least 0 is needed"),
        (lambda: convolved(padding="full"), "_0/padding: is 'full'; numbers, 'same' or 'valid'"),
        (lambda: convolved(padding="same", stride=2), "_0/padding: is 'same', which means nothing"),
        (lambda: convolved(weight=np.ones((4, 3, 3))), "_0/weight: has shape (4, 3, 3); 4 axes"),
        (lambda: convolved(weight=np.ones((4, 3, 0, 3))), "_0/weight: is empty"),
        (lambda: convolved(bias=np.ones(3)), "_0/bias: has shape (3,), and weight (4, 3, 3, 3)"),
        (lambda: convolved(weight=np.ones((4, 3, 9, 1))), "_0: a (9, 1) kernel does not fit into"),
        (lambda: convolved(input_shape=(9, 8)), "_0: it takes (3, 9, 8), and (3, 8, 8) arrives"),
        (
            lambda: pooled(kernel_size=np.array([0, 2])),
            "_0/kernel_size: is array([0, 2]); at least",
        ),
        (lambda: pooled(stride=np.array([0, 2])), "_0/stride: is array([0, 2]); at least 1"),
        (lambda: pooled(padding=None), "_0/padding: is None; 2 whole numbers are needed"),
        (
            lambda: chain(nir.Flatten(np.array([2, 2]), 0, -1)),
            "_0: it takes (2, 2), and (4,) arrives from 'input_1'",
        ),
        (
            lambda: chain(nir.Flatten({"input": None}, 0, "all")),
            "_0/end_dim: is 'all'; a whole number is needed",
        ),
        (lambda: chain(Gain(np.ones(4))), "_0: Gain is not a primitive of NIR"),
        (lambda: edged(("_0", "_9")), "edges: the edge '_0' -> '_9' names '_9', and the graph has"),
        (lambda: edged(("_9", "_0")), "edges: the edge '_9' -> '_0' names '_9', and the graph has"),
        (lambda: edged(("_0", "_1")), "edges: the edge '_0' -> '_1' is there twice"),
        (lambda: edged(("_0", "input_1")), "edges: the edge '_0' -> 'input_1' leads into an Input"),
        (lambda: edged(("output", "_0")), "edges: the edge 'output' -> '_0' starts at an Output"),
        (
            lambda: graph({"o": output(), "a": lif()}, ("a", "o"), ("a", "a")),
            ": the graph has no Input node",
        ),
        (
            lambda: graph({"i": shaped_input((4,)), "a": lif()}, ("i", "a")),
            ": the graph has no Output node",
        ),
        (
            lambda: graph(
                {"i": shaped_input((4,)), "a": lif(), "b": lif(), "o": output()},
                ("i", "a"),
                ("a", "o"),
            ),
            "b: no edge leads into it",
        ),
        (
            lambda: graph({"i": shaped_input(None), "o": output()}, ("i", "o")),
            "i: neither it nor its neighbours say its shape",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_place(
    broken: Callable[[], nir.NIRGraph], found: str
) -> None:
    first = problems(broken())[0]
    prefix = "" if found.startswith("edges") else "nodes" if found.startswith(":") else "nodes/"
    assert first.startswith(f"/node/{prefix}{found}"), first


def test_all_problems_are_found_at_once() -> None:
    made = chain(affine(0), lif(tau=-1.0), Gain(np.ones(4)))
    made.nodes["_0"].bias = np.full(4, np.nan)
    made.nodes["_0"].weight = np.ones((4, 4), complex)
    made.edges += [("_0", "_7"), ("input_1", "_0")]
    assert [found.split(":")[0] for found in problems(made)] == [
        "/node/edges",
        "/node/edges",
        "/node/nodes/_0/weight",
        "/node/nodes/_1/tau",
        "/node/nodes/_2",
    ]


def test_one_contradiction_is_reported_once() -> None:
    assert len(problems(chain(affine(0), affine(1, 5), affine(2, 6)))) == 2
    assert len(problems(chain(conv2d((4, 2, 3, 3)), lif(), features=(3, 8, 8)))) == 1


def test_two_sources_of_different_shapes() -> None:
    made = graph(
        {"i": shaped_input((4,)), "w": nir.Linear(np.ones((3, 4))), "a": lif(()), "o": output()},
        ("i", "w"),
        ("i", "a"),
        ("w", "a"),
        ("a", "o"),
    )
    (found,) = problems(made)
    assert found == "/node/nodes/a: it takes (4,), and (3,) arrives from 'w'"


# Cost


def long_chain(length: int) -> nir.NIRGraph:
    return chain(*(node for i in range(length // 2) for node in (affine(0), lif(()))))


def test_ten_times_the_nodes_take_ten_times_the_work() -> None:
    few, many = long_chain(200), long_chain(2000)
    assert calls_made(lambda: infer(many)) < 10.5 * calls_made(lambda: infer(few))


def test_a_shape_passes_through_thousands_of_nodes_without_recursion() -> None:
    scales = [nir.Scale(np.array(2.0)) for _ in range(5000)]
    made = chain(*scales, affine(0), features=None)
    infer(made)
    assert shape_in(made.nodes["input_1"]) == (4,)


def test_an_enormous_neuron_of_scalars_costs_nothing() -> None:
    node = nir.LIF(*(np.broadcast_to(value, (10**6, 10**6)) for value in (1e-3, 1, 0, 1, 0)))
    infer(chain(node, features=(10**6, 10**6)))
    assert shape_out(node) == (10**6, 10**6)


def test_finiteness_where_the_sum_overflows() -> None:
    big = np.full((100, 100), np.finfo(np.float32).max, np.float32)
    infer(chain(nir.Linear(big), features=(100,)))
    big[7, 7] = np.inf
    assert "in 1 of 10000 elements" in problems(chain(nir.Linear(big), features=(100,)))[0]
