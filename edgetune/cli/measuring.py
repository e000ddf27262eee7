"""Commands that measure or judge what there is."""

from pathlib import Path
from typing import Any

import click

from edgetune.cli.group import cli
from edgetune.cli.options import command_options, device_option, emit, example
from edgetune.errors import InputError


@cli.command(epilog=example("edgetune validate model.onnx --for tensorrt-10.3"))
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--for",
    "version",
    required=True,
    metavar="VERSION",
    help="tensorrt-8.5 to tensorrt-11.4, tensorrt-10.3-dla, or openvino.",
)
@command_options
def validate(model: Path, version: str, as_json: bool) -> int:
    """Find what TensorRT's ONNX parser would refuse in MODEL, anybody's ONNX file, without TensorRT.

    `--for openvino` asks the installed OpenVINO: does it open the file, and which quantized layers run in float?
    """
    from edgetune import api

    findings = api.validate(model, version)
    emit(findings, as_json, lambda: findings_text(findings, version))
    return 3 if any(finding["severity"] == "error" for finding in findings) else 0


def findings_text(findings: list[dict[str, str]], version: str) -> str:
    """Findings as lines, equal ones counted."""
    if not findings and version == "openvino":
        return "openvino opens it, and no quantized layer runs in float"
    if not findings:
        return f"nothing that {version} is known to refuse (the rules know quantization, not every operator)"
    kinds: dict[tuple[str, str, str, str, str], list[str]] = {}
    for item in findings:
        kind = (item["severity"], item["rule"], item["problem"], item["says"], item["do"])
        kinds.setdefault(kind, []).append(item["node"])
    lines = []
    for (severity, rule, problem, says, do), nodes in kinds.items():
        more = f" and {len(nodes) - 1} more" if len(nodes) > 1 else ""
        lines.append(
            f"{severity}: {rule}: {nodes[0]}{more}: {problem}" if nodes[0] else f"{severity}: {rule}: {problem}"
        )
        lines += [f"  {'OpenVINO' if version == 'openvino' else 'TensorRT'} says: {says}"] if says else []
        lines.append(f"  {do}")
    return "\n".join(lines)


@cli.command("device-times", epilog=example("edgetune device-times engines"))
@click.argument("folder", type=click.Path(path_type=Path))
@command_options
def device_times(folder: Path, as_json: bool) -> None:
    """Read FOLDER, which build_on_device.sh wrote on a device: latencies and reformat layers of its engines."""
    from edgetune import api
    from edgetune.report.device_times import device_times_text

    found = api.device_times(folder)
    emit(found, as_json, lambda: device_times_text(found))


@cli.command(epilog=example("edgetune bench float.onnx int8.onnx --shape image=1x3x224x224 --output bench.json"))
@click.argument("models", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--threads", type=click.IntRange(1, 1024), default=1, show_default=True, help="Of one inference.")
@click.option(
    "--batch", type=click.IntRange(1, 65536), help="Samples of one inference, where the graph leaves it free."
)
@click.option("--shape", "shapes", multiple=True, metavar="NAME=1x3x224x224", help="Of an input or a free dimension.")
@click.option("--rate", type=float, metavar="R", help="Fixed rate: R requests a second, timed from when they were due.")
@click.option("--arrivals", type=click.Choice(["poisson", "constant"]), default="poisson", show_default=True)
@click.option("--offline", is_flag=True, help="Throughput: batches one after the other.")
@click.option("--min-runs", type=click.IntRange(10, 1_000_000), default=200, show_default=True, help="Of each engine.")
@click.option("--min-seconds", type=click.FloatRange(0, 3600), default=2.0, show_default=True, help="Of each engine.")
@click.option("--max-seconds", type=click.FloatRange(0.001, 36_000), default=60.0, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True, help="Of inputs, order and arrivals.")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Write all, raw values too, to this JSON file.")
@click.option("--html", type=click.Path(path_type=Path), metavar="FILE", help="Write a page with every percentile.")
@click.option(
    "--backend", "backends", multiple=True, type=click.Choice(["onnxruntime", "openvino"]),
    help="Library that runs the ONNX files (default: onnxruntime); give both to compare them.",
)  # fmt: skip
@device_option
@click.option("--self-check", is_flag=True, help="One model against itself, and against a copy made 3 % slower.")
@click.option("--repeats", type=click.IntRange(1, 1000), default=20, show_default=True, help="Of the self-check.")
@command_options
def bench(
    models: tuple[Path, ...],
    threads: int,
    min_runs: int,
    min_seconds: float,
    max_seconds: float,
    self_check: bool,
    repeats: int,
    devices: tuple[str, ...],
    backends: tuple[str, ...],
    as_json: bool,
    **options: Any,
) -> int:
    """Compare MODELS: any ONNX files, and bundles as folders or .tar; the first is the baseline."""
    from edgetune import api
    from edgetune.progress import Console
    from edgetune.records import BenchSpec
    from edgetune.report.bench import render_bench, render_self_check

    spec = BenchSpec(threads=threads, min_runs=min_runs, min_seconds=min_seconds, max_seconds=max_seconds)
    if options["html"] is not None and (self_check or len(devices) > 1):
        raise InputError("--html is of one measurement, here or on one device", hint="leave it out, or the others")
    if self_check:
        options.pop("html")
        if len(models) > 1 or options.pop("rate") is not None or options.pop("offline") or devices or backends:
            raise InputError(
                "--self-check takes one model, one request after the other, here, in ONNX Runtime",
                hint="leave the others out",
            )
        options.pop("arrivals")
        checked = api.self_check(models[0], repeats=repeats, spec=spec, reporter=Console(), **options)
        shown = checked | {"rows": [{k: v for k, v in row.items() if k != "raw"} for row in checked["rows"]]}
        emit(shown, as_json, lambda: render_self_check(checked))
        return 0 if checked["passed"] else 3
    options["backends"] = backends
    if len(devices) > 1:
        options.pop("html")
        results = api.bench_on(models, devices, spec=spec, reporter=Console(), **options)
        plain = [{key: value for key, value in result.items() if key != "raw"} for result in results]
        emit(plain, as_json, lambda: "\n\n".join(render_bench(result) for result in results))
        return 1 if any("error" in result for result in results) else 0
    result = api.bench(models, spec=spec, reporter=Console(), device=devices[0] if devices else None, **options)
    emit({key: value for key, value in result.items() if key != "raw"}, as_json, lambda: render_bench(result))
    return 0


@cli.command(epilog=example("edgetune compare runs/main runs/new --junit compare.xml --markdown compare.md"))
@click.argument("run_a", type=click.Path(path_type=Path))
@click.argument("run_b", type=click.Path(path_type=Path))
@click.option(
    "--max-accuracy-drop",
    type=click.FloatRange(0, 100),
    default=1.0,
    show_default=True,
    metavar="POINTS",
    help="What ships may lose so much; a drop that is no chance is too much anyway.",
)
@click.option(
    "--max-slowdown",
    type=click.FloatRange(0, 10_000),
    default=5.0,
    show_default=True,
    metavar="PERCENT",
    help="Its latency may be proven so much higher.",
)
@click.option("--max-size-growth", type=click.FloatRange(0), metavar="PERCENT", help="Its file may be so much larger.")
@click.option("--strict", is_flag=True, help="A check that could not be made has failed.")
@click.option("--junit", type=click.Path(path_type=Path), metavar="FILE", help="JUnit XML: a test case for each check.")
@click.option("--markdown", type=click.Path(path_type=Path), metavar="FILE", help="For a pull request.")
@click.option("--html", type=click.Path(path_type=Path), metavar="FILE", help="One page with the samples that flipped.")
@click.option("--data", type=click.Path(path_type=Path), help="Where --html finds the samples [default: see recipe].")
@command_options
def compare(run_a: Path, run_b: Path, as_json: bool, **options: Any) -> int:
    """Tell what changed from RUN_A to RUN_B, folders of `edgetune build`; exit 3 if RUN_B is a regression."""
    from edgetune import api
    from edgetune.compare.terminal import render_comparison
    from edgetune.progress import Console

    found = api.compare(run_a, run_b, reporter=Console(), **options)
    emit(found, as_json, lambda: render_comparison(found))
    return 3 if found["regression"] else 0
