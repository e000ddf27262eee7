"""What README says of the targets is what the target files say."""

from pathlib import Path

from edgetune.target import all_targets

README = Path(__file__).parents[1] / "README.md"


def table():
    rows = ["| name | also called | backend | device |", "|---|---|---|---|"]
    for target in all_targets():
        also = ", ".join(f"`{alias}`" for alias in target.aliases)
        rows.append(f"| `{target.name}` | {also} | {target.backend} | {target.summary} |")
    return "\n".join(rows)


def test_the_table_of_targets():
    text = README.read_text(encoding="utf-8")
    found = text.partition("<!-- targets: begin -->\n")[2].partition("\n<!-- targets: end -->")[0]
    assert found == table(), f"put this table between the marks:\n{table()}"
