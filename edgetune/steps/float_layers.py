"""Choose which of the first layers stay in float, by timing the INT8 engine with none, one, two, ... of them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from edgetune_runtime.session import open_session
from torch import Tensor

from edgetune.export.onnx_export import export_onnx
from edgetune.hashing import canonical_json
from edgetune.measure.latency import Call, RawLatency, measure_loads
from edgetune.measure.statistics import speedup_over_loads
from edgetune.models.checkpoint import load_checkpoint
from edgetune.quantization.float_layers import first_layers
from edgetune.quantization.quantize import quantize
from edgetune.quantization.trace import trace
from edgetune.records import QuantizationScheme
from edgetune.steps.context import StepContext

MIN_RUNS, MIN_SECONDS, MAX_SECONDS = 200, 1.0, 20.0


def run(context: StepContext) -> None:
    """Write ``float_layers.json``: the names of those that stay in float, and what each number of them gave."""
    params = context.params
    spec, network, _ = load_checkpoint(context.inputs["network"], context.base)
    scheme = QuantizationScheme(**{**params["scheme"], "operators": tuple(params["scheme"]["operators"])})
    names = first_layers(trace(network, spec.example()))

    def noise() -> list[Tensor]:  # ranges do not matter to the time
        return [torch.randn(2, *spec.example().shape[1:], generator=torch.Generator().manual_seed(context.seed))]

    files = {}
    for count in range(len(names) + 1):
        graph = quantize(network, spec.example(), scheme, noise, keep_float=tuple(names[:count]))
        files[count] = context.scratch / f"{count}.onnx"
        export_onnx(graph, spec.example(), files[count], opset=params["opset"])
        context.tick(count + 1, len(names) + 2, f"{count} layers in float")
    raw = measure_loads(
        {str(count): opener(file, context.session(), spec.example()) for count, file in files.items()},
        min_runs=MIN_RUNS,
        min_seconds=MIN_SECONDS,
        max_seconds=MAX_SECONDS,
        seed=context.seed,
    )
    speedups = {count: _speedup(raw["0"], raw[str(count)]) for count in files if count}
    proven = {count: found["value"] for count, found in speedups.items() if found["ci95"][0] > 1.0}
    best = max(proven, key=lambda count: proven[count]) if proven else 0
    content = {
        "keep_float": names[:best],
        "speedups": [{"layers": names[:count], **found} for count, found in speedups.items()],
    }
    (context.out / "float_layers.json").write_text(canonical_json(content), encoding="utf-8")


def _speedup(baseline: RawLatency, candidate: RawLatency) -> dict[str, Any]:
    found = speedup_over_loads(
        baseline.values,
        candidate.values,
        runs_per_round=baseline.runs_per_round,
        runs_by_load=baseline.runs_by_load,
    )
    return dict(found)


def opener(file: Path, session: dict[str, Any], example: Tensor) -> Callable[[], Any]:
    """Opens an ONNX file for ``measure_loads``, to be run on ``example``."""

    @contextmanager
    def opened() -> Iterator[Call]:
        engine, sample = open_session(file, session), example.numpy()
        name = engine.get_inputs()[0].name
        yield lambda: engine.run(None, {name: sample})

    return opened
