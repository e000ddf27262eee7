"""The comment under a pull request: tables that render, names that stay text, and short whatever happens."""

import re

from small_runs import contents, write_run

from edgetune import api
from edgetune.compare.markdown import CLASSES, render_markdown


def test_checks_tables_and_classes(runs):
    text = render_markdown(api.compare(*runs))
    assert text.startswith("## edgetune compare: REGRESSION: of 3 checks 1 passed, 2 failed")
    assert text.count("- ❌") == 2 and text.count("- ✅") == 1
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert len(tables) == 2
    for table in tables:
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1
    assert "**int8** (ships)" in text and "| cat | 20 |" in text
    assert not any(digest[:12] in text for digest in contents(60))  # it names no sample


def test_names_stay_text(runs):
    found = api.compare(*runs)
    found["a"]["run"] = found["targets"][0]["target"] = "<img src=x>|`**x**`[a](b)\n# title"
    text = render_markdown(found)
    assert "<img" not in text.replace("\\<img", "") and "\n# title" not in text and "[a](b)" not in text


def test_it_fits_in_a_comment(tmp_path):
    n, labels = 900, [f"class {i} {'x' * 500}" for i in range(300)]
    truth = [i % 300 for i in range(n)]
    shared = {"contents": contents(n), "truth": truth, "labels": labels}
    runs = [
        write_run(tmp_path / name, answers={"int8": [(t + shift) % 300 for t in truth]}, **shared)
        for name, shift in (("a", 0), ("b", 1))
    ]
    found = api.compare(*runs)
    found["changed"]["recipe"] = [{"key": f"key{i}", "a": "x" * 300, "b": "y" * 300} for i in range(200)]
    text = render_markdown(found)
    assert len(text) < 65_536 and f"the {CLASSES} that lost most of 300 that changed" in text
