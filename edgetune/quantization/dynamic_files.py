"""Dynamic INT8 files of one float ONNX file, as settings say: smoothed or not, with layers left in float."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import fx

from edgetune.quantization.dynamic import quantize_weights
from edgetune.quantization.dynamic_graph import kept_nodes, nodes_in_file
from edgetune.quantization.quantize import Samples
from edgetune.quantization.smooth import smooth_activations
from edgetune.quantization.trials import Settings
from edgetune.specs import SMOOTHQUANT


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamicFiles:
    """Makes them of ``source``, the file of a network whose ``dynamic_layers`` are ``layers``.

    ``smoothed`` is where the smoothed file lies once it was needed; ``calibration`` gives the inputs for it.
    """

    source: Path
    smoothed: Path
    layers: Sequence[fx.Node]
    calibration: Samples
    per_channel: bool
    reduce_range: bool

    def start(self, settings: Settings) -> Path:
        """The float file that is quantized."""
        if SMOOTHQUANT not in settings.repair:
            return self.source
        if not self.smoothed.exists():
            part = self.smoothed.with_suffix(".part")  # a file that was cut off must not be taken for it
            smooth_activations(self.source, part, self.calibration())
            part.replace(self.smoothed)
        return self.smoothed

    def kept(self, settings: Settings) -> list[str]:
        """The nodes that stay in float.

        Raises:
            QuantizationError: ``keep_float`` names what has no layer, or the file has other layers than the network.
        """
        if not settings.keep_float:
            return []
        return kept_nodes(settings.keep_float, nodes_in_file(self.layers, self.source))

    def write(self, settings: Settings, path: Path) -> None:
        """Write the INT8 file; errors as of ``quantize_weights``, ``smooth_activations`` and ``kept``."""
        quantize_weights(
            self.start(settings),
            path,
            per_channel=self.per_channel,
            reduce_range=self.reduce_range,
            kept=self.kept(settings),
        )
