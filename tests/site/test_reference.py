"""The generated pages and tables hold what the program takes, and every key of the recipe is explained."""

import json
import typing
from pathlib import Path

import pytest
from commands_reference import commands_reference
from recipe_reference import GUIDE, explanations, keys, recipe_reference, rewritten
from schema_reference import SCHEMAS, fields, schema_reference

from edgetune.records import BenchSpec, Recipe

ROOT = Path(__file__).parents[2]


def row(page, key, section):
    """Cells of a key's row in the reference."""
    part = page.partition(f"## [{section}]")[2].partition("\n## ")[0]
    return next(line for line in part.splitlines() if line.startswith(f"| `{key}` |"))


def test_facts_and_meanings_are_read_off_the_code():
    page = recipe_reference()
    assert "| number | `0.001`; of texts `0.0001` | above 0 and at most 10 | peak, for AdamW" in row(
        page, "learning_rate", "finetune"
    )
    assert "`error`, `skip`" in row(page, "on_bad_file", "data")
    assert "| list of numbers | not set |" in row(page, "ratio", "prune")
    assert "must be given" in row(page, "name", "model") and "[text](text.md)" in row(page, "name", "model")
    assert explanations(BenchSpec)["min_runs"] in row(page, "min_runs", "bench")
    assert "| table |" in row(page, "[targets.NAME]", "targets")


def test_the_page_is_what_the_code_says():
    page = GUIDE.read_text(encoding="utf-8")
    assert rewritten(page) == page, "run `python tools/site/recipe_reference.py`"
    assert rewritten(page.replace("| `cache_mb` |", "| `cash_mb` |")) == page


def test_every_key_is_explained():
    sections = typing.get_type_hints(Recipe)
    silent = [f"{section}.{key}" for section, key in keys() if not explanations(sections[section]).get(key)]
    assert not silent, "put a string below each of these fields in edgetune/specs.py"


def test_every_key_of_a_section_has_a_meaning_of_its_own_in_plain_words():
    for section, kind in typing.get_type_hints(Recipe).items():
        meanings = list(explanations(kind).values()) if section in {section for section, _ in keys()} else []
        assert len(meanings) == len(set(meanings)), section
        assert not any(meaning.startswith("{") for meaning in meanings), section


def test_the_first_page_leads_to_each_part_of_a_build():
    page = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    parts = ("data", "finetuning", "strategies/index", "pruning", "quantization", "tuning", "search", "scaling", "text")
    assert [part for part in parts if f"({part}.md)" not in page] == []


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
