"""Classes with too few samples: to be trained and split at all, to be learned, and to be judged by."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from edgetune.data.index import DatasetIndex
from edgetune.data.scan import first_few
from edgetune.data.wording import counted, told_apart
from edgetune.records import ERROR, INFO, DataFinding
from edgetune.toml import similar

FEW = 20  # training samples of a class: with fewer, accuracy is a guess
FEWEST = 10  # samples of a class to judge it by


def training_samples(index: DatasetIndex) -> Counter[str]:
    """{label: samples to train on, those that were carved from them included}; zeros too."""
    counts = index.counts()
    return Counter({label: sum(counts[split][label] for split in ("train", *index.carved)) for label in index.labels})


def too_small(index: DatasetIndex) -> list[str]:
    """The classes that cannot give a sample to train and to every split that is carved from it."""
    return [label for label, count in training_samples(index).items() if count < 1 + len(index.carved)]


def too_few(index: DatasetIndex) -> Iterator[DataFinding]:
    """Classes of which too few training samples can be used."""
    sizes = training_samples(index)
    if small := too_small(index):
        yield DataFinding(
            id="too-few",
            severity=ERROR,
            count=len(small),
            problem=f"{counted(len(small), 'class', 'classes')} with too few usable training samples",
            examples=tuple(f"{told_apart(label)}: {sizes[label]}" for label in small),
            do=f"every class needs at least {1 + len(index.carved)}"
            + (f", because {' and '.join(index.carved)} must be carved from train" if index.carved else "")
            + (f"; {len(index.skipped)} unusable ones were left out" if index.skipped else "")
            + _why_small(small, sizes)
            + "; `edgetune check --fix FILE.csv` writes a list without them",
        )


def hardly_labels(index: DatasetIndex) -> bool:
    """Whether most labels are too rare to be classes, as those of a wrong column are."""
    return _mostly(too_small(index), index.labels)


def _mostly(small: Sequence[str], labels: Collection[str]) -> bool:
    return len(small) > max(1, len(labels) // 2)


def _why_small(small: Sequence[str], sizes: Counter[str]) -> str:
    """What may be wrong with classes of too few samples: a misspelling, or a column that holds no labels."""
    if _mostly(small, sizes):
        return f"; {len(small)} of {len(sizes)} labels are that rare: are they labels?"
    usual = [label for label, _ in sizes.most_common() if label not in small]
    likely = {label: [other for other in usual if similar(label, other)] for label in small}
    told = [f'"{label}" may be "{others[0]}"' for label, others in likely.items() if others]
    return f"; {first_few(told)}: then merge them" if told else ""


def few(index: DatasetIndex) -> Iterator[DataFinding]:
    """Classes of which little can be learned, or whose recall says little."""
    judged = f"their recall says little: one {index.noun} is 10 points or more"
    learned = f"collect more: what is learned from so few {index.noun}s seldom holds"
    rows = (("train", "training", FEW, learned), ("val", "val", FEWEST, judged), ("test", "test", FEWEST, judged))
    for split, noun, floor, do in rows:
        small = {label: count for label, count in index.counts()[split].items() if count < floor}
        if small:
            yield DataFinding(
                id=f"few-{split}",
                severity=INFO,
                count=len(small),
                problem=f"{counted(len(small), 'class', 'classes')} with fewer than {floor} {noun} {index.noun}s",
                examples=tuple(f"{told_apart(label)}: {count}" for label, count in small.items()),
                do=do,
            )
