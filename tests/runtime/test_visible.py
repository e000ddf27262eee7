"""What would steer a terminal is shown; everything else stays as it is."""

import unicodedata

from edgetune_runtime.visible import visible
from hypothesis import given
from hypothesis import strategies as st


def test_an_escape_sequence_is_shown_and_not_obeyed():
    assert visible("\x1b[2Jcat\x07") == r"\x1b[2Jcat\x07"
    assert visible("exe\u202egnp.jpg") == r"exe\u202egnp.jpg"
    assert visible("a\udcffb.png") == r"a\udcffb.png"


def test_words_in_any_writing_stay_as_they_are():
    for text in ("naïve Größe", "犬と猫\n\tひと", "قطة", "👩‍👩‍👧", "50 % × 2 – 3"):
        assert visible(text) == text


@given(st.text())
def test_nothing_that_steers_is_left_and_it_can_be_printed(text):
    shown = visible(text)
    assert not {c for c in shown if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")} - {"\n", "\t"}
    assert shown.encode("utf-8").decode("utf-8") == shown
    assert visible(shown) == shown
