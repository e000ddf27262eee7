"""A CMake project for one bundle: the C++ runtime's sources, a program to begin with, and the bundle beside it."""

import re
import shlex
import shutil
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import Any

from edgetune_runtime.archive import unpack
from edgetune_runtime.errors import RuntimeProblem
from edgetune_runtime.manifest import read_manifest, verify_files
from edgetune_runtime.tensorrt_settings import read_settings
from edgetune_runtime.trtexec import precision_flags, shape_flags

from edgetune.bundle.manifest import DIGEST
from edgetune.errors import BundleError, InputError

SOURCES = ("CMakeLists.txt", "README.md", "cmake", "include", "src", "tools", "tests")  # of runtime/cpp
PROJECT = ("CMakeLists.txt", "main.cpp", "README.md")  # of runtime/cpp/project
MARK = re.compile(r"@([A-Z]+)@")
BACKENDS = ("onnxruntime", "tensorrt")  # that the C++ runtime has


def emit_cpp(bundle: Path, folder: Path) -> None:
    """Write the project into ``folder``, whole or not at all.

    Args:
        bundle: a folder or a ``.tar``; its files are held against their digests.
        folder: new, or empty.

    Raises:
        BundleError: damaged, altered, of a newer schema, for texts or for a backend that C++ has not.
        InputError: ``folder`` holds something, or cannot be written.
    """
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(f"{folder} exists and is not overwritten", hint="give a new folder")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary:
            project = Path(temporary) / "project"
            project.mkdir()
            _write(bundle, project)
            project.replace(folder)
    except OSError as error:
        raise InputError(f"cannot write {folder}: {error.strerror}", hint="give another folder") from error


def _write(bundle: Path, project: Path) -> None:
    runtime = Path(str(files("edgetune.runtime_cpp")))
    manifest = _copy_bundle(bundle, project / "bundle")
    for name in SOURCES:
        source, target = runtime / name, project / "edgetune" / name
        target.parent.mkdir(exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copyfile(source, target)
    backend = manifest["backend"]
    facts = {"NAME": _line(manifest.get("name")), "TARGET": _line(manifest.get("target")), "OPTIONS": ""}
    if backend == "tensorrt":
        facts |= {"OPTIONS": 'set(EDGETUNE_TENSORRT ON CACHE BOOL "")\n', **_tensorrt(manifest)}
    else:
        facts["ONNXRUNTIME"] = _version(manifest, backend)
    library = (runtime / f"project/library-{backend}.md").read_text(encoding="utf-8").rstrip()
    facts["LIBRARY"] = _filled(library, facts)
    for name in PROJECT:
        text = (runtime / "project" / name).read_text(encoding="utf-8")
        (project / name).write_text(_filled(text, facts), encoding="utf-8")


def _filled(text: str, facts: dict[str, str]) -> str:
    """With a fact for each mark such as ``@NAME@``; what stands in a fact is no mark."""
    return MARK.sub(lambda found: facts[found[1]], text)


def _line(value: Any) -> str:
    return " ".join(str(value).split())


def _version(manifest: dict[str, Any], library: str) -> str:
    versions = manifest.get("versions")
    return _line((versions.get(library) if isinstance(versions, dict) else None) or "of an unknown version")


def _tensorrt(manifest: dict[str, Any]) -> dict[str, str]:
    """The version, and the command that builds an engine from the bundle's ONNX file, in the project's folder.

    Raises:
        BundleError: the manifest does not say how, or not as it describes the engine.
    """
    try:
        settings = read_settings(manifest["session"])
    except RuntimeProblem as problem:
        raise BundleError(str(problem), hint="build it again") from problem
    declared, plan = manifest["inputs"][0], settings.plan
    if (settings.input, list(settings.sample)) != (declared["name"], list(declared["shape"][1:])):
        raise BundleError("the bundle's session.tensorrt is of another input than its engine", hint="build it again")
    if plan is not None and plan["file"] not in manifest["files"]:
        raise BundleError(f"the bundle lacks {plan['file']}, its engine of TensorRT", hint="copy the bundle again")
    command = (
        "trtexec",
        f"--onnx=bundle/{manifest['engine']['file']}",
        "--saveEngine=engine.plan",
        *shape_flags(settings.input, settings.sample, settings.max_batch),
        *precision_flags(settings.family, settings.precision, settings.dla_core),
    )
    version = _line(plan["tensorrt"]) if plan else _version(manifest, "tensorrt")
    return {"TENSORRT": version, "TRTEXEC": shlex.join(command)}


def _copy_bundle(bundle: Path, folder: Path) -> dict[str, Any]:
    """Copy the files that the manifest lists, and the manifest; returns it."""
    folder.mkdir()
    try:
        if bundle.is_dir():
            manifest = read_manifest(bundle)
            beside = [DIGEST] if (bundle / DIGEST).exists() else []
            for name in ("manifest.json", *beside, *manifest["files"]):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                if not (bundle / name).is_file():
                    raise BundleError(f"{bundle} lacks {name}", hint="copy the bundle again")
                shutil.copyfile(bundle / name, folder / name)
        else:
            unpack(bundle, folder)
            manifest = read_manifest(folder)
        verify_files(folder, manifest)
    except RuntimeProblem as problem:
        raise BundleError(str(problem), hint="give a bundle of `edgetune build`: a folder or a .tar") from problem
    kind, backend = manifest["preprocessing"].get("kind"), manifest["backend"]
    if kind != "image" or backend not in BACKENDS:
        known = " or ".join(BACKENDS)
        raise BundleError(
            f"the C++ runtime runs bundles for pictures with {known}, this one is for {kind} with {backend}",
            hint="run it with the Python package edgetune-runtime",
        )
    return dict(manifest)
