"""Two folders in which the commands of README and docs can run: one about pictures, one about texts."""

import json
import shutil
import sys
from pathlib import Path

from conftest import RECIPE, write_images
from PIL import Image
from small_engines import write_onnx
from small_text import write_encoder, write_texts

import edgetune

SHORT = """
[tune]
trials = 2
[tune.space]
learning_rate = [0.01, 0.02]
[search]
trials = 2
[search.space]
quantize.mode = ["none", "ptq"]
"""
TEXTS = """
[model]
name = "transformers/tiny"
weights = "encoder"
[data]
path = "texts"
max_length = 24
[finetune]
epochs = 1
learning_rate = 3e-3
precision = "fp32"
[prune]
target_speedup = []
[quantize]
mode = "none"
[bench]
min_runs = 10
min_seconds = 0.01
"""


def fill(folder: Path, stamps: set[str]) -> None:
    """Photos, a recipe, runs (also under ``stamps``), bundles, ONNX files, and what a Jetson wrote."""
    write_images(folder / "shapes", splits={"train": 24, "val": 8, "test": 12})
    shutil.copyfile(Path(__file__).parent / "tiny_network.py", folder / "tiny_network.py")
    short = RECIPE.replace("ratio = [0.0, 0.5]", "ratio = []").replace("epochs = 6", "epochs = 2")
    (folder / "edgetune.toml").write_text(short + SHORT)
    edgetune.build(folder / "edgetune.toml", run_dir=folder / "runs/main")
    for copy in (*(f"runs/{stamp}" for stamp in sorted(stamps)), "runs/new", "main/runs/new"):
        shutil.copytree(folder / "runs/main", folder / copy)
    shutil.copytree(folder / "runs/main/bundles", folder / "bundles")
    for copy in ("bundles/board.tar", "x86-cpu.tar"):
        shutil.copyfile(folder / "bundles/x86-cpu.tar", folder / copy)
    shutil.copytree(folder / "shapes", folder / "photos")
    shutil.copytree(folder / "shapes", folder / "demo/shapes")
    for name in ("edgetune.toml", "tiny_network.py"):
        shutil.copyfile(folder / name, folder / "demo" / name)
    picture = next((folder / "shapes/test").rglob("*.png"))
    (folder / "digits/test/3").mkdir(parents=True)
    shutil.copyfile(picture, folder / "digits/test/3/0879.png")
    Image.open(picture).convert("RGB").save(folder / "photo.jpg")
    for name in ("float", "int8", "model", "quantize_static"):
        write_onnx(folder / f"{name}.onnx", shape=("batch", 3, 40, 40))
    (folder / "targets").mkdir()
    write_texts(folder / "reviews", splits={"train": 60})
    shutil.copyfile(folder / "reviews/train.csv", folder / "reviews.csv")
    (folder / "engines").mkdir()  # as build_on_device.sh leaves it, with times of trtexec's format
    (folder / "engines/int8.times.json").write_text(json.dumps([{"computeMs": 1.25}] * 64))
    (folder / "engines/device.txt").write_text("model: NVIDIA Jetson Orin Nano\n")


def fill_texts(folder: Path) -> None:
    """Sentences, a small encoder, a recipe, a run with its bundle."""
    write_encoder(folder / "encoder")
    write_texts(folder / "texts", splits={"train": 60, "val": 20, "test": 20})
    shutil.copyfile(folder / "texts/train.csv", folder / "reviews.csv")
    (folder / "reviews.txt").write_text("a gorgeous, witty film\nthe loan of a bank\n")
    (folder / "edgetune.toml").write_text(TEXTS)
    edgetune.build(folder / "edgetune.toml", run_dir=folder / "runs/main")
    shutil.copytree(folder / "runs/main/bundles", folder / "bundles")


def name_hosts(board, names: tuple[str, ...]) -> None:
    """Let the device of the tests be reached by the names that the docs use, with the Python that they name."""
    known = board.config.read_text()
    board.config.write_text(known.replace("Host board", f"Host board {' '.join(names)}"))
    own = board.home / "edgetune/bin/python"
    own.parent.mkdir(parents=True)
    own.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    own.chmod(0o755)
    board.environment["PATH"] = f"{own.parent}:{board.environment['PATH']}"
    shutil.copyfile(own, own.parent / "python3")
    (own.parent / "python3").chmod(0o755)
