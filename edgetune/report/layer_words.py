"""What a report says of layers: where the time goes, and what 8 bits cost each of them."""

from __future__ import annotations

import math

from edgetune.report import numbers
from edgetune.report.view import Json

FLOAT = "float"  # in place of what 8 bits cost


def layer_rows(target: Json) -> list[tuple[str, str, str, str, str, str]]:
    """(layer, time before, time after, signal to rounding noise, loss added when alone, divergence then).

    Operators that are no layer come last.
    """
    layers = target.get("layers")
    if not layers:
        return []
    rows = [
        (
            row["layer"],
            _micro(row["before_ms"]),
            _micro(row["after_ms"]),
            *_cost(row),
        )
        for row in layers["rows"]
    ]
    nothing = (numbers.NONE,) * 3
    others = [
        (f"all {row['operator']}", _micro(row["before_ms"]), _micro(row["after_ms"]), *nothing)
        for row in layers["others"]
    ]
    return rows + others


def _cost(row: Json) -> tuple[str, str, str]:
    """Signal to noise, loss and divergence of a layer, or that it was left in float."""
    if row.get("in_float"):
        return (FLOAT,) * 3
    return (_decibels(row["sqnr_db"]), _nats(row.get("loss_change"), signed=True), _nats(row.get("divergence")))


def sensitivity_line(target: Json) -> str:
    """Which layers cost the answers most when they alone are rounded, on how many samples; empty where not known."""
    layers = target.get("layers") or {}
    if not layers.get("alone"):
        return ""
    ranked = sorted((row for row in layers["rows"] if "divergence" in row), key=lambda row: -row["divergence"])[:3]
    worst = ", ".join(f"{row['layer']} ({_nats(row['divergence'])} nats)" for row in ranked)
    samples, loss = layers["alone"]["samples"], layers["alone"]["loss"]
    return (
        f"Of the layers of {layers['after']}, each rounded alone, these move the answers most: {worst}. "
        f"That is their divergence on {samples} validation samples, whose loss is {loss:.3f} with nothing rounded."
    )


def layers_line(target: Json) -> str:
    """How much of the time is in layers, in both engines; empty where that is not known."""
    layers = target.get("layers")
    if not layers or not layers["rows"]:
        return ""
    told = []
    for name, key in ((layers["before"], "before_ms"), (layers["after"], "after_ms")):
        inside = sum(row[key] or 0 for row in layers["rows"])
        outside = sum(row[key] or 0 for row in layers["others"])
        if name is not None and inside:
            told.append(f"{numbers.percent(inside / (inside + outside), 0)} of {name}'s time")
    return f"Convolutions and linear layers take {' and '.join(told)}." if told else ""


def _micro(ms: float | None) -> str:
    return numbers.NONE if ms is None else f"{1e3 * ms:.3g} µs" if ms < 1 else f"{ms:.3g} ms"


def _nats(value: float | None, *, signed: bool = False) -> str:
    """Two digits: +0.0012; what is below a millionth is 0."""
    if value is None:
        return numbers.NONE
    if abs(value) < 1e-6:
        return "0"
    digits = max(0, 1 - math.floor(math.log10(abs(value))))
    return f"{value:{'+' if signed else ''}.{digits}f}".replace("-", numbers.MINUS)


def _decibels(value: float | None) -> str:
    return numbers.NONE if value is None else f"{value:.1f} dB".replace("-", numbers.MINUS)
