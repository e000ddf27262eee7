"""The benchmark of `edgetune search`: what it compares, on a table of made-up engines."""

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from edgetune.demo.recipe import write_demo
from edgetune.recipe import load_recipe
from edgetune.records import Recipe
from edgetune.search.trial import Baseline
from edgetune.search_space import search_space_of
from edgetune.target import recipe_target

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """benchmarks/search_efficiency.py, which is in no package."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("search_efficiency")


@pytest.fixture
def recipe(tmp_path: Path, benchmark: ModuleType) -> Recipe:
    """The demo's, with the space of the benchmark's quick run."""
    path = write_demo(tmp_path)
    text = path.read_text().partition("\n[search]")[0].replace("target_speedup = [1.6]", "ratio = [0.2]")
    path.write_text(text + benchmark.DIGITS)
    return load_recipe(path)


def made_up(values: dict[str, Any]) -> dict[str, Any]:
    """Stronger pruning is faster and worse, longer recovery better, INT8 twice as fast."""
    ratio, int8 = values["prune.ratio"], values["quantize.mode"] == "ptq"
    recovered = 0.02 * values.get("prune.recovery_epochs", 0)
    speedup = (1.0 + ratio) * (2.0 if int8 else 1.0)
    return {
        "accuracy": 0.9 - 0.2 * ratio**2 + recovered * ratio - 0.01 * int8,
        "speedup": {"value": speedup},
        "latency_ms": 1.0 / speedup,
        "size_bytes": int(1e6 / speedup),
        "energy_ratio": None,
    }


def test_every_method_finds_a_share_of_the_table_and_more_with_more_epochs(
    benchmark: ModuleType, recipe: Recipe
) -> None:
    space = search_space_of(recipe, int8=True)
    rows = {tuple(sorted(values.items())): made_up(values) for values in benchmark.every(space, recipe, int8=True)}
    baseline = Baseline(
        target=recipe_target(recipe, "x86-cpu"),
        compiled="compile-float",
        outcomes={},
        accuracy=0.9,
        size_bytes=1_000_000,
        samples=400,
        chance=0.1,
    )
    found = benchmark.compare(benchmark.Table(recipe=recipe, baseline=baseline, space=space, int8=True, rows=rows))
    # unpruned in two modes; three ratios, two lengths of recovery, two criteria, two modes
    assert found["engines"] == len(rows) == 2 + 3 * 2 * 2 * 2
    assert found["epochs"] == 3 * (1 + 3) * 2
    assert set(found["methods"]) == set(benchmark.METHODS)
    for by_share in found["methods"].values():
        means = [by_share[str(share)]["mean"] for share in benchmark.SHARES]
        assert means == sorted(means)
        assert means[0] > 0.0
        assert means[-1] <= 1.0
        assert all(len(one["reached"]) == len(benchmark.SEEDS) for one in by_share.values())
