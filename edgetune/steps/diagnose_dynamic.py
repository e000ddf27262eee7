"""Where an encoder loses its accuracy to dynamic 8 bits, why, and what helps: trials are files in ONNX Runtime."""

from edgetune.quantization.causes import dynamic_causes
from edgetune.steps.context import StepContext
from edgetune.steps.diagnose import write_diagnosis
from edgetune.steps.dynamic_bench import dynamic_settings, open_dynamic_bench, open_encoder


def run(context: StepContext) -> None:
    """Write ``diagnosis.json``: the float network, every quantized operator, and the trials."""
    settings = dynamic_settings(context)
    encoder = open_encoder(context, settings.keep_float)
    bench = open_dynamic_bench(encoder, context)
    found = dynamic_causes(encoder.graph, (ids for ids, _ in bench.batches()))
    write_diagnosis(bench, encoder.graph, settings, lambda node, noise: found.get(node, []), context)
