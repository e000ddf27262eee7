"""The command line: parse, call ``edgetune.api``, print, map errors to exit codes; nothing else."""

import json
import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from edgetune import __version__
from edgetune.errors import EdgetuneError, InputError, Interrupted

EXIT_CODES = "Exit codes: 0 ok, 1 failed, 2 usage or recipe error, 3 a gate failed, 4 prepared but not compiled."


def example(text: str) -> str:
    """A help epilog with an example that click does not rewrap."""
    return f"\b\nExample:\n  {text}"


def command_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--json`` and ``--verbose``, and errors as one message and an exit code."""

    @click.option("--json", "as_json", is_flag=True, help="Write the result to stdout as JSON; all else to stderr.")
    @click.option("--verbose", "-v", is_flag=True, help="Show the traceback of an error.")
    @wraps(function)
    def wrapped(*args: Any, verbose: bool, **kwargs: Any) -> None:
        try:
            code = function(*args, **kwargs)
        except click.exceptions.Exit:
            raise
        except (KeyboardInterrupt, Interrupted) as error:
            fail(error if isinstance(error, Interrupted) else Interrupted("stopped"), verbose)
        except EdgetuneError as error:
            fail(error, verbose)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader went away: nothing to tell
            sys.exit(1)
        except (click.ClickException, click.Abort):
            raise
        except Exception as error:  # noqa: BLE001 - the last line of defence: a message, not a traceback
            fail(
                EdgetuneError(
                    f"unexpected {type(error).__name__}: {error}",
                    hint="this is a bug, or something edgetune does not know: see --verbose, and report it",
                ),
                verbose,
            )
        else:
            if code:
                sys.exit(code)

    return wrapped


def fail(error: EdgetuneError, verbose: bool) -> None:
    """Print an error (with its traceback if asked for) and leave with its code."""
    if verbose:
        import traceback

        traceback.print_exc()
    click.secho(f"error: {error.message}", fg="red", err=True)
    if error.hint:
        click.echo(f"  {error.hint}", err=True)
    sys.exit(error.exit_code)


def emit(data: Any, as_json: bool, text: Callable[[], str]) -> None:
    """The result on stdout: JSON or text."""
    click.echo(json.dumps(data, indent=2) if as_json else text())


recipe_argument = click.argument("recipe", type=click.Path(path_type=Path), default=Path("edgetune.toml"))
target_option = click.option("--target", "-t", "targets", multiple=True, metavar="NAME", help="Repeat for several.")
device_option = click.option(
    "--device", "devices", multiple=True, metavar="ssh://[USER@]HOST[:PORT]", help="Where engines run; repeatable."
)
cache_option = click.option("--cache-dir", type=click.Path(path_type=Path), help="Where finished steps are kept.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}, epilog=EXIT_CODES)
@click.version_option(__version__, prog_name="edgetune")
def cli() -> None:
    """Fine-tune a network, make it small and fast, and prove it on the device.

    \b
    edgetune init data/clothing10       look at the data, write edgetune.toml
    edgetune plan  --target x86-cpu     what would run, what is cached
    edgetune build --target x86-cpu     fine-tune, prune, quantize, compile, measure, bundle
    edgetune report                     where the trade-off report is
    edgetune bench a.onnx b.onnx        compare any engines
    """


@cli.command(epilog=example("edgetune init data/clothing10"))
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--output", "-o", type=click.Path(path_type=Path), default=Path("edgetune.toml"), show_default=True)
@command_options
def init(data: Path, output: Path, as_json: bool) -> None:
    """Look at DATA and write a commented recipe for it."""
    from edgetune import api

    path = api.init(data, output)
    emit({"recipe": str(path)}, as_json, lambda: f"wrote {path}\nnext: edgetune build {path.name}")


@cli.command(epilog=example("edgetune check data/clothing10"))
@click.argument("path", metavar="[RECIPE or DATA]", type=click.Path(path_type=Path), default=Path("edgetune.toml"))
@click.option("--fix", type=click.Path(path_type=Path), metavar="FILE.csv", help="Write a list without what was found.")
@click.option("--labels", is_flag=True, help="Look for wrong labels, by the network of a recipe or the words of texts.")
@click.option(
    "--card", type=click.Path(path_type=Path), metavar="DIR", help="Write a dataset card and Croissant there."
)
@cache_option
@command_options
def check(path: Path, fix: Path | None, labels: bool, card: Path | None, cache_dir: Path | None, as_json: bool) -> int:
    """Look for what makes a dataset lie: leaks between splits, duplicates, broken files, labels, balance."""
    from edgetune import api
    from edgetune.progress import Console

    found = api.check(path, fix=fix, labels=labels, card=card, cache_dir=cache_dir, reporter=Console())
    emit(found, as_json, lambda: check_text(found))
    return 3 if found["failed"] else 0


def check_text(found: dict[str, Any]) -> str:
    """Counts and findings as lines."""
    from edgetune.records import DataFinding

    lines = [f"{split}: {sum(counts.values())} {found['noun']}s" for split, counts in found["counts"].items()]
    findings = [DataFinding(**{**item, "examples": tuple(item["examples"])}) for item in found["findings"]]
    lines += [str(finding) for finding in findings] or ["nothing suspicious was found"]
    if "list" in found:
        lines.append(f"wrote {found['list']} without {found['left_out']} of the files; use it with `[data] path`")
    if "card" in found:
        lines.append(f"wrote {', '.join(found['card'])}")
    return "\n".join(lines)


@cli.command(epilog=example("edgetune plan --target x86-cpu"))
@recipe_argument
@target_option
@device_option
@cache_option
@command_options
def plan(
    recipe: Path, targets: tuple[str, ...], devices: tuple[str, ...], cache_dir: Path | None, as_json: bool
) -> None:
    """Show the steps of a build: what is cached, what would run, what it is likely to cost."""
    from edgetune import api

    made, statuses = api.plan(recipe, target=targets or None, cache_dir=cache_dir, device=devices)
    rows = [
        {
            "id": status.step.id,
            "title": status.step.title,
            "cached": status.cached,
            "seconds": status.seconds,
            "size_bytes": status.size_bytes,
        }
        for status in statuses
    ]
    emit({"steps": rows, "unavailable": dict(made.facts.unavailable)}, as_json, lambda: plan_text(made, statuses))


def plan_text(made: Any, statuses: list[Any]) -> str:
    """The plan as lines."""
    lines = []
    for status in statuses:
        state = {True: "cached", False: "to run", None: "to run"}[status.cached]
        cost = "" if status.seconds is None else f"{status.seconds:8.1f} s"
        note = "" if status.seconds is None or status.cached else " (what the last such step took)"
        lines.append(f"  {state:8}{status.step.title:44}{cost}{note}")
    missing = [status for status in statuses if not status.cached]
    known = [status.seconds for status in missing if status.seconds is not None]
    unknown = len(missing) - len(known)
    lines.append(
        f"{len(statuses)} steps, {len(missing)} to run"
        + (f", about {sum(known):.0f} s" if known else "")
        + (f" ({unknown} of unknown cost)" if unknown and missing else "")
    )
    for name, reason in made.facts.unavailable.items():
        if reason:
            lines.append(f"{name}: will be prepared, not measured: {reason}")
    lines += [f"{name}: will be evaluated, not timed: {reason}" for name, reason in made.facts.untimed.items()]
    return "\n".join(lines)


@cli.command(epilog=example("edgetune build --target x86-cpu"))
@recipe_argument
@target_option
@device_option
@click.option("--run-dir", type=click.Path(path_type=Path), help="Where reports and bundles go.")
@cache_option
@command_options
def build(
    recipe: Path,
    targets: tuple[str, ...],
    devices: tuple[str, ...],
    run_dir: Path | None,
    cache_dir: Path | None,
    as_json: bool,
) -> int:
    """Do the whole job: fine-tune, prune, quantize, compile, measure, select, report, bundle."""
    from edgetune import api
    from edgetune.progress import Console
    from edgetune.report.terminal import render_table

    report = api.build(
        recipe, target=targets or None, run_dir=run_dir, cache_dir=cache_dir, device=devices, reporter=Console()
    )
    try:
        shown = report.run_dir.relative_to(Path.cwd())
    except ValueError:
        shown = report.run_dir
    emit(report.data, as_json, lambda: f"{render_table(report.data)}\n{shown}/report.html")
    return report.exit_code


@cli.command("lr-find", epilog=example("edgetune lr-find --steps 200"))
@recipe_argument
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Folder for the curve [default: ./lr_find].")
@click.option("--lowest", type=float, default=1e-6, show_default=True, help="The first rate.")
@click.option("--highest", type=float, default=1.0, show_default=True, help="The last rate.")
@click.option("--steps", type=int, default=100, show_default=True, help="Batches to try rates with.")
@cache_option
@command_options
def lr_find(
    recipe: Path,
    output: Path | None,
    lowest: float,
    highest: float,
    steps: int,
    cache_dir: Path | None,
    as_json: bool,
) -> None:
    """Try growing learning rates on RECIPE's network and data; suggest one, write the curve as CSV and JSON."""
    from edgetune import api
    from edgetune.progress import Console

    found = api.lr_find(
        recipe,
        output=output,
        lowest=lowest,
        highest=highest,
        steps=steps,
        cache_dir=cache_dir,
        reporter=Console(),
    )
    emit(found, as_json, lambda: lr_find_text(found))


def lr_find_text(found: dict[str, Any]) -> str:
    """The suggestion, a curve of ten points, and where the whole one is."""
    rates, smoothed = found["rates"], found["smoothed"]
    chosen = sorted({round(i * (len(rates) - 1) / 9) for i in range(10)})
    low, high = min(smoothed), max(smoothed)
    lines = ["rate        loss (running mean)"]
    for i in chosen:
        bar = "#" * round(40 * (smoothed[i] - low) / max(high - low, 1e-9))
        lines.append(f"{rates[i]:<10.1e}{smoothed[i]:8.3f}  {bar}".rstrip())
    if not found["diverged"]:
        lines.append("no rate was too high: try again with a larger --highest")
    lines += [f"suggested: [finetune] learning_rate = {found['suggestion']:g}", *found["files"]]
    return "\n".join(lines)


@cli.command(epilog=example("edgetune diagnose --target arm-cpu"))
@recipe_argument
@click.option("--target", "-t", metavar="NAME", help="Whose 8-bit scheme [default: the recipe's first].")
@click.option("--samples", type=int, default=256, show_default=True, help="Validation samples to look at.")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Folder for the page [default: ./diagnosis].")
@cache_option
@command_options
def diagnose(
    recipe: Path, target: str | None, samples: int, output: Path | None, cache_dir: Path | None, as_json: bool
) -> None:
    """Find where RECIPE's network loses accuracy to 8 bits, why, and what helps."""
    from edgetune import api
    from edgetune.progress import Console

    found = api.diagnose(recipe, target=target, samples=samples, output=output, cache_dir=cache_dir, reporter=Console())
    from edgetune.report.diagnosis import diagnosis_text

    emit(found, as_json, lambda: "\n".join([diagnosis_text(found), *found["files"]]))


@cli.command(epilog=example("edgetune validate model.onnx --for tensorrt-10.3"))
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--for", "version", required=True, metavar="VERSION", help="tensorrt-8.5 to tensorrt-11.4, or openvino.")
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


@cli.command(epilog=example("edgetune tune"))
@recipe_argument
@click.option("--storage", metavar="URL", help="Database, or an SQLite file [default: tune/search.db by RECIPE].")
@click.option("--serve", metavar="HOST:PORT", help="Let workers join through this address; trains nothing itself.")
@click.option("--join", metavar="grpc://HOST:PORT", help="Work on a search that is served there.")
@click.option("--force", is_flag=True, help="Overwrite a tuned recipe that something else wrote.")
@click.option(
    "--patience",
    type=click.FloatRange(0, 86_400),
    default=300.0,
    show_default=True,
    help="Seconds to wait for a storage that has gone.",
)
@cache_option
@command_options
def tune(
    recipe: Path,
    storage: str | None,
    serve: str | None,
    join: str | None,
    force: bool,
    patience: float,
    cache_dir: Path | None,
    as_json: bool,
) -> None:
    """Search better values for [finetune] on validation; write them as a new recipe beside RECIPE.

    The same command goes on with a search that was stopped. Several workers may share one: start the command again
    with the same --storage, or --join one that --serve serves.
    """
    from edgetune import api
    from edgetune.progress import Console
    from edgetune.report.tune import render_tune

    if join and (serve or storage):
        raise InputError("--join takes the storage from the search it joins", hint="leave --storage and --serve out")
    if serve:
        api.tune_serve(recipe, address=serve, storage=storage, announce=lambda url: announce_search(url, as_json))
        return
    found = api.tune(
        recipe,
        storage=storage,
        join=join,
        force=force,
        patience=patience,
        cache_dir=cache_dir,
        reporter=Console(),
    )
    emit(found, as_json, lambda: tune_text(found, render_tune(found)))


def announce_search(url: str, as_json: bool) -> None:
    """Where workers join, and how."""
    emit({"url": url}, as_json, lambda: f"serving {url}\nworkers: edgetune tune --join {url}")
    sys.stdout.flush()


def tune_text(found: dict[str, Any], table: str) -> str:
    """The trials, what was written, and what to do next."""
    page = next(path for path in found["files"] if path.endswith(".html"))
    if not found["complete"]:
        table += "\nThe time is up; the same command goes on."
    recipe = os.path.relpath(found["recipe"])
    return f"{table}\nwrote {recipe}, {os.path.relpath(page)}\nnext: edgetune build {recipe}"


@cli.command("device-times", epilog=example("edgetune device-times engines"))
@click.argument("folder", type=click.Path(path_type=Path))
@command_options
def device_times(folder: Path, as_json: bool) -> None:
    """Read FOLDER, which build_on_device.sh wrote on a device: latencies and reformat layers of its engines."""
    from edgetune import api
    from edgetune.report.device_times import device_times_text

    found = api.device_times(folder)
    emit(found, as_json, lambda: device_times_text(found))


@cli.command(epilog=example("edgetune report --open"))
@click.argument("run", type=click.Path(path_type=Path), required=False)
@click.option("--open", "open_it", is_flag=True, help="Show report.html in the browser.")
@command_options
def report(run: Path | None, open_it: bool, as_json: bool) -> None:
    """Show the result of RUN (default: the newest under ./runs)."""
    from edgetune import api
    from edgetune.report.terminal import render_table

    folder = api.find_report(run)
    data = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    page = folder / "report.html"
    emit(data, as_json, lambda: f"{render_table(data)}\n{page}")
    if open_it and click.launch(str(page.absolute())) != 0:
        click.echo(f"no browser could be started; open {page.absolute()}", err=True)


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
    if self_check:
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


@cli.command(epilog=example("edgetune bundle runs/2026-11-21T07-19-23/bundles/x86-cpu --emit cpp classify"))
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--emit",
    "program",
    nargs=2,
    required=True,
    metavar="cpp DIR",
    type=(click.Choice(["cpp"]), click.Path(path_type=Path)),
    help="Write a CMake project that runs it into DIR, which must be new.",
)
@command_options
def bundle(bundle: Path, program: tuple[str, Path], as_json: bool) -> None:
    """Write programs that run BUNDLE, a folder or a .tar that `build` made."""
    from edgetune import api

    language, folder = program
    api.emit_cpp(bundle, folder)
    result = {"language": language, "project": str(folder)}
    emit(result, as_json, lambda: f"wrote {folder}\nnext: cmake -S {folder} -B build && cmake --build build")


@cli.group(invoke_without_command=True, epilog=example("edgetune targets show jetson"))
@click.pass_context
@command_options
def targets(context: click.Context, as_json: bool) -> None:
    """The devices edgetune builds for: one line each, or `show NAME` for all about one."""
    if context.invoked_subcommand is None:
        list_targets(as_json)


def list_targets(as_json: bool) -> None:
    """Print every target."""
    from dataclasses import asdict

    from edgetune.target import all_targets

    known = all_targets(Path.cwd())
    emit(
        [asdict(target) for target in known],
        as_json,
        lambda: "\n".join(f"{t.name:18}{t.backend:13}{t.summary}" for t in known),
    )


@targets.command("show", epilog=example("edgetune targets show jetson"))
@click.argument("name")
@command_options
def targets_show(name: str, as_json: bool) -> None:
    """All that is known of target NAME, and where each fact comes from."""
    from dataclasses import asdict

    from edgetune.target import load_target

    target = load_target(name, Path.cwd())
    emit(asdict(target), as_json, lambda: target_text(target))


@targets.command("probe", epilog=example("edgetune targets probe ssh://pi@raspberrypi.local -o targets/my-pi.toml"))
@click.argument("device", required=False, metavar="[ssh://[USER@]HOST[:PORT]]")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Write the target file here.")
@command_options
def targets_probe(device: str | None, output: Path | None, as_json: bool) -> None:
    """Look at a machine (default: this one) and make a target file for it."""
    from edgetune import api

    found = api.probe(device, output)
    wrote = f"wrote {output}; build for it: edgetune build --target {output}" if output else ""
    emit(found, as_json, lambda: found["file"] + wrote)


def target_text(target: Any) -> str:
    """A target as lines."""
    scheme = target.scheme
    rows = {
        "aliases": ", ".join(target.aliases),
        "backend": target.backend,
        "architecture": target.arch,
        "memory": f"{target.memory_mb} MiB" if target.memory_mb else "",
        "needs one of": ", ".join(target.cpu_features),
        "precisions": ", ".join(target.precisions),
        "INT8 activations": f"{scheme.activation} ({'asymmetric' if scheme.activation == 'uint8' else 'symmetric'})",
        "INT8 weights": ("7 bits" if scheme.reduce_range else "8 bits")
        + (", a scale per channel" if scheme.per_channel else ", a scale per tensor"),
        "pruned channels": f"multiples of {target.channel_multiple}",
        "opset": str(target.opset),
    }
    lines = [f"{target.name}: {target.summary}"]
    lines += [f"  {key:18}{value}" for key, value in rows.items() if value]
    lines += [f"  source: {source.fact}\n          {source.origin}" for source in target.sources]
    return "\n".join(lines)


@cli.command(epilog=example("edgetune doctor"))
@cache_option
@command_options
def doctor(cache_dir: Path | None, as_json: bool) -> None:
    """Look at this machine: libraries, backends and why one is unavailable, processor, disk and memory."""
    from edgetune import api

    found = api.doctor(cache_dir)
    emit(found, as_json, lambda: doctor_text(found))


def doctor_text(found: dict[str, Any]) -> str:
    """The findings as lines."""
    lines = ["machine"]
    lines += [
        f"  {key:18}{', '.join(map(str, value)) if isinstance(value, list) else value}"
        for key, value in found["machine"].items()
    ]
    lines += ["libraries", *(f"  {name:18}{version}" for name, version in found["versions"].items())]
    store = found["store"]
    lines += [
        "store",
        f"  {'path':18}{store['path']}",
        f"  {'size':18}{store['bytes'] / 1e6:.0f} MB",
        f"  {'disk free':18}{store['free_bytes'] / 1e9:.0f} GB",
        "targets",
        *(f"  {name:18}{'ready' if why is None else why}" for name, why in found["targets"].items()),
    ]
    return "\n".join(lines)


@cli.group()
def cache() -> None:
    """Finished steps on disk: how much they take, and removing them."""


@cache.command("size", epilog=example("edgetune cache size"))
@cache_option
@command_options
def cache_size(cache_dir: Path | None, as_json: bool) -> None:
    """How much the store holds, by kind of step."""
    from edgetune import api

    store = api.open_store(cache_dir)
    kinds: dict[str, dict[str, int]] = {}
    for entry in store.entries():
        kind = kinds.setdefault(entry.name, {"count": 0, "bytes": 0})
        kind["count"] += 1
        kind["bytes"] += entry.size_bytes
    data = {"path": str(store.root), "kinds": kinds, "unfinished_bytes": store.work_bytes()}
    rows = [f"  {name:12}{kind['count']:5}{kind['bytes'] / 1e6:10.1f} MB" for name, kind in sorted(kinds.items())]
    emit(
        data,
        as_json,
        lambda: "\n".join([str(store.root), *rows, f"  {'unfinished':17}{store.work_bytes() / 1e6:10.1f} MB"]),
    )


@cache.command("prune", epilog=example("edgetune cache prune --keep-gb 5"))
@click.option("--keep-gb", type=click.FloatRange(min=0), default=0.0, help="Keep this much of what was used last.")
@click.option("--unused-days", type=click.FloatRange(min=0), default=0.0, help="Remove only what lay unused this long.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@cache_option
@command_options
def cache_prune(keep_gb: float, unused_days: float, yes: bool, cache_dir: Path | None, as_json: bool) -> None:
    """Remove finished steps, the least recently used first (they would be made again when needed)."""
    from edgetune import api

    store = api.open_store(cache_dir)
    if not yes and not as_json:
        click.confirm(f"Remove finished steps from {store.root}?", abort=True, err=True)
    removed = store.prune(keep_bytes=int(keep_gb * 1e9), unused_days=unused_days)
    freed = sum(entry.size_bytes for entry in removed)
    emit(
        {"removed": len(removed), "bytes": freed},
        as_json,
        lambda: f"removed {len(removed)} steps, {freed / 1e6:.1f} MB",
    )


@cli.command(epilog=example('eval "$(edgetune completion bash)"'))
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@command_options
def completion(shell: str, as_json: bool) -> None:
    """Print the completion script for SHELL; evaluate it in your shell's start-up file."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        raise EdgetuneError(f"no completion for {shell}")
    script = kind(cli, {}, "edgetune", "_EDGETUNE_COMPLETE").source()
    emit({"shell": shell, "script": script}, as_json, lambda: script)


def main() -> None:
    """Entry point of ``edgetune`` and ``python -m edgetune``."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    signal.signal(signal.SIGTERM, _stop)
    try:
        cli(prog_name="edgetune")
    except KeyboardInterrupt:  # before or after a command's own handling
        sys.exit(130)


def _stop(*_: object) -> None:
    """What a service manager or a time limit asks for ends a run as Ctrl-C does."""
    raise KeyboardInterrupt
