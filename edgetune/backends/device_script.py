"""The shell script that builds TensorRT engines on a device which has JetPack and nothing of edgetune."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files

from edgetune import __version__
from edgetune.backends import trtexec
from edgetune.backends.tensorrt_versions import Release

NAME = "build_on_device.sh"
JETPACK_TRTEXEC = "/usr/src/tensorrt/bin/trtexec"
# Shell variables of the script.
FILES = trtexec.Files(
    onnx="$name.onnx",
    engine="$out/$name.plan",
    timing_cache="$out/timing.cache",
    times="$out/$name.times.json",
    layers="$out/$name.layers.json",
    profile="$out/$name.profile.json",
)
PLAIN = re.compile(r"[\w.-]+")  # what needs no quotes and cannot be mistaken for anything else in a shell
QUOTABLE = re.compile(r"[\w.,:=/$-]+")  # what means the same between double quotes, variables apart


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """One ONNX file beside the script: ``NAME.onnx``."""

    name: str
    precision: str  # fp16 | int8
    digest: str  # sha256 of the file


def device_script(
    target: str,
    release: Release,
    candidates: Iterable[Prepared],
    *,
    shapes: str,
    max_batch: int = 1,
    dla_core: int | None = None,
) -> str:
    """POSIX shell that checks the files, builds an engine from each with trtexec, and times it.

    Args:
        shapes: of the network's input, as trtexec wants them: ``image:1x3x224x224``.
        max_batch: the most samples at once that engines take.
        dla_core: the deep-learning accelerator the engines are for; None: the GPU.
    """
    rows = [" ".join(_plain(text) for text in (item.name, item.precision, item.digest)) for item in candidates]
    command = trtexec.command(
        release,
        FILES,
        precision=None,
        shapes=shapes,
        max_batch=max_batch,
        workspace_mb="$workspace",
        trtexec="$trtexec",
    )
    texts = {
        "TARGET": re.sub(r"[^\w.-]", "_", target),  # of the user's choice, and only told in a comment
        "EDGETUNE": __version__,
        "VERSION": release.name,
        "FAMILY": str(release.family),
        "JETPACK_TRTEXEC": JETPACK_TRTEXEC,
    }
    blocks = {
        "CANDIDATES": "\n".join(rows),
        "PRECISIONS": "\n".join(
            f"    {precision}) set -- {' '.join(trtexec.precision_flags(release, precision, dla_core))} ;;".replace(
                "--  ;;", "-- ;;"
            )
            for precision in trtexec.PRECISION_FLAGS[release.family]
        ),
        "COMMAND": " \\\n        ".join(_quoted(argument) for argument in command),
    }
    script = files("edgetune.backends").joinpath(NAME).read_text(encoding="utf-8")
    for key, value in {**texts, **blocks}.items():
        script = script.replace(f"@{key}@", value)
    return script


def _plain(text: str) -> str:
    assert PLAIN.fullmatch(text), f"{text!r} in a shell script"
    return text


def _quoted(argument: str) -> str:
    assert QUOTABLE.fullmatch(argument), f"{argument!r} in a shell script"
    return f'"{argument}"'
