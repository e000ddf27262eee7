"""What ``edgetune bench`` measured, as one HTML file that needs no network."""

from __future__ import annotations

from pathlib import Path

from edgetune.measure.states import summary
from edgetune.report import bench, machine, view
from edgetune.report.html import json_for_script, percentile_curve, plotting, render_page
from edgetune.report.write import write_texts


def write_bench_html(data: view.Json, path: Path) -> None:
    """Write the page of a bench.

    Raises:
        ReportError: it cannot be written.
    """
    write_texts({path.name: render_bench_html(data)}, path.absolute().parent)


def render_bench_html(data: view.Json) -> str:
    """The tables of the terminal, and every percentile. Everything from the user is escaped."""
    timed, engines = data["noise"] is not None, data["engines"]
    notes, telemetry = bench.notes(data) if timed else [], data["telemetry"]
    points = [
        {
            "name": one["name"],
            "role": "",
            "latency": one["latency_ms"]["p50"],
            "curve": percentile_curve(one["latency_ms"]),
        }
        for one in engines
        if timed
    ]
    return render_page(
        "bench.html",
        data=data,
        scenario=bench.scenario(data),
        timing=bench.timing_rows(engines) if timed else [],
        start=bench.start_rows(engines),
        notes=[line for note in notes for line in note.replace("\n    ", " ").splitlines()],
        facts=machine.fact_rows(data["device"]),
        looks=machine.state_rows({**telemetry, "during": summary(telemetry.get("during", ()))}),
        plots=json_for_script({"points": points}),
        **plotting(),
    )
