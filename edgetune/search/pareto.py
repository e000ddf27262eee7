"""Pareto fronts and their hypervolume. All coordinates are to be small."""

from collections.abc import Sequence

Point = tuple[float, ...]


def dominates(one: Point, other: Point) -> bool:
    """Whether ``one`` is nowhere worse than ``other``, and somewhere better."""
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


def front(points: Sequence[Point]) -> list[int]:
    """Indices of the ``points`` that no other dominates; of equal points the first."""
    return [
        number
        for number, point in enumerate(points)
        if point not in points[:number] and not any(dominates(other, point) for other in points)
    ]


def hypervolume(points: Sequence[Point], reference: Point) -> float:
    """The volume that is dominated by ``points`` and dominates ``reference`` (Zitzler and Thiele 1999).

    By slices along the last coordinate (While et al. 2006), which in two dimensions is a sweep. Points that are not
    better than the reference everywhere add nothing.
    """
    inside = sorted({p for p in points if all(a < b for a, b in zip(p, reference, strict=True))}, key=lambda p: p[-1])
    if not inside:
        return 0.0
    if len(reference) == 1:
        return reference[0] - inside[0][0]
    ends = [*(point[-1] for point in inside[1:]), reference[-1]]
    return sum(
        (end - point[-1]) * hypervolume([p[:-1] for p in inside[:number]], reference[:-1])
        for number, (point, end) in enumerate(zip(inside, ends, strict=True), start=1)
        if end > point[-1]
    )
