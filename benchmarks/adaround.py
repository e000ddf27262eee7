"""What AdaRound gives back: INT8 of the same fine-tuned network with each repair, by how fine the weights' steps are.

    python benchmarks/adaround.py --data signdigits --store STORE

``STORE`` is the store of a build (``--cache-dir``); its fine-tuned network is quantized for x86-cpu, with 8-bit
weights, with 7-bit ones, and with one scale for a whole weight (equalised before, or it does not survive). Judged on
the validation and test splits together, by the fake-quant graph in PyTorch against float; no repair is chosen on them.
"""

import argparse
import itertools
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from bias_correction import judge, logits
from common import save

from edgetune.data.images import DecodedImages, eval_loader
from edgetune.data.index import build_index
from edgetune.data.preprocessing import make_preprocessing
from edgetune.models.checkpoint import load_checkpoint
from edgetune.quantization.quantize import quantize
from edgetune.target import load_target

BATCH, CALIBRATION_BATCHES = 32, 8
REPAIRS: tuple[tuple[str, ...], ...] = ((), ("bias-correction",), ("adaround",), ("adaround", "bias-correction"))
X86 = load_target("x86-cpu").scheme
SCHEMES: dict[str, tuple[Any, tuple[str, ...]]] = {
    "8 bits": (X86, ()),
    "7 bits": (replace(X86, reduce_range=True), ()),
    "one scale a weight": (replace(X86, per_channel=False), ("equalisation",)),
}


def main() -> None:
    """Quantize, judge, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--store", type=Path, required=True)
    args = parser.parse_args()
    manifests = sorted((args.store / "objects").glob("*/artifact.json"))
    folder = next(path.parent for path in manifests if json.loads(path.read_text())["name"] == "finetune")
    spec, network, _ = load_checkpoint(folder)
    assert spec.image_size is not None
    index = build_index(args.data, val_fraction=0.15, test_fraction=0.15, on_bad_file="error", seed=0)
    images = DecodedImages(index, make_preprocessing(spec.image_size), cache_mb=1024)
    shuffled = eval_loader(images, "train", batch_size=BATCH, shuffle_seed=0)
    calibration = [batch for batch, _ in itertools.islice(shuffled, CALIBRATION_BATCHES)]
    held_out = [pair for split in ("val", "test") for pair in eval_loader(images, split, batch_size=BATCH)]
    labels, reference = torch.cat([truth for _, truth in held_out]), logits(network.eval(), held_out)
    rows: dict[str, Any] = {}
    for (name, (scheme, before)), repair in itertools.product(SCHEMES.items(), REPAIRS):
        start = time.process_time()
        graph = quantize(network, spec.example(), scheme, lambda: calibration, repair=(*before, *repair))
        seconds = time.process_time() - start
        row = {**judge(logits(graph, held_out), reference, labels), "processor_seconds": seconds}
        rows.setdefault(name, {})[" and ".join(repair) or "none"] = row
        print(name, repair, json.dumps(row), flush=True)
    accuracy = float((reference.argmax(1) == labels).float().mean())
    content = {"data": args.data.name, "network": spec.name, "image_size": spec.image_size}
    save("adaround", {**content, "samples": len(labels), "float_accuracy": accuracy, "schemes": rows})


if __name__ == "__main__":
    main()
