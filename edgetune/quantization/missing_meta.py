"""Tell torch.export the output shape of per-tensor fake quantization.

torch 2.14 and 2.15 have no shape function for this operator, so exporting it with a dynamic batch
fails with UnsupportedOperatorException. It gives its input's shape, twice (the values and the mask of
those that were not clipped). Registering does nothing where torch brings its own.
"""

import torch
from torch import Tensor

OPERATOR = "fake_quantize_per_tensor_affine_cachemask"

_library = torch.library.Library("aten", "IMPL")


def _shape(values: Tensor, scale: float, zero_point: int, quant_min: int, quant_max: int) -> tuple[Tensor, Tensor]:
    return torch.empty_like(values), torch.empty_like(values, dtype=torch.bool)


if not torch._C._dispatch_has_kernel_for_dispatch_key(f"aten::{OPERATOR}", "Meta"):
    _library.impl(OPERATOR, _shape, "Meta")
