"""A dataset's card: for people in Markdown, for programs in Croissant.

Both say what was found and nothing else: what the data does not tell, such as where it comes from, is called unknown.
No path outside the dataset and no name of a user is written.
"""

import csv
import hashlib
import io
import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath

from edgetune import __version__
from edgetune.data.croissant import croissant
from edgetune.data.index import SPLITS, DatasetIndex
from edgetune.data.licence import Licence, find_licence
from edgetune.data.texts import header, text_files
from edgetune.data.wording import counted
from edgetune.errors import InputError
from edgetune.hashing import digest_file, digest_json
from edgetune.records import DataFinding
from edgetune.whole_file import write_new

CARD, CROISSANT, SAMPLES = "dataset-card.md", "croissant.json", "samples.csv"
SHOWN = 3  # examples of a finding
MOST_CLASSES = 100  # rows of the table of classes
COLUMNS = ("path", "label", "split", "sha256", "width", "height")


def write_card(index: DatasetIndex, data: Path, findings: Sequence[DataFinding], folder: Path) -> list[Path]:
    """Write the card, the Croissant file and, of pictures, a list of the samples; returns the files.

    Args:
        data: the dataset's folder or file.
        folder: where to write; made if it is not there.

    Raises:
        InputError: a file exists or cannot be written; ``folder`` would look like a class of the data.
    """
    place, root = folder.resolve(), data.resolve()
    if data.is_dir() and place != root and place.is_relative_to(root):
        raise InputError(
            f"{folder} lies inside the dataset and would be taken for a class of it",
            hint="give the dataset's own folder, or one elsewhere, with --card",
        )
    contents: dict[str, str] = {}
    if index.noun == "picture":
        contents[SAMPLES] = _samples(index)
        digest = hashlib.sha256(contents[SAMPLES].encode("utf-8")).hexdigest()
        tables: dict[str, tuple[str, Mapping[str, str]]] = {SAMPLES: (digest, {name: name for name in COLUMNS})}
        endings = sorted({PurePath(sample.path).suffix for sample in index.samples})
    else:
        tables = {file.name: (digest_file(file), header(file)) for file in text_files(data)}
        endings = []
    name, licence = root.stem if root.is_file() else root.name, find_licence(data)
    contents[CARD] = _card(index, name, licence, findings, {file: digest for file, (digest, _) in tables.items()})
    described = croissant(name, _summary(index), licence.spdx_url or licence.told, tables, endings)
    contents[CROISSANT] = json.dumps(described, indent=1, ensure_ascii=False) + "\n"
    files = {folder / file: text.encode("utf-8", "backslashreplace") for file, text in contents.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        there = [path for path in files if path.exists()]
        begun = len(there) < len(files)  # the same command was killed between two of them
        if taken := [path for path in there if not (begun and _holds(path, files[path]))]:
            raise InputError(f"{taken[0]} exists and is not overwritten", hint="give another folder with --card")
        write_new({path: content for path, content in files.items() if path not in there})
    except OSError as error:
        told = f"cannot write into {folder}: {error.strerror or error}"
        raise InputError(told, hint="give another folder with --card") from error
    return list(files)


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except OSError:
        return False


def _samples(index: DatasetIndex) -> str:
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for sample in index.samples:
        writer.writerow([_inside(sample.path), index.labels[sample.label], sample.split, sample.sha256, *sample.size])
    return file.getvalue()


def _inside(path: str) -> str:
    """A path within the dataset; of one that leads out of it the file's name alone, as the way there tells of users."""
    pure = PurePath(path)
    return pure.name if pure.is_absolute() or ".." in pure.parts else path


def _summary(index: DatasetIndex) -> str:
    sizes = {split: len(index.split(split)) for split in SPLITS}
    told = ", ".join(f"{size:,} {split}" for split, size in sizes.items())
    classes, samples = counted(len(index.labels), "class", "classes"), counted(len(index.samples), index.noun)
    return f"{samples} of {classes} ({told}). Described by edgetune {__version__}."


def _card(
    index: DatasetIndex, name: str, licence: Licence, findings: Sequence[DataFinding], digests: Mapping[str, str]
) -> str:
    carved = f" ({' and '.join(index.carved)} carved from train by edgetune)" if index.carved else ""
    contents = digest_json(sorted((s.sha256, index.labels[s.label], s.split) for s in index.samples))
    facts = [
        ("What", f"{_summary(index)}"),
        ("From", "unknown: nothing in the data says"),
        ("Licence", licence.told),
        ("Splits", ", ".join(f"{split} {len(index.split(split)):,}" for split in SPLITS) + carved),
        ("Sizes", _sizes(index)),
        ("Left out", f"{counted(len(index.skipped), 'sample')} as unusable" if index.skipped else "none"),
        ("SHA-256 of all contents, labels and splits", f"`{contents}`"),
        *((f"SHA-256 of {_plain(file)}", f"`{digest}`") for file, digest in digests.items()),
    ]
    counts = index.counts()
    rows = [
        (_plain(label), *(f"{counts[split][label]:,}" for split in SPLITS)) for label in index.labels[:MOST_CLASSES]
    ]
    more = len(index.labels) - MOST_CLASSES
    parts = [
        f"# {_plain(name)}",
        _table(("", ""), facts),
        "## Classes",
        _table(("class", *SPLITS), rows),
        *([f"And {more} more."] if more > 0 else []),
        "## Known problems",
        "\n".join(_problem(finding, index) for finding in findings) or "`edgetune check` found none.",
    ]
    return "\n\n".join(parts) + "\n"


def _sizes(index: DatasetIndex) -> str:
    """Pixels or letters: smallest, middle and largest."""
    if index.noun == "text":
        lengths = sorted(len(sample.text or "") for sample in index.samples)
        return f"{lengths[0]:,} to {lengths[-1]:,} letters, {statistics.median_low(lengths):,} in the middle"
    sizes = sorted((sample.size for sample in index.samples), key=lambda size: size[0] * size[1])
    small, middle, large = (f"{width} x {height}" for width, height in (sizes[0], sizes[len(sizes) // 2], sizes[-1]))
    return f"{small} to {large} pixels, {middle} in the middle"


def _problem(finding: DataFinding, index: DatasetIndex) -> str:
    shown = "; ".join(finding.examples[:SHOWN])
    paths = {*(sample.path for sample in index.samples), *(path for path, _ in index.skipped)}
    for path in sorted((path for path in paths if _inside(path) != path), key=len, reverse=True):
        shown = shown.replace(path, _inside(path))
    more = "; and more" if len(finding.examples) > SHOWN else ""
    return (
        f"- **{finding.severity}**, {finding.id}: {_plain(finding.problem)}{': ' if shown else ''}{_plain(shown)}{more}"
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _plain(text: str) -> str:
    """Text that Markdown does not take for its own marks."""
    one_line = " ".join(text.split())
    return "".join(f"\\{letter}" if letter in "\\`*_|<>[]#" else letter for letter in one_line)
