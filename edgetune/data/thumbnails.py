"""Small pictures for pages."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from edgetune_runtime.errors import RuntimeProblem
from edgetune_runtime.preprocessing import open_image
from PIL import Image

SIDE = 112  # pixels
QUALITY = 70
MAX_BYTES = 16_000


def thumbnail(path: Path) -> str | None:
    """A small JPEG of nothing but pixels (no EXIF, no name) as a data: address; None: it cannot be made."""
    try:
        picture = open_image(path)
        picture.thumbnail((SIDE, SIDE))
        plain = Image.frombytes("RGB", picture.size, picture.convert("RGB").tobytes())
        file = io.BytesIO()
        plain.save(file, "JPEG", quality=QUALITY, optimize=True)
    except (OSError, ValueError, SyntaxError, RuntimeProblem, Image.DecompressionBombError):
        return None
    content = file.getvalue()
    if len(content) > MAX_BYTES:
        return None
    return "data:image/jpeg;base64," + base64.b64encode(content).decode("ascii")
