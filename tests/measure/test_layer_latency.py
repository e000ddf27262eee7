"""The lookup table: real single-layer engines, and interpolation between them."""

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetune.errors import MeasureError
from edgetune.measure.layer_latency import LayerTimes, time_layers
from edgetune.measure.layer_model import LayerShape, layer_model, sample_size

CONV = LayerShape(inputs=16, outputs=32, height=12, width=10, kernel=(3, 3), stride=(2, 2), padding=(1, 1))
DEPTHWISE = LayerShape(inputs=16, outputs=16, height=12, width=10, kernel=(3, 3), padding=(1, 1), groups=16)
GROUPED = LayerShape(inputs=16, outputs=16, height=6, width=6, groups=4)
LINEAR = LayerShape(inputs=64, outputs=10)


@pytest.mark.parametrize("shape", [CONV, DEPTHWISE, GROUPED, LINEAR], ids=["conv", "depthwise", "grouped", "linear"])
@pytest.mark.parametrize("activation", [None, "uint8", "int8"])
def test_layer_models_run_and_have_the_shape(shape, activation):
    session = ort.InferenceSession(layer_model(shape, activation=activation, opset=20).SerializeToString())
    x = np.zeros(sample_size(shape, activation), activation or np.float32)
    (y,) = session.run(None, {"x": x})
    assert shape.outputs in y.shape[1:] and y.dtype == x.dtype


def test_quantized_layers_run_in_integers(tmp_path):
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    ort.InferenceSession(layer_model(CONV, activation="uint8", opset=20).SerializeToString(), options)
    import onnx

    assert [node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node] == ["QLinearConv"]


def test_wider_layers_take_longer():
    shape = LayerShape(inputs=128, outputs=128, height=28, width=28, kernel=(3, 3), padding=(1, 1))
    times = time_layers({"a": shape, "b": shape}, multiple=8, activation="uint8", opset=20, session={})
    assert times["a"] == times["b"]  # timed once
    assert times["a"].at(128, 128) > 2 * times["a"].at(32, 32) > 0
    assert times["a"].at(128, 128) > times["a"].at(64, 128)


def test_groups_stay_whole_and_depthwise_layers_have_one_width():
    times = time_layers({"g": GROUPED, "d": DEPTHWISE}, multiple=4, activation=None, opset=20, session={})
    assert times["g"].inputs == (4, 8, 12, 16) == times["g"].outputs
    assert times["d"].inputs == (4, 8, 12, 16) and times["d"].outputs == ()


def test_a_layer_that_does_not_run_says_which():
    with pytest.raises(MeasureError, match="does not run"):
        time_layers(
            {"x": CONV}, multiple=8, activation=None, opset=20, session={"config": {"session.load_model_format": "ORT"}}
        )


@given(st.integers(8, 64), st.integers(8, 128))
def test_interpolation_of_a_plane_is_exact(inputs, outputs):
    grid_i, grid_o = (8, 24, 64), (8, 40, 128)
    ms = tuple(tuple(2.0 * i + 3.0 * o for o in grid_o) for i in grid_i)
    plane = LayerTimes(inputs=grid_i, outputs=grid_o, ms=ms)
    assert abs(plane.at(inputs, outputs) - (2 * inputs + 3 * outputs)) < 1e-9
    assert LayerTimes.from_json(plane.to_json()) == plane


def test_outside_the_grid_the_edge_counts():
    times = LayerTimes(inputs=(8, 16), outputs=(), ms=((1.0,), (2.0,)))
    assert (times.at(4, 4), times.at(12, 12), times.at(99, 99)) == (1.0, 1.5, 2.0)
