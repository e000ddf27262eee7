"""Names and labels of strangers on a terminal: what would steer it is shown, not obeyed."""

import re

# Control characters but for tab and newline, what turns or breaks lines in Unicode, and halves of surrogate pairs
# (names of files that are not UTF-8).
_STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def visible(text: str) -> str:
    r"""``text`` with such characters written as Python writes them: ``\x1b`` for the escape character."""
    return _STEERING.sub(lambda match: match.group().encode("unicode_escape", "surrogatepass").decode("ascii"), text)
