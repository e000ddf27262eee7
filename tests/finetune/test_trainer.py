"""The loop learns, resumes to the bit, survives Ctrl-C, and meets a loss that is not finite."""

import os
import signal
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from edgetune.errors import Abandoned, Interrupted, TrainingError
from edgetune.finetune.options import TrainOptions
from edgetune.finetune.trainer import BAD_BATCH, train
from edgetune.progress import silent
from edgetune.tasks.image_classification import cross_entropy, logits_of

OPTIONS = TrainOptions(
    strategy="full", epochs=4, learning_rate=0.02, weight_decay=0.01, warmup_epochs=0.5, precision="fp32", seed=3
)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(8, 3),
    )  # fmt: skip


HEAD = frozenset({"8.weight", "8.bias"})


class Colours:
    """Three classes told by their brightest channel; order depends on (seed, epoch) alone."""

    steps_per_epoch = 6

    def _batch(self, seed: int, size: int = 16):
        rng = torch.Generator().manual_seed(seed)
        labels = torch.randint(0, 3, (size,), generator=rng)
        images = torch.randn(size, 3, 8, 8, generator=rng) * 0.5
        images[torch.arange(size), labels] += 1.0
        return images, labels

    def train(self, epoch, start_batch):
        for number in range(start_batch, self.steps_per_epoch):
            yield self._batch(1000 * epoch + number)

    def plain(self):
        return [self._batch(number) for number in range(self.steps_per_epoch)]

    def validation(self):
        return [self._batch(99_999, 64)]


def loss(model, images, labels):
    return cross_entropy(logits_of(model(images)), labels, 0.05)


def test_it_learns_and_keeps_the_best_epoch(tmp_path):
    model = network()
    trained = train(model, OPTIONS, Colours(), loss, tmp_path, silent)
    accuracies = [row["val_accuracy"] for row in trained.history]
    assert accuracies[-1] > 0.9
    assert trained.best_epoch == max(range(4), key=lambda i: (accuracies[i], i)) + 1
    assert not model.training


def test_whoever_watches_is_told_of_each_epoch_and_may_end_it(tmp_path):
    seen = []

    def watch(history):
        seen.append([row["epoch"] for row in history])
        if len(history) == 2:
            raise Abandoned("enough")

    with pytest.raises(Abandoned):
        train(network(), OPTIONS, Colours(), loss, tmp_path, silent, watch=watch)
    assert seen == [[1], [1, 2]]
    with pytest.raises(Abandoned):  # told of what there is before it goes on
        train(network(), OPTIONS, Colours(), loss, tmp_path, silent, watch=watch)
    assert seen == [[1], [1, 2], [1, 2]]
    assert len(train(network(), OPTIONS, Colours(), loss, tmp_path, silent).history) == OPTIONS.epochs


class Stop(Exception):
    pass


@pytest.mark.parametrize("after", [1, 5, 6, 13, 23])
def test_a_run_cut_off_anywhere_ends_with_the_same_weights(tmp_path, after, monkeypatch):
    import edgetune.finetune.trainer as trainer

    monkeypatch.setattr(trainer, "CHECKPOINT_EVERY_SECONDS", 0.0)
    whole = network()
    (tmp_path / "whole").mkdir()
    train(whole, OPTIONS, Colours(), loss, tmp_path / "whole", silent)

    scratch = tmp_path / "cut"
    scratch.mkdir()

    def cut(done, total, note):
        if done == after:
            raise Stop  # before this step's checkpoint: as kill -9 would

    with pytest.raises(Stop):
        train(network(), OPTIONS, Colours(), loss, scratch, cut)
    torch.manual_seed(12345)  # a new process has other random state
    resumed = network()
    trained = train(resumed, OPTIONS, Colours(), loss, scratch, silent)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert len(trained.history) == OPTIONS.epochs


EVERYTHING = replace(
    OPTIONS, layer_decay=0.7, l2_sp=0.1, ema=0.9, clip_norm=0.5, micro_batch=5, batch_norm="frozen", patience=3
)  # fmt: skip


@pytest.mark.parametrize("after", [2, 11, 12, 19])
@pytest.mark.parametrize(
    "options", [EVERYTHING, replace(EVERYTHING, strategy="gradual"), replace(EVERYTHING, strategy="partial")]
)
def test_so_does_one_with_every_option(tmp_path, after, options, monkeypatch):
    import edgetune.finetune.trainer as trainer

    monkeypatch.setattr(trainer, "CHECKPOINT_EVERY_SECONDS", 0.0)
    whole = network()
    (tmp_path / "whole").mkdir()
    first = train(whole, options, Colours(), loss, tmp_path / "whole", silent, HEAD)
    scratch = tmp_path / "cut"
    scratch.mkdir()

    def cut(done, total, note):
        if done == after:
            raise Stop

    with pytest.raises(Stop):
        train(network(), options, Colours(), loss, scratch, cut, HEAD)
    torch.manual_seed(12345)
    resumed = network()
    second = train(resumed, options, Colours(), loss, scratch, silent, HEAD)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert [row["val_loss"] for row in first.history] == [row["val_loss"] for row in second.history]


def test_memory_that_ran_out_is_remembered_over_a_restart(tmp_path, monkeypatch):
    import edgetune.finetune.trainer as trainer

    monkeypatch.setattr(trainer, "CHECKPOINT_EVERY_SECONDS", 0.0)
    sizes = []

    def small_machine(model, images, labels):
        sizes.append(len(labels))
        if len(labels) > 8:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return loss(model, images, labels)

    def cut(done, total, note):
        if done == 3:
            raise Stop

    with pytest.raises(Stop):
        train(network(), OPTIONS, Colours(), small_machine, tmp_path, cut)
    sizes.clear()
    trained = train(network(), OPTIONS, Colours(), small_machine, tmp_path, silent)
    assert max(sizes) == 8 and trained.micro_batch == 8


def test_partial_leaves_what_is_below_as_it_was(tmp_path):
    model, before = network(), network().state_dict()
    trained = train(model, replace(OPTIONS, strategy="partial", stages=1), Colours(), loss, tmp_path, silent, HEAD)
    after = model.state_dict()
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert same == {name for name in before if name.startswith(("0.", "1."))}
    assert trained.strategy == "partial" and all(weight.requires_grad for weight in model.parameters())


def test_gradual_frees_the_head_first(tmp_path):
    moved = []
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}

    def watch(done, total, note):
        if done % 6 == 0:
            now = model.state_dict()
            moved.append([not torch.equal(before[name], now[name]) for name in ("0.weight", "3.weight", "8.weight")])

    train(model, replace(OPTIONS, strategy="gradual"), Colours(), loss, tmp_path, watch, HEAD)
    assert moved == [[False, False, True], [False, True, True], [True, True, True], [True, True, True]]


def test_frozen_batch_norm_keeps_its_statistics_but_learns_its_scale(tmp_path):
    model, before = network(), network().state_dict()
    train(model, replace(OPTIONS, batch_norm="frozen"), Colours(), loss, tmp_path, silent, HEAD)
    assert torch.equal(model[1].running_mean, before["1.running_mean"])
    assert not torch.equal(model[1].weight, before["1.weight"])


def test_patience_ends_training_and_the_best_epoch_is_kept(tmp_path):
    class Flat(Colours):
        def validation(self):
            images, labels = self._batch(99_999, 64)
            return [(torch.zeros_like(images), labels)]  # the same answer to all: it cannot get better for long

    options = replace(OPTIONS, epochs=30, patience=2)
    model = network()
    trained = train(model, options, Flat(), loss, tmp_path, silent)
    accuracies = [row["val_accuracy"] for row in trained.history]
    assert trained.stopped_early and len(accuracies) == accuracies.index(max(accuracies)) + 3 < 30


def test_the_running_average_is_what_is_judged_and_kept(tmp_path):
    plain, average = network(), network()
    train(plain, OPTIONS, Colours(), loss, tmp_path, silent)
    (tmp_path / "ema").mkdir()
    trained = train(average, replace(OPTIONS, ema=0.99), Colours(), loss, tmp_path / "ema", silent)
    assert trained.history[-1]["val_accuracy"] > 0.9
    assert not torch.equal(plain[8].weight, average[8].weight)


def test_ctrl_c_saves_and_a_second_run_goes_on(tmp_path):
    def press(done, total, note):
        if done == 7:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted) as caught:
        train(network(), OPTIONS, Colours(), loss, tmp_path, press)
    assert caught.value.exit_code == 130
    seen = []
    train(network(), OPTIONS, Colours(), loss, tmp_path, lambda done, total, note: seen.append(done))
    assert seen[0] == 8


def test_a_cut_off_checkpoint_is_not_trusted(tmp_path):
    (tmp_path / "training.safetensors").write_bytes(b"half a checkp")
    trained = train(network(), OPTIONS, Colours(), loss, tmp_path, silent)
    assert len(trained.history) == OPTIONS.epochs


def test_a_loss_that_is_nan_once_is_retried_at_a_lower_rate(tmp_path):
    calls = 0

    def nan_at_first(model, images, labels):
        nonlocal calls
        calls += 1
        return loss(model, images, labels) * (float("nan") if calls == 8 else 1.0)

    trained = train(network(), OPTIONS, Colours(), nan_at_first, tmp_path, silent)
    assert trained.retried and len(trained.history) == OPTIONS.epochs
    assert set(load_file(tmp_path / BAD_BATCH)) == {"images", "labels"}


def test_a_loss_that_stays_nan_is_a_clear_failure_with_the_batch_kept(tmp_path):
    def always(model, images, labels):
        return loss(model, images, labels) * float("inf")

    with pytest.raises(TrainingError, match="NaN or infinite at step 0") as caught:
        train(network(), OPTIONS, Colours(), always, tmp_path, silent)
    assert BAD_BATCH in caught.value.hint and (tmp_path / BAD_BATCH).exists()


def test_fp16_without_a_gpu_is_refused(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    options = TrainOptions(
        strategy="full", epochs=1, learning_rate=0.1, weight_decay=0, warmup_epochs=0, precision="fp16", seed=0
    )
    with pytest.raises(TrainingError, match="fp16 training needs an NVIDIA GPU"):
        train(network(), options, Colours(), loss, tmp_path, silent)
