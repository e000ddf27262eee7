"""The whole comparison of two runs as plain data (schema ``edgetune.compare/1``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from edgetune import __version__
from edgetune.compare.checks import FAILED, SKIPPED, Limits, check_candidate, check_pair, not_compared
from edgetune.compare.pairs import compare_engines, flips, measured_once, noise, not_comparable, pair_samples
from edgetune.compare.runs import Run
from edgetune.errors import InputError
from edgetune.report.gate_words import failures
from edgetune.report.view import candidates, flatten

SCHEMA = "edgetune.compare/1"
SHOWN = 5


def compare_runs(a: Run, b: Run, limits: Limits) -> dict[str, Any]:
    """What changed from run a to run b, and which checks that fails.

    Raises:
        InputError: the same folder twice, different classes, no target in common, nothing that can be compared.
    """
    if a.folder.resolve() == b.folder.resolve():
        raise InputError(f"{b.folder} is the same run as {a.folder}", hint="give two runs: the old and the new one")
    _same_classes(a, b)
    targets = _targets(a, b)
    compared = [_target(a, b, name) for name in targets]
    checks = [check for target in compared for check in _checks(target, limits)]
    checks += [
        check
        for name, which in _only_in_one(a, b)
        for check in not_compared(name, f"only run {which} was built for it", limits)
    ]
    if all(check["outcome"] == SKIPPED for check in checks):
        raise InputError(
            "nothing of these runs can be compared: " + "; ".join(f"{c['target']}: {c['message']}" for c in checks),
            hint="compare runs whose engines were evaluated",
        )
    return {
        "schema": SCHEMA,
        "edgetune": __version__,
        "a": _about(a),
        "b": _about(b),
        "limits": asdict(limits),
        "regression": any(check["outcome"] == FAILED for check in checks),
        "checks": checks,
        "targets": compared,
        "changed": _changed(a, b),
    }


def _about(run: Run) -> dict[str, Any]:
    return {"run": run.name, "created": run.report.get("created"), "edgetune": run.report["edgetune"]}


def _same_classes(a: Run, b: Run) -> None:
    names = [_labels(run) for run in (a, b)]
    if names[0] == names[1]:
        return
    told = [
        f"only in {which}: {', '.join(sorted(only)[:SHOWN])}{' and more' if len(only) > SHOWN else ''}"
        for which, only in (("A", names[0] - names[1]), ("B", names[1] - names[0]))
        if only
    ]
    raise InputError(
        f"the runs were trained on different classes ({'; '.join(told)})",
        hint="compare runs of the same classes: an answer to another question is neither better nor worse",
    )


def _labels(run: Run) -> set[str]:
    kept = next((found.labels for found in run.predictions.values()), ())
    return set(map(str, run.report["dataset"].get("labels") or kept))


def _targets(a: Run, b: Run) -> list[str]:
    built = [[target["target"] for target in run.report["targets"]] for run in (a, b)]
    common = [name for name in built[0] if name in built[1]]
    if not common:
        raise InputError(
            f"the runs have no target in common: A was built for {', '.join(built[0]) or 'none'}, "
            f"B for {', '.join(built[1]) or 'none'}",
            hint=f"build B with --target {built[0][0]}" if built[0] else "build A for a target",
        )
    return common


def _only_in_one(a: Run, b: Run) -> list[tuple[str, str]]:
    names = [[target["target"] for target in run.report["targets"]] for run in (a, b)]
    return [(name, "A") for name in names[0] if name not in names[1]] + [
        (name, "B") for name in names[1] if name not in names[0]
    ]


def _target(a: Run, b: Run, name: str) -> dict[str, Any]:
    """One target of both runs: the engines that ship, and the candidates of the same name."""
    entries = [run.target(name) or {} for run in (a, b)]
    samples = pair_samples(a, b, name)
    chosen = (entries[0]["chosen"], entries[1]["chosen"])
    ships = None if None in chosen else compare_engines(a, b, name, chosen, samples)
    known = [[c["name"] for c in candidates(entry) if c["metrics"] is not None] for entry in entries]
    others = [compare_engines(a, b, name, (one, one), samples) for one in known[0] if one in known[1]]
    return {
        "target": name,
        "status": [entry["status"] for entry in entries],
        "samples": samples.to_json(),
        "latency_not_comparable": not_comparable(a, b, name, samples),
        "measured_once": measured_once(a, b, name),
        "failed_gates": {"a": failures(a.report, name), "b": failures(b.report, name)},
        "noise": {"a": noise(a, name), "b": noise(b, name)},
        "ships": ships,
        "candidates": others,
        "only_a": [one for one in known[0] if one not in known[1]],
        "only_b": [one for one in known[1] if one not in known[0]],
        "flips": [] if ships is None else flips(chosen, samples),
    }


def _checks(target: Mapping[str, Any], limits: Limits) -> list[dict[str, Any]]:
    if target["ships"] is not None:
        return check_pair(target["target"], target["ships"], limits)
    told = " and ".join(f"{which} is {status}" for which, status in zip("AB", target["status"], strict=True))
    return [
        *not_compared(target["target"], f"no engine was chosen in both runs ({told})", limits),
        *(check for pair in target["candidates"] for check in check_candidate(target["target"], pair, limits)),
    ]


# --- what may have been the cause -----------------------------------------------------------


def _changed(a: Run, b: Run) -> dict[str, list[dict[str, str]]]:
    """Where recipes and library versions differ: what a reader looks at next."""
    recipes = [dict(flatten(run.report["recipe"])) for run in (a, b)]
    versions = [dict(_versions(run)) for run in (a, b)]
    return {"recipe": _differences(*recipes), "versions": _differences(*versions)}


def _versions(run: Run) -> Iterator[tuple[str, str]]:
    """Of the libraries here, and on each device that measured for itself."""
    if here := run.report["environment"].get("versions"):
        yield from flatten(here)
    for target, raw in run.latency.items():
        if isinstance(device := raw.get("device"), dict) and device.get("versions"):
            yield from flatten(device["versions"], f"{target} device")


def _differences(a: Mapping[str, str], b: Mapping[str, str]) -> list[dict[str, str]]:
    return [
        {"key": key, "a": _plain(key, a.get(key)), "b": _plain(key, b.get(key))}
        for key in dict.fromkeys([*a, *b])
        if a.get(key) != b.get(key)
    ]


def _plain(key: str, value: str | None) -> str:
    """The value, but of a path from the root only its last part, and nothing of a network's own arguments."""
    if value is None:
        return "-"
    if key.startswith("model.args"):
        return "(not shown)"
    for kind in (PurePosixPath, PureWindowsPath):
        if kind(value).is_absolute():
            return kind(value).name
    return value
