"""Carve a split from another, by class, the same way every time."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence


def carve(contents: Sequence[str], labels: Sequence[int], fraction: float, seed: int) -> frozenset[str]:
    """The contents that go into a new split: about ``fraction`` of each class, at least one, never all.

    Samples of the same content (digest) go together, so that no copy of a picture stays behind. The rank of a content
    is a hash of it and the seed: neither names, nor the order of the files on disk, nor other samples decide. A class
    of one content gives none.
    """
    by_class: dict[int, Counter[str]] = defaultdict(Counter)
    for content, label in zip(contents, labels, strict=True):
        by_class[label][content] += 1
    taken: set[str] = set()
    for copies in by_class.values():
        wanted = max(1, round(fraction * copies.total()))
        for content in sorted(copies, key=lambda content: rank(content, seed))[:-1]:
            if wanted <= 0:
                break
            taken.add(content)
            wanted -= copies[content]
    return frozenset(taken)


def rank(content: str, seed: int) -> bytes:
    """Where a content stands in an order that only ``seed`` shuffles."""
    return hashlib.sha256(f"{seed}:{content}".encode()).digest()
