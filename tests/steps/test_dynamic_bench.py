"""Settings for dynamic INT8 are tried on files, each text by itself, and what mends an outlier channel is found."""

import pytest
import torch
from small_reader import EXAMPLE, LONGEST, PER_CHANNEL, VOCABULARY, export, files_of, reader

from edgetune.quantization.dynamic_graph import trace_dynamic
from edgetune.quantization.sensitivity import all_logits
from edgetune.quantization.trials import Settings, try_changes
from edgetune.steps.dynamic_bench import DynamicBench

RECIPE = Settings(calibration=None, repair=(), keep_float=())
PAD = 0


def open_bench(folder, outlier, batches):
    network = reader(outlier)
    graph = trace_dynamic(network, EXAMPLE, LONGEST, **PER_CHANNEL)
    return DynamicBench(
        network=network,
        files=files_of(graph, export(network, folder / "float.onnx"), folder, PER_CHANNEL),
        batches=lambda: batches,
        reference=all_logits(network, lambda: batches),
        trial=folder / "trial.onnx",
        pad_id=PAD,
    )


def labelled(texts=48, length=12):
    ids = torch.randint(1, VOCABULARY, (texts, length), generator=torch.Generator().manual_seed(3))
    return [(part, torch.arange(len(part)) % 3) for part in ids.split(8)]


def test_smoothing_and_a_layer_in_float_mend_an_outlier_channel(tmp_path):
    trials = try_changes(open_bench(tmp_path, 300.0, labelled()), RECIPE, ["block.2", "head"])
    found = {trial.change: trial for trial in trials}
    assert list(found) == ["as in the recipe", "with smoothquant", "1 layer in float", "2 layers in float"]
    before, smoothed = found["as in the recipe"].outcome, found["with smoothquant"].outcome
    assert found["with smoothquant"].helped and smoothed.divergence < 0.2 * before.divergence
    last = found["2 layers in float"].settings
    assert last.keep_float == ("block.2", "head") and last.repair == ("smoothquant",)


def test_texts_are_asked_one_by_one_without_their_padding(tmp_path):
    batches = [(torch.tensor([[3, 4, PAD, PAD, PAD], [7, 8, 9, 10, 11]]), torch.tensor([0, 1]))]
    alone = [(torch.tensor([[3, 4]]), torch.tensor([0])), (torch.tensor([[7, 8, 9, 10, 11]]), torch.tensor([1]))]
    together, apart = open_bench(tmp_path, 1.0, batches), open_bench(tmp_path, 1.0, alone)
    # The network has no mask: with padding it says something else, so only the quantized side is compared.
    assert together.outcome(RECIPE).loss == pytest.approx(apart.outcome(RECIPE).loss, rel=1e-6)
