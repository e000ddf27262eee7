"""Digests of what a device is, for the keys of what was measured on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgetune.hashing import digest_json


def fingerprint(device: Mapping[str, Any]) -> str:
    """Digest of what decides how fast an engine is and stays the same between boots.

    Model, processor, features, cores, memory in whole GiB (the kernel reserves a little more or less
    from boot to boot) and the operating system's name; not the kernel's or Python's version. ``device`` is what
    ``edgetune_runtime.machine.describe`` says.
    """
    stable = {key: device[key] for key in ("model", "cpu", "arch", "cpu_features", "cores", "cores_usable", "os")}
    memory = device["memory_bytes"]
    stable["memory_gib"] = round(memory / 2**30) if isinstance(memory, int) else memory
    return digest_json(stable)


def processor(device: Mapping[str, Any]) -> str:
    """Digest of what decides how long a single layer takes: the processor and its features."""
    return digest_json([device["cpu"], device["cpu_features"]])
