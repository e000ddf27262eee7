"""The pictures or texts behind the digests, where the dataset is at hand: what flipped can then be looked at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from edgetune.compare.predictions import ID_LENGTH
from edgetune.compare.runs import Run
from edgetune.data.scan import Listing, scan
from edgetune.data.texts import TextListing, content_digest, is_text_data, scan_texts
from edgetune.data.thumbnails import thumbnail
from edgetune.errors import DataError
from edgetune.hashing import digest_file
from edgetune.progress import Tick, silent

TEXT_LENGTH = 400  # characters shown of a text


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A sample as the page shows it: a text, or a picture as a data: address."""

    text: str | None = None
    picture: str | None = None


def find_samples(
    runs: Sequence[Run], wanted: Sequence[str], data: Path | None = None, progress: Tick = silent
) -> tuple[dict[str, Shown], str | None]:
    """The samples with the digests ``wanted`` that can be found, and a sentence on those that cannot.

    Args:
        data: where the dataset lies now; None: where the recipes say, seen from the runs' folders and from here.

    Raises:
        DataError: ``data`` is given and is no dataset.
    """
    if not wanted:
        return {}, None
    places = [data] if data is not None else list(_places(runs))
    found: dict[str, Shown] = {}
    for place in places:
        try:
            found |= _look(place, {digest for digest in wanted if digest not in found}, progress)
        except DataError:
            if data is not None:
                raise
        if len(found) == len(set(wanted)):
            return found, None
    missing = len(set(wanted)) - len(found)
    where = "there" if data is not None else "where the recipes say; --data FOLDER names another place"
    return found, f"{missing} of {len(set(wanted))} samples that flipped were not found {where}."


def _places(runs: Sequence[Run]) -> Iterator[Path]:
    """Where the data may be. A wrong guess finds nothing, since only equal contents count."""
    seen = set()
    for run in reversed(runs):
        path = str(run.report["recipe"].get("data", {}).get("path") or "")
        if not path or PurePosixPath(path).is_absolute() or PureWindowsPath(path).is_absolute():
            continue
        folder = run.folder.absolute()
        for base in (folder.parent.parent, folder.parent, Path.cwd()):
            place = base / path
            if place.exists() and place.resolve() not in seen:
                seen.add(place.resolve())
                yield place


def _look(place: Path, wanted: set[str], progress: Tick) -> dict[str, Shown]:
    if is_text_data(place):
        return _texts(scan_texts(place), wanted)
    return _pictures(scan(place), wanted, progress)


def _texts(listing: TextListing, wanted: set[str]) -> dict[str, Shown]:
    found = {}
    for row in listing.rows:
        digest = content_digest(row.text)[:ID_LENGTH]
        if digest in wanted:
            more = " [...]" if len(row.text) > TEXT_LENGTH else ""
            found[digest] = Shown(text=row.text[:TEXT_LENGTH] + more)
    return found


def _pictures(listing: Listing, wanted: set[str], progress: Tick) -> dict[str, Shown]:
    """Test pictures are read first, and no more than it takes to find them all."""
    found: dict[str, Shown] = {}
    samples = sorted(listing.samples, key=lambda sample: sample.split != "test")
    for number, sample in enumerate(samples, start=1):
        if len(found) == len(wanted):
            break
        path = listing.root / sample.path
        try:
            digest = digest_file(path)[:ID_LENGTH]
        except OSError:
            continue
        progress(number, len(samples), "")
        if digest in wanted and digest not in found and (picture := thumbnail(path)) is not None:
            found[digest] = Shown(picture=picture)
    return found


def shown_first(data: Mapping[str, Any], most: int) -> dict[str, list[Mapping[str, Any]]]:
    """{target: flips} of at most ``most`` over all targets, an equal part each, what became wrong first."""
    targets = [target for target in data["targets"] if target["flips"]]
    share = most // max(len(targets), 1)
    return {target["target"]: target["flips"][:share] for target in targets}
