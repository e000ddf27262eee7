"""The schema takes what a build writes and names the place of what it does not take."""

import json
import math
from importlib import resources

import pytest
from jsonschema import Draft202012Validator

from edgetune.errors import EdgetuneError, ReportError
from edgetune.report.validate import validate


def test_the_sample_is_valid_also_after_json(report):
    validate(report)
    validate(json.loads(json.dumps(report)))


def test_the_schema_is_one_and_documents_every_field():
    schema = json.loads(resources.files("edgetune.report").joinpath("schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    records = [schema, *schema["$defs"].values()]
    fields = [(name, field) for record in records for name, field in record.get("properties", {}).items()]
    bare = [
        name for name, field in fields
        if "description" not in field and not _referred(schema, field).get("description")
    ]  # fmt: skip
    assert len(fields) > 70
    assert bare == []


def _referred(schema, field):
    field = next(iter(field.get("anyOf", [field])))
    return schema["$defs"][field["$ref"].rsplit("/", 1)[1]] if "$ref" in field else field


def first(report):
    return report["targets"][0]


@pytest.mark.parametrize(
    ("spoil", "place"),
    [
        (lambda r: r.pop("gates"), "the document: 'gates'"),
        (lambda r: r.update(schema="edgetune.report/2"), "schema: 'edgetune.report/1'"),
        (lambda r: r.update(surprise=1), "the document: .*surprise"),
        (lambda r: r.update(targets=[]), "targets:"),
        (lambda r: first(r)["candidates"][1]["latency_ms"].update(p50="fast"), r"candidates\[1\].latency_ms.p50"),
        (lambda r: first(r)["candidates"][1]["metrics"].update(accuracy=93.2), r"targets\[0\].candidates\[1\].metrics"),
        (lambda r: first(r)["candidates"][2].update(metrics=None), r"targets\[0\].candidates\[2\].metrics"),
        (lambda r: first(r)["candidates"][1]["speedup"].update(ci95=[1.0]), r"targets\[0\].candidates\[1\].speedup"),
        (lambda r: first(r)["baseline"]["metrics"].update(ece=math.nan), r"targets\[0\].baseline.metrics.ece is nan"),
        (lambda r: first(r).update(chosen="int4"), r"targets\[0\].chosen: 'int4' is none of float, "),
        (lambda r: first(r)["candidates"].append(first(r)["candidates"][1]), r"candidates: 'int8' is there twice"),
        (lambda r: first(r)["confusion"]["matrix"].pop(), r"targets\[0\].confusion.matrix is not 10 x 10"),
        (lambda r: r["gates"][0].pop("passed"), r"gates\[0\]: 'passed'"),
        (lambda r: r["steps"][0].update(seconds=-1), r"steps\[0\].seconds"),
    ],
)  # fmt: skip
def test_a_spoiled_report_is_refused_with_its_place(report, spoil, place):
    spoil(report)
    with pytest.raises(ReportError, match=place) as caught:
        validate(report)
    assert isinstance(caught.value, EdgetuneError)
    assert caught.value.hint


def test_what_was_not_measured_has_no_latency_and_a_reason(report):
    prepared = report["targets"][1]["candidates"][0]
    prepared["latency_ms"] = first(report)["baseline"]["latency_ms"]
    with pytest.raises(ReportError, match=r"targets\[1\].candidates\[0\].latency_ms"):
        validate(report)
    prepared.update(latency_ms=None, reason=None)
    with pytest.raises(ReportError, match=r"targets\[1\].candidates\[0\].reason"):
        validate(report)
