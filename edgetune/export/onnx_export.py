"""torch -> ONNX (dynamo exporter), cleaned of what engines do not need and of traces of this machine."""

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from edgetune.errors import ExportError
from edgetune.export.fold_weights import fold_quantized_weights
from edgetune.export.integer_kernels import add_for_hard_sigmoid, average_globally
from edgetune.export.library import read_once
from edgetune.export.operators import TRANSLATIONS
from edgetune.export.opset import lower_opset
from edgetune.user_code import blamed, first_cause, without_fake

MAX_BATCH = 4096
TRIAL_OPSET = 20  # of most targets; all are traced alike


def export_onnx(
    network: nn.Module,
    example: Tensor,
    path: Path,
    *,
    opset: int,
    input_name: str = "image",
    output_name: str = "logits",
    max_length: int | None = None,
) -> None:
    """Write ``network`` as one ONNX file that takes any batch size.

    Weights behind a QuantizeLinear are stored as int8. The opset is the one asked for, also where it is older than
    the exporter's oldest (18). The same network gives the same bytes.

    Args:
        network: a module, or a graph with fake-quantizes; in eval mode.
        example: one input [1, 3, H, W], or [1, L] of a network that reads text.
        max_length: of a text, in tokens; makes the second dimension free.

    Raises:
        ExportError: an operator without a counterpart in ONNX, or a file that ONNX's checker refuses.
    """
    sample = torch.cat([example, example])
    free = _free_batch()
    if max_length is not None:
        free[1] = torch.export.Dim("length", min=2, max=max_length)
    try:
        with _quiet(), read_once():
            program = torch.onnx.export(
                network.eval() if not isinstance(network, torch.fx.GraphModule) else network,
                (sample,),
                dynamo=True,
                opset_version=opset,
                input_names=[input_name],
                output_names=[output_name],
                dynamic_shapes=(free,),
                external_data=False,
                optimize=True,
                verbose=False,
                custom_translation_table=dict(TRANSLATIONS) or None,
            )
        if program is None:
            raise ExportError("torch.onnx gave no model")
        model = program.model_proto
    except ExportError:
        raise
    except Exception as problem:  # the exporter raises many unrelated types
        cause = first_cause(problem)
        first = str(cause).strip().splitlines()[0] if str(cause).strip() else ""
        raise ExportError(
            f"the network cannot be exported to ONNX{blamed(network, cause)}: {type(cause).__name__}: {first}",
            hint=without_fake(cause)
            or "write that place with operators that torch.onnx knows and without control flow on values, or register "
            "a translation of the operator (docs/quantization.md)",
        ) from problem
    fold_quantized_weights(model)
    average_globally(model)
    add_for_hard_sigmoid(model)
    model = lower_opset(model, opset)
    _strip(model)
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as problem:
        raise ExportError(f"the exported file is not valid ONNX: {problem}") from problem
    path.write_bytes(model.SerializeToString(deterministic=True))


def _strip(model: onnx.ModelProto) -> None:
    """Drop shape notes (stale ones break quantizers), documentation, and stack traces with their paths."""
    graph = model.graph
    del graph.value_info[:]
    del graph.metadata_props[:]
    del model.metadata_props[:]
    del model.functions[:]
    graph.doc_string = model.doc_string = ""
    for item in (*graph.node, *graph.input, *graph.output, *graph.initializer):
        item.doc_string = ""
        if item.metadata_props:
            del item.metadata_props[:]


def check_exportable(network: nn.Module, example: Tensor) -> None:
    """Find out whether ``export_onnx`` takes ``network``: seconds now instead of an error after its training.

    What ``torch.export`` traces at once passes. What it does not is exported for real, as networks may go another way
    there, and torch.onnx tries more than one.

    Args:
        example: one input [1, 3, H, W].

    Raises:
        ExportError: as of ``export_onnx``.
    """
    try:
        with _quiet():
            sample = torch.cat([example, example])
            torch.export.export(network.eval(), (sample,), dynamic_shapes=(_free_batch(),), strict=False)
    except Exception:  # noqa: BLE001 - the exporter raises many unrelated types
        with tempfile.TemporaryDirectory() as folder:
            export_onnx(network, example, Path(folder) / "trial.onnx", opset=TRIAL_OPSET)


def _free_batch() -> dict[int, Any]:
    return {0: torch.export.Dim("batch", min=1, max=MAX_BATCH)}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's chatter off the user's terminal."""
    names = ("torch.onnx", "onnxscript", "torch.export", "onnx_ir", "torch.fx.experimental.symbolic_shapes")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
            stack.enter_context(contextlib.redirect_stderr(io.StringIO()))  # whole graphs, when tracing fails
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
