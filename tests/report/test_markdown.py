"""The report as Markdown."""

import re

from hypothesis import example, given
from hypothesis import strategies as st

from edgetune.report.html import render_html
from edgetune.report.markdown import escape, render_markdown
from edgetune.report.terminal import render_table
from edgetune.report.validate import validate


def test_it_says_what_the_report_says(report):
    text = render_markdown(report)
    assert text.startswith("# mobilenet\\_v2 on clothing10\n") and "run clothing10" in text
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


FOLDS = [{"fold": n, "accuracy": a / 50, "right": a, "samples": 50, "trained_on": 170} for n, a in ((1, 45), (2, 41))]
FOUND = {"mean": 0.86, "std": 0.0566, "ci95": [0.61, 1.0], "folds": FOLDS, "reason": None}


def test_a_cross_validation_is_told_in_every_form(report):
    report["cross_validation"] = FOUND
    validate(report)
    told = "reaches 86.0 % on average (95 % interval 61.0 % to 100.0 %), with a standard deviation of 5.7 points"
    assert told in render_markdown(report) and told in render_html(report)
    assert told in " ".join(render_table(report).split())
    assert "| 2 | 82.0 % | 50 | 170 |" in render_markdown(report)


def test_one_that_failed_says_why_and_has_no_number(report):
    report["cross_validation"] = {**dict.fromkeys(("mean", "std", "ci95")), "folds": [], "reason": "<b>|fold 2</b>"}
    validate(report)
    text = render_markdown(report)
    assert "came to no end" in text and "\\<b\\>" in text and "came to no end" in render_table(report)
    assert "<b>|fold" not in render_html(report) and "&lt;b&gt;|fold 2&lt;/b&gt;" in render_html(report)


def test_a_failed_gate_stands_out(report):
    report["gates"][0]["passed"] = False
    assert "- **failed**: accuracy drop" in render_markdown(report)


@given(st.text())
@example("&amp; &#60; a & b")
def test_escaped_text_starts_no_markup_and_no_line(text):
    escaped = escape(text)
    assert "\n" not in escaped
    assert not re.search(r"(?<!\\)(?:\\\\)*([<>|`*_\[\]]|&#?\w+;)", escaped)


def test_it_tells_how_training_went_and_each_class(report):
    text = render_markdown(report)
    assert "Fine-tuned with strategy full: the median class has 300 training images" in text
    assert "Stopped early; epoch 3" in text and "pieces of at most 16 samples" in text
    assert "divided by 1.37" in text and "is then 1.8 %, without it 6.1 %" in text
    row = report["targets"][0]["per_class"][0]
    assert f"| dress | {row['support']} | {100 * row['precision']:.1f} % |" in text
    last = report["history"][-1]
    assert f"| {last['epoch']} | {last['train_loss']:.3f} | {last['val_loss']:.3f} |" in text
    del report["training"], report["targets"][0]["per_class"], report["history"]
    assert "## Training" not in render_markdown(report)


def test_keep_data_that_the_old_head_does_not_know_is_doubted(report):
    kept = {"before": 0.0, "after": 0.0, "change": {"value": 0.0, "ci95": [-15.5, 15.5]}, "samples": 20, "classes": 4}
    report["forgetting"] = kept
    assert "are its folders called by the old head's class numbers" in render_markdown(report)
    report["forgetting"] = {**kept, "before": 0.8, "after": 0.6}
    text = render_markdown(report)
    assert "got 80.0 % right, and 60.0 %" in text and "are its folders" not in text


def test_confusions_are_shown_whole_or_the_most_frequent(report):
    confusion = report["targets"][0]["confusion"]
    text = render_markdown(report)
    for label, row in zip(confusion["labels"], confusion["matrix"], strict=True):
        assert f"| {label} | {' | '.join(map(str, row))} |" in text
    labels = [f"class {i}" for i in range(20)]
    matrix = [[5 if i == j else 0 for j in range(20)] for i in range(20)]
    report["targets"][0]["confusion"] = {"labels": labels, "matrix": matrix}
    assert "confused most" not in render_markdown(report)  # nothing was
    matrix[3][4], matrix[5][1] = 2, 3
    assert "| class 5 | class 1 | 3 |\n| class 3 | class 4 | 2 |" in render_markdown(report)
