"""The description that desk and device share."""

import pytest
from edgetune_runtime.preprocessing import Preprocessing

from edgetune.data.preprocessing import make_preprocessing, make_training_source


@pytest.mark.parametrize(("size", "short_side"), [(32, 37), (160, 183), (224, 256)])
def test_training_keeps_a_margin_and_evaluation_the_whole_short_side(size, short_side):
    assert make_training_source(size)["resize_short_side"] == short_side
    description = make_preprocessing(size)
    assert description["resize_short_side"] == size and description["crop"] == [size, size]


def test_the_device_knows_every_size_a_recipe_may_ask_for():
    for size in range(16, 2049):
        made = Preprocessing.from_dict(make_preprocessing(size))
        assert made.short_side >= made.height == made.width == size
