"""Labels that are probably wrong, by what the pretrained network sees of every sample before any training."""

import base64
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from edgetune_runtime.preprocessing import open_image
from PIL import Image, ImageOps
from torch import Tensor, nn

from edgetune.data.images import eval_loader
from edgetune.data.index import SPLITS, DatasetIndex
from edgetune.data.label_errors import Suspect, doubt_labels, label_finding, unjudged
from edgetune.finetune.precision import choose_compute
from edgetune.finetune.strategies.feature_extraction import features, last_layer
from edgetune.finetune.update import to_device
from edgetune.hashing import canonical_json
from edgetune.models.checkpoint import NetworkSpec
from edgetune.records import INFO, DataFinding
from edgetune.steps.context import StepContext
from edgetune.steps.dataset import load_index
from edgetune.steps.examples import EVAL_BATCH, decoded_images
from edgetune.steps.finetune import start
from edgetune.steps.texts import load_texts

SHOWN = 48  # suspects that are drawn in the report
SIDE = 96  # pixels of a thumbnail


def run(context: StepContext) -> None:
    """Write ``label_errors.json``: findings, and the suspects with what they look like."""
    index = load_index(context)
    spec, network, head, _ = start(context)
    compute = choose_compute("fp32")
    network.to(compute.device).eval()
    seen = (
        _text_features(context, network) if spec.image_size is None else _image_features(context, spec, network, head)
    )
    if seen is None:
        content = _content([_no_head(spec.name)], [])
    else:
        found, agreement = doubt_labels(index, seen, seed=context.seed, progress=context.tick)
        findings = [*label_finding(index, found, agreement), *unjudged(index)]
        content = _content(findings, shown(index, found))
    (context.out / "label_errors.json").write_text(canonical_json(content), encoding="utf-8")


def shown(index: DatasetIndex, found: list[Suspect]) -> list[dict[str, Any]]:
    """The first suspects as plain data, each with its text or with a thumbnail as a data URI."""
    rows = []
    for suspect in found[:SHOWN]:
        sample = index.samples[suspect.sample]
        look = {"text": sample.text} if sample.text is not None else {"thumbnail": _thumbnail(index, sample.path)}
        rows.append(
            {
                "path": sample.path,
                "split": sample.split,
                "given": index.labels[suspect.given],
                "suggested": index.labels[suspect.suggested],
                "confidence": round(suspect.confidence, 4),
                **look,
            }
        )
    return rows


def _content(findings: list[DataFinding], rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"findings": [finding.to_json() for finding in findings], "suspects": rows}


def _no_head(name: str) -> DataFinding:
    return DataFinding(
        id="labels-unjudged",
        severity=INFO,
        count=1,
        problem=f"labels were not judged: the head of {name} is not one linear layer at its end",
        examples=(),
        do="look for label errors with another network",
    )


def _image_features(
    context: StepContext, spec: NetworkSpec, network: nn.Module, head: frozenset[str]
) -> np.ndarray[Any, np.dtype[np.float32]] | None:
    """What reaches the head, [N, D] in the order of the index; None: the head is not one linear layer."""
    images = decoded_images(context, int(spec.image_size or 0))
    numbers = np.concatenate([images.numbers(split) for split in SPLITS])

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for split in SPLITS:
            yield from eval_loader(images, split, batch_size=EVAL_BATCH)

    layer = last_layer(network, head, next(batches())[0])
    if layer is None:
        return None
    found = features(network, layer, batches(), context.tick).inputs.flatten(1).cpu().numpy()
    return np.asarray(found[np.argsort(numbers)])


@torch.no_grad()
def _text_features(context: StepContext, network: nn.Module) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The mean over a text's tokens of the encoder's last hidden states, [N, D] in the order of the index."""
    texts = load_texts(context)
    encoder: Any = network.encoder
    order, found = np.argsort(texts.lengths, kind="stable"), []
    for begin in range(0, len(order), EVAL_BATCH):
        ids = to_device(texts.batch(order[begin : begin + EVAL_BATCH])[0], next(network.parameters()).device)
        mask = ids.ne(texts.pad_id).long()
        states = encoder.base_model(input_ids=ids, attention_mask=mask).last_hidden_state
        found.append((states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True))
        context.tick(begin + len(ids), len(order), "features")
    return np.asarray(torch.cat(found).float().cpu().numpy()[np.argsort(order)])


def _thumbnail(index: DatasetIndex, path: str) -> str:
    with Image.open(index.root / path) as image:
        small = open_image(ImageOps.exif_transpose(image))
    small.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
