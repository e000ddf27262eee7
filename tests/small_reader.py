"""A network that reads token ids, and one that says the same with a channel that reaches far."""

import torch
from torch import nn

from edgetune.export.onnx_export import export_onnx
from edgetune.quantization.dynamic_files import DynamicFiles
from edgetune.quantization.dynamic_graph import dynamic_layers

VOCABULARY, WIDTH, LONGEST = 40, 32, 24
EXAMPLE = torch.ones(1, 8, dtype=torch.int64)
PER_CHANNEL = {"per_channel": True, "reduce_range": False}


class Reader(nn.Module):
    """Looks tokens up, mixes them in two layers and answers by their mean."""

    def __init__(self, outlier=1.0):
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(VOCABULARY, WIDTH)
        self.block = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH))
        self.head = nn.Linear(WIDTH, 3)
        with torch.no_grad():  # the same function
            self.block[0].weight[5] *= outlier
            self.block[0].bias[5] *= outlier
            self.block[2].weight[:, 5] /= outlier

    def forward(self, ids):
        return self.head(self.block(self.table(ids)).mean(1))


def reader(outlier=1.0):
    return Reader(outlier).eval().requires_grad_(False)


def texts(seed=0):
    rng = torch.Generator().manual_seed(seed)
    return [torch.randint(1, VOCABULARY, (1, length), generator=rng) for length in (2, 5, 9, 24)]


def export(network, path):
    export_onnx(network, EXAMPLE, path, opset=20, input_name="input_ids", max_length=LONGEST)
    return path


def files_of(graph, source, folder, scheme):
    smoothed = folder / "smoothed.onnx"
    layers = dynamic_layers(graph)
    return DynamicFiles(source=source, smoothed=smoothed, layers=layers, calibration=texts, **scheme)
