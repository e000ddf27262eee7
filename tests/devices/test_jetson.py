"""The whole TensorRT path on a real board: `pytest -m jetson`, there or with EDGETUNE_TEST_JETSON=ssh://user@host.

Nobody has run it yet. docs/tensorrt.md says how to send back what it leaves in EDGETUNE_TEST_OUT.
"""

import json
import os
import shutil
from pathlib import Path

import pytest
from edgetune_runtime import Engine, tensorrt_here

import edgetune
from edgetune.devices.here import ThisMachine
from edgetune.devices.ssh import connect
from edgetune.report.validate import validate

ADDRESS = os.environ.get("EDGETUNE_TEST_JETSON")
TARGET = os.environ.get("EDGETUNE_TEST_TARGET", "jetson-orin-nano")
OUT = os.environ.get("EDGETUNE_TEST_OUT")
JETSON = Path("/etc/nv_tegra_release")
pytestmark = [
    pytest.mark.jetson,
    pytest.mark.slow,
    pytest.mark.timeout(7200),
    pytest.mark.skipif(not ADDRESS and not JETSON.exists(), reason="no Jetson: EDGETUNE_TEST_JETSON names none"),
]


@pytest.fixture
def board():
    if ADDRESS:
        with connect(ADDRESS) as device:
            yield device
    else:
        yield ThisMachine()


def kept(source, name):
    if OUT:
        Path(OUT).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, Path(OUT) / name)


def test_the_board_tells_what_it_is(board, tmp_path):
    found = board.look()
    (tmp_path / "look.json").write_text(json.dumps(found, indent=1))
    kept(tmp_path / "look.json", "look.json")
    assert found["tensorrt"]["jetson"]["model"] != "unknown" and found["tensorrt"]["sm"] != "unknown"


def test_a_build_ends_measured(project):
    recipe = project / "edgetune.toml"
    recipe.write_text(recipe.read_text().replace("ratio = [0.0, 0.5]", "ratio = [0.0]"))
    report = edgetune.build(target=TARGET, run_dir="run", **({"device": ADDRESS} if ADDRESS else {}))
    kept(project / "run/report.json", "report.json")
    kept(project / "run/measurements" / f"{TARGET}.json", "measurements.json")
    validate(report.data)
    (target,) = report.data["targets"]
    assert target["status"] == "measured" and target["bundle"]
    assert all(candidate["status"] == "measured" for candidate in target["candidates"]), target["candidates"]
    if not ADDRESS:
        with Engine.open(project / "run/bundles" / f"{TARGET}.tar") as engine:
            assert engine.manifest["session"]["tensorrt"]["plan"]["sm"] == tensorrt_here.find().tied["sm"]
