"""What the controller costs: work until it has chosen, against making every engine that it might have made.

    python benchmarks/compression/controller_cost.py --images signdigits.tar

One build with `[quantize] mode = "auto"` from an empty store, then all rungs of its ladder in the same store. Work is
the time that steps took when they ran; what both need (the data check, fine-tuning, engines that the controller tried)
counts for both with the same number. The network is that of the demo, unless another is named.
"""

import argparse
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))
from common import save

RECIPE = """
[model]
name = "{model}"
{weights}
[data]
path = "{data}"
image_size = {image_size}
[finetune]
epochs = {epochs}
batch_size = 64
learning_rate = {rate}
augmentation = "light"
[prune]
target_speedup = {speedups}
recovery_epochs = {recovery}
learning_rate = {rate}
[budget]
max_accuracy_drop = 1.0
[bench]
min_runs = 100
min_seconds = 0.5
"""


def measured(path: Path) -> dict[str, Any]:
    """Both ways, from an empty store."""
    from edgetune import pipeline
    from edgetune.controller import climb
    from edgetune.controller.ladder import ladder
    from edgetune.plan import make_plan
    from edgetune.progress import Console
    from edgetune.recipe import load_recipe
    from edgetune.report.assemble import assemble
    from edgetune.store import Store
    from edgetune.surroundings import look_around
    from edgetune.target import recipe_target

    recipe = load_recipe(path)
    target = recipe_target(recipe, recipe.targets.names[0])
    store, around, said = Store(path.parent / "store"), look_around(recipe, (target,)), Console()
    climbed = climb.build(recipe, (target,), around, store, said)
    journal = climbed.journals[target.name]
    ways = ladder(recipe, target)
    everything = make_plan(recipe, (target,), around.facts, {target.name: ways})
    outcomes = pipeline.run(everything, store, around, said)

    def entry(plan: Any, found: Any) -> Any:
        artifacts = {name: one.artifact for name, one in found.items() if one.artifact is not None}
        reasons = {name: one.reason for name, one in found.items() if one.reason is not None}
        return assemble(plan, artifacts, reasons, [], {}, recipe_name="edgetune.toml", run="run")["targets"][0]

    def work(found: Any) -> float:
        return sum(
            one.seconds if one.artifact is None else float(store.facts(one.artifact)["seconds"])
            for one in found.values()
        )

    whole = entry(everything, outcomes)
    training = float(store.facts(outcomes["finetune"].artifact)["seconds"])  # type: ignore[arg-type]
    at_the_end = [one for name, one in climbed.outcomes.items() if name.startswith(("measure:", "select:", "bundle:"))]
    at_the_end += [one for name, one in climbed.outcomes.items() if name.startswith("evaluate:")]
    ended = 3600 * journal["hours"] + work({one.step.id: one for one in at_the_end})
    return {
        "fine_tuning_seconds": training,
        "controller": {
            "seconds": ended,
            "engines": len(journal["rungs"]) - 1,
            "chosen": _told(entry(climbed.plan, climbed.outcomes)),
            "summary": journal["summary"],
            "rungs": journal["rungs"],
        },
        "every_rung": {"seconds": work(outcomes), "engines": len(ways), "chosen": _told(whole)},
        "candidates": [_told(whole, candidate["name"]) for candidate in whole["candidates"]],
    }


def _told(entry: Any, name: str | None = None) -> dict[str, Any]:
    found = next(one for one in entry["candidates"] if one["name"] == (name or entry["chosen"]))
    keys = ("name", "status", "selection", "speedup")
    return {**{key: found[key] for key in keys}, "test": (found["metrics"] or {}).get("accuracy")}


def main() -> None:
    """Build both ways, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="a .tar of train/ val/ test/ folders of classes")
    parser.add_argument("--model", default="edgetune.demo.network:demo_net")
    parser.add_argument("--weights", type=Path, help="left out: the demo's")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--recovery-epochs", type=int, default=6)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--speedups", type=float, nargs="+", default=[2.0, 1.5, 1.25])
    args = parser.parse_args()
    from edgetune.demo.recipe import WEIGHTS

    options = {
        "model": args.model,
        "weights": f'weights = "{(args.weights or WEIGHTS).absolute()}"',
        "data": args.images.stem,
        "image_size": args.image_size,
        "epochs": args.epochs,
        "recovery": args.recovery_epochs,
        "rate": args.learning_rate,
        "speedups": list(args.speedups),
    }
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with tarfile.open(args.images) as archive:
            archive.extractall(folder, filter="data")
        (folder / "edgetune.toml").write_text(RECIPE.format(**options))
        found = measured(folder / "edgetune.toml")
    for way in ("controller", "every_rung"):
        print(f"{way}: {found[way]['seconds']:.0f} s, {found[way]['engines']} engines, {found[way]['chosen']}")
    plain = {**options, "weights": (args.weights or WEIGHTS).name}
    save("controller_cost", {"options": plain, **found})


if __name__ == "__main__":
    main()
