"""Numbers as people read them. Every function takes None and says that there is no number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgetune.measure.floors import unavailable

NONE = "–"
MINUS = "\u2212"


def percent(fraction: float | None, digits: int = 1) -> str:
    """0.911 -> 91.1 %"""
    return NONE if fraction is None else f"{100 * fraction:.{digits}f} %"


def points(value: float | None) -> str:
    """-0.71 -> −0.7; a zero has no sign."""
    if value is None:
        return NONE
    text = f"{value:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", MINUS)


def change(record: Mapping[str, Any] | None) -> str:
    """−0.7 (−1.6 to +0.2)"""
    if record is None:
        return NONE
    low, high = record["ci95"]
    return f"{points(record['value'])} ({points(low)} to {points(high)})"


def milliseconds(value: float | None) -> str:
    """Three significant digits, as far as they are before or after the point: 1.92 ms, 105 ms."""
    if value is None:
        return NONE
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:.{digits}f} ms"


def percentile(latency: Mapping[str, Any] | None, q: float) -> str:
    """The percentile, or how many runs it would need; reports of before p95 and p99.9 were told have neither."""
    key = f"p{q:g}".replace(".", "_")
    if latency is None or key not in latency:
        return NONE
    value = latency[key]
    return unavailable(q) if value is None else milliseconds(value)


def speedup(record: Mapping[str, Any] | None) -> str:
    """1.63× (1.60 to 1.66)"""
    if record is None:
        return NONE
    low, high = record["ci95"]
    return f"{record['value']:.2f}× ({low:.2f} to {high:.2f})"


def size(count: int | None) -> str:
    """Decimal units, as file managers and flash chips count: 2.9 MB"""
    if count is None:
        return NONE
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.{0 if count >= 100 * scale else 1}f} {unit}"
    return f"{count} B"


def amount(count: int | None) -> str:
    """2,236,682 -> 2.24 M"""
    if count is None:
        return NONE
    for unit, scale in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= scale:
            return f"{count / scale:.3g} {unit}"
    return str(count)


def rate(per_second: float) -> str:
    """Four significant digits, written out: 15,360 or 27.91"""
    whole = len(str(int(per_second)))
    rounded = round(per_second, 4 - whole)
    return f"{rounded:,.{max(4 - whole, 0)}f}"


def energy(joules: float | None) -> str:
    """12.3 mJ."""
    if joules is None:
        return NONE
    return f"{joules:.3g} J" if joules >= 1 else f"{1e3 * joules:.3g} mJ"


def probability(p: float | None) -> str:
    """0.0312 -> 0.031; very small ones as < 0.001"""
    if p is None:
        return NONE
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def duration(seconds: float) -> str:
    """75.2 -> 1 min 15 s"""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
