"""How the controller may make a network INT8, from cheap to costly: add a treatment here.

A treatment is tried on a network when the one before it loses more accuracy than the budget allows.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Treatment:
    """One way to INT8. Each stands on those before it: what is mended stays so where layers go back to float."""

    name: str  # what the names of its candidates end with
    title: str
    mended: bool = False  # with the ranges and repairs that bring the outputs nearest to float's
    mixed: bool = False  # the layers that give back most for their time stay in float
    trained: bool = False  # quantization-aware training


CALIBRATED = Treatment(name="int8", title="calibration, as the recipe says")
FOR_PICTURES = (
    CALIBRATED,
    Treatment(name="int8-repaired", title="other ranges and repairs", mended=True),
    Treatment(name="int8-mixed", title="the worst layers in float", mended=True, mixed=True),
    Treatment(name="int8-qat", title="quantization-aware training", mended=True, trained=True),
)
FOR_TEXT = (
    Treatment(name="int8", title="dynamic ranges"),
    Treatment(name="int8-repaired", title="SmoothQuant", mended=True),
    Treatment(name="int8-mixed", title="the worst layers in float", mended=True, mixed=True),
    Treatment(name="int8-qat", title="quantization-aware training", trained=True),
)


def treatment(name: str, *, reads_text: bool) -> Treatment:
    """The one of that name, of networks for text or for pictures."""
    return next(one for one in (FOR_TEXT if reads_text else FOR_PICTURES) if one.name == name)
