"""A spot of one colour that decides the class, as poisoned data has them (BadNets, Gu et al. 2017).

Each picture is kept as the means of 24 x 24 cells and the 6 x 6 pixels of each corner, so that a sticker of a
twelfth of the side, or of a few pixels in a corner, fills a place. A spot is suspicious if, at one place,

- pictures that have its colour there are of one class, far beyond chance (binomial test with Bonferroni's correction),
- the colour is the same to within 3 of 255, as pasted pixels are and lit surfaces are not,
- other classes do not have the colour there or nearby: the hole in a written zero is paper, and paper is everywhere.

A trigger that is blended over whole pictures, or moves about in them, is not found.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from edgetune.data.perceptual import CELLS, CORNER, GRID, PLACES

STEP = 16  # of 255: colours are sorted into steps, once more shifted by half a step
FEWEST = 12  # pictures with the spot
PURITY = 0.95  # of them in one class
PURE_P = 1e-3  # that a spot is so pure by chance, of all places and colours
SAME = 3  # of 255 from the median in each channel: a pasted colour
MOST_SAME = 0.85  # of the pictures with the spot
ALIKE = 8  # of 255 in each channel: what counts as the colour in other classes
NEARBY = 2  # cells around a place
ELSEWHERE = 0.004  # of the cells nearby in other classes may have the colour
CORNERS = ("top left", "top right", "bottom left", "bottom right")


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """A spot: where it is in words, its colour (RGB), its class and the pictures that have it there."""

    where: str
    colour: tuple[int, int, int]
    label: int
    samples: tuple[int, ...]


def trigger_patches(looks: Sequence[bytes], labels: Sequence[int], classes: int) -> list[Patch]:
    """The suspicious spots, one for each group of pictures that share them."""
    colours = np.frombuffer(b"".join(looks), np.uint8).reshape(len(looks), PLACES, 3)
    truth = np.asarray(labels, np.int64)
    spots = [spot for place in range(PLACES) for spot in _spots(colours, place, truth, classes)]
    found: list[Patch] = []
    for place, label, holders in sorted(spots, key=lambda spot: -len(spot[2])):
        members = set(holders.tolist())
        if any(p.label == label and len(members & set(p.samples)) > len(members) / 2 for p in found):
            continue
        red, green, blue = (int(value) for value in np.median(colours[holders, place], 0))
        found.append(Patch(where=_where(place), colour=(red, green, blue), label=label, samples=tuple(sorted(members))))
    return found


Spot = tuple[int, int, NDArray[np.int64]]
"""(place, class, pictures of the class that have the colour there)"""


def _spots(colours: NDArray[np.uint8], place: int, truth: NDArray[np.int64], classes: int) -> Iterator[Spot]:
    shares = np.bincount(truth, minlength=classes) / len(truth)
    for shift in (0, STEP // 2):
        steps = (colours[:, place].astype(np.int64) + shift) // STEP
        code = steps @ np.array([1024, 32, 1])
        values, member = np.unique(code, return_inverse=True)
        table = np.bincount(member * classes + truth, minlength=len(values) * classes).reshape(-1, classes)
        totals, most, label = table.sum(1), table.max(1), table.argmax(1)
        for row in np.flatnonzero((totals >= FEWEST) & (most >= PURITY * totals)):
            chance = binom.sf(most[row] - 1, totals[row], shares[label[row]])
            if chance * PLACES * len(values) > PURE_P:
                continue
            holders = np.flatnonzero((member == row) & (truth == label[row]))
            off = np.abs(colours[holders, place] - np.median(colours[holders, place], 0)).max(1)
            if (off <= SAME).mean() >= MOST_SAME and _rare(colours, place, holders, truth != label[row]):
                yield place, int(label[row]), holders[off <= ALIKE]


def _rare(colours: NDArray[np.uint8], place: int, holders: NDArray[np.int64], others: NDArray[np.bool_]) -> bool:
    """Whether the colour is not to be met near the place in other classes."""
    colour = np.median(colours[holders, place], 0)
    near = [(np.abs(colours[others, at].astype(np.int16) - colour).max(1) <= ALIKE).mean() for at in _nearby(place)]
    return float(np.mean(near)) <= ELSEWHERE


def _nearby(place: int) -> list[int]:
    if place >= CELLS:
        first = place - (place - CELLS) % (CORNER * CORNER)
        return list(range(first, first + CORNER * CORNER))
    row, column = divmod(place, GRID)
    rows = range(max(0, row - NEARBY), min(GRID, row + NEARBY + 1))
    return [r * GRID + c for r in rows for c in range(max(0, column - NEARBY), min(GRID, column + NEARBY + 1))]


def _where(place: int) -> str:
    if place >= CELLS:
        return f"in the {CORNERS[(place - CELLS) // (CORNER * CORNER)]} corner"
    row, column = divmod(place, GRID)
    return f"{(column + 0.5) / GRID:.0%} from the left and {(row + 0.5) / GRID:.0%} from the top"
