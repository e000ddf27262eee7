"""The comparison as one HTML file that needs no network, with the samples that flipped; under 5 MB whatever happens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgetune.compare import words
from edgetune.compare.samples import Shown, shown_first
from edgetune.report import numbers
from edgetune.report.html import render_page

MAX_BYTES = 5_000_000
MAX_FLIPS = 240
MAX_CLASSES = 100


def render_html(data: Mapping[str, Any], samples: Mapping[str, Shown], missing: str | None) -> str:
    """The whole comparison as HTML; everything from the user is escaped.

    Args:
        samples: {digest: what to show of it}, as far as they are at hand.
        missing: why not all are.
    """
    most = MAX_FLIPS
    while True:
        page = _render(data, samples, missing, most)
        if len(page.encode()) < MAX_BYTES or most == 0:
            return page
        most //= 2


def _render(data: Mapping[str, Any], samples: Mapping[str, Shown], missing: str | None, most: int) -> str:
    shown = shown_first(data, most)
    return render_page(
        "compare.html",
        data=data,
        words=words,
        numbers=numbers,
        missing=missing,
        targets=[
            {
                "target": target,
                "rows": words.rows(target),
                "classes": words.class_rows(target["ships"])[: MAX_CLASSES if most else 0],
                "all_classes": len(words.class_rows(target["ships"])),
                "kinds": _kinds(target, shown.get(target["target"], []), samples),
            }
            for target in data["targets"]
        ],
    )


def _kinds(
    target: Mapping[str, Any], shown: list[Mapping[str, Any]], samples: Mapping[str, Shown]
) -> list[dict[str, Any]]:
    """Samples that became wrong, then those that became right, with how many of them there are in all."""
    found = []
    for kind, heading in (("negative", "Became wrong"), ("positive", "Became right")):
        total = sum(flip["kind"] == kind for flip in target["flips"])
        cards = [{**flip, "shown": samples.get(flip["id"])} for flip in shown if flip["kind"] == kind]
        if total:
            found.append({"kind": kind, "heading": heading, "total": total, "cards": cards})
    return found
