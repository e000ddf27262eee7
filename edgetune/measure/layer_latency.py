"""Latency of single convolutions and linear layers at candidate widths: the lookup table that steers pruning.

A network's latency is taken as the sum over its layers (Yang et al. 2018, NetAdapt). Each layer's shape is built as an
ONNX file of its own, in the target's arithmetic, and timed in ONNX Runtime on a grid of widths; between grid points the
table interpolates. Only differences between widths steer anything; the engine that comes out is measured as a whole.
"""

import random
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from itertools import product
from math import lcm
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from edgetune.errors import MeasureError
from edgetune.measure.layer_model import LayerShape, layer_model, sample_size
from edgetune.progress import Tick, silent

GRID = tuple(share / 8 for share in range(1, 9))  # shares of a layer's channels that are timed
ROUNDS = 5
RUNS = 5  # timed runs of a layer in each round
EMPTY = LayerShape(inputs=8, outputs=8)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerTimes:
    """Milliseconds of one layer: ``ms[i][j]`` at ``inputs[i]`` and ``outputs[j]`` channels.

    A depthwise layer has as many outputs as inputs: ``outputs`` is empty and ``ms[i]`` holds one value.
    """

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    ms: tuple[tuple[float, ...], ...]

    def at(self, inputs: int, outputs: int) -> float:
        """Interpolated milliseconds; outside the grid the nearest edge counts."""
        table = np.asarray(self.ms)
        by_output = [float(np.interp(outputs, self.outputs, row)) if self.outputs else float(row[0]) for row in table]
        return float(np.interp(inputs, self.inputs, by_output))

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "LayerTimes":
        """What ``to_json`` wrote."""
        return cls(
            inputs=tuple(content["inputs"]),
            outputs=tuple(content["outputs"]),
            ms=tuple(tuple(row) for row in content["ms"]),
        )


def time_layers(
    shapes: dict[str, LayerShape],
    *,
    multiple: int,
    activation: str | None,
    opset: int,
    config: Mapping[str, str],
    seed: int = 0,
    progress: Tick = silent,
) -> dict[str, LayerTimes]:
    """Time every layer of ``shapes`` on the grid of widths, on one thread of this machine.

    Equal shapes are timed once. The grid's points are visited in random order, several times over; a point counts with
    its fastest visit's median, less the time of an empty model, because all that disturbs a run makes it slower.

    Args:
        multiple: widths are rounded to it.
        activation: ``uint8`` or ``int8`` arithmetic; None: float32.

    Raises:
        MeasureError: a layer does not run in ONNX Runtime.
    """
    grids = {name: _grid(shape, multiple) for name, shape in shapes.items()}
    points = sorted({point for grid in grids.values() for point in grid.values()}, key=repr)
    calls = {point: _call(point, activation, opset, config, seed) for point in [EMPTY, *points]}
    fastest = _fastest_medians(calls, seed, progress)
    ms = {point: max(fastest[point] - fastest[EMPTY], 0.0) for point in points}
    return {name: _times({key: ms[point] for key, point in grid.items()}) for name, grid in grids.items()}


def _grid(shape: LayerShape, multiple: int) -> dict[tuple[int, int | None], LayerShape]:
    """{(inputs, outputs): shape}; outputs are None for a depthwise layer, whose widths are one."""
    if shape.depthwise:
        factor = shape.outputs // shape.inputs
        return {(width, None): shape.resized(width, width * factor) for width in _widths(shape.inputs, multiple)}
    multiple = lcm(multiple, shape.groups)
    inputs, outputs = _widths(shape.inputs, multiple), _widths(shape.outputs, multiple)
    return {(i, o): shape.resized(i, o) for i, o in product(inputs, outputs)}


def _widths(channels: int, multiple: int) -> list[int]:
    rounded = {max(multiple, round(share * channels / multiple) * multiple) for share in GRID[:-1]}
    return sorted({width for width in rounded if width < channels} | {channels})


def _times(ms: dict[tuple[int, int | None], float]) -> LayerTimes:
    inputs = sorted({i for i, _ in ms})
    outputs = sorted({o for _, o in ms if o is not None})
    rows = [[ms[i, o] for o in outputs] if outputs else [ms[i, None]] for i in inputs]
    return LayerTimes(inputs=tuple(inputs), outputs=tuple(outputs), ms=tuple(tuple(row) for row in rows))


def _fastest_medians(calls: dict[LayerShape, Callable[[], None]], seed: int, progress: Tick) -> dict[LayerShape, float]:
    order, rng = list(calls), random.Random(seed)
    fastest = dict.fromkeys(calls, float("inf"))
    for number in range(ROUNDS):
        rng.shuffle(order)
        for done, point in enumerate(order, 1):
            fastest[point] = min(fastest[point], _median_ms(calls[point], range(RUNS)))
            progress(number * len(order) + done, ROUNDS * len(order), f"{len(order)} layers")
    return fastest


def _median_ms(call: Callable[[], None], runs: Iterable[int]) -> float:
    call()
    values = []
    for _ in runs:
        started = time.perf_counter_ns()
        call()
        values.append((time.perf_counter_ns() - started) / 1e6)
    return statistics.median(values)


def _call(
    shape: LayerShape, activation: str | None, opset: int, config: Mapping[str, str], seed: int
) -> Callable[[], None]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    for key, value in config.items():
        options.add_session_config_entry(key, value)
    model = layer_model(shape, activation=activation, opset=opset, seed=seed)
    try:
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as problem:  # onnxruntime's errors share no class
        raise MeasureError(f"a layer of shape {shape} does not run in ONNX Runtime: {problem}") from problem
    feed = {"x": _sample(shape, activation, seed)}
    outputs = ["y"]
    return lambda: session.run(outputs, feed)


def _sample(shape: LayerShape, activation: str | None, seed: int) -> NDArray[Any]:
    rng, size = np.random.default_rng(seed), sample_size(shape, activation)
    if activation is None:
        return rng.standard_normal(size, dtype=np.float32)
    bounds = np.iinfo(activation)
    return rng.integers(bounds.min, bounds.max, size, dtype=activation, endpoint=True)
