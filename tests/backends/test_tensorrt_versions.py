"""Releases of TensorRT by any way of writing them, and what differs between them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetune.backends.tensorrt_versions import RELEASES, find_release
from edgetune.errors import InputError


@pytest.mark.parametrize("text", ["10.3", "tensorrt-10.3", "10.3.0", "tensorrt-10.3.0.30"])
def test_ways_to_write_a_release(text):
    assert find_release(text) is RELEASES["10.3"]


@pytest.mark.parametrize(
    ("text", "nearest"),
    [("10.99", "10.9"), ("tensorrt-9.1", "tensorrt-"), ("8.7", "8."), ("", "tensorrt-"), ("11", "11")],
)
def test_an_unknown_release_names_the_nearest(text, nearest):
    with pytest.raises(InputError, match="not known") as caught:
        find_release(text)
    assert nearest in caught.value.hint


@given(st.text(max_size=12))
def test_any_text_is_a_release_or_an_error(text):
    try:
        assert find_release(text).name in RELEASES
    except InputError as problem:
        assert "not known" in problem.message


def test_families_and_limits():
    assert {release.family for release in RELEASES.values()} == {8, 10, 11}
    assert [name for name, release in RELEASES.items() if not release.strongly_typed] == ["8.5", "8.6"]
    order = sorted(RELEASES.values(), key=lambda release: tuple(map(int, release.name.split("."))))
    assert list(RELEASES.values()) == order
    limits = [release.newest_opset for release in order]
    assert limits == sorted(limits) and {"10.0", "10.16", "11.0"} <= set(RELEASES)
