"""Which engine is made next. Pure: from the ladder and what its rungs came to, to the next rung or to the end."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from edgetune.plan.candidates import UNPRUNED
from edgetune.records import Pruning, Rung
from edgetune.rungs import CALIBRATED


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a rung came to. ``failed``: a step failed, and nothing else is known.

    ``drop_points`` is the accuracy lost on validation, ``inside`` whether that is within the budget, ``faster`` whether
    the engine is proven faster than float, ``speedup`` by how much, and ``fits`` whether it keeps the other limits.
    """

    failed: bool = False
    drop_points: float = 0.0
    inside: bool = False
    faster: bool = False
    speedup: float = 1.0
    fits: bool = True

    @property
    def ships(self) -> bool:
        """Whether this engine could be the one in the bundle."""
        return not self.failed and self.inside and self.faster and self.fits


FLOAT_RESULT = Result(inside=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The ``rung`` that is made next; None: it ends here. ``skipped`` says of rungs before it why they are not tried;
    at the end, of all that were not.
    """

    rung: Rung | None
    skipped: Mapping[Rung, str]


def decide(
    ladder: Sequence[Rung],
    results: Mapping[Rung, Result],
    *,
    limited: bool = False,
    over: Callable[[Rung], str | None] = lambda rung: None,
) -> Decision:
    """The first rung of ``ladder`` that may still bring something better.

    Args:
        ladder: networks in their order (the whole one, then from strong pruning to gentle), of each its rungs from
            cheap to costly.
        results: of the rungs that were tried.
        limited: the budget names a latency or a size, so that the first engine to keep all limits is enough. Otherwise
            the fastest inside the accuracy budget is looked for.
        over: why there is no time for a rung; None: there is.
    """
    skipped: dict[Rung, str] = {}
    before: list[tuple[Pruning, list[Rung]]] = []
    for pruning, group in groupby(ladder, key=lambda rung: rung.pruning):
        rungs = list(group)
        for rung in rungs:
            if rung in results:
                continue
            if (why := _not_needed(rung, rungs, before, results, limited=limited)) or (why := over(rung)):
                skipped[rung] = why
            else:
                return Decision(rung=rung, skipped=skipped)
        before.append((pruning, rungs))
    return Decision(rung=None, skipped=skipped)


def _not_needed(
    rung: Rung,
    rungs: Sequence[Rung],
    before: Sequence[tuple[Pruning, list[Rung]]],
    results: Mapping[Rung, Result],
    *,
    limited: bool,
) -> str | None:
    """Why ``rung`` would bring nothing, given what the networks ``before`` and its own cheaper rungs came to."""
    earlier = [one for _, ones in before for one in ones] + list(rungs[: rungs.index(rung)])
    shipping = [one for one in earlier if one in results and results[one].ships]
    if limited and shipping:
        return "an engine that was made before keeps every limit of the budget"
    for pruning, ones in before:
        if pruning.asked and _settled(ones, results):
            return "a stronger pruning ships, and a gentler one is no faster"
        if pruning.asked and _over_limits(ones, results):
            return "an engine of a stronger pruning is over the limits already"
    own = results.get(Rung(pruning=rung.pruning)) if rung.pruning.asked else FLOAT_RESULT
    if rung.treatment is None or own is None:
        return None
    if own.failed:
        return "the network could not be pruned so"
    if not own.inside:
        return "the pruned network itself loses more than the budget allows"
    cheaper = [one for one in earlier if one.pruning == rung.pruning and one.treatment is not None and one in results]
    if any(results[one].inside and results[one].faster for one in cheaper):
        return "a cheaper way to INT8 is inside the accuracy budget"
    return _int8_is_vain(rung, own, results)


def _int8_is_vain(rung: Rung, own: Result, results: Mapping[Rung, Result]) -> str | None:
    """Why INT8, or this way to it, is hopeless on a network whose float engine came to ``own``."""
    plain = Rung(pruning=rung.pruning, treatment=CALIBRATED.name)
    looked_at = [plain] if rung == plain or plain in results else [plain, replace(plain, pruning=UNPRUNED)]
    if any(one.failed for one in _int8(results, UNPRUNED) + _int8(results, rung.pruning)):
        return "the network could not be made INT8"
    if any(_is_no_faster(one, results) for one in looked_at):
        return "INT8 is no faster here, and no repair changes that"
    whole = results.get(replace(rung, pruning=UNPRUNED))
    missed = whole is not None and not whole.failed and not whole.inside
    if rung.pruning.asked and missed and own.drop_points >= 0:
        return "it was not enough for the whole network, and this one starts no better"
    return None


def _int8(results: Mapping[Rung, Result], pruning: Pruning) -> list[Result]:
    """What plain calibration came to: one, or none."""
    found = results.get(Rung(pruning=pruning, treatment=CALIBRATED.name))
    return [] if found is None else [found]


def _is_no_faster(plain: Rung, results: Mapping[Rung, Result]) -> bool:
    """Whether INT8 was timed on a network and did not beat its float engine."""
    found = results.get(plain)
    floating = results.get(Rung(pruning=plain.pruning), FLOAT_RESULT)
    return found is not None and not found.failed and not (found.faster and found.speedup > floating.speedup)


def _settled(rungs: Sequence[Rung], results: Mapping[Rung, Result]) -> bool:
    """Whether a pruned network came to its best: it ships in INT8, or in float where INT8 is hopeless on any."""
    shipping = [rung for rung in rungs if rung in results and results[rung].ships]
    if any(rung.treatment is not None for rung in shipping):
        return True
    plain = Rung(pruning=rungs[0].pruning, treatment=CALIBRATED.name)
    whole = [found for rung, found in results.items() if not rung.pruning.asked and not found.failed]
    hopeless = (
        plain not in rungs
        or any(one.failed for one in _int8(results, UNPRUNED) + _int8(results, plain.pruning))
        or _is_no_faster(plain, results)
        or not any(found.inside for found in whole)
    )
    return bool(shipping) and hopeless


def _over_limits(rungs: Sequence[Rung], results: Mapping[Rung, Result]) -> bool:
    """Whether the smallest and fastest kind of engine of a network does not keep the limits of latency and size."""
    plain = next((rung for rung in rungs if rung.treatment == CALIBRATED.name), rungs[0])
    found = results.get(plain)
    return found is not None and not found.failed and not found.fits
