"""What SmoothQuant does to dynamic INT8 of an encoder: with and without it, by scheme of the weights.

    python benchmarks/smoothquant.py --texts rt_polarity --store STORE

``STORE`` is the store of a build (``--cache-dir``) of ``--texts`` (train.csv, val.csv, test.csv); its first exported
float network is quantized dynamically, with one scale a weight or one a channel, in 8 or 7 bits. Judged in ONNX
Runtime on the first validation texts, one at a time as the device has them, against the float file: signal-to-noise
ratio of the logits in dB, share of texts with the same top-1, and accuracy.
"""

import argparse
import itertools
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from common import save
from edgetune_runtime.session import open_session
from numpy.typing import NDArray

from edgetune.data.tokens import TokenizedTexts, eval_batches, load_tokens
from edgetune.quantization.dynamic import quantize_weights
from edgetune.quantization.smooth import smooth_activations
from edgetune.steps.dataset import read_index

CALIBRATION_BATCHES, BATCH = 8, 32


def steps(store: Path) -> dict[str, Path]:
    """{step: the folder of its first artifact}."""
    found: dict[str, Path] = {}
    for manifest in sorted((store / "objects").glob("*/artifact.json")):
        found.setdefault(json.loads(manifest.read_text())["name"], manifest.parent)
    return found


def logits(path: Path, texts: TokenizedTexts, numbers: list[int]) -> NDArray[np.float32]:
    """Outputs [N, classes], one text at a time."""
    session = open_session(path, {}, 1)
    return np.concatenate([session.run(None, {"input_ids": texts.batch([n])[0].numpy()})[0] for n in numbers])


def main() -> None:
    """Quantize with and without, judge, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=500)
    args = parser.parse_args()
    made = steps(args.store)
    source = made["export"] / "model.onnx"
    pad = json.loads((made["tokenize"] / "preprocessing.json").read_text())["pad_id"]
    texts = load_tokens(made["tokenize"] / "tokens.npz", read_index(made["check_data"], args.texts), pad)
    numbers = [int(n) for n in texts.numbers("val")[: args.samples]]
    labels = np.asarray([int(texts.batch([n])[1][0]) for n in numbers])
    reference = logits(source, texts, numbers)
    rows: dict[str, Any] = {"float_accuracy": float((reference.argmax(1) == labels).mean())}
    with tempfile.TemporaryDirectory() as folder:
        smooth, small = Path(folder) / "smooth.onnx", Path(folder) / "int8.onnx"
        batches = eval_batches(texts, "train", batch_size=BATCH, shuffle_seed=0)
        smooth_activations(source, smooth, (ids for ids, _ in itertools.islice(batches, CALIBRATION_BATCHES)))
        for per_channel, seven_bits, smoothed in itertools.product((True, False), (False, True), (False, True)):
            quantize_weights(smooth if smoothed else source, small, per_channel=per_channel, reduce_range=seven_bits)
            found = logits(small, texts, numbers)
            name = f"{'per channel' if per_channel else 'per tensor'}, {7 if seven_bits else 8} bits"
            rows[name + (", smoothed" if smoothed else "")] = {
                "sqnr_db": float(10 * np.log10(np.square(reference).mean() / np.square(found - reference).mean())),
                "agreement": float((found.argmax(1) == reference.argmax(1)).mean()),
                "accuracy": float((found.argmax(1) == labels).mean()),
            }
            print(name, smoothed, json.dumps(rows[name + (", smoothed" if smoothed else "")]), flush=True)
    save("smoothquant", {"data": args.texts.name, "samples": len(numbers), "rows": rows})


if __name__ == "__main__":
    main()
