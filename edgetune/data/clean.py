"""A list of the samples that are left when what was found is taken out; the files themselves stay untouched."""

import csv
import io
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edgetune.data.few_samples import too_small
from edgetune.data.index import DatasetIndex, IndexedSample
from edgetune.data.scan import first_few
from edgetune.data.texts import UNPAIRED
from edgetune.data.wording import counted
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
    left = replace(index, samples=tuple(kept))  # without copies a class may have become too small
    trained -= {index.labels.index(label) for label in too_small(left)}
    return sorted((sample for sample in kept if sample.label in trained), key=lambda sample: sample.path)


def _not_utf8(samples: Sequence[IndexedSample], path: Path) -> DataError:
    """What to say of half characters: JSON can spell them, a CSV cannot hold them."""
    halves = [sample.path for sample in samples if sample.text and UNPAIRED.search(sample.text)]
    if halves:
        return DataError(
            f"{counted(len(halves), 'text')} with half a character (an unpaired surrogate), which no CSV can hold: "
            f"{first_few(halves)}; {path} was not written",
            hint="mend or remove those lines",
        )
    return DataError(f"{path} was not written: the way to the pictures is not UTF-8", hint="rename their folder")


def write_list(index: DatasetIndex, path: Path) -> int:
    """Write the cleaned samples as a CSV that a recipe can name; returns how many were left out.

    Its columns are ``path,label,split``, or ``text,label,split``.

    Raises:
        InputError: the file exists, or cannot be written. DataError: fewer than two classes are left; a text or path
            that UTF-8 does not have.
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
    except UnicodeEncodeError:
        raise _not_utf8(samples, path) from None
    except FileExistsError:
        raise InputError(f"{path} exists and is not overwritten", hint="give another name with --fix") from None
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error
    return len(index.samples) + len(index.skipped) - len(samples)
