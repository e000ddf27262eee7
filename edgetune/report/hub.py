"""A folder for a model hub in Hugging Face's format: a model card, the bundles, and the report."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, HfApi, ModelCard, ModelCardData
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError, OfflineModeIsEnabled
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from edgetune.errors import InputError, ReportError
from edgetune.report.markdown import render_markdown
from edgetune.report.view import Json

FOLDER = "hub"  # in the run's folder
MARK = ".edgetune-hub"  # in that folder: we wrote it and may write it anew
METRICS = {
    "accuracy": ("accuracy", "Accuracy"),
    "f1_macro": ("f1", "F1, mean over classes"),
    "precision_macro": ("precision", "Precision, mean over classes"),
    "recall_macro": ("recall", "Recall, mean over classes"),
}
TEXT = """# {name}

Engines made and measured by edgetune. Accuracy is that of the compiled engine on a held-out test split, latency that
of the device named below; what was not measured has no number.

## How to use it

Each folder under `bundles/` holds an engine with its labels, preprocessing and golden samples. It needs numpy, an
inference library and the package edgetune-runtime:

```sh
edgetune-run bundles/{target} {sample}
```

## What it is for, and what not

It tells {labels} classes apart: {names}. Anything else is put into one of these, too. It was judged on data like those
it learned from; on others it may be wrong more often, and its probabilities say nothing about that.

{report}"""


def prepare(folder: Path, repository: str) -> dict[str, Any]:
    """Write the folder ``hub`` of the run in ``folder``; returns its path and what would be uploaded.

    Raises:
        InputError: a name that no repository can have, a run without a bundle, or other files where the folder goes.
    """
    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise InputError(f'"{repository}" is no name of a repository: {error}', hint="write OWNER/NAME") from error
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
    (place / "README.md").write_text(card(data, shipped, repository).content, encoding="utf-8")
    files = sorted(path for path in place.rglob("*") if path.is_file() and path.name != MARK)
    return {
        "folder": str(place),
        "repository": repository,
        "files": [{"name": path.relative_to(place).as_posix(), "bytes": path.stat().st_size} for path in files],
    }


def card(data: Json, shipped: list[Json], repository: str) -> ModelCard:
    """The model card: metadata with results of the engines that ship, then the report in Markdown."""
    text = str(data["recipe"]["model"]["name"]).startswith("transformers/")
    labels = [str(label) for label in data["dataset"]["labels"]]
    metadata = ModelCardData(
        model_name=repository.rpartition("/")[2],
        library_name="onnx",
        pipeline_tag="text-classification" if text else "image-classification",
        tags=["edgetune", "onnx", *dict.fromkeys(str(target["target"]) for target in shipped)],
        eval_results=list(_results(data, shipped, text=text)) or None,
    )
    body = TEXT.format(
        name=repository.rpartition("/")[2],
        target=shipped[0]["target"],
        sample='"some text"' if text else "photo.jpg",
        labels=len(labels),
        names=", ".join(labels[:20]) + (", ..." if len(labels) > 20 else ""),
        report=render_markdown(data).replace("\n#", "\n##").removeprefix("# ").partition("\n")[2].strip(),
    )
    return ModelCard(f"---\n{metadata.to_yaml()}\n---\n\n{body}\n")


def _results(data: Json, shipped: list[Json], *, text: bool) -> Iterator[EvalResult]:
    for target in shipped:
        engines = [*target["candidates"], *([target["baseline"]] if target["baseline"] else [])]
        engine = next((one for one in engines if one["name"] == target["chosen"]), None)
        for key, (kind, name) in METRICS.items():
            value = ((engine or {}).get("metrics") or {}).get(key)
            if value is not None:
                yield EvalResult(
                    task_type="text-classification" if text else "image-classification",
                    dataset_type="custom",
                    dataset_name=Path(str(data["recipe"]["data"]["path"])).name,
                    dataset_split="test",
                    metric_type=kind,
                    metric_value=value,
                    metric_name=f"{name} ({target['chosen']} on {target['target']})",
                )


def upload(prepared: Mapping[str, Any], *, public: bool) -> str:
    """Upload the prepared folder, into a repository that is made private unless it is to be public; returns its URL.

    Raises:
        ReportError: no token, no network, or the hub refuses.
    """
    api = HfApi()
    try:
        url = api.create_repo(prepared["repository"], private=not public, exist_ok=True)
        api.upload_folder(
            repo_id=prepared["repository"],
            folder_path=prepared["folder"],
            ignore_patterns=[MARK],
            commit_message="Upload by edgetune",
        )
    except (HfHubHTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled, OSError) as error:
        raise ReportError(
            f"the hub did not take {prepared['repository']}: {' '.join(str(error).split())[:300]}",
            hint=f"log in with `hf auth login` or set HF_TOKEN, and try again; all is ready in {prepared['folder']}",
        ) from error
    return str(url)
