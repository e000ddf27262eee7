"""Channels go where they are cheapest for the time they save, and never below what must stay."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from edgetune.pruning.allocate import KEEP_SHARE, Group, allocate

scores = st.lists(st.floats(0, 10), min_size=8, max_size=40)


def problem(score_lists, block=4):
    """A chain of layers: group i is the output of layer i and the input of layer i + 1."""
    groups, widths = [], {}
    sizes = [3, *(len(values) for values in score_lists), 5]
    for number, (inputs, outputs) in enumerate(pairwise(sizes)):
        widths[f"layer{number}"] = (inputs, outputs)
    for number, values in enumerate(score_lists):
        sides = ((f"layer{number}", "out", 1), (f"layer{number + 1}", "in", 1))
        groups.append(Group(scores=values, block=block, sides=sides))
    return groups, widths, {name: lambda i, o: i * o / 1000 for name in widths}


def time_after(widths, latency, groups, allocation):
    now = {name: list(width) for name, width in widths.items()}
    for group, taken in zip(groups, allocation.taken, strict=True):
        for name, side, channels in group.sides:
            now[name][0 if side == "in" else 1] -= channels * len(taken)
    return sum(latency[name](*width) for name, width in now.items())


@given(st.lists(scores, min_size=1, max_size=4), st.floats(1.05, 3))
def test_the_limit_is_kept_or_nothing_is_left_to_give(score_lists, goal):
    groups, widths, latency = problem(score_lists)
    whole = sum(latency[name](*width) for name, width in widths.items())
    result = allocate(groups, widths, latency, whole / goal)
    assert abs(time_after(widths, latency, groups, result) - result.after_ms) < 1e-9
    assert abs(result.before_ms - whole) < 1e-9
    for group, taken in zip(groups, result.taken, strict=True):
        left = len(group.scores) - len(taken)
        assert left >= max(group.block, KEEP_SHARE * len(group.scores)) or not taken
        assert not taken or left % group.block == 0
        kept = [score for i, score in enumerate(group.scores) if i not in taken]
        assert not taken or max(group.scores[i] for i in taken) <= min(kept)
        if result.after_ms > whole / goal:
            assert left < 2 * group.block  # no whole block could go any more


def test_the_cheap_and_slow_group_gives_first():
    groups, widths, latency = problem([[1.0] * 16, [100.0] * 16])
    result = allocate(groups, widths, latency, 0.9 * sum(latency[name](*width) for name, width in widths.items()))
    assert result.taken[0] and not result.taken[1]


def test_a_step_in_the_kernels_time_is_jumped():
    group = Group(scores=[1.0] * 32, block=4, sides=(("conv", "out", 1),))
    stairs = {"conv": lambda inputs, outputs: float(-(-outputs // 16))}  # 16 channels cost as much as one
    result = allocate([group], {"conv": (3, 32)}, stairs, 1.0)
    assert len(result.taken[0]) == 16 and result.after_ms == 1.0


def test_no_gain_takes_nothing():
    group = Group(scores=[1.0] * 16, block=4, sides=(("conv", "out", 1),))
    result = allocate([group], {"conv": (3, 16)}, {"conv": lambda inputs, outputs: 1.0}, 0.5)
    assert result.taken == ((),) and result.after_ms == 1.0


def test_units_of_several_channels():
    group = Group(scores=[1.0] * 8, block=4, sides=(("conv", "out", 2),))
    result = allocate([group], {"conv": (3, 16)}, {"conv": lambda inputs, outputs: outputs / 16}, 0.5)
    assert len(result.taken[0]) == 4 and result.after_ms == 0.5


halves = st.lists(st.floats(0, 10), min_size=16, max_size=24)


@given(halves, halves, st.integers(1, 8), st.floats(1.05, 50))
def test_what_two_groups_take_of_one_layer_leaves_some(first, second, block, goal):
    """Both read the layer "sum"; "part" has the units of the first group's first half, and as many of the second."""
    half = len(first) // 2
    owned = tuple(int(number < half) for number in range(len(first)))
    groups = [
        Group(scores=first, block=block, sides=(("sum", "in", 1), ("part", "out", owned))),
        Group(scores=second, block=block, sides=(("sum", "in", 2), ("part", "out", 1))),
    ]
    widths = {"sum": (len(first) + 2 * len(second), 4), "part": (3, half + len(second) - half)}
    latency = {name: lambda i, o: i * o / 1000 for name in widths}
    whole = sum(latency[name](*width) for name, width in widths.items())
    result = allocate(groups, widths, latency, whole / goal)
    left = {
        "sum": len(first) + 2 * len(second) - len(result.taken[0]) - 2 * len(result.taken[1]),
        "part": widths["part"][1] - sum(owned[unit] for unit in result.taken[0]) - len(result.taken[1]),
    }
    assert left["sum"] >= KEEP_SHARE * widths["sum"][0] and left["part"] >= max(1, KEEP_SHARE * widths["part"][1])
    assert abs(result.after_ms - left["sum"] * 4 / 1000 - 3 * left["part"] / 1000) < 1e-9
