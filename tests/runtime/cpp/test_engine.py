"""The C++ runtime against the Python runtime, on the same bundles."""

import numpy as np
import pytest
from edgetune_runtime import Engine

SIDE = 8


def batch(count, seed=0):
    return np.random.default_rng(seed).standard_normal((count, 3, SIDE, SIDE), dtype=np.float32)


@pytest.mark.parametrize("count", [1, 5])
def test_outputs_are_those_of_python_bit_for_bit(bundle, open_engine, count):
    with Engine.open(bundle) as python:
        expected = python.run(batch(count))
    np.testing.assert_array_equal(open_engine(bundle).run(batch(count)), expected)
