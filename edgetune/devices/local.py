"""This machine, seen through the code that devices run too."""

from __future__ import annotations

from typing import Any

from edgetune_runtime.machine import cpu_features, describe, telemetry, versions

from edgetune.devices import identity

__all__ = ["cpu_features", "describe", "fingerprint", "processor", "telemetry", "versions"]


def fingerprint() -> str:
    """``identity.fingerprint`` of this machine."""
    return identity.fingerprint(describe())


def look() -> dict[str, Any]:
    """As ``protocol.Device.look`` of another."""
    return {"device": describe(), "versions": versions(), "telemetry": telemetry()}


def processor() -> str:
    """``identity.processor`` of this machine."""
    return identity.processor(describe())
