"""An engine: a verified bundle with a session to run it."""

from __future__ import annotations

import math
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from edgetune_runtime.archive import unpack
from edgetune_runtime.errors import BundleError, InputError
from edgetune_runtime.manifest import read_manifest, verify_files
from edgetune_runtime.preprocessing import Preprocessing

LEVELS = {
    "disabled": ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "all": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
}


class Engine:
    """Runs a bundle. Use ``Engine.open``; close it or use it as a context manager."""

    def __init__(
        self,
        folder: Path,
        manifest: dict[str, Any],
        session: ort.InferenceSession,
        temporary: tempfile.TemporaryDirectory | None,
    ) -> None:
        self.folder, self.manifest = folder, manifest
        self.labels: list[str] = list(manifest["labels"])
        self.preprocessing = Preprocessing.from_dict(manifest["preprocessing"])
        self._temporary = temporary
        self._session = session
        self._run = session.run
        self._input = session.get_inputs()[0].name
        self._outputs = [manifest["outputs"][0]["name"]]
        self._sample_shape = (3, self.preprocessing.height, self.preprocessing.width)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike,
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
        """
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
        """Logits float32 [N, K] of preprocessed inputs float32 [N, 3, H, W]. No check: see ``predict``."""
        result: np.ndarray = self._run(self._outputs, {self._input: inputs})[0]
        return result

    def predict(self, image: Any, top: int = 5) -> Any:
        """The ``top`` most probable labels, best first: [(label, probability), ...].

        Args:
            image: a path, a PIL image or a uint8 array [H, W, 3], which are preprocessed; or a float32
                array [N, 3, H, W] that already is. For N > 1 the result is a list of such lists.

        Raises:
            InputError: an array of the wrong shape or type, an empty batch, a file that is no picture.
        """
        if isinstance(image, np.ndarray) and image.dtype != np.uint8:
            inputs = self._checked(image)
        else:
            inputs = self.preprocessing(image)
        logits = self._run(self._outputs, {self._input: inputs})[0]
        if len(logits) == 1:
            return self._best(logits[0], top)
        return [self._best(row, top) for row in logits]

    def self_test(self) -> float:
        """Run the bundle's golden inputs; returns the largest difference of an output.

        Raises:
            BundleError: other labels than on the desk, or a difference above the bundle's tolerance.
        """
        golden = self.manifest["golden"]
        try:
            with np.load(self.folder / golden["file"], allow_pickle=False) as arrays:
                inputs, expected = arrays["inputs"], arrays["outputs"]
        except (OSError, KeyError, ValueError) as problem:
            raise BundleError(f"the golden outputs cannot be read: {problem}") from problem
        actual = np.concatenate([self.run(inputs[i : i + 1]) for i in range(len(inputs))])
        difference = float(np.abs(actual - expected).max())
        same = actual.argmax(1) == expected.argmax(1)
        if not same.all() or not difference <= golden["atol"]:
            raise BundleError(
                "self-test failed: {} of {} golden samples get another label than on the desk, outputs differ by up to "
                "{:.3g} (allowed: {:.3g}). This device computes it differently; build for this target.".format(
                    int((~same).sum()), len(same), difference, golden["atol"]
                )
            )
        return difference

    def close(self) -> None:
        """Give the session's memory and the unpacked files back."""
        self._session = self._run = None
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _checked(self, array: np.ndarray) -> np.ndarray:
        if array.dtype != np.float32 or array.ndim != 4 or array.shape[1:] != self._sample_shape or not array.shape[0]:
            raise InputError(
                "expected float32 [N, {}, {}, {}] with N > 0 (preprocessed) or uint8 [H, W, 3] (a picture), "
                "not {} {}".format(*self._sample_shape, array.dtype, list(array.shape))
            )
        return array

    def _best(self, logits: np.ndarray, top: int) -> list[tuple[str, float]]:
        # Plain Python: for the handful of classes of an edge model it beats numpy's call overhead.
        values = logits.tolist()
        highest = max(values)
        weights = [math.exp(value - highest) for value in values]
        total = sum(weights)
        order = sorted(range(len(weights)), key=weights.__getitem__, reverse=True)[:top]
        return [(self.labels[index], weights[index] / total) for index in order]


def _session(folder: Path, manifest: dict[str, Any], threads: int | None) -> ort.InferenceSession:
    backend = manifest.get("backend", "onnxruntime")
    if backend != "onnxruntime":
        raise BundleError(f"the bundle is for {backend}, which this version does not run")
    wanted = manifest["session"]
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or int(wanted.get("threads", 1))
    options.inter_op_num_threads = 1
    options.graph_optimization_level = LEVELS[wanted.get("graph_optimization", "all")]
    options.log_severity_level = 3
    for key, value in wanted.get("config", {}).items():
        options.add_session_config_entry(key, str(value))
    try:
        session = ort.InferenceSession(
            str(folder / manifest["engine"]["file"]), options, providers=["CPUExecutionProvider"]
        )
    except Exception as problem:  # onnxruntime's exceptions share no base of their own
        raise BundleError(f"ONNX Runtime {ort.__version__} refuses the engine: {problem}") from problem
    _check_signature(session, manifest)
    return session


def _check_signature(session: ort.InferenceSession, manifest: dict[str, Any]) -> None:
    inputs = [item.name for item in session.get_inputs()]
    outputs = [item.name for item in session.get_outputs()]
    declared = [item["name"] for item in manifest["inputs"]], [item["name"] for item in manifest["outputs"]]
    if (inputs, outputs) != declared or len(inputs) != 1:
        raise BundleError("the engine has {} -> {}, the manifest says {} -> {}".format(inputs, outputs, *declared))
    classes = manifest["outputs"][0]["shape"][-1]
    if classes != len(manifest["labels"]):
        raise BundleError("the engine has {} outputs for {} labels".format(classes, len(manifest["labels"])))
