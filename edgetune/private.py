"""What goes into a report goes to other people: no passwords, no keys, no one's user name, no one's folders.

Numbers, labels and relative paths stay as they are. Texts of samples and pictures are the data itself and are not
looked at.
"""

import os
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

AS_THEY_ARE = frozenset({"text", "thumbnail"})  # keys whose values are the data itself
HOMES = (("home",), ("Users",))  # folders of folders of users
GONE = "***"
SHORTEST_SECRET = 8  # characters: shorter values of variables would blot out plain words
SECRET_NAME = re.compile(r"(?i)(^|_)(password|passwd|secret|token|credentials?|api_?key|access_?key\w*)(_|$)")
ASSIGNED = re.compile(
    r"(?i)\b([\w-]*(?:password|passwd|secret|token|api_?key|access_?key|signature)\s*=\s*)[^\s&;,'\"]+"
)
USER_OF_URL = re.compile(r"\b([A-Za-z][A-Za-z0-9+.-]*://)[^/\s@'\"]+@")
# From a root, with at least one folder; what follows a letter, a dot or a slash is part of a URL or a relative path.
POSIX = re.compile(r"(?<![\w.~/*\])-])(?:file://)?/(?:[^\s/'\"<>|:;,()\[\]{}]+/)+[^\s/'\"<>|:;,()\[\]{}]*")
LOCAL_URL = re.compile(r"\b([A-Za-z][A-Za-z0-9+.-]*:///)/?[^\s/'\"][^\s'\"]*")  # no host: a file here
HOME = re.compile(r"(?<![\w./])~[\w.-]*/[^\s'\"<>|:;,()\[\]{}]*")
WINDOWS = re.compile(r"(?<![\w])(?:[A-Za-z]:|\\)\\(?:[^\s\\'\"<>|:;,]+\\)*[^\s\\'\"<>|:;,]*")


def cleaned(value: Any) -> Any:
    """Plain data (mappings, lists, strings, numbers) with every string, keys included, as ``cleaned_text`` has it."""
    if isinstance(value, str):
        return cleaned_text(value)
    if isinstance(value, Mapping):
        return {
            cleaned(key): item if key in AS_THEY_ARE and isinstance(item, str) else cleaned(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [cleaned(item) for item in value]
    return value


def cleaned_text(text: str) -> str:
    """Without values of secret variables, users and passwords in addresses, and all of an absolute path but its end."""
    for secret in _secrets():
        text = text.replace(secret, GONE)
    if "=" in text:
        text = ASSIGNED.sub(rf"\1{GONE}", text)
    if "://" in text:
        text = USER_OF_URL.sub(r"\1", text)
        text = LOCAL_URL.sub(lambda match: match[1] + match[0].rstrip("/").rpartition("/")[2], text)
    if "/" in text:
        text = text.replace(f"{Path.home()}/", "~/")  # its name may hold spaces
        text = POSIX.sub(lambda match: _end(PurePosixPath(match[0])), text)
        text = HOME.sub(lambda match: _end(PurePosixPath(match[0])), text)
    if "\\" in text:
        text = WINDOWS.sub(lambda match: _end(PureWindowsPath(match[0])), text)
    return text


def _end(path: PurePosixPath | PureWindowsPath) -> str:
    """The last part, but of a folder that is called after its user."""
    return "~" if len(path.parts) <= 3 and path.parts[1:2] in HOMES else path.name or "..."


def _secrets() -> tuple[str, ...]:
    return _secret_values(tuple(os.environ.items()))


@cache
def _secret_values(environment: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """Values of variables that are named like secrets, the longest first: one may be part of another."""
    found = {value for name, value in environment if SECRET_NAME.search(name) and len(value) >= SHORTEST_SECRET}
    return tuple(sorted(found, key=lambda value: (-len(value), value)))
