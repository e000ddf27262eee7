"""Losses by layer go into the report's table, and what is not known of them is told."""

import pytest

from edgetune.report.html import render_html
from edgetune.report.layer_words import layer_rows, sensitivity_line
from edgetune.report.layers import layer_table, with_losses
from edgetune.report.validate import validate
from edgetune.report.view import not_measured

APART = {
    "samples": 64, "asked": 64, "wanted": 64, "left_out": 0, "loss": 0.4,
    "layers": [
        {"layer": "conv2", "loss_change": 0.03, "divergence": 0.02},
        {"layer": "conv1", "loss_change": -0.0004, "divergence": 0.001},
        {"layer": "conv1", "loss_change": 0.0001, "divergence": 0.001},
    ],
}  # fmt: skip


@pytest.fixture
def table():
    profiles = {
        name: {"operators": [{"layer": f"{layer}{i}", "operator": "Conv", "ms": 0.1} for i in (1, 2)]}
        for name, layer in (("float", "conv"), ("int8", "node"))
    }
    noise = {"int8": [{"node": f"node{i}", "layer": f"conv{i}", "sqnr_db": 30.0} for i in (1, 2)]}
    return layer_table("float", "int8", profiles, noise)


def test_a_module_used_twice_is_one_row_with_both_losses(table):
    found = with_losses(table, APART)
    rows = {row["layer"]: row for row in found["rows"]}
    assert rows["conv1"]["loss_change"] == pytest.approx(-0.0003) and rows["conv1"]["divergence"] == 0.002
    assert found["alone"] == {"samples": 64, "loss": 0.4} and found["missing"] == []


@pytest.mark.parametrize(
    ("noted", "told"),
    [
        ({"samples": 9, "asked": 9}, "loss by layer of int8: only 9 samples, as a build"),
        ({"samples": 9, "asked": 64}, None),  # validation has no more
        ({"left_out": 7, "asked": 8, "samples": 8}, "only 8 samples and not the 7 layers with the least noise"),
        ({"layers": [], "left_out": 7, "samples": 0, "asked": 8}, "its 7 layers are too large"),
        ({"layers": [], "samples": 0}, None),  # nothing with weights was quantized
    ],
)
def test_what_a_build_spared_itself_is_told(table, noted, told):
    found = with_losses(table, {**APART, **noted})
    assert [told in line for line in found["missing"]] == [True] if told else found["missing"] == []
    assert ("alone" in found) == bool({**APART, **noted}["layers"])


def test_a_layer_left_in_float_says_so(report):
    profiles = {
        name: {"operators": [{"layer": f"conv{i}", "operator": "Conv", "ms": 0.1} for i in (1, 2, 3)]}
        for name in ("float", "int8")
    }
    noted = [{"node": f"conv{i}", "layer": f"conv{i}", "sqnr_db": decibels} for i, decibels in ((1, 30.0), (2, None))]
    target = report["targets"][0]
    target["layers"] = with_losses(layer_table("float", "int8", profiles, {"int8": noted}), APART | {"layers": []})
    validate(report)
    rounded, left, unknown = layer_rows(target)
    assert left[3:] == ("float", "float", "float") and rounded[3] == "30.0 dB" and unknown[3:] == ("–", "–", "–")
    assert "<td>float</td>" in render_html(report)
    once = with_losses(target["layers"], APART)  # rounded without any noise
    assert "in_float" not in once["rows"][1] and once["rows"][1]["loss_change"] == 0.03
    nothing = layer_table("float", "int8", profiles, {"int8": [noted[1]]})
    assert not any("in_float" in row for row in nothing["rows"])


def test_the_report_shows_them_in_words_table_and_plot(report, table):
    target = report["targets"][0]
    target["layers"] = with_losses(table, {**APART, "samples": 9, "asked": 9})
    validate(report)
    assert layer_rows(target)[0] == ("conv1", "100 µs", "100 µs", "30.0 dB", "−0.00030", "0.0020")
    assert (
        "conv2 (0.020 nats), conv1 (0.0020 nats). That is their divergence on 9 validation samples"
        in sensitivity_line(target)
    )
    page = render_html(report)
    assert "Loss added, nats" in page and "<td>+0.030</td><td>0.020</td>" in page
    assert any("only 9 samples" in why for _, why in not_measured(report))
    del target["layers"]["alone"]
    assert "Loss added, nats" not in render_html(report) and sensitivity_line(target) == ""
