"""The table of a result, as Markdown; README and docs/peers.md hold what this prints."""

from collections.abc import Mapping
from typing import Any

MINUS = "−"
HEADER = (
    "| engine | accuracy | change, points | in ONNX Runtime | in OpenVINO | size | time | memory | lines |",
    "|---|---|---|---|---|---|---|---|---|",
)


def table(result: Mapping[str, Any]) -> str:
    """One line a row of ``result``, and under it one line for each failure."""
    rows = result["rows"]
    lines = [*HEADER, *(_line(row, rows[0]) for row in rows)]
    failures = [line for row in rows for line in _failures(row)]
    return "\n".join(lines + (["", *failures] if failures else []))


def _line(row: Mapping[str, Any], base: Mapping[str, Any]) -> str:
    first = next((found for found in row["measured"].values() if found["failure"] is None), None)
    cells = [row["title"]]
    if row.get("failure") is not None:
        cells += ["failed", "", "", ""]
    else:
        cells += [f"{first['accuracy']:.1%}".replace("%", " %"), _change(first)] if first else ["fails", ""]
        cells += [_speedup(row["measured"].get(library)) for library in ("onnxruntime", "openvino")]
    cells.append(f"{row['size_bytes'] / base['size_bytes']:.2f}" if "size_bytes" in row else "")
    if row.get("peak_rss_bytes") is not None:
        cells += [_duration(row["cpu_seconds"]), f"{row['peak_rss_bytes'] / 1e9:.1f} GB", str(row["lines"])]
    else:
        cells += ["", "", ""]
    return "| " + " | ".join(cells) + " |"


def _change(found: Mapping[str, Any]) -> str:
    change = found["accuracy_change"]
    low, high = change["ci95"]
    if change["negative_flips"] == change["positive_flips"] == 0:
        return "none differs"
    return f"{_signed(change['value'])} ({_signed(low)} to {_signed(high)})"


def _signed(value: float) -> str:
    text = f"{value:+.1f}".replace("-", MINUS)
    return "0.0" if text in ("+0.0", f"{MINUS}0.0") else text


def _speedup(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    if found["failure"] is not None:
        return "fails"
    speedup = found["speedup"]
    low, high = speedup["ci95"]
    return f"{speedup['value']:.2f} ({low:.2f} to {high:.2f})"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _failures(row: Mapping[str, Any]) -> list[str]:
    told = []
    if row.get("failure") is not None:
        told.append(f"- {row['title']}: {row['failure']}")
    names = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}
    for library, found in row["measured"].items():
        if found["failure"] is not None:
            told.append(f"- {row['title']}, its file in {names[library]}: {found['failure']}")
    return told
