"""Which files a page or a table may take the place of: none of the user's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from edgetune.errors import InputError

HEAD = 4096  # bytes of a file in which a mark must stand


def refuse_what_is_not_ours(paths: Sequence[Path], runs: Sequence[Path], is_ours: Callable[[str], bool]) -> None:
    """Only comparisons are overwritten, and nothing is written inside of a run.

    Args:
        paths: the files to write.
        runs: folders of the runs that are compared.
        is_ours: whether a file that begins so is a comparison.

    Raises:
        InputError: a file that is there and holds no comparison, lies in a run, or is given twice.
    """
    resolved = [path.resolve() for path in paths]
    for path, place in zip(paths, resolved, strict=True):
        if resolved.count(place) > 1:
            raise InputError(f"{path} is given for two forms", hint="give each a file of its own")
        if any(place.is_relative_to(run.resolve()) for run in runs):
            raise InputError(f"{path} lies in a run that is compared", hint="write it somewhere else")
        if path.exists() and not may_go(path, is_ours):
            raise InputError(f"{path} exists and is no comparison; it is not overwritten", hint="give another name")


def may_go(path: Path, is_ours: Callable[[str], bool]) -> bool:
    """Whether a file is empty or begins as ours do."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD).decode("utf-8", "replace")
    except OSError:
        return False
    return not head.strip() or is_ours(head)
