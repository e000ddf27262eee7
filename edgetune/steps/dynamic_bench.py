"""A step's encoder, its float ONNX file and its texts: what dynamic INT8 files are made of and tried on."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, fx, nn

from edgetune.export.parity import runner
from edgetune.models.checkpoint import NetworkSpec, load_checkpoint
from edgetune.quantization.dynamic_files import DynamicFiles
from edgetune.quantization.dynamic_graph import dynamic_layers, trace_dynamic
from edgetune.quantization.sensitivity import Batches, Outcome, all_logits, outcome
from edgetune.quantization.trials import Settings
from edgetune.specs import SMOOTHQUANT
from edgetune.steps.context import StepContext
from edgetune.steps.texts import EVAL_BATCH, TextExamples, make_text_examples


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """The network of a step as ``graph`` with all of its rounding in it, and the ``files`` that are made of it."""

    spec: NetworkSpec
    network: nn.Module
    graph: fx.GraphModule
    files: DynamicFiles
    examples: TextExamples


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamicBench:
    """For encoders; each trial is a file, asked for one text after the other, as its device asks it."""

    network: nn.Module
    files: DynamicFiles
    batches: Batches
    reference: list[Tensor]
    trial: Path  # a file that trials may overwrite
    pad_id: int
    ranges: ClassVar[tuple[str, ...]] = ()
    repairs: ClassVar[tuple[str, ...]] = (SMOOTHQUANT,)

    def outcome(self, settings: Settings) -> Outcome:
        """The file of ``settings``, on the labelled texts."""
        self.files.write(settings, self.trial)
        run = runner(self.trial)

        def answers(batch: Tensor) -> Tensor:
            return torch.cat([torch.from_numpy(run(text)) for text in _without_padding(batch, self.pad_id)])

        return outcome(answers, self.batches, self.reference)


def open_encoder(context: StepContext, keep_float: tuple[str, ...] = ()) -> Encoder:
    """From a step's inputs ``network``, ``onnx`` (its float file) and texts; layers in ``keep_float`` round nothing.

    Raises:
        QuantizationError: the network cannot be traced.
    """
    params, scheme = context.params, scheme_of(context)
    spec, network, _ = load_checkpoint(context.inputs["network"], context.base)
    network = network.eval().requires_grad_(False)
    graph = trace_dynamic(network, spec.example(), spec.max_length, **scheme, keep_float=keep_float)
    examples, source = make_text_examples(context, EVAL_BATCH), context.inputs["onnx"] / "model.onnx"

    def calibration() -> Iterator[Tensor]:
        return (ids for ids, _ in examples.calibration(params["calibration_samples"]))

    files = DynamicFiles(
        source=source,
        smoothed=context.scratch / "smoothed.onnx",
        layers=dynamic_layers(graph),
        calibration=calibration,
        **scheme,
    )
    return Encoder(spec=spec, network=network, graph=graph, files=files, examples=examples)


def open_dynamic_bench(encoder: Encoder, context: StepContext) -> DynamicBench:
    """The encoder on at most ``samples`` validation texts, to try settings on."""

    def labelled() -> Iterator[tuple[Tensor, Tensor]]:
        return encoder.examples.few(context.params["samples"])

    return DynamicBench(
        network=encoder.network,
        files=encoder.files,
        batches=labelled,
        reference=all_logits(encoder.network, labelled),
        trial=context.scratch / "trial.onnx",
        pad_id=encoder.examples.texts.pad_id,
    )


def scheme_of(context: StepContext) -> dict[str, bool]:
    """How the target has weights rounded, as arguments of ``trace_dynamic`` and ``DynamicFiles``."""
    return {key: bool(context.params[key]) for key in ("per_channel", "reduce_range")}


def dynamic_settings(context: StepContext) -> Settings:
    """The recipe's, or those that were found before (``settings.json``)."""
    found: Any = context.params
    if "settings" in context.inputs:
        found = json.loads((context.inputs["settings"] / "settings.json").read_text(encoding="utf-8"))
    kept = tuple(found.get("keep_float", ()))
    return Settings(calibration=None, repair=tuple(found.get("repair", ())), keep_float=kept)


def _without_padding(batch: Tensor, pad_id: int) -> Iterator[Tensor]:
    """Each text [1, L] of a batch [N, L] with its own length."""
    for ids in batch:
        length = int((ids != pad_id).nonzero().max()) + 1
        yield ids[None, : max(length, 2)]
