"""Mixed batches depend on their seed alone, and labels say what is in the image."""

import pytest
import torch

from edgetune.data.mixing import make_mix

IMAGES = torch.eye(6).reshape(6, 6, 1, 1).expand(6, 6, 8, 8).contiguous()  # image i is 1 in channel i
LABELS = torch.arange(6)


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.4, 0.0), (0.0, 1.0), (0.4, 1.0)])
def test_labels_are_the_shares_of_the_pixels(mixup, cutmix):
    mix = make_mix(mixup, cutmix, 6)
    for seed in range(8):
        images, shares = mix(IMAGES, LABELS, seed)
        torch.testing.assert_close(images.mean((2, 3)), shares)
        torch.testing.assert_close(shares.sum(1), torch.ones(6))


def test_the_seed_alone_decides_and_the_global_generator_does_not_notice():
    mix = make_mix(0.4, 1.0, 6)
    torch.manual_seed(1)
    first = mix(IMAGES, LABELS, 5)
    drawn = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), drawn)
    torch.manual_seed(2)
    again = mix(IMAGES, LABELS, 5)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[1], mix(IMAGES, LABELS, 6)[1])


def test_nothing_to_mix():
    assert make_mix(0.0, 0.0, 6) is None
