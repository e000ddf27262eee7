"""K folds of training and validation data: for small data, where one split says little."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

from edgetune.data.index import DatasetIndex, IndexedSample
from edgetune.data.scan import first_few
from edgetune.data.splits import carve, rank
from edgetune.data.wording import told_apart
from edgetune.errors import DataError
from edgetune.records import ERROR, DataFinding

FEWEST = 3  # with two folds a small class may leave nothing to choose the epoch by


def assign_folds(contents: Sequence[str], labels: Sequence[int], count: int, seed: int) -> tuple[int, ...]:
    """The fold of each sample, from 0 to ``count`` - 1.

    Samples of the same content (digest) share a fold. Every class is spread as evenly as its copies allow: the contents
    with most copies go first, each to the fold that has fewest samples of the class, then fewest at all. Neither names
    nor the order of the files decide. A content under several labels counts for the first of them.
    """
    copies = Counter(contents)
    of_class: dict[int, list[str]] = defaultdict(list)
    for content, label in _first_labels(contents, labels).items():
        of_class[label].append(content)
    fold: dict[str, int] = {}
    total = [0] * count
    for label in sorted(of_class):
        ours = [0] * count
        for content in sorted(of_class[label], key=lambda content: (-copies[content], rank(content, seed))):
            chosen = min(range(count), key=lambda number: (ours[number], total[number]))
            fold[content] = chosen
            ours[chosen] += copies[content]
            total[chosen] += copies[content]
    return tuple(fold[content] for content in contents)


def folds_of(index: DatasetIndex, count: int, seed: int) -> tuple[int | None, ...]:
    """The fold of each sample of ``index`` in train and val; None for those of test.

    Raises:
        DataError: a class with fewer different samples than folds.
    """
    for finding in too_few_for_folds(index, count):
        raise DataError(f"{finding.problem} of {first_few(finding.examples)}", hint=finding.do)
    pool = _pool(index)
    folds = iter(assign_folds([sample.sha256 for sample in pool], [sample.label for sample in pool], count, seed))
    return tuple(None if sample.split == "test" else next(folds) for sample in index.samples)


def too_few_for_folds(index: DatasetIndex, count: int) -> list[DataFinding]:
    """What stops a build that is to be judged in ``count`` folds: classes with fewer different samples."""
    pool = _pool(index)
    different = Counter(_first_labels([s.sha256 for s in pool], [s.label for s in pool]).values())
    small = [
        (told_apart(name), different[label]) for label, name in enumerate(index.labels) if different[label] < count
    ]
    if not small:
        return []
    least = min(number for _, number in small)
    return [
        DataFinding(
            id="few-for-folds",
            severity=ERROR,
            count=len(small),
            problem=f"{count} folds need {count} different {index.noun}s of every class in train and val; too few",
            examples=tuple(f"{name} ({number})" for name, number in small),
            do=f"set `[data] folds = {least if least >= FEWEST else 0}`, or add {index.noun}s of these classes",
        )
    ]


def _pool(index: DatasetIndex) -> list[IndexedSample]:
    return [sample for sample in index.samples if sample.split != "test"]


def fold_index(
    index: DatasetIndex, folds: Sequence[int | None], number: int, *, val_fraction: float, seed: int
) -> tuple[DatasetIndex, list[int]]:
    """The dataset of one fold, and the positions of its samples in ``index``.

    Fold ``number`` is its test split. A validation split, which chooses the epoch, is carved from the others, so that
    what judges the network had no part in making it. The test split of ``index`` is left out.
    """
    kept = [position for position, fold in enumerate(folds) if fold is not None]
    rest = [index.samples[position] for position in kept if folds[position] != number]
    chosen = carve([sample.sha256 for sample in rest], [sample.label for sample in rest], val_fraction, seed)

    def split(position: int) -> str:
        if folds[position] == number:
            return "test"
        return "val" if index.samples[position].sha256 in chosen else "train"

    samples = tuple(replace(index.samples[position], split=split(position)) for position in kept)
    return replace(index, samples=samples, skipped=(), carved=("test", "val")), kept


def _first_labels(contents: Sequence[str], labels: Sequence[int]) -> dict[str, int]:
    """The lowest label that each content has."""
    found: dict[str, int] = {}
    for content, label in zip(contents, labels, strict=True):
        found[content] = min(label, found.get(content, label))
    return found
