"""Take channels out, then train what is left to imitate the unpruned network."""

import copy
import json
import shutil
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from edgetune.errors import PruningError
from edgetune.hashing import canonical_json
from edgetune.measure.layer_latency import LayerTimes
from edgetune.models.checkpoint import NetworkSpec, PruningHistory, load_checkpoint, save_checkpoint
from edgetune.models.head import head_modules
from edgetune.progress import unwatched
from edgetune.pruning.recalibrate import recalibrate_batch_norms
from edgetune.pruning.sparsity import (
    STRENGTHS,
    Penalty,
    channel_groups,
    chosen_channels,
    group_lasso,
    growing,
)
from edgetune.pruning.surgery import PruneOptions, count_channels, latency_of, prune_by_ratio, prune_to_latency
from edgetune.steps.context import StepContext
from edgetune.steps.examples import Examples, make_examples
from edgetune.steps.recovery import accuracy, make_sparse, recover

FINISHED = "finished.json"  # stands, with the curves so far, in the folder of a part whose checkpoint is whole
RANKING_SAMPLES = 512  # training images that criteria look at
SPARSE = 0  # number of the part before the first step

Rows = list[dict[str, Any]]


@dataclass(slots=True)
class _State:
    """How far pruning is: ``part`` is the number of the last step that is done (0: sparse training)."""

    network: nn.Module
    history: PruningHistory
    part: int
    training: Rows  # epochs
    curve: Rows  # steps


def run(context: StepContext) -> None:
    """Write the pruned and recovered checkpoint and its history; as notes the epochs, and the accuracy of each step."""
    params = context.params
    spec, teacher, _ = load_checkpoint(context.inputs["network"], context.base)
    examples = make_examples(context, spec, params["batch_size"], params["augmentation"])
    surgery = _Surgery(context, spec, teacher, examples)
    state = _resumed(context) or _begun(context, spec, teacher, examples, surgery)
    for number in range(state.part + 1, params["steps"] + 1):
        _step(number, state, teacher, examples, surgery, context)
        if number < params["steps"]:
            _keep(state, spec, context)
        shutil.rmtree(context.scratch / f"step-{number - 1}", ignore_errors=True)
    state.network.cpu().eval()
    save_checkpoint(context.out, spec, state.network, state.history)
    context.note("training.json").write_text(canonical_json({"history": state.training}), encoding="utf-8")
    context.note("pruning.json").write_text(canonical_json({"steps": state.curve}), encoding="utf-8")


def _begun(
    context: StepContext, spec: NetworkSpec, teacher: nn.Module, examples: Examples, surgery: "_Surgery"
) -> _State:
    """The unpruned network, after sparse training if the recipe asks for it."""
    start = {"step": 0, **surgery.sizes(teacher), "val_accuracy": accuracy(teacher, examples)}
    state = _State(copy.deepcopy(teacher), [], SPARSE, [], [start])
    if context.params.get("sparsity", "none") != "none":
        penalty, work = _penalty(state.network, spec.example(), surgery, context), context.scratch / f"step-{SPARSE}"
        state.training += make_sparse(state.network, teacher, examples, penalty, context, work)
        start["val_accuracy_sparse"] = accuracy(state.network, examples)
        _keep(state, spec, context)
    return state


def _penalty(network: nn.Module, example: Tensor, surgery: "_Surgery", context: StepContext) -> Penalty:
    """What makes channels small: all of them, or those that would go if all went now."""
    kind, strength = context.params["sparsity"], context.params["sparsity_strength"]
    strength = STRENGTHS[kind] if strength is None else strength
    if kind == "group-lasso":
        return group_lasso(channel_groups(network, example, surgery.options.left_whole(network)), strength)
    torch.manual_seed(context.seed)
    history = surgery.take(copy.deepcopy(network), context.params["steps"])
    if not history:
        raise surgery.nothing()
    return growing(chosen_channels(network, example, history), strength)


def _step(
    number: int, state: _State, teacher: nn.Module, examples: Examples, surgery: "_Surgery", context: StepContext
) -> None:
    """Take channels, recalibrate, and train."""
    params = context.params
    last = number == params["steps"]
    network = state.network.cpu()
    torch.manual_seed(context.seed + number)  # for the random criterion, also after an interruption
    state.history = state.history + surgery.take(network, number)
    if last and not state.history:
        raise surgery.nothing()
    recalibrate_batch_norms(network, examples.calibration(RANKING_SAMPLES))
    row = {"step": number, **surgery.sizes(network), "val_accuracy_pruned": accuracy(network, examples)}
    epochs = params["recovery_epochs"] if last else params["step_epochs"]
    work, watch = context.scratch / f"step-{number}", context.watch if last else unwatched
    trained = recover(network, teacher, examples, epochs, context, work, watch)
    state.training += trained
    row["val_accuracy"] = max([epoch["val_accuracy"] for epoch in trained], default=row["val_accuracy_pruned"])
    state.curve.append(row)
    state.part = number


def _keep(state: _State, spec: NetworkSpec, context: StepContext) -> None:
    """For a run that goes on after an interruption."""
    work = context.scratch / f"step-{state.part}"
    work.mkdir(exist_ok=True)
    save_checkpoint(work, spec, state.network, state.history)
    rows = {"training": state.training, "curve": state.curve}
    partial = work / f"{FINISHED}.partial"
    partial.write_text(canonical_json(rows), encoding="utf-8")
    partial.replace(work / FINISHED)


def _resumed(context: StepContext) -> _State | None:
    """What an interrupted run has kept last."""
    parts = range(SPARSE, context.params["steps"])
    finished = [part for part in parts if (context.scratch / f"step-{part}" / FINISHED).exists()]
    if not finished:
        return None
    work = context.scratch / f"step-{finished[-1]}"
    _, network, history = load_checkpoint(work, context.base)
    rows = json.loads((work / FINISHED).read_text(encoding="utf-8"))
    return _State(network, history, finished[-1], rows["training"], rows["curve"])


class _Surgery:
    """Takes channels, step by step. Each step takes an equal share of what is left, so that the last one arrives at
    what was asked for; what rounding has taken beyond a step's share is not taken again by the next.
    """

    def __init__(self, context: StepContext, spec: NetworkSpec, teacher: nn.Module, examples: Examples) -> None:
        params = self.params = context.params
        head = head_modules(lambda classes: spec.make(context.base, classes), spec.num_classes)
        self.options = PruneOptions(
            criterion=params["criterion"],
            scope=params["scope"],
            channel_multiple=params["channel_multiple"],
            protected=(*head, *params["protect"]),
            group_reduction=params.get("group_reduction", "auto"),
            normalization=params.get("normalization", "auto"),
            layers=params.get("layers", {}),
        )
        self.example, self.examples, self.steps = spec.example(), examples, params["steps"]
        self.widths = {"": count_channels(teacher)} | {
            name: count_channels(teacher.get_submodule(name))
            for name in self.options.layers
            if name in dict(teacher.named_modules())
        }
        self.times: dict[str, LayerTimes] | None = None
        if "latency" in context.inputs:
            layers = json.loads((context.inputs["latency"] / "layers.json").read_text(encoding="utf-8"))
            self.times = {name: LayerTimes.from_json(content) for name, content in layers.items()}
            self.whole_ms, self.speedup = latency_of(teacher, self.example, self.times), goal(context)

    def take(self, network: nn.Module, number: int) -> PruningHistory:
        """Prune ``network`` in place to where step ``number`` (from 1) is to leave it; returns what went."""
        options, samples = self.options, self.examples.calibration(RANKING_SAMPLES)
        if self.times is not None:
            limit = self.whole_ms / self.speedup ** (number / self.steps)
            return prune_to_latency(network, self.example, limit, self.times, options, samples)
        share = self._share(network, "", self.params["ratio"], number)
        own = {name: self._share(network, name, most, number) for name, most in options.layers.items()}
        if share <= 0.0 and not any(own.values()):
            return []
        return prune_by_ratio(network, self.example, share, options.with_layers(own), samples)

    def _share(self, network: nn.Module, name: str, ratio: float, number: int) -> float:
        """Of the channels that module ``name`` (all: "") has now, what must go to be where step ``number`` is to be."""
        if name not in self.widths:
            return ratio  # no such module: surgery says so
        left = self.widths[name] * float((1.0 - ratio) ** (number / self.steps))
        return max(0.0, 1.0 - left / max(1, count_channels(network.get_submodule(name))))

    def sizes(self, network: nn.Module) -> dict[str, float]:
        """How much of the network is left."""
        found = {"channels_left": count_channels(network) / self.widths[""]}
        return found if self.times is None else found | {"layers_ms": latency_of(network, self.example, self.times)}

    def nothing(self) -> PruningError:
        """The error for an amount that rounds to nothing."""
        ratio = self.params["ratio"]
        asked = f"ratio of {ratio}" if ratio is not None else "speed-up"
        multiple = self.params["channel_multiple"]
        return PruningError(f"the {asked} removes nothing once channels are rounded to {multiple}", hint="ask for more")


def goal(context: StepContext) -> float:
    """The speed-up that is asked for: as such, or as the unpruned engine's time over the one wanted.

    Raises:
        PruningError: the unpruned engine is that fast already.
    """
    wanted: float | None = context.params.get("target_latency_ms")
    if wanted is None:
        return float(context.params["target_speedup"])
    measured = json.loads((context.inputs["engine"] / "latency.json").read_text(encoding="utf-8"))
    return speedup_for(wanted, unpruned_ms(measured))


def unpruned_ms(measured: Mapping[str, Any]) -> float:
    """The median of the one engine that was measured."""
    (engine,) = measured["engines"].values()
    return float(statistics.median(engine["values"]))


def speedup_for(wanted_ms: float, unpruned: float) -> float:
    """How much faster than ``unpruned`` is ``wanted_ms``.

    Raises:
        PruningError: not at all.
    """
    if unpruned <= wanted_ms:
        raise PruningError(
            f"the unpruned engine takes {unpruned:.3g} ms, so {wanted_ms:g} ms are met without pruning",
            hint="lower `[prune] target_latency_ms`, or leave it out",
        )
    return unpruned / wanted_ms
