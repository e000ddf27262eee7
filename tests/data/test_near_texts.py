"""Nearly equal texts are found, others are not, and the work grows with the texts, not with their pairs."""

import random
import time

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgetune.data.near_texts import jaccard, minima, near_texts
from edgetune.data.texts import folded

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def prose(count, seed=0):
    rng = random.Random(seed)
    words = ["".join(rng.choices(LETTERS, k=rng.randint(2, 9))) for _ in range(2000)]
    return [" ".join(rng.choices(words, k=rng.randint(12, 30))) for _ in range(count)]


def found(texts, parts=None, at_least=0.8):
    return {(pair.first, pair.second) for pair in near_texts(texts, parts or [0] * len(texts), at_least)}


def test_one_changed_word_of_many_is_near_and_other_texts_are_not():
    texts = prose(300)
    changed = [text.replace(text.split()[5], "zebra", 1) for text in texts[:100]]
    wanted = {(i, 300 + i) for i in range(100) if jaccard(folded(texts[i]), folded(changed[i])) >= 0.8}
    assert len(wanted) > 80 and found([*texts, *changed]) == wanted


def test_case_punctuation_and_width_make_no_difference():
    text = prose(1)[0]
    assert found([text, f"  {text.upper().replace(' ', ', ')}!"]) == {(0, 1)}


def test_short_texts_are_left_out():
    assert found(["where is my card", "where is my cards"]) == set()


@given(st.lists(st.text(), max_size=6))
def test_any_texts_can_be_compared_and_what_is_reported_holds(texts):
    for pair in near_texts([*texts, *texts], [0] * 2 * len(texts), 0.8):
        again = jaccard(folded((texts * 2)[pair.first]), folded((texts * 2)[pair.second]))
        assert pair.first < pair.second and pair.similarity == again >= 0.8


def test_equal_minima_estimate_the_similarity():
    text = folded(" ".join(prose(20)))
    other = text[: len(text) // 2] + folded(" ".join(prose(10, seed=1)))
    first, second = minima([text, other])
    assert abs(np.mean(first == second) - jaccard(text, other)) < 0.15


def test_thousands_of_copies_cost_no_thousands_squared_and_the_other_split_is_still_found():
    texts = [f"this very long template is the same again and again, but for its number {i}" for i in range(6000)]
    parts = [0] * 5990 + [1] * 10
    started = time.perf_counter()
    pairs = found(texts, parts)
    assert time.perf_counter() - started < 60 and len(pairs) < 20 * len(texts)
    assert {second for first, second in pairs if first < 5990 <= second} == set(range(5990, 6000))
