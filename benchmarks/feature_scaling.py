"""How features are scaled before a head is fitted to them: all by one number, or each by its own deviation.

    python benchmarks/feature_scaling.py --data DIR

DIR holds signdigits, clothing10 and mobilenet_v2_imagenet.safetensors. MobileNetV2's features are computed once for
each size; heads are fitted by edgetune's own function to all training pictures and to random draws of a few of each
class. "each" hands it features that were divided by their own deviations on the training pictures. Kept is accuracy
on the test split, the strength of the penalty chosen on validation.
"""

import argparse
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from common import find, save, use_device

SETS = (("signdigits", 48), ("signdigits", 64), ("signdigits", 96), ("clothing10", 160))  # pixels
COUNTS = (5, 10, 20, None)  # training pictures of each class; None: all
DRAWS = 4


def features(data: Path, name: str, size: int) -> dict[str, tuple[Any, Any]]:
    """{split: (float32 [N, 1280], int64 [N])}."""
    import torch
    import torchvision
    from safetensors.torch import load_file
    from throughput import checked

    from edgetune.data.images import DecodedImages, eval_loader
    from edgetune.data.index import DatasetIndex
    from edgetune.data.preprocessing import make_preprocessing

    network = torchvision.models.mobilenet_v2()
    network.load_state_dict(load_file(find(data, "mobilenet_v2_imagenet.safetensors")))
    network.classifier = torch.nn.Identity()
    network.eval().to(memory_format=torch.channels_last)
    folder = find(data, name)
    index = replace(DatasetIndex.from_json(checked(folder)), root=folder)
    images = DecodedImages(index, make_preprocessing(size), cache_mb=0)
    found = {}
    with torch.no_grad():
        for split in ("train", "val", "test"):
            batches = [
                (network(x.to(memory_format=torch.channels_last)), y)
                for x, y in eval_loader(images, split, batch_size=32)
            ]
            found[split] = (torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches]))
    return found


def test_accuracy(found: dict[str, tuple[Any, Any]], chosen: Any, each: bool) -> float:
    """Of a head fitted to the ``chosen`` training samples."""
    import torch
    from torch import nn

    from edgetune.finetune.strategies.feature_extraction import Features, fit

    own = found["train"][0][chosen].std(0)
    scale = torch.where(own > 1e-6, own, 1.0) if each else torch.ones_like(own)
    splits = {split: Features(inputs=inputs / scale, labels=labels) for split, (inputs, labels) in found.items()}
    training = Features(inputs=splits["train"].inputs[chosen], labels=splits["train"].labels[chosen])
    layer = nn.Linear(len(own), int(training.labels.max()) + 1)
    loss = nn.CrossEntropyLoss(label_smoothing=0.1)
    fit(layer, training, splits["val"], lambda head, x, y: loss(head(x), y), time.perf_counter())
    with torch.no_grad():
        right = layer(splits["test"].inputs).argmax(1) == splits["test"].labels
    return float(right.float().mean())


def drawn(labels: Any, count: int | None, seed: int) -> Any:
    """Indices of ``count`` samples of each class."""
    if count is None:
        return np.arange(len(labels))
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.permutation(np.flatnonzero(labels == c))[:count] for c in range(labels.max() + 1)])


def main() -> None:
    """All sizes and counts; print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    args = parser.parse_args()
    use_device("cpu")
    rows = []
    for name, size in SETS:
        found = features(args.data, name, size)
        for count in COUNTS:
            draws = [drawn(found["train"][1].numpy(), count, seed) for seed in range(DRAWS if count else 1)]
            row: dict[str, Any] = {"dataset": name, "pixels": size, "per_class": count}
            for way in ("one", "each"):
                row[way] = [test_accuracy(found, chosen, way == "each") for chosen in draws]
            rows.append(row)
            print(name, size, count, *(f"{way} {statistics.mean(row[way]):.1%}" for way in ("one", "each")), flush=True)
    save("feature_scaling", {"rows": rows})


if __name__ == "__main__":
    main()
