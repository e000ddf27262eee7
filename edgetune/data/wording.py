"""How samples and labels are told of: counted, shown in short, and told apart."""

import unicodedata
from textwrap import shorten

LONGEST_SHOWN = 60  # letters of a text among the examples


def shortened(text: str | None) -> str:
    """A text in quotes and on one line, its beginning if it is long."""
    return f'"{shorten(text or "", LONGEST_SHOWN, placeholder="...")}"'


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """1 file, 2 files."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def quoted(label: str) -> str:
    """A label in quotes; what cannot be seen in it as its code."""
    return f'"{(repr if unicodedata.is_normalized("NFC", label) else ascii)(label)[1:-1]}"'


def told_apart(label: str) -> str:
    """A label as it is, or quoted where it could be taken for another: by its spaces, or letters in other codes."""
    usual = " ".join(label.split()) == label and label.isprintable() and unicodedata.is_normalized("NFC", label)
    return label if usual else quoted(label)
