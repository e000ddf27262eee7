"""The checked dataset: every usable sample with its label, split, digest and size."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgetune.data.check import ImageFacts, check_images
from edgetune.data.scan import Listing, Sample, scan
from edgetune.data.splits import carve, too_small
from edgetune.errors import DataError
from edgetune.progress import Tick, silent

SCHEMA = "edgetune.dataset/2"
SPLITS = ("train", "val", "test")
SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedSample:
    """One usable sample; ``size`` is [width, height] in pixels as stored."""

    path: str
    label: int
    split: str
    sha256: str
    dhash: str
    size: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetIndex:
    """All usable samples, what was skipped, and which splits were carved from train."""

    root: Path
    labels: tuple[str, ...]
    samples: tuple[IndexedSample, ...]
    skipped: tuple[tuple[str, str], ...]  # (path, problem)
    carved: tuple[str, ...]

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
            "samples": [
                {
                    "path": s.path,
                    "label": s.label,
                    "split": s.split,
                    "sha256": s.sha256,
                    "dhash": s.dhash,
                    "size": list(s.size),
                }
                for s in self.samples
            ],
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
            samples=tuple(IndexedSample(**{**row, "size": tuple(row["size"])}) for row in content["samples"]),
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
    """Scan, check every file, and carve the splits the data does not have.

    Raises:
        DataError: see ``scan``; unusable files (all of them listed, unless ``on_bad_file`` is "skip");
            a class left without enough samples.
    """
    listing = scan(path)
    facts = {item.path: item for item in check_images(listing.root, [s.path for s in listing.samples], progress)}
    bad = [item for item in facts.values() if item.problem is not None]
    if bad and on_bad_file == "error":
        raise _bad_files(bad, len(facts))
    good = [sample for sample in listing.samples if facts[sample.path].problem is None]
    contents = {path: item.sha256 for path, item in facts.items()}
    samples, carved = _with_splits(good, listing, contents, val_fraction, test_fraction, seed)
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
                size=facts[s.path].size,
            )
            for s in samples
        ),
        skipped=tuple((item.path, item.problem or "") for item in bad),
        carved=carved,
    )


def _bad_files(bad: Sequence[ImageFacts], total: int) -> DataError:
    lines = [f"{item.path} {item.problem}" for item in bad[:SHOWN]]
    if len(bad) > SHOWN:
        kinds = Counter((item.problem or "").partition("(")[0].strip() for item in bad)
        lines.append(f"and {len(bad) - SHOWN} more ({'; '.join(f'{n} x {kind}' for kind, n in kinds.most_common(4))})")
    return DataError(
        f"{len(bad)} of {total} files cannot be used:\n  " + "\n  ".join(lines),
        hint='mend or remove them, or leave them out with `[data] on_bad_file = "skip"`',
    )


def _with_splits(
    good: list[Sample],
    listing: Listing,
    contents: Mapping[str, str],
    val_fraction: float,
    test_fraction: float,
    seed: int,
) -> tuple[list[Sample], tuple[str, ...]]:
    """The samples with every split filled, and which ones were carved (test before val)."""
    present = {sample.split for sample in good}
    carved = tuple(name for name in ("test", "val") if name not in present)
    train = [sample for sample in good if sample.split in ("train", None)]
    if small := too_small((s.label for s in train), listing.labels, 1 + len(carved)):
        skipped = len(listing.samples) - len(good)
        raise DataError(
            f"too few usable training images of {', '.join(small)}",
            hint=f"every class needs at least {1 + len(carved)}"
            + (f", because {' and '.join(carved)} must be carved from train" if carved else "")
            + (f"; {skipped} unusable files were skipped" if skipped else ""),
        )
    result = [replace(sample, split=sample.split or "train") for sample in good]
    for name in carved:
        fraction = test_fraction if name == "test" else val_fraction
        pool = [sample for sample in result if sample.split == "train"]
        taken = carve([contents[s.path] for s in pool], [s.label for s in pool], fraction, seed)
        result = [replace(s, split=name) if contents[s.path] in taken and s.split == "train" else s for s in result]
    return result, carved
