"""The graph rounds as ONNX Runtime's dynamic INT8 file does, layers can be left out of both, and outliers are named."""

import onnx
import pytest
import torch
from small_reader import EXAMPLE, LONGEST, PER_CHANNEL, export, files_of, reader, texts

from edgetune.errors import QuantizationError
from edgetune.export.parity import runner
from edgetune.quantization.causes import dynamic_causes
from edgetune.quantization.dynamic_graph import dynamic_layers, kept_nodes, nodes_in_file, trace_dynamic
from edgetune.quantization.sensitivity import layer_name, quantized_operators
from edgetune.quantization.trials import Settings


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A network and its float file."""
    network = reader()
    return network, export(network, tmp_path_factory.mktemp("reader") / "float.onnx")


@pytest.mark.parametrize("kept", [(), ("block.0",), ("head", "table")])
@pytest.mark.parametrize("scheme", [(True, False), (False, True)])
def test_the_graph_says_what_the_file_says(plain, tmp_path, scheme, kept):
    network, source = plain
    scheme = dict(zip(("per_channel", "reduce_range"), scheme, strict=True))
    graph = trace_dynamic(network, EXAMPLE, LONGEST, **scheme, keep_float=kept)
    files = files_of(trace_dynamic(network, EXAMPLE, LONGEST, **scheme), source, tmp_path, scheme)
    settings = Settings(calibration=None, repair=(), keep_float=kept)
    files.write(settings, tmp_path / "int8.onnx")
    run, lost, apart = runner(tmp_path / "int8.onnx"), 0.0, 0.0
    for ids in texts():
        floating, rounded, told = network(ids), graph(ids), torch.from_numpy(run(ids))
        lost = max(lost, float((rounded - floating).abs().max()))
        apart = max(apart, float((rounded - told).abs().max()))
    assert apart < 0.05 * lost
    kinds = [node.op_type for node in onnx.load(tmp_path / "int8.onnx").graph.node]
    assert kinds.count("MatMulInteger") == 3 - len({"block.0", "head"} & set(kept))


def test_ranges_are_of_each_text_alone(plain):
    graph = trace_dynamic(plain[0], EXAMPLE, LONGEST, **PER_CHANNEL)
    batch = torch.cat([torch.full((1, 4), 1), torch.full((1, 4), 2)])
    apart = torch.cat([graph(batch[:1]), graph(batch[1:])])
    assert torch.allclose(graph(batch), apart, atol=1e-6)


def test_layers_are_found_in_the_file_by_their_order(plain):
    graph = trace_dynamic(plain[0], EXAMPLE, LONGEST, **PER_CHANNEL)
    nodes = nodes_in_file(dynamic_layers(graph), plain[1])
    assert list(nodes) == ["block.0", "block.2", "head", "table"]
    assert kept_nodes(["block"], nodes) == nodes["block.0"] + nodes["block.2"]
    with pytest.raises(QuantizationError, match="no linear layer and no table") as caught:
        kept_nodes(["blok.0"], nodes)
    assert "block.0" in caught.value.hint
    with pytest.raises(QuantizationError, match="has 1 layers and its ONNX file 3"):
        nodes_in_file(dynamic_layers(graph)[-1:], plain[1])


def test_a_channel_that_takes_the_steps_from_the_others_is_named_and_smoothed(tmp_path):
    network = reader(outlier=300.0)
    graph = trace_dynamic(network, EXAMPLE, LONGEST, **PER_CHANNEL)
    told = dynamic_causes(graph, texts())
    by_layer = {layer_name(node): told[node] for node in quantized_operators(graph)}
    assert "one of 32 channels" in by_layer["block.2"][0] and "SmoothQuant" in by_layer["block.2"][0]
    assert not by_layer["block.0"] and not by_layer["table"]

    files, lost = files_of(graph, export(network, tmp_path / "float.onnx"), tmp_path, PER_CHANNEL), {}
    for repair in ((), ("smoothquant",)):
        files.write(Settings(calibration=None, repair=repair, keep_float=()), tmp_path / "int8.onnx")
        run = runner(tmp_path / "int8.onnx")
        lost[repair] = max(float((torch.from_numpy(run(ids)) - network(ids)).abs().max()) for ids in texts(1))
    assert lost["smoothquant",] < 0.5 * lost[()]
