"""Pair the samples of two test sets by what is in them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """Positions int64 [n] in a and in b of the samples they share, and how many others there are.

    ``relabelled`` samples are in both with different labels, so that no answer could be right in both; they are no
    pairs. Each sample is counted once: n + relabelled + only_a is all of a, and so for b.
    """

    a: NDArray[np.int64]
    b: NDArray[np.int64]
    relabelled: int
    only_a: int
    only_b: int


def match(
    ids_a: Sequence[str], labels_a: Sequence[Hashable], ids_b: Sequence[str], labels_b: Sequence[Hashable]
) -> Matched:
    """Pairs of equal content and equal label, in the order of a; of copies, the first with the first."""
    waiting: defaultdict[tuple[str, Hashable], list[int]] = defaultdict(list)
    for position in reversed(range(len(ids_b))):
        waiting[ids_b[position], labels_b[position]].append(position)
    first, second, alone = [], [], []
    for position, key in enumerate(zip(ids_a, labels_a, strict=True)):
        if waiting[key]:
            first.append(position)
            second.append(waiting[key].pop())
        else:
            alone.append(position)
    others: defaultdict[str, int] = defaultdict(int)
    for (content, _), positions in waiting.items():
        others[content] += len(positions)
    relabelled = 0
    for position in alone:
        if others[ids_a[position]]:
            others[ids_a[position]] -= 1
            relabelled += 1
    return Matched(
        a=np.asarray(first, dtype=np.int64),
        b=np.asarray(second, dtype=np.int64),
        relabelled=relabelled,
        only_a=len(alone) - relabelled,
        only_b=sum(others.values()),
    )
