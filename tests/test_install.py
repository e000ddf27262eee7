"""The wheel holds everything that runs; the source tree installs in place."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]

CHECK = """
import pathlib, sys, edgetune, edgetune_runtime
from edgetune.demo.recipe import WEIGHTS
from edgetune.target import load_target, target_files
home = pathlib.Path(sys.argv[1])
assert home in pathlib.Path(edgetune.__file__).parents, edgetune.__file__
assert home in pathlib.Path(edgetune_runtime.__file__).parents
assert all(home in path.parents for path in target_files().values()) and len(target_files()) >= 9
assert load_target("jetson").name == "jetson-orin-nano"
assert WEIGHTS.stat().st_size < 1_000_000
assert edgetune.__version__ == edgetune_runtime.__version__
from importlib.resources import files
from edgetune.bundle.emit_cpp import PROJECT, SOURCES
cpp = pathlib.Path(str(files("edgetune.runtime_cpp")))
assert home in cpp.parents and all((cpp / name).exists() for name in SOURCES)
assert all((cpp / "project" / name).exists() for name in PROJECT)
from edgetune.report.html import render_html  # templates and the plotting library are read when it is called
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    # a copy: building must not leave anything in the tree
    subprocess.run(["git", "clone", "--quiet", "--depth", "1", f"file://{ROOT}", str(source)], check=True)
    for path in subprocess.run(
        ["git", "ls-files", "--modified", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    ).stdout.split("\n"):
        if path and (ROOT / path).is_file():
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            (source / path).write_bytes((ROOT / path).read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(folder), str(source)], check=True)
    return next(folder.glob("edgetune-*.whl"))


def test_the_wheel_works_by_itself(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "site")
    packaged = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "edgetune").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packaged <= names, f"not in the wheel: {sorted(packaged - names)}"
    assert {f"edgetune/targets/{path.name}" for path in (ROOT / "targets").glob("*.toml")} <= names
    sources = [path for path in (ROOT / "runtime/cpp").rglob("*") if path.suffix in (".h", ".hpp", ".cpp")]
    cpp = [path.relative_to(ROOT / "runtime/cpp").as_posix() for path in sources]
    assert len(cpp) > 20
    assert {f"edgetune/runtime_cpp/{name}" for name in (*cpp, "CMakeLists.txt", "project/CMakeLists.txt")} <= names
    assert not [name for name in names if name.startswith(("tests", "benchmarks"))]
    site = str(tmp_path / "site")
    done = subprocess.run(
        [sys.executable, "-c", CHECK, site], cwd=tmp_path, env={"PYTHONPATH": site}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_editable_install_is_this_tree():
    code = "import edgetune, edgetune_runtime; from edgetune.target import target_files; print(edgetune.__file__)"
    done = subprocess.run([sys.executable, "-c", code], cwd="/", capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()) == ROOT / "edgetune/__init__.py"


def test_versions_agree():
    text = (ROOT / "setup.cfg").read_text() + (ROOT / "runtime/python/pyproject.toml").read_text()
    import edgetune

    assert f"version = {edgetune.__version__}" in text and f'version = "{edgetune.__version__}"' in text
