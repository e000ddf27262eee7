"""Augmented views: the right form, inside the image, random where they should be."""

import pytest
import torch

from edgetune.data.augmentation import AUGMENTATIONS
from edgetune.recipe import CHOICES


def test_the_recipe_offers_what_there_is():
    assert tuple(AUGMENTATIONS) == CHOICES["finetune", "augmentation"]


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("size", [(36, 50), (36, 36), (400, 36)])
def test_views_are_uint8_squares_and_leave_the_image_alone(name, size):
    torch.manual_seed(0)
    image = torch.randint(10, 200, (3, *size), dtype=torch.uint8)
    before = image.clone()
    for _ in range(5):
        view = AUGMENTATIONS[name](32)(image)
        assert view.shape == (3, 32, 32) and view.dtype == torch.uint8
        assert name == "strong" or (view.min() >= 10 and view.max() < 200)  # which changes colours too
    assert torch.equal(image, before)


def left_to_right(view):
    return bool(view[..., :16].float().mean() < view[..., 16:].float().mean())


@pytest.mark.parametrize(("name", "mirrors"), [("none", False), ("light", False), ("standard", True)])
def test_only_standard_mirrors(name, mirrors):
    torch.manual_seed(0)
    ramp = torch.arange(36, dtype=torch.uint8).mul(5).expand(3, 36, 36)
    seen = {left_to_right(AUGMENTATIONS[name](32)(ramp)) for _ in range(20)}
    assert seen == ({True, False} if mirrors else {True})


def test_strong_changes_more_than_position():
    torch.manual_seed(0)
    grey = torch.full((3, 36, 36), 100, dtype=torch.uint8)
    views = [AUGMENTATIONS["strong"](32)(grey) for _ in range(40)]
    assert any(view.max() != 100 or view.min() != 100 for view in views)
    assert any(not torch.equal(view, views[0]) for view in views)
