"""JUnit XML that CI servers read: one case a check, and valid whatever the names hold."""

import re
import xml.etree.ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from edgetune import api
from edgetune.compare.junit import render_junit

# Of junit-10.xsd, which pytest tests its own output against: attributes, and those that must be there.
ALLOWED = {
    "testsuites": ({"name", "time", "tests", "failures", "errors"}, set()),
    "testsuite": (
        {"name", "tests", "failures", "errors", "group", "time", "skipped", "timestamp", "hostname", "id", "package"},
        {"name", "tests", "failures", "errors"},
    ),
    "properties": (set(), set()),
    "property": ({"name", "value"}, {"name", "value"}),
    "testcase": ({"name", "time", "classname", "group"}, {"name"}),
    "failure": ({"type", "message"}, set()),
    "skipped": ({"type", "message"}, set()),
    "system-out": (set(), set()),
}
CHILDREN = {
    "testsuites": {"testsuite"},
    "testsuite": {"testsuite", "properties", "testcase", "system-out"},
    "properties": {"property"},
    "testcase": {"failure", "skipped", "system-out"},
}
TIME = re.compile(r"(([0-9]{0,3},)*[0-9]{3}|[0-9]{0,3})*(\.[0-9]{0,3})?")


def checked(text):
    """The root, if the document keeps to the schema."""
    root = ET.fromstring(text.encode())
    for element in root.iter():
        allowed, needed = ALLOWED[element.tag]
        assert needed <= set(element.attrib) <= allowed, element.tag
        assert {child.tag for child in element} <= CHILDREN.get(element.tag, set())
        assert TIME.fullmatch(element.get("time", "0"))
    return root


def test_one_case_for_each_check_with_what_failed(runs):
    found = api.compare(*runs)
    (suite,) = checked(render_junit(found))
    cases = suite.findall("testcase")
    assert [case.get("name") for case in cases] == [check["name"] for check in found["checks"]]
    assert {case.get("classname") for case in cases} == {"edgetune.x86-cpu"}
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("3", "2", "0")
    failures = suite.findall("testcase/failure")
    assert len(failures) == 2 and "12 became wrong and 2 right" in failures[0].get("message")
    assert "what ships: int8 -> int8" in failures[0].text


def test_what_was_not_checked_is_skipped_and_with_strict_fails(runs):
    (runs[1] / "measurements/x86-cpu.json").unlink()
    (skipped,) = checked(render_junit(api.compare(*reversed(runs)))).findall(".//skipped")
    assert "no measurements/x86-cpu.json" in skipped.get("message")
    strict = checked(render_junit(api.compare(*reversed(runs), strict=True)))
    assert strict.findall(".//skipped") == [] and len(strict.findall(".//failure")) == 1


@given(st.text())
def test_any_text_makes_a_document(text):
    about = {"run": text, "created": text, "edgetune": "0"}
    check = {"target": text, "name": text, "outcome": "failed", "message": text, "value": None, "limit": None}
    root = checked(render_junit({"a": about, "b": about, "checks": [check], "targets": []}))
    assert root.find(".//testcase").get("name") is not None
    if text.isalnum() and text.isascii():
        assert root.find(".//testcase").get("name") == text
