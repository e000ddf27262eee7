"""Decode every image once: is it whole, is it what its name says, how big is it."""

import hashlib
import io
import os
import re
import stat
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from edgetune_runtime.preprocessing import open_image
from PIL import Image, ImageOps, UnidentifiedImageError

from edgetune.data.perceptual import difference_hash, look_of
from edgetune.progress import Tick, silent

MAX_PIXELS = 100_000_000
MAX_ASPECT = 100  # beyond, resizing the short side would make the long one huge
FORMATS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".bmp": "BMP",
    ".webp": "WEBP",
    ".gif": "GIF",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
SAME = {"MPO": "JPEG", "DIB": "BMP"}  # MPO: what phones write for JPEGs with a second frame


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """One file: its digest, how it looks (``dhash``, ``look``), its size and colour mode, or its problem."""

    path: str
    sha256: str = ""
    dhash: str = ""
    look: bytes = field(default=b"", repr=False)
    size: tuple[int, int] = (0, 0)
    mode: str = ""
    problem: str | None = None


def check_images(root: Path, paths: Sequence[str], progress: Tick = silent) -> list[ImageFacts]:
    """Facts on every file, in the order of ``paths``; decoding runs in 2 to 8 threads."""
    facts = []
    # The filters belong to the process, so not in the threads. Sizes are judged below; odd metadata does not matter.
    with ThreadPoolExecutor(min(8, max(2, os.cpu_count() or 2))) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for item in pool.map(lambda path: check_image(root, path), paths):  # left early, it cancels what has not begun
            facts.append(item)
            progress(len(facts), len(paths), "images")
    return facts


def check_image(root: Path, path: str) -> ImageFacts:
    """Facts on one file, decoded as it will be for training: the first frame, upright, in RGB.

    A huge picture is found by its header and not decoded.
    """
    try:
        kind = (root / path).stat().st_mode
        if stat.S_ISFIFO(kind) or stat.S_ISCHR(kind):  # reading one, or a link to it, may never end
            return ImageFacts(path=path, problem="is a pipe or a device")
        content = (root / path).read_bytes()
    except OSError as error:
        return ImageFacts(path=path, problem=f"cannot be read ({error.strerror})")
    if not content:
        return ImageFacts(path=path, problem="is empty (0 bytes)")
    dhash, look, mode = "", b"", ""
    try:
        with Image.open(io.BytesIO(content)) as image:
            problem, size = _header_problem(image, path), image.size
            if problem is None:
                mode = image.mode
                upright = open_image(ImageOps.exif_transpose(image))
                dhash, look = difference_hash(upright), look_of(upright)
    except Exception as error:  # noqa: BLE001 - on a damaged file a decoder may raise anything
        problem, size = _plainly(error), (0, 0)
    if problem is not None:
        return ImageFacts(path=path, problem=problem)
    return ImageFacts(
        path=path, sha256=hashlib.sha256(content).hexdigest(), dhash=dhash, look=look, size=size, mode=mode
    )


def _header_problem(image: Image.Image, path: str) -> str | None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        return f"has {width} x {height} pixels, more than {MAX_PIXELS // 1_000_000} million"
    if max(width, height) > MAX_ASPECT * min(width, height):
        return f"has {width} x {height} pixels, too long and thin"
    suffix = Path(path).suffix.lower()
    found = SAME.get(str(image.format), str(image.format))
    if found != FORMATS[suffix]:
        return f"is a {found} file named {suffix}"
    return None


def _plainly(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "is not an image"
    if isinstance(error, Image.DecompressionBombError):  # Pillow's own limit, before the size can be asked for
        pixels = re.search(r"\d+", str(error))
        millions = f"{int(pixels[0]) // 1_000_000:,} million pixels, " if pixels else ""
        return f"has {millions}more than {MAX_PIXELS // 1_000_000} million"
    if "truncated" in str(error).lower():
        return "is damaged (it ends before the picture does)"
    return f"is damaged ({error or type(error).__name__})"
