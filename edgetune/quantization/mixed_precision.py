"""Which layers of an INT8 network go back to float: those that give back most accuracy for the time they cost."""

from collections.abc import Mapping

SMALLEST_MS = 1e-6  # what costs less than can be timed costs nothing


def by_gain_per_ms(gains: Mapping[str, float], lost_ms: Mapping[str, float]) -> list[str]:
    """Layers in the order in which they go back to float.

    Layers that are no slower in float come first, the largest gain before; the others by gain per millisecond lost,
    which is the greedy order for a knapsack (Dantzig 1957). Layers that could not be timed come last.

    Args:
        gains: what each layer in float alone gives back, in any unit; those without a gain are left out.
        lost_ms: by how much the engine becomes slower with that layer in float; negative: faster.
    """

    def order(name: str) -> tuple[int, float]:
        if name not in lost_ms:
            return 2, -gains[name]
        if lost_ms[name] <= SMALLEST_MS:
            return 0, -gains[name]
        return 1, -gains[name] / lost_ms[name]

    return sorted((name for name, gain in gains.items() if gain > 0), key=order)
