"""The report as Markdown."""

import re

from hypothesis import given
from hypothesis import strategies as st

from edgetune.report.markdown import escape, render_markdown


def test_it_says_what_the_report_says(report):
    text = render_markdown(report)
    assert text.startswith("# clothing10\n")
    for heading in (
        "x86-cpu",
        "jetson-orin-nano",
        "arm-cpu",
        "Data",
        "Not measured",
        "Steps",
        "Environment",
        "Run it again",
    ):
        assert f"\n## {heading}\n" in text
    assert "| **int8** (chosen) |" in text
    assert "| float (baseline) |" in text
    assert "n/a (needs 662 runs)" in text
    assert "- passed: accuracy drop: 0.8 points, limit 1.0 points" in text
    assert "    edgetune build edgetune.toml --target x86-cpu" in text


def test_every_table_is_whole(report):
    widths = set()
    for line in render_markdown(report).splitlines():
        if line.startswith("|"):
            widths.add(len(re.findall(r"(?<!\\)\|", line)))
        else:
            assert len(widths) <= 1, line
            widths.clear()


def test_a_failed_gate_stands_out(report):
    report["gates"][0]["passed"] = False
    assert "- **failed**: accuracy drop" in render_markdown(report)


@given(st.text())
def test_escaped_text_starts_no_markup_and_no_line(text):
    escaped = escape(text)
    assert "\n" not in escaped
    assert not re.search(r"(?<!\\)(?:\\\\)*[<>|`*_\[\]]", escaped)


def test_it_tells_how_training_went_and_each_class(report):
    text = render_markdown(report)
    assert "Fine-tuned with strategy full: the median class has 300 training images" in text
    assert "Stopped early; epoch 3" in text and "pieces of at most 16 samples" in text
    assert "divided by 1.37" in text and "is then 1.8 %, without it 6.1 %" in text
    row = report["targets"][0]["per_class"][0]
    assert f"| dress | {row['support']} | {100 * row['precision']:.1f} % |" in text
    del report["training"], report["targets"][0]["per_class"]
    assert "## Training" not in render_markdown(report)
