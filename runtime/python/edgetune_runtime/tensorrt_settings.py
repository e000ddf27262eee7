"""How an engine of TensorRT is made and run, as a bundle's manifest says it, and what an engine is tied to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgetune_runtime.errors import BundleError
from edgetune_runtime.manifest import is_safe_name

UNKNOWN = "unknown"
TIED = ("tensorrt", "sm", "gpu", "arch")
DTYPES = {"float32": "tensor(float)", "uint8": "tensor(uint8)", "int64": "tensor(int64)"}
MOST = 4096  # of a batch, and of what a dimension may be
NAME = re.compile(r"[\w./-]{1,200}", re.ASCII)  # trtexec takes nothing else for a tensor's name in its arguments


@dataclass(frozen=True)
class Settings:
    """``session["tensorrt"]`` of a manifest."""

    family: int  # of releases that the ONNX file is made for
    precision: str  # fp16 | int8
    input: str
    sample: tuple[int, ...]  # its shape without the batch
    dtype: str
    max_batch: int
    dla_core: int | None
    plan: Mapping[str, Any] | None  # the file of a built engine and what it is tied to

    @property
    def key(self) -> dict[str, Any]:
        """What decides how an engine is built from its ONNX file."""
        return {
            "precision": self.precision, "input": self.input, "sample": list(self.sample), "max_batch": self.max_batch,
            "dla_core": self.dla_core,
        }  # fmt: skip


def read_settings(session: Mapping[str, Any]) -> Settings:
    """The settings of a manifest's ``session``, which is not trusted.

    Raises:
        BundleError: something is missing or of another kind.
    """
    found = session.get("tensorrt")
    if not isinstance(found, dict):
        raise BundleError("the bundle does not say how its TensorRT engine is built (session.tensorrt is missing)")
    keys = ("family", "precision", "input", "dtype", "sample", "max_batch", "dla_core", "plan")
    values: list[Any] = [found.get(key) for key in keys]
    family, precision, name, dtype, sample, batch, core, plan = values
    checks = {
        "family": family in (8, 10, 11),
        "precision": precision in ("fp16", "int8"),
        "input": isinstance(name, str) and NAME.fullmatch(name) is not None,
        "dtype": isinstance(dtype, str) and dtype in DTYPES,
        "sample": isinstance(sample, list) and 0 < len(sample) < 8 and all(_counts(size) for size in sample),
        "max_batch": _counts(batch),
        "dla_core": core is None or (type(core) is int and 0 <= core < 8),
        "plan": plan is None or _is_plan(plan),
    }
    for key, fine in checks.items():
        if not fine:
            raise BundleError(f"the bundle's session.tensorrt.{key} is {found.get(key)!r}, which cannot be")
    return Settings(
        family=family, precision=precision, input=name, sample=tuple(sample), dtype=dtype, max_batch=batch,
        dla_core=core, plan=plan,
    )  # fmt: skip


def foreign(built: Mapping[str, Any], here: Mapping[str, Any]) -> str | None:
    """Why an engine cannot be run here, by what both say of TensorRT and the GPU; None: it can.

    What this machine cannot tell (``unknown``) is left to TensorRT, which checks it too.
    """
    titles = {"tensorrt": "TensorRT", "sm": "compute capability", "gpu": "GPU", "arch": "processor"}
    for key in TIED:
        if UNKNOWN not in (built.get(key), here.get(key)) and built.get(key) != here.get(key):
            return f"it was built with {titles[key]} {built.get(key)}, and here is {here.get(key)}"
    return None


def _counts(value: Any) -> bool:
    return type(value) is int and 1 <= value <= MOST


def _is_plan(plan: Any) -> bool:
    return (
        isinstance(plan, dict)
        and all(isinstance(plan.get(key), str) for key in ("file", *TIED))
        and is_safe_name(plan["file"])
    )
