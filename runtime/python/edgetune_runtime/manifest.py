"""Read a bundle's ``manifest.json`` and hold it against the files beside it."""

from __future__ import annotations

import hashlib
import json
import math
import re
from pathlib import Path
from typing import Any

from edgetune_runtime.errors import BundleError
from edgetune_runtime.external_data import external_names
from edgetune_runtime.session import PROVIDERS

NAME = "manifest.json"
OWN_DIGEST = "manifest.sha256"  # bundles made before it was have none
VERSION = 1
SCHEMA = re.compile(r"edgetune\.bundle/([1-9][0-9]{0,8})")
DIGEST = re.compile(r"[0-9a-f]{64}")
MOST_THREADS = 1024
LEVELS = ("disabled", "basic", "extended", "all")
CHUNK_BYTES = 1 << 20

# Key and type; what is inside them is checked below.
REQUIRED = {
    "backend": str,
    "engine": dict,
    "inputs": list,
    "outputs": list,
    "preprocessing": dict,
    "postprocessing": str,
    "labels": list,
    "session": dict,
    "files": dict,
}


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of the bundle in ``folder``, checked for its form; no other file is read.

    Raises:
        BundleError: missing, not JSON, of another or a newer schema, with keys missing or of the wrong kind,
            or naming files outside the folder.
    """
    path = folder / NAME
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BundleError(f"{folder} has no {NAME}: not a bundle") from None
    except (OSError, ValueError, RecursionError) as problem:
        raise BundleError(f"{path} cannot be read: {problem}; copy the bundle again") from problem
    _check_schema(manifest, path)
    for key, kind in REQUIRED.items():
        if not isinstance(manifest.get(key), kind):
            raise BundleError(f"{path}: {key!r} is missing or not a {kind.__name__}")
    _check_files(manifest["files"], path)
    _check_engine(manifest, path)
    _check_session(manifest["session"], path)
    _check_golden(manifest, path)
    return manifest


def verify_files(folder: Path, manifest: dict[str, Any]) -> None:
    """Hold every file against its size and sha256, and the manifest against the digest beside it.

    Raises:
        BundleError: links, missing, truncated or altered files, an engine that keeps weights in other files.
    """
    root = folder.resolve()
    _verify_manifest(folder)
    for name, facts in manifest["files"].items():
        path = folder / name
        try:
            if path.is_symlink() or root not in path.resolve().parents:
                raise BundleError(f"{name} of the bundle is a link: refused")
            if not path.is_file():
                raise BundleError(f"the bundle lacks {name}: copy it again")
            size = path.stat().st_size
            if size != facts["size"]:
                raise BundleError(f"{name} has {size} bytes instead of {facts['size']}: copy the bundle again")
            if sha256(path) != facts["sha256"]:
                raise BundleError(f"{name} was altered: its sha256 is not the manifest's; copy the bundle again")
        except OSError as problem:
            raise BundleError(f"{name} of the bundle cannot be read: {problem}") from problem
    for name in external_names(folder / manifest["engine"]["file"]):  # ONNX Runtime would follow it, listed or not
        raise BundleError(f"the engine keeps weights in another file, {name}, which no bundle's does: refused")


def _verify_manifest(folder: Path) -> None:
    beside = folder / OWN_DIGEST
    try:
        if beside.is_symlink():
            raise BundleError(f"{OWN_DIGEST} of the bundle is a link: refused")
        if not beside.exists():
            return
        with beside.open("rb") as file:
            wanted = file.read(64)
        if wanted != sha256(folder / NAME).encode("ascii"):
            raise BundleError(f"{NAME} was altered: its sha256 is not that in {OWN_DIGEST}; copy the bundle again")
    except OSError as problem:
        raise BundleError(f"{OWN_DIGEST} of the bundle cannot be read: {problem}") from problem


def is_safe_name(name: str) -> bool:
    """Whether a relative name stays inside the folder it is joined to, on every system."""
    parts = name.replace("\\", "/").split("/")
    return name.isprintable() and ":" not in name and not {"", ".", ".."} & set(parts)


def sha256(path: Path) -> str:
    """sha256 (hex) of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for chunk in iter(lambda: file.read(CHUNK_BYTES), b""):
            digest.update(chunk)
    return digest.hexdigest()


def _check_schema(manifest: Any, path: Path) -> None:
    schema = manifest.get("schema") if isinstance(manifest, dict) else None
    match = SCHEMA.fullmatch(schema) if isinstance(schema, str) else None
    if match is None:
        raise BundleError(f"{path} is not the manifest of a bundle (schema {schema!r})")
    if int(match[1]) > VERSION:
        raise BundleError(f"the bundle's schema is {schema}, newer than this version reads: update edgetune-runtime")


def _check_files(files: dict[str, Any], path: Path) -> None:
    for name, facts in files.items():
        if not is_safe_name(name) or name == NAME:
            raise BundleError(f"{path} names a file that no bundle holds: {name!r}: refused")
        size, digest = (facts.get("size"), facts.get("sha256")) if isinstance(facts, dict) else (None, None)
        if type(size) is not int or not isinstance(digest, str) or not DIGEST.fullmatch(digest):
            raise BundleError(f"{path} has no size and sha256 of {name}")


def _check_engine(manifest: dict[str, Any], path: Path) -> None:
    _check_listed(manifest["engine"].get("file"), "engine", manifest["files"], path)
    for key in ("inputs", "outputs"):
        signature = manifest[key]
        if len(signature) != 1 or not isinstance(signature[0], dict):
            raise BundleError(f"{path}: an engine has one input and one output here; {key!r} has another form")
        name, shape, dtype = (signature[0].get(field) for field in ("name", "shape", "dtype"))
        wanted = _input_type(manifest["preprocessing"]) if key == "inputs" else "float32"
        if not isinstance(name, str) or not isinstance(shape, list) or not shape or dtype != wanted:
            raise BundleError(f"{path}: {key!r} must give a name, a shape and the dtype {wanted}")
    if manifest["preprocessing"].get("kind") == "text":
        _check_listed(manifest["preprocessing"].get("tokenizer"), "tokenizer", manifest["files"], path)
    labels = manifest["labels"]
    if not labels or not all(isinstance(label, str) for label in labels):
        raise BundleError(f"{path}: 'labels' must be texts")
    if manifest["outputs"][0]["shape"][-1] != len(labels):
        raise BundleError(f"{path} has {len(labels)} labels for outputs of {manifest['outputs'][0]['shape']}")
    temperature = manifest.get("temperature", 1.0)
    if type(temperature) not in (int, float) or not 0 < temperature < math.inf:
        raise BundleError(f"{path}: temperature is {temperature!r}, it must be a number above 0")
    if manifest["postprocessing"] != "softmax":
        raise BundleError(f"postprocessing {manifest['postprocessing']!r} is not known: update edgetune-runtime")


def _input_type(preprocessing: dict[str, Any]) -> str:
    if preprocessing.get("kind") == "text":
        return "int64"
    return "uint8" if preprocessing.get("layout") == "NHWC" else "float32"


def _check_session(session: dict[str, Any], path: Path) -> None:
    threads, config = session.get("threads", 1), session.get("config", {})
    if type(threads) is not int or not 1 <= threads <= MOST_THREADS:
        raise BundleError(f"{path}: session threads is {threads!r}, it must be 1 to {MOST_THREADS}")
    if session.get("graph_optimization", "all") not in LEVELS:
        raise BundleError(f"{path}: session graph_optimization must be one of {', '.join(LEVELS)}")
    if session.get("provider", "cpu") not in tuple(PROVIDERS):
        raise BundleError(f"{path}: session provider must be one of {', '.join(PROVIDERS)}; update edgetune-runtime")
    if not all(isinstance(session.get(key, True), bool) for key in ("arena", "memory_pattern")):
        raise BundleError(f"{path}: session arena and memory_pattern must be true or false")
    if not isinstance(config, dict) or not all(isinstance(value, (str, int, float)) for value in config.values()):
        raise BundleError(f"{path}: session config must map names to values")


def _check_golden(manifest: dict[str, Any], path: Path) -> None:
    golden = manifest.get("golden")
    if golden is None:
        return
    if not isinstance(golden, dict):
        raise BundleError(f"{path}: 'golden' is not a dict")
    _check_listed(golden.get("file"), "golden", manifest["files"], path)
    atol = golden.get("atol")
    if not isinstance(atol, (int, float)) or not math.isfinite(atol) or atol < 0:
        raise BundleError(f"{path}: golden atol is {atol!r}, it must be a number of 0 or more")


def _check_listed(name: Any, role: str, files: dict[str, Any], path: Path) -> None:
    if not isinstance(name, str) or name not in files:
        raise BundleError(f"{path}: the {role}'s file {name!r} is not among its files")
