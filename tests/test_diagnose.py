"""`edgetune diagnose` as its user sees it."""

import json

import pytest
from click.testing import CliRunner

from edgetune import api
from edgetune.cli import cli
from edgetune.errors import InputError

TARGET = """extends = "x86-cpu"
[scheme]
per_channel = false
"""


def test_it_says_where_and_writes_a_page_that_needs_no_network(project):
    done = CliRunner().invoke(cli, ["diagnose", "--samples", "30"])
    assert done.exit_code == 0, done.output
    found = json.loads((project / "diagnosis/diagnosis.json").read_text())
    assert {layer["layer"] for layer in found["layers"] if layer["has_weight"]} == {"0", "3", "6", "11"}
    assert found["trials"][0]["change"] == "as in the recipe" and found["suggested"] is not None
    assert "validation samples the network has" in done.stdout and "as in the recipe" in done.stdout
    page = (project / "diagnosis/diagnosis.html").read_text()
    assert "What was tried" in page and "http" not in page.split("<script>")[1] and str(project) not in page

    again = CliRunner().invoke(cli, ["diagnose", "--samples", "30", "--json", "--output", "elsewhere"])
    data = json.loads(again.stdout)
    assert data["layers"] == found["layers"] and "diagnose 8 bits of x86-cpu: cached" in again.stderr
    assert data["files"][1].endswith("elsewhere/diagnosis.html")


def test_of_another_target(project):
    (project / "targets").mkdir()
    (project / "targets/one-scale.toml").write_text(TARGET)
    found = api.diagnose(target="one-scale", samples=30)
    assert found["target"] == "one-scale" and found["samples"] == 24  # all there are


def test_what_cannot_be_diagnosed(project):
    with pytest.raises(InputError, match="0 samples"):
        api.diagnose(samples=0)
    with pytest.raises(InputError, match="cannot write to"):
        api.diagnose(samples=10, output=project / "edgetune.toml")
    (project / "targets").mkdir()
    (project / "targets/floating.toml").write_text('extends = "x86-cpu"\nprecisions = ["fp32"]\n')
    with pytest.raises(InputError, match="has no 8-bit engines"):
        api.diagnose(target="floating")
