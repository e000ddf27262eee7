"""Shared by all tests: quiet libraries, hypothesis profile, small real datasets made on the spot."""

import gc
import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
if "PYTEST_XDIST_WORKER" in os.environ:  # several processes of OpenMP threads that spin cost two thirds of the time
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from PIL import Image

settings.register_profile(
    "edgetune",
    deadline=None,  # the machine is shared: time says nothing about correctness
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("edgetune")


def pytest_configure(config: pytest.Config) -> None:
    """Hide GPUs from all tests but ``pytest -m gpu``: the others compare networks on the CPU, to the bit."""
    if config.option.markexpr != "gpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


def pytest_runtest_setup(item: pytest.Item) -> None:
    """What is left from the tests before is no garbage, and is not looked through again, as a worker holds all
    that its earlier tests imported.
    """
    gc.collect()
    gc.freeze()


CLASSES = ("blob", "cross", "stripes")


def draw(kind: str, size: int, rng: np.random.Generator) -> Image.Image:
    """A noisy picture of one of three shapes, which a small network learns in seconds."""
    y, x = np.mgrid[:size, :size] / size
    cx, cy = rng.uniform(0.35, 0.65, 2)
    if kind == "blob":
        shape = (x - cx) ** 2 + (y - cy) ** 2 < 0.06
    elif kind == "cross":
        shape = (np.abs(x - cx) < 0.08) | (np.abs(y - cy) < 0.08)
    else:
        shape = np.sin((x + y + cx) * 30) > 0
    pixels = rng.normal(90, 25, (size, size, 3)) + shape[..., None] * rng.uniform(60, 120, 3)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def write_images(folder: Path, *, splits: dict[str, int], size: int = 40, seed: int = 0) -> Path:
    """An ImageFolder with ``splits`` ({"train": images a class}); an empty name writes the classes at the top."""
    rng = np.random.default_rng(seed)
    for split, count in splits.items():
        for kind in CLASSES:
            place = folder / split / kind
            place.mkdir(parents=True, exist_ok=True)
            for number in range(count):
                draw(kind, size, rng).save(place / f"{number:03}.png")
    return folder


@pytest.fixture
def shapes(tmp_path: Path) -> Path:
    """A ready-split dataset of 3 classes: 24 train, 8 val, 12 test images each."""
    return write_images(tmp_path / "shapes", splits={"train": 24, "val": 8, "test": 12})


RECIPE = """
[model]
name = "tiny_network:tiny"
pretrained = false
[data]
path = "shapes"
image_size = 40
[finetune]
epochs = 6
batch_size = 12
learning_rate = 0.01
augmentation = "light"
[prune]
ratio = [0.0, 0.5]
recovery_epochs = 2
[quantize]
mode = "ptq"
float_layers = "none"
[bench]
min_runs = 20
min_seconds = 0.05
"""


def make_project(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """A folder with the shapes, a small network of the user's own, and a recipe; it becomes the working folder."""
    write_images(folder / "shapes", splits={"train": 24, "val": 8, "test": 12})
    (folder / "tiny_network.py").write_text((Path(__file__).parent / "tiny_network.py").read_text())
    (folder / "edgetune.toml").write_text(RECIPE)
    patch.chdir(folder)
    patch.setenv("EDGETUNE_CACHE", str(folder / "store"))
    return folder


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of the test's own, see ``make_project``."""
    return make_project(tmp_path, monkeypatch)
