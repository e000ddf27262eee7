"""What engines for CPUs ask of the processor."""

from edgetune.devices import local
from edgetune.records import Target


def missing_feature(target: Target) -> str | None:
    """A sentence if this processor has none of the features that ``target`` needs; None: it has one."""
    if target.cpu_features and not set(local.cpu_features()) & set(target.cpu_features):
        return f"this processor has none of {', '.join(target.cpu_features)}"
    return None
