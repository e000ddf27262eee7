"""``edgetune-run BUNDLE IMAGE...``: what is in the picture, on this device."""

from __future__ import annotations

import argparse
import json
import os
import sys

from edgetune_runtime import __version__
from edgetune_runtime.errors import RuntimeProblem


def main(arguments: list[str] | None = None) -> None:
    """Entry point; exits with 0, or 2 for a bad bundle, picture or option."""
    parser = argparse.ArgumentParser(
        prog="edgetune-run",
        description="Run a bundle made by edgetune on pictures.",
        epilog="example: edgetune-run bundles/x86-cpu photo.jpg",
    )
    parser.add_argument("bundle", help="folder or .tar")
    parser.add_argument("images", nargs="+", metavar="IMAGE")
    parser.add_argument("--top", type=int, default=5, help="labels to show (default: 5)")
    parser.add_argument("--threads", type=int, help="of one inference (default: as measured)")
    parser.add_argument("--json", action="store_true", help="one JSON object a picture")
    parser.add_argument("--version", action="version", version="%(prog)s " + __version__)
    options = parser.parse_args(arguments)
    if options.top < 1 or (options.threads is not None and options.threads < 1):
        parser.error("--top and --threads must be 1 or more")
    try:
        _run(options)
    except RuntimeProblem as problem:
        print("error: {}".format(problem), file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(options: argparse.Namespace) -> None:
    from edgetune_runtime.engine import Engine  # after parsing: --help must not wait for onnxruntime

    with Engine.open(options.bundle, threads=options.threads) as engine:
        for path in options.images:
            best = engine.predict(path, top=options.top)
            if options.json:
                rows = [{"label": label, "probability": probability} for label, probability in best]
                print(json.dumps({"image": path, "predictions": rows}))
            else:
                print(path)
                for label, probability in best:
                    print("  {:6.1%}  {}".format(probability, label))


if __name__ == "__main__":
    main()
