"""Carve a split from another, by class, the same way every time."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence


def carve(paths: Sequence[str], labels: Sequence[int], fraction: float, seed: int) -> frozenset[str]:
    """The paths that go into a new split: about ``fraction`` of each class, at least one, never all.

    A sample's rank is a hash of its path and the seed, so neither the order of the files on disk nor other
    samples decide. A class of one sample gives none.
    """
    by_class: dict[int, list[str]] = defaultdict(list)
    for path, label in zip(paths, labels, strict=True):
        by_class[label].append(path)
    taken: set[str] = set()
    for members in by_class.values():
        count = min(len(members) - 1, max(1, round(fraction * len(members))))
        taken.update(sorted(members, key=lambda path: _rank(path, seed))[:count])
    return frozenset(taken)


def _rank(path: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{path}".encode()).digest()


def too_small(labels: Iterable[int], names: Sequence[str], needed: int) -> list[str]:
    """Names of the classes with fewer than ``needed`` samples."""
    counts = dict.fromkeys(range(len(names)), 0)
    for label in labels:
        counts[label] += 1
    return [names[label] for label, count in counts.items() if count < needed]
