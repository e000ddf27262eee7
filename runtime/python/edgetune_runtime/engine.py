"""An engine: a verified bundle with a session to run it."""

from __future__ import annotations

import os
import tempfile
import time
import zipfile
import zlib
from math import exp, isfinite
from pathlib import Path
from typing import Any

import numpy as np

from edgetune_runtime.archive import unpack
from edgetune_runtime.errors import BundleError, InputError, LibraryError, RuntimeProblem
from edgetune_runtime.manifest import MOST_THREADS, read_manifest, verify_files
from edgetune_runtime.observation import Hook, Observation, observations, tell
from edgetune_runtime.preprocessing import make_preprocessing
from edgetune_runtime.session import LIBRARIES, library, open_session, settings

UINT8 = np.dtype(np.uint8)  # made once: `dtype == np.uint8` makes one each time
TYPES = {"float32": "tensor(float)", "uint8": "tensor(uint8)", "int64": "tensor(int64)"}
FEW_CLASSES = 64  # up to here plain Python is faster than numpy's calls


class Engine:
    """Runs a bundle. Use ``Engine.open``; close it or use it as a context manager."""

    def __init__(
        self,
        folder: Path,
        manifest: dict[str, Any],
        session: Any,
        temporary: tempfile.TemporaryDirectory[str] | None,
    ) -> None:
        self.folder, self.manifest = folder, manifest
        self.labels: list[str] = list(manifest["labels"])
        self.preprocessing = make_preprocessing(manifest["preprocessing"], folder)
        self._temporary = temporary
        self._sharpness = 1.0 / float(manifest.get("temperature", 1.0))
        self.hook: Hook | None = None  # called with an Observation of each sample that `predict` answers or refuses
        self.session = session
        self._run = session.run
        self._input = session.get_inputs()[0].name
        self._outputs = [manifest["outputs"][0]["name"]]
        if not self.preprocessing.fits(manifest["inputs"][0]["shape"]):
            raise BundleError(
                f"the engine takes {manifest['inputs'][0]['shape']}, the preprocessing gives another size"
            )

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        verify: bool = True,
        self_test: bool = True,
        threads: int | None = None,
    ) -> Engine:
        """Open a bundle: a folder or a ``.tar``.

        Args:
            verify: hold every file against its digest.
            self_test: run the golden inputs, if the bundle has them, and compare.
            threads: of one inference; None: what the bundle was measured with.

        Raises:
            BundleError: damaged, altered, unsafe or newer bundles, engines that do not load, a failed self-test.
            InputError: fewer than one thread. LibraryError: the inference library is not installed.
        """
        if threads is not None and not 1 <= threads <= MOST_THREADS:
            raise InputError(f"threads is {threads}, it must be 1 to {MOST_THREADS}")
        folder, temporary = Path(path), None
        if not folder.is_dir():
            temporary = tempfile.TemporaryDirectory(prefix="edgetune-bundle-")
            folder = Path(temporary.name)
        try:
            if temporary is not None:
                unpack(Path(path), folder)
            manifest = read_manifest(folder)
            if verify:
                verify_files(folder, manifest)
            engine = cls(folder, manifest, _session(folder, manifest, threads), temporary)
            if self_test and manifest.get("golden"):
                engine.self_test()
        except BaseException:
            if temporary is not None:
                temporary.cleanup()
            raise
        return engine

    def run(self, inputs: np.ndarray) -> np.ndarray:
        """Logits float32 [N, K] of preprocessed inputs: float32 [N, 3, H, W] of pictures, int64 [N, L] of texts.

        Of a bundle whose engine takes pixels: uint8 [N, H, W, 3].
        No check: see ``predict``.
        """
        result: np.ndarray = self._run(self._outputs, {self._input: inputs})[0]
        return result

    def predict(self, sample: Any, top: int = 5) -> Any:
        """The ``top`` most probable labels, best first: [(label, probability), ...].

        Args:
            sample: of a bundle for pictures a path, a PIL image or a uint8 array [H, W, 3]; of one for text a
                string or a list of them. Or an array that is preprocessed already: float32 [N, 3, H, W], int64 [N, L];
                where the engine takes pixels uint8 [N, H, W, 3].
                For N > 1 the result is a list of such lists.

        Raises:
            InputError: an array of the wrong shape or type, an empty batch, a file that is no picture,
                ``top`` below 1.
        """
        if top < 1:
            raise InputError(f"top is {top}, it must be 1 or more")
        if self.hook is not None:
            return self._observed(sample, top, self.hook)
        return self.answer(self.prepare(sample), top)

    def prepare(self, sample: Any) -> np.ndarray:
        """The first half of ``predict``: what the engine takes, of a sample."""
        if isinstance(sample, np.ndarray) and (sample.dtype != UINT8 or sample.ndim == 4):
            return self.preprocessing.check(sample)
        return self.preprocessing(sample)

    def answer(self, inputs: np.ndarray, top: int = 5) -> Any:
        """The second half of ``predict``, of what ``prepare`` returned."""
        logits = self._run(self._outputs, {self._input: inputs})[0]
        if not isfinite(float(logits.sum())):  # a sum is finite only if all of it is
            raise BundleError("the engine computed an output that is no finite number")
        if len(logits) == 1:
            return self._best(logits[0], top)
        return [self._best(row, top) for row in logits]

    def self_test(self) -> float:
        """Run the bundle's golden inputs; returns the largest difference of an output.

        Raises:
            BundleError: other labels than on the desk, or a difference above the bundle's tolerance.
        """
        golden = self.manifest["golden"]
        inputs, expected = self._golden(golden["file"])
        actual = np.concatenate([self.run(inputs[i : i + 1]) for i in range(len(inputs))])
        difference = float(np.abs(actual - expected).max())
        same = actual.argmax(1) == expected.argmax(1)
        if not same.all() or not difference <= golden["atol"]:  # "not <=" catches NaN
            raise BundleError(
                f"self-test failed: {int((~same).sum())} of {len(same)} golden samples get another label than on the "
                f"desk, outputs differ by up to {difference:.3g} (allowed: {golden['atol']:.3g}). This device computes "
                "the engine differently; build it for this target."
            )
        return difference

    def close(self) -> None:
        """Give the session's memory and the unpacked files back; the engine cannot run any more."""
        self._run = _closed
        self.session = None
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _observed(self, sample: Any, top: int, hook: Hook) -> Any:
        """``predict``, telling ``hook``."""
        begin = time.perf_counter()
        try:
            inputs = self.prepare(sample)
            prepared = time.perf_counter()
            answer = self.answer(inputs, top)
        except Exception as problem:
            tell(hook, Observation(latency_ms=1e3 * (time.perf_counter() - begin), error=problem))
            raise
        end = time.perf_counter()
        times = {"preprocess_ms": 1e3 * (prepared - begin), "inference_ms": 1e3 * (end - prepared)}
        tell(hook, *observations(answer, self.preprocessing.levels(inputs), latency_ms=1e3 * (end - begin), **times))
        return answer

    def _golden(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Golden inputs (preprocessed) and outputs [N, K]."""
        try:
            with np.load(self.folder / name, allow_pickle=False) as arrays:
                inputs, expected = arrays["inputs"], arrays["outputs"]
            self.preprocessing.check(inputs)
        except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, InputError) as problem:
            raise BundleError(f"the golden samples cannot be read: {problem}") from problem
        if expected.dtype != np.float32:
            raise BundleError(f"golden outputs are {expected.dtype}, they must be float32")
        if expected.shape != (len(inputs), len(self.labels)):
            raise BundleError(f"golden outputs are {list(expected.shape)} for {len(inputs)} inputs")
        return inputs, expected

    def _best(self, logits: np.ndarray, top: int) -> list[tuple[str, float]]:
        """The largest of softmax(logits [K] / T); the largest logit is subtracted, so that nothing overflows."""
        if len(logits) > FEW_CLASSES:
            weights = np.exp((logits - logits.max()) * self._sharpness, dtype=np.float64)
            best = np.argsort(-logits, kind="stable")[:top]
            return list(zip([self.labels[i] for i in best.tolist()], (weights[best] / weights.sum()).tolist()))
        values = logits.tolist()
        order = sorted(range(len(values)), key=values.__getitem__, reverse=True)
        highest, sharpness = values[order[0]], self._sharpness
        total = sum([exp((value - highest) * sharpness) for value in values])
        return [(self.labels[i], exp((values[i] - highest) * sharpness) / total) for i in order[:top]]


def _closed(*_: object) -> Any:
    raise RuntimeProblem("the engine is closed; open the bundle again")


def _session(folder: Path, manifest: dict[str, Any], threads: int | None) -> Any:
    if manifest["backend"] not in LIBRARIES:
        raise BundleError(f"the bundle is for {manifest['backend']}, which this version does not run")
    wanted = settings(manifest)
    title = library(wanted).TITLE
    try:
        session = open_session(folder / manifest["engine"]["file"], wanted, threads)
    except LibraryError:
        raise
    except Exception as problem:  # onnxruntime's exceptions share no base of their own
        raise BundleError(f"{title} refuses the engine: {problem}") from problem
    _check_signature(session, manifest)
    return session


def _check_signature(session: Any, manifest: dict[str, Any]) -> None:
    for key, found in (("inputs", session.get_inputs()), ("outputs", session.get_outputs())):
        declared = manifest[key][0]
        has = [(item.name, item.type, item.shape) for item in found]
        fits = len(has) == 1 and has[0][:2] == (declared["name"], TYPES[declared["dtype"]])
        if not fits or not _same_sizes(has[0][2], declared["shape"]):
            raise BundleError(f"the engine's {key} are {has}, the manifest says {declared}")


def _same_sizes(found: list[Any], declared: list[Any]) -> bool:
    """Whether two shapes agree where both give numbers; a free dimension has a name, an unknown shape is empty."""
    if not found:
        return True
    pairs = [(a, b) for a, b in zip(found, declared) if isinstance(a, int) and isinstance(b, int)]
    return len(found) == len(declared) and all(a == b for a, b in pairs)
