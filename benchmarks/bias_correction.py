"""What bias correction gives back: INT8 with and without it, of the same fine-tuned and pruned networks.

    python benchmarks/bias_correction.py --data clothing10 --store STORE

``STORE`` is the store of a build (``--cache-dir``); its fine-tuned and pruned networks are quantized for x86-cpu twice,
with the same calibration. Judged on the validation split by the fake-quant graph in PyTorch, against the float network:
signal-to-noise ratio of the logits in dB, share of pictures with the same top-1, and accuracy.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from common import save
from torch import Tensor, nn

from edgetune.data.images import DecodedImages, eval_loader
from edgetune.data.index import build_index
from edgetune.data.preprocessing import make_preprocessing
from edgetune.models.checkpoint import load_checkpoint
from edgetune.quantization.quantize import quantize
from edgetune.target import load_target

CALIBRATION_BATCHES = 8
BATCH = 32
REPAIRS: dict[str, tuple[str, ...]] = {"none": (), "bias-correction": ("bias-correction",)}


@torch.no_grad()
def logits(network: nn.Module, batches: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Outputs of all batches [N, classes]."""
    return torch.cat([network(images) for images, _ in batches])


def judge(found: Tensor, reference: Tensor, labels: Tensor) -> dict[str, float]:
    """How far ``found`` logits are from the float network's."""
    noise = (found - reference).square().mean()
    return {
        "sqnr_db": float(10 * torch.log10(reference.square().mean() / noise)),
        "agreement": float((found.argmax(1) == reference.argmax(1)).float().mean()),
        "accuracy": float((found.argmax(1) == labels).float().mean()),
    }


def compare(folder: Path, data: Path) -> dict[str, Any]:
    """Both kinds of INT8 of one network."""
    spec, network, _ = load_checkpoint(folder)
    index = build_index(data, val_fraction=0.15, test_fraction=0.15, on_bad_file="error", seed=0)
    images = DecodedImages(index, make_preprocessing(spec.image_size), cache_mb=1024)
    calibration = []
    for batch, _ in eval_loader(images, "train", batch_size=BATCH, shuffle_seed=0):
        calibration.append(batch)
        if len(calibration) == CALIBRATION_BATCHES:
            break
    validation = list(eval_loader(images, "val", batch_size=BATCH))
    labels, reference = torch.cat([truth for _, truth in validation]), logits(network, validation)
    result: dict[str, Any] = {"float_accuracy": float((reference.argmax(1) == labels).float().mean())}
    scheme = load_target("x86-cpu").scheme
    for name, repair in REPAIRS.items():
        graph = quantize(network, spec.example(), scheme, lambda: calibration, repair=repair)
        result[name] = judge(logits(graph, validation), reference, labels)
    return result


def main() -> None:
    """Compare for every trained network of the store, print and save."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--store", type=Path, required=True)
    args = parser.parse_args()
    rows = {}
    for manifest in sorted((args.store / "objects").glob("*/artifact.json")):
        facts = json.loads(manifest.read_text())
        if facts["name"] in ("finetune", "prune"):
            rows[facts["title"]] = compare(manifest.parent, args.data)
            print(facts["title"], json.dumps(rows[facts["title"]]), flush=True)
    save("bias_correction", {"data": args.data.name, "networks": rows})


if __name__ == "__main__":
    main()
