"""Complete bundles: golden outputs for the device's self-test, and a tar whose bytes depend on its content alone."""

import io
import os
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

GOLDEN = "golden.npz"
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip can hold

Array = NDArray[Any]


def write_golden(folder: Path, inputs: Array, outputs: Array) -> None:
    """Write ``golden.npz`` with preprocessed inputs and outputs [N, K]; the same arrays give the same bytes."""
    with zipfile.ZipFile(folder / GOLDEN, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name, array in (("inputs", inputs), ("outputs", outputs)):
            content = io.BytesIO()
            np.lib.format.write_array(content, np.ascontiguousarray(array), allow_pickle=False)
            info = zipfile.ZipInfo(f"{name}.npy", date_time=EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content.getvalue())


def pack_tar(folder: Path, archive: Path) -> None:
    """Write the files of ``folder`` as a plain tar: sorted names, no times, no owners, whole or not at all.

    Raises:
        OSError: it cannot be written. ValueError: a name of more than 100 characters.
    """
    partial = archive.with_name(archive.name + ".partial")
    try:
        with partial.open("wb") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
                for path in sorted(folder.rglob("*")):
                    if path.is_file():
                        _add(tar, path, path.relative_to(folder).as_posix())
            file.flush()
            os.fsync(file.fileno())
        partial.replace(archive)
    finally:
        partial.unlink(missing_ok=True)


def _add(tar: tarfile.TarFile, path: Path, name: str) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = path.stat().st_size, 0o644
    with path.open("rb") as content:
        tar.addfile(info, content)
