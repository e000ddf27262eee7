"""A file is there whole or not at all: on a full disk, after a kill, and beside one of the same name."""

import resource
import signal
import subprocess
import sys

import pytest

from edgetune import whole_file
from edgetune.whole_file import write_new, write_over

WRITE_AND_DIE = """
import os, signal, sys
from pathlib import Path
from edgetune import whole_file
place = whole_file._place
def die(partial, path):
    place(partial, path)
    os.kill(os.getpid(), signal.SIGKILL)
whole_file._place = die
whole_file.write_new({Path(name): b"whole" for name in sys.argv[1:]})
"""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def full_disk():
    """No file may grow beyond 1 kB: what a full disk says at the byte that does not fit."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_nothing_is_left_of_what_does_not_fit(tmp_path, full_disk):
    (tmp_path / "old").write_bytes(b"old")
    with pytest.raises(OSError, match="too large"):
        write_new({tmp_path / "small": b"x", tmp_path / "large": b"x" * 2000})
    with pytest.raises(OSError, match="too large"):
        write_over(tmp_path / "old", b"x" * 2000)
    assert names(tmp_path) == ["old"] and (tmp_path / "old").read_bytes() == b"old"


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_is_there_stays_and_takes_the_others_with_it(tmp_path, monkeypatch, links):
    def refuse(*paths):
        raise PermissionError(1, "no links here")

    if not links:
        monkeypatch.setattr(whole_file.os, "link", refuse)
    (tmp_path / "b").write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        write_new({tmp_path / "a": b"1", tmp_path / "b": b"2", tmp_path / "c": b"3"})
    assert names(tmp_path) == ["b"] and (tmp_path / "b").read_bytes() == b"mine"
    write_new({tmp_path / "a": b"1", tmp_path / "c": b"3"})
    write_over(tmp_path / "b", b"2")
    assert [path.read_bytes() for path in sorted(tmp_path.iterdir())] == [b"1", b"2", b"3"]


def test_what_a_kill_leaves_is_whole_and_in_nobodys_way(tmp_path):
    command = [sys.executable, "-c", WRITE_AND_DIE, str(tmp_path / "a"), str(tmp_path / "b")]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert (tmp_path / "a").read_bytes() == b"whole" and not (tmp_path / "b").exists()
    write_new({tmp_path / "b": b"more"})
    with pytest.raises(FileExistsError):
        write_new({tmp_path / "a": b"other"})
    assert names(tmp_path) == ["a", "b"] and (tmp_path / "a").read_bytes() == b"whole"
