"""How a picture becomes the network's input; the dict is executed by ``edgetune_runtime.preprocessing``."""

from typing import Any

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
NORMALISATION = ("scale", "mean", "std")
TRAINING_MARGIN = 8 / 7  # random crops are cut from pictures this much larger, so that they are not blown up


def make_preprocessing(image_size: int) -> dict[str, Any]:
    """Resize the short side to ``image_size``, crop the centre square, normalise by ImageNet's statistics.

    Nothing of the short side is cut away, where torchvision's reference evaluation keeps 7/8 of it: the
    device resizes fewer pixels, and on the validation split of clothing10 it was more accurate (docs/adr/0007).
    """
    return _description(image_size, short_side=image_size)


def make_pixel_preprocessing(image_size: int) -> dict[str, Any]:
    """The same up to the crop: for engines that normalise pixels themselves."""
    description = make_preprocessing(image_size)
    return {key: value for key, value in description.items() if key not in NORMALISATION} | {"layout": "NHWC"}


def make_training_source(image_size: int) -> dict[str, Any]:
    """The same with a larger short side: what training images are kept as before random crops are taken."""
    return _description(image_size, short_side=round(image_size * TRAINING_MARGIN))


def _description(image_size: int, short_side: int) -> dict[str, Any]:
    return {
        "kind": "image",
        "color": "RGB",
        "resize_short_side": short_side,
        "interpolation": "bilinear",
        "crop": [image_size, image_size],
        "scale": 1 / 255,
        "mean": list(IMAGENET_MEAN),
        "std": list(IMAGENET_STD),
        "layout": "NCHW",
    }
