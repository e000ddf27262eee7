"""Take channels out of a network with torch-pruning: a share of them, or as many as a latency limit asks for."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch
import torch_pruning as tp
from torch import Tensor, nn

from edgetune.errors import EdgetuneError, PruningError
from edgetune.measure.layer_latency import LayerTimes
from edgetune.models.checkpoint import PruningHistory
from edgetune.models.names import named_modules
from edgetune.models.tracing import CUSTOM_LAYERS, dependency_graph, handed_on, traceable
from edgetune.pruning.allocate import allocate
from edgetune.pruning.criteria.batches import Batches
from edgetune.pruning.criteria.scores import AUTO, make_scores
from edgetune.pruning.groups import prunable_groups
from edgetune.pruning.heads import attention_layers
from edgetune.pruning.ratio import Keeping, prune_share
from edgetune.pruning.shapes import layer_shapes
from edgetune.pruning.tied import sparing

KEEP_SHARE = 0.1  # of any layer's channels at least: a ranking over all layers must not empty one
UNRANKED_FACTOR = 2.5  # by a criterion whose scores do not compare, a layer loses at most so many times the ratio


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneOptions:
    """How channels are ranked, what they are rounded to, and what is left whole."""

    criterion: str
    scope: str  # of a ratio. global: the weakest anywhere; isomorphic: among layers alike; local: of every layer
    channel_multiple: int
    protected: tuple[str, ...]  # module names
    group_reduction: str = AUTO  # how the layers of a group become one score
    normalization: str = AUTO  # what scores of a group are divided by
    layers: Mapping[str, float] = field(default_factory=dict)  # module name -> share of its channels that may go

    def scores(self, network: nn.Module, batches: Batches) -> tuple[Callable[[tp.Group], Tensor | None], bool]:
        """The criterion with these options (None for what is tied), and whether its scores compare between layers."""
        found, comparable = make_scores(
            self.criterion, network, batches, reduction=self.group_reduction, normalization=self.normalization
        )
        return sparing(network, found), comparable

    def with_layers(self, layers: Mapping[str, float]) -> "PruneOptions":
        """The same with other shares."""
        return replace(self, layers=layers)

    def left_whole(self, network: nn.Module) -> list[nn.Module]:
        """The protected modules, the layers of attention, and those whose channels cannot be followed.

        Raises:
            RecipeError: a name is no module of the network.
        """
        named = named_modules(network, self.protected, "prune.protect")
        return [*named, *attention_layers(network), *handed_on(network)]


def prune_by_ratio(
    network: nn.Module, example: Tensor, ratio: float, options: PruneOptions, batches: Batches
) -> PruningHistory:
    """Take the share ``ratio`` of all channels out of ``network``, in place, and return what was removed.

    Modules in ``options.layers`` lose their own share instead, ranked by themselves, and with them what is coupled to
    them. Nothing is removed where rounding leaves every layer as it is. Needs the network on the CPU; leaves it in eval
    mode.

    Args:
        example: an input [1, 3, H, W] to trace with.
        batches: (images [N, 3, H, W], labels [N]) for criteria that look at data.

    Raises:
        PruningError: the network cannot be traced.
        RecipeError: a module that is named does not exist, or the criterion does not know an option.
    """
    ignored = options.left_whole(network)
    own = dict(zip(named_modules(network, options.layers, "prune.layers"), options.layers.values(), strict=True))
    limit = 1.0 - KEEP_SHARE
    network.eval()
    with _tracing_errors(network):
        scores, comparable = options.scores(network, batches)
        most = limit if comparable else min(limit, max(UNRANKED_FACTOR * ratio, *own.values(), 0.0))
        keeping = Keeping(scores, most, network, options.channel_multiple)
        with traceable():
            pruner = tp.pruner.BasePruner(
                network,
                example,
                importance=keeping,
                global_pruning=options.scope in ("global", "isomorphic"),
                isomorphic=options.scope == "isomorphic",
                pruning_ratio=min(ratio, most),
                pruning_ratio_dict=own,
                max_pruning_ratio=most,
                ignored_layers=ignored,
                customized_pruners=CUSTOM_LAYERS,
            )
        prune_share(pruner, keeping)
        with torch.no_grad():
            network(example)
    network.zero_grad(set_to_none=True)
    return _plain(pruner.pruning_history())


def prune_to_latency(
    network: nn.Module,
    example: Tensor,
    limit_ms: float,
    times: Mapping[str, LayerTimes],
    options: PruneOptions,
    batches: Batches,
) -> PruningHistory:
    """Take channels out until the layers in ``times`` need ``limit_ms`` together; see ``allocate``.

    A module in ``options.layers`` loses its share at most. Arguments, effects and errors as ``prune_by_ratio``; also a
    PruningError for a limit that no pruning reaches.
    """
    ignored = options.left_whole(network)
    named_modules(network, options.layers, "prune.layers")
    network.eval()
    with _tracing_errors(network):
        importance, _ = options.scores(network, batches)
        graph = dependency_graph(network, example)
        prunable = prunable_groups(network, graph, ignored, importance, options.channel_multiple, options.layers)
        widths = {name: (shape.inputs, shape.outputs) for name, shape in layer_shapes(network, example).items()}
        latency = {name: times[name].at for name in widths if name in times}
        allocation = allocate([group.group for group in prunable], widths, latency, limit_ms)
        for group, units in zip(prunable, allocation.taken, strict=True):
            if units:
                graph.get_pruning_group(group.module, group.pruning_fn, group.units.channels(units)).prune()
        with torch.no_grad():
            network(example)
    network.zero_grad(set_to_none=True)
    if allocation.after_ms > limit_ms:
        raise PruningError(
            f"pruning cannot bring the layers from {allocation.before_ms:.3g} ms to {limit_ms:.3g} ms: "
            f"{allocation.after_ms:.3g} ms are left when every group of channels is at its smallest",
            hint="lower `[prune] target_speedup`",
        )
    return _plain(graph.pruning_history())


def latency_of(network: nn.Module, example: Tensor, times: Mapping[str, LayerTimes]) -> float:
    """Milliseconds that the layers of ``network`` which ``times`` knows need together.

    Raises:
        PruningError: it knows none.
    """
    known = [
        times[name].at(shape.inputs, shape.outputs)
        for name, shape in layer_shapes(network, example).items()
        if name in times
    ]
    if not known:
        raise PruningError(
            "this network has no convolution or linear layer that could be timed by itself",
            hint="use `[prune] ratio` instead of `target_speedup`",
        )
    return sum(known)


def count_channels(network: nn.Module) -> int:
    """Output channels of all convolutions and linear layers."""
    return sum(
        module.out_channels if isinstance(module, nn.Conv2d) else module.out_features
        for module in network.modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    )


@contextmanager
def _tracing_errors(network: nn.Module) -> Iterator[None]:
    """torch-pruning meets what it does not know with whatever error comes first (ZeroDivisionError for shufflenet).

    Its warnings are about its own inner workings and tell a user nothing.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except EdgetuneError:
        raise
    except Exception as problem:
        layer = _stumbled_over(network, problem)
        raise PruningError(
            f"torch-pruning cannot prune this network: {type(problem).__name__}: {problem}",
            hint=f"set `[prune] ratio = [0.0]`, or name {layer or 'the layer it stumbles over'} in `[prune] protect`; "
            "for a layer of your own `register_layer` takes a rule (docs/extending.md)",
        ) from problem


def _stumbled_over(network: nn.Module, problem: BaseException) -> str:
    """Name of the innermost module of ``network`` that the frames of ``problem`` are at work on; "" for none."""
    names, found = {id(module): name for name, module in network.named_modules() if name}, ""
    step = problem.__traceback__
    while step is not None:
        local = step.tb_frame.f_locals
        found = next((names[id(local[key])] for key in ("self", "layer") if id(local.get(key)) in names), found)
        step = step.tb_next
    return found


def _plain(history: list[tuple[str, bool, list[int]]]) -> PruningHistory:
    return [(name, bool(out), [int(i) for i in channels]) for name, out, channels in history]
