"""The step on a real pretrained network: digits with planted labels, and texts through a tiny encoder."""

import random
import shutil

import pytest
from small_text import write_encoder, write_texts

from edgetune import api
from edgetune.plan import make_check_labels_plan, make_plan
from edgetune.recipe import load_recipe
from edgetune.surroundings import look_around
from edgetune.target import load_target


@pytest.fixture
def digits(tmp_path, monkeypatch):
    """The demo with a part of its digits, 20 of them under another label; returns the folder and those."""
    pytest.importorskip("sklearn")
    from edgetune.demo.__main__ import main

    monkeypatch.setenv("EDGETUNE_CACHE", str(tmp_path / "store"))
    monkeypatch.setattr("sys.argv", ["demo", str(tmp_path / "demo")])
    main()
    folder = tmp_path / "demo" / "digits"
    files = sorted(folder.rglob("*.png"))
    rng = random.Random(0)
    planted = set()
    for file in rng.sample(files, 40):
        other = str((int(file.parent.name) + rng.randint(1, 9)) % 10)
        place = file.parent.parent / other / file.name
        shutil.move(file, place)
        planted.add(place.relative_to(folder).as_posix())
    return tmp_path / "demo", planted


def test_planted_labels_among_digits_are_found_by_the_recipes_network(digits):
    """40 of 1,797 planted; measured: precision 0.93, recall 0.8."""
    folder, planted = digits
    found = api.check(folder, labels=True)
    (finding,) = [item for item in found["findings"] if item["id"] == "label-error"]
    named = {example.split(": ")[0] for example in finding["examples"]}
    assert finding["severity"] == "warning" and finding["count"] == len(named) and not found["failed"]
    assert len(named & planted) / len(named) >= 0.8 and len(named & planted) / len(planted) >= 0.6


def test_texts_are_judged_by_the_encoder(tmp_path, monkeypatch):
    write_texts(tmp_path / "texts", splits={"train": 60, "val": 15, "test": 15})
    with (tmp_path / "texts/train.csv").open("a") as file:
        file.writelines(f"loan bank price coins debt {word},weather\n" for word in ("it", "we", "saw"))
    write_encoder(tmp_path / "encoder")
    (tmp_path / "edgetune.toml").write_text(
        '[model]\nname = "transformers/tiny"\nweights = "encoder"\n[data]\npath = "texts"\nmax_length = 24\n'
    )
    found = api.check(tmp_path / "edgetune.toml", labels=True, cache_dir=tmp_path / "store")
    (finding,) = [item for item in found["findings"] if item["id"] == "label-error"]
    assert sum("loan bank price coins debt" in example for example in finding["examples"]) == 3
    assert finding["count"] <= 6


def test_a_head_that_is_no_linear_layer_is_said_so(project):
    (project / "squeeze.py").write_text(
        "from torch import nn\n"
        "def make(num_classes):\n"
        "    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, num_classes, 1), nn.AdaptiveAvgPool2d(1),"
        " nn.Flatten())\n"
    )
    recipe = project / "edgetune.toml"
    recipe.write_text(recipe.read_text().replace("tiny_network:tiny", "squeeze:make"))
    found = api.check(project, labels=True)
    (finding,) = [item for item in found["findings"] if item["id"] == "labels-unjudged"]
    assert "not one linear layer" in finding["problem"]


@pytest.mark.slow
def test_a_build_shows_the_suspects_in_its_report(project):
    for number in range(4):
        shutil.copyfile(
            project / f"shapes/train/blob/00{number}.png", project / f"shapes/train/cross/wrong{number}.png"
        )
        (project / f"shapes/train/blob/00{number}.png").unlink()
    recipe = (project / "edgetune.toml").read_text().replace("[data]", "[data]\ncheck_labels = true")
    (project / "edgetune.toml").write_text(recipe.replace("ratio = [0.0, 0.5]", "ratio = [0.0]"))
    report = api.build(project / "edgetune.toml", target="x86-cpu")
    page = (report.run_dir / "report.html").read_text(encoding="utf-8")
    assert any("may be wrong" in finding for finding in report.data["data_findings"])
    assert {row["suggested"] for row in report.data["label_errors"] if "wrong" in row["path"]} == {"blob"}
    shown = [f'alt="{row["path"]}"' in page for row in report.data["label_errors"]]
    assert shown and all(shown)


def test_a_build_looks_at_labels_only_if_it_is_asked_to(project):
    recipe = load_recipe(project / "edgetune.toml")
    target = load_target("x86-cpu", project)
    facts = look_around(recipe, (target,)).facts
    plain = make_plan(recipe, (target,), facts)
    assert "check_labels" not in {step.name for step in plain.steps}
    text = (project / "edgetune.toml").read_text()
    (project / "edgetune.toml").write_text(text.replace("[data]", "[data]\ncheck_labels = true"))
    asked = make_plan(load_recipe(project / "edgetune.toml"), (target,), facts)
    assert [step.name for step in asked.steps][:2] == ["check_data", "check_labels"]
    assert [s for s in asked.steps if s.name != "check_labels"] == list(plain.steps)
    assert make_check_labels_plan(recipe, facts).steps == asked.steps[:2]
