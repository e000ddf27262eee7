"""What is made next, for any outcome of what was made before."""

from hypothesis import given
from hypothesis import strategies as st

from edgetune.controller.decide import Result, decide
from edgetune.plan.candidates import UNPRUNED
from edgetune.records import Pruning, Rung
from edgetune.rungs import FOR_PICTURES

NAMES = [treatment.name for treatment in FOR_PICTURES]
TWO, GENTLE = Pruning(speedup=2.0), Pruning(speedup=1.25)


def rungs(*networks, names=NAMES):
    found = []
    for pruning in networks:
        found += [Rung(pruning=pruning, treatment=name) for name in ([None] if pruning.asked else []) + names]
    return tuple(found)


LADDER = rungs(UNPRUNED, TWO, GENTLE)
SHIPS = Result(inside=True, faster=True, speedup=2.0)
results = st.builds(
    Result,
    failed=st.booleans(),
    drop_points=st.floats(-5, 5),
    inside=st.booleans(),
    faster=st.booleans(),
    speedup=st.floats(0.5, 8),
    fits=st.booleans(),
)
ladders = st.builds(
    rungs,
    st.just(UNPRUNED),
    st.just(TWO),
    st.just(GENTLE),
    names=st.integers(0, len(NAMES)).map(lambda count: NAMES[:count]),
)


def climbed(ladder, outcome, **more):
    """All rungs that are tried, and the last decision, when each comes to ``outcome``."""
    tried = {}
    while (made := decide(ladder, tried, **more)).rung is not None:
        assert made.rung not in tried and made.rung in ladder
        assert set(made.skipped) <= set(ladder) - set(tried) - {made.rung}
        tried[made.rung] = outcome(made.rung)
    return tried, made


@given(ladders, st.data(), st.booleans())
def test_it_ends_tells_of_every_rung_and_tries_nothing_costlier_where_a_cheaper_one_satisfied(ladder, data, limited):
    tried, end = climbed(ladder, lambda rung: data.draw(results), limited=limited)
    assert set(tried) | set(end.skipped) == set(ladder) and not set(tried) & set(end.skipped)
    assert all(end.skipped.values())
    order = list(tried)
    assert order == [rung for rung in ladder if rung in tried]  # never back
    for number, rung in enumerate(order):
        before = order[:number]
        shipping = [one for one in before if tried[one].ships]
        assert not (limited and shipping)
        assert not any(one.pruning == rung.pruning and one.treatment for one in shipping)
        assert not any(one.pruning.asked and one.pruning != rung.pruning and one.treatment for one in shipping)


@given(st.data())
def test_what_is_decided_depends_on_nothing_but_what_was_tried(data):
    tried, _ = climbed(LADDER, lambda rung: data.draw(results))
    again, _ = climbed(LADDER, tried.__getitem__)
    assert list(again) == list(tried)


@given(ladders, st.dictionaries(st.sampled_from(LADDER), results))
def test_nothing_begins_when_the_time_is_over(ladder, tried):
    tried = {rung: result for rung, result in tried.items() if rung in ladder}
    made = decide(ladder, tried, over=lambda rung: "no time")
    assert made.rung is None and set(made.skipped) == set(ladder) - set(tried)
    open_ = decide(ladder, tried).rung
    assert open_ is None or made.skipped[open_] == "no time"


@given(ladders, st.sets(st.sampled_from(LADDER)), st.data())
def test_what_there_is_no_time_for_is_left_out_and_the_rest_goes_on(ladder, late, data):
    tried, end = climbed(ladder, lambda rung: data.draw(results), over=lambda rung: "late" if rung in late else None)
    assert not late & set(tried) and {rung for rung, why in end.skipped.items() if why == "late"} <= late


def names_tried(outcomes, ladder=LADDER, **more):
    tried, _ = climbed(ladder, lambda rung: outcomes.get((rung.pruning.speedup, rung.treatment), Result()), **more)
    return [(rung.pruning.speedup, rung.treatment) for rung in tried]


def test_the_first_pruning_that_ships_in_int8_ends_it():
    outcomes = {(None, "int8"): SHIPS, (2.0, None): SHIPS, (2.0, "int8"): Result(inside=True, faster=True, speedup=4)}
    assert names_tried(outcomes) == [(None, "int8"), (2.0, None), (2.0, "int8")]


def test_a_limit_that_the_first_engine_keeps_is_enough():
    assert names_tried({(None, "int8"): SHIPS}, limited=True) == [(None, "int8")]


def test_repairs_come_one_after_the_other_until_one_is_enough():
    slow = Result(faster=True, speedup=2.0, drop_points=3.0)
    outcomes = {(None, name): slow for name in NAMES[:2]} | {(None, NAMES[2]): SHIPS}
    assert names_tried(outcomes, rungs(UNPRUNED)) == [(None, name) for name in NAMES[:3]]


def test_what_the_whole_network_was_not_saved_by_is_tried_only_on_one_that_starts_better():
    lost = Result(faster=True, speedup=2.0, drop_points=3.0)
    whole = {(None, name): lost for name in NAMES}
    worse = whole | {(2.0, None): Result(inside=True, faster=True, speedup=1.5, drop_points=0.5)}
    better = whole | {(2.0, None): Result(inside=True, faster=True, speedup=1.5, drop_points=-1.5)}
    ladder = rungs(UNPRUNED, TWO)
    assert [one for one in names_tried(worse, ladder) if one[0] == 2.0] == [(2.0, None)]
    assert (2.0, "int8") in names_tried(better, ladder)


def test_int8_that_is_no_faster_is_not_repaired():
    slower = Result(inside=True, speedup=0.4)
    tried = names_tried({(None, "int8"): slower, (2.0, None): SHIPS, (2.0, "int8"): slower})
    assert tried == [(None, "int8"), (2.0, None), (2.0, "int8")]
    worse = Result(drop_points=3.0, speedup=0.4)
    assert names_tried({(None, "int8"): worse, (2.0, None): SHIPS}) == [(None, "int8"), (2.0, None)]


def test_nothing_gentler_is_tried_when_what_is_pruned_more_is_over_the_limits():
    big = Result(inside=True, faster=True, speedup=4.0, fits=False)
    tried = names_tried({(None, "int8"): big, (2.0, None): big, (2.0, "int8"): big}, limited=True)
    assert not any(speedup == 1.25 for speedup, _ in tried)
