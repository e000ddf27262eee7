"""What a training's curves say: whether the network fits too little, too much, or was trained to its end."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

RISE = 0.05  # of the validation loss above its lowest, relative, from which one speaks of overfitting
STILL_FALLING = 0.02  # of the validation loss over the last quarter of the epochs, relative
FEWEST = 4  # epochs that a curve needs to be judged
LEARNED = 0.98  # of the loss of guessing, below which something was learned
LUCK = 0.02  # of accuracy above the largest class's share
BLOWN_UP = 1.2  # times the loss of guessing; a fresh head begins near 1


def fit_verdict(history: Sequence[Mapping[str, Any]], counts: Sequence[int] = (), step: str = "finetune") -> str | None:
    """One sentence on the curves of a training step, or None: there is none, or losses are missing.

    Args:
        history: rows of the report's ``history``.
        counts: training samples of each class, by which one knows the loss of guessing.
    """
    rows = [row for row in history if row["step"] == step]
    if not rows or any(row.get(key) is None for row in rows for key in ("train_loss", "val_loss")):
        return None
    if len(rows) < FEWEST:
        epochs = f"{len(rows)} epoch{'s' if len(rows) > 1 else ''}"
        return f"{epochs.capitalize()}: too few to tell under- from overfitting."
    validation, training = ([float(row[key]) for row in rows] for key in ("val_loss", "train_loss"))
    guess = _loss_of_guessing(counts)
    if guess is not None and min(validation) > LEARNED * guess and min(training) < LEARNED * guess:
        return (
            f"Overfitting from the start: the training loss fell to {min(training):.3f}, while on validation it never "
            f"came below that of guessing ({guess:.2f}); what was learned does not carry over. More samples, "
            '`strategy = "auto"` or a network pretrained on what is more alike may help.'
        )
    lowest = min(range(len(rows)), key=lambda i: validation[i])
    if validation[-1] > (1 + RISE) * validation[lowest] and training[-1] < training[lowest]:
        rose = (
            f"from epoch {rows[lowest]['epoch']} on the validation loss rose from {validation[lowest]:.3f} to "
            f"{validation[-1]:.3f} while the training loss fell"
        )
        accuracies = [float(row["val_accuracy"]) for row in rows[lowest:]]
        if accuracies[-1] > accuracies[0]:
            return (
                f"Overconfident: {rose}, yet accuracy rose as well, from {accuracies[0]:.1%} to {accuracies[-1]:.1%}: "
                "more answers are right, and the wrong ones are surer. The bundle's temperature corrects for that."
            )
        return (
            f"Overfitting: {rose}; the best epoch's weights are kept. Stronger augmentation, more weight decay or "
            "fewer epochs may help."
        )
    earlier = min(validation[: len(rows) - max(1, len(rows) // 4)])
    if lowest == len(rows) - 1 and validation[-1] < (1 - STILL_FALLING) * earlier:
        return (
            f"Underfitting: the validation loss was still falling at the last epoch (from {earlier:.3f} to "
            f"{validation[-1]:.3f} over the last quarter): more epochs or a higher rate may help."
        )
    return "The validation loss had settled when training ended: neither under- nor overfitting shows in the curves."


def _loss_of_guessing(counts: Sequence[int]) -> float | None:
    """Cross-entropy, in nats, of always answering with the classes' shares; None: fewer than two classes."""
    shares = [count / sum(counts) for count in counts if count]
    return -sum(share * math.log(share) for share in shares) if len(shares) > 1 else None


def rate_verdict(
    history: Sequence[Mapping[str, Any]], counts: Sequence[int], rate: float, step: str = "finetune"
) -> str | None:
    """One sentence if training ended where guessing begins, with the learning rate that did it; else None.

    A rate far too high spoils a network without a NaN: outputs explode once, and what is left answers one class.

    Args:
        history: rows of the report's ``history``.
        counts: training samples of each class.
    """
    rows = [row for row in history if row["step"] == step]
    shares = [count / sum(counts) for count in counts if count]
    guess = _loss_of_guessing(counts)
    if guess is None or not rows or any(row.get(key) is None for row in rows for key in ("train_loss", "val_loss")):
        return None
    lowest = min(min(float(row["val_loss"]) for row in rows), float(rows[-1]["train_loss"]))
    if lowest < LEARNED * guess or max(float(row["val_accuracy"]) for row in rows) > max(shares) + LUCK:
        return None
    worst = max(float(row[key]) for row in rows for key in ("train_loss", "val_loss"))
    if worst > BLOWN_UP * guess:
        return (
            f"The training diverged: at the learning rate {rate:g} the loss rose to {worst:.3g}, and it ended no lower "
            f"than that of guessing ({guess:.2f}), so that the network has learned nothing. `edgetune lr-find` "
            "suggests a rate."
        )
    return (
        f"The network has learned nothing: at the learning rate {rate:g} the loss stayed at that of guessing "
        f"({guess:.2f}). The rate is much too high or much too low, or the training too short: `edgetune lr-find` "
        "suggests a rate."
    )
