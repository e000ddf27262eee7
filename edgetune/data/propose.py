"""Look at a dataset and propose a recipe for it."""

from collections import Counter
from pathlib import Path

from edgetune.data.check import check_image
from edgetune.data.scan import Listing, scan

SIZES = (32, 64, 96, 128, 160, 192, 224)
SAMPLED = 32  # files looked at for their size
FEW = 20  # training images of a class below which accuracy is a guess

TEMPLATE = """\
# Written by `edgetune init`. Every key is optional but `model.name` and `data.path`.
# {summary}
{notes}
[model]
name = "torchvision/mobilenet_v2"   # or another torchvision classifier, or "package.module:factory"
# weights = "weights.safetensors"   # left out: the library's own pretrained weights

[data]
path = {path}
image_size = {size}                 # pixels; smaller is faster. Images here: {typical}
on_bad_file = "error"               # or "skip": leave unreadable files out and count them

[finetune]
strategy = "full"
epochs = {epochs}
learning_rate = 1e-3

[prune]
ratio = [0.0, 0.15, 0.3]            # shares of channels to try removing

[quantize]
mode = "auto"                       # or "none"

[budget]
max_accuracy_drop = 1.0             # percentage points below the fine-tuned float engine
# max_latency_ms = 10.0
# max_size_mb = 5.0

[bench]
threads = 1

[targets]
names = ["x86-cpu"]                 # `edgetune targets` lists them
"""


def propose_recipe(data: Path, base: Path) -> str:
    """The text of an ``edgetune.toml`` in the folder ``base`` for the dataset ``data``.

    Raises:
        DataError: see ``edgetune.data.scan.scan``.
    """
    listing = scan(data)
    counts = Counter(sample.label for sample in listing.samples if sample.split in ("train", None))
    side = typical_side(listing)
    return TEMPLATE.format(
        summary=_summary(listing),
        notes="".join(f"# Note: {note}\n" for note in _notes(listing, counts)),
        path=_quoted(data.relative_to(base).as_posix() if data.is_relative_to(base) else str(data)),
        size=next((size for size in reversed(SIZES) if size <= side), SIZES[0]),
        typical=f"short side about {side}",
        epochs=8 if sum(counts.values()) < 5000 else 4,
    )


def typical_side(listing: Listing) -> int:
    """The median short side in pixels of a few images spread over the dataset."""
    step = max(1, len(listing.samples) // SAMPLED)
    facts = [check_image(listing.root, sample.path) for sample in listing.samples[::step]]
    sides = sorted(min(item.size) for item in facts if item.problem is None)
    return sides[len(sides) // 2] if sides else SIZES[-1]


def _summary(listing: Listing) -> str:
    splits = Counter(sample.split or "unsplit" for sample in listing.samples)
    parts = ", ".join(f"{count} {name}" for name, count in sorted(splits.items()))
    return f"{len(listing.samples)} images of {len(listing.labels)} classes ({parts})."


def _notes(listing: Listing, counts: Counter[int]) -> list[str]:
    notes = []
    present = {sample.split for sample in listing.samples}
    missing = [name for name in ("val", "test") if name not in present]
    if missing:
        notes.append(f"no {' and no '.join(missing)} split; it will be carved from train, the same way every time.")
    if max(counts.values()) > 3 * min(counts.values()):
        most, least = counts.most_common()[0], counts.most_common()[-1]
        notes.append(
            f"unbalanced: {most[1]} training images of {listing.labels[most[0]]!r}, "
            f"{least[1]} of {listing.labels[least[0]]!r}. Look at macro F1, not at accuracy alone."
        )
    small = [listing.labels[label] for label, count in counts.items() if count < FEW]
    if small:
        notes.append(f"fewer than {FEW} training images of {', '.join(sorted(small)[:5])}.")
    return notes


def _quoted(text: str) -> str:
    """``text`` as a TOML basic string."""
    escaped = "".join(f"\\u{ord(c):04x}" if ord(c) < 32 or c in '"\\\x7f' else c for c in text)
    return f'"{escaped}"'
