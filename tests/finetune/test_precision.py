"""bf16 is chosen where the hardware has it, and only there."""

import pytest
import torch

from edgetune.finetune.precision import choose_compute


@pytest.mark.parametrize(
    ("capabilities", "precision"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, "bf16"),
        ({"avx512_bf16": False, "amx_bf16": True}, "bf16"),
        ({"avx512_bf16": False, "amx_bf16": False}, "fp32"),
        ({}, "fp32"),
    ],
)
def test_auto_on_a_cpu(monkeypatch, capabilities, precision):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    compute = choose_compute("auto")
    assert compute.precision == precision and compute.device.type == "cpu" and compute.reason


def test_the_recipe_wins(monkeypatch):
    assert choose_compute("fp32").dtype is None
    assert choose_compute("bf16").dtype is torch.bfloat16
