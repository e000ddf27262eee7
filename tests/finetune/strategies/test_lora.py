"""Only the updates and the head learn, a plain network is left, and a resumed training is the same to the bit."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_text import write_encoder
from torch import nn
from torchvision.models import SwinTransformer, VisionTransformer, mobilenet_v3_small

from edgetune.errors import TrainingError
from edgetune.finetune.lr_find import range_test
from edgetune.finetune.options import TrainOptions
from edgetune.finetune.strategies.lora import LowRank, adapt, merge
from edgetune.finetune.trainer import train
from edgetune.models.text_classifier import head_of, pretrained_text_classifier, read_config
from edgetune.progress import silent
from edgetune.tasks.image_classification import cross_entropy, logits_of

OPTIONS = TrainOptions(
    strategy="lora", epochs=4, learning_rate=0.02, weight_decay=0.01, warmup_epochs=0.5, precision="fp32", seed=3,
    lora_rank=4, lora_alpha=8.0,
)  # fmt: skip


@pytest.fixture(params=["bert", "distilbert", "roberta"])
def folder(request, tmp_path):
    return str(write_encoder(tmp_path / request.param, request.param))


@pytest.fixture
def bert(tmp_path):
    return str(write_encoder(tmp_path / "bert"))


def network(folder):
    torch.manual_seed(0)
    return pretrained_text_classifier(3, folder, read_config(folder))[0]


class Sentences:
    """Texts of token ids; three of the eight tell the class."""

    steps_per_epoch = 6

    def _batch(self, seed, size=16):
        rng = torch.Generator().manual_seed(seed)
        labels = torch.randint(0, 3, (size,), generator=rng)
        ids = torch.randint(10, 30, (size, 8), generator=rng)
        ids[:, 1:4] = 5 + labels[:, None]
        return ids, labels

    def train(self, epoch, start_batch):
        return (self._batch(1000 * epoch + number) for number in range(start_batch, self.steps_per_epoch))

    def plain(self):
        return [self._batch(number) for number in range(self.steps_per_epoch)]

    def validation(self):
        return [self._batch(99_999, 64)]


def loss(model, inputs, labels):
    return cross_entropy(logits_of(model(inputs)), labels, 0.05)


def test_only_query_value_and_head_change_and_the_modules_are_those_of_before(folder, tmp_path):
    model = network(folder)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    kinds = {name: type(module) for name, module in model.named_modules()}
    head = head_of(model)
    trained = train(model, OPTIONS, Sentences(), loss, tmp_path, silent, head)
    after = model.state_dict()
    assert list(after) == list(before) and {name: type(module) for name, module in model.named_modules()} == kinds
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    adapted = {
        name for name in before if name.endswith(("query.weight", "value.weight", "q_lin.weight", "v_lin.weight"))
    }
    assert len(adapted) == 4 and changed == head | adapted
    assert trained.strategy == "lora" and not model.training and all(w.requires_grad for w in model.parameters())
    for name in adapted:
        assert torch.linalg.matrix_rank(after[name] - before[name], atol=1e-5) <= OPTIONS.lora_rank


def test_it_learns_and_the_merged_network_is_the_one_that_was_judged(bert, tmp_path):
    model = network(bert)
    trained = train(model, replace(OPTIONS, epochs=12), Sentences(), loss, tmp_path, silent, head_of(model))
    inputs, labels = Sentences().validation()[0]
    with torch.no_grad():
        accuracy = float((model(inputs).argmax(1) == labels).float().mean())
    best = trained.history[trained.best_epoch - 1]["val_accuracy"]
    assert accuracy == pytest.approx(best, abs=1 / 64) and best > 0.8  # a third by chance


class Stop(Exception):
    pass


EVERYTHING = replace(OPTIONS, layer_decay=0.7, l2_sp=0.1, ema=0.9, clip_norm=0.5, micro_batch=5, patience=3)


@pytest.mark.parametrize("after", [1, 6, 13])
@pytest.mark.parametrize("options", [OPTIONS, EVERYTHING])
def test_a_run_cut_off_anywhere_ends_with_the_same_weights(bert, tmp_path, after, options, monkeypatch):
    import edgetune.finetune.trainer as trainer

    monkeypatch.setattr(trainer, "CHECKPOINT_EVERY_SECONDS", 0.0)
    whole = network(bert)
    (tmp_path / "whole").mkdir()
    first = train(whole, options, Sentences(), loss, tmp_path / "whole", silent, head_of(whole))
    scratch = tmp_path / "cut"
    scratch.mkdir()

    def cut(done, total, note):
        if done == after:
            raise Stop

    model = network(bert)
    with pytest.raises(Stop):
        train(model, options, Sentences(), loss, scratch, cut, head_of(model))
    resumed = network(bert)
    torch.manual_seed(12345)  # a new process has other random state
    second = train(resumed, options, Sentences(), loss, scratch, silent, head_of(resumed))
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert [row["val_loss"] for row in first.history] == [row["val_loss"] for row in second.history]


def test_the_retry_after_a_loss_that_is_not_finite_starts_from_the_pretrained_network(bert, tmp_path):
    seen = []

    def fragile(model, inputs, labels):
        seen.append(len(seen))
        value = loss(model, inputs, labels)
        return value * float("nan") if seen[-1] == 3 else value

    model = network(bert)
    trained = train(model, OPTIONS, Sentences(), fragile, tmp_path, silent, head_of(model))
    assert trained.retried and not any(isinstance(module, LowRank) for module in model.modules())


@given(st.integers(1, 6), st.floats(0.1, 64), st.integers(0, 2**32), st.booleans())
def test_merging_gives_the_same_function_and_an_untrained_update_none(rank, alpha, seed, bias):
    torch.manual_seed(seed)
    model = nn.ModuleDict({"query": nn.Linear(6, 9, bias=bias), "key": nn.Linear(6, 9)})
    inputs = torch.randn(5, 6)
    plain = model["query"](inputs)
    names = adapt(model, rank, alpha, seed)
    assert names == {"query.down", "query.up"} and torch.equal(model["query"](inputs), plain)
    with torch.no_grad():
        model["query"].up.normal_()
    wanted = model["query"](inputs)
    merge(model)
    assert type(model["query"]) is nn.Linear
    torch.testing.assert_close(model["query"](inputs), wanted, atol=1e-3, rtol=1e-3)


def test_attention_that_reads_the_weights_of_its_layers_learns_too():
    torch.manual_seed(0)
    model = SwinTransformer([4, 4], 8, [1, 1], [1, 1], [2, 2], num_classes=3).eval()
    images = torch.randn(2, 3, 32, 32)
    plain = model(images)
    names = adapt(model, 2, 4.0, 0)
    assert len(names) == 4 and torch.equal(model(images), plain)
    weights = dict(model.named_parameters())
    model(images).square().sum().backward()
    assert all(weights[name].grad is not None for name in names)
    with torch.no_grad():
        for name in names:
            weights[name].normal_()
    wanted = model(images)
    merge(model)
    torch.testing.assert_close(model(images), wanted)
    assert not torch.allclose(wanted, plain)


def test_no_gradient_is_kept_for_what_does_not_learn(bert, tmp_path):
    """What memory it saves: the optimizer holds moments of the updates and the head alone."""
    model, sizes = network(bert), []
    head = head_of(model)

    def count(done, total, note):
        sizes.append({name for name, weight in model.named_parameters() if weight.grad is not None})

    train(model, replace(OPTIONS, epochs=1), Sentences(), loss, tmp_path, count, head)
    assert all(names == {n for n in sizes[0] if n.endswith((".up", ".down"))} | head for names in sizes)
    assert len(sizes[0]) == 8 + len(head)


def small_vit(num_classes):
    """Torchvision's keeps query, key and value in one weight that no linear layer has."""
    return VisionTransformer(32, 16, num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=8, num_classes=num_classes)


@pytest.mark.parametrize("make", [mobilenet_v3_small, small_vit])
def test_a_network_without_such_layers_is_refused_in_a_sentence(make, tmp_path):
    with pytest.raises(TrainingError, match='"lora" needs attention') as refused:
        train(make(num_classes=3), OPTIONS, Sentences(), loss, tmp_path, silent)
    assert "partial" in refused.value.hint


def test_a_rank_above_the_width_is_refused(bert, tmp_path):
    with pytest.raises(TrainingError, match="32 wide"):
        train(network(bert), replace(OPTIONS, lora_rank=33), Sentences(), loss, tmp_path, silent)


def test_its_learning_rate_can_be_looked_for(bert):
    model = network(bert)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = range_test(
        model, OPTIONS, Sentences(), loss, silent, lowest=1e-4, highest=0.1, steps=20, head=head_of(model)
    )
    assert len(found.rates) >= 10
    frozen = "encoder.bert.encoder.layer.0.attention.self."
    assert torch.equal(model.state_dict()[f"{frozen}query.linear.weight"], before[f"{frozen}query.weight"])
