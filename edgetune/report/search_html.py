"""A search over compression as one HTML file that needs no network."""

from __future__ import annotations

from typing import Any

from edgetune.report import numbers, search, view
from edgetune.report.html import json_for_script, plotting, render_page


def render_search_html(data: view.Json) -> str:
    """The search as HTML. Everything from the user is escaped; JSON is safe inside <script>."""
    return render_page(
        "search.html", data=data, numbers=numbers, search=search, plots=json_for_script(_plots(data)), **plotting()
    )


def _plots(data: view.Json) -> dict[str, Any]:
    """Only what the figures need."""
    keys = ("number", "state", "engine", "accuracy", "speedup", "size_bytes", "energy_ratio", "values", "inside_budget")
    return {
        "trials": [{key: trial[key] for key in keys} for trial in data["trials"]],
        "front": data["front"],
        "chosen": data["chosen_trial"],
        "float": data["float"],
        "floor": 100 * data["float"]["accuracy"] - data["budget"]["max_accuracy_drop"],
        "hypervolume": data["hypervolume"]["by_trial"],
        "sizes": len(data["objectives"]) > 2,
    }
