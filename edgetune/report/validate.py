"""Does a report follow ``schema.json``, and does it agree with itself?"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from edgetune.errors import ReportError

HINT = "edgetune/report/schema.json documents every field"


def validate(data: Mapping[str, Any]) -> None:
    """Check a report.

    Raises:
        ReportError: naming the place in the document, as in ``targets[0].candidates[1].latency_ms.p50``.
    """
    for place, value in _numbers(data, "$"):
        if not math.isfinite(value):
            raise ReportError(f"report: {place} is {value}", hint="JSON has no such number; use null and a reason")
    problem = best_match(_validator().iter_errors(data))
    if problem is not None:
        raise ReportError(f"report: {_place(problem.absolute_path)}: {problem.message[:300]}", hint=HINT)
    for i, target in enumerate(data["targets"]):
        _check_target(target, f"targets[{i}]")


def validate_tune(data: Mapping[str, Any]) -> None:
    """Check the result of ``edgetune tune``.

    Raises:
        ReportError: naming the place in the document, as in ``trials[3].accuracy``.
    """
    _validate_found(data, "tune")


def validate_search(data: Mapping[str, Any]) -> None:
    """Check the result of ``edgetune search``.

    Raises:
        ReportError: naming the place in the document, as in ``trials[3].speedup.value``.
    """
    _validate_found(data, "search")


def _validate_found(data: Mapping[str, Any], name: str) -> None:
    problem = best_match(_validator(f"{name}-schema.json").iter_errors(data))
    if problem is not None:
        raise ReportError(
            f"{name}.json: {_place(problem.absolute_path)}: {problem.message[:300]}",
            hint=f"edgetune/report/{name}-schema.json documents every field",
        )


@cache
def _validator(name: str = "schema.json") -> Draft202012Validator:
    schema = json.loads(resources.files("edgetune.report").joinpath(name).read_text(encoding="utf-8"))
    return Draft202012Validator(schema)


def _check_target(target: Mapping[str, Any], place: str) -> None:
    names = [candidate["name"] for candidate in target["candidates"]]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise ReportError(f"report: {place}.candidates: {sorted(repeated)[0]!r} is there twice", hint=HINT)
    known = [*names, target["baseline"]["name"]] if target["baseline"] else names
    if target["chosen"] is not None and target["chosen"] not in known:
        raise ReportError(f"report: {place}.chosen: {target['chosen']!r} is none of {', '.join(known)}", hint=HINT)
    if (confusion := target.get("confusion")) is not None:
        size = len(confusion["labels"])
        if len(confusion["matrix"]) != size or any(len(row) != size for row in confusion["matrix"]):
            raise ReportError(f"report: {place}.confusion.matrix is not {size} x {size}", hint=HINT)


def _place(path: Any) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.lstrip(".") or "the document"


def _numbers(value: Any, place: str) -> Iterator[tuple[str, float]]:
    """Every float of the document with its place."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _numbers(item, f"{place}.{key}")
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from _numbers(item, f"{place}[{i}]")
    elif isinstance(value, float):
        yield place.removeprefix("$."), value
