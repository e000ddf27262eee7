"""The comparison with peers: what it counts, what it prints, and that README and docs show its results."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from benchmarks.peers.catalogue import IMAGE_PEERS, TEXT_PEERS
from benchmarks.peers.environments import REQUIREMENTS, EnvironmentFailed, python_of
from benchmarks.peers.inputs import Samples, read_samples
from benchmarks.peers.jobs import last_words, run_command
from benchmarks.peers.judge import accuracy, answers, time_engines
from benchmarks.peers.lines import recipe_lines, script_lines
from benchmarks.peers.run import HERE, answers_or_failure
from benchmarks.peers.table import table

ROOT = Path(__file__).parents[1]
SCRIPT = '''"""What it does.

Long.
"""

import sys
from pathlib import (
    Path,
)

# a comment
GIVEN = Path(sys.argv[1])  # and one more


def twice(text):
    """Twice."""
    return f"""{text}

{text}"""


print(
    twice("a"),
)
'''


def test_lines_of_a_script_that_count():
    # GIVEN; def; return and its two lines more; print and its two lines more
    assert script_lines(SCRIPT) == 1 + 1 + 3 + 3


def test_lines_of_a_recipe_that_count():
    assert recipe_lines('[model]\nname = "x"  # why\n\n# nothing\n') == 3


def row(name, *, value=2.0, failure=None, **more):
    found = {
        "failure": failure,
        "accuracy": 0.9,
        "accuracy_change": {"value": -0.04, "ci95": [-1.23, 1.1], "negative_flips": 1, "positive_flips": 1},
        "speedup": {"value": value, "ci95": [value - 0.1, value + 0.1]},
    }
    common = {"name": name, "title": name, "failure": None, "size_bytes": 250, "cpu_seconds": 240.0}
    return common | {"peak_rss_bytes": 1.5e9, "lines": 7, "measured": {"onnxruntime": found}} | more


def test_a_table_shows_losses_and_failures():
    base = {"name": "float", "title": "float", "size_bytes": 1000, "measured": row("float", value=1.0)["measured"]}
    broken = row("broken", failure="it says no")
    gone = {"name": "gone", "title": "gone", "failure": "cannot be installed: no", "measured": {}}
    lines = table({"rows": [base, row("slow", value=0.4), broken, gone]}).splitlines()
    assert lines[2].startswith("| float | 90.0 % | 0.0 (−1.2 to +1.1) | 1.00 (0.90 to 1.10) |  | 1.00 |")
    assert lines[3].endswith("| 0.40 (0.30 to 0.50) |  | 0.25 | 4 min | 1.5 GB | 7 |")
    assert "| fails |" in lines[4]
    assert lines[5].startswith("| gone | failed |")
    assert lines[-2:] == [
        "- broken, its file in ONNX Runtime: it says no",
        "- gone: cannot be installed: no",
    ]
    assert {line.count("|") for line in lines[:6]} == {10}


@pytest.mark.parametrize("peer", IMAGE_PEERS + TEXT_PEERS, ids=lambda peer: peer.key)
def test_a_peer_has_a_script_and_pinned_requirements(peer):
    assert script_lines((HERE / f"scripts/{peer.script}.py").read_text(encoding="utf-8")) > 0
    wanted = (REQUIREMENTS / f"{peer.requirements}.txt").read_text(encoding="utf-8").splitlines()
    assert all("==" in line or line.startswith("#") for line in wanted)


def test_what_a_command_costs_and_how_it_fails(tmp_path):
    big = "block = bytearray(200_000_000)\nfor i in range(3_000_000): pass"
    found = run_command([sys.executable, "-c", big], tmp_path, limit_seconds=60)
    assert found["failure"] is None
    assert 200e6 < found["peak_rss_bytes"] < 400e6  # its own, not that of the process that started it
    assert found["cpu_seconds"] > 0
    wrong = run_command([sys.executable, "-c", "open('/no/such/file')"], tmp_path, limit_seconds=60)
    assert wrong["failure"] == "FileNotFoundError: [Errno 2] No such file or directory: file"
    late = run_command([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path, limit_seconds=0.5)
    assert late["failure"].startswith("not done after")
    assert late["seconds"] < 30


def test_the_last_words_of_a_silent_command(tmp_path):
    (tmp_path / "log.txt").write_text("")
    assert last_words(tmp_path / "log.txt") == "it said nothing"


def test_packages_that_cannot_be_had(tmp_path, monkeypatch):
    (tmp_path / "wrong.txt").write_text("no such requirement\n")
    monkeypatch.setattr("benchmarks.peers.environments.REQUIREMENTS", tmp_path)
    with pytest.raises(EnvironmentFailed, match="requirement"):
        python_of("wrong", tmp_path / "cache")


def test_samples_of_texts_keep_their_lengths(tmp_path):
    ids = np.asarray([[5, 6, 0], [7, 8, 9]])
    Samples(inputs=ids, labels=np.asarray([0, 1]), lengths=np.asarray([2, 3])).write(tmp_path / "test.npz")
    found = read_samples(tmp_path / "test.npz")
    assert [found.one(0).tolist(), found.one(1).tolist()] == [[[5, 6]], [[7, 8, 9]]]


def write_echo(path):
    """An engine whose logits [N, 3] are its input."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3]) for name in ("image", "logits")]
    graph = helper.make_graph([helper.make_node("Identity", ["image"], ["logits"])], "g", ends[:1], ends[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)


def test_engines_are_judged_on_the_same_samples(tmp_path):
    write_echo(tmp_path / "engine.onnx")
    samples = Samples(inputs=np.eye(3, dtype=np.float32)[[0, 1, 2, 0]], labels=np.asarray([0, 1, 2, 1]))
    said = answers(tmp_path / "engine.onnx", "onnxruntime", samples)
    assert said == [0, 1, 2, 0]
    judged = accuracy(said, [0, 1, 2, 1], samples)
    assert judged["accuracy"] == 0.75
    assert judged["accuracy_change"]["value"] == -25.0
    (tmp_path / "broken.onnx").write_bytes(b"no engine")
    assert "fail" in str(answers_or_failure(tmp_path / "broken.onnx", "onnxruntime", samples)).lower()
    engines = dict.fromkeys(("a", "b"), (tmp_path / "engine.onnx", "onnxruntime"))
    timed = time_engines(engines, samples, min_runs=80, max_seconds=1)
    assert timed["a"]["speedup"]["value"] == 1.0
    assert timed["b"]["latency_ms"]["n"] == len(timed["b"]["raw_ms"]) >= 80


@pytest.mark.parametrize(
    ("page", "jobs"),
    [
        ("README.md", {"clothing10", "rt_polarity", "banking77"}),
        ("docs/peers.md", {"clothing10", "rt_polarity", "banking77", "signdigits"}),
    ],
)
def test_pages_show_the_results(page, jobs):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert set(re.findall("<!-- peers (.*): begin -->", text)) == jobs
    for job in jobs:
        result = json.loads((ROOT / f"benchmarks/results/peers_{job}.json").read_text(encoding="utf-8"))
        found = text.partition(f"<!-- peers {job}: begin -->\n")[2].partition(f"\n<!-- peers {job}: end -->")[0]
        assert found == table(result), f"put this into {page}:\n{table(result)}"
