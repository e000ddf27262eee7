"""The lines that end a build."""

from hypothesis import given
from hypothesis import strategies as st

from edgetune.report import view
from edgetune.report.gate_words import failures
from edgetune.report.html import render_html
from edgetune.report.markdown import render_markdown
from edgetune.report.terminal import NAME_WIDTH, WIDTH, _cells, render_table
from edgetune.report.validate import validate


def test_a_table_and_one_closing_line_for_each_target(report):
    text = render_table(report)
    lines = text.splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert text.isascii()
    assert sum(line.startswith("*  int8 ") for line in lines) == 1
    closing = " ".join(text[text.rindex("x86-cpu: ") :].split())
    best = view.chosen(report["targets"][0])
    interval = view.accuracy_interval(report["targets"][0])
    low, high = (float(end) for end in interval.split(" to "))
    assert low < 100 * best["metrics"]["accuracy"] < high
    assert f"x86-cpu: int8; accuracy {100 * best['metrics']['accuracy']:.1f} % ({interval}), change -" in closing
    assert f"speed-up {best['speedup']['value']:.2f}x (" in closing
    assert "2.5 MB" in closing
    assert "jetson-orin-nano: prepared, not measured. TensorRT is not installed" in closing
    assert "arm-cpu: failed. The device at ssh://pi@raspberry did not answer." in closing


def test_a_failed_gate_is_said(report):
    report["gates"][0].update(value=2.25, passed=False)
    assert "GATE FAILED: accuracy drop: 2.25 points, limit 1.0 points" in render_table(report)


def test_a_failed_gate_comes_first_in_every_form(report):
    assert "gate failed" not in render_markdown(report) + render_html(report)
    report["gates"][1].update(limit=0.001, value=0.35, passed=False)
    told = "median latency 0.35 ms is above 0.001 ms"
    first = next(line for line in render_markdown(report).splitlines() if line.startswith("- "))
    assert first.startswith(f"- x86-cpu: **gate failed** ({told}): int8; accuracy 9"), first
    page = render_html(report)
    assert page.index("<h1>") < page.index(told) < page.index("<nav")
    assert page.count('<span class="badge failed">gate failed</span>') == 2  # under the title, and beside the target's
    report["gates"][0].update(value=None, passed=False)
    assert failures(report, "x86-cpu") == ["accuracy drop was not measured, and may be 1.0 points at most", told]


def test_few_samples_to_calibrate_on_are_told_in_every_form(report):
    target = report["targets"][0]
    target["calibrated_on"] = {"samples": 256, "asked": 256, "classes": 10}
    assert "INT8 ranges" not in render_table(report)
    told = {
        (3, 256, 1): "from 3 training samples of 256 asked for, all of one class: they may not fit other data; add tr",
        (3, 3, 2): "from 3 training samples of 3 asked for: they may not fit other data; raise",
        (256, 256, 1): "from 256 training samples of 256 asked for, all of one class",
    }
    for (samples, asked, classes), text in told.items():
        target["calibrated_on"] = {"samples": samples, "asked": asked, "classes": classes}
        validate(report)
        for form in (" ".join(render_table(report).split()), render_markdown(report), render_html(report)):
            assert text in form


def test_float_as_the_choice_has_no_change_and_no_speedup(report):
    report["targets"][0]["chosen"] = "float"
    report["targets"][0]["reason"] = ["Of 3 compressed engines 0 lose at most 1 point on validation."]
    closing = render_table(report).split("x86-cpu: ")[1]
    assert closing.startswith("float; accuracy ")
    assert "speed-up" not in closing.split("jetson")[0]


@given(st.text(min_size=1, max_size=60))
def test_no_name_makes_a_line_too_long(name):
    row = view.Row(
        **(dict.fromkeys(view.Row.__dataclass_fields__, "−10.3 (−12.3 to +10.2)") | {"name": name, "role": ""})
    )
    assert len(_cells(row)[1]) <= NAME_WIDTH
