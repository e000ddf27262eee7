"""This machine, seen through the code that devices run too."""

from __future__ import annotations

from edgetune_runtime.machine import cpu_features, describe, telemetry

from edgetune.devices import identity

__all__ = ["cpu_features", "describe", "fingerprint", "processor", "telemetry"]


def fingerprint() -> str:
    """``identity.fingerprint`` of this machine."""
    return identity.fingerprint(describe())


def processor() -> str:
    """``identity.processor`` of this machine."""
    return identity.processor(describe())
