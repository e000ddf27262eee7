"""Reports on disk: all three, whole, or an error that says what to do."""

import json
import os

import pytest

from edgetune.errors import ReportError
from edgetune.report.write import write_reports


def test_three_files_and_nothing_else(report, tmp_path):
    folder = tmp_path / "runs" / "one"
    write_reports(report, folder)
    write_reports(report, folder)  # again, over the first
    assert sorted(path.name for path in folder.iterdir()) == ["report.html", "report.json", "report.md"]
    assert json.loads((folder / "report.json").read_text()) == report
    assert (folder / "report.html").read_text().startswith("<!DOCTYPE html>")
    assert (folder / "report.md").stat().st_mode & 0o444 == 0o444


def test_an_invalid_report_leaves_the_old_one(report, tmp_path):
    write_reports(report, tmp_path)
    before = (tmp_path / "report.json").read_bytes()
    report["targets"][0]["chosen"] = "nobody"
    with pytest.raises(ReportError, match="nobody"):
        write_reports(report, tmp_path)
    assert (tmp_path / "report.json").read_bytes() == before


def test_a_full_disk_leaves_the_old_report_and_no_scraps(report, tmp_path, monkeypatch):
    write_reports(report, tmp_path)
    before = (tmp_path / "report.json").read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    report["run"] = "another"
    with pytest.raises(ReportError, match="No space left on device") as caught:
        write_reports(report, tmp_path)
    assert "free some space" in caught.value.hint
    assert (tmp_path / "report.json").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 3
