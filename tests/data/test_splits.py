"""Carved splits: by class, the same every time, and never all of a class."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from edgetune.data.splits import carve

samples = st.lists(st.integers(0, 4), min_size=1, max_size=60)


@given(samples, st.floats(0.01, 0.49), st.integers(0, 5), st.randoms())
def test_carving(labels, fraction, seed, random):
    paths = [f"{number}.png" for number in range(len(labels))]
    taken = carve(paths, labels, fraction, seed)
    by_class = Counter(labels)
    carved = Counter(label for path, label in zip(paths, labels, strict=True) if path in taken)
    for label, count in by_class.items():
        assert carved[label] < count or count == 0
        assert carved[label] >= (1 if count > 1 else 0)
        assert abs(carved[label] - fraction * count) <= 1
    order = list(range(len(labels)))
    random.shuffle(order)
    assert carve([paths[i] for i in order], [labels[i] for i in order], fraction, seed) == taken


def test_a_sample_more_moves_no_other():
    paths = [f"{number}.png" for number in range(100)]
    before = carve(paths, [0] * 100, 0.2, 0)
    after = carve([*paths, "new.png"], [0] * 101, 0.2, 0)
    assert len(before ^ after) <= 2
