"""What is told of each answer, to whoever wants to count, log or watch: latency, queue, confidence, input."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Observation:
    """One sample's way through an engine; times in milliseconds.

    Of a batch each sample has one, with the batch's times. What was not reached is None.
    """

    latency_ms: float  # from the call (of a pipeline: from `submit`) to the answer
    waited_ms: float = 0.0  # of it in the queues of a pipeline
    preprocess_ms: float | None = None
    inference_ms: float | None = None
    queue_depth: int = 0  # samples that waited in front of the pipeline when this one came, itself among them
    batch: int = 1
    label: str | None = None
    confidence: float | None = None  # probability of ``label``
    input_level: float | None = None  # mean of what the engine was given; of a text its tokens
    error: BaseException | None = None


Hook = Callable[[Observation], object]


def observations(answer: Any, levels: list[float], **facts: Any) -> list[Observation]:
    """Of ``Engine.answer``'s result: one for each of ``levels``."""
    rows = [answer] if len(levels) == 1 else answer
    return [
        Observation(label=row[0][0], confidence=row[0][1], input_level=level, batch=len(levels), **facts)
        for row, level in zip(rows, levels)
    ]


def tell(hook: Hook, *found: Observation) -> None:
    """Call ``hook`` with each; one that raises is logged and harms no answer."""
    for one in found:
        try:
            hook(one)
        except Exception:
            logging.getLogger("edgetune_runtime").exception("the metrics hook failed")
