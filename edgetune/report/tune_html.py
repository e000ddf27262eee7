"""A search as one HTML file that needs no network."""

from __future__ import annotations

from typing import Any

from edgetune.report import numbers, tune, view
from edgetune.report.html import json_for_script, plotting, render_page


def render_tune_html(data: view.Json) -> str:
    """The search as HTML. Everything from the user is escaped; JSON is safe inside <script>."""
    best = {trial["number"]: trial for trial in data["trials"]}.get(data["best_trial"])
    return render_page(
        "tune.html",
        data=data,
        numbers=numbers,
        tune=tune,
        best=best,
        own={trial["number"]: trial for trial in data["trials"]}.get(data["recipe_trial"]),
        plots=json_for_script(_plots(data)),
        **plotting(),
    )


def _plots(data: view.Json) -> dict[str, Any]:
    """Only what the figures need."""
    keys = ("number", "state", "accuracy", "values", "history", "recipe")
    return {
        "trials": [{key: trial[key] for key in keys} for trial in data["trials"]],
        "space": [{"name": d["name"], "log": bool(d.get("log")), "choices": d.get("choices")} for d in data["space"]],
        "importance": data["importance"],
        "best": data["best_trial"],
    }
