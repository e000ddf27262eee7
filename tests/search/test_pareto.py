"""Fronts and hypervolumes against definitions that are slow and plain."""

from itertools import combinations
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetune.search.pareto import dominates, front, hypervolume

coordinate = st.integers(0, 12).map(lambda number: number / 8)  # exact in binary, with ties and points outside
points_in = {n: st.lists(st.tuples(*[coordinate] * n), max_size=6) for n in (1, 2, 3)}
any_points = st.sampled_from([1, 2, 3]).flatmap(lambda n: st.tuples(st.just((1.0,) * n), points_in[n]))


def by_inclusion_and_exclusion(points, reference):
    """The volume of a union of boxes, from those of all their intersections."""
    inside = [point for point in points if all(a < b for a, b in zip(point, reference, strict=True))]
    total = 0.0
    for count in range(1, len(inside) + 1):
        for some in combinations(inside, count):
            corner = [max(values) for values in zip(*some, strict=True)]
            total -= (-1) ** count * prod(b - a for a, b in zip(corner, reference, strict=True))
    return total


@given(any_points)
def test_hypervolume_is_the_volume_of_the_union(drawn):
    reference, points = drawn
    assert hypervolume(points, reference) == pytest.approx(by_inclusion_and_exclusion(points, reference))


@given(any_points)
def test_only_the_front_counts_and_more_points_never_make_it_smaller(drawn):
    reference, points = drawn
    whole = hypervolume(points, reference)
    assert hypervolume([points[i] for i in front(points)], reference) == pytest.approx(whole)
    assert hypervolume(points[:-1], reference) <= whole + 1e-12


@given(points_in[2])
def test_what_is_not_on_the_front_is_dominated_or_there_already(points):
    found = front(points)
    assert not any(dominates(points[i], points[j]) for i in found for j in found)
    for number, point in enumerate(points):
        assert number in found or any(dominates(points[i], point) or points[i] == point for i in found)


def test_a_case_by_hand():
    # Two overlapping boxes, 0.8 x 0.5 and 0.4 x 0.9, share 0.4 x 0.5; the third point is behind the first.
    points = [(0.2, 0.5), (0.6, 0.1), (0.3, 0.6), (0.0, 1.0)]
    assert hypervolume(points, (1.0, 1.0)) == pytest.approx(0.4 + 0.36 - 0.2)
    assert front(points) == [0, 1, 3]
    assert hypervolume([], (1.0, 1.0)) == 0.0
