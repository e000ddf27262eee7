"""``python -m edgetune``."""

from edgetune.cli import main

main()
