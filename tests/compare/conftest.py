"""Two runs of the same 60 samples: b's int8 engine has lost twelve, and won two."""

import numpy as np
import pytest
from small_runs import contents, write_run

N = 60
TRUTH = np.arange(N) % 3


def with_mistakes(*numbers):
    answers = TRUTH.copy()
    answers[list(numbers)] = (answers[list(numbers)] + 1) % 3
    return answers


@pytest.fixture
def runs(tmp_path):
    """(folder of a, folder of b)"""
    first = {"float": with_mistakes(0), "int8": with_mistakes(0, 1)}
    second = {"float": with_mistakes(0), "int8": with_mistakes(*range(20, 32))}
    a = write_run(tmp_path / "a", contents=contents(N), truth=TRUTH.tolist(), answers=first)
    b = write_run(tmp_path / "b", contents=contents(N), truth=TRUTH.tolist(), answers=second, seed=50)
    return a, b
