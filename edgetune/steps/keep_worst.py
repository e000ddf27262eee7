"""Leave as many layers in float as the recipe says, of those that ``steps.rank_layers`` has ranked."""

import json
from dataclasses import replace

from edgetune.steps.context import StepContext
from edgetune.steps.mend import write_settings
from edgetune.steps.quantize import settings_of


def run(context: StepContext) -> None:
    """Write ``settings.json``; of a network with fewer layers that quantization harms, all of these."""
    ranking = json.loads((context.inputs["ranking"] / "ranking.json").read_text(encoding="utf-8"))
    settings = settings_of(context)
    worst = ranking[: context.params["worst_in_float"]]
    write_settings(context, replace(settings, keep_float=(*settings.keep_float, *worst)))
