"""Make the checkpoint that ships with the demo: real photos and hand signs, never a handwritten digit.

    python benchmarks/pretrain_demo.py FOLDER    # with clothing10.tar and signdigits.tar

Trains ``edgetune.demo.network:demo_net`` on the 10 classes of each archive together at 32 px, on one
thread, with edgetune's own loader and trainer, and writes ``weights.safetensors`` and ``PROVENANCE.md``
beside the network. A few minutes.
"""

import argparse
import sys
import tarfile
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import edgetune.demo
from edgetune.data.images import DecodedImages, eval_loader
from edgetune.data.index import DatasetIndex, build_index
from edgetune.data.preprocessing import make_preprocessing
from edgetune.demo.network import demo_net
from edgetune.finetune.evaluation import evaluate
from edgetune.finetune.options import Trained, TrainOptions
from edgetune.finetune.trainer import train
from edgetune.hashing import digest_file
from edgetune.steps.examples import Examples
from edgetune.tasks.image_classification import cross_entropy

ARCHIVES = ("clothing10.tar", "signdigits.tar")
IMAGE_SIZE = 32
BATCH_SIZE = 64
SEED = 0
OUT = Path(edgetune.demo.__file__).parent

PROVENANCE = """\
# Where `weights.safetensors` comes from

The demo fine-tunes this checkpoint on scikit-learn's handwritten digits, which it has never seen.

| | |
|---|---|
| network | `edgetune.demo.network:demo_net(num_classes=20)`, {parameters:,} parameters, float32 |
| made by | `benchmarks/pretrain_demo.py`, with edgetune's own loader and trainer, one CPU thread, seed {seed} |
| trained | {epochs} epochs, batch {batch}, AdamW at {rate}, cosine, label smoothing 0.1, {precision} |
| augmented | random resized crops and mirror images |
| kept | epoch {best}, the best on validation |
| accuracy | validation {val:.1%} of {val_count}, test {test:.1%} of {test_count}; 20 classes, all images at 32x32 |
| libraries | torch {torch} |
| sha256 | `{digest}` |
| licence | Apache-2.0, as edgetune |

Training data, as published in these repositories; val and test (their own, or a seeded 15 % each) were kept apart:

- 10 classes, clothing photos: [clothing-dataset-small](https://github.com/alexeygrigorev/clothing-dataset-small)
  at commit 1196151, CC0-1.0.
- 10 classes, hand signs for the digits 0 to 9 (photos of hands, no handwriting):
  [Sign-Language-Digits-Dataset](https://github.com/ardamavi/Sign-Language-Digits-Dataset) at commit 4b09433,
  Apache-2.0.
  The repository does not say who is in which photo, so one person can be in training and in test.

The same script on the same archives gives another file with about the same accuracy on another processor;
floating-point sums differ.
"""


def merge(folder: Path, archives: list[Path]) -> Path:
    """Unpack the archives' ``NAME/SPLIT/CLASS/`` and lay them out as one dataset of ``SPLIT/NAME-CLASS/``."""
    merged = folder / "merged"
    for archive in archives:
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
        for classes in sorted((folder / archive.stem).glob("*/*")):
            place = merged / classes.parent.name / f"{archive.stem}-{classes.name}"
            place.parent.mkdir(parents=True, exist_ok=True)
            classes.rename(place)
    return merged


def pretrain(index: DatasetIndex, options: TrainOptions, scratch: Path) -> tuple[nn.Module, Trained, dict[str, float]]:
    """The trained network, how training went, and its accuracy by split."""
    images = DecodedImages(index, make_preprocessing(IMAGE_SIZE), cache_mb=256)
    examples = Examples(images=images, batch_size=BATCH_SIZE, augmentation="standard", seed=SEED, workers=0)
    torch.manual_seed(SEED)
    network = demo_net(len(index.labels))

    def loss(model: nn.Module, batch: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(model(batch), labels, 0.1)

    def tick(done: int, total: int, note: str) -> None:
        if done % examples.steps_per_epoch == 0:
            print(
                f"epoch {done // examples.steps_per_epoch} of {total // examples.steps_per_epoch}: {note}", flush=True
            )

    trained = train(network, options, examples, loss, scratch, tick)
    network.to("cpu")
    cpu = torch.device("cpu")
    accuracy = {
        split: evaluate(network, eval_loader(images, split, batch_size=32), cpu)[0] for split in ("val", "test")
    }
    return network, trained, accuracy


def main() -> None:
    """Train, then write the checkpoint and its provenance."""
    parser = argparse.ArgumentParser(description="Make the demo's checkpoint.")
    parser.add_argument("folders", nargs="+", type=Path, help=f"where {' and '.join(ARCHIVES)} lie")
    parser.add_argument("--epochs", type=int, default=24)
    args = parser.parse_args()
    found = [next((folder / name for folder in args.folders if (folder / name).is_file()), None) for name in ARCHIVES]
    archives = [path for path in found if path is not None]
    if len(archives) < len(ARCHIVES):
        sys.exit(f"{' and '.join(ARCHIVES)} must lie in the folders given")
    torch.set_num_threads(1)
    options = TrainOptions(
        strategy="full",
        epochs=args.epochs,
        learning_rate=3e-3,
        weight_decay=0.05,
        warmup_epochs=1.0,
        precision="auto",
        seed=SEED,
    )
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary) / "scratch"
        scratch.mkdir()
        index = build_index(
            merge(Path(temporary), archives), val_fraction=0.15, test_fraction=0.15, on_bad_file="error", seed=SEED
        )
        network, trained, accuracy = pretrain(index, options, scratch)
    path = OUT / "weights.safetensors"
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, path)
    text = PROVENANCE.format(
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        seed=SEED,
        epochs=options.epochs,
        batch=BATCH_SIZE,
        rate=options.learning_rate,
        precision=f"{trained.precision} on {trained.device}",
        best=trained.best_epoch,
        val=accuracy["val"],
        val_count=len(index.split("val")),
        test=accuracy["test"],
        test_count=len(index.split("test")),
        torch=torch.__version__,
        digest=digest_file(path),
    )
    (OUT / "PROVENANCE.md").write_text(text, encoding="utf-8")
    print(f"wrote {path} ({path.stat().st_size} bytes): validation {accuracy['val']:.3f}, test {accuracy['test']:.3f}")


if __name__ == "__main__":
    main()
