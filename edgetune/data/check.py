"""Decode every image once: is it whole, is it what its name says, how big is it."""

import hashlib
import io
import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from edgetune.progress import Tick, silent

MAX_PIXELS = 100_000_000
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
    """One file: its digest and size [width, height], or the problem with it."""

    path: str
    sha256: str = ""
    size: tuple[int, int] = (0, 0)
    problem: str | None = None


def check_images(root: Path, paths: Sequence[str], progress: Tick = silent) -> list[ImageFacts]:
    """Facts on every file, in the order of ``paths``; decoding runs in threads."""
    workers = min(8, max(2, os.cpu_count() or 2))
    with ThreadPoolExecutor(workers) as pool:
        return list(_counted(pool.map(lambda path: check_image(root, path), paths), len(paths), progress))


def check_image(root: Path, path: str) -> ImageFacts:
    """Facts on one file. A huge picture is found by its header and not decoded."""
    try:
        content = (root / path).read_bytes()
    except OSError as error:
        return ImageFacts(path=path, problem=f"cannot be read ({error.strerror})")
    if not content:
        return ImageFacts(path=path, problem="is empty (0 bytes)")
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(content)) as image:
            warnings.simplefilter("ignore")  # size is judged below; odd metadata does not matter
            problem = _header_problem(image, path)
            if problem is None:
                image.load()
    except Image.DecompressionBombError:
        problem, image = f"has more than {MAX_PIXELS // 1_000_000} million pixels", None
    except UnidentifiedImageError:
        problem, image = "is not an image", None
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError) as error:
        problem, image = f"is damaged ({error})", None
    if problem is not None or image is None:
        return ImageFacts(path=path, problem=problem)
    return ImageFacts(path=path, sha256=hashlib.sha256(content).hexdigest(), size=image.size)


def _header_problem(image: Image.Image, path: str) -> str | None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        return f"has {width} x {height} pixels, more than {MAX_PIXELS // 1_000_000} million"
    suffix = Path(path).suffix.lower()
    found = SAME.get(str(image.format), str(image.format))
    if found != FORMATS[suffix]:
        return f"is a {found} file named {suffix}"
    return None


def _counted(facts: Iterator[ImageFacts], total: int, progress: Tick) -> Iterator[ImageFacts]:
    for done, item in enumerate(facts, start=1):
        progress(done, total, "images")
        yield item
