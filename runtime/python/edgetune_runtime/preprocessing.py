"""From a picture to the network's input, with numpy and Pillow only.

The description is a plain dict (stored in every manifest)::

    {"kind": "image", "color": "RGB", "resize_short_side": 183, "interpolation": "bilinear",
     "crop": [160, 160], "scale": 0.00392156862745098, "mean": [r, g, b], "std": [r, g, b], "layout": "NCHW"}

or, for an engine that takes pixels and normalises them itself, without scale, mean and std and with "layout": "NHWC".
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgetune_runtime.errors import BundleError, InputError

FIXED = {"kind": "image", "color": "RGB", "interpolation": "bilinear"}
LAYOUTS = ("NCHW", "NHWC")
NORMALISATION = ("scale", "mean", "std")
MAX_PIXELS = 1 << 26  # after resizing; 200 MB
FLOAT32, UINT8 = np.dtype(np.float32), np.dtype(np.uint8)  # made once: `dtype == np.float32` makes one each time


class Preprocessing:
    """Resize the short side, crop the centre, normalise: what the desk evaluated with.

    For an engine that takes pixels (``takes_pixels``) it ends with the crop.

    Raises:
        BundleError: a description that is incomplete, impossible, or that this version does not know.
    """

    def __init__(self, description: Mapping[str, Any]) -> None:
        for key, value in FIXED.items():
            if description.get(key) != value:
                raise BundleError(
                    f"preprocessing {key}={description.get(key)!r} is not known here; update edgetune-runtime"
                )
        if description.get("layout") not in LAYOUTS:
            raise BundleError(
                f"preprocessing layout={description.get('layout')!r} is not known here; update edgetune-runtime"
            )
        self.description = dict(description)
        self.takes_pixels = description["layout"] == "NHWC"
        try:
            self.short_side = int(description["resize_short_side"])
            self.height, self.width = (int(size) for size in description["crop"])
        except (KeyError, TypeError, ValueError, OverflowError) as problem:
            raise BundleError(f"the preprocessing is incomplete or wrong: {problem!r}") from problem
        if not 0 < min(self.height, self.width) <= max(self.height, self.width) <= self.short_side:
            raise BundleError(f"preprocessing crops {description['crop']} from a short side of {self.short_side}")
        if self.takes_pixels:
            if given := [key for key in NORMALISATION if key in description]:
                raise BundleError(f"preprocessing has {given[0]}, but the engine takes pixels; update edgetune-runtime")
            self._dtype, self._sample_shape = UINT8, (self.height, self.width, 3)
        else:
            self.factor, self.offset = _factor_and_offset(description)
            self._dtype, self._sample_shape = FLOAT32, (3, self.height, self.width)

    @classmethod
    def from_dict(cls, description: Mapping[str, Any]) -> Preprocessing:
        """From a manifest's ``preprocessing``."""
        return cls(description)

    def to_dict(self) -> dict[str, Any]:
        """The description this was made from."""
        return dict(self.description)

    def __call__(self, image: Any) -> np.ndarray:
        """What the engine takes of a path, a PIL image or a uint8 array [H, W, 3] or [H, W].

        float32 [1, 3, H, W], or uint8 [1, H, W, 3] if it takes pixels.
        """
        return self.inputs(self.pixels(image))

    def pixels(self, image: Any) -> np.ndarray:
        """uint8 [H, W, 3]: resized and cropped."""
        return self.crop(self.resized(image))

    def resized(self, image: Any) -> np.ndarray:
        """uint8 [h, w, 3] with the short side at ``resize_short_side`` (antialiased bilinear).

        Raises:
            InputError: no picture, or one so long and thin that it would fill the memory.
        """
        picture = open_image(image)
        width, height = picture.size
        short = min(width, height)
        size = (round(self.short_side * width / short), round(self.short_side * height / short))
        if size[0] * size[1] > MAX_PIXELS:
            raise InputError(f"a picture of {width} x {height} pixels is too long and thin: crop it first")
        if size != picture.size:
            picture = picture.resize(size, _pillow().Resampling.BILINEAR)
        return np.asarray(picture)

    def crop(self, pixels: np.ndarray) -> np.ndarray:
        """The centre [H, W, 3] of [h, w, 3]."""
        top, left = (pixels.shape[0] - self.height) // 2, (pixels.shape[1] - self.width) // 2
        return pixels[top : top + self.height, left : left + self.width]

    def inputs(self, pixels: np.ndarray) -> np.ndarray:
        """What the engine takes of uint8 [H, W, 3] or [N, H, W, 3], contiguous: normalised, or as they are."""
        if not self.takes_pixels:
            return self.normalise(pixels)
        return np.ascontiguousarray(pixels[None] if pixels.ndim == 3 else pixels)

    def normalise(self, pixels: np.ndarray) -> np.ndarray:
        """float32 [N, 3, H, W], contiguous, of uint8 [H, W, 3] or [N, H, W, 3].

        Raises:
            InputError: the engine takes pixels, and normalises them itself.
        """
        if self.takes_pixels:
            raise InputError("the engine takes pixels and normalises them itself: give it what `pixels` returns")
        batch = pixels[None] if pixels.ndim == 3 else pixels
        result = np.empty((len(batch), 3, *batch.shape[1:3]), dtype=np.float32)
        for channel in range(3):
            np.multiply(batch[..., channel], self.factor[channel], out=result[:, channel], casting="unsafe")
            result[:, channel] += self.offset[channel]
        return result

    def check(self, array: np.ndarray) -> np.ndarray:
        """``array`` itself, if it is what the engine takes.

        Raises:
            InputError: anything but float32 [N, 3, H, W], or uint8 [N, H, W, 3] if it takes pixels, with N > 0.
        """
        if array.dtype != self._dtype or array.ndim != 4 or array.shape[1:] != self._sample_shape or not array.shape[0]:
            sizes = ", ".join(map(str, self._sample_shape))
            done = "pixels, which the engine normalises" if self.takes_pixels else "preprocessed"
            raise InputError(
                f"expected {self._dtype} [N, {sizes}] with N > 0 ({done}) or uint8 [H, W, 3] "
                f"(a picture), not {array.dtype} {list(array.shape)}"
            )
        return array

    def example(self, batch: int = 1) -> np.ndarray:
        """What the engine takes of ``batch`` random pictures."""
        size = (batch, self.height, self.width, 3)
        return self.inputs(np.random.default_rng(0).integers(0, 255, size, dtype=np.uint8))

    def levels(self, inputs: np.ndarray) -> list[float]:
        """How bright each sample [N] is, for watching drift: the mean of what the engine is given."""
        means: list[float] = inputs.reshape(len(inputs), -1).mean(1, dtype=np.float64).tolist()
        return means

    def fits(self, shape: Sequence[Any]) -> bool:
        """Whether an engine with an input of ``shape`` takes what this gives."""
        return tuple(shape[1:]) == self._sample_shape


def _factor_and_offset(description: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """(x * scale - mean) / std as one multiply and one add: float32 [3] each."""
    try:
        scale = float(description["scale"])
        mean, std = (np.array([float(v) for v in description[key]]).reshape(3) for key in ("mean", "std"))
    except (KeyError, TypeError, ValueError, OverflowError) as problem:
        raise BundleError(f"the preprocessing is incomplete or wrong: {problem!r}") from problem
    if not np.isfinite([scale, *mean, *std]).all() or not std.all():
        raise BundleError("preprocessing scale, mean and std must be finite, and std not 0")
    return (scale / std).astype(np.float32), (-mean / std).astype(np.float32)


def make_preprocessing(description: Mapping[str, Any], folder: Path) -> Any:
    """Of a manifest: pictures, or text, whose tokenizer lies in ``folder``.

    Raises:
        BundleError: of another kind, incomplete, or with a tokenizer that cannot be read.
    """
    if description.get("kind") == "text":
        from edgetune_runtime.text import TextPreprocessing

        return TextPreprocessing(description, folder)
    return Preprocessing(description)


def open_image(image: Any) -> Any:
    """A PIL image in RGB of a path (its EXIF orientation applied), a PIL image or a uint8 array.

    Raises:
        InputError: what cannot be read as a picture.
    """
    pil = _pillow()
    if isinstance(image, (str, os.PathLike)):
        return _from_file(image)
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3):
            raise InputError(f"an image array must be uint8 [H, W, 3] or [H, W], not {image.dtype} {list(image.shape)}")
        if 0 in image.shape:
            raise InputError(f"the image array is empty: {list(image.shape)}")
        return pil.fromarray(image).convert("RGB")
    if isinstance(image, pil.Image):
        return image if image.mode == "RGB" else _rgb(image)
    raise InputError(f"expected a path, a PIL image or a uint8 array, not {type(image).__name__}")


def _from_file(path: str | os.PathLike[str]) -> Any:
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as file:
            return _rgb(ImageOps.exif_transpose(file))
    except FileNotFoundError:
        raise InputError(f"there is no file {path}") from None
    except Exception as problem:  # on a damaged file a decoder may raise anything
        raise InputError(f"{path} cannot be read as a picture: {problem}") from problem


def _rgb(picture: Any) -> Any:
    """RGB; transparency goes onto white, as a viewer shows it on a page."""
    from PIL import Image

    if picture.mode.startswith("I"):  # 16-bit greys: Pillow's convert would clip everything above 255
        values = np.asarray(picture).astype(np.float64) / 257.0
        return Image.fromarray(values.clip(0, 255).round().astype(np.uint8)).convert("RGB")
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        canvas = Image.new("RGBA", picture.size, (255, 255, 255, 255))
        return Image.alpha_composite(canvas, picture).convert("RGB")
    return picture.convert("RGB")


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError:
        raise InputError(
            "reading pictures needs Pillow: pip install 'edgetune-runtime[image]'; or pass a preprocessed float32 array"
        ) from None
    return Image
