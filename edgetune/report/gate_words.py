"""The gates of ``[budget]`` in words: each of them, and those that what ships fails."""

from __future__ import annotations

from dataclasses import dataclass

from edgetune.measure.selection import decimals, plain
from edgetune.report import numbers
from edgetune.report.view import Json

GATE_WORDS = {
    "max_accuracy_drop": ("accuracy drop", "points"),
    "max_latency_ms": ("median latency", "ms"),
    "max_size_mb": ("size", "MB"),
}
_SMALLER = "prune more (a larger `[prune] target_speedup`), take a smaller network or input"
GATE_HINTS = {
    "max_accuracy_drop": "more test samples tell a drop from chance, `[budget] confidence` has validation rule it out, "
    "more epochs of recovery lessen it; or allow more in `[budget] max_accuracy_drop`",
    "max_latency_ms": f"{_SMALLER}, or allow more in `[budget] max_latency_ms`",
    "max_size_mb": f"{_SMALLER}, or allow more in `[budget] max_size_mb`",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GateLine:
    """One gate as text."""

    target: str
    text: str
    passed: bool


def gate_lines(data: Json, target: str | None = None) -> list[GateLine]:
    """Every gate, or those of one target, in words."""
    gates = [gate for gate in data["gates"] if target in (None, gate["target"])]
    return [GateLine(target=gate["target"], text=_gate_text(gate), passed=gate["passed"]) for gate in gates]


def _gate_text(gate: Json) -> str:
    words, unit = _words(gate)
    value = "not measured" if gate["value"] is None else f"{_told(gate)} {unit}".rstrip()
    return f"{words}: {value}, limit {plain(gate['limit'])} {unit}".rstrip()


def _words(gate: Json) -> tuple[str, str]:
    """What a gate limits, and its unit."""
    return GATE_WORDS.get(gate["name"], (gate["name"].replace("_", " "), ""))


def _told(gate: Json) -> str:
    """The value with as many digits as tell it from the limit, one behind the point at least: 1.88, 2.5, 1.004"""
    whole, _, rest = f"{gate['value']:.{decimals(gate['value'], gate['limit'])}f}".partition(".")
    return f"{whole}.{rest.rstrip('0') or '0'}".replace("-", numbers.MINUS)


def failures(data: Json, target: str) -> list[str]:
    """What fails of a target, in words: median latency 0.35 ms is above 0.001 ms."""
    return [_failure(gate) for gate in data["gates"] if gate["target"] == target and not gate["passed"]]


def _failure(gate: Json) -> str:
    words, unit = _words(gate)
    limit = f"{plain(gate['limit'])} {unit}".rstrip()
    if gate["value"] is None:
        return f"{words} was not measured, and may be {limit} at most"
    return f"{words} {_told(gate)} {unit}".rstrip() + f" is above {limit}"


def gate_hints(data: Json, target: str) -> list[str]:
    """What to do about the failed gates of a target, each once."""
    failed = [gate["name"] for gate in data["gates"] if gate["target"] == target and not gate["passed"]]
    return list(dict.fromkeys(GATE_HINTS[name] for name in failed if name in GATE_HINTS))
