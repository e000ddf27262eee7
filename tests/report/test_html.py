"""The report as one HTML file: whole, safe, offline, and drawn by a real browser."""

import hashlib
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_runs import PIXEL

from edgetune.compare.gallery import KINDS
from edgetune.report.html import MAX_BYTES, json_for_script, render_html
from edgetune.report.markdown import render_markdown
from edgetune.report.validate import validate

HOSTILE = "</script><script>document.title='taken'</script><img src=http://evil.example/x onerror=alert(1)>&\"'"
PIXELS = 2 * [PIXEL]  # of a flip and of a finding
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Page(HTMLParser):
    """Elements with their attributes, and the text of each kind of element."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.open, self.text = [], [], {}
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data):
        if self.open:
            self.text[self.open[-1]] = self.text.get(self.open[-1], "") + data

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


def test_nothing_is_loaded_from_anywhere(report):
    page = Page(render_html(report))
    for tag, attributes in page.elements:
        for name in ("src", "href", "data", "srcset", "poster", "action"):
            value = attributes.get(name) or ""
            assert value.startswith(("#", "data:")) or not value, (tag, attributes)
    policy = next(m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert "http" not in policy
    assert not re.search(r"@import|url\(", page.text["style"])


def test_it_can_be_read_without_javascript_and_without_eyes(report):
    html = render_html(report)
    page = Page(html)
    assert len(page.all("h1")) == 1
    assert len(page.all("table")) == html.count("<caption>")
    plots = [div for div in page.all("div") if "plot" in (div.get("class") or "").split()]
    assert plots and all(plot.get("role") == "group" and plot.get("aria-label") for plot in plots)
    assert page.all("html")[0]["lang"] == "en"
    body = html[html.index("<body>") : html.index('<script type="application/json"')]
    for text in (
        "n/a",
        "needs 662 runs",
        "prepared, not measured",
        "did not answer",
        "1.0 points",
        "t-shirt",
        "AMD EPYC 9R14",
    ):
        assert text in body
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {a["href"][1:] for a in page.all("a")} <= set(ids)


def hostile(report):
    """The same report with hostile text wherever a user's text may be."""
    target = report["targets"][0]
    target["confusion"]["labels"][0] = report["dataset"]["labels"][0] = HOSTILE
    target["candidates"][1]["name"] = target["chosen"] = HOSTILE
    for row in target["candidates"][1]["per_class_change"]:
        row["label"] = HOSTILE
    for entry in report["history"]:
        entry["step"] = HOSTILE
    report.update(run=HOSTILE, data_findings=[HOSTILE], next_commands=[HOSTILE], created=HOSTILE)
    report["recipe"]["model"]["name"] = report["recipe"]["data"]["path"] = HOSTILE
    report["environment"][HOSTILE] = HOSTILE
    report["targets"][1]["target"] = HOSTILE
    report["targets"][1]["reason"] = [HOSTILE]
    target["flips"]["shown"][1] |= dict.fromkeys(("path", "truth", "baseline", "chosen", "text"), HOSTILE)
    target["layers"]["rows"][0]["layer"] = target["layers"]["others"][0]["operator"] = HOSTILE
    report["data_examples"][0]["path"] = HOSTILE
    return report


def test_labels_to_doubt_are_shown_with_what_they_look_like(report):
    row = {"path": "train/3/1.png", "split": "train", "given": HOSTILE, "suggested": "8", "confidence": 0.98}
    pixel = "data:image/jpeg;base64,AAAA"
    report["label_errors"] = [{**row, "thumbnail": pixel}, {**row, "text": HOSTILE}]
    page = Page(render_html(report))
    assert [image["src"] for image in page.all("img")][-1:] == [pixel]
    assert len(page.all("img")) == 3  # with one flip and one finding
    assert "Labels to doubt" in render_html(report) and len(page.all("script")) == 4


def test_hostile_text_stays_text(report):
    clean, spoiled = Page(render_html(report)), Page(render_html(hostile(report)))
    assert len(spoiled.all("script")) == len(clean.all("script")) == 4
    assert [image["src"] for image in spoiled.all("img")] == PIXELS
    assert HOSTILE in spoiled.text["li"]
    last = HOSTILE.rpartition("/")[2]
    assert f"{last} on {last}" in spoiled.text["h1"] and last in spoiled.text["title"]


@given(st.text())
def test_json_in_a_script_reads_back_and_cannot_end_it(text):
    embedded = str(json_for_script({"a": text + "</script><!--"}))
    assert not set("<>&") & set(embedded)
    assert json.loads(embedded) == {"a": text + "</script><!--"}


def test_many_classes_are_told_by_their_worst_confusions(report):
    size = 120
    matrix = [[50 if i == j else 0 for j in range(size)] for i in range(size)]
    matrix[3][7] = 21
    report["targets"][0]["confusion"] = {"labels": [f"class {i}" for i in range(size)], "matrix": matrix}
    html = render_html(report)
    assert 'class="confusion"' not in html
    assert re.search(r"class 3</th><td class=\"text\">class 7</td><td>21</td><td>29.6 %", html)


def test_the_smallest_valid_report_renders(report):
    target = report["targets"][2]
    del target["reason"]
    keys = ("schema", "edgetune", "recipe", "dataset", "environment")
    small = {key: report[key] for key in keys} | {"targets": [target], "gates": [], "recipe": {}, "dataset": {}}
    assert "no reason was recorded" in render_html(small)


def test_the_vendored_library_is_the_one_the_readme_names():
    static = resources.files("edgetune.report").joinpath("static")
    digest = hashlib.sha256(static.joinpath("plotly-cartesian.min.js").read_bytes()).hexdigest()
    readme = static.joinpath("README.md").read_text()
    version = re.search(r"v(\d+\.\d+\.\d+)", static.joinpath("plotly-cartesian.min.js").read_text()[:200]).group(1)
    assert digest in readme
    assert version in readme
    assert "MIT License" in static.joinpath("plotly-LICENSE.txt").read_text()


def browse(html, folder, *flags):
    """(DOM after the scripts ran, console messages) of a page in headless Chromium."""
    (folder / "report.html").write_text(html)
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}",
        "--virtual-time-budget=10000", "--enable-logging=stderr", "--v=0", *flags, "--dump-dom",
        (folder / "report.html").as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout, [line for line in done.stderr.splitlines() if ":CONSOLE" in line]


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH")
@pytest.mark.parametrize("flags", [(), ("--blink-settings=preferredColorScheme=0",)], ids=["light", "dark"])
def test_a_browser_draws_every_figure_without_a_complaint(report, tmp_path, flags):
    dom, console = browse(render_html(report), tmp_path, *flags)
    assert console == []
    page = Page(dom)
    drawn = [svg for svg in page.all("svg") if svg.get("class") == "main-svg"]
    figures = [div for div in page.all("div") if "plot" in (div.get("class") or "").split()]
    assert len(figures) == 5  # trade-off, distribution, percentiles, layers, training
    assert len(drawn) >= len(figures)
    assert dom.count('class="point"') >= 6
    buttons = {value for _, attributes in page.elements if (value := attributes.get("data-title"))}
    assert any("PNG" in title for title in buttons)
    assert not any("loud" in title for title in buttons)  # plotly would offer to upload the figure


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH")
def test_a_browser_runs_nothing_hostile(report, tmp_path):
    dom, console = browse(render_html(hostile(report)), tmp_path)
    page = Page(dom)
    assert console == []
    assert page.text["title"] != "taken"
    assert [image["src"] for image in page.all("img")] == PIXELS
    assert any(svg.get("class") == "main-svg" for svg in page.all("svg"))


def test_classes_and_training_are_told(report):
    unseen = {"label": "unseen", "precision": 0.0, "recall": None, "f1": None, "roc_auc": None, "support": 0}
    report["targets"][0]["per_class"].insert(0, unseen)
    validate(report)
    assert "| unseen | 0 | 0.0 % | – | – | – |" in render_markdown(report)
    page = render_html(report)
    assert "Precision, recall and F1 of each class" in page and "Fine-tuned with strategy full" in page
    row = page.index('<th scope="row">unseen</th><td>0</td><td>0.0 %</td><td>–</td><td>–</td>')
    labels = [item["label"] for item in report["targets"][0]["per_class"][1:]]
    assert all(page.index(f'<th scope="row">{label}</th><td>') < row for label in labels)
    del report["training"], report["targets"][0]["per_class"]
    assert "Precision, recall and F1 of each class" not in render_html(report)


def test_flips_layers_and_findings_are_in_tables_and_pictures(report):
    html = render_html(report)
    body = html[html.index("<main>") : html.index('<script type="application/json"')]
    for text in ("Became wrong: 30", "2 of 30 are shown", "Became right: 1", "not a hat", "test/hat/7.jpg"):
        assert text in body
    for text in ("features.7.conv.1", "30.5 dB", "all QuantizeLinear", "% of float", "train/hat/8.jpg"):
        assert text in body
    assert len(Page(html).all("img")) == 2
    report["targets"][0]["flips"] = {"negative": 0, "positive": 0, "shown": []}
    assert "int8 and float are right on the same test samples" in render_html(report)


def test_what_was_not_asked_of_layers_is_told(report):
    report["targets"][0]["layers"] |= {"sqnr_of": None, "missing": ["layers of int8: trtexec is not asked"]}
    html = render_html(report)
    assert "trtexec is not asked" in html and "its ranges are found while it runs" in html
    report["targets"][0]["layers"] = None
    assert "from before operators were asked" in render_html(report)
    del report["targets"][0]["layers"]
    assert "layer by layer" not in render_html(report)


def test_everything_at_once_stays_below_five_megabytes(report):
    """200 classes, 300 layers, and more large pictures than there is room for: some are left out, numbers are not."""
    labels = [f"class number {number}" for number in range(200)]
    picture = "data:image/jpeg;base64," + "A" * 21_000
    target = report["targets"][0]
    target["confusion"] = {"labels": labels, "matrix": [[1] * 200] * 200}
    target["per_class"] = [{**target["per_class"][0], "label": label} for label in labels]
    row = target["layers"]["rows"][1]
    target["layers"]["rows"] = [{**row, "layer": f"features.{number}"} for number in range(300)]
    flip = {**target["flips"]["shown"][0], "thumbnail": picture}
    target["flips"] = {"negative": 80, "positive": 80, "shown": [{**flip, "kind": k} for k in KINDS for _ in range(24)]}
    report["targets"] = [{**target, "target": f"device-{number}"} for number in range(6)]
    doubted = {"split": "train", "given": "hat", "suggested": "shoes", "confidence": 0.98, "thumbnail": picture}
    report["label_errors"] = [{"path": f"train/hat/{number}.png", **doubted} for number in range(48)]
    report["data_examples"] = [{"finding": 0, "path": "a.png", "thumbnail": picture}] * 48
    html = render_html(report)
    assert len(html.encode()) < MAX_BYTES
    assert "6 of 80 are shown" in html and "features.299" in html and "class number 199" in html
