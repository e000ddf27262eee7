"""A list of the samples that are left when what was found is taken out; the files themselves stay untouched."""

import csv
import io
import os
from collections import defaultdict
from pathlib import Path

from edgetune.data.few_samples import too_small
from edgetune.data.index import DatasetIndex, IndexedSample
from edgetune.errors import DataError, InputError
from edgetune.whole_file import write_new

KEEP_IN = ("test", "val", "train")  # a picture of several splits stays where it is judged by


def cleaned(index: DatasetIndex) -> list[IndexedSample]:
    """One sample of each content; none of a picture that has two labels, nor of a class too small to be trained."""
    by_content: dict[str, list[IndexedSample]] = defaultdict(list)
    for sample in index.samples:
        by_content[sample.sha256].append(sample)
    kept = [
        min(same, key=lambda sample: (KEEP_IN.index(sample.split), sample.path))
        for same in by_content.values()
        if len({sample.label for sample in same}) == 1
    ]
    trained = {sample.label for sample in kept if sample.split == "train"}
    trained -= {index.labels.index(label) for label in too_small(index)}
    return sorted((sample for sample in kept if sample.label in trained), key=lambda sample: sample.path)


def write_list(index: DatasetIndex, path: Path) -> int:
    """Write the cleaned samples as a CSV that a recipe can name; returns how many were left out.

    Its columns are ``path,label,split``, or ``text,label,split``.

    Raises:
        InputError: the file exists, or cannot be written. DataError: fewer than two classes are left.
    """
    samples, base = cleaned(index), path.absolute().parent
    if len({sample.label for sample in samples}) < 2:
        raise DataError(
            f"without what was found, fewer than two classes are left: {path} was not written",
            hint="`edgetune check` without --fix lists what was found",
        )
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow([index.noun.replace("picture", "path"), "label", "split"])
    for sample in samples:
        place = sample.text or Path(os.path.relpath(index.root / sample.path, base)).as_posix()
        writer.writerow([place, index.labels[sample.label], sample.split])
    try:
        write_new({path: file.getvalue().encode("utf-8")})
    except FileExistsError:
        raise InputError(f"{path} exists and is not overwritten", hint="give another name with --fix") from None
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error
    return len(index.samples) + len(index.skipped) - len(samples)
