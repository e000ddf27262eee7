"""Samples of two test sets are paired by content and label, each once."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from edgetune.compare.match import match

test_set = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 2)), max_size=40)


def matched(a, b):
    return match([x for x, _ in a], [y for _, y in a], [x for x, _ in b], [y for _, y in b])


@given(test_set, test_set)
def test_pairs_are_equal_and_every_sample_is_counted_once(a, b):
    found = matched(a, b)
    assert [a[i] for i in found.a] == [b[j] for j in found.b]
    assert len(set(found.a.tolist())) == found.a.size and len(set(found.b.tolist())) == found.b.size
    assert found.a.size == sum((Counter(a) & Counter(b)).values())
    assert found.a.size + found.relabelled + found.only_a == len(a)
    assert found.a.size + found.relabelled + found.only_b == len(b)
    # by content alone there are as many pairs as with the relabelled ones
    assert found.a.size + found.relabelled == sum((Counter(x for x, _ in a) & Counter(x for x, _ in b)).values())


@given(test_set, st.randoms())
def test_the_order_of_a_test_set_does_not_matter(a, random):
    other = a[:]
    random.shuffle(other)
    found = matched(a, other)
    assert found.a.tolist() == list(range(len(a)))
    assert (found.relabelled, found.only_a, found.only_b) == (0, 0, 0)


@given(test_set, test_set)
def test_it_is_the_same_from_the_other_side(a, b):
    there, back = matched(a, b), matched(b, a)
    assert there.a.size == back.a.size and there.relabelled == back.relabelled
    assert (there.only_a, there.only_b) == (back.only_b, back.only_a)


def test_a_relabelled_sample_is_no_pair():
    found = matched([("x", 0), ("y", 1), ("z", 2)], [("x", 1), ("y", 1), ("w", 0)])
    assert found.a.tolist() == [1] and (found.relabelled, found.only_a, found.only_b) == (1, 1, 1)
