"""Whether the Hugging Face hub answers: without a network its library tries for forty seconds and prints each try."""

import functools
from pathlib import Path
from typing import Any

SECONDS = 5.0


def access(source: str) -> dict[str, Any]:
    """More arguments of ``from_pretrained``: to look on this machine alone where the hub does not answer."""
    return {} if Path(source).is_dir() or answers() else {"local_files_only": True}


@functools.cache
def answers() -> bool:
    """Whether the hub (``HF_ENDPOINT``) answers at all, through whatever proxy the environment names; asked once."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session  # type: ignore[attr-defined]

    if constants.HF_HUB_OFFLINE:
        return False
    try:
        get_session().head(constants.ENDPOINT, timeout=SECONDS)
    except Exception:  # noqa: BLE001 - requests' or httpx's, by the release of the library
        return False
    return True
