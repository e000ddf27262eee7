"""Where the time goes and what 8 bits cost, layer by layer, from what measuring and quantizing noted."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from edgetune.records import Artifact, Plan, Step

Json = Mapping[str, Any]
LAYERS, ALONE = "layers.json", "alone.json"  # among a step's notes
QUANTIZERS = ("quantize", "qat", "quantize_dynamic")  # steps that note each layer's rounding noise


def target_layers(entry: Json, plan: Plan, artifacts: Mapping[str, Artifact]) -> dict[str, Any] | None:
    """``layers`` of a measured target, from notes; None: results of before operators were asked, or of trtexec."""
    profiles = _note(artifacts.get(f"measure:{entry['target']}"), LAYERS)
    if profiles is None:
        return None
    noise: dict[str, list[Json]] = {}
    apart: dict[str, Json] = {}
    steps = {step.id: step for step in plan.steps}
    for candidate in plan.candidates:
        if candidate.target == entry["target"]:
            for step in _behind(candidate.onnx_step, steps):
                noise[candidate.name] = _note(artifacts.get(step.id), LAYERS) or []
                apart[candidate.name] = _note(artifacts.get(step.id), ALONE) or {}
    baseline = entry["baseline"]["name"]
    after = entry["chosen"] if entry["chosen"] != baseline else _fastest_other(baseline, entry["candidates"])
    table = layer_table(baseline, after, profiles, noise)
    losses = apart.get(after or "")
    return with_losses(table, losses) if losses else table


def _fastest_other(baseline: str, candidates: Iterable[Json]) -> str | None:
    timed = [c for c in candidates if c["name"] != baseline and c["latency_ms"]]
    return min(timed, key=lambda c: c["latency_ms"]["p50"])["name"] if timed else None


def _behind(step_id: str, steps: Mapping[str, Step]) -> Iterable[Step]:
    """The steps that quantized what ``step_id`` made: others only change the file's types or its input."""
    while step_id in steps:
        step = steps[step_id]
        if step.name in QUANTIZERS:
            yield step
            return
        step_id = step.inputs.get("onnx", "")


def _note(artifact: Artifact | None, name: str) -> Any:
    path = None if artifact is None else artifact.path / "notes" / name
    return json.loads(path.read_text(encoding="utf-8")) if path is not None and path.exists() else None


def layer_table(
    baseline: str, after: str | None, profiles: Mapping[str, Json], noise: Mapping[str, Sequence[Json]]
) -> dict[str, Any]:
    """``layers`` of a target in the report.

    Args:
        after: the engine to put beside the baseline; None: there is no other.
        profiles: {engine: ``operators`` with layer, operator and ms, or a ``reason`` why there are none}.
        noise: {engine: layers with node (as the file has it), layer and sqnr_db} of INT8 engines.
    """
    names = [baseline, *([after] if after else [])]
    shown = {name: _summed(profiles.get(name, {}).get("operators", []), noise.get(name, ())) for name in names}
    rounded = noise.get(after or "")
    sqnr = {row["layer"]: row["sqnr_db"] for row in rounded or ()}
    known = any(value is not None for value in sqnr.values())
    in_float = {layer for layer, value in sqnr.items() if known and value is None}
    before, behind = shown[baseline], shown.get(after or "", ({}, {}))
    order = dict.fromkeys([*before[0], *behind[0], *(layer for layer, value in sqnr.items() if value is not None)])
    return {
        "before": baseline,
        "after": after,
        "sqnr_of": after if known else None,
        "rows": [
            {
                "layer": layer,
                "before_ms": before[0].get(layer),
                "after_ms": behind[0].get(layer),
                "sqnr_db": None if sqnr.get(layer) is None else round(sqnr[layer], 2),
                **({"in_float": True} if layer in in_float else {}),
            }
            for layer in order
        ],
        "others": [
            {"operator": kind, "before_ms": before[1].get(kind), "after_ms": behind[1].get(kind)}
            for kind in sorted({*before[1], *behind[1]}, key=lambda kind: -max(_times(kind, before[1], behind[1])))
        ],
        "missing": [
            f"layers of {name}: {reason}" for name in names if (reason := profiles.get(name, {}).get("reason"))
        ],
    }


def with_losses(table: Json, apart: Json) -> dict[str, Any]:
    """The same table with what rounding each layer of the other engine alone adds to the loss on a few samples.

    Args:
        apart: what the step noted (``steps.layer_notes``).
    """
    found: dict[str, dict[str, float]] = {}
    for row in apart["layers"]:  # a module that is used twice is two operators
        sums = found.setdefault(row["layer"], {"loss_change": 0.0, "divergence": 0.0})
        for key in sums:
            sums[key] = round(sums[key] + row[key], 7)
    rows = [_with_loss(row, found.get(row["layer"])) for row in table["rows"]]
    whole = {"alone": {key: apart[key] for key in ("samples", "loss")}} if apart["layers"] else {}
    return {**table, **whole, "rows": rows, "missing": [*table["missing"], *_unseen(table["after"], apart)]}


def _with_loss(row: Json, found: Json | None) -> Json:
    """A layer that was rounded, though without noise, is not in float."""
    return row if found is None else {**{key: value for key, value in row.items() if key != "in_float"}, **found}


def _unseen(engine: str, apart: Json) -> list[str]:
    """What the work that a build may spend on it was too little for."""
    what, more = f"loss by layer of {engine}", "as a build spends little on it: `edgetune diagnose` looks at all"
    if not apart["layers"]:
        return [f"{what}: its {apart['left_out']} layers are too large, {more}"] if apart["left_out"] else []
    parts = [f"only {apart['samples']} samples"] if apart["asked"] < apart["wanted"] else []
    parts += [f"not the {apart['left_out']} layers with the least noise"] if apart["left_out"] else []
    return [f"{what}: {' and '.join(parts)}, {more}"] if parts else []


def _summed(operators: Sequence[Json], noise: Sequence[Json]) -> tuple[dict[str, float], dict[str, float]]:
    """Milliseconds by layer, under the module's name, and by kind of operator of all that is no layer."""
    modules = {row["node"]: row["layer"] for row in noise}
    layers: dict[str, float] = defaultdict(float)
    others: dict[str, float] = defaultdict(float)
    for one in operators:
        if one["layer"] is None:
            others[one["operator"]] += one["ms"]
        else:
            layers[str(modules.get(one["layer"], one["layer"]))] += one["ms"]
    return _rounded(layers), _rounded(others)


def _rounded(table: Mapping[str, float]) -> dict[str, float]:
    """Nanoseconds are more than a profiler tells."""
    return {name: round(ms, 6) for name, ms in table.items()}


def _times(kind: str, *tables: Mapping[str, float]) -> list[float]:
    return [table.get(kind, 0.0) for table in tables]
