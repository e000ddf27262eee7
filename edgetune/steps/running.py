"""Carry out a step by its name."""

import importlib

from edgetune.steps import STEPS
from edgetune.steps.context import StepContext


def run_step(name: str, context: StepContext) -> None:
    """Run a step; one whose params say so computes deterministically (``Recipe.deterministic``)."""
    module = importlib.import_module(STEPS[name])
    if not context.params.get("deterministic"):
        module.run(context)
        return
    from edgetune.finetune.deterministic import deterministic_algorithms  # torch, which not every step loads

    with deterministic_algorithms():
        module.run(context)
