"""Inputs from declared types and shapes, and what cannot be made up."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetune.errors import InputError
from edgetune.measure.inputs import DTYPES, Declared, make_inputs, parse_shapes, unknown_shapes


def one(shape, type="tensor(float)", name="image"):
    return [Declared(name=name, type=type, shape=shape)]


def made(shape, *, shapes=None, batch=None, **options):
    return make_inputs(one(shape, **options), shapes=shapes or {}, batch=batch, seed=0)


@given(
    st.dictionaries(
        st.text(min_size=1).filter(lambda name: "=" not in name),
        st.lists(st.integers(1, 9999), min_size=1, max_size=5).map(tuple),
    )
)
def test_shapes_are_read_back_as_written(shapes):
    assert parse_shapes(f"{name}={'x'.join(map(str, sizes))}" for name, sizes in shapes.items()) == shapes


@given(st.text())
def test_no_text_breaks_the_parser(text):
    try:
        (sizes,) = parse_shapes([text]).values()
    except InputError as error:
        assert "--shape" in error.message
    else:
        assert all(size >= 1 for size in sizes)


@pytest.mark.parametrize(
    "text", ["", "image", "=1x3", "image=", "image=1x0", "image=1x-3", "image=1X3", "image=1x", "a=٣"]
)
def test_other_forms_are_refused(text):
    with pytest.raises(InputError, match="is not NAME="):
        parse_shapes([text])


def test_a_name_twice_is_refused():
    with pytest.raises(InputError, match="image twice"):
        parse_shapes(["image=1x2", "image=1x3"])


@pytest.mark.parametrize("type", DTYPES)
def test_every_type_has_an_array(type):
    array = made([2, 3], type=type)["image"]
    assert (array.shape, array.dtype.name) == ((2, 3), DTYPES[type])
    assert np.isfinite(array.astype(np.float64)).all()
    if array.dtype.kind != "f":
        assert (array == 1).all()


def test_a_free_first_dimension_is_the_batch_and_others_need_a_size():
    assert made(["N", 3, 8])["image"].shape == (1, 3, 8)
    assert made([None, 3, 8], batch=5)["image"].shape == (5, 3, 8)
    assert made(["N", "seq"], shapes={"seq": (64,)}, batch=2)["image"].shape == (2, 64)
    assert made(["N", None, 8], shapes={"image": (2, 7, 8)})["image"].shape == (2, 7, 8)
    assert made([])["image"].shape == ()
    with pytest.raises(InputError, match=r"\[N, 3, \?\], whose dimension 2 has no size") as caught:
        made(["N", 3, None])
    assert "--shape image=1x3x1" in caught.value.hint


@pytest.mark.parametrize(
    ("shape", "shapes", "batch", "says"),
    [
        ([1, 3], {"image": (1, 4)}, None, "does not fit"),
        ([1, 3], {"image": (1, 3, 1)}, None, "does not fit"),
        ([1, 3], {}, 2, "has batch 1"),
        (["N", 3], {"image": (4, 3)}, 2, "has batch 4"),
        (["N", "h", "w"], {"h": (99999,), "w": (99999,)}, None, "more than"),
    ],
)
def test_what_the_graph_does_not_take_is_refused(shape, shapes, batch, says):
    with pytest.raises(InputError, match=says):
        made(shape, shapes=shapes, batch=batch)


def test_text_and_sequences_are_refused():
    for type in ("tensor(string)", "seq(tensor(float))"):
        with pytest.raises(InputError, match="only plain numbers"):
            made([1], type=type)


def test_the_seed_and_the_name_decide_the_numbers():
    declared = one([4]) + one([4], name="other")
    first, again = (make_inputs(declared, shapes={}, batch=None, seed=1) for _ in range(2))
    other = make_inputs(declared, shapes={}, batch=None, seed=2)
    assert (first["image"] == again["image"]).all()
    assert (first["image"] != other["image"]).any() and (first["image"] != first["other"]).any()


def test_names_that_nothing_has_are_found():
    declared = one(["N", "seq"])
    assert unknown_shapes({"seq": (4,), "image": (1, 4), "imgae": (1, 4)}, declared) == ["imgae"]
