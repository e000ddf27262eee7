"""A folder for a model hub in Hugging Face's format: a model card, the bundles, and the report."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from edgetune.errors import InputError, ReportError
from edgetune.report.hub_card import UNKNOWN, card, failed_gates

FOLDER = "hub"  # in the run's folder
MARK = ".edgetune-hub"  # in that folder: we wrote it and may write it anew
LICENCES = "https://huggingface.co/docs/hub/repositories-licenses"
LICENCE = re.compile(
    r"[a-z0-9][a-z0-9.-]{0,62}"
)  # as the hub's identifiers are written; which there are it says itself


def prepare(folder: Path, repository: str, *, licence: str | None = None) -> dict[str, Any]:
    """Write the folder ``hub`` of the run in ``folder``; returns its path and what would be uploaded.

    Args:
        licence: of the engines, by the hub's identifier; None: unknown.

    Raises:
        InputError: a name that no repository or licence can have, a run without a bundle, or other files where the
            folder goes.
    """
    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise InputError(f'"{repository}" is no name of a repository: {error}', hint="write OWNER/NAME") from error
    licence = UNKNOWN if licence is None else licence
    if not LICENCE.fullmatch(licence):
        raise InputError(f'"{licence}" is no identifier of a licence', hint=f"write one of {LICENCES}")
    data = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    shipped = [target for target in data["targets"] if target.get("bundle") and (folder / target["bundle"]).is_dir()]
    if not shipped:
        raise InputError(
            "this run has no bundle to hand on", hint="build a target whose engines run here, or on --device"
        )
    place = folder / FOLDER
    if place.exists() and not (place / MARK).exists():
        raise InputError(f"{place} holds files that edgetune did not write; nothing was changed")
    shutil.rmtree(place, ignore_errors=True)
    (place / "bundles").mkdir(parents=True)
    (place / MARK).touch()
    for target in shipped:
        shutil.copytree(folder / target["bundle"], place / "bundles" / target["target"])
    for name in ("report.html", "report.json"):
        shutil.copyfile(folder / name, place / name)
    (place / "README.md").write_text(card(data, shipped, repository, licence).content, encoding="utf-8")
    files = sorted(path for path in place.rglob("*") if path.is_file() and path.name != MARK)
    return {
        "folder": str(place),
        "repository": repository,
        "failed_gates": failed_gates(data, shipped),
        "files": [{"name": path.relative_to(place).as_posix(), "bytes": path.stat().st_size} for path in files],
    }


def upload(prepared: Mapping[str, Any], *, public: bool) -> dict[str, Any]:
    """Upload the prepared folder, into a new private repository unless it is to be public, or one that is there.

    Returns:
        ``url`` of the repository, and whether it is ``private``.

    Raises:
        InputError: without ``public``, a repository that everybody can see: nothing is uploaded.
        ReportError: no token, no network, or the hub refuses.
    """
    api, name = HfApi(), prepared["repository"]
    try:
        private = _visibility(api, name)
        if private is None:
            api.create_repo(name, private=not public)
            private = _visibility(api, name)  # as the hub has it now, whatever an organisation's rules make of it
        if not private and not public:
            raise InputError(
                f"everybody can see {name} on the hub; nothing was uploaded",
                hint="add --public if they may see this, too; else name another repository, which will be private",
            )
        api.upload_folder(
            repo_id=name, folder_path=prepared["folder"], ignore_patterns=[MARK], commit_message="Upload by edgetune"
        )
    except (HfHubHTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled, OSError, ValueError) as error:
        raise ReportError(  # ValueError: the hub finds the card's metadata wrong
            f"the hub did not take {name}: {' '.join(str(error).split())[:300]}",
            hint=f"log in with `hf auth login` or set HF_TOKEN, and try again; all is ready in {prepared['folder']}",
        ) from error
    return {"url": f"{api.endpoint}/{name}", "private": private}


def _visibility(api: HfApi, name: str) -> bool | None:
    """Whether the hub keeps a repository private; None: there is none, as far as this user may know."""
    try:
        return bool(api.repo_info(name).private)
    except GatedRepoError:  # it is there, for everybody who asks
        return False
    except RepositoryNotFoundError:
        return None
