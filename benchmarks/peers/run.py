"""edgetune beside the tools one would use instead: the same job, from the same fine-tuned network, in one table.

    python -m benchmarks.peers.run clothing10 --data clothing10 --weights mobilenet_v2_imagenet.safetensors
    python -m benchmarks.peers.run rt_polarity --data rt_polarity --weights all-MiniLM-L6-v2

makes an environment for each peer under ``~/.cache/edgetune-peers`` (``$EDGETUNE_PEERS``), fine-tunes the network once
(or takes the checkpoint that ``--network`` names), builds with edgetune, runs every peer's script on the same float
ONNX file and samples, asks every engine for the test split, and times all of them interleaved in one session: ONNX
files in ONNX Runtime and in OpenVINO. A peer that fails is a row with its failure. What is done stays in ``--work``:
the same command goes on, and ``--again KEY`` does one peer anew.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import save
from benchmarks.peers.catalogue import IMAGE_PEERS, LIBRARIES, TEXT_PEERS, Peer
from benchmarks.peers.environments import EnvironmentFailed, default_cache, packages_of, python_of
from benchmarks.peers.inputs import Samples, adopt, prepare, read_samples
from benchmarks.peers.jobs import fresh_folder, last_words, run_command
from benchmarks.peers.judge import accuracy, answers, size_of, time_engines
from benchmarks.peers.lines import script_lines
from benchmarks.peers.ours import TARGETS, build
from benchmarks.peers.table import table
from edgetune.errors import EdgetuneError
from edgetune.store import Store

HERE = Path(__file__).parent
BASE = "float"


def main() -> None:
    """Prepare, build, run the peers, judge, save, print."""
    args = parse()
    work: Path = args.work or Path(f"peers-{args.job}")
    work.mkdir(parents=True, exist_ok=True)
    store = Store((work / "store").absolute())
    recipes = write_recipes(args, work)
    given = work.absolute() / "given"
    network = given / "checkpoint" if (given / "checkpoint").exists() else args.network
    if network is not None:
        adopt(network, recipes["pruned"], store)
    if not (given / "job.json").exists():
        print("prepare: fine-tune, export, prepare samples", flush=True)
        prepare(recipes["pruned"], store, given)
    rows = [base_row(given)]
    rows += our_rows(args, recipes, given / "checkpoint", work)
    for key in args.again:
        (work / f"peers/{key}.json").unlink(missing_ok=True)
    for peer in peers_of(args):
        rows.append(kept(work / f"peers/{peer.key}.json", lambda peer=peer: peer_row(peer, args, given, work)))
        rows[-1] |= {"name": peer.key, "title": peer.title, "libraries": list(peer.libraries)}
    judge(rows, given, args, work)
    result = {
        "job": args.job,
        "recipe": (HERE / f"recipes/{args.job}.toml").read_text(encoding="utf-8"),
        "unpruned": args.unpruned,
        "test_samples": len(read_samples(given / "test.npz")),
        "rows": told(rows),
    }
    print(table(result))
    save(args.output or f"peers_{args.job}", result)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", choices=sorted(path.stem for path in (HERE / "recipes").glob("*.toml")))
    parser.add_argument("--data", type=Path, required=True, help="folder of the data set")
    parser.add_argument("--weights", type=Path, required=True, help="pretrained: a file, of an encoder its folder")
    parser.add_argument("--network", type=Path, help="folder of a fine-tuned checkpoint: model.safetensors, model.json")
    parser.add_argument("--work", type=Path, help="keeps everything (default: ./peers-JOB)")
    parser.add_argument("--only", nargs="+", default=[], metavar="KEY", help="these peers only")
    parser.add_argument("--again", nargs="+", default=[], metavar="KEY", help="do these peers anew")
    parser.add_argument("--unpruned", action="store_true", help="leave out what prunes and trains, edgetune's too")
    parser.add_argument("--quick", action="store_true", help="as --unpruned, and time briefly")
    parser.add_argument("--limit-minutes", type=float, default=60, help="of each peer and build")
    parser.add_argument("--cache", type=Path, default=default_cache(), help="where the peers' environments lie")
    parser.add_argument("--output", help="name of the file in results/ (default: peers_JOB)")
    args = parser.parse_args()
    args.unpruned |= args.quick
    return args


def peers_of(args: argparse.Namespace) -> list[Peer]:
    """The peers that are asked for."""
    known = TEXT_PEERS if is_text(args) else IMAGE_PEERS
    wanted = [peer for peer in known if not args.only or peer.key in args.only]
    return [peer for peer in wanted if not (args.unpruned and peer.key.startswith("torch-pruning"))]


def is_text(args: argparse.Namespace) -> bool:
    """Is the job's network an encoder?"""
    return "transformers/" in (HERE / f"recipes/{args.job}.toml").read_text(encoding="utf-8")


def write_recipes(args: argparse.Namespace, work: Path) -> dict[str, Path]:
    """The job's recipe, and the same without pruning, as files in ``work``."""
    text = (HERE / f"recipes/{args.job}.toml").read_text(encoding="utf-8")
    text = text.replace("WEIGHTS", str(args.weights.absolute())).replace("DATA", str(args.data.absolute()))
    texts = {"pruned": text, "int8": text.partition("[prune]")[0] + "[prune]\ntarget_speedup = []\n"}
    found = {name: work.absolute() / f"{name}.toml" for name in texts}
    for name, path in found.items():
        path.write_text(texts[name], encoding="utf-8")
    return found


def kept(path: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What ``make`` returned, now or in an earlier run of this command."""
    if not path.exists():
        found = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found, indent=1), encoding="utf-8")
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def base_row(given: Path) -> dict[str, Any]:
    """The float network, which every peer is given."""
    return {"name": BASE, "title": "float", "engine": str(given / "float.onnx"), "libraries": list(LIBRARIES)}


def our_rows(args: argparse.Namespace, recipes: dict[str, Path], network: Path, work: Path) -> list[dict[str, Any]]:
    """What edgetune ships: without pruning for each of the libraries, and with all of the recipe for ONNX Runtime."""
    limit, rows = args.limit_minutes * 60, []
    builds = [("int8", target) for target in TARGETS if not (is_text(args) and target == "intel-cpu")]
    builds += [] if args.unpruned else [("pruned", "x86-cpu")]
    for name, target in builds:
        folder = work.absolute() / f"ours/{name}-{target}"
        print(f"edgetune build {name}.toml --target {target}", flush=True)
        cost = kept(
            work / f"ours/{name}-{target}.json",
            lambda name=name, target=target, folder=folder: build(recipes[name], target, network, folder, limit),
        )
        where = "" if target == "x86-cpu" else f" for `{target}`"
        rows.append(
            cost
            | {
                "name": f"edgetune-{name}" + ("" if target == "x86-cpu" else f"-{target}"),
                "title": f"**edgetune**, {cost['chosen'] or name}{where}",
                "libraries": list(LIBRARIES) if target == "x86-cpu" else [TARGETS[target]],
            }
        )
    return rows


def peer_row(peer: Peer, args: argparse.Namespace, given: Path, work: Path) -> dict[str, Any]:
    """Run a peer's script in an environment of its own; what it cost, and the engine or the failure."""
    print(f"{peer.key}: environment", flush=True)
    try:
        python = python_of(peer.requirements, args.cache)
    except EnvironmentFailed as problem:
        return {"failure": f"cannot be installed: {problem}", "engine": None}
    script = HERE / f"scripts/{peer.script}.py"
    source, before = given, None
    if peer.after is not None:
        before = json.loads((work / f"peers/{peer.after}.json").read_text(encoding="utf-8"))
        if before["failure"] is not None:
            return {"failure": f"{peer.after} failed", "engine": None}
        source = with_other_float(given, Path(before["engine"]), work.absolute() / f"peers/{peer.key}-given")
    folder = fresh_folder(work.absolute() / f"peers/{peer.key}")
    print(f"{peer.key}: {script.name}", flush=True)
    found = run_command([str(python), str(script), str(source)], folder, limit_seconds=args.limit_minutes * 60)
    engine = folder / peer.engine
    if found["failure"] is None and not engine.exists():
        found["failure"] = f"no engine was written; {last_words(folder / 'log.txt')}"
    found["engine"] = str(engine) if found["failure"] is None else None
    found["lines"] = script_lines(script.read_text(encoding="utf-8"))
    if before is not None:
        for key in ("seconds", "cpu_seconds", "lines"):
            found[key] += before[key]
        found["peak_rss_bytes"] = max(found["peak_rss_bytes"], before["peak_rss_bytes"])
    return found | {"packages": packages_of(python)}


def with_other_float(given: Path, engine: Path, folder: Path) -> Path:
    """``given`` with another network in the place of ``float.onnx``."""
    fresh_folder(folder)
    for path in given.iterdir():
        (folder / path.name).symlink_to(engine if path.name == "float.onnx" else path)
    return folder


def judge(rows: Sequence[dict[str, Any]], given: Path, args: argparse.Namespace, work: Path) -> None:
    """Fill in each row's accuracy, latency and speed-up in each library, or why there is none."""
    test = read_samples(given / "test.npz")
    engines: dict[str, tuple[Path, str]] = {}
    said: dict[str, list[int]] = {}
    for row in rows:
        row["measured"] = {}
        if row["engine"] is None:
            continue
        path = Path(row["engine"])
        row["size_bytes"] = size_of(path)
        for library in row["libraries"]:
            name = f"{row['name']}@{library}"
            found = answers_or_failure(path, library, test)
            if isinstance(found, str):
                row["measured"][library] = {"failure": found}
            else:
                said[name], engines[name] = found, (path, library)
                row["measured"][library] = {"failure": None}
    print(f"time {len(engines)} engines, interleaved", flush=True)
    bounds = {"min_runs": 100, "max_seconds": 10} if args.quick else {"min_runs": 600, "max_seconds": 60}
    timed = time_engines(engines, read_samples(given / "validation.npz"), **bounds)
    base = said[f"{BASE}@onnxruntime"]
    for row in rows:
        for library, measured in row["measured"].items():
            name = f"{row['name']}@{library}"
            if name in timed:
                measured |= accuracy(said[name], base, test) | timed[name]


def answers_or_failure(path: Path, library: str, test: Samples) -> list[int] | str:
    """``answers``, or what the library says when it cannot run the file."""
    try:
        return answers(path, library, test)
    except Exception as problem:  # noqa: BLE001 a peer's file may fail in any way, and that is a result
        return " ".join(str(problem).split())[:300]


def told(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows without folders of this machine."""
    return [{key: value for key, value in row.items() if key != "engine"} for row in rows]


if __name__ == "__main__":
    try:
        main()
    except EdgetuneError as problem:
        sys.exit(f"{problem.message}\n  {problem.hint}")
