"""Which channels to take so that the network gets fast enough at the least loss: greedy, by measured latency.

Each move takes the least important channels of one group, a block at a time; the move with the smallest estimated loss
per millisecond it saves is made, until the predicted latency is reached (Shen et al. 2022, HALP, solve the same
knapsack exactly). A block that saves nothing, because kernels work in whole vectors, is tried together with the next.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

MAX_BLOCKS = 4  # blocks looked ahead in one move
KEEP_SHARE = 0.1  # of a group's units, and of each side of a layer, at least

Widths = dict[str, tuple[int, int]]
"""Layer name -> (input channels, output channels)."""

Side = tuple[str, str, int | Sequence[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Channels that can only go together, in all layers they run through.

    ``scores[i]`` is the estimated loss of taking unit ``i``; a unit is ``unit`` channels (more than one where a grouped
    layer must lose one channel in each of its groups). ``sides`` names (layer, "in" or "out", how many channels of
    that layer one unit is: of every unit, or of each where a layer has only some of them).
    """

    scores: Sequence[float]
    block: int  # units that are taken at once
    sides: tuple[Side, ...]
    most: float = 1.0 - KEEP_SHARE  # share of the units that may go


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """Indices of the units to take from each group, and what the latency model says of it."""

    taken: tuple[tuple[int, ...], ...]
    before_ms: float
    after_ms: float


def allocate(
    groups: Sequence[Group], widths: Widths, latency: Mapping[str, Callable[[int, int], float]], limit_ms: float
) -> Allocation:
    """Take channels until the layers of ``latency`` together need at most ``limit_ms``.

    The result stays above the limit when no group has anything left to give. What several groups take of one layer
    leaves ``KEEP_SHARE`` of its channels too.

    Args:
        widths: of every layer that a group names.
        latency: layer name -> (input channels, output channels) -> milliseconds.
    """
    now = dict(widths)
    order = [sorted(range(len(group.scores)), key=lambda i: (group.scores[i], i)) for group in groups]
    count = [0] * len(groups)
    total = before = sum(time(*widths[name]) for name, time in latency.items())
    while total > limit_ms:
        moves = [
            move
            for number, group in enumerate(groups)
            if (move := _best_move(number, group, order[number][count[number] :], now, widths, latency)) is not None
        ]
        if not moves:
            break
        _, saved, number, units = min(moves)
        now.update(_without(groups[number], order[number][count[number] : count[number] + units], now))
        count[number] += units
        total -= saved
    taken = tuple(tuple(sorted(order[number][:taken])) for number, taken in enumerate(count))
    return Allocation(taken=taken, before_ms=before, after_ms=total)


def _best_move(
    number: int,
    group: Group,
    left: Sequence[int],
    now: Widths,
    whole: Widths,
    latency: Mapping[str, Callable[[int, int], float]],
) -> tuple[float, float, int, int] | None:
    """(loss per millisecond, milliseconds saved, group, units) of the group's cheapest move, if it has one.

    Args:
        left: units that the group still has, the least important first.
        whole: the widths before anything went.
    """
    best = None
    first = len(left) % group.block or group.block  # lands on a whole multiple
    for blocks in range(MAX_BLOCKS):
        units = first + blocks * group.block
        if len(left) - units < max(group.block, (1.0 - group.most) * len(group.scores)):
            break
        after = _without(group, left[:units], now)
        if any(_too_narrow(width, whole[name]) for name, width in after.items()):
            break
        saved = sum(
            latency[name](*now[name]) - latency[name](*width) for name, width in after.items() if name in latency
        )
        if saved > 0:
            loss = sum(group.scores[i] for i in left[:units])
            move = (loss / saved, saved, number, units)
            best = min(best, move) if best is not None else move
    return best


def _too_narrow(width: tuple[int, int], whole: tuple[int, int]) -> bool:
    return any(now < 1 or now < KEEP_SHARE * before - 1e-9 for now, before in zip(width, whole, strict=True))


def _without(group: Group, units: Sequence[int], now: Widths) -> Widths:
    """The widths of the group's layers once it has lost ``units``."""
    after: Widths = {}
    for name, side, channels in group.sides:
        inputs, outputs = after.get(name, now[name])
        lost = len(units) * channels if isinstance(channels, int) else sum(channels[unit] for unit in units)
        after[name] = (inputs - lost, outputs) if side == "in" else (inputs, outputs - lost)
    return after
