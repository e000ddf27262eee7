"""Samples unlike the rest: missing values written as words, pictures of odd sizes, other colour modes."""

from collections import Counter
from collections.abc import Iterator
from statistics import median

from edgetune.data.index import DatasetIndex, IndexedSample
from edgetune.records import INFO, WARNING, DataFinding

PLACEHOLDERS = frozenset({"na", "n/a", "#n/a", "nan", "null", "none", "nil", "-", "--", "?", ".", "missing", "tbd"})
OF_LABELS = frozenset({"na", "n/a", "#n/a", "nan", "null", "?", "missing"})  # "none" may well be a class
SMALL = 4  # times shorter than the median short side
LONG = 4  # times longer and thinner than the median picture: evaluation sees the square in its middle
GREY = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "F"})
DEEP = frozenset({"I", "I;16", "I;16B", "I;16L", "F"})  # read by their upper 8 of 16 bits; "F" is cut to 0 to 255
BLACK, WHITE = 32, 250  # a picture all below or above has lost what it showed
TELLING = 0.9  # of a class's pictures are grey, and of the others coloured, or the other way round
FEWEST = 10  # pictures of a class that may show this


def missing_values(index: DatasetIndex) -> Iterator[DataFinding]:
    """Texts and labels that stand for nothing, as programs that write tables put them there."""
    texts = [s for s in index.samples if s.text is not None and s.text.strip().lower() in PLACEHOLDERS]
    if texts:
        yield DataFinding(
            id="missing-value",
            severity=WARNING,
            count=len(texts),
            problem=f"{len(texts)} of {len(index.samples)} texts stand for a missing one",
            examples=tuple(f'{sample.path}: "{sample.text}"' for sample in texts),
            do="remove these rows",
        )
    labels = [label for label in index.labels if label.strip().lower() in OF_LABELS]
    if labels:
        numbers = {index.labels.index(label) for label in labels}
        count = sum(sample.label in numbers for sample in index.samples)
        yield DataFinding(
            id="missing-label",
            severity=WARNING,
            count=count,
            problem=f"{count} {index.noun}s have a label that stands for a missing one",
            examples=tuple(labels),
            do="label or remove them, unless it is a class",
        )


def odd_sizes(index: DatasetIndex) -> Iterator[DataFinding]:
    """Pictures far smaller, or far longer and thinner, than the others."""
    pictures = [sample for sample in index.samples if min(sample.size) > 0]
    if not pictures:
        return
    usual, shape = median(min(s.size) for s in pictures), median(_elongation(s) for s in pictures)
    odd = [s for s in pictures if min(s.size) * SMALL < usual or _elongation(s) > LONG * shape]
    if odd:
        yield DataFinding(
            id="odd-size",
            severity=WARNING,
            count=len(odd),
            problem=f"{len(odd)} of {len(pictures)} pictures are over {SMALL} times smaller, or longer and thinner, "
            f"than most (the median short side has {usual:g} pixels)",
            examples=tuple(f"{sample.path} has {sample.size[0]} x {sample.size[1]} pixels" for sample in odd),
            do="look at them: icons and strips are often there by mistake, and of strips only the middle is seen",
        )


def _elongation(sample: IndexedSample) -> float:
    return max(sample.size) / min(sample.size)


def colour_modes(index: DatasetIndex) -> Iterator[DataFinding]:
    """Pictures of more than 8 bits that are lost in 8, and grey ones among coloured ones."""
    pictures = [sample for sample in index.samples if sample.mode]
    deep = [s for s in pictures if s.mode in DEEP and s.look and (max(s.look) < BLACK or min(s.look) > WHITE)]
    if deep:
        yield DataFinding(
            id="deep-colour",
            severity=WARNING,
            count=len(deep),
            problem=f"{len(deep)} of {len(pictures)} pictures of more than 8 bits are almost black or white once they "
            "are read in 8",
            examples=tuple(f"{sample.path} ({sample.mode})" for sample in deep),
            do="convert them to 8 bits, scaled to what they hold (cameras of 10 or 12 bits fill only a part of 16)",
        )
    grey = [sample for sample in pictures if sample.mode in GREY]
    if not 0 < len(grey) < len(pictures):
        return
    if telling := _classes_told_by_colour(index, pictures):
        yield DataFinding(
            id="colour-tells",
            severity=WARNING,
            count=len(telling),
            problem="grey or coloured files tell classes by themselves, which a network will learn",
            examples=tuple(telling),
            do="have both kinds in every class, or convert all of them to grey",
        )
        return
    modes = ", ".join(f"{mode} {count}" for mode, count in Counter(s.mode for s in pictures).most_common())
    yield DataFinding(
        id="colour-mode",
        severity=INFO,
        count=len(grey),
        problem=f"{len(grey)} of {len(pictures)} pictures are grey files among coloured ones ({modes})",
        examples=tuple(f"{sample.path} ({sample.mode})" for sample in grey),
        do="nothing, if the device will see both",
    )


def _classes_told_by_colour(index: DatasetIndex, pictures: list[IndexedSample]) -> list[str]:
    """Classes that are grey where the others are coloured, or coloured where they are grey."""
    all_of, grey_of = Counter(s.label for s in pictures), Counter(s.label for s in pictures if s.mode in GREY)
    told = []
    for label, count in sorted(all_of.items()):
        rest = len(pictures) - count
        if min(count, rest) < FEWEST:
            continue
        own, others = grey_of[label] / count, (grey_of.total() - grey_of[label]) / rest
        if min(own, 1 - others) >= TELLING:
            told.append(f"{index.labels[label]}: {own:.0%} grey, the others {others:.0%}")
        elif min(1 - own, others) >= TELLING:
            told.append(f"{index.labels[label]}: {1 - own:.0%} coloured, the others {1 - others:.0%}")
    return told
