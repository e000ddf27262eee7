"""The licence of a dataset, as far as a file beside it says."""

import re
from dataclasses import dataclass
from pathlib import Path

NAMES = re.compile(r"(licen[cs]e|copying|unlicense)([-_.].*)?", re.IGNORECASE)
READ = 20_000  # letters of the file
UNKNOWN = "unknown: nothing in the data says"
# What the text of a licence begins with or holds; the narrower ones first. Names as of https://spdx.org/licenses
KNOWN = (
    ("CC0-1.0", r"CC0 1\.0 Universal|creativecommons\.org/publicdomain/zero/1\.0|\bCC0-1\.0\b"),
    ("CC-BY-NC-SA-4.0", r"Attribution-NonCommercial-ShareAlike 4\.0|\bCC[- ]BY-NC-SA[- ]4\.0\b"),
    ("CC-BY-NC-ND-4.0", r"Attribution-NonCommercial-NoDerivatives 4\.0|\bCC[- ]BY-NC-ND[- ]4\.0\b"),
    ("CC-BY-NC-4.0", r"Attribution-NonCommercial 4\.0|\bCC[- ]BY-NC[- ]4\.0\b"),
    ("CC-BY-SA-4.0", r"Attribution-ShareAlike 4\.0|\bCC[- ]BY-SA[- ]4\.0\b"),
    ("CC-BY-ND-4.0", r"Attribution-NoDerivatives 4\.0|\bCC[- ]BY-ND[- ]4\.0\b"),
    ("CC-BY-4.0", r"Attribution 4\.0 International|creativecommons\.org/licenses/by/4\.0|\bCC[- ]BY[- ]4\.0\b"),
    ("Apache-2.0", r"Apache License\s+Version 2\.0|\bApache-2\.0\b"),
    ("MIT", r"\bMIT License\b|Permission is hereby granted, free of charge, to any person"),
    ("ODbL-1.0", r"Open Database License"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Licence:
    """Names of the files that may hold a licence, and what it is by SPDX where its text is known."""

    files: tuple[str, ...]
    spdx: str | None

    @property
    def told(self) -> str:
        """In words: unknown, where nothing says."""
        if not self.files:
            return UNKNOWN
        kind = self.spdx or "not recognised, read it"
        return f"{', '.join(self.files)} beside the data ({kind})"

    @property
    def spdx_url(self) -> str | None:
        """The page of a licence that was recognised."""
        return f"https://spdx.org/licenses/{self.spdx}.html" if self.spdx else None


def find_licence(data: Path) -> Licence:
    """Look at the files beside the samples: in the dataset's folder, or that of its file."""
    folder = data if data.is_dir() else data.parent
    try:
        files = sorted(path for path in folder.iterdir() if NAMES.fullmatch(path.name) and path.is_file())
        kinds = {_kind(path) for path in files}
    except OSError:
        return Licence(files=(), spdx=None)
    return Licence(files=tuple(path.name for path in files), spdx=kinds.pop() if len(kinds) == 1 else None)


def _kind(path: Path) -> str | None:
    text = path.read_bytes()[:READ].decode("utf-8", "replace")
    found = [(match.start(), name) for name, pattern in KNOWN if (match := re.search(pattern, text, re.IGNORECASE))]
    return min(found)[1] if found else None
