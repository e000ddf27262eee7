"""Fake quantization: values are rounded to what 8 bits hold, in float arithmetic.

``torch.onnx`` turns these into QuantizeLinear and DequantizeLinear, and accepts only the ranges
(0, 255), (0, 127) and (-128, 127); narrower ones (7-bit weights) come from a larger scale.
"""

import math

import torch
from torch import Tensor, nn

from edgetune.quantization import missing_meta as missing_meta  # registers a shape function that export needs
from edgetune.quantization.observer import Observer

EPSILON = 1e-8  # a tensor that is all zeros still needs a scale above zero


def rounded(values: Tensor, scale: Tensor, zero_point: int, low: int, high: int) -> Tensor:
    """The same with a gradient by the scale too; that of rounding is taken as 1 (straight-through)."""
    return (_round((values / scale + zero_point).clamp(low, high)) - zero_point) * scale


def _round(steps: Tensor) -> Tensor:
    """To whole numbers, with a gradient of 1 (Bengio et al. 2013, "Estimating or propagating gradients")."""
    return steps + (steps.round() - steps).detach() if steps.requires_grad else steps.round()


class ActivationFakeQuantize(nn.Module):
    """One scale and zero point for a tensor. While ``observer`` is set, values pass through and are watched.

    Between ``learn`` and ``settle`` the scale is a parameter, by its logarithm. ``reach`` is the most that a range
    holds: of lower and of higher values nothing that reads the tensor makes a difference.
    """

    def __init__(self, *, symmetric: bool, reach: tuple[float, float] = (-math.inf, math.inf)) -> None:
        super().__init__()
        self.symmetric, self.reach = symmetric, reach
        self.observer: Observer | None = Observer()
        self.scale, self.zero_point = 1.0, 0
        self.quant_min, self.quant_max = (-128, 127) if symmetric else (0, 255)
        self.log_scale: nn.Parameter | None
        self.register_parameter("log_scale", None)

    def learn(self) -> None:
        """Make the scale a parameter."""
        self.log_scale = nn.Parameter(torch.tensor([math.log(self.scale)]))

    def settle(self) -> None:
        """Make the scale a number again."""
        if self.log_scale is not None:
            self.scale = float(self._learned(self.log_scale.detach()))
            self.log_scale = None

    def _learned(self, log_scale: Tensor) -> Tensor:
        """The scale, no larger than ``reach`` has use for."""
        return log_scale.exp().clamp(max=self.reach[1] / (self.quant_max - self.zero_point))

    def set_range(self, low: float, high: float) -> None:
        """Represent [low, high], widened to hold zero (which padding and ReLU need to be exact)."""
        low, high = max(min(low, 0.0), self.reach[0]), min(max(high, 0.0), self.reach[1])
        if self.symmetric:
            self.scale, self.zero_point = max(high, -low, EPSILON) / 127, 0
        else:
            self.scale = max(high - low, EPSILON) / 255
            self.zero_point = min(255, max(0, round(-low / self.scale)))

    def forward(self, values: Tensor) -> Tensor:
        """The values as 8 bits hold them; any shape."""
        if self.observer is not None:
            self.observer.watch(values)
            return values
        if self.log_scale is not None:
            scale = self._learned(self.log_scale)
            return rounded(values, scale, self.zero_point, self.quant_min, self.quant_max)
        return torch.fake_quantize_per_tensor_affine(
            values, self.scale, self.zero_point, self.quant_min, self.quant_max
        )


class DynamicFakeQuantize(nn.Module):
    """uint8 with a range found anew for each sample, as ONNX's DynamicQuantizeLinear has it in an engine of batch 1."""

    def forward(self, values: Tensor) -> Tensor:
        """The values [N, ...] as 8 bits hold them."""
        flat, along = values.flatten(1), (-1, *[1] * (values.ndim - 1))
        return _as_uint8(values, flat.amin(1).reshape(along), flat.amax(1).reshape(along))


class TableFakeQuantize(nn.Module):
    """uint8 with one range for all of a table."""

    def forward(self, table: Tensor) -> Tensor:
        """The table [rows, C] as 8 bits hold it."""
        return _as_uint8(table, table.amin(), table.amax())


def _as_uint8(values: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """A range is what was seen: nothing learns by it."""
    low, high = low.detach().clamp(max=0.0), high.detach().clamp(min=0.0)  # zero must be exact
    scale = ((high - low) / 255).clamp_min(EPSILON)
    zero_point = (-low / scale).round()
    return (_round(values / scale) + zero_point).clamp(0, 255).sub(zero_point) * scale


class WeightFakeQuantize(nn.Module):
    """Symmetric int8 with a scale per output channel (axis 0), or one for the whole tensor.

    ``reduce_range`` keeps to 7 bits, for processors that sum uint8 x int8 products in saturating 16 bits; ``limit`` is
    the largest integer, where it is another one. ``tight`` is for files whose quantizer sees the weights alone: a scale
    that is learned never reaches further than they do. ``moved`` is what a repair added to the network's own weight
    [O, ...] before it comes here, which bias correction takes into account.
    """

    def __init__(
        self, weight: Tensor, *, per_channel: bool, reduce_range: bool, limit: int | None = None, tight: bool = False
    ) -> None:
        super().__init__()
        self.per_channel, self.tight = per_channel, tight
        self.limit = limit or (63 if reduce_range else 127)
        self.moved: Tensor | None = None
        scale = self._reaching(weight)
        self.scale: Tensor
        self.zero_point: Tensor
        self.register_buffer("scale", scale)
        self.register_buffer("zero_point", torch.zeros_like(scale, dtype=torch.int32))
        self._scale = float(scale) if not per_channel else 0.0
        self.log_scale: nn.Parameter | None
        self.register_parameter("log_scale", None)

    def learn(self) -> None:
        """Make the scales parameters."""
        self.log_scale = nn.Parameter(self.scale.log().reshape(-1))

    @torch.no_grad()
    def settle(self, weight: Tensor) -> Tensor:
        """Make the scales constants again; returns ``weight`` cut to what they reach."""
        assert self.log_scale is not None
        self.scale.copy_(self._learned(weight))
        self.log_scale = None
        self._scale = float(self.scale) if not self.per_channel else 0.0
        reach = self._along(self.scale, weight) * self.limit
        return torch.minimum(torch.maximum(weight, -reach), reach)

    def _reaching(self, weight: Tensor) -> Tensor:
        """The scales whose largest integer is the largest weight."""
        magnitudes = weight.detach().abs()
        largest = magnitudes.flatten(1).amax(1) if self.per_channel else magnitudes.amax()
        return (largest / self.limit).clamp_min(EPSILON)

    def _learned(self, weight: Tensor) -> Tensor:
        assert self.log_scale is not None
        scale = self.log_scale.exp().reshape(self.scale.shape)
        return torch.minimum(scale, self._reaching(weight)) if self.tight else scale

    @staticmethod
    def _along(scale: Tensor, weight: Tensor) -> Tensor:
        return scale.reshape(-1, *[1] * (weight.ndim - 1))

    def forward(self, weight: Tensor) -> Tensor:
        """The weights as 8 bits hold them; shape [O, ...]."""
        if self.log_scale is not None:
            return rounded(weight, self._along(self._learned(weight), weight), 0, -self.limit, self.limit)
        if self.per_channel:
            return torch.fake_quantize_per_channel_affine(weight, self.scale, self.zero_point, 0, -128, 127)
        return torch.fake_quantize_per_tensor_affine(weight, self._scale, 0, -128, 127)
