"""All pages, made by small real runs, and a headless Chromium that lets no request out."""

import copy
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import CLASSES, RECIPE, write_images
from small_runs import PIXEL, write_run

from edgetune import api
from edgetune.hashing import digest_file
from edgetune.records import BenchSpec
from edgetune.report.html import render_html
from edgetune.report.search import write_search
from edgetune.report.write import write_reports

SEARCH = """
[tune]
trials = 3
pruner = "none"
[tune.space]
learning_rate = { low = 1e-3, high = 1e-1, log = true }
batch_size = [6, 12]
"""
REASON = "hopeless: its network has 71.0 % on validation after recovery, which is 24.0 points below float"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="session")
def workplace(tmp_path_factory):
    """A folder with the shapes, the small network and a short recipe with a search; it is the working folder."""
    folder = tmp_path_factory.mktemp("pages")
    write_images(folder / "shapes", splits={"train": 12, "val": 8, "test": 12})
    source = Path(__file__).parents[2] / "tiny_network.py"
    (folder / "tiny_network.py").write_text(source.read_text())
    recipe = RECIPE.replace("epochs = 6", "epochs = 2").replace("ratio = [0.0, 0.5]", "ratio = [0.0]")
    (folder / "edgetune.toml").write_text(recipe + SEARCH)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("EDGETUNE_CACHE", str(folder / "store"))
        yield folder


def compared(folder):
    """compare.html of two runs over the shapes' test split, of which six pictures became wrong and two right."""
    files = sorted((folder / "shapes/test").rglob("*.png"))
    truth = np.array([CLASSES.index(file.parent.name) for file in files])
    first, second = truth.copy(), truth.copy()
    first[:2], second[20:26] = (truth[:2] + 1) % 3, (truth[20:26] + 1) % 3
    shared = {"contents": [digest_file(file) for file in files], "truth": truth.tolist(), "labels": list(CLASSES)}
    runs = [
        write_run(folder / f"compared/{name}", answers={"float": truth, "int8": answers}, seed=seed, **shared)
        for name, answers, seed in (("a", first, 0), ("b", second, 50))
    ]
    api.compare(*runs, html=folder / "compare.html", data=folder / "shapes")
    return folder / "compare.html"


def searched(folder):
    """search.html of five trials: two on the front, one outside of the budget, one given up, one that failed."""
    done = [(0.95, 1.0, 1.6, 900_000), (0.94, 1.9, 2.1, 300_000), (0.71, 2.4, 2.8, 150_000)]
    nothing = dict.fromkeys(
        ("engine", "recovered_accuracy", "accuracy", "speedup", "latency_ms", "float_ms", "size_bytes",
         "inside_budget", "seconds", "worker", "reason", "energy_ratio", "stopped")
    )  # fmt: skip
    trials = [
        {**nothing, "state": "finished", "engine": "int8", "accuracy": accuracy, "size_bytes": size,
         "speedup": {"value": (low + high) / 2, "ci95": [low, high]}, "latency_ms": 1.0, "float_ms": 2.0,
         "inside_budget": accuracy > 0.9, "seconds": 71.5, "worker": "a-host"}
        for accuracy, low, high, size in done
    ]  # fmt: skip
    trials += [{**nothing, "state": state, "reason": REASON} for state in ("given up", "failed")]
    ratios = ["prune.ratio", *(f"prune.layers.features.{number}.ratio" for number in range(4))]
    empty = {
        "recipe": False,
        "values": dict.fromkeys(ratios, 0.3),
        "recovery": [],
        "again_after": [],
        "workers_lost": 0,
    }
    volumes = [{"number": number, "value": 0.1 * number} for number in range(3)]
    data = {
        "schema": "edgetune.search/1", "edgetune": "0.1.0", "optuna": "5.0.0", "created": "2026-11-27T21:39:37+00:00",
        "study": "a study", "storage": "sqlite:///search.db", "model": "a model", "target": "x86-cpu", "sampler": "tpe",
        "seed": 0, "objectives": ["accuracy", "latency_ratio"], "trials_wanted": 5, "complete": True,
        "validation_samples": 200, "float": {"accuracy": 0.95, "size_bytes": 900_000}, "give_up_points": 5.0,
        "budget": {"max_accuracy_drop": 2.0, "max_latency_ms": None, "max_size_mb": None},
        "space": [{"name": name, "choices": [0.0, 0.3]} for name in ratios], "front": [0, 1], "chosen_trial": 1,
        "trials": [{**empty, **trial, "number": number} for number, trial in enumerate(trials)],
        "hypervolume": {"reference": {"accuracy": 0.1, "latency_ratio": 1.0, "size_ratio": 1.0}, "by_trial": volumes},
        "reason": ["trial 1 is the fastest of them"], "changed": [{"name": "prune.ratio", "from": [0.0], "to": [0.3]}],
    }  # fmt: skip
    write_search(data, folder / "search")
    return folder / "search/search.html"


def beside_each_other(folder, sample):
    """several.html of two runs, of which the second ships a larger and slower engine in float."""
    other = copy.deepcopy(sample)
    other["targets"][0]["chosen"] = "float"
    names = ("first", "second-of-two-runs-that-differ-in-what-they-ship")  # longer than a phone's figure
    for name, data in zip(names, (sample, other), strict=True):
        write_reports(data, folder / name)
    api.several_reports([folder / name for name in names], html=folder / "several.html")
    return folder / "several.html"


@pytest.fixture(scope="session")
def pages(workplace, sample):
    """{name: path}: what commands wrote, a search that never ran, and a report with ``everything``."""
    built = api.build(target="x86-cpu")
    several = beside_each_other(workplace, sample)
    api.diagnose(samples=24)
    api.tune()
    doubted = {"split": "train", "given": "hat", "suggested": "shoes", "confidence": 0.98}
    sample["label_errors"] = [
        {"path": "train/hat/7.png", "thumbnail": PIXEL, **doubted},
        {"path": "train.csv:9", "text": "a sentence of some length " * 9, **doubted},
    ]
    sample["data_findings"].append("warning: 1 pair of pictures: train/a.png ~ val/b.png. Keep both in one split")
    pair = [{"finding": 1, "path": path, "thumbnail": PIXEL, "group": 0} for path in ("train/a.png", "val/b.png")]
    sample["data_examples"] = [*pair, *sample["data_examples"]]
    everything = workplace / "everything.html"
    everything.write_text(render_html(sample), encoding="utf-8")
    quick = BenchSpec(min_runs=20, min_seconds=0.05)
    api.bench([built.run_dir / "bundles/x86-cpu"], spec=quick, html=workplace / "bench.html")
    return {
        "bench": workplace / "bench.html",
        "report": built.run_dir / "report.html",
        "everything": everything,
        "diagnosis": workplace / "diagnosis/diagnosis.html",
        "tune": workplace / "tune/tune.html",
        "compare": compared(workplace),
        "search": searched(workplace),
        "several": several,
    }


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium; closed with the module, for Playwright holds the thread's event loop while it runs."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="Playwright is not installed: pip install -e '.[test]'"
    )
    if CHROMIUM is None:
        pytest.skip("no chromium on PATH (Debian: apt-get install chromium)")
    with playwright.sync_playwright() as running:
        started = running.chromium.launch(executable_path=CHROMIUM)
        yield started
        started.close()


class Visit:
    """A page in a window of its own, what it asked of the network, and what it complained of."""

    def __init__(self, browser, path, **window):
        self.requests, self.complaints = [], []
        self.address = path.as_uri()
        self.window = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **window})
        self.window.route("**/*", self._answer)
        self.window.set_default_timeout(60_000)  # CI may be busy
        self.page = self.window.new_page()
        self.page.on("console", lambda said: self.complaints.append(f"{said.type}: {said.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(self.address)

    def _answer(self, route):
        if route.request.url == self.address:
            route.continue_()
            return
        self.requests.append(route.request.url)
        route.abort()

    def unfold(self):
        """Opens every <details>, as a reader would."""
        folded = self.page.locator("details:not([open]) > summary")
        while folded.count():
            folded.first.click()


@pytest.fixture
def visit(browser, pages):
    """visit(name or path, **window) opens a page as Playwright's new_context has it: color_scheme, viewport, ..."""
    made = []

    def open_page(name, **window):
        made.append(Visit(browser, pages.get(name, name), **window))
        return made[-1]

    yield open_page
    for visited in made:
        visited.window.close()
