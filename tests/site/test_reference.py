"""The generated pages of the documentation site hold what the program takes, and the guide names every key."""

import json
import typing
from pathlib import Path

import pytest
from commands_reference import commands_reference
from recipe_reference import GUIDE, comments, keys, meanings, recipe_reference
from schema_reference import SCHEMAS, fields, schema_reference

from edgetune.records import BenchSpec, PruneSpec, Recipe

ROOT = Path(__file__).parents[2]


def row(page, key, section):
    """Cells of a key's row in the reference."""
    part = page.partition(f"## [{section}]")[2].partition("\n## ")[0]
    return next(line for line in part.splitlines() if line.startswith(f"| `{key}` |"))


def test_facts_are_read_off_the_code_and_meanings_off_the_guide():
    page = recipe_reference()
    assert "| number | `0.001`; of texts `0.0001` | above 0 and at most 10 | peak, for AdamW" in row(
        page, "learning_rate", "finetune"
    )
    assert "`error`, `skip`" in row(page, "on_bad_file", "data")
    assert "| list of numbers | not set |" in row(page, "ratio", "prune")
    assert "must be given" in row(page, "name", "model")
    assert "[text](../text.md)" in row(page, "name", "model")
    assert comments(BenchSpec)["min_runs"] == "timed runs of each engine"


def test_a_key_without_a_row_in_the_guide_is_told_by_its_comment(monkeypatch):
    monkeypatch.setattr("recipe_reference.meanings", dict)
    assert comments(PruneSpec)["step_epochs"] in row(recipe_reference(), "step_epochs", "prune")


def test_every_key_is_explained_by_the_guide_or_a_comment_and_the_guide_names_no_other():
    known, told = {f"{section}.{key}" for section, key in keys()} | {"seed"}, meanings()
    sections = typing.get_type_hints(Recipe)
    silent = {
        name
        for section, key in keys()
        if (name := f"{section}.{key}") not in told and not comments(sections[section]).get(key)
    }
    assert not silent, f"put a row for each into the table of {GUIDE.name}, or a comment into records.py"
    assert not told.keys() - known, "the table has keys that no recipe takes"


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_field_of_a_schema_is_in_its_reference(name):
    schema = json.loads((ROOT / "edgetune/report" / SCHEMAS[name][0]).read_text())
    page, found = schema_reference(name), list(fields(schema, schema))
    assert all(f"`{path}`" in page for path, _, _ in found)
    assert set(schema["properties"]) <= {path for path, _, _ in found}


def test_fields_go_through_references_lists_and_alternatives():
    inner = {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]}
    schema = {
        "$defs": {"inner": inner},
        "properties": {
            "one": {"anyOf": [{"$ref": "#/$defs/inner"}, {"type": "null"}]},
            "many": {"type": "array", "items": {"$ref": "#/$defs/inner"}},
            "named": {"additionalProperties": {"$ref": "#/$defs/inner"}},
        },
    }
    found = {path: needed for path, _, needed in fields(schema, schema)}
    assert found == {"one": False, "one.x": True, "many": False, "many[].x": True, "named": False, "named.*.x": True}


def test_commands_are_told_by_their_own_help():
    page = commands_reference()
    assert "## edgetune cache prune" in page and "--keep-gb" in page and "## edgetune bench" in page
