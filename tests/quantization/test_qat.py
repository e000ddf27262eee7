"""Quantization-aware training: it begins where calibration ended, learns scales, and exports what it trained."""

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from random_networks import SIZE, networks
from small_reader import EXAMPLE as TEXT
from small_reader import LONGEST, PER_CHANNEL, export, files_of, reader, texts
from torch.nn import functional
from transformers import AutoConfig

from edgetune.export.onnx_export import export_onnx
from edgetune.export.parity import check_parity, runner
from edgetune.models.text_classifier import make_text_classifier
from edgetune.quantization.dynamic_graph import trace_dynamic
from edgetune.quantization.fake_quant import ActivationFakeQuantize, WeightFakeQuantize, rounded
from edgetune.quantization.insert import fake_quantizes
from edgetune.quantization.qat import QuantizedNetwork, take_weights
from edgetune.quantization.quantize import quantize
from edgetune.quantization.trials import Settings
from edgetune.records import QuantizationScheme

EXAMPLE = torch.zeros(1, 3, SIZE, SIZE)
X86 = QuantizationScheme(activation="uint8")
SEVEN_BITS = QuantizationScheme(activation="uint8", reduce_range=True)
PER_TENSOR = QuantizationScheme(activation="int8", per_channel=False)


def samples():
    rng = torch.Generator().manual_seed(7)
    return [torch.randn(16, 3, SIZE, SIZE, generator=rng) for _ in range(2)]


def train(network, teacher, steps=30, rate=3e-3, samples=samples):
    wanted = torch.cat([teacher(batch) for batch in samples()]).detach()
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = functional.mse_loss(torch.cat([network(batch) for batch in samples()]), wanted)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


@settings(max_examples=10)
@given(networks(), st.sampled_from([X86, SEVEN_BITS, PER_TENSOR]))
def test_training_goes_on_from_calibration_and_what_it_learns_is_exported(tmp_path_factory, network, scheme):
    path = tmp_path_factory.mktemp("qat") / "q.onnx"
    graph = quantize(network, EXAMPLE, scheme, samples, repair=("bias-correction",))
    calibrated = [graph(batch) for batch in samples()]
    made = QuantizedNetwork(graph)
    for batch, before in zip(samples(), calibrated, strict=True):
        torch.testing.assert_close(made(batch), before, atol=1e-3 + 0.05 * float(before.std()), rtol=0)
    losses = train(made, network)
    assert min(losses) <= losses[0] * 1.001
    trained = [made(batch).detach() for batch in samples()]
    settled = made.settle()
    for batch, after in zip(samples(), trained, strict=True):
        torch.testing.assert_close(settled(batch), after, atol=1e-3 + 0.1 * float(after.std()), rtol=0)
    assert not any(parameter.requires_grad for parameter in settled.parameters())
    export_onnx(settled, EXAMPLE, path, opset=20)
    parity = check_parity(settled, path, samples())
    assert parity["max_difference"] < 0.3 * float(torch.cat(trained).std()) + 0.02


def test_training_takes_back_what_rounding_cost():
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Conv2d(8, 8, 3), torch.nn.ReLU(),
        torch.nn.Flatten(), torch.nn.Linear(8 * (SIZE - 4) ** 2, 4),
    )  # fmt: skip
    with torch.no_grad():
        network[0].weight[0] *= 60  # per tensor, one large channel leaves the others few steps
    losses = train(QuantizedNetwork(quantize(network, EXAMPLE, PER_TENSOR, samples)), network, steps=80, rate=1e-3)
    assert min(losses) < 0.5 * losses[0]


def test_everything_learns_and_keys_are_whole():
    torch.manual_seed(1)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.LazyLinear(4))
    network(EXAMPLE)
    made = QuantizedNetwork(quantize(network, EXAMPLE, X86, samples, repair=("bias-correction",)))
    before = {key: value.clone() for key, value in made.state_dict().items()}
    train(made, lambda batch: torch.ones(len(batch), 4), steps=3)
    moved = {key for key, value in made.state_dict().items() if not torch.equal(value, before[key])}
    assert sum("log_scale" in key for key in moved) == 4  # two weights, two activations
    assert sum("corrected_bias" in key for key in moved) == 2
    made.load_state_dict(before)
    assert all(torch.equal(value, before[key]) for key, value in made.state_dict().items())


@given(st.lists(st.floats(-10, 10, width=32), min_size=1, max_size=30), st.floats(0.01, 1.0), st.integers(0, 255))
@example([0.485], 0.01, 0)  # on a boundary
def test_rounding_is_that_of_torch(values, scale, zero_point):
    tensor = torch.tensor(values)
    ours = rounded(tensor, torch.tensor([scale]), zero_point, 0, 255)
    theirs = torch.fake_quantize_per_tensor_affine(tensor, scale, zero_point, 0, 255)
    assert float((ours - theirs).abs().max()) <= scale * 1.01  # on a boundary they may fall to either side
    clear = ((tensor.double() / scale) % 1.0 - 0.5).abs() > 1e-3
    assert bool(((ours - theirs).abs() <= 1e-4 * max(1.0, float(theirs.abs().max())))[clear].all())


def test_the_scale_has_the_gradient_of_lsq():
    """Esser et al. 2020, equation 3: inside the range round(v/s) - v/s, outside the limit."""
    values, scale = torch.tensor([0.26, 0.9, 7.0, -9.0]), torch.tensor([0.5], requires_grad=True)
    rounded(values, scale, 0, -8, 7).sum().backward()
    expected = (round(0.52) - 0.52) + (round(1.8) - 1.8) + 7 - 8
    assert float(scale.grad) == pytest.approx(expected, abs=1e-5)


def test_weights_end_within_seven_bits():
    weight = torch.randn(4, 3, 3, 3)
    module = WeightFakeQuantize(weight, per_channel=True, reduce_range=True)
    module.learn()
    with torch.no_grad():
        module.log_scale -= 1.0  # the learned range is a third of the weights'
    settled = module.settle(weight)
    steps = settled / module.scale.view(-1, 1, 1, 1)
    assert float(steps.abs().max()) <= 63.001


def test_fake_quantizes_that_learned_are_plain_again():
    module = ActivationFakeQuantize(symmetric=False)
    module.observer = None
    module.set_range(-1.0, 3.0)
    before = module.scale
    module.learn()
    assert [name for name, _ in module.named_parameters()] == ["log_scale"]
    module.settle()
    assert module.scale == pytest.approx(before) and not list(module.parameters())
    assert fake_quantizes(torch.nn.Sequential(module)) == [module]


def test_a_scale_does_not_learn_to_hold_more_than_its_readers_tell_apart():
    module = ActivationFakeQuantize(symmetric=False, reach=(0.0, 1.0))
    module.observer = None
    module.set_range(0.0, 7.0)
    module.learn()
    with torch.no_grad():
        module.log_scale += 1.0
    values = torch.linspace(0, 3, 7)
    learning = module(values)
    module.settle()
    assert module.scale == pytest.approx(1 / 255)
    torch.testing.assert_close(module(values), learning.detach())
    assert float(learning.detach().max()) == pytest.approx(1.0)


def test_frozen_scales_stay_while_weights_learn():
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(8 * (SIZE - 2) ** 2, 4)
    ).eval()
    with torch.no_grad():
        network[0].weight[0] *= 40  # one scale for all is then coarse for the others
        network[3].weight[:, : (SIZE - 2) ** 2] /= 40
    graph = quantize(network, EXAMPLE, PER_TENSOR, samples)
    scales = [fake.scale for fake in fake_quantizes(graph)]
    steps = [module.scale.clone() for module in graph.modules() if isinstance(module, WeightFakeQuantize)]
    made = QuantizedNetwork(graph, learn_scales=False)
    losses = train(made, network, rate=3e-4)
    settled = made.settle()
    assert min(losses) < 0.9 * losses[0]
    assert [fake.scale for fake in fake_quantizes(settled)] == scales
    after = [module.scale for module in settled.modules() if isinstance(module, WeightFakeQuantize)]
    assert all(torch.equal(one, other) for one, other in zip(steps, after, strict=True))


@pytest.mark.parametrize("scheme", [PER_CHANNEL, {"per_channel": False, "reduce_range": True}])
def test_an_encoder_learns_for_the_file_that_is_quantized_dynamically(tmp_path, scheme):
    teacher, network = reader(outlier=30.0), reader(outlier=30.0)

    def graph():
        return trace_dynamic(network, TEXT, LONGEST, **scheme)

    before = {key: value.clone() for key, value in network.state_dict().items()}
    take_weights(network, QuantizedNetwork(graph()).settle())
    for key, value in network.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=1e-5, atol=0)  # a scale is learned by its logarithm

    made = QuantizedNetwork(graph())
    losses = train(made, teacher, steps=60, rate=3e-4, samples=texts)
    assert min(losses) < 0.5 * losses[0]
    with torch.no_grad():
        learned = [made(ids) for ids in texts()]
        take_weights(network, made.settle())
        files = files_of(graph(), export(network, tmp_path / "float.onnx"), tmp_path, scheme)
        files.write(Settings(calibration=None, repair=(), keep_float=()), tmp_path / "int8.onnx")
        run = runner(tmp_path / "int8.onnx")
        apart = max(
            float((ours - torch.from_numpy(run(ids))).abs().max()) for ids, ours in zip(texts(), learned, strict=True)
        )
        lost = max(float((ours - network(ids)).abs().max()) for ids, ours in zip(texts(), learned, strict=True))
    assert apart < 0.05 * lost  # what was trained is what the file says


@given(st.integers(0, 2**16), st.sampled_from([True, False]), st.floats(-2, 2))
def test_a_tight_scale_is_found_again_from_the_weights_alone(seed, per_channel, moved):
    weight = torch.randn(5, 7, generator=torch.Generator().manual_seed(seed))
    scheme = {"per_channel": per_channel, "reduce_range": False, "tight": True}
    made = WeightFakeQuantize(weight, **scheme)
    made.learn()
    with torch.no_grad():
        made.log_scale += moved
        learned = made(weight)
    cut = made.settle(weight)
    found = WeightFakeQuantize(cut, **scheme)
    assert torch.allclose(found(cut), learned, rtol=1.3e-6, atol=1e-5)
    assert torch.allclose(found.scale, made.scale) and (cut.abs() <= weight.abs()).all()


SMALL = {"num_hidden_layers": 1, "vocab_size": 40, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}
FAMILIES = {
    "bert": SMALL,
    "distilbert": {"n_layers": 1, "vocab_size": 40, "dim": 32, "n_heads": 2, "hidden_dim": 64},
    "deberta-v2": {**SMALL, "relative_attention": True, "pos_att_type": "p2c|c2p"},
    "modernbert": SMALL,
}


@pytest.mark.parametrize("family", FAMILIES)
def test_encoders_learn_on_another_device_too(family):
    """None but "meta", which keeps no values, is on every machine; all of a graph must follow to it."""
    config = AutoConfig.for_model(family, **FAMILIES[family], pad_token_id=0).to_dict()
    network = make_text_classifier(3, config).eval()
    made = QuantizedNetwork(trace_dynamic(network, TEXT, LONGEST, **PER_CHANNEL)).to("meta")
    made(torch.ones(2, 5, dtype=torch.int64, device="meta")).sum().backward()
    for part in made.modules():
        nodes = part.graph.nodes if isinstance(part, torch.fx.GraphModule) else ()
        assert not any(torch.device("cpu") in (*node.args, node.kwargs.get("device")) for node in nodes)
