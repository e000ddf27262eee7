"""Rank layers of an INT8 network for float: by gain per millisecond, however many of them are left in the end."""

from edgetune.hashing import canonical_json
from edgetune.quantization.mixed_precision import by_gain_per_ms
from edgetune.steps.context import StepContext
from edgetune.steps.mend import open_bench
from edgetune.steps.mix import gains_of, lost_ms
from edgetune.steps.quantize import settings_of


def run(context: StepContext) -> None:
    """Write ``ranking.json``, names of layers in the order in which they go back to float; as a note the numbers.

    Gain and cost are those of ``steps.mix``. Where the target's engines are not timed the gain alone decides.
    """
    bench, settings = open_bench(context), settings_of(context)
    gains = gains_of(bench, settings, context)
    is_timed = context.params["timed"] and context.device is None
    timed = lost_ms(bench, settings, list(gains), context) if is_timed else {}
    order = by_gain_per_ms(gains, timed)
    (context.out / "ranking.json").write_text(canonical_json(order), encoding="utf-8")
    told = {"layers": [{"layer": name, "gain_nats": gains[name], "lost_ms": timed.get(name)} for name in order]}
    context.note("layers.json").write_text(canonical_json(told), encoding="utf-8")
