"""Inputs for any ONNX graph, made from the types and shapes it declares."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgetune.errors import InputError

DTYPES = {
    "tensor(float)": "float32", "tensor(double)": "float64", "tensor(float16)": "float16", "tensor(bool)": "bool",
    "tensor(int8)": "int8", "tensor(int16)": "int16", "tensor(int32)": "int32", "tensor(int64)": "int64",
    "tensor(uint8)": "uint8", "tensor(uint16)": "uint16", "tensor(uint32)": "uint32", "tensor(uint64)": "uint64",
}  # fmt: skip
MAX_ELEMENTS = 1 << 30
ORDER = "--shape NAME=1x3x224x224, or --shape DIMENSION=64"


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """One input as the graph declares it: ``shape`` has numbers, names of free dimensions, or None."""

    name: str
    type: str  # tensor(float)
    shape: Sequence[int | str | None]


def parse_shapes(texts: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """``["image=1x3x224x224", "seq=64"]`` -> {"image": (1, 3, 224, 224), "seq": (64,)}.

    Raises:
        InputError: another form, a size below 1, a name given twice.
    """
    found: dict[str, tuple[int, ...]] = {}
    for text in texts:
        name, _, sizes = text.rpartition("=")
        if not name or not re.fullmatch(r"[1-9][0-9]{0,9}(x[1-9][0-9]{0,9})*", sizes, re.ASCII):
            raise InputError(f'--shape "{text}" is not NAME=SIZExSIZE...', hint=f"write {ORDER}; sizes are 1 or more")
        if name in found:
            raise InputError(f"--shape gives {name} twice", hint="once for each input")
        found[name] = tuple(int(size) for size in sizes.split("x"))
    return found


def make_inputs(
    declared: Sequence[Declared], *, shapes: Mapping[str, tuple[int, ...]], batch: int | None, seed: int
) -> dict[str, NDArray[np.generic]]:
    """One array for each input.

    A free first dimension is the batch (1, or ``batch``); every other free one must be in ``shapes``, by
    the input's name (whole shape) or the dimension's. Floats are standard normal, integers ones (which
    index any table and mask nothing), booleans true. The same seed, name and shape give the same array.

    Raises:
        InputError: a free dimension without a size, a shape or batch that the graph does not take, a type
            that is no plain tensor.
    """
    return {one.name: _array(one, _shape(one, shapes, batch), seed) for one in declared}


def unknown_shapes(shapes: Mapping[str, tuple[int, ...]], declared: Iterable[Declared]) -> list[str]:
    """Names in ``shapes`` that are no input and no free dimension of any of ``declared``."""
    known: set[object] = set()
    for one in declared:
        known |= {one.name, *one.shape}
    return [name for name in shapes if name not in known]


def _shape(one: Declared, shapes: Mapping[str, tuple[int, ...]], batch: int | None) -> tuple[int, ...]:
    wanted = _whole(one, shapes[one.name]) if one.name in shapes else tuple(_sizes(one, shapes, batch))
    if batch is not None and wanted and wanted[0] != batch:
        raise InputError(
            f'input "{one.name}" has batch {wanted[0]} in its shape {shown(one.shape)}, not {batch}',
            hint="leave --batch out, or export the network with a free first dimension",
        )
    if np.prod(wanted, dtype=object) > MAX_ELEMENTS:
        raise InputError(f'input "{one.name}" of shape {shown(wanted)} has more than {MAX_ELEMENTS} elements')
    return wanted


def _whole(one: Declared, given: tuple[int, ...]) -> tuple[int, ...]:
    fits = len(given) == len(one.shape) and all(
        not isinstance(size, int) or size == ours for size, ours in zip(one.shape, given, strict=True)
    )
    if not fits:
        raise InputError(
            f'--shape {one.name}={"x".join(map(str, given))} does not fit input "{one.name}" of {shown(one.shape)}',
            hint="numbers in the graph's shape cannot be changed",
        )
    return given


def _sizes(one: Declared, shapes: Mapping[str, tuple[int, ...]], batch: int | None) -> Iterable[int]:
    for position, size in enumerate(one.shape):
        if isinstance(size, int):
            yield size
        elif size is not None and len(shapes.get(size, ())) == 1:
            yield shapes[size][0]
        elif position == 0:
            yield batch or 1
        else:
            example = "x".join("1" if not isinstance(n, int) else str(n) for n in one.shape)
            raise InputError(
                f'input "{one.name}" has the shape {shown(one.shape)}, whose dimension {position} has no size',
                hint=f"give it, for example --shape {one.name}={example} with the sizes you use",
            )


def _array(one: Declared, shape: tuple[int, ...], seed: int) -> NDArray[np.generic]:
    if one.type not in DTYPES:
        raise InputError(f'input "{one.name}" is {one.type}; only plain numbers can be made up')
    dtype = np.dtype(DTYPES[one.type])
    if dtype.kind != "f":
        return np.ones(shape, dtype=dtype)
    rng = np.random.default_rng([seed, *one.name.encode()])
    return np.asarray(rng.standard_normal(shape)).astype(dtype)


def shown(shape: Sequence[int | str | None]) -> str:
    """[batch, 3, ?, ?]"""
    return f"[{', '.join('?' if size is None else str(size) for size in shape)}]"
