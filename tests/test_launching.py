"""Which of several processes that ended is to blame."""

from hypothesis import given
from hypothesis import strategies as st

from edgetune.api.launching import _cause
from edgetune.processes import LOST


@given(st.dictionaries(st.integers(0, 7), st.sampled_from([LOST, -9, -11, 1]), min_size=1))
def test_one_that_lost_another_is_blamed_only_if_all_did(codes):
    rank, code = _cause(codes)
    assert codes[rank] == code
    assert (code == LOST) == (set(codes.values()) == {LOST})
