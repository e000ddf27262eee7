"""``python -m edgetune.demo FOLDER``: write the demo's digits, checkpoint and recipe."""

import argparse
import sys
from pathlib import Path

from edgetune.demo.recipe import write_demo
from edgetune.errors import EdgetuneError


def main() -> None:
    """Entry point; exits as the command line does."""
    parser = argparse.ArgumentParser(prog="python -m edgetune.demo", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    try:
        recipe = write_demo(parser.parse_args().folder)
    except EdgetuneError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
    sys.stdout.write(f"{recipe}\n")


if __name__ == "__main__":
    main()
