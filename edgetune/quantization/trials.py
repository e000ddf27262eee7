"""What helps a network against 8 bits: other ranges, repairs and layers left in float, tried one after the other.

Each change is tried on top of what helped before it, so that the last trials are the best that was found.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Protocol

from torch import Tensor, fx, nn

from edgetune.progress import Tick, silent
from edgetune.quantization.quantize import Samples, quantize
from edgetune.quantization.ranges import METHODS
from edgetune.quantization.sensitivity import Batches, Outcome, outcome
from edgetune.records import QuantizationScheme

FLOAT_LAYERS = (1, 2, 4, 8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The recipe's knobs of calibration; ``calibration`` is None where ranges are found in each inference."""

    calibration: str | None
    repair: tuple[str, ...]
    keep_float: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A change, the settings with it, and what came of them; ``helped``: it was kept for the trials after it."""

    change: str
    settings: Settings
    outcome: Outcome
    helped: bool

    def to_json(self) -> dict[str, Any]:
        """As plain data; tuples as lists."""
        plain = asdict(self)
        plain["settings"] = {k: list(v) if isinstance(v, tuple) else v for k, v in plain["settings"].items()}
        return plain


class TrialBench(Protocol):
    """What trials are made on: a float ``network`` and labelled ``batches``, on which it gave ``reference``.

    ``ranges`` and ``repairs`` are what there is to try for such networks, from quick to slow.
    """

    @property
    def network(self) -> nn.Module: ...
    @property
    def batches(self) -> Batches: ...
    @property
    def reference(self) -> list[Tensor]: ...
    @property
    def ranges(self) -> Sequence[str]: ...
    @property
    def repairs(self) -> Sequence[str]: ...
    def outcome(self, settings: Settings) -> Outcome:
        """The network quantized by ``settings``, on the labelled samples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """For networks that are calibrated: with the target's scheme and calibration data."""

    network: nn.Module
    example: Tensor
    scheme: QuantizationScheme
    calibration: Samples
    batches: Batches
    reference: list[Tensor]
    ranges: ClassVar[Sequence[str]] = tuple(METHODS)
    repairs: ClassVar[Sequence[str]] = ("equalisation", "bias-correction", "adaround")

    def graph(self, settings: Settings) -> fx.GraphModule:
        """The network quantized by ``settings``."""
        assert settings.calibration is not None  # as of all networks that are calibrated
        return quantize(
            self.network,
            self.example,
            self.scheme,
            self.calibration,
            calibration=settings.calibration,
            repair=settings.repair,
            keep_float=settings.keep_float,
        )

    def outcome(self, settings: Settings) -> Outcome:
        """The same on the labelled samples."""
        return outcome(self.graph(settings), self.batches, self.reference)


def try_changes(
    bench: TrialBench, start: Settings, worst: Sequence[str], progress: Tick = silent, enough: float = math.inf
) -> list[Trial]:
    """The settings as they are, then other ranges, repairs and the ``worst`` layers (first is worst) in float.

    A change helps if it brings the outputs nearer to the float network's (divergence); of ranges, only the best does.
    Once what helped reaches the accuracy that is ``enough``, nothing more is tried.
    """
    trials = [Trial(change="as in the recipe", settings=start, outcome=bench.outcome(start), helped=True)]
    others = [method for method in bench.ranges if method != start.calibration]
    total = 1 + len(others) + len(bench.repairs) + sum(number <= len(worst) for number in FLOAT_LAYERS)
    progress(1, total, "changes tried")

    def try_all(changes: Iterator[tuple[str, Settings]]) -> None:
        best, found = _best(trials), []
        for change, settings in changes:
            found.append((change, settings, bench.outcome(settings)))
            progress(len(trials) + len(found), total, "changes tried")
        least = min((after.divergence for _, _, after in found), default=math.inf)
        for change, settings, after in found:
            helped = after.divergence == least < best.outcome.divergence
            trials.append(Trial(change=change, settings=settings, outcome=after, helped=helped))

    now = start
    try_all((f"{m} ranges", replace(now, calibration=m)) for m in others)
    for repair in bench.repairs:
        if _best(trials).outcome.accuracy >= enough:
            return trials
        now = _best(trials).settings
        try_all(iter([_toggled(now, repair)]))
    now = _best(trials).settings
    for number in (n for n in FLOAT_LAYERS if n <= len(worst)):
        kept = tuple(dict.fromkeys((*start.keep_float, *worst[:number])))
        change = f"{number} layer{'s' if number > 1 else ''} in float"
        try_all(iter([(change, replace(now, keep_float=kept))]))
    return trials


def suggested(trials: Sequence[Trial], least_accuracy: float) -> Trial | None:
    """The trial to take: accurate enough, with the fewest layers in float, and of those the nearest to float.

    The recipe's own settings are left only for ones that reach what they do not; None: nothing does.
    """
    enough = [trial for trial in trials if trial.outcome.accuracy >= least_accuracy]
    if not enough or trials[0] in enough:
        return trials[0] if enough else None
    return min(enough, key=lambda trial: (len(trial.settings.keep_float), trial.outcome.divergence))


def _best(trials: Sequence[Trial]) -> Trial:
    return [trial for trial in trials if trial.helped][-1]


def _toggled(settings: Settings, repair: str) -> tuple[str, Settings]:
    if repair in settings.repair:
        return f"without {repair}", replace(settings, repair=tuple(r for r in settings.repair if r != repair))
    return f"with {repair}", replace(settings, repair=(*settings.repair, repair))
