"""A diagnosis of quantization as lines for a terminal and as a page with its table and plot."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgetune.errors import InputError
from edgetune.report.html import json_for_script, plotting, render_page
from edgetune.report.ours import may_go
from edgetune.report.write import replace_file

MARK = "edgetune diagnosis</title>"
BEGINS = '{\n "target": '  # our JSON
SHOWN = 8  # layers in the terminal; the page has all

Json = Mapping[str, Any]


def write_diagnosis(found: dict[str, Any], folder: Path) -> list[Path]:
    """Write ``diagnosis.json`` and ``diagnosis.html``; returns both paths.

    Raises:
        InputError: the folder cannot be written, or holds files of these names that are no diagnosis.
    """
    sentences = [line for line in verdict(found) if not line.startswith(" ")]
    advice = "\n".join(line.removeprefix("    ") for line in verdict(found) if line.startswith(" "))
    texts = {
        "diagnosis.json": json.dumps(found, indent=1) + "\n",
        "diagnosis.html": render_page(
            "diagnosis.html",
            found=found,
            verdict=sentences,
            advice=advice,
            ranked=ranked(found),
            plots=json_for_script([_plotted(layer) for layer in found["layers"]]),
            **plotting(),
        ),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in (folder / name for name in texts):
            if path.exists() and not may_go(path, _is_ours):
                told = f"{path} exists and is no diagnosis; it is not overwritten"
                raise InputError(told, hint="give another --output")
        for name, text in texts.items():
            replace_file(folder / name, text)
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror}", hint="give another --output") from error
    return [folder / name for name in texts]


def _is_ours(head: str) -> bool:
    return MARK in head or head.startswith(BEGINS)


def _plotted(layer: Json) -> dict[str, Any]:
    names = {"name": layer["layer"], "operator": layer["operator"]}
    return {**names, "sqnr": layer["sqnr_db"], "divergence": layer["alone"]["divergence"]}


def verdict(found: Json) -> list[str]:
    """What happened, where, and what to do: three sentences or so."""
    floating, now = found["float"]["accuracy"], found["trials"][0]["outcome"]
    lost = 100 * (floating - now["accuracy"])
    said = [
        f"On {found['samples']} validation samples the network has {100 * floating:.1f} % in float and "
        f"{100 * now['accuracy']:.1f} % in 8 bits ({0.0 - lost:+.1f} points; {100 * now['agreement']:.1f} % of the "
        "answers are the same)."
    ]
    common = found["commonest"]
    if not common["beaten"]:
        said.append(
            "The float network itself is not proven better than always giving the commonest answer, which is right for "
            f"{common['share']:.0%}: what follows says little; train longer, or look at the data (`edgetune check`)."
        )
    worst = ranked(found)[:1]
    if worst and worst[0]["alone"]["divergence"] > 0:
        layer = worst[0]
        why = f": {layer['causes'][0]}" if layer["causes"] else ""
        said.append(f"The operator that costs most is {layer['layer']} ({layer['operator']}){why}.")
    return [*said, *_advice(found, lost)]


def _advice(found: Json, lost: float) -> list[str]:
    limit = found["max_accuracy_drop"]
    budget = f"{limit:g} point{'' if limit == 1 else 's'}"
    if found["suggested"] == 0:
        return [f"That is within the budget of {budget}: nothing needs mending."]
    if found["suggested"] is None:
        best = max(found["trials"], key=lambda trial: trial["outcome"]["accuracy"])
        reached = 100 * best["outcome"]["accuracy"]
        return [
            f"Nothing that was tried stays within {budget}; the nearest is {best['change']}: {reached:.1f} %.",
            'Try training with the rounding in place (`[quantize] mode = "qat"`), stay in float, or store the weights '
            'alone as 8 bits (`weights = ["int8"]`).',
        ]
    trial = found["trials"][found["suggested"]]
    reached = 100 * trial["outcome"]["accuracy"]
    return [f"What helps: {trial['change']}, with {reached:.1f} %; in the recipe:", *recipe_lines(trial["settings"])]


def recipe_lines(settings: Json) -> list[str]:
    """The settings as a recipe has them."""

    def quoted(names: list[str]) -> str:
        return "[" + ", ".join(f'"{name}"' for name in names) + "]"

    lines = ["    [quantize]"]
    if settings["calibration"] is not None:
        lines.append(f'    calibration = "{settings["calibration"]}"')
    lines.append(f"    repair = {quoted(settings['repair'])}")
    if settings["keep_float"]:
        lines.append(f"    keep_float = {quoted(settings['keep_float'])}")
    return lines


def ranked(found: Json) -> list[dict[str, Any]]:
    """The operators, the one that costs most alone first."""
    return sorted(found["layers"], key=lambda layer: -layer["alone"]["divergence"])


def diagnosis_text(found: Json) -> str:
    """The verdict, the worst operators and the trials."""
    shown = ranked(found)[:SHOWN]
    names = max([25, *(len(layer["layer"]) for layer in shown)]) + 1
    lines = [*verdict(found), "", f"{'quantized alone':<{names}}operator  divergence   SQNR    why"]
    for layer in shown:
        decibels = "-" if layer["sqnr_db"] is None else f"{layer['sqnr_db']:.1f} dB"
        why = "; ".join(layer["causes"]) or "-"
        divergence = layer["alone"]["divergence"]
        lines.append(f"{layer['layer']:<{names}}{layer['operator']:<10}{divergence:<12.2g} {decibels:<8}{why}".rstrip())
    if (more := len(found["layers"]) - SHOWN) > 0:
        lines.append(f"and {more} more")
    lines += ["", "tried                              accuracy  same answers  divergence"]
    for trial in found["trials"]:
        after, mark = trial["outcome"], "helped" if trial["helped"] and trial is not found["trials"][0] else ""
        lines.append(
            f"{trial['change']:<35}{100 * after['accuracy']:>6.1f} %{100 * after['agreement']:>12.1f} %"
            f"  {after['divergence']:<10.2g}  {mark}".rstrip()
        )
    if found["left_in_float"]:
        kinds = ", ".join(f"{number} {kind}" for kind, number in found["left_in_float"].items())
        lines += ["", f"operators in float: {kinds}"]
    return "\n".join(lines)
