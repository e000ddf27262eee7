"""The search for wrong labels on few samples: how many right labels it doubts, and what it finds of planted ones.

    python benchmarks/label_errors_few.py --data DIR

DIR holds clothing10, signdigits and mobilenet_v2_imagenet.safetensors, or folders with them. Samples are drawn evenly
from the classes, three times for each number; features are those of the pretrained MobileNetV2 at 96 px, before any
training, and the pixels of scikit-learn's digits. 3 % of the labels are then changed at random. ``odds 10`` is what
was asked for everywhere before; ``as now`` what ``edgetune.data.label_errors`` asks for.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from common import find, save
from edgetune_runtime.preprocessing import Preprocessing
from safetensors.torch import load_file
from sklearn.datasets import load_digits

from edgetune.data.label_errors import ODDS, least_odds, suspects
from edgetune.data.out_of_fold import out_of_fold
from edgetune.data.preprocessing import make_preprocessing

NUMBERS, DRAWS, SHARE, MOST = (60, 120, 240, 500, 1000), 3, 0.03, 110
RULES: dict[str, Callable[[Any, float], float]] = {"odds 10": lambda *_: ODDS, "as now": least_odds}


@torch.inference_mode()
def photos(data: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Features [N, 1280] and labels [N] of the first training pictures of each class."""
    network = torchvision.models.mobilenet_v2()
    network.load_state_dict(load_file(find(data, "mobilenet_v2_imagenet.safetensors")))
    network.classifier = torch.nn.Identity()
    network.eval()
    preprocessing = Preprocessing.from_dict(make_preprocessing(96))
    seen, labels = [], []
    for number, folder in enumerate(sorted((find(data, name) / "train").iterdir())):
        for path in sorted(folder.iterdir())[:MOST]:
            seen.append(network(torch.from_numpy(preprocessing(path))).squeeze(0).numpy())
            labels.append(number)
    return np.stack(seen), np.array(labels)


def judge(features: np.ndarray, truth: np.ndarray, number: int) -> dict[str, Any]:
    """Shares of doubted right labels, and precision and recall on planted ones, for either rule."""
    counts = {rule: np.zeros(4, int) for rule in RULES}  # doubted of right labels, listed, hits, planted
    agreements, classes = [], int(truth.max()) + 1
    for seed in range(DRAWS):
        rng = np.random.default_rng(seed)
        of_class = [rng.permutation(np.flatnonzero(truth == label)) for label in range(classes)]
        drawn = np.concatenate([members[: number // classes] for members in of_class])
        right, seen, names = truth[drawn], features[drawn], [str(i) for i in drawn]
        planted = rng.choice(len(right), max(1, round(SHARE * len(right))), replace=False)
        wrong = right.copy()
        wrong[planted] = (wrong[planted] + rng.integers(1, classes, len(planted))) % classes
        for labels in (right, wrong):
            probabilities = out_of_fold(seen, labels.tolist(), names)
            agreement = float((probabilities.argmax(1) == labels).mean())
            for rule, odds in RULES.items():
                found = {one.sample for one in suspects(probabilities, labels.tolist(), odds(seen, agreement))}
                hits = len(found & set(planted.tolist()))
                counts[rule] += [len(found), 0, 0, 0] if labels is right else [0, len(found), hits, len(planted)]
            if labels is right:
                agreements.append(agreement)
    return {
        "samples": number,
        "agreement": float(np.mean(agreements)),
        **{
            rule: {
                "doubted_of_right_labels": doubted / (DRAWS * number),
                "precision": hits / max(1, listed),
                "recall": hits / planted,
            }
            for rule, (doubted, listed, hits, planted) in ((rule, found.tolist()) for rule, found in counts.items())
        },
    }


def main() -> None:
    """Measure, print, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    args = parser.parse_args()
    digits = load_digits()
    data = {"digits, pixels": (digits.data.astype(np.float32), digits.target.astype(int))}
    data |= {name: photos(args.data, name) for name in ("clothing10", "signdigits")}
    result = {name: [judge(*pair, number) for number in NUMBERS] for name, pair in data.items()}
    for name, rows in result.items():
        for row in rows:
            print(name, row)
    save("label_errors_few", {"share": SHARE, "draws": DRAWS, "data": result})


if __name__ == "__main__":
    main()
