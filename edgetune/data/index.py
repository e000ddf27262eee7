"""The checked dataset: every usable sample with its label, split, digest and size."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgetune.data.check import ImageFacts, check_images
from edgetune.data.scan import Sample, scan
from edgetune.data.splits import carve
from edgetune.data.texts import content_digest, is_text_data, scan_texts
from edgetune.errors import DataError
from edgetune.progress import Tick, silent

SCHEMA = "edgetune.dataset/2"
SPLITS = ("train", "val", "test")
SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedSample:
    """One usable sample: a picture's file, or a text with its file and line as ``path``.

    ``sha256`` tells equal contents: of a file, or of a text without case, punctuation and spaces.
    ``size`` is [width, height] in pixels as stored.
    """

    path: str
    label: int
    split: str
    sha256: str
    dhash: str = ""
    size: tuple[int, int] = (0, 0)
    text: str | None = None
    look: bytes = field(default=b"", repr=False, compare=False)  # for the check alone: not written, 2 kB a picture
    mode: str = field(default="", compare=False)  # for the check alone, too: Pillow's name of how colours are stored

    def to_json(self) -> dict[str, Any]:
        """Plain data, without what its kind of sample does not have."""
        shared = {"path": self.path, "label": self.label, "split": self.split, "sha256": self.sha256}
        if self.text is not None:
            return {**shared, "text": self.text}
        return {**shared, "dhash": self.dhash, "size": list(self.size)}


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetIndex:
    """All usable samples, what was skipped, and which splits were carved from train."""

    root: Path
    labels: tuple[str, ...]
    samples: tuple[IndexedSample, ...]
    skipped: tuple[tuple[str, str], ...]  # (path, problem)
    carved: tuple[str, ...]

    @property
    def noun(self) -> str:
        """What a sample is called: picture or text."""
        return "text" if self.samples and self.samples[0].text is not None else "picture"

    def split(self, name: str) -> tuple[IndexedSample, ...]:
        """The samples of train, val or test."""
        return tuple(sample for sample in self.samples if sample.split == name)

    def counts(self) -> dict[str, dict[str, int]]:
        """{split: {label: samples}}."""
        found = {name: dict.fromkeys(self.labels, 0) for name in SPLITS}
        for sample in self.samples:
            found[sample.split][self.labels[sample.label]] += 1
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain data; ``from_json`` reads it back."""
        return {
            "schema": SCHEMA,
            "root": str(self.root),
            "labels": list(self.labels),
            "samples": [sample.to_json() for sample in self.samples],
            "skipped": [{"path": path, "problem": problem} for path, problem in self.skipped],
            "carved": list(self.carved),
            "counts": self.counts(),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "DatasetIndex":
        """The index ``to_json`` wrote.

        Raises:
            DataError: it is of another schema.
        """
        if content.get("schema") != SCHEMA:
            raise DataError(f"this dataset index is {content.get('schema')}, not {SCHEMA}", hint="build again")
        return cls(
            root=Path(content["root"]),
            labels=tuple(content["labels"]),
            samples=tuple(
                IndexedSample(**{**row, "size": tuple(row.get("size", (0, 0)))}) for row in content["samples"]
            ),
            skipped=tuple((row["path"], row["problem"]) for row in content["skipped"]),
            carved=tuple(content["carved"]),
        )


def build_index(
    path: Path,
    *,
    val_fraction: float,
    test_fraction: float,
    on_bad_file: str,
    seed: int,
    progress: Tick = silent,
) -> DatasetIndex:
    """Scan, check every sample, and carve the splits the data does not have.

    Raises:
        DataError: see ``scan`` and ``scan_texts``; unusable samples (all of them listed, unless ``on_bad_file``
            is "skip"); no usable sample at all.
    """
    if is_text_data(path):
        return _text_index(path, val_fraction, test_fraction, on_bad_file, seed)
    listing = scan(path)
    paths = list(dict.fromkeys(sample.path for sample in listing.samples))  # a CSV may name one more than once
    facts = {item.path: item for item in check_images(listing.root, paths, progress)}
    bad = [facts[sample.path] for sample in listing.samples if facts[sample.path].problem is not None]
    bad += _without_label(listing.unlabelled)
    good = [sample for sample in listing.samples if facts[sample.path].problem is None]
    if bad and (on_bad_file == "error" or not good):
        raise _bad_files(bad, len(bad) + len(good))
    contents = {path: item.sha256 for path, item in facts.items()}
    samples, carved = _with_splits(good, contents, val_fraction, test_fraction, seed)
    return DatasetIndex(
        root=listing.root,
        labels=listing.labels,
        samples=tuple(
            IndexedSample(
                path=s.path,
                label=s.label,
                split=s.split or "train",
                sha256=facts[s.path].sha256,
                dhash=facts[s.path].dhash,
                look=facts[s.path].look,
                mode=facts[s.path].mode,
                size=facts[s.path].size,
            )
            for s in samples
        ),
        skipped=tuple((item.path, item.problem or "") for item in bad),
        carved=carved,
    )


def _text_index(path: Path, val_fraction: float, test_fraction: float, on_bad_file: str, seed: int) -> DatasetIndex:
    listing = scan_texts(path)
    number = {label: position for position, label in enumerate(listing.labels)}
    rows = {row.where: row for row in listing.rows}
    bad = [ImageFacts(path=row.where, problem="is empty") for row in listing.rows if not row.text.strip()]
    empty = {item.path for item in bad}
    bad += _without_label(listing.unlabelled)
    good = [
        Sample(path=row.where, label=number[row.label], split=row.split)
        for row in listing.rows
        if row.where not in empty
    ]
    if bad and (on_bad_file == "error" or not good):
        raise _bad_files(bad, len(bad) + len(good))
    contents = {sample.path: content_digest(rows[sample.path].text) for sample in good}
    samples, carved = _with_splits(good, contents, val_fraction, test_fraction, seed)
    return DatasetIndex(
        root=listing.root,
        labels=listing.labels,
        samples=tuple(
            IndexedSample(
                path=s.path, label=s.label, split=s.split or "train", sha256=contents[s.path], text=rows[s.path].text
            )
            for s in samples
        ),
        skipped=tuple((item.path, item.problem or "") for item in bad),
        carved=carved,
    )


def _without_label(paths: Sequence[str]) -> list[ImageFacts]:
    return [ImageFacts(path=path, problem="has no label") for path in paths]


def _bad_files(bad: Sequence[ImageFacts], total: int) -> DataError:
    lines = [f"{item.path} {item.problem}" for item in bad[:SHOWN]]
    if len(bad) > SHOWN:
        kinds = Counter((item.problem or "").partition("(")[0].strip() for item in bad)
        lines.append(f"and {len(bad) - SHOWN} more ({'; '.join(f'{n} x {kind}' for kind, n in kinds.most_common(4))})")
    return DataError(
        f"{len(bad)} of {total} samples cannot be used:\n  " + "\n  ".join(lines),
        hint="see that this is the right dataset"
        if len(bad) == total
        else 'mend or remove them, or leave them out with `[data] on_bad_file = "skip"`',
    )


def _with_splits(
    good: list[Sample],
    contents: Mapping[str, str],
    val_fraction: float,
    test_fraction: float,
    seed: int,
) -> tuple[list[Sample], tuple[str, ...]]:
    """The samples with every split filled, and which ones were carved (test before val)."""
    present = {sample.split for sample in good}
    carved = tuple(name for name in ("test", "val") if name not in present)
    result = [replace(sample, split=sample.split or "train") for sample in good]
    for name in carved:
        fraction = test_fraction if name == "test" else val_fraction
        pool = [sample for sample in result if sample.split == "train"]
        taken = carve([contents[s.path] for s in pool], [s.label for s in pool], fraction, seed)
        result = [replace(s, split=name) if contents[s.path] in taken and s.split == "train" else s for s in result]
    return result, carved
