"""What belongs together among a finding's pictures is shown together."""

from edgetune.records import WARNING, DataFinding
from edgetune.report.findings import finding_rows, picture_rows, signs_line


def found(examples, samples, **fields):
    return DataFinding(
        id="x", severity=WARNING, count=1, problem="a problem", do="look", examples=examples, samples=samples, **fields
    )


def test_pairs_and_copies_are_grouped_even_where_a_picture_is_in_two():
    pairs = found(("a.png ~ b.png", "a.png ~ c d.png"), ("a.png", "b.png", "a.png", "c d.png"))
    copies = found(("e.png = f.png = g.png",), ("e.png", "f.png", "g.png"))
    alone = found(("h.png has 3 x 9 pixels",), ("h.png", "i.png"))
    rows = picture_rows([pairs, copies, alone])
    assert [(row["path"], row.get("group")) for row in rows] == [
        ("a.png", 0), ("b.png", 0), ("a.png", 1), ("c d.png", 1), ("e.png", 0), ("f.png", 0), ("g.png", 0),
        ("h.png", None), ("i.png", None),
    ]  # fmt: skip
    shown = finding_rows({"data_findings": [str(one) for one in (pairs, copies, alone)], "data_examples": rows})
    assert [[len(group) for group in one.groups] for one in shown] == [[2, 2], [3], [1, 1]]
    assert {one.severity for one in shown} == {"warning"} and shown[0].text.startswith("a problem: a.png ~ b.png")


def test_texts_of_older_reports_and_signs():
    old = {"data_findings": ["1 file: left out."], "data_examples": [{"finding": 0, "path": "a"}] * 2}
    (one,) = finding_rows(old)
    assert (one.severity, one.text, len(one.groups)) == ("", "1 file: left out.", 2)
    assert signs_line(old) == "" and finding_rows({}) == []
    assert "byte for byte" in signs_line({"data_findings": ["warning: copies: a = b. remove them"]})
