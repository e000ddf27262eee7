"""The checks as JUnit XML, which CI servers show beside the tests.

After the schema that pytest and Jenkins keep to (``junit-10.xsd`` of the xUnit plugin); GitLab reads a part of it.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from typing import Any

from edgetune.compare.checks import FAILED, SKIPPED
from edgetune.compare.words import samples_line, title

SUITE = "edgetune compare"
# What XML 1.0 allows in a document at all (section 2.2, Char); the rest cannot even be written as a reference.
NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render_junit(data: Mapping[str, Any]) -> str:
    """One test case for each check: class name ``edgetune.<target>``, name of the check."""
    checks = data["checks"]
    outcomes = [check["outcome"] for check in checks]
    counts = {"tests": str(len(checks)), "failures": str(outcomes.count(FAILED)), "errors": "0"}
    root = ET.Element("testsuites", {"name": SUITE, **counts, "time": "0.000"})
    suite = ET.SubElement(
        root, "testsuite", {"name": SUITE, **counts, "skipped": str(outcomes.count(SKIPPED)), "time": "0.000"}
    )
    properties = ET.SubElement(suite, "properties")
    for key in ("a", "b"):
        ET.SubElement(properties, "property", {"name": key, "value": _allowed(data[key]["run"])})
    for check in checks:
        case = ET.SubElement(
            suite,
            "testcase",
            {"classname": _allowed(f"edgetune.{check['target']}"), "name": _allowed(check["name"]), "time": "0.000"},
        )
        if check["outcome"] in (FAILED, SKIPPED):
            kind = "failure" if check["outcome"] == FAILED else "skipped"
            said = ET.SubElement(case, kind, {"type": SUITE, "message": _allowed(check["message"])})
            said.text = _allowed("\n".join([check["message"], *_context(data, check["target"])]))
        else:
            ET.SubElement(case, "system-out").text = _allowed(check["message"])
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _context(data: Mapping[str, Any], name: str) -> list[str]:
    """What a reader of CI's page sees of the comparison besides the message."""
    lines = [title(data)]
    for target in data["targets"]:
        if target["target"] == name and target["ships"]:
            lines += [f"what ships: {target['ships']['a']} -> {target['ships']['b']}", samples_line(target)]
    return lines


def _allowed(text: Any) -> str:
    return NOT_XML.sub("\ufffd", str(text))
