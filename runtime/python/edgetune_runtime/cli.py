"""``edgetune-run BUNDLE IMAGE...`` or ``edgetune-run BUNDLE TEXT...``: what it is, on this device."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Iterator

from edgetune_runtime import __version__
from edgetune_runtime.errors import RuntimeProblem
from edgetune_runtime.visible import visible

SAMPLE = "a picture's path; for a text bundle, a text; - is standard input, one of these a line"


def main(arguments: list[str] | None = None) -> None:
    """Entry point; returns, or exits with 2 for a bad bundle, picture or option, with 130 after Ctrl-C."""
    options = _parse(arguments)
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors="surrogateescape")  # as paths and texts of the command line
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a label must not fail on a terminal's encoding
    try:
        _run(options)
        sys.stdout.flush()
    except RuntimeProblem as problem:
        print(f"error: {visible(str(problem))}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # `| head` has seen enough; Python's own flush at exit must not complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        sys.exit(130)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="edgetune-run",
        description="Run a bundle made by edgetune on pictures, or on texts.",
        epilog="example: edgetune-run bundles/x86-cpu photo.jpg",
    )
    parser.add_argument("bundle", metavar="BUNDLE", help="folder or .tar")
    parser.add_argument(
        "samples",
        nargs="+",
        metavar="SAMPLE",
        help=SAMPLE,
    )
    parser.add_argument("--top", type=_positive, default=5, help="labels to show (default: 5)")
    parser.add_argument("--threads", type=_positive, help="of one inference (default: as measured)")
    parser.add_argument("--json", action="store_true", help="one JSON object a sample")
    parser.add_argument("--version", action="version", version="%(prog)s " + __version__)
    return parser.parse_args(arguments)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a number of 1 or more")
    return int(text)


def _each(samples: list[str]) -> Iterator[str]:
    """The samples named, and for each ``-`` the lines of standard input that are not empty, as they come."""
    for sample in samples:
        if sample != "-":
            yield sample
            continue
        for line in sys.stdin:
            if line.strip():
                yield line.rstrip("\r\n")


def _run(options: argparse.Namespace) -> None:
    from edgetune_runtime.engine import Engine  # after parsing: --help must not wait for onnxruntime

    with Engine.open(options.bundle, threads=options.threads) as engine:
        kind = engine.manifest["preprocessing"].get("kind", "image")
        for sample in _each(options.samples):
            best = engine.predict(sample, top=options.top)
            if options.json:
                rows = [{"label": label, "probability": probability} for label, probability in best]
                print(json.dumps({kind: sample, "predictions": rows}))
            else:
                print(_on_one_line(sample))
                for label, probability in best:
                    print(f"  {probability:6.1%}  {_on_one_line(label)}")


def _on_one_line(text: str) -> str:
    return visible(text).replace("\n", "\\n")


if __name__ == "__main__":
    main()
