"""The backbone stays as it is; only a linear head is fitted, to features computed once.

Every training and validation image goes through the network once, as the device sees it (no augmentation, norms
in eval mode). The head is then multinomial logistic regression by L-BFGS on the features in memory, along a path
of L2 strengths from strong to weak, each starting from the one before; validation chooses. So there is no learning
rate and there are no epochs: a row of the history is one strength.
"""

import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from edgetune.errors import TrainingError
from edgetune.finetune.options import Batches, Examples, Trained, TrainOptions
from edgetune.finetune.precision import choose_compute
from edgetune.finetune.trainer import train
from edgetune.finetune.update import Loss, to_device
from edgetune.progress import Tick
from edgetune.tasks.image_classification import correct, logits_of

STRENGTHS = (
    1.0,
    0.1,
    0.01,
    1e-3,
    1e-4,
    1e-5,
)  # of the L2 penalty on features of mean 0 and mean variance 1, beside the mean loss
ITERATIONS = 60  # of L-BFGS for each strength


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """What the head sees of a split: float32 [N, D] and int64 [N]."""

    inputs: Tensor
    labels: Tensor


def learn(
    network: nn.Module,
    options: TrainOptions,
    examples: Examples,
    loss: Loss,
    scratch: Path,
    tick: Tick,
    head: frozenset[str] = frozenset(),
) -> Trained:
    """Fit the head of ``network`` in place; arguments and errors as of ``trainer.train``.

    A head that is not one linear layer at the very end (SqueezeNet's) is trained by the loop instead, with the
    backbone frozen: ``Trained.strategy`` then says "partial".
    """
    started = time.perf_counter()
    compute = choose_compute("fp32")
    network.to(compute.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    layer = last_layer(network, head, next(iter(examples.validation()))[0])
    if layer is None:
        return train(network, replace(options, strategy="partial", stages=0), examples, loss, scratch, tick, head)
    training = features(network, layer, examples.plain(), tick)
    validation = features(network, layer, examples.validation(), tick)
    history = fit(layer, training, validation, loss, started)
    best = max(history, key=_goodness)
    return Trained(
        history=history,
        best_epoch=int(best["epoch"]),
        precision="fp32",
        device=compute.device.type,
        retried=False,
        strategy=options.strategy,
    )


def last_layer(network: nn.Module, head: frozenset[str], example: Tensor) -> nn.Linear | None:
    """The linear layer (with a bias) whose outputs are the network's logits; None when its head is something else.

    Args:
        example: a batch the network takes.
    """
    names = {key.rpartition(".")[0] for key in head}
    modules = dict(network.named_modules())
    linear = {name: m for name, m in modules.items() if isinstance(m, nn.Linear) and m.bias is not None}
    candidates = [m for name, m in linear.items() if name in names or not names]
    outputs: dict[nn.Linear, Tensor] = {}
    hooks = [m.register_forward_hook(lambda layer, _, out: outputs.update({layer: out})) for m in candidates]
    try:
        logits = logits_of(_forward(network, example))
    finally:
        for hook in hooks:
            hook.remove()
    same = (layer for layer, out in outputs.items() if torch.equal(out.nan_to_num(), logits.nan_to_num()))
    return next(same, None)


def features(network: nn.Module, layer: nn.Linear, batches: Batches, tick: Tick) -> Features:
    """What reaches ``layer``, for every sample.

    Raises:
        TrainingError: a feature is not finite.
    """
    inputs: list[Tensor] = []
    labels: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, arguments: inputs.append(arguments[0].detach().float()))
    try:
        for images, truth in batches:
            _forward(network, images)
            labels.append(truth.to(layer.weight.device))
            tick(sum(map(len, labels)), 0, "features")
    finally:
        hook.remove()
    found = Features(inputs=torch.cat(inputs), labels=torch.cat(labels))
    if not torch.isfinite(found.inputs).all():
        raise TrainingError(
            "the network's features are NaN or infinite", hint="check the weights file, or look for broken images"
        )
    return found


@torch.no_grad()
def _forward(network: nn.Module, images: Tensor) -> object:
    return network(to_device(images, next(network.parameters()).device))


def fit(
    layer: nn.Linear, training: Features, validation: Features, loss: Loss, started: float
) -> list[dict[str, float]]:
    """Give ``layer`` the weights that are best on validation; returns a row for each strength tried.

    All features are divided by one scale. Each by its own deviation would blow up those that hardly ever speak, of
    which small pictures leave many: that costs up to 10 points (``benchmarks/feature_scaling.py``).
    """
    mean = training.inputs.mean(0)
    scale = (training.inputs - mean).square().mean().sqrt()
    scale = torch.where(scale > 0, scale, 1.0)  # where all features are constant
    scaled = nn.Linear(layer.in_features, layer.out_features, device=layer.weight.device)
    nn.init.zeros_(scaled.weight)
    nn.init.zeros_(scaled.bias)
    train_inputs, val_inputs = (training.inputs - mean) / scale, (validation.inputs - mean) / scale
    history: list[dict[str, float]] = []
    best: dict[str, Tensor] = {}
    for number, strength in enumerate(STRENGTHS, start=1):
        train_loss = _minimise(scaled, train_inputs, training.labels, loss, strength)
        right, val_loss = correct(scaled, val_inputs, validation.labels)
        count = len(validation.labels)
        history.append(
            {
                "epoch": number,
                "l2": strength,
                "train_loss": train_loss,
                "val_loss": val_loss / count,
                "val_accuracy": right / count,
                "seconds": round(time.perf_counter() - started, 3),
                "data_wait_seconds": 0.0,
                "validation_seconds": 0.0,
            }
        )
        started = time.perf_counter()
        if max(history, key=_goodness) is history[-1]:
            best = {key: value.detach().clone() for key, value in scaled.state_dict().items()}
    _unscale(layer, best["weight"], best["bias"], mean, scale)
    return history


def _goodness(row: dict[str, float]) -> tuple[float, float]:
    """Accuracy on validation; of equals the lower loss."""
    return row["val_accuracy"], -row["val_loss"]


def _minimise(layer: nn.Linear, inputs: Tensor, labels: Tensor, loss: Loss, strength: float) -> float:
    """L-BFGS (Liu & Nocedal 1989) over all samples at once; returns the loss without the penalty."""
    optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(layer, inputs, labels) + 0.5 * strength * layer.weight.square().sum()
        value.backward()
        return value

    optimizer.step(closure)
    with torch.no_grad():
        return float(loss(layer, inputs, labels))


@torch.no_grad()
def _unscale(layer: nn.Linear, weight: Tensor, bias: Tensor, mean: Tensor, scale: Tensor) -> None:
    """Fold shift and scale into the layer, so that it takes features as they come."""
    layer.weight.copy_(weight / scale)
    layer.bias.copy_(bias - layer.weight @ mean)
