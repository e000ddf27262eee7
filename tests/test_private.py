"""Nothing of who built it, where and with which keys is in what is handed on: planted, then looked for."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import RECIPE, write_images
from hypothesis import given
from hypothesis import strategies as st

from edgetune import api
from edgetune.cli import cli
from edgetune.private import cleaned, cleaned_text

KINDS = (".json", ".html", ".md", ".xml", ".csv", ".txt", ".sh")
WANTED = {
    "report.html", "report.json", "report.md", "manifest.json", "compare.html", "compare.md", "compare.xml",
    "bench.json", "dataset-card.md", "croissant.json", "search.json", "search.html", "tune.json", "tune.html",
    "README.md", "several.md", "several.html",
}  # fmt: skip
USER, KEY, PASSWORD, HOST = "plantedname", "planted-key-0123456789", "planted-password", "planted-host"
NETWORK = '''
import os
import torch
from tiny_network import tiny

class Refusing(torch.nn.Module):
    """Cannot be traced for INT8, and says more than it should."""
    def __init__(self, network, file):
        super().__init__()
        self.network, self.file = network, file
    def forward(self, x):
        if torch.compiler.is_exporting() and not torch.onnx.is_in_onnx_export():
            key = os.environ["PLANTED_TOKEN"]
            raise RuntimeError(f"no {self.file}, tried {key} at s3://me:planted-password@host/x")
        return self.network(x)

def refusing(num_classes, file):
    return Refusing(tiny(num_classes), file)
'''
SEARCHES = """
[tune]
trials = 1
[search]
trials = 3
[search.space]
prune.ratio = [0.0, 0.5]
quantize.mode = ["none", "ptq"]
"""


@pytest.mark.parametrize(
    ("told", "left"),
    [
        ("cannot open /home/ann/data/x.png now", "cannot open x.png now"),
        ("in '/home/ann', C:\\Users\\ann\\a b", "in '~', a b"),
        ("~ann/keys/a.pem and file:///srv/a/b.db", "a.pem and file:///b.db"),
        ("https://ann:pw@host/a/b?token=abc&x=1", "https://host/a/b?token=***&x=1"),
        ("postgresql://ann@host/db", "postgresql://host/db"),
        ("train/hat/1.png = val/hat/2.png, 3 MB/s and/or 1/2", "train/hat/1.png = val/hat/2.png, 3 MB/s and/or 1/2"),
        ("s3://bucket/prefix/a, max_tokens = 128", "s3://bucket/prefix/a, max_tokens = 128"),
    ],
)
def test_what_tells_too_much_is_cut_and_the_rest_stays(told, left):
    assert cleaned_text(told) == left
    assert cleaned({told: [told, 1.5, None, {"text": told}]}) == {left: [left, 1.5, None, {"text": told}]}


@given(st.text(), st.text(alphabet="abc/._-~: \\'\"=@", max_size=60))
def test_cleaning_twice_changes_nothing_more_and_no_root_is_left(any_text, path):
    for text in (any_text, path):
        once = cleaned_text(text)
        assert cleaned_text(once) == once
    assert cleaned_text(f"x /home/ann/{'b' * 9}/c y") == "x c y"


def test_values_of_secret_variables_are_blotted_out(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEY)
    monkeypatch.setenv("HF_TOKEN", f"{KEY}-and-more")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "true-or-false")
    assert cleaned_text(f"a{KEY}b {KEY}-and-more true-or-false") == "a***b *** true-or-false"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A user's folder with a project whose recipe names data, weights and a file by absolute paths."""
    home = tmp_path_factory.mktemp("root") / "home" / USER
    write_images(home / "shapes", splits={"train": 24, "val": 8, "test": 12})
    (home / "shapes/train/blob/broken.png").write_bytes(b"no picture")
    project = home / "project"
    project.mkdir()
    shutil.copyfile(Path(__file__).with_name("tiny_network.py"), project / "tiny_network.py")
    (project / "network.py").write_text(NETWORK)
    recipe = RECIPE.replace("tiny_network:tiny", "network:refusing").replace('"shapes"', f'"{home}/shapes"')
    recipe = recipe.replace("pretrained = false", f'pretrained = false\nargs = {{ file = "{home}/keys/key.pem" }}')
    recipe = (
        recipe.replace("ratio = [0.0, 0.5]", "ratio = []")
        .replace("epochs = 6", "epochs = 1")
        .replace("recovery_epochs = 2", "recovery_epochs = 1")
    )
    recipe = recipe.replace("image_size = 40", 'image_size = 40\non_bad_file = "skip"')
    (project / "edgetune.toml").write_text(recipe + SEARCHES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        patch.setenv("USER", USER)
        patch.setenv("PLANTED_TOKEN", KEY)
        patch.setattr("socket.gethostname", lambda: HOST)
        patch.setenv("EDGETUNE_CACHE", str(home / "store"))
        patch.chdir(project)
        yield home


def planted(text, home):
    """What of the planted things is in a text, with what stands around it."""
    found = [(word, text.find(word)) for word in (USER, KEY, PASSWORD, HOST, str(home.parents[1]))]
    return [text[max(0, at - 80) : at + 80] for _, at in found if at >= 0]


@pytest.mark.slow
def test_nothing_that_was_planted_is_in_anything_that_is_handed_on(home):
    runs = [api.build(home / "project/edgetune.toml", run_dir=home / f"project/runs/{n}") for n in ("a", "b")]
    reasons = json.dumps(runs[0].data["targets"][0]["candidates"])
    assert "no key.pem, tried *** at s3://host/x" in reasons  # the failed engine's reason is there, without the key
    assert runs[0].data["recipe"]["data"]["path"] == "shapes"
    assert not planted(json.dumps(runs[0].data), home)
    api.check(home / "project/edgetune.toml", card=home / "project/card")
    api.compare(*(run.run_dir for run in runs), html="compare.html", markdown="compare.md", junit="compare.xml")
    bundle = runs[0].run_dir / "bundles/x86-cpu"
    quick = ["--min-runs", "20", "--min-seconds", "0.05"]
    outputs = [
        CliRunner().invoke(cli, ["bench", str(bundle), str(bundle / "engine.onnx"), *quick, "--output", "bench.json"]),
        CliRunner().invoke(cli, ["compare", "runs/a", "runs/b", "--json"]),
        CliRunner().invoke(
            cli, ["report", "--compare", "runs/a", "runs/b", "--markdown", "several.md", "--html", "several.html"]
        ),
        CliRunner().invoke(cli, ["search"]),
        CliRunner().invoke(cli, ["tune"]),
    ]
    failed = [done.output[-300:] for done in outputs if done.exit_code not in (0, 3)]
    assert not failed
    assert "tried ***" in Path("search/search.json").read_text()
    for command in ("search", "tune"):
        found = json.loads(Path(f"{command}/{command}.json").read_text())
        assert {trial["worker"] for trial in found["trials"]} == {"worker 1"}
    api.push_to_hub("runs/a", "someone/shapes")
    left = [path for path in (home / "project").rglob("*") if path.suffix in KINDS and path.is_file()]
    names = {path.name for path in left}
    assert {
        "report.html",
        "report.json",
        "report.md",
        "manifest.json",
        "compare.html",
        "compare.xml",
        "bench.json",
    } <= names
    assert {"dataset-card.md", "croissant.json", "search.json", "search.html", "tune.json", "tune.html"} <= names
    assert {"README.md", "several.md", "several.html"} <= names
    telling = {path: found for path in left if (found := planted(path.read_text(), home))}
    assert not telling
