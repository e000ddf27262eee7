"""How samples are told of: counted, and shown in short."""

from textwrap import shorten

LONGEST_SHOWN = 60  # letters of a text among the examples


def shortened(text: str | None) -> str:
    """A text in quotes and on one line, its beginning if it is long."""
    return f'"{shorten(text or "", LONGEST_SHOWN, placeholder="...")}"'


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """1 file, 2 files."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
