"""Only the head changes, it is as good as logistic regression can be, and odd heads are trained another way."""

import time

import pytest
import torch
from torch import nn
from torchvision.models import squeezenet1_1

from edgetune.errors import TrainingError
from edgetune.finetune.options import TrainOptions
from edgetune.finetune.strategies.feature_extraction import Features, fit, last_layer
from edgetune.finetune.trainer import train
from edgetune.models.head import head_keys
from edgetune.progress import silent
from edgetune.tasks.image_classification import cross_entropy, logits_of

OPTIONS = TrainOptions(
    strategy="feature-extraction", epochs=2, learning_rate=0.01, weight_decay=0.01, warmup_epochs=0.0,
    precision="fp32", seed=0,
)  # fmt: skip


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Dropout(0.5), nn.Linear(16, 3),
    )  # fmt: skip


HEAD = frozenset({"6.weight", "6.bias"})


class Colours:
    steps_per_epoch = 3

    def __init__(self, side: int = 8) -> None:
        self.side = side

    def _batch(self, seed, size=16):
        rng = torch.Generator().manual_seed(seed)
        labels = torch.randint(0, 3, (size,), generator=rng)
        images = torch.randn(size, 3, self.side, self.side, generator=rng) * 0.5
        images[torch.arange(size), labels] += 1.0
        return images, labels

    def train(self, epoch, start_batch):
        return (self._batch(100 * epoch + number) for number in range(start_batch, self.steps_per_epoch))

    def plain(self):
        return [self._batch(number) for number in range(self.steps_per_epoch)]

    def validation(self):
        return [self._batch(99_999, 64)]


def loss(model, images, labels):
    return cross_entropy(logits_of(model(images)), labels, 0.0)


def test_only_the_head_changes_and_validation_is_that_of_the_network(tmp_path):
    model, before = network(), network().state_dict()
    trained = train(model, OPTIONS, Colours(), loss, tmp_path, silent, HEAD)
    after = model.state_dict()
    assert {name for name in before if not torch.equal(before[name], after[name])} == HEAD
    images, labels = Colours().validation()[0]
    with torch.no_grad():
        accuracy = float((model(images).argmax(1) == labels).float().mean())
    best = trained.history[trained.best_epoch - 1]
    assert accuracy == best["val_accuracy"] == max(row["val_accuracy"] for row in trained.history) > 0.95
    assert trained.strategy == "feature-extraction" and not model.training


def test_it_agrees_with_scikit_learn(tmp_path):
    """At each strength the minimum is the one another solver finds."""
    from sklearn.linear_model import LogisticRegression

    model = network()
    trained = train(model, OPTIONS, Colours(), loss, tmp_path, silent, HEAD)
    images, labels = (torch.cat(parts) for parts in zip(*Colours().plain(), strict=True))
    with torch.no_grad():
        inputs = network().eval()[:5](images)
        inputs = inputs - inputs.mean(0)
        inputs = inputs / inputs.square().mean().sqrt()
    for row in trained.history[:4]:
        reference = LogisticRegression(C=1 / (row["l2"] * len(labels)), tol=1e-8, max_iter=10_000)
        reference.fit(inputs.numpy(), labels.numpy())
        logits = torch.from_numpy(reference.decision_function(inputs.numpy()))
        assert row["train_loss"] == pytest.approx(float(cross_entropy(logits, labels, 0.0)), rel=0.01, abs=1e-4)


def spoken_rarely(samples: int, seed: int) -> Features:
    """Three features that tell the class, and 300 that speak in one sample of 40, as small pictures leave them."""
    rng = torch.Generator().manual_seed(seed)
    labels = torch.arange(samples) % 3
    telling = nn.functional.one_hot(labels, 3) + 0.3 * torch.randn(samples, 3, generator=rng)
    rare = (torch.rand(samples, 300, generator=rng) < 0.025) * torch.rand(samples, 300, generator=rng)
    return Features(inputs=torch.cat([telling, rare], 1), labels=labels)


def test_features_that_hardly_ever_speak_do_not_drown_the_others():
    layer = nn.Linear(303, 3)
    history = fit(layer, spoken_rarely(15, 0), spoken_rarely(300, 1), loss, time.perf_counter())
    assert max(row["val_accuracy"] for row in history) > 0.95
    unseen = spoken_rarely(300, 2)
    with torch.no_grad():
        assert (layer(unseen.inputs).argmax(1) == unseen.labels).float().mean() > 0.95


def test_features_that_are_all_the_same_are_no_error():
    same = Features(inputs=torch.ones(6, 4), labels=torch.arange(6) % 2)
    layer = nn.Linear(4, 2)
    fit(layer, same, same, loss, time.perf_counter())
    assert torch.isfinite(layer.weight).all() and torch.isfinite(layer.bias).all()


def test_a_head_that_is_not_linear_and_last_is_trained_by_the_loop(tmp_path):
    torch.manual_seed(0)
    model, head = squeezenet1_1(num_classes=3), head_keys(lambda k: squeezenet1_1(num_classes=k), 3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    examples = Colours(side=32)
    assert last_layer(model.eval(), head, examples.validation()[0][0][:2]) is None
    trained = train(model, OPTIONS, examples, loss, tmp_path, silent, head)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(before[name], value)}
    assert trained.strategy == "partial" and changed == head


def test_features_that_are_not_finite_are_a_clear_failure(tmp_path):
    model = network()
    with torch.no_grad():
        model[0].weight.fill_(float("nan"))
    with pytest.raises(TrainingError, match="features are NaN"):
        train(model, OPTIONS, Colours(), loss, tmp_path, silent, HEAD)
