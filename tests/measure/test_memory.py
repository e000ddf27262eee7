"""Peak memory of a real engine in a real process."""

import numpy as np
import pytest
from small_engines import MB, bundle

from edgetune.errors import MeasureError
from edgetune.measure.memory import peak_rss_bytes


def test_more_weights_need_as_much_more_memory(tmp_path):
    small = peak_rss_bytes(bundle(tmp_path / "small", 1), 1)
    large = peak_rss_bytes(bundle(tmp_path / "large", 97), 1)
    assert 20 * MB < small < 300 * MB  # interpreter, numpy, library; not this test's process, torch and all
    assert 90 * MB < large - small < 320 * MB  # the file and the weights, up to three copies for a moment


def test_the_parents_memory_is_not_counted(tmp_path):
    folder = bundle(tmp_path / "b", 1)
    before = peak_rss_bytes(folder, 1)
    ballast = np.ones(400 * MB // 8)
    assert peak_rss_bytes(folder, 1) < before + 60 * MB
    assert ballast[-1] == 1


def test_an_engine_that_cannot_run_is_an_error(tmp_path):
    folder = bundle(tmp_path / "broken", 1)
    (folder / "engine.onnx").write_bytes(b"not onnx")
    with pytest.raises(MeasureError, match="broken could not be run"):
        peak_rss_bytes(folder, 1)
