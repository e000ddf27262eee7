"""The model card of a folder for the hub: what the hub indexes, and the text people read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from edgetune.data.licence import Licence
from edgetune.report import gate_words, numbers
from edgetune.report.machine import STATES, known_names
from edgetune.report.markdown import escape, render_markdown, table
from edgetune.report.view import Json

LIBRARIES = ("torchvision", "timm", "transformers")  # before the slash of a network's name
UNKNOWN = "unknown"  # one of the hub's identifiers of licences
METRICS = {
    "accuracy": ("accuracy", "Accuracy"),
    "f1_macro": ("f1", "F1, mean over classes"),
    "precision_macro": ("precision", "Precision, mean over classes"),
    "recall_macro": ("recall", "Recall, mean over classes"),
}
TEXT = """# {name}

Engines made and measured by edgetune. Accuracy is that of the compiled engine on a held-out test split, latency that
of the device named below; what was not measured has no number.

{engines}
{failed}
## How to use it

Each folder under `bundles/` holds an engine with its labels, preprocessing and golden samples. It needs numpy, an
inference library and the small package edgetune-runtime, which lies in `runtime/python` of edgetune's sources:

```sh
pip install ./runtime/python[{extra}]
edgetune-run bundles/{target} {sample}
```

## What it is for, and what not

It tells {labels} classes apart: {names}. Anything else is put into one of these, too. It was judged on data like those
it learned from; on others it may be wrong more often, and its probabilities say nothing about that.

## Where it comes from

{origin}

## The report of the build

{report}"""


def card(data: Json, shipped: list[Json], repository: str, licence: str = UNKNOWN) -> ModelCard:
    """The model card: metadata with results of the engines that ship, then the report in Markdown."""
    text = str(data["recipe"]["model"]["name"]).startswith("transformers/")
    labels = [str(label) for label in data["dataset"]["labels"]]
    metadata = ModelCardData(
        model_name=repository.rpartition("/")[2],
        license=licence,
        base_model=base_model(data["recipe"]["model"]),
        library_name="onnx",
        pipeline_tag=_task(text=text),
        tags=["edgetune", "onnx", *dict.fromkeys(str(target["target"]) for target in shipped)],
        eval_results=list(_results(data, shipped, text=text)) or None,
    )
    body = TEXT.format(
        name=repository.rpartition("/")[2],
        engines=_engines(shipped),
        failed="".join(f"\n**{line}**\n" for line in map(escape, failed_gates(data, shipped))),
        extra="text" if text else "image",
        target=shipped[0]["target"],
        sample='"some text"' if text else "photo.jpg",
        labels=len(labels),
        names=escape(", ".join(labels[:20])) + (", ..." if len(labels) > 20 else ""),
        origin="\n".join(f"- {sentence}" for sentence in _origin(data, licence)),
        report=render_markdown(_told_elsewhere(data))
        .replace("\n#", "\n##")
        .removeprefix("# ")
        .partition("\n")[2]
        .strip(),
    )
    return ModelCard(f"---\n{metadata.to_yaml()}\n---\n\n{body}\n")


def failed_gates(data: Json, shipped: list[Json]) -> list[str]:
    """A sentence for each target whose engine ships though it failed a gate."""
    told = [(target["target"], gate_words.failures(data, target["target"])) for target in shipped]
    return [f"this engine failed its gate: {name}: {'; '.join(failed)}" for name, failed in told if failed]


def _told_elsewhere(data: Json) -> Json:
    """The report without what only the maker's machine knows: its commands, and its state while it measured."""
    targets = [
        {**target, "device": device and {key: value for key, value in device.items() if key not in STATES}}
        for target in data["targets"]
        for device in [target.get("device")]
    ]
    return {**data, "targets": targets, "next_commands": []}


def base_model(model: Json) -> str | None:
    """The hub's name of the network that was fine-tuned; None where its weights are not of the hub, or nobody knows."""
    library, _, name = str(model["name"]).partition("/")
    if model.get("weights") or not model.get("pretrained", True):
        return None
    if library == "transformers":
        return name
    if library == "timm":
        try:
            from timm.models import get_pretrained_cfg
        except ImportError:  # an extra, and the run may be of another machine
            return None
        found = get_pretrained_cfg(name)
        return str(found.hf_hub_id) if found is not None and found.hf_hub_id else None
    return None


def _task(*, text: bool) -> str:
    return "text-classification" if text else "image-classification"


def _shipped(target: Json) -> Json | None:
    """The engine of a target that ships."""
    engines = [*target["candidates"], *([target["baseline"]] if target["baseline"] else [])]
    return next((one for one in engines if one["name"] == target["chosen"]), None)


def _device(target: Json) -> str:
    return " ".join(known_names(target.get("device") or {})) or "device not told"


def _engines(shipped: list[Json]) -> str:
    """What ships, a line for a target, in Markdown."""
    rows = []
    for target in shipped:
        engine = _shipped(target) or {}
        rows.append(
            (
                target["target"],
                target["chosen"],
                numbers.percent((engine.get("metrics") or {}).get("accuracy")),
                numbers.milliseconds((engine.get("latency_ms") or {}).get("p50")),
                numbers.speedup(engine.get("speedup")),
                numbers.size(engine.get("size_bytes")),
                _device(target),
            )
        )
    header = ("target", "engine", "accuracy", "median latency", "speed-up over float", "size", "device")
    return table(header, [tuple(escape(cell) for cell in row) for row in rows], numeric_from=2)


def _origin(data: Json, licence: str) -> Iterator[str]:
    """Sentences on the network, the data and the licences of both; what is not known is said."""
    model, dataset = data["recipe"]["model"], data["dataset"]
    name, own = escape(model["name"]), str(model["name"]).partition("/")[0] not in LIBRARIES
    name = f"the maker's own ({name}, whose code is not part of this repository)" if own else name
    if own and not model.get("weights"):
        yield f"The network is {name}, trained from what its code begins with: random weights, unless it loads others."
    elif not model.get("pretrained", True) and not model.get("weights"):
        yield f"The network is {name}, trained from random weights."
    elif model.get("weights"):
        yield f"The network is {name}, fine-tuned from weights of the maker's own; where those come from was not noted."
    else:
        yield f"The network is {name}, fine-tuned from the weights which that library loads for it."
    counts = {split: sum(classes.values()) for split, classes in dataset["counts"].items()}
    told = ", ".join(f"{count:,} for {split}" for split, count in counts.items())
    yield f"The data are {escape(_dataset_name(data))}: {told}; they are not part of this repository."
    if (found := dataset.get("licence")) is None:
        yield "Their licence was not looked for."
    else:
        yield f"Their licence: {escape(Licence(files=tuple(found['files']), spdx=found['spdx']).told)}."
    if licence == UNKNOWN:
        yield (
            "The engines' licence is unknown: edgetune cannot tell what the licences of network and data allow. "
            "Who publishes them decides, and says it with `--license`."
        )
    else:
        yield f"The engines' licence is {escape(licence)}, as whoever uploaded them says."


def _dataset_name(data: Json) -> str:
    return Path(str(data["recipe"]["data"]["path"])).name


def _results(data: Json, shipped: list[Json], *, text: bool) -> Iterator[EvalResult]:
    """Entries of the model-index. Latency and size are of no split, so they stand in an entry of their own."""
    common: dict[str, Any] = {
        "task_type": _task(text=text),
        "dataset_type": "custom",
        "dataset_name": _dataset_name(data),
    }
    for target in shipped:
        engine, of = _shipped(target) or {}, f"{target['chosen']} on {target['target']}"
        for key, (kind, name) in METRICS.items():
            if (value := (engine.get("metrics") or {}).get(key)) is not None:
                yield EvalResult(
                    **common, dataset_split="test", metric_type=kind, metric_value=value, metric_name=f"{name} ({of})"
                )
        costs = {
            "latency": ("Median latency, ms", (engine.get("latency_ms") or {}).get("p50"), f"{of}, {_device(target)}"),
            "size": ("Size of the engine, bytes", engine.get("size_bytes"), of),
        }
        for kind, (name, value, which) in costs.items():
            if value is not None:
                yield EvalResult(**common, metric_type=kind, metric_value=value, metric_name=f"{name} ({which})")
