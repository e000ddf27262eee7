"""How much each operator of a calibrated fake-quant graph suffers, alone and through the whole network.

An operator is quantized alone by rounding what only it reads: its activations and its weight. Wu et al. 2020,
"Integer Quantization for Deep Learning Inference", section 6.1, calls the second measure sensitivity analysis.
"""

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, fx

from edgetune.progress import Tick, silent
from edgetune.quantization.fake_quant import (
    ActivationFakeQuantize,
    DynamicFakeQuantize,
    TableFakeQuantize,
    WeightFakeQuantize,
)
from edgetune.quantization.insert import WEIGHTED
from edgetune.quantization.trace import MODULE

ACTIVATION = (ActivationFakeQuantize, DynamicFakeQuantize)
WEIGHT = (WeightFakeQuantize, TableFakeQuantize)
TABLE = torch.ops.aten.embedding.default
ELEMENT = 90.0  # multiply-accumulates in the time of one element of an activation

Batches = Callable[[], Iterable[tuple[Tensor, Tensor]]]
"""Gives the same (inputs [N, ...], labels [N]) at every call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """Power of an operator's rounding error under its signal, in decibels (infinite: no error).

    ``sqnr`` is with all of it quantized, the others with only its activations or only its weight; None: it has none.
    """

    sqnr: float
    activations: float | None
    weight: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A network on labelled samples.

    ``divergence`` is the mean Kullback-Leibler divergence of its softmax from the float network's, in nats;
    ``agreement`` the share of samples with float's top-1.
    """

    accuracy: float
    loss: float
    divergence: float
    agreement: float


def quantized_operators(graph: fx.GraphModule) -> list[fx.Node]:
    """The operators that read something rounded, in the order of execution."""
    fakes = _fakes(graph)
    return [
        node
        for node in graph.graph.nodes
        if node.op == "call_function" and any(source in fakes for source in node.all_input_nodes)
    ]


def layer_name(node: fx.Node) -> str:
    """The user's name for the module that an operator belongs to; for one outside of any, the graph's."""
    if node.meta.get(MODULE):
        return str(node.meta[MODULE])
    stack = node.meta.get("nn_module_stack") or {}
    innermost = list(stack.values())[-1][0] if stack else ""
    return str(innermost) or str(node.name)


def operator_kind(node: fx.Node) -> str:
    """conv2d, linear, add, ..."""
    return str(getattr(node.target, "__name__", node.target)).split(".")[0].rstrip("_")


class Partly(fx.Interpreter):
    """Runs a fake-quant graph in which only the operators in ``active`` read rounded values."""

    def __init__(self, graph: fx.GraphModule, active: Collection[fx.Node]) -> None:
        super().__init__(graph)
        self.active, self.fakes = set(active), _fakes(graph)

    def run_node(self, n: fx.Node) -> Any:
        if n in self.fakes:
            return self.env[n.all_input_nodes[0]]
        if n in self.active:
            return self.rounded(n, (*ACTIVATION, *WEIGHT))
        return super().run_node(n)

    def rounded(self, node: fx.Node, kinds: tuple[type, ...]) -> Any:
        """The operator's output with its inputs of the given ``kinds`` rounded."""
        in_place = operator_kind(node) != str(getattr(node.target, "__name__", "")).split(".")[0]

        def value(source: fx.Node) -> Any:
            fake, held = self.fakes.get(source), self.env[source]
            if fake is not None and isinstance(fake, kinds):
                return fake(held)
            return held.clone() if in_place and isinstance(held, Tensor) else held

        args, kwargs = fx.node.map_arg(node.args, value), fx.node.map_arg(node.kwargs, value)
        operator = cast(Callable[..., Any], node.target)  # of a call_function node
        return operator(*args, **kwargs)


class _Listener(Partly):
    """Runs in float and, at each operator, sums up the powers of its signal and of its rounding errors."""

    KINDS = ((*ACTIVATION, *WEIGHT), ACTIVATION, WEIGHT)

    def __init__(self, graph: fx.GraphModule, operators: Iterable[fx.Node]) -> None:
        super().__init__(graph, ())
        self.powers = {node: torch.zeros(1 + len(self.KINDS), dtype=torch.float64) for node in operators}

    def run_node(self, n: fx.Node) -> Any:
        rounded = {}
        if n in self.powers:  # before the operator itself, which may work in place
            for place, kinds in enumerate(self.KINDS, start=1):
                if any(isinstance(self.fakes.get(source), kinds) for source in n.all_input_nodes):
                    rounded[place] = self.rounded(n, kinds)
        result = super().run_node(n)
        if rounded and isinstance(result, Tensor):
            self.powers[n][0] += result.double().square().sum()
            for place, values in rounded.items():
                self.powers[n][place] += (values - result).double().square().sum()
        return result


@torch.no_grad()
def rounding_noise(graph: fx.GraphModule, batches: Batches) -> dict[fx.Node, Noise]:
    """The noise of each quantized operator when all before it is float; ``batches`` are read once."""
    operators = quantized_operators(graph)
    listener, fakes = _Listener(graph, operators), _fakes(graph)
    for images, _ in batches():
        listener.run(images)
    found = {}
    for node, (signal, whole, *parts) in listener.powers.items():
        read = [fakes.get(source) for source in node.all_input_nodes]
        activations, weight = (
            _decibels(signal, part) if any(isinstance(fake, kinds) for fake in read) else None
            for part, kinds in zip(parts, _Listener.KINDS[1:], strict=True)
        )
        found[node] = Noise(sqnr=_decibels(signal, whole), activations=activations, weight=weight)
    return found


Forward = Callable[[Tensor], Any]
"""A network: inputs [N, ...] to logits [N, classes], or to a tuple that begins with them."""


@torch.no_grad()
def all_logits(network: Forward, batches: Batches) -> list[Tensor]:
    """The outputs [N, classes], batch by batch."""
    return [_logits(network(images)) for images, _ in batches()]


@torch.no_grad()
def outcome(network: Forward, batches: Batches, reference: list[Tensor]) -> Outcome:
    """What a network makes of ``batches``, where the float one gave ``reference`` (``all_logits``)."""
    right, loss, divergence, same, total = 0, 0.0, 0.0, 0, 0
    for (images, labels), expected in zip(batches(), reference, strict=True):
        logits = _logits(network(images))
        log_p, log_q = expected.log_softmax(1), logits.log_softmax(1)
        divergence += float((log_p.exp() * (log_p - log_q)).sum())
        loss += float(torch.nn.functional.cross_entropy(logits, labels, reduction="sum"))
        right += int((logits.argmax(1) == labels).sum())
        same += int((logits.argmax(1) == expected.argmax(1)).sum())
        total += len(labels)
    divergence = max(0.0, divergence / total)  # of equal outputs float32 makes a little less than nothing
    return Outcome(accuracy=right / total, loss=loss / total, divergence=divergence, agreement=same / total)


def alone(
    graph: fx.GraphModule,
    batches: Batches,
    reference: list[Tensor],
    progress: Tick = silent,
    operators: Sequence[fx.Node] | None = None,
) -> dict[fx.Node, Outcome]:
    """The outcome of quantizing each operator alone, or each of those given; ``batches`` are read once for each."""
    operators, found = quantized_operators(graph) if operators is None else operators, {}
    for number, node in enumerate(operators, start=1):
        found[node] = outcome(Partly(graph, (node,)).run, batches, reference)
        progress(number, len(operators), "layers quantized alone")
    return found


class _Worker(Partly):
    """Runs in float and adds up multiply-accumulates and elements written."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph, ())
        self.macs = self.elements = 0

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if n.op == "call_function" and isinstance(result, Tensor):
            self.elements += result.numel()
            if n.target in WEIGHTED:  # weight [C_out, ...]: each output takes as many products as one of its rows has
                self.macs += result.numel() * self.env[cast(fx.Node, n.args[1])][0].numel()
        return result


@torch.no_grad()
def work(graph: fx.GraphModule, example: Tensor) -> float:
    """What a run of the graph in float costs, in multiply-accumulates; ``example`` is one sample.

    An element written counts as ELEMENT of them: fitted to ResNet-18, MobileNetV2 and MobileNetV3-Large on one core.
    """
    counted = _Worker(graph)
    counted.run(example)
    return counted.macs + ELEMENT * counted.elements


def has_weight(node: fx.Node) -> bool:
    """Whether the operator is a layer that ``keep_float`` can name."""
    return node.target in WEIGHTED or node.target is TABLE


def _fakes(graph: fx.GraphModule) -> dict[fx.Node, torch.nn.Module]:
    found: dict[fx.Node, torch.nn.Module] = {}
    for node in graph.graph.nodes:
        if node.op == "call_module":
            module = graph.get_submodule(str(node.target))
            if isinstance(module, (*ACTIVATION, *WEIGHT)):
                found[node] = module
    return found


def _logits(output: Any) -> Tensor:
    tensor = output[0] if isinstance(output, (tuple, list)) else output
    assert isinstance(tensor, Tensor)
    return tensor


def _decibels(signal: Tensor, noise: Tensor) -> float:
    if float(noise) == 0.0:
        return math.inf
    return 10 * math.log10(max(float(signal), 1e-30) / float(noise))
