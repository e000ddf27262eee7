"""What ``import edgetune`` offers, and all that the command line calls."""

import csv
import datetime as dt
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from edgetune import pipeline
from edgetune.backends import tensorrt
from edgetune.backends.device_script import NAME as SCRIPT
from edgetune.backends.device_script import Prepared, device_script
from edgetune.devices import local
from edgetune.devices.protocol import Device
from edgetune.errors import BackendError, DeviceError, InputError
from edgetune.hashing import digest_file
from edgetune.plan import make_check_labels_plan, make_diagnosis_plan, make_lr_find_plan, make_plan
from edgetune.progress import Quiet, Reporter
from edgetune.recipe import DEFAULT_NAME, load_recipe
from edgetune.records import BenchSpec, DataFinding, DataSpec, Plan, Recipe, Report, Target
from edgetune.report.assemble import assemble
from edgetune.report.write import write_reports
from edgetune.store import Store, default_root, storage_errors
from edgetune.surroundings import Surroundings, look_around, why_not_here
from edgetune.target import all_targets, load_target

RUNS = "runs"
MARK = ".edgetune-run"  # in the folder of a run


def build(
    recipe: str | Path = "edgetune.toml",
    *,
    target: str | Sequence[str] | None = None,
    run_dir: str | Path | None = None,
    cache_dir: str | Path | None = None,
    device: str | Sequence[str] = (),
    reporter: Reporter | None = None,
) -> Report:
    """Fine-tune, compress, compile, measure and bundle, as the recipe says.

    Args:
        recipe: path of an ``edgetune.toml``, or of the folder it lies in.
        target: one or more target names; None: those of the recipe.
        run_dir: where reports and bundles go; None: ``runs/<date and time>`` beside the recipe.
        cache_dir: the store of finished steps; None: see ``edgetune.store.default_root``.
        device: ``ssh://[user@]host[:port]`` of one or more devices; each target that one of them serves is compiled,
            evaluated and measured there.

    Raises:
        EdgetuneError: with what is wrong and what to do; finished steps are kept.
    """
    reporter = reporter or Quiet()
    store = _store(cache_dir)
    with _connected(device) as devices:
        made, surroundings = _plan(recipe, target, devices)
        folder = _run_folder(made, run_dir)
        try:
            outcomes = pipeline.run(made, store, surroundings, reporter)
        except BaseException:
            _leave(folder)
            raise
    data = assemble(
        made,
        {name: outcome.artifact for name, outcome in outcomes.items() if outcome.artifact is not None},
        {name: outcome.reason for name, outcome in outcomes.items() if outcome.reason is not None},
        pipeline.tell(outcomes, store),
        {"versions": pipeline.library_versions(), "machine": local.describe()},
    )
    data["run"] = folder.name
    with storage_errors(folder):
        _publish(made, outcomes, folder)
        write_reports(data, folder)
    return Report(data=data, run_dir=folder)


def plan(
    recipe: str | Path = "edgetune.toml",
    *,
    target: str | Sequence[str] | None = None,
    cache_dir: str | Path | None = None,
    device: str | Sequence[str] = (),
) -> tuple[Plan, list[pipeline.Status]]:
    """What ``build`` would do: the plan, and for each step whether it is cached and what it is likely to cost."""
    with _connected(device) as devices:
        made, _ = _plan(recipe, target, devices)
    return made, pipeline.preview(made, _store(cache_dir))


def init(data: str | Path, recipe: str | Path = "edgetune.toml") -> Path:
    """Look at a dataset and write a commented recipe for it; never overwrites one.

    Raises:
        DataError: the dataset is missing or makes no sense. InputError: the recipe exists.
    """
    from edgetune.data.propose import propose_recipe  # the other commands do without these
    from edgetune.data.propose_text import propose_text_recipe
    from edgetune.data.texts import is_text_data

    path, source = Path(recipe).absolute(), Path(data).absolute()
    text = (propose_text_recipe if is_text_data(source) else propose_recipe)(source, path.parent)
    try:
        content = text.encode("utf-8")
        with path.open("xb") as file:
            file.write(content)
    except UnicodeEncodeError as error:
        raise InputError("the data's path is not UTF-8, so that no recipe can name it", hint="rename it") from error
    except FileExistsError:
        raise InputError(f"{path} exists and is not overwritten", hint="give another name with --output") from None
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error
    return path


def lr_find(
    recipe: str | Path = "edgetune.toml",
    *,
    output: str | Path | None = None,
    lowest: float = 1e-6,
    highest: float = 1.0,
    steps: int = 100,
    cache_dir: str | Path | None = None,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Learning-rate range test of the recipe's fine-tuning.

    Args:
        output: folder for ``lr_find.csv`` and ``lr_find.json``; None: ``lr_find`` beside the recipe.
        lowest, highest, steps: the rates tried, and with how many batches.

    Returns:
        ``suggestion`` (a peak for ``[finetune] learning_rate``), ``diverged``, the curve as ``rates``, ``losses``
        and ``smoothed``, and ``files``.

    Raises:
        EdgetuneError: as of ``build``. TrainingError: the loss exploded at once, or there is no rate to find.
    """
    if not 0 < lowest < highest <= 100 or steps < 20:
        raise InputError(
            f"rates from {lowest:g} to {highest:g} in {steps} steps cannot be tried",
            hint="the lowest must be above 0 and below the highest, which is at most 100, in 20 steps or more",
        )
    loaded = load_recipe(Path(recipe))
    surroundings = look_around(loaded, ())
    made = make_lr_find_plan(loaded, surroundings.facts, lowest=lowest, highest=highest, steps=steps)
    outcomes = pipeline.run(made, _store(cache_dir), surroundings, reporter or Quiet())
    artifact = outcomes["lr-find"].artifact
    assert artifact is not None  # every step of a plan without candidates is needed
    found: dict[str, Any] = json.loads((artifact.path / "lr_find.json").read_text(encoding="utf-8"))
    folder = Path(output).absolute() if output else loaded.base / "lr_find"
    return {**found, "files": [str(path) for path in _write_curve(found, folder)]}


def diagnose(
    recipe: str | Path = "edgetune.toml",
    *,
    target: str | None = None,
    samples: int = 256,
    output: str | Path | None = None,
    cache_dir: str | Path | None = None,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Where the fine-tuned network loses its accuracy to 8 bits, why, and what helps; tried on the validation split.

    Args:
        target: whose scheme; None: the recipe's first.
        samples: validation samples to look at, about.
        output: folder for ``diagnosis.json`` and ``diagnosis.html``; None: ``diagnosis`` beside the recipe.

    Returns:
        What ``diagnosis.json`` holds, and ``files``.

    Raises:
        EdgetuneError: as of ``build``. InputError: a network or target without calibrated 8 bits.
    """
    from edgetune.report.diagnosis import write_diagnosis  # it needs jinja2

    if samples < 1:
        raise InputError(f"{samples} samples cannot be looked at", hint="give 1 or more")
    loaded = load_recipe(Path(recipe))
    chosen = load_target(target or loaded.targets.names[0], loaded.base)
    if loaded.reads_text:
        raise InputError("encoders are quantized dynamically: there is no calibration to diagnose")
    if "int8" not in chosen.precisions:
        raise InputError(f"target {chosen.name} has no 8-bit engines", hint="name another with --target")
    surroundings = look_around(loaded, (chosen,))
    made = make_diagnosis_plan(loaded, chosen, surroundings.facts, samples=samples)
    outcomes = pipeline.run(made, _store(cache_dir), surroundings, reporter or Quiet())
    artifact = outcomes["diagnose"].artifact
    assert artifact is not None  # every step of a plan without candidates is needed
    found: dict[str, Any] = json.loads((artifact.path / "diagnosis.json").read_text(encoding="utf-8"))
    found = {"target": chosen.name, "model": loaded.model.name, **found}
    folder = Path(output).absolute() if output else loaded.base / "diagnosis"
    return {**found, "files": [str(path) for path in write_diagnosis(found, folder)]}


def _write_curve(found: Mapping[str, Any], folder: Path) -> list[Path]:
    rows = zip(found["rates"], found["losses"], found["smoothed"], strict=True)
    table, whole = folder / "lr_find.csv", folder / "lr_find.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with table.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("learning_rate", "loss", "smoothed_loss"), *rows])
        whole.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror}", hint="give another --output") from error
    return [table, whole]


def tune(
    recipe: str | Path = "edgetune.toml",
    *,
    storage: str | None = None,
    join: str | None = None,
    force: bool = False,
    patience: float = 300.0,
    cache_dir: str | Path | None = None,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Search values for ``[finetune]`` on validation, as ``[tune]`` says; go on with a search that was begun.

    Args:
        storage: a URL, or an SQLite file by the recipe; None: the recipe's.
        join: ``grpc://HOST:PORT`` of a search that ``tune_serve`` serves.
        force: overwrite ``edgetune.tuned.toml``, whoever wrote it.
        patience: seconds to wait for a storage that has gone.

    Returns:
        What ``tune/tune.json`` holds, and ``recipe`` and ``files``: what was written.

    Raises:
        EdgetuneError: with what is wrong and what to do; finished trials are kept.
    """
    with _tuning() as session:
        options = session.Options(storage=storage, join=join, force=force, patience=patience)
        found: dict[str, Any] = session.tune(Path(recipe), options, _store(cache_dir), reporter or Quiet())
    return found


def tune_serve(
    recipe: str | Path = "edgetune.toml",
    *,
    address: str,
    storage: str | None = None,
    announce: Callable[[str], None],
) -> None:
    """Serve the search of a recipe to workers on other machines, until the process is stopped.

    Args:
        address: ``HOST:PORT`` to listen at.
        announce: told the URL to join.

    Raises:
        InputError: it cannot be listened there. TuneError: the storage cannot be opened.
    """
    with _tuning() as session:
        session.serve(Path(recipe), session.Options(storage=storage), address, announce)


@contextmanager
def _tuning() -> Iterator[Any]:
    """The module of ``tune``, whose libraries are an extra."""
    try:
        from edgetune.tune import session
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in ("optuna", "grpc", "google", "tomlkit"):
            raise
        raise InputError(
            f"a search needs {error.name}, which is not installed", hint="pip install 'edgetune[tune]'"
        ) from None
    yield session


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
    destination = _writable(output)
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
    if destination is not None:
        destination.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return result


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

    reporter, destination = reporter or Quiet(), _writable(output)
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
    destination = _writable(output)
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


def _writable(output: str | Path | None) -> Path | None:
    """The file for a result, checked before anything is measured."""
    if output is None:
        return None
    path = Path(output)
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise InputError(f"cannot write {path}", hint="give a file in a folder that exists")
    return path


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
    files = {form: _writable(file) for form, file in (("junit", junit), ("markdown", markdown), ("html", html))}
    runs = read_run(Path(run_a)), read_run(Path(run_b))
    found = compare_runs(*runs, limits)
    reporter = reporter or Quiet()
    try:
        write_forms(found, runs, files, Path(data) if data is not None else None, reporter.tick("find samples"))
    finally:
        reporter.close()
    return found


def find_report(run: str | Path | None = None) -> Path:
    """The folder of a run: the one given, or the newest under ``runs/``.

    Raises:
        InputError: there is none.
    """
    if run is not None:
        if not _is_report(Path(run) / "report.json"):
            raise InputError(f"{run} holds no report of edgetune's", hint="give a folder that `edgetune build` wrote")
        return Path(run)
    reports = [path for path in Path(RUNS).glob("*/report.json") if _is_report(path)]
    found = sorted(reports, key=lambda path: path.stat().st_mtime)
    if not found:
        raise InputError("there is no run under ./runs", hint="run `edgetune build`, or give the folder of a run")
    return found[-1].parent


def doctor(cache_dir: str | Path | None = None) -> dict[str, Any]:
    """The machine, the store's disk, the libraries, and for each target whether its engines run here."""
    store = _store(cache_dir)
    existing = next(folder for folder in (store.root, *store.root.parents) if folder.exists())
    disk = shutil.disk_usage(existing)
    return {
        "machine": local.describe(),
        "versions": pipeline.library_versions(),
        "store": {
            "path": str(store.root),
            "bytes": sum(entry.size_bytes for entry in store.entries()),
            "free_bytes": disk.free,
        },
        "targets": {target.name: why_not_here(target) for target in all_targets()},
    }


def probe(device: str | None = None, output: str | Path | None = None) -> dict[str, Any]:
    """Look at a machine, and write a target file for it.

    Args:
        device: ``ssh://[user@]host[:port]``; None: this machine.
        output: the new target file; None: only look.

    Returns:
        ``device``, ``versions``, ``telemetry``, ``extends`` (the nearest shipped target) and ``file`` (its text).

    Raises:
        DeviceError: it cannot be looked at. InputError: no target is near it; ``output`` exists.
    """
    from edgetune.devices.probe import nearest_target, target_file

    with _connected([device] if device else []) as devices:
        found = dict(devices[0].look() if devices else local.look())
    if devices:
        found["device"] = {**found["device"], "name": devices[0].name}
    parent = nearest_target(found, all_targets())
    if parent is None:
        raise InputError(
            f"no target is near {found['device']['arch']}, {found['device']['cpu']}",
            hint="write one that says all: `edgetune targets show x86-cpu` tells the keys",
        )
    found |= {"extends": parent.name, "file": target_file(found, parent)}
    if output is not None:
        path = Path(output)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(found["file"])
        except FileExistsError:
            raise InputError(f"{path} exists and is not overwritten", hint="give another --output") from None
        except OSError as error:
            raise InputError(f"cannot write {path}: {error.strerror}", hint="give another --output") from error
    return found


def check(
    path: str | Path = "edgetune.toml",
    *,
    fix: str | Path | None = None,
    labels: bool = False,
    card: str | Path | None = None,
    cache_dir: str | Path | None = None,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """What is suspicious about a dataset: ``findings`` (as ``DataFinding``), ``counts`` by split and class,
    ``noun`` (picture or text), ``failed``.

    Args:
        path: a recipe, the folder of one, or the data itself (folder, CSV or JSON Lines).
        fix: a new CSV for the samples that are left without duplicates, leaks and unusable files.
        labels: also look for wrong labels: with the network of a recipe, or on the words of texts. Left out when
            something was found that stops a build.
        card: a folder for ``dataset-card.md``, ``croissant.json`` and, of pictures, ``samples.csv``; named in ``card``.
        cache_dir: the store of finished steps, for ``labels`` with a recipe.

    Raises:
        DataError: data that cannot be listed. InputError: ``fix`` or a file of ``card`` exists; ``labels`` for pictures
            without a recipe.
    """
    from edgetune.data.card import write_card
    from edgetune.data.clean import write_list  # with those below: they load scipy and Pillow
    from edgetune.data.findings import by_severity, examine
    from edgetune.data.index import build_index
    from edgetune.data.label_errors import label_errors_by_words

    reporter, path = reporter or Quiet(), Path(path)
    is_recipe = path.suffix == ".toml" or (path / DEFAULT_NAME).is_file()
    recipe = load_recipe(path) if is_recipe else None
    spec = recipe.data if recipe else DataSpec(path=str(path))
    data = recipe.base / spec.path if recipe else path.absolute()
    index = build_index(
        data,
        val_fraction=spec.val_fraction,
        test_fraction=spec.test_fraction,
        on_bad_file="skip",
        seed=recipe.seed if recipe else 0,
        progress=reporter.tick("check"),
    )
    reporter.close()
    findings = examine(index, allow_leaks=spec.allow_leaks)
    stops = any(f.severity == "error" or (f.id == "unusable" and spec.on_bad_file == "error") for f in findings)
    if labels and recipe is None:
        findings += label_errors_by_words(index, reporter.tick("check labels"))
        reporter.close()
    elif labels and recipe is not None and not stops:
        findings += _label_errors_by_network(recipe, cache_dir, reporter)
    findings = by_severity(findings)
    found: dict[str, Any] = {
        "findings": [finding.to_json() for finding in findings],
        "counts": index.counts(),
        "noun": index.noun,
        "failed": any(finding.severity == "error" for finding in findings),
    }
    if fix is not None:
        found["left_out"] = write_list(index, Path(fix))
        found["list"] = str(fix)
    if card is not None:
        found["card"] = [str(file) for file in write_card(index, data, findings, Path(card))]
    return found


def _label_errors_by_network(recipe: Recipe, cache_dir: str | Path | None, reporter: Reporter) -> list[DataFinding]:
    surroundings = look_around(recipe, ())
    made = make_check_labels_plan(recipe, surroundings.facts)
    artifact = pipeline.run(made, _store(cache_dir), surroundings, reporter)["check-labels"].artifact
    assert artifact is not None  # every step of a plan without candidates is needed
    found = json.loads((artifact.path / "label_errors.json").read_text(encoding="utf-8"))["findings"]
    return [DataFinding(**{**content, "examples": tuple(content["examples"])}) for content in found]


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


def emit_cpp(bundle: str | Path, folder: str | Path) -> None:
    """Write a CMake project that runs ``bundle`` (a folder or a ``.tar``) into ``folder``, which must be new.

    Raises:
        BundleError: damaged, altered, or of a kind the C++ runtime does not run. InputError: the folder is in use.
    """
    from edgetune.bundle import emit_cpp as emitter  # the other commands do without it

    emitter.emit_cpp(Path(bundle), Path(folder))


def device_times(folder: str | Path) -> dict[str, Any]:
    """What ``build_on_device.sh`` measured: the device, and each engine's latency and reformat layers.

    Raises:
        InputError: no times are there. BackendError: a damaged file.
    """
    from edgetune.report.device_times import read_device_times  # it loads scipy

    return read_device_times(Path(folder))


def open_store(cache_dir: str | Path | None = None) -> Store:
    """The store at ``cache_dir``, or the default one."""
    return _store(cache_dir)


@contextmanager
def _connected(addresses: str | Sequence[str]) -> Iterator[list[Device]]:
    from edgetune.devices.ssh import connect  # most builds do without it

    with ExitStack() as stack:
        wanted = [addresses] if isinstance(addresses, str) else addresses
        yield [stack.enter_context(connect(address)) for address in wanted]


def _plan(
    recipe: str | Path, target: str | Sequence[str] | None, devices: Sequence[Device] = ()
) -> tuple[Plan, Surroundings]:
    loaded = load_recipe(Path(recipe))
    names = (target,) if isinstance(target, str) else tuple(target or loaded.targets.names)
    targets: dict[str, Target] = {}
    for name in names:
        found = load_target(name, loaded.base)
        targets[found.name] = found
    surroundings = look_around(loaded, tuple(targets.values()), devices)
    return make_plan(loaded, tuple(targets.values()), surroundings.facts), surroundings


def _store(cache_dir: str | Path | None) -> Store:
    return Store(Path(cache_dir).expanduser().absolute() if cache_dir else default_root())


def _run_folder(plan: Plan, run_dir: str | Path | None) -> Path:
    """Make the folder of this run and mark it as ours; one with anything but an earlier run in it is refused."""
    if run_dir is None:
        stamp, number = dt.datetime.now().strftime("%Y-%m-%dT%H-%M-%S"), 1
        folder = plan.recipe.base / RUNS / stamp
        while not _made(folder):
            number += 1
            folder = folder.with_name(f"{stamp}-{number}")
    else:
        folder = Path(run_dir).absolute()
        if folder.exists() and not folder.is_dir():
            raise InputError(f"--run-dir {folder} is a file", hint="give a new folder")
        if not _made(folder) and any(folder.iterdir()) and not _is_run(folder):
            raise InputError(
                f"--run-dir {folder} holds files that no run of edgetune wrote; nothing was changed",
                hint="give a new or an empty folder",
            )
    (folder / MARK).touch()
    return folder


def _made(folder: Path) -> bool:
    """Whether ``folder`` was made now; False: it was there."""
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        if folder.is_dir():
            return False
        raise InputError(f"{folder} is in the way of a run's folder", hint="give another --run-dir") from None
    except OSError as problem:
        raise InputError(f"cannot make {folder}: {problem.strerror}", hint="give another --run-dir") from problem
    return True


def _is_run(folder: Path) -> bool:
    return (folder / MARK).exists() or _is_report(folder / "report.json")


def _is_report(path: Path) -> bool:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and str(content.get("schema")).startswith("edgetune.report/")


def _leave(folder: Path) -> None:
    """Take away the folder of a run that came to nothing."""
    if [path.name for path in folder.iterdir()] == [MARK]:
        (folder / MARK).unlink()
        folder.rmdir()


def _publish(plan: Plan, outcomes: dict[str, pipeline.Outcome], folder: Path) -> None:
    """Copy bundles, and for targets that cannot run here the ONNX files, into the run's folder, in place of others."""
    for name in ("bundles", "measurements", "predictions", "prepared"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for target in plan.targets:
        _publish_predictions(plan, target, outcomes, folder)
        measured, bundle = outcomes.get(f"measure:{target.name}"), outcomes.get(f"bundle:{target.name}")
        if measured is not None and measured.artifact is not None:
            (folder / "measurements").mkdir(parents=True, exist_ok=True)
            shutil.copyfile(measured.artifact.path / "latency.json", folder / "measurements" / f"{target.name}.json")
        if bundle is not None and bundle.artifact is not None:
            (folder / "bundles").mkdir(parents=True, exist_ok=True)
            pipeline.publish_folder(bundle.artifact.path / "bundle", folder / "bundles" / target.name)
            shutil.copyfile(bundle.artifact.path / "bundle.tar", folder / "bundles" / f"{target.name}.tar")
            continue
        _publish_prepared(plan, target, outcomes, folder / "prepared" / target.name)


def _publish_predictions(plan: Plan, target: Target, outcomes: dict[str, pipeline.Outcome], folder: Path) -> None:
    """Each evaluated engine's answers to the test split, by which two runs are compared."""
    import numpy as np  # with the next: runs that evaluate nothing do without

    from edgetune.compare.predictions import FOLDER, write_predictions

    logits, dataset = {}, outcomes["check-data"].artifact
    for candidate in plan.candidates:
        evaluated = outcomes.get(candidate.evaluate_step or "")
        if candidate.target == target.name and evaluated is not None and evaluated.artifact is not None:
            with np.load(evaluated.artifact.path / "logits.npz") as arrays:
                logits[candidate.name] = {key: arrays[key] for key in ("test_logits", "test_labels")}
    if logits:
        assert dataset is not None  # what was evaluated was checked before
        content = json.loads((dataset.path / "dataset.json").read_text(encoding="utf-8"))
        write_predictions(folder / FOLDER / f"{target.name}.json", target.name, content, logits)


def _publish_prepared(plan: Plan, target: Target, outcomes: dict[str, pipeline.Outcome], folder: Path) -> None:
    """What a target that cannot run here is built from, where it can."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for candidate in plan.candidates:
        artifact = outcomes[candidate.onnx_step].artifact
        if candidate.target == target.name and artifact is not None:
            path = folder / f"{candidate.name}.onnx"
            shutil.copyfile(artifact.path / "model.onnx", path)
            found.append(Prepared(name=candidate.name, precision=candidate.precision, digest=digest_file(path)))
    if target.backend == "tensorrt":
        validated = outcomes[f"validate:{target.name}"].artifact
        assert validated is not None  # a needed step
        shutil.copyfile(validated.path / "validation.json", folder / "validation.json")
        data = plan.recipe.data
        shapes = f"image:1x3x{data.image_size}x{data.image_size}"
        if plan.recipe.reads_text:
            shapes = f"input_ids:1x{data.max_length}"
        script = device_script(target.name, tensorrt.check_options(target), found, shapes=shapes)
        (folder / SCRIPT).write_text(script, encoding="utf-8")
