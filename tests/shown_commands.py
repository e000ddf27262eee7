"""The commands that README and docs show."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROGRAMS = ("edgetune", "edgetune-run")
IN_TEXT = re.compile(r"`(edgetune(?:-run)? [a-z][^`\n]*)`")
PLACEHOLDER = re.compile(r"\[(RECIPE or DATA|RECIPE|RUN)\]")


def pages():
    """README and every guide; decision records tell how it was when they were written."""
    docs = [path for path in (ROOT / "docs").rglob("*.md") if "adr" not in path.parts]
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(docs)]


def shown(path):
    """(line, command) of the code blocks of a page, without prompts, comments and what is piped on."""
    found, fence, waiting = [], None, ""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        text = line.strip()
        if text.startswith("```"):
            fence = None if fence is not None else text[3:].strip()
            continue
        block = fence is not None or line.startswith("    ")
        if not block or (fence in ("python", "toml", "json", "cpp", "text") and not text.startswith("$ ")):
            continue
        text = waiting + text.removeprefix("$ ").removeprefix("- run: ").removeprefix("- ")
        waiting = ""
        if text.endswith("\\"):
            waiting = text[:-1]
            continue
        if text.split(" ")[0] in PROGRAMS and " ..." not in text:
            found.append((number, text.partition("  #")[0].strip()))
    return found


def python_blocks(path):
    """The code of every block of Python on a page."""
    return re.findall(r"^```python\n(.*?)^```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def named(path):
    """(line, command) of the commands in running text, such as `edgetune cache prune --keep-gb 5`."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [(number, match) for number, line in enumerate(lines, start=1) for match in IN_TEXT.findall(line)]


def words(command):
    """The arguments, without brackets around what may be left out and without the file that is read as input."""
    plain = PLACEHOLDER.sub("", command.partition(" < ")[0])
    plain = re.sub(r"\[(-[^\]]*)\]", r"\1", plain)  # [--target NAME]: given
    return shlex.split(plain.replace("...", "").replace("…", "").replace("[ssh://HOST]", "ssh://host"))
