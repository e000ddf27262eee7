"""What the benchmarks of compression share: where data lies, on what they run, and results that are saved unit by unit.

A benchmark is cut into units (a seed, a ratio). Each is saved when it is done, and one that stands in the file is not
computed again, so that a benchmark that was stopped goes on. A file of other settings is refused, not mixed into.
"""

import argparse
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import common
from common import PER_TENSOR as PER_TENSOR
from common import RESULTS

WHERE = ("data", "output", "work", "quick")  # no part of what is measured


def parser(doc: str) -> argparse.ArgumentParser:
    """The options that all have."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--data", type=Path, required=True, help="folder of data sets: NAME/ or NAME.tar")
    made.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where networks are trained")
    made.add_argument("--output", type=Path, help="result file (default: in benchmarks/results)")
    made.add_argument("--work", type=Path, help="folder kept between runs (default: by the result file)")
    made.add_argument("--quick", action="store_true", help="a smoke run of a minute or two; its numbers mean nothing")
    return made


def settle(args: argparse.Namespace, name: str, quick: dict[str, Any]) -> None:
    """Fill in the defaults, and keep GPUs out of sight unless they are asked for. Before torch is imported.

    Args:
        name: of the result file.
        quick: what ``--quick`` sets.
    """
    if args.quick:
        vars(args).update(quick)
        name += "_quick"
    args.output = (args.output or RESULTS / f"{name}.json").absolute()
    args.work = (args.work or args.output.with_suffix(".work")).absolute()
    args.work.mkdir(parents=True, exist_ok=True)
    if args.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        return
    import torch

    if not torch.cuda.is_available():
        sys.exit("--device cuda: torch finds no GPU here")


def dataset(args: argparse.Namespace, name: str) -> Path:
    """The folder of data set ``name``; a ``.tar`` is unpacked into the work folder."""
    folder: Path = args.data / name
    if folder.is_dir():
        return folder.absolute()
    unpacked: Path = args.work / name
    if not unpacked.is_dir():
        with tarfile.open(args.data / f"{name}.tar") as archive:
            archive.extractall(args.work, filter="data")
    return unpacked


class Units(common.Units):
    """The result file, its settings all options but those that say where things are or which units are wanted."""

    def __init__(self, args: argparse.Namespace, *, which: tuple[str, ...] = ()) -> None:
        """Go on with the file, if there is one.

        Args:
            which: options that only say which units are wanted.

        Raises:
            SystemExit: it was made with other settings.
        """
        kept = {key: value for key, value in vars(args).items() if key not in (*WHERE, *which)}
        kept = {key: value.name if isinstance(value, Path) else value for key, value in kept.items()}
        super().__init__(args.output, json.loads(json.dumps(kept)))


def build(folder: Path, recipe: str, *targets: str) -> dict[str, Any]:
    """The report of ``edgetune build`` with ``recipe`` in ``folder``; its finished steps are kept there.

    Raises:
        SystemExit: there is no report, because the build itself failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "edgetune.toml").write_text(recipe, encoding="utf-8")
    command = [sys.executable, "-m", "edgetune", "build", "--json", "--cache-dir", "store"]
    for target in targets:
        command += ["--target", target]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    if not done.stdout:
        sys.exit(done.returncode)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def candidate_rows(target: dict[str, Any]) -> list[dict[str, Any]]:
    """Of each candidate of a report's target that was evaluated: accuracies, latency and size."""
    keys = ("name", "accuracy_change", "latency_ms", "speedup", "size_bytes", "parameters", "macs")
    return [
        {key: candidate.get(key) for key in keys}
        | {"test": candidate["metrics"]["accuracy"], "val": candidate["selection"]["accuracy"]}
        for candidate in target["candidates"]
        if candidate.get("metrics") and candidate.get("selection")
    ]
