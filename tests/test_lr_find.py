"""`edgetune lr-find` as its user sees it."""

import csv
import json

import pytest
from click.testing import CliRunner

from edgetune import api
from edgetune.cli import cli
from edgetune.errors import InputError, TrainingError


def test_it_suggests_a_rate_and_writes_the_curve(project):
    done = CliRunner().invoke(cli, ["lr-find", "--steps", "40"])
    assert done.exit_code == 0, done.output
    assert "suggested: [finetune] learning_rate = " in done.stdout and "lr_find.csv" in done.stdout
    found = json.loads((project / "lr_find/lr_find.json").read_text())
    rows = list(csv.DictReader((project / "lr_find/lr_find.csv").open()))
    assert [float(row["learning_rate"]) for row in rows] == found["rates"]
    assert [float(row["loss"]) for row in rows] == found["losses"] and len(rows) <= 40

    again = CliRunner().invoke(cli, ["lr-find", "--steps", "40", "--json", "--output", "elsewhere"])
    data = json.loads(again.stdout)
    assert data["rates"] == found["rates"] and "cached" in again.stderr
    assert data["files"][0].endswith("elsewhere/lr_find.csv")


@pytest.mark.parametrize("limits", [{"lowest": 0.0}, {"lowest": 1.0}, {"steps": 5}, {"highest": 1e9}])
def test_limits_that_make_no_sense(project, limits):
    with pytest.raises(InputError, match="cannot be tried"):
        api.lr_find(**limits)


def test_no_rate_to_find_and_no_place_to_write(project):
    recipe = project / "edgetune.toml"
    recipe.write_text(recipe.read_text().replace("[finetune]", '[finetune]\nstrategy = "feature-extraction"'))
    with pytest.raises(TrainingError, match="has no learning rate"):
        api.lr_find(steps=20)
    recipe.write_text(recipe.read_text().replace("feature-extraction", "full"))
    with pytest.raises(InputError, match="cannot write to"):
        api.lr_find(steps=20, output=recipe)
