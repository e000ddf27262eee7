"""Look at a dataset and propose a recipe for it."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

from edgetune.data.check import ImageFacts, check_images
from edgetune.data.few_samples import FEW
from edgetune.data.scan import Listing, scan
from edgetune.records import DataSpec

Noted = Callable[[str], object]
SIZES = (32, 64, 96, 128, 160, 192, 224)
SAMPLED = 32  # files looked at for their size

TEMPLATE = """\
# Written by `edgetune init`. Every key is optional but `model.name` and `data.path`.
# {summary}
{notes}
[model]
name = "torchvision/mobilenet_v2"   # or another torchvision classifier, "timm/NAME", or "package.module:factory"
# weights = "weights.safetensors"   # left out: the library's own pretrained weights

[data]
path = {path}
image_size = {size:<22} # pixels; smaller is faster. Images here: {typical}
on_bad_file = "error"               # or "skip": leave unreadable files out and count them
cache_mb = 2048                     # memory for decoded images; what does not fit is decoded each time

[finetune]
strategy = {strategy:<24} # {learns}
epochs = {epochs:<26} # passes over the training images
batch_size = 32                     # images in one step
learning_rate = 1e-3                # its peak; it warms up, then falls along a cosine
augmentation = "standard"           # crops and mirror images; "light": no mirror images (digits, text); "none"

[prune]
target_speedup = [1.25, 1.5]        # until the layers, timed on this machine, are that much faster; strongest first
# ratio = [0.15, 0.3]               # shares of channels, for targets whose layers cannot be timed here (jetson)
recovery_epochs = 4                 # training after pruning, guided by the unpruned network

[quantize]
mode = "auto"                       # INT8, repaired until it keeps the budget; or "ptq": as calibrated; "none"
calibration_samples = 256           # training images that set its ranges

[budget]
max_accuracy_drop = 1.0             # percentage points below the fine-tuned float engine
# max_latency_ms = 10.0             # median of one image, on the target
# max_size_mb = 5.0                 # of the engine
# confidence = 0.95                 # with which a larger drop must be ruled out
# max_hours = 8.0                   # of work, after which no other engine is begun

[bench]
threads = 1                         # that the engine may use

[targets]
names = ["x86-cpu"]                 # `edgetune targets` lists them

[bundle]
input = "float32-nchw"              # or "uint8-nhwc": the engine takes raw pixels and normalises them itself

[tune]
trials = 30                         # of `edgetune tune`, which searches values for [finetune]

[search]
trials = 20                         # of `edgetune search`, which searches accuracy against latency

[cost]
# per_hour = 0.5                    # what an hour of this machine costs: reports and `plan` then tell the money
"""


def propose_recipe(data: Path, base: Path, noted: Noted = lambda note: None) -> str:
    """The text of an ``edgetune.toml`` in the folder ``base`` for the dataset ``data``.

    Args:
        noted: told what a user should know of the data, a sentence or two each; the recipe holds it as comments.

    Raises:
        DataError: see ``edgetune.data.scan.scan``.
    """
    listing = scan(data)
    counts = Counter(sample.label for sample in listing.samples if sample.split in ("train", None))
    looked_at = _look_at_some(listing)
    side = typical_side(looked_at)
    strategy, learns = strategy_for(counts.values(), {sample.split for sample in listing.samples}, "images")
    return TEMPLATE.format(
        summary=summary(listing.kind, "images", listing.labels, [sample.split for sample in listing.samples]),
        notes=as_comments(_notes(listing, counts, looked_at), noted),
        path=quoted(data.relative_to(base).as_posix() if data.is_relative_to(base) else str(data)),
        size=next((size for size in reversed(SIZES) if size <= side), SIZES[0]),
        typical=f"short side about {side}",
        strategy=strategy,
        learns=learns,
        epochs=8 if sum(counts.values()) < 5000 else 4,
    )


def as_comments(notes: Iterable[str], noted: Noted) -> str:
    """Lines for the head of a recipe; ``noted`` is told each note."""
    lines = []
    for note in notes:
        noted(note)
        lines.append(f"# Note: {note}\n")
    return "".join(lines)


def strategy_for(counts: Collection[int], splits: Collection[str | None], noun: str) -> tuple[str, str]:
    """The strategy in quotes, and what it does; ``counts`` are those of each class before splits are carved."""
    left = sorted(counts)[len(counts) // 2]  # the median class, as the strategy "auto" counts it
    left = _carved(left, [name for name in ("test", "val") if name not in splits])
    if left < FEW:
        return '"auto"', f"few {noun} a class: a part of the layers learns, or the head alone, as validation says"
    return '"full"', "every layer learns"


def _carved(left: int, missing: Collection[str]) -> int:
    """About how many of ``left`` samples of a class are learnt from; ``edgetune.data.index`` takes the others."""
    usual = DataSpec(path="")
    fractions = {"val": usual.val_fraction, "test": usual.test_fraction}
    for name in missing:
        if left > 1:
            left -= max(1, round(fractions[name] * left))
    return left


def typical_side(images: Sequence[ImageFacts]) -> int:
    """The median short side in pixels of the usable ones."""
    sides = sorted(min(item.size) for item in images if item.problem is None)
    return sides[len(sides) // 2] if sides else SIZES[-1]


def _look_at_some(listing: Listing) -> list[ImageFacts]:
    """A few images spread over the dataset."""
    step = max(1, len(listing.samples) // SAMPLED)
    return check_images(listing.root, [sample.path for sample in listing.samples[::step]])


def summary(kind: str, noun: str, labels: Sequence[str], splits: Iterable[str | None]) -> str:
    """CSV: 300 texts of 3 classes (200 train, 100 test)."""
    counts = Counter(split or "unsplit" for split in splits)
    parts = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    return f"{kind}: {counts.total()} {noun} of {len(labels)} classes ({parts})."


def notes_on_labels(counts: Mapping[str, int], splits: Collection[str | None], noun: str) -> list[str]:
    """What a user should know of the training samples of each class and the missing splits, one line each."""
    notes = []
    if missing := [name for name in ("val", "test") if name not in splits]:
        notes.append(f"no {' and no '.join(missing)} split; it will be carved from train, the same way every time.")
    most, least = max(counts, key=lambda k: counts[k]), min(counts, key=lambda k: counts[k])
    if counts[most] > 3 * counts[least]:
        notes.append(
            f"unbalanced: {counts[most]} training {noun} of {most!r}, {counts[least]} of {least!r}. "
            "Look at macro F1, not at accuracy alone."
        )
    if small := sorted(repr(label) for label, count in counts.items() if count < FEW):
        more = f" and {len(small) - 5} more classes" if len(small) > 5 else ""
        notes.append(f"fewer than {FEW} training {noun} of {', '.join(small[:5])}{more}: accuracy will be a guess.")
    return notes


def _notes(listing: Listing, counts: Counter[int], looked_at: Sequence[ImageFacts]) -> list[str]:
    notes = []
    if bad := [item for item in looked_at if item.problem is not None]:
        notes.append(
            f"{len(bad)} of {len(looked_at)} files looked at cannot be used, such as {bad[0].path!r}, which "
            f"{bad[0].problem}. `edgetune check` lists them all."
        )
    named = {listing.labels[label]: count for label, count in counts.items()}
    notes += notes_on_labels(named, {sample.split for sample in listing.samples}, "images")
    # One line each, whatever a decoder says.
    return ["".join(letter if letter.isprintable() else "?" for letter in note) for note in notes]


def quoted(text: str) -> str:
    """``text`` as a TOML basic string."""
    escaped = "".join(f"\\u{ord(c):04x}" if ord(c) < 32 or c in '"\\\x7f' else c for c in text)
    return f'"{escaped}"'
