"""Folders of runs: made, filled, found again."""

import datetime as dt
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgetune import pipeline
from edgetune.api.common import writable
from edgetune.backends import tensorrt
from edgetune.backends.device_script import NAME as SCRIPT
from edgetune.backends.device_script import Prepared, device_script
from edgetune.errors import InputError, ReportError
from edgetune.hashing import digest_file
from edgetune.records import Plan, Recipe, Target

RUNS = "runs"
MARK = ".edgetune-run"  # in the folder of a run


def find_report(run: str | Path | None = None) -> Path:
    """The folder of a run: the one given, or the newest under ``runs/``.

    Raises:
        InputError: there is none, or its report does not follow the schema.
    """
    if run is not None:
        if not _is_report(Path(run) / "report.json"):
            raise InputError(f"{run} holds no report of edgetune's", hint="give a folder that `edgetune build` wrote")
        return _whole(Path(run))
    reports = [path for path in Path(RUNS).glob("*/report.json") if _is_report(path)]
    found = sorted(reports, key=lambda path: path.stat().st_mtime)
    if not found:
        raise InputError("there is no run under ./runs", hint="run `edgetune build`, or give the folder of a run")
    return _whole(found[-1].parent)


def _whole(folder: Path) -> Path:
    """The folder, unless its report is damaged."""
    from edgetune.report.validate import validate  # it needs jsonschema

    try:
        validate(json.loads((folder / "report.json").read_text(encoding="utf-8")))
    except ReportError as error:
        raise InputError(
            f"{folder}/report.json does not follow its schema: {error.message}",
            hint="it is damaged, or of another edgetune; build again: with everything cached that takes seconds",
        ) from error
    return folder


def several_reports(
    runs: Sequence[str | Path], *, markdown: str | Path | None = None, html: str | Path | None = None
) -> list[tuple[Path, dict[str, Any]]]:
    """The folders of ``runs`` with their reports, and what they ship side by side as a table or a page.

    Raises:
        InputError: a run without a report; a file that is there and holds no such comparison, or lies in a run.
        ReportError: a file cannot be written.
    """
    from edgetune.report.several import load_runs

    page = writable(html)
    found = load_runs([find_report(run) for run in runs])
    if markdown is not None or page is not None:
        from edgetune.report.several_html import write_several  # it needs jinja2

        write_several(found, {"markdown": None if markdown is None else Path(markdown), "html": page})
    return found


def send_report(run: str | Path, sinks: Sequence[str]) -> list[str]:
    """Tell a run to sinks such as ``mlflow:URI`` and ``tensorboard:DIR``; returns where each can be seen.

    Raises:
        InputError: no such run or sink, or its library is missing. ReportError: a sink that does not take it.
    """
    from edgetune.report.sinks.send import send  # most runs are told to nobody

    return send(find_report(run), tuple(sinks))


def push_to_hub(
    run: str | Path, repository: str, *, upload: bool = False, public: bool = False, licence: str | None = None
) -> dict[str, Any]:
    """Prepare a run for a model hub, in its folder ``hub``, and upload that if asked to.

    Args:
        licence: of the engines, by the hub's identifier; None: unknown.

    Returns:
        ``folder``, ``repository``, ``files`` with their sizes, ``failed_gates`` in sentences, and, where it was
        uploaded, the ``url`` and whether that is ``private``; else both are None.

    Raises:
        InputError: no such run, no bundle, a name that cannot be; a repository that everybody can see, without
            ``public``. ReportError: the hub does not take it.
    """
    folder = find_report(run)
    try:
        from edgetune.report import hub
    except ImportError as error:
        raise InputError(f"a library is missing: {error.name}", hint="pip install 'edgetune[hub]'") from error
    prepared = hub.prepare(folder, repository, licence=licence)
    uploaded = hub.upload(prepared, public=public) if upload else {"url": None, "private": None}
    return {**prepared, **uploaded}


def run_folder(recipe: Recipe, run_dir: str | Path | None) -> Path:
    """Make the folder of this run and mark it as ours; one with anything but an earlier run in it is refused."""
    if run_dir is None:
        stamp, number = dt.datetime.now().strftime("%Y-%m-%dT%H-%M-%S"), 1
        folder = recipe.base / RUNS / stamp
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


def leave(folder: Path) -> None:
    """Take away the folder of a run that came to nothing."""
    if [path.name for path in folder.iterdir()] == [MARK]:
        (folder / MARK).unlink()
        folder.rmdir()


def publish(plan: Plan, outcomes: dict[str, pipeline.Outcome], folder: Path) -> None:
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
        side = data.image_size
        shapes = f"image:1x{side}x{side}x3" if plan.recipe.bundle.takes_pixels else f"image:1x3x{side}x{side}"
        if plan.recipe.reads_text:
            shapes = f"input_ids:1x{data.max_length}"
        core = tensorrt.dla_core(target.backend_options)
        most = target.backend_options.get("max_batch", 1)
        release = tensorrt.check_options(target)
        script = device_script(target.name, release, found, shapes=shapes, max_batch=most, dla_core=core)
        (folder / SCRIPT).write_text(script, encoding="utf-8")
