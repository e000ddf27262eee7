"""Commands that measure or judge what there is: engines, runs, ONNX files."""

import json
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from edgetune import pipeline
from edgetune.api.common import writable
from edgetune.errors import BackendError, DeviceError, InputError
from edgetune.private import cleaned
from edgetune.progress import Quiet, Reporter
from edgetune.records import BenchSpec


def bench(
    models: Sequence[str | Path],
    *,
    spec: BenchSpec | None = None,
    shapes: Sequence[str] = (),
    batch: int | None = None,
    rate: float | None = None,
    arrivals: str = "poisson",
    offline: bool = False,
    seed: int = 0,
    output: str | Path | None = None,
    html: str | Path | None = None,
    device: str | None = None,
    backends: Sequence[str] = (),
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Measure ONNX files and bundles side by side; the first is what the others are compared with.

    Args:
        shapes: ``"image=1x3x224x224"`` or ``"seq=64"`` for free dimensions.
        batch: samples of one inference, for a free first dimension.
        rate: requests per second of the fixed-rate scenario; ``arrivals`` is poisson or constant.
        offline: judge by throughput.
        output: a JSON file for all of it; the raw values, which it holds, are under ``raw``.
        html: a page for it, with every percentile.
        device: ``ssh://[user@]host[:port]``; None: this machine.
        backends: the libraries each ONNX file is measured in, ``onnxruntime`` or ``openvino``; none: ONNX Runtime.

    Raises:
        InputError: a file, shape or option that cannot be; names it. DeviceError: the device cannot do it.
    """
    from edgetune.devices.ssh import connect
    from edgetune.measure.bench import bench as run  # the other commands do without it
    from edgetune.measure.inputs import parse_shapes
    from edgetune.measure.scenarios import make_scenario

    reporter = reporter or Quiet()
    destination, page = writable(output), writable(html)
    try:
        with connect(device) if device else nullcontext() as there:
            result = run(
                [Path(model) for model in models],
                spec=spec or BenchSpec(),
                scenario=make_scenario(rate, arrivals, offline),
                shapes=parse_shapes(shapes),
                batch=batch,
                seed=seed,
                progress=reporter.tick("measure"),
                device=there,
                **({"backends": tuple(backends)} if backends else {}),
            )
    finally:
        reporter.close()
    result["versions"] = pipeline.library_versions()
    told: dict[str, Any] = cleaned(result)
    if page is not None:
        from edgetune.report.bench_html import write_bench_html  # it needs jinja2

        write_bench_html(told, page)
    if destination is not None:
        destination.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return told


def bench_on(
    models: Sequence[str | Path],
    devices: Sequence[str],
    *,
    output: str | Path | None = None,
    reporter: Reporter | None = None,
    **options: Any,
) -> list[dict[str, Any]]:
    """``bench`` on several devices at once; the results in their order, a device that failed as ``{"error": ...}``.

    Raises:
        InputError: a file, shape, option or address that cannot be.
    """
    from concurrent.futures import ThreadPoolExecutor

    from edgetune.devices.ssh import parse_address

    reporter, destination = reporter or Quiet(), writable(output)
    names = [parse_address(device).host for device in devices]

    def one(device: str, name: str) -> dict[str, Any]:
        try:
            result = bench(models, device=device, **options)
            reporter.say(f"{name}: done")
        except (DeviceError, BackendError) as error:
            reporter.say(f"{name}: failed: {error.message}")
            result = {"device": {"name": name}, "error": error.message, "hint": error.hint}
        return result

    with ThreadPoolExecutor(len(devices)) as pool:
        results = list(pool.map(one, devices, names))
    if destination is not None:
        destination.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return results


def self_check(
    model: str | Path,
    *,
    repeats: int = 20,
    spec: BenchSpec | None = None,
    shapes: Sequence[str] = (),
    batch: int | None = None,
    seed: int = 0,
    output: str | Path | None = None,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Test the measurement on this machine: ``model`` against itself, and against a 3 % slower copy.

    Raises:
        InputError: a file or shape that cannot be; names it.
    """
    from edgetune.measure.inputs import parse_shapes
    from edgetune.measure.self_check import self_check as run

    reporter = reporter or Quiet()
    destination = writable(output)
    try:
        result = run(
            Path(model),
            repeats=repeats,
            spec=spec or BenchSpec(),
            shapes=parse_shapes(shapes),
            batch=batch,
            seed=seed,
            progress=reporter.tick("self-check"),
        )
    finally:
        reporter.close()
    result["versions"] = pipeline.library_versions()
    if destination is not None:
        destination.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return result


def compare(
    run_a: str | Path,
    run_b: str | Path,
    *,
    max_accuracy_drop: float = 1.0,
    max_slowdown: float = 5.0,
    max_size_growth: float | None = None,
    strict: bool = False,
    junit: str | Path | None = None,
    markdown: str | Path | None = None,
    html: str | Path | None = None,
    data: str | Path | None = None,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """What changed from run a to run b in accuracy, latency and size, and whether that is a ``regression``.

    Args:
        run_a, run_b: folders that ``build`` wrote.
        max_accuracy_drop: percentage points the shipped engine may lose; a drop that is no chance is too much anyway.
        max_slowdown: percent its latency may be proven higher by.
        max_size_growth: percent its file may be larger by; None: any.
        strict: a check that could not be made has failed.
        junit, markdown, html: files to write the same to.
        data: where ``html`` finds the samples that flipped; None: where the recipes say.

    Returns:
        Plain data of schema ``edgetune.compare/1``; ``docs/compare.md`` describes it.

    Raises:
        InputError: no runs, or runs that have nothing to compare. ReportError: a file cannot be written.
    """
    from edgetune.compare.checks import Limits  # these load scipy
    from edgetune.compare.compare import compare_runs
    from edgetune.compare.runs import read_run
    from edgetune.compare.write import write_forms

    limits = Limits(
        max_accuracy_drop=max_accuracy_drop,
        max_slowdown=max_slowdown,
        max_size_growth=max_size_growth,
        strict=strict,
    )
    if data is not None and html is None:
        raise InputError("--data is where --html finds the samples", hint="give --html FILE too")
    files = {form: writable(file) for form, file in (("junit", junit), ("markdown", markdown), ("html", html))}
    runs = read_run(Path(run_a)), read_run(Path(run_b))
    found: dict[str, Any] = cleaned(compare_runs(*runs, limits))
    reporter = reporter or Quiet()
    try:
        write_forms(found, runs, files, Path(data) if data is not None else None, reporter.tick("find samples"))
    finally:
        reporter.close()
    return found


def validate(model: str | Path, version: str) -> list[dict[str, str]]:
    """What TensorRT of ``version`` (such as ``tensorrt-10.3``) would refuse in an ONNX file, as plain findings.

    ``openvino`` for a version: what the installed OpenVINO makes of it.

    Raises:
        InputError: an unknown version, or no ONNX file; OpenVINO is not installed.
    """
    from edgetune.backends import openvino_rules, tensorrt_rules  # the other commands do without them

    if version == "openvino":
        return [finding.to_json() for finding in openvino_rules.validate(Path(model))]
    return [finding.to_json() for finding in tensorrt_rules.validate(Path(model), version)]


def device_times(folder: str | Path) -> dict[str, Any]:
    """What ``build_on_device.sh`` measured: the device, and each engine's latency and reformat layers.

    Raises:
        InputError: no times are there. BackendError: a damaged file.
    """
    from edgetune.report.device_times import read_device_times  # it loads scipy

    return read_device_times(Path(folder))
