"""Findings of the data check as a report shows them: how bad each is, in words, and the pictures to look at."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from edgetune.records import DataFinding
from edgetune.report.view import Json

SEVERITIES = ("error", "warning", "info")
JOINED = re.compile(r" [~=] ")
SIGNS = {" ~ ": "~ joins what looks alike", " = ": "= joins what is the same, byte for byte"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A finding with its pictures; those that belong together are in one of the ``groups``."""

    severity: str  # error | warning | info; "" where it does not say
    text: str
    groups: list[list[Json]]


def picture_rows(findings: Sequence[DataFinding]) -> list[dict[str, Any]]:
    """``data_examples`` of a report: the number of a finding, a path to look at, and which of them belong together."""
    rows: list[dict[str, Any]] = []
    for number, finding in enumerate(findings):
        sets = [set(JOINED.split(example)) for example in finding.examples]
        for path in finding.samples:
            group = next((place for place, names in enumerate(sets) if path in names and len(names) > 1), None)
            if group is None:
                rows.append({"finding": number, "path": path})
            else:
                sets[group] = sets[group] - {path} | {""}  # a picture may be in several pairs
                rows.append({"finding": number, "path": path, "group": group})
    return rows


def finding_rows(data: Json) -> list[Shown]:
    """Every finding, in order."""
    examples = data.get("data_examples") or []
    return [
        _shown(text, [row for row in examples if row["finding"] == number])
        for number, text in enumerate(data.get("data_findings") or [])
    ]


def _shown(text: str, rows: list[Json]) -> Shown:
    severity, _, told = text.partition(": ")
    known = severity in SEVERITIES
    groups = [list(rows) for _, rows in groupby(enumerate(rows), key=lambda one: one[1].get("group", -1 - one[0]))]
    return Shown(
        severity=severity if known else "",
        text=told if known else text,
        groups=[[row for _, row in group] for group in groups],
    )


def signs_line(data: Json) -> str:
    """What the signs between names in the findings mean; empty where there are none."""
    met = [meaning for sign, meaning in SIGNS.items() if any(sign in text for text in data.get("data_findings") or [])]
    return f"Between names {' and '.join(met)}." if met else ""
