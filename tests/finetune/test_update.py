"""Gradients add up over pieces of a batch, also after memory ran out; clipping bounds them."""

import pytest
import torch
from torch import nn

from edgetune.errors import TrainingError
from edgetune.finetune.precision import choose_compute
from edgetune.finetune.update import Update, out_of_memory
from edgetune.tasks.image_classification import cross_entropy

RNG = torch.Generator().manual_seed(0)
INPUTS, LABELS = torch.randn(13, 5, generator=RNG), torch.randint(0, 3, (13,), generator=RNG)


def make(loss=None, **more):
    torch.manual_seed(0)
    network = nn.Linear(5, 3)
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    return Update(
        network=network,
        optimizer=optimizer,
        loss=loss or (lambda model, inputs, labels: cross_entropy(model(inputs), labels, 0.1)),
        compute=choose_compute("fp32"),
        **more,
    )


@pytest.mark.parametrize("size", [2, 3, 5, 12, 13, 40])
def test_pieces_make_the_same_step_as_the_whole(size):
    whole, pieces = make(), make(micro_batch=size)
    assert float(pieces.step(INPUTS, LABELS, 0.5)) == pytest.approx(float(whole.step(INPUTS, LABELS, 0.5)), rel=1e-5)
    torch.testing.assert_close(pieces.network.weight, whole.network.weight)


def test_class_weights_add_up_over_pieces_too():
    weights = torch.tensor([0.2, 1.0, 3.0])

    def loss(model, inputs, labels):
        return cross_entropy(model(inputs), labels, 0.1, weights)

    whole, pieces = make(loss), make(loss, micro_batch=4)
    assert float(pieces.step(INPUTS, LABELS, 0.5)) == pytest.approx(float(whole.step(INPUTS, LABELS, 0.5)), rel=1e-5)
    torch.testing.assert_close(pieces.network.weight, whole.network.weight)


@pytest.mark.parametrize(
    "problem",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        RuntimeError("MPS backend out of memory"),
    ],
)
def test_when_memory_runs_out_pieces_get_smaller_and_the_step_stays(problem):
    sizes = []

    def loss(model, inputs, labels):
        sizes.append(len(labels))
        if len(labels) > 4:
            raise problem
        return cross_entropy(model(inputs), labels, 0.1)

    update, whole = make(loss), make()
    assert float(update.step(INPUTS, LABELS, 0.5)) == pytest.approx(float(whole.step(INPUTS, LABELS, 0.5)), rel=1e-5)
    torch.testing.assert_close(update.network.weight, whole.network.weight)
    assert update.micro_batch == 4 and sizes[0] == 13 and sum(sizes[-4:]) == 13
    sizes.clear()
    update.step(INPUTS, LABELS, 0.5)
    assert max(sizes) <= 4  # for good


def test_memory_for_nothing_is_a_clear_failure_and_other_errors_are_not_swallowed():
    def never(model, inputs, labels):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(TrainingError, match="does not suffice for 2 samples"):
        make(never).step(INPUTS, LABELS, 0.5)
    assert not out_of_memory(RuntimeError("size mismatch"))

    def broken(model, inputs, labels):
        raise RuntimeError("size mismatch")

    with pytest.raises(RuntimeError, match="size mismatch"):
        make(broken).step(INPUTS, LABELS, 0.5)


def test_clipping_bounds_the_step():
    free, clipped = make(), make(clip_norm=0.01)
    before = free.network.weight.detach().clone(), clipped.network.weight.detach().clone()
    free.step(INPUTS, LABELS, 1.0)
    clipped.step(INPUTS, LABELS, 1.0)
    assert (free.network.weight - before[0]).norm() > 0.05
    moved = sum(
        float((p - q).detach().square().sum())
        for p, q in zip(clipped.network.parameters(), make().network.parameters(), strict=True)
    )
    assert moved**0.5 == pytest.approx(0.01, rel=1e-3)


def test_groups_keep_their_share_of_the_rate():
    update = make()
    update.optimizer.param_groups[0]["scale"] = 0.25
    update.step(INPUTS, LABELS, 0.8)
    assert update.optimizer.param_groups[0]["lr"] == pytest.approx(0.2)


def test_a_loss_that_is_not_finite_changes_nothing():
    update = make(lambda model, inputs, labels: model(inputs).sum() * float("nan"))
    before = update.network.weight.detach().clone()
    value = update.step(INPUTS, LABELS, 1.0)
    assert value != value and torch.equal(before, update.network.weight)
