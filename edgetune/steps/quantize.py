"""Checkpoint -> calibrated fake-quant graph -> INT8 ONNX in Q/DQ form, checked against the graph."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice

from torch import Tensor, fx, nn

from edgetune.errors import ExportError
from edgetune.export.divergence import first_divergence
from edgetune.export.onnx_export import export_onnx
from edgetune.export.parity import check_quantized_parity, parity_problem
from edgetune.hashing import canonical_json
from edgetune.models.checkpoint import NetworkSpec, load_checkpoint
from edgetune.quantization.quantize import Samples, quantize
from edgetune.quantization.sensitivity import layer_name
from edgetune.quantization.trials import Settings
from edgetune.records import QuantizationScheme
from edgetune.steps.context import StepContext
from edgetune.steps.examples import make_image_examples
from edgetune.steps.layer_notes import Few, note_layers

PARITY_BATCHES = 32  # of validation, at most


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrated:
    """A fake-quant ``graph`` with the float ``network`` it was made from and the ``samples`` it was calibrated on.

    ``held_out`` gives the validation split, ``few`` labelled samples from all over it.
    """

    spec: NetworkSpec
    network: nn.Module
    graph: fx.GraphModule
    samples: Samples
    held_out: Samples
    few: Few


def run(context: StepContext) -> None:
    """Write ``model.onnx`` and, as a note, how close ONNX Runtime's outputs are to torch's."""
    made = calibrated(context)
    export_checked(made.graph, made, context)


def calibrated(context: StepContext) -> Calibrated:
    """The step's network, calibrated and repaired as its parameters say; a note tells on how many samples."""
    params = context.params
    spec, network, _ = load_checkpoint(context.inputs["network"], context.base)
    scheme = QuantizationScheme(**{**params["scheme"], "operators": tuple(params["scheme"]["operators"])})
    assert spec.image_size is not None  # texts are quantized as they run
    examples = make_image_examples(context, spec.image_size, batch_size=32, augmentation="none")

    asked, classes = params["calibration_samples"], set[int]()

    def samples() -> Iterator[Tensor]:
        for images, labels in examples.calibration(asked):
            classes.update(labels.tolist())
            yield images

    def held_out() -> Iterator[Tensor]:
        return (images for images, _ in examples.validation())

    graph = quantize(
        network,
        spec.example(),
        scheme,
        samples,
        **asdict(settings_of(context)),
        progress=context.tick,
    )
    told = {"samples": min(asked, examples.samples), "asked": asked, "classes": len(classes)}
    context.note("calibration.json").write_text(canonical_json(told), encoding="utf-8")
    return Calibrated(spec=spec, network=network, graph=graph, samples=samples, held_out=held_out, few=examples.few)


def export_checked(graph: fx.GraphModule, made: Calibrated, context: StepContext) -> None:
    """Write ``graph`` as ``model.onnx`` and, as a note, its parity in ONNX Runtime on validation.

    Raises:
        ExportError: the file says something else than the graph; the first layer that does is named.
    """
    path = context.out / "model.onnx"
    export_onnx(graph, made.spec.example(), path, opset=context.params["opset"])
    parity = check_quantized_parity(made.network.cpu().eval(), graph, path, islice(made.held_out(), PARITY_BATCHES))
    context.note("parity.json").write_text(canonical_json(parity), encoding="utf-8")
    if (problem := parity_problem(parity)) is not None:
        where = first_divergence(graph, path, next(iter(made.held_out())), layer_name)
        raise ExportError(
            f"the exported file is not the quantized network: {problem}; {where or 'no single layer is far off'}",
            hint="leave that layer in float by `[quantize] keep_float`, and report this network",
        )
    note_layers(graph, made.spec.example(), made.held_out(), made.few, context)


def settings_of(context: StepContext) -> Settings:
    """The recipe's, with the layers in float that timing chose, or those that were found before (``settings.json``)."""
    if "settings" in context.inputs:
        found = json.loads((context.inputs["settings"] / "settings.json").read_text(encoding="utf-8"))
        return Settings(
            calibration=found["calibration"], repair=tuple(found["repair"]), keep_float=tuple(found["keep_float"])
        )
    params, kept = context.params, context.params.get("keep_float", ())
    if "float_layers" in context.inputs:
        chosen = json.loads((context.inputs["float_layers"] / "float_layers.json").read_text(encoding="utf-8"))
        kept = chosen["keep_float"]
    return Settings(
        calibration=params.get("calibration", "mse"), repair=tuple(params["repair"]), keep_float=tuple(kept)
    )
