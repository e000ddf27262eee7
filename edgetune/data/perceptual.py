"""A fingerprint of what a picture looks like, and pictures that look the same.

Difference hash: whether brightness grows from left to right at 16 x 16 places (after Krawetz 2013, "Kind of Like
That"). It survives resizing, compression and small changes of brightness; it does not see colour. Pictures of little
structure (flat ones) have a hash that says nothing and are left out.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 16
ROWS = 512  # of the table of distances that is held at a time
LEAST_STRUCTURE = 26  # bits of 256 that must be 1, and that must be 0
GRID, CORNER = 24, 6  # cells a side, pixels a side: what ``look_of`` keeps
CELLS = GRID * GRID
PLACES = CELLS + 4 * CORNER * CORNER


def difference_hash(image: Image.Image) -> str:
    """64 hexadecimal digits."""
    small = image.convert("L").resize((SIDE + 1, SIDE), Image.Resampling.BILINEAR)
    brightness = np.asarray(small, dtype=np.int16)
    return np.packbits(brightness[:, 1:] > brightness[:, :-1]).tobytes().hex()


def look_of(image: Image.Image) -> bytes:
    """The colours of all places of an RGB picture, 3 bytes each."""
    width, height = image.size
    small = image.resize((GRID, GRID), Image.Resampling.BOX)
    right, bottom = max(0, width - CORNER), max(0, height - CORNER)
    corners = [image.crop((x, y, x + CORNER, y + CORNER)) for y in (0, bottom) for x in (0, right)]
    return b"".join(part.tobytes() for part in (small, *corners))


def look_alikes(first: Sequence[str], second: Sequence[str], within: int) -> list[tuple[int, int, int]]:
    """(index in ``first``, index in ``second``, bits that differ) of the pairs at most ``within`` bits apart.

    The time grows with the product of the lengths: about a second for 3,000 and 10,000.
    """
    ours, theirs = _words(first), _words(second)
    useful = _structured(theirs)
    found = []
    for start in range(0, len(ours), ROWS):
        rows = ours[start : start + ROWS]
        distance = np.zeros((len(rows), len(theirs)), np.uint16)
        for word in range(rows.shape[1]):
            distance += np.bitwise_count(rows[:, word, None] ^ theirs[None, :, word])
        close = (distance <= within) & useful & _structured(rows)[:, None]
        found += [(start + int(i), int(j), int(distance[i, j])) for i, j in np.argwhere(close)]
    return found


def _words(hashes: Sequence[str]) -> NDArray[np.uint64]:
    return np.frombuffer(bytes.fromhex("".join(hashes)), np.uint64).reshape(len(hashes), SIDE * SIDE // 64)


def _structured(words: NDArray[np.uint64]) -> NDArray[np.bool_]:
    ones = np.bitwise_count(words).sum(1)
    return np.asarray((ones >= LEAST_STRUCTURE) & (ones <= SIDE * SIDE - LEAST_STRUCTURE))
