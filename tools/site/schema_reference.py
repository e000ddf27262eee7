"""References of the files for programs, read off their JSON schemas."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "edgetune" / "report"
SCHEMAS = {
    "report": ("schema.json", "report.json", "report.md"),
    "search": ("search-schema.json", "search.json", "search.md"),
    "tune": ("tune-schema.json", "tune.json", "tuning.md"),
}
DEEPEST = 6


def schema_reference(name: str) -> str:
    """The page of one of SCHEMAS, as Markdown: every field, its type, and what its description says."""
    file, title, guide = SCHEMAS[name]
    schema = json.loads((FOLDER / file).read_text(encoding="utf-8"))
    lines = [
        f"# {title} reference\n",
        f"Written from [its JSON schema](../../edgetune/report/{file}) when this site is built; every {title} is "
        f"validated against that before it is written. [The guide](../{guide}) tells how to read it. A dot goes into "
        "an object, `[]` into each item of a list, `*` stands for names that depend on the run.\n",
        "| field | type | meaning |",
        "|---|---|---|",
    ]
    for path, part, needed in fields(schema, schema):
        meaning = " ".join(str(part.get("description", "")).split()).replace("|", "\\|")
        shown = f"`{path}`" if needed else f"`{path}` (may be missing)"
        lines.append(f"| {shown} | {_type(part, schema)} | {meaning} |")
    return "\n".join([*lines, ""])


def fields(part: dict[str, Any], schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any], bool]]:
    """(path, its schema, whether it is always there) of every field below ``part``, depth first."""
    if path.count(".") > DEEPEST:
        return
    whole = resolved(part, schema)
    for name, inner in whole.get("properties", {}).items():
        here = f"{path}.{name}" if path else name
        merged = resolved(inner, schema)
        yield here, merged, name in whole.get("required", ())
        yield from fields(merged, schema, here)
    if isinstance(items := whole.get("items"), dict):
        yield from fields(items, schema, f"{path}[]")
    if isinstance(others := whole.get("additionalProperties"), dict):
        yield from fields(others, schema, f"{path}.*")


def resolved(part: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """``part`` with what it refers to, and of ``anyOf`` or ``oneOf`` the branch that has fields."""
    found = dict(part)
    if "$ref" in found:
        target: Any = schema
        for key in str(found.pop("$ref")).lstrip("#/").split("/"):
            target = target[key]
        found = {**resolved(target, schema), **found}
    for key in ("anyOf", "oneOf"):
        branches = [resolved(branch, schema) for branch in found.get(key, ())]
        if branches:
            found["types"] = [_type(branch, schema) for branch in branches]
            inner = next((b for b in branches if b.keys() & {"properties", "items", "additionalProperties"}), {})
            found |= {k: inner[k] for k in ("properties", "items", "additionalProperties", "required") if k in inner}
    return found


def _type(part: dict[str, Any], schema: dict[str, Any]) -> str:
    if "types" in part:
        return " or ".join(dict.fromkeys(part["types"]))
    if "enum" in part:
        return ", ".join(f"`{json.dumps(value)}`" for value in part["enum"])
    if "const" in part:
        return f"`{json.dumps(part['const'])}`"
    kinds = part.get("type", "object" if "properties" in part else "any")
    if isinstance(kinds, list):
        return " or ".join(kinds)
    if kinds == "array" and isinstance(items := part.get("items"), dict):
        return f"array of {_type(resolved(items, schema), schema)}s"
    return str(kinds)
