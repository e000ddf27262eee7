"""Real handwritten digits as picture files: scikit-learn's bundled set, so nothing is downloaded.

1,797 scans of 8x8 pixels by 43 people, from the UCI data set "Optical Recognition of Handwritten
Digits" (Alpaydin & Kaynak 1998, https://doi.org/10.24432/C50P49, CC BY 4.0).
"""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgetune.errors import DataError

SIDE = 32
SHARES = {"train": 0.70, "val": 0.15, "test": 0.15}
SEED = 0


def write_digits(folder: Path) -> dict[str, int]:
    """Write ``folder/{train,val,test}/<0..9>/NNNN.png``, RGB 32x32; returns images by split.

    Files that are there already with the same content are left alone, so that a second call
    changes nothing that a cache could notice.

    Raises:
        DataError: scikit-learn is missing, or the folder cannot be written.
    """
    images, labels = _load()
    counts = dict.fromkeys(SHARES, 0)
    try:
        for split, members in stratified_split(labels, SHARES, SEED).items():
            for number in members:
                place = folder / split / str(labels[number])
                place.mkdir(parents=True, exist_ok=True)
                _write(place / f"{number:04}.png", _png(images[number]))
            counts[split] = len(members)
    except OSError as error:
        raise DataError(f"cannot write the digits to {folder}: {error.strerror}") from error
    return counts


def stratified_split(labels: NDArray[np.int64], shares: dict[str, float], seed: int) -> dict[str, list[int]]:
    """Positions of ``labels`` [N] by split, each class divided by ``shares``; the first split takes the rest."""
    rng = np.random.default_rng(seed)
    result: dict[str, list[int]] = {name: [] for name in shares}
    first, *others = shares
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label)).tolist()
        total = len(members)
        for name in others:
            count = round(shares[name] * total)
            result[name] += members[:count]
            members = members[count:]
        result[first] += members
    return {name: sorted(members) for name, members in result.items()}


def _load() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Images [N, 8, 8] of 0 (paper) to 16 (ink), and labels [N]."""
    try:
        from sklearn.datasets import load_digits  # only the demo needs scikit-learn
    except ImportError as error:
        raise DataError(
            "the demo's digits come with scikit-learn, which is not installed", hint="pip install 'edgetune[demo]'"
        ) from error
    bunch = load_digits()
    return bunch.images, bunch.target.astype(np.int64)


def _png(image: NDArray[np.float64]) -> bytes:
    small = Image.fromarray((image * (255.0 / 16.0)).round().astype(np.uint8))
    buffer = io.BytesIO()
    small.resize((SIDE, SIDE), Image.Resampling.BICUBIC).convert("RGB").save(buffer, "PNG")
    return buffer.getvalue()


def _write(path: Path, content: bytes) -> None:
    if not path.is_file() or path.read_bytes() != content:
        path.write_bytes(content)
