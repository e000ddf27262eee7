"""How a picture becomes the network's input; the dict is executed by ``edgetune_runtime.preprocessing``."""

from typing import Any

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
CENTRE_SHARE = 0.875  # what the crop keeps of the short side, as torchvision's reference evaluation does
SMALL = 64  # below this there is nothing to spare for a crop


def make_preprocessing(image_size: int) -> dict[str, Any]:
    """Resize the short side, crop the centre square of ``image_size``, normalise by ImageNet's statistics."""
    short_side = image_size if image_size < SMALL else round(image_size / CENTRE_SHARE)
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
