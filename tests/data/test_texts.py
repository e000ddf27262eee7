"""Text datasets: what is read, in which words the rest is refused, and that equal texts are known as such."""

import csv
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetune.data.findings import examine
from edgetune.data.index import DatasetIndex, build_index
from edgetune.data.texts import content_digest, fingerprint_texts, is_text_data, scan_texts
from edgetune.errors import DataError

words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1).filter(str.strip)


def index(path, **more):
    options = {"val_fraction": 0.2, "test_fraction": 0.2, "on_bad_file": "error", "seed": 0}
    return build_index(path, **{**options, **more})


def write(path, content, encoding="utf-8"):
    path.write_bytes(content.encode(encoding))
    return path


@given(rows=st.lists(st.tuples(words, st.sampled_from("ab")), min_size=1))
def test_any_text_survives_a_csv(tmp_path, rows):
    path = tmp_path / "t.csv"
    rows = [*rows, ("one", "a"), ("two", "b")]
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    found = [(row.text, row.label) for row in scan_texts(path).rows]
    # Spaces at the start of a field are no part of it, as in any CSV written by hand.
    assert found == [(text.lstrip(" "), label) for text, label in rows] or found == rows


@given(rows=st.lists(st.tuples(st.text(min_size=1), st.sampled_from("ab")), min_size=1))
def test_any_text_survives_json_lines(tmp_path, rows):
    rows = [*rows, ("one", "a"), ("two", "b")]
    lines = [json.dumps({"text": text, "label": label}) for text, label in rows]
    path = write(tmp_path / "t.jsonl", "\n".join(lines))
    assert [(row.text, row.label) for row in scan_texts(path).rows] == rows


def test_a_text_over_several_lines_is_found_where_it_begins(tmp_path):
    path = write(tmp_path / "t.csv", 'text,label\n"one\ntwo",a\nthree,b\n')
    assert [(row.where, row.text) for row in scan_texts(path).rows] == [("t.csv:2", "one\ntwo"), ("t.csv:4", "three")]


def test_a_byte_order_mark_and_spaces_around_labels_do_no_harm(tmp_path):
    path = write(tmp_path / "t.csv", "text, label\nhello,a \nbye, b\n", "utf-8-sig")
    assert scan_texts(path).labels == ("a", "b")


def test_numbers_are_texts_and_labels_in_a_csv(tmp_path):
    listing = scan_texts(write(tmp_path / "t.csv", "text,label\n12,0\n13,1\n"))
    assert listing.labels == ("0", "1") and listing.rows[0].text == "12"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("text,label\nno, thanks,a\n", "3 fields under 2 columns"),
        ("sentence,label\nx,a\n", "has columns sentence, label"),
        ("text,label\nx,\ny\n", "t.csv gives no sample a label"),
        ("text,label,split\nx,a,eval\ny,b,train\n", 'split "eval" is not one of train, val .or valid, validation, dev'),
        ("text,label\n", "holds no samples"),
        ("text,label\nx,a\n", "one class only"),
        ('text,label\n"x"y,a\n', "not readable as CSV"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, content, says):
    with pytest.raises(DataError, match=says) as caught:
        scan_texts(write(tmp_path / "t.csv", content))
    assert caught.value.hint or "label" in says or "split" in says


@pytest.mark.parametrize(
    ("line", "says"),
    [("{", "t.jsonl:1: not JSON"), ("[]", "not a JSON object"), ('{"label": "a"}', "text is missing"),
     ('{"text": 3, "label": "a"}', "3, no text"), ('{"text": "x", "label": 0.5}', "0.5, no name"),
     ('{"text": "x", "label": true}', "True, no name")],
)  # fmt: skip
def test_json_lines_that_are_wrong_are_named(tmp_path, line, says):
    with pytest.raises(DataError, match=says.replace("(", r"\(")):
        scan_texts(write(tmp_path / "t.jsonl", line))


def test_latin_1_is_told_how_to_convert(tmp_path):
    with pytest.raises(DataError, match="not UTF-8") as caught:
        scan_texts(write(tmp_path / "t.csv", "text,label\ncaf\xe9,a\nx,b\n", "latin-1"))
    assert "iconv" in str(caught.value.hint)


def test_texts_are_told_from_pictures_by_the_first_line(tmp_path):
    assert is_text_data(write(tmp_path / "t.csv", "Text,Label\n"))
    assert is_text_data(write(tmp_path / "t.jsonl", ""))
    assert not is_text_data(write(tmp_path / "p.csv", "path,label\n"))
    assert not is_text_data(tmp_path / "missing.csv")
    folder = tmp_path / "splits"
    folder.mkdir()
    assert not is_text_data(folder)
    write(folder / "train.csv", "text,label\n")
    assert is_text_data(folder)
    write(folder / "val.csv", "path,label\n")
    assert not is_text_data(folder)


def test_split_files_and_their_splits(tmp_path):
    write(tmp_path / "train.csv", "text,label\nx,a\ny,b\n")
    write(tmp_path / "dev.jsonl", '{"text": "z", "label": "a"}\n')
    assert [(row.where, row.split) for row in scan_texts(tmp_path).rows] == [
        ("dev.jsonl:1", "val"), ("train.csv:2", "train"), ("train.csv:3", "train")
    ]  # fmt: skip
    before = fingerprint_texts(tmp_path)
    write(tmp_path / "train.csv", "text,label\nx,a\nY,b\n")
    assert fingerprint_texts(tmp_path) != before


@given(text=words)
def test_case_spaces_and_punctuation_make_no_other_text(text):
    assert content_digest(text) == content_digest(f"  {text} ")
    assert content_digest("Well, well!") == content_digest("well well") != content_digest("well")
    assert content_digest("?!") != content_digest("...")


def texts_of(*labels, split):
    return "".join(f"{split} {label} number {i},{label}\n" for label in labels for i in range(12))


def test_the_index_carves_keeps_texts_and_comes_back_from_json(tmp_path):
    path = write(tmp_path / "t.csv", "text,label\n" + texts_of("a", "b", split="x"))
    made = index(path)
    assert made.carved == ("test", "val") and made.noun == "text"
    assert {split: len(made.split(split)) for split in ("train", "val", "test")} == {"train": 16, "val": 4, "test": 4}
    assert DatasetIndex.from_json(made.to_json()) == made


def test_empty_texts_are_an_error_or_left_out(tmp_path):
    path = write(tmp_path / "t.csv", "text,label\n ,a\n" + texts_of("a", "b", split="x"))
    with pytest.raises(DataError, match=r"t\.csv:2 is empty"):
        index(path)
    assert index(path, on_bad_file="skip").skipped == (("t.csv:2", "is empty"),)


def test_the_same_text_in_two_splits_is_a_leak(tmp_path):
    write(tmp_path / "train.csv", "text,label\nWhere is my card?,a\n" + texts_of("a", "b", split="train"))
    write(tmp_path / "test.csv", "text,label\nwhere is my card,a\n" + texts_of("a", "b", split="test"))
    found = {finding.id: finding for finding in examine(index(tmp_path))}
    assert found["leak"].severity == "error" and "1 text in more than one split" in found["leak"].problem
    assert found["leak"].examples == ("train.csv:2 = test.csv:2",)
    assert "look-alike" not in found


def test_texts_that_are_nearly_the_same_are_told_of_within_and_across_splits(tmp_path):
    said = "I would like to know where the card is that I ordered {} from the branch in the high street"
    twice = "Somebody took money out of my account on {} and I did not allow it at all, please help"
    write(tmp_path / "train.csv", f"text,label\n{said.format('two weeks ago')},a\n" + texts_of("a", "b", split="train"))
    rows = [(said.format("three weeks ago"), "a"), (twice.format("Monday"), "b"), (twice.format("Tuesday"), "b")]
    listed = "".join(f'"{text}",{label}\n' for text, label in rows)
    write(tmp_path / "test.csv", "text,label\n" + listed + texts_of("a", "b", split="test"))
    found = {finding.id: finding for finding in examine(index(tmp_path))}
    assert found["look-alike"].severity == "warning" and found["look-alike"].count == 1
    assert found["look-alike"].examples[0].startswith("train.csv:2 ~ test.csv:2 (")
    assert found["near-duplicate"].severity == "info" and found["near-duplicate"].count == 1
    assert "leak" not in found
