"""Compiling is tried where it may pay, measured, and leaves no trace but its speed; what fails falls back."""

import pytest
import torch
from torch import nn

from edgetune.errors import TrainingError
from edgetune.finetune import compiling
from edgetune.finetune.precision import Compute, choose_compute
from edgetune.finetune.team import Team
from edgetune.finetune.trainer import train
from edgetune.finetune.update import Update
from edgetune.progress import silent
from tests.finetune.test_trainer import OPTIONS, Colours, loss, network, replace

BATCH = Colours()._batch(0)


@pytest.fixture(autouse=True)
def traced_only(monkeypatch):
    """Dynamo traces and guards for real; code is not generated, which would take a C++ compiler half a minute."""
    monkeypatch.setattr(compiling, "BACKEND", "aot_eager")
    torch._dynamo.reset()


def make(device="cpu", **more) -> Update:
    model = network()
    optimizer = torch.optim.AdamW(model.parameters())
    compute = Compute(device=torch.device(device), dtype=None, reason="")
    return Update(network=model, optimizer=optimizer, loss=loss, compute=compute, **more)


def times(monkeypatch, *seconds):
    """What the clock says of the plain and the compiled network."""
    told = iter(seconds)
    monkeypatch.setattr(compiling, "_median_seconds", lambda update, batch: next(told))


def test_it_is_not_tried_where_it_cannot_be_won_back(monkeypatch):
    assert not compiling.consider("never", make(), BATCH, 10**6, False).used
    found = compiling.consider("auto", make(), BATCH, 10**6, False)
    assert not found.used and "cpu" in found.reason and found.plain_ms is None
    monkeypatch.setattr(compiling, "_obstacle", lambda *_, **__: None)
    times(monkeypatch, 0.010)
    found = compiling.consider("auto", make(), BATCH, 1000, False)
    assert not found.used and "about 10 s" in found.reason and found.plain_ms == pytest.approx(10)


@pytest.mark.parametrize(("compiled", "used"), [(0.05, True), (0.099, False), (0.2, False)])
def test_what_is_faster_is_used_and_the_break_even_told(monkeypatch, compiled, used):
    monkeypatch.setattr(compiling, "_obstacle", lambda *_, **__: None)
    times(monkeypatch, 0.1, compiled)
    update = make()
    found = compiling.consider("auto", update, BATCH, 10_000, False)
    assert found.used is used and (update.forward is not update.network) is used
    assert (found.break_even_steps is None) is (compiled > 0.1)
    if compiled == 0.05:
        assert found.break_even_steps == int(found.compile_seconds / 0.05) + 1


def test_a_network_that_cannot_be_compiled_is_trained_plain_or_refused(monkeypatch):
    def broken(graph, examples):
        raise RuntimeError("no compiler here\nmore")

    monkeypatch.setattr(compiling, "BACKEND", broken)
    monkeypatch.setattr(compiling, "WORTH_TRYING_SECONDS", 0.0)
    with pytest.raises(TrainingError, match="cannot be compiled"):
        compiling.consider("always", make(), BATCH, 100, False)
    monkeypatch.setattr(compiling, "_obstacle", lambda *_, **__: None)
    update = make()
    found = compiling.consider("auto", update, BATCH, 100, False)
    assert not found.used and "cannot be compiled" in found.reason and "\n" not in found.reason
    assert update.forward is update.network


def test_always_says_why_not(monkeypatch):
    with pytest.raises(TrainingError, match="frees stages"):
        compiling.consider("always", make(), BATCH, 100, True)
    with pytest.raises(TrainingError, match="several processes"):
        compiling.consider("always", make(team=Team(rank=0, size=2)), BATCH, 100, False)


def test_a_compiled_training_learns_the_same_and_resumes(tmp_path):
    """Traced and not generated, it computes what the plain one does; the plain one shows that nothing was disturbed."""
    plain, compiled, resumed = network(), network(), network()
    for model in (plain, compiled, resumed):
        model[7] = nn.Identity()  # dropout draws in another order when it is traced
    for name in ("plain", "compiled", "resumed"):
        (tmp_path / name).mkdir()
    train(plain, OPTIONS, Colours(), loss, tmp_path / "plain", silent)
    options = replace(OPTIONS, compile="always")
    trained = train(compiled, options, Colours(), loss, tmp_path / "compiled", silent)
    assert trained.compilation["used"] and trained.compilation["compiled_ms"] > 0
    for key, value in plain.state_dict().items():
        torch.testing.assert_close(compiled.state_dict()[key], value, rtol=1e-3, atol=1e-3)
    assert set(compiled.state_dict()) == set(plain.state_dict())  # no wrapper in the names
    assert choose_compute("fp32").precision == trained.precision


def test_a_resumed_training_goes_on_as_it_was_decided(tmp_path, monkeypatch):
    monkeypatch.setattr("edgetune.finetune.trainer.CHECKPOINT_EVERY_SECONDS", 0.0)

    class Stop(Exception):
        pass

    def cut(done, total, note):
        if done == 9:
            raise Stop

    options = replace(OPTIONS, compile="always")
    with pytest.raises(Stop):
        train(network(), options, Colours(), loss, tmp_path, cut)
    monkeypatch.setattr(compiling, "consider", lambda *_: pytest.fail("measured twice"))
    trained = train(network(), options, Colours(), loss, tmp_path, silent)
    assert trained.compilation["used"] and len(trained.history) == OPTIONS.epochs
