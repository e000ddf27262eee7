"""Latency of single convolutions and linear layers at candidate widths: the lookup table that steers pruning.

A network's latency is taken as the sum over its layers (Yang et al. 2018, NetAdapt). Each layer's shape is built as an
ONNX file of its own, in the target's arithmetic, and timed in its library on a grid of widths; between grid points the
table interpolates. Only differences between widths steer anything; the engine that comes out is measured as a whole.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import product
from math import lcm
from pathlib import Path
from typing import Any

import numpy as np
from edgetune_runtime.layers import fastest_medians, open_model
from numpy.typing import NDArray

from edgetune.devices.protocol import Device
from edgetune.errors import MeasureError
from edgetune.measure.layer_model import LayerShape, layer_model, sample_size
from edgetune.progress import Tick, silent

GRID = tuple(share / 8 for share in range(1, 9))  # shares of a layer's channels that are timed
THERE_SECONDS = 3600.0
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
    session: Mapping[str, Any],
    seed: int = 0,
    progress: Tick = silent,
    device: Device | None = None,
) -> dict[str, LayerTimes]:
    """Time every layer of ``shapes`` on the grid of widths, on one thread of this machine or of ``device``.

    Equal shapes are timed once. The grid's points are visited in random order, several times over; a point counts with
    its fastest visit's median, less the time of an empty model, because all that disturbs a run makes it slower.

    Args:
        multiple: widths are rounded to it.
        activation: ``uint8`` or ``int8`` arithmetic; None: float32.
        session: the library and its settings, as of ``edgetune_runtime.session.open_session``.

    Raises:
        MeasureError: a layer does not run.
    """
    grids = {name: _grid(shape, multiple) for name, shape in shapes.items()}
    points = sorted({point for grid in grids.values() for point in grid.values()}, key=repr)
    wanted = list(dict.fromkeys([EMPTY, *points]))
    if device is None:
        fastest = _timed_here(wanted, activation, opset, session, seed, progress)
    else:
        fastest = _timed_there(device, wanted, activation, opset, session, seed, progress)
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


def _timed_here(
    points: list[LayerShape], activation: str | None, opset: int, session: Mapping[str, Any], seed: int, progress: Tick
) -> dict[LayerShape, float]:
    calls: dict[LayerShape, Any] = {}
    for shape in points:
        model = layer_model(shape, activation=activation, opset=opset, seed=seed)
        try:
            calls[shape] = open_model(model.SerializeToString(), dict(session), _sample(shape, activation, seed))
        except Exception as problem:  # onnxruntime's errors share no class
            raise MeasureError(f"a layer of shape {shape} does not run: {problem}") from problem
    return dict(fastest_medians(calls, seed, progress))


def _timed_there(
    device: Device,
    points: list[LayerShape],
    activation: str | None,
    opset: int,
    session: Mapping[str, Any],
    seed: int,
    progress: Tick,
) -> dict[LayerShape, float]:
    """All models and their inputs go in two files: there may be a thousand."""
    models = [layer_model(shape, activation=activation, opset=opset, seed=seed).SerializeToString() for shape in points]
    with tempfile.TemporaryDirectory(prefix="edgetune-layers-") as folder:
        files = {name: Path(folder) / name for name in ("models.npz", "inputs.npz")}
        np.savez(files["models.npz"], *[np.frombuffer(model, dtype=np.uint8) for model in models])
        np.savez(files["inputs.npz"], *[_sample(shape, activation, seed) for shape in points])
        job = {"kind": "layers", "count": len(points), "session": dict(session), "seed": seed}
        answer = device.do(job, files, limit_seconds=THERE_SECONDS, progress=progress)
    return dict(zip(points, answer["ms"], strict=True))


def _sample(shape: LayerShape, activation: str | None, seed: int) -> NDArray[Any]:
    rng, size = np.random.default_rng(seed), sample_size(shape, activation)
    if activation is None:
        return rng.standard_normal(size, dtype=np.float32)
    bounds = np.iinfo(activation)
    return rng.integers(bounds.min, bounds.max, size, dtype=activation, endpoint=True)
