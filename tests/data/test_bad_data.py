"""What people really have in their files: typing errors, other encodings, other separators, the wrong column."""

import csv
import shutil

import pytest
from click.testing import CliRunner
from conftest import write_images

from edgetune import api
from edgetune.cli import cli
from edgetune.data.clean import write_list
from edgetune.data.findings import examine
from edgetune.data.index import build_index
from edgetune.data.wording import told_apart
from edgetune.errors import DataError, InputError
from edgetune.recipe import load_recipe


def lines(count=12, labels=("positive", "negative")):
    return "".join(f"words about matter {i} of {label[::-1]},{label}\n" for i in range(count) for label in labels)


def write(path, content, encoding="utf-8"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode(encoding))
    return path


def found(path):
    index = build_index(path, val_fraction=0.2, test_fraction=0.2, on_bad_file="skip", seed=0)
    return index, {finding.id: finding for finding in examine(index)}


def test_mistyped_labels_are_to_be_merged_into_the_usual_one(tmp_path):
    typos = lines(4, ("Positive", "positve", "neg-ative", " negative\u00a0"))
    index, here = found(write(tmp_path / "t.csv", "text,label\n" + lines() + typos))
    assert set(index.labels) == {"positive", "negative", "Positive", "positve", "neg-ative"}
    assert here["label-typo"].severity == "warning" and "used more" in here["label-typo"].do
    for example in ('"positve" (4) may be "positive" (12)', '"neg-ative" (4) may be "negative" (16)'):
        assert example in here["label-typo"].examples


def test_equal_letters_in_other_code_points_are_one_label(tmp_path):
    _, here = found(write(tmp_path / "t.csv", "text,label\n" + lines(6, ("caf\u00e9", "cafe\u0301", "tea"))))
    assert here["label-typo"].count == 1


def test_a_number_written_in_two_ways_is_one_label(tmp_path):
    rows = "".join(f"words number {i} of these,{('0', '1', '-1')[i % 3]}\n" for i in range(36))
    _, here = found(write(tmp_path / "t.csv", "text,label\n" + rows + "more words,0.0\n" * 3))
    assert here["label-typo"].examples == ('"0.0" (3) may be "0" (12), the same number',)


def test_labels_that_look_alike_are_told_apart(tmp_path):
    folder = write_images(tmp_path / "d", splits={"train": 30})
    (folder / "train/blob").rename(folder / "train/3")
    (folder / "train/cross").rename(folder / "train/3 ")
    for file in sorted((folder / "train/3 ").iterdir())[1:]:
        file.unlink()
    shutil.copytree(folder / "train", folder / "val")
    shutil.copytree(folder / "train", folder / "test")
    _, here = found(folder)
    assert here["imbalance"].problem == '3 has 30 training pictures and "3 " has 1'
    assert here["few-test"].examples == ('"3 ": 1',)
    assert [told_apart(label) for label in ("a b", "a  b", "a\u00a0b", "cafe\u0301", "caf\u00e9")] == [
        "a b", '"a  b"', '"a\\xa0b"', '"cafe\\u0301"', "caf\u00e9",
    ]  # fmt: skip


def test_a_label_too_rare_to_split_may_be_a_misspelling(tmp_path):
    _, here = found(write(tmp_path / "t.csv", "text,label\n" + lines() + "one more,negatve\n"))
    assert here["too-few"].severity == "error" and here["too-few"].examples == ("negatve: 1",)
    assert '"negatve" may be "negative": then merge them' in here["too-few"].do


def test_a_label_that_train_lacks_may_be_a_misspelling(tmp_path):
    write(tmp_path / "train.csv", "text,label\n" + lines())
    write(tmp_path / "val.csv", "text,label\nsomething,negatve\nanother,positive\n")
    with pytest.raises(DataError, match=r"negatve\) of val do not occur in train") as caught:
        found(tmp_path)
    assert '"negatve" may be "negative"' in str(caught.value.hint)


def test_a_column_that_holds_no_labels_is_doubted(tmp_path):
    swapped = "".join(f"{'ab'[i % 2]},a sentence number {i}\n" for i in range(30))
    index, here = found(write(tmp_path / "t.csv", "text,label\n" + swapped))
    assert here["too-few"].count == 30 and "30 of 30 labels are that rare: are they labels?" in here["too-few"].do
    told = api.check(tmp_path / "t.csv", labels=True)  # a classifier of as many classes as texts would find nothing
    assert told["failed"] and not {"labels-judged", "label-error"} & {found["id"] for found in told["findings"]}
    with pytest.raises(DataError, match="fewer than two classes are left"):
        write_list(index, tmp_path / "clean.csv")
    assert not (tmp_path / "clean.csv").exists()


@pytest.mark.parametrize(
    ("name", "content", "where"),
    [
        ("t.csv", "text,label\n" + lines() + "a row,\nanother\n", ("t.csv:26", "t.csv:27")),
        ("p.csv", None, ("shapes/blob/000.png", "shapes/cross/001.png")),
        (
            "t.jsonl",
            "".join(f'{{"text": "words {i}", "label": {i % 2}}}\n' for i in range(9))
            + '{"text": "x", "label": null}\n{"text": "y", "label": " "}\n',
            ("t.jsonl:10", "t.jsonl:11"),
        ),
    ],
)
def test_rows_without_a_label_are_listed_and_can_be_left_out(tmp_path, name, content, where):
    if content is None:
        files = [
            file.relative_to(tmp_path).as_posix()
            for file in write_images(tmp_path / "shapes", splits={"": 9}).rglob("*.png")
        ]
        content = "path,label\n" + "".join(f"{file},{'' if file in where else file.split('/')[1]}\n" for file in files)
    path = write(tmp_path / name, content)
    index, here = found(path)
    assert index.skipped == tuple((place, "has no label") for place in where) and "" not in index.labels
    assert here["unusable"].count == 2 and "carved" in here
    with pytest.raises(DataError, match=f"2 of {len(index.samples) + 2} samples cannot be used") as caught:
        build_index(path, val_fraction=0.2, test_fraction=0.2, on_bad_file="error", seed=0)
    assert f"{where[0]} has no label" in str(caught.value)
    assert write_list(index, tmp_path / "clean.csv") == 2 and not found(tmp_path / "clean.csv")[0].skipped


def test_one_label_that_stands_for_none_is_told_as_that(tmp_path):
    _, here = found(write(tmp_path / "t.csv", "text,label\n" + lines() + "a row,null\n"))
    assert here["missing-label"].count == 1 and here["too-few"].examples == ("null: 1",)


def test_a_class_too_small_for_the_folds_of_a_recipe_is_an_error(tmp_path):
    write(tmp_path / "train.csv", "text,label\n" + lines() + "a lonely text,alone\n")
    for split in ("val", "test"):
        write(tmp_path / f"{split}.csv", "text,label\n" + lines().replace("matter", split))
    recipe = write(tmp_path / "edgetune.toml", '[model]\nname = "transformers/tiny"\n[data]\npath = "."\nfolds = 5\n')
    told = api.check(recipe)
    (finding,) = [finding for finding in told["findings"] if finding["severity"] == "error"]
    assert told["failed"] and finding["id"] == "few-for-folds" and finding["examples"] == ["alone (1)"]
    assert "`[data] folds = 0`" in finding["do"]
    recipe.write_text(recipe.read_text().replace("folds = 5", "folds = 0"))
    assert not api.check(recipe)["failed"]


def test_a_class_too_small_is_told_with_all_else_and_left_out_of_the_list(tmp_path):
    path = write(tmp_path / "t.csv", "text,label\n" + lines() + "one,alone\ntwo,alone\nN/A,positive\n,negative\n")
    told = api.check(path, fix=tmp_path / "clean.csv")
    assert told["failed"] and told["left_out"] == 3
    assert {"too-few", "unusable", "missing-value", "carved"} <= {finding["id"] for finding in told["findings"]}
    index, here = found(tmp_path / "clean.csv")
    assert index.labels == ("negative", "positive") and "too-few" not in here


@pytest.mark.parametrize("name", ["t.csv", "p.csv"])
@pytest.mark.parametrize(("encoding", "says"), [("latin-1", "iconv -f latin1"), ("utf-16", "iconv -f utf16")])
def test_other_encodings_are_named_with_the_command_that_converts(tmp_path, name, encoding, says):
    column = "text" if name == "t.csv" else "path"
    with pytest.raises(DataError, match="is not UTF-8 text") as caught:
        found(write(tmp_path / name, f"{column},label\nx,caf\xe9\n", encoding))
    assert says in str(caught.value.hint)


def test_marks_of_byte_order_and_ends_of_lines_do_no_harm(tmp_path):
    whole = "text,label\n" + lines()
    for number, content in enumerate((whole, "\ufeff" + whole, whole.replace("\n", "\r\n"), whole.replace("\n", "\r"))):
        index, here = found(write(tmp_path / f"{number}.csv", content))
        assert index.labels == ("negative", "positive") and len(index.samples) == 24 and set(here) <= CARVED


CARVED = {"carved", "few-train", "few-val", "few-test", "near-duplicate", "look-alike"}


def test_quotes_and_new_lines_in_texts_are_kept(tmp_path):
    text = 'he said "no"\nand, then,\n\nleft'
    with (tmp_path / "t.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), (text, "positive")])
        file.write(lines())
    index, _ = found(tmp_path / "t.csv")
    assert text in {sample.text for sample in index.samples}
    assert api.check(tmp_path / "t.csv", fix=tmp_path / "clean.csv", card=tmp_path / "card")["failed"] is False
    assert text in {sample.text for sample in found(tmp_path / "clean.csv")[0].samples}


@pytest.mark.parametrize(("mark", "name"), [(";", "semicolons"), ("\t", "tabs")])
def test_other_separators_are_named(tmp_path, mark, name):
    with pytest.raises(DataError, match="has columns text") as caught:
        found(write(tmp_path / "t.csv", ("text,label\n" + lines()).replace(",", mark)))
    assert f"not by {name}" in str(caught.value.hint)


def test_texts_that_are_numbers_are_doubted(tmp_path):
    rows = "".join(f'"{number * 37.5:,}",{"ab"[number % 2]}\n' for number in range(40))
    _, here = found(write(tmp_path / "t.csv", "text,label\n" + rows))
    assert here["numbers"].severity == "warning" and here["numbers"].count == 40
    _, here = found(write(tmp_path / "u.csv", "text,label\n" + lines() + "12,positive\n"))
    assert "numbers" not in here


def test_a_number_in_json_lines_is_to_be_quoted(tmp_path):
    with pytest.raises(DataError, match="its text is 12, no text") as caught:
        found(write(tmp_path / "t.jsonl", '{"text": 12, "label": "a"}\n'))
    assert '"text": "12"' in str(caught.value.hint)


def test_one_sample_of_a_class_is_told_and_stops_nothing(tmp_path):
    write(tmp_path / "train.csv", "text,label\n" + lines() + "a lonely text,alone\n")
    for split in ("val", "test"):
        write(tmp_path / f"{split}.csv", "text,label\n" + lines().replace("matter", split))
    _, here = found(tmp_path)
    assert "alone has 1" in here["imbalance"].problem and "alone: 0" in here["few-val"].examples
    told = api.check(tmp_path, labels=True, card=tmp_path.parent / "card2")
    assert [f["examples"] for f in told["findings"] if f["id"] == "labels-unjudged"] == [["alone"]]


def test_a_validation_set_out_of_train_is_called_that(tmp_path):
    write(tmp_path / "texts/train.csv", "text,label\n" + lines())
    write(tmp_path / "texts/val.csv", "text,label\n" + lines(5))
    write(tmp_path / "texts/test.csv", "text,label\n" + lines().replace("matter", "test"))
    _, here = found(tmp_path / "texts")
    assert here["leak"].severity == "error" and "10 texts in more than one split (all of val is in train" in str(
        here["leak"]
    )
    pictures = write_images(tmp_path / "pictures", splits={"train": 12})
    shutil.copytree(pictures / "train", pictures / "val")
    _, here = found(pictures)
    assert "all of val is in train" in here["leak"].problem


HOSTILE = "\x1b]0;owned\x07\x1b[2Jcat"


def test_escape_sequences_in_labels_and_file_names_do_not_reach_the_terminal(tmp_path):
    folder = write_images(tmp_path / "shapes", splits={"train": 6, "val": 6, "test": 6})
    kind = next((folder / "train").iterdir()).name
    for split in ("train", "val", "test"):
        (folder / split / kind).rename(folder / split / HOSTILE)
    (folder / "val" / HOSTILE / "\x1b[31mbroken.png").write_bytes(b"no picture")
    shutil.copy(next((folder / "train" / HOSTILE).glob("*.png")), folder / "test" / HOSTILE / "\x1b[5mleak.png")
    for arguments in (["check", str(folder)], ["check", str(folder), "--json"], ["check", str(tmp_path / HOSTILE)]):
        result = CliRunner().invoke(cli, arguments)
        assert result.exit_code in (2, 3)
        assert "\x1b" not in result.output and "\x07" not in result.output
        assert "owned" in result.output


@pytest.mark.parametrize("content", ["text,label\n" + lines(12, ("a\x1b[2Jb", "c")), "path,label\nx.png,\x1b[2Ja\n"])
def test_escape_sequences_in_a_list_do_not_either(tmp_path, content):
    result = CliRunner().invoke(cli, ["check", str(write(tmp_path / "list.csv", content))])
    assert result.exit_code in (0, 1, 2) and "\x1b" not in result.output


def test_a_class_of_copies_is_not_in_the_cleaned_list(tmp_path):
    """One row of it would be too few once val and test are carved."""
    path = write(tmp_path / "t.csv", "text,label\n" + lines() + "the same words,copies\n" * 12)
    write_list(found(path)[0], tmp_path / "clean.csv")
    index, here = found(tmp_path / "clean.csv")
    assert index.labels == ("negative", "positive") and len(index.samples) == 24 and "too-few" not in here
    path = write(tmp_path / "u.csv", "text,label\n" + "the same words,copies\nother words,others\n" * 9)
    with pytest.raises(DataError, match="fewer than two classes are left"):
        write_list(found(path)[0], tmp_path / "none.csv")


def test_half_a_character_is_named_where_a_list_cannot_hold_it(tmp_path):
    rows = "".join(f'{{"text": "words {i} of {i % 2}", "label": "{i % 2}"}}\n' for i in range(18))
    path = write(tmp_path / "t.jsonl", rows + '{"text": "a\\ud800", "label": "1"}\n')
    with pytest.raises(DataError, match=r"1 text with half a character .* no CSV can hold: t\.jsonl:19"):
        write_list(found(path)[0], tmp_path / "clean.csv")
    assert [file.name for file in tmp_path.iterdir()] == ["t.jsonl"]
    twice = write(tmp_path / "t.jsonl", rows + '{"text": "longer words than a\\ud800", "label": "1"}\n' * 2)
    api.check(twice, card=tmp_path / "card")


def test_one_picture_a_class_is_too_few_and_no_crash(tmp_path):
    told = api.check(write_images(tmp_path / "d", splits={"": 1}))
    assert told["failed"] and told["findings"][0]["id"] == "too-few" and told["findings"][0]["count"] == 3


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("t.csv", "text,label, Text\na,b,c\nd,e,f\n", r"t\.csv: two columns are called text"),
        ("t.csv", "path,label,label\na.png,b,c\n", r"t\.csv: two columns are called label"),
        (
            "t.jsonl",
            '{"text": "a", "label": "b"}\n{"label": 1, "text": "c", "label": 2}\n',
            r"t\.jsonl:2: two keys are",
        ),
        ("t.jsonl", '{"text": "a", "Text": "b", "label": "c"}\n', r"t\.jsonl:1: two keys are called text"),
    ],
)
def test_two_columns_of_a_name_are_refused(tmp_path, name, content, told):
    path = write(tmp_path / name, content)
    write(tmp_path / "a.png", "")
    with pytest.raises(DataError, match=told):
        found(path)


def test_two_columns_that_are_not_read_do_no_harm(tmp_path):
    rows = "".join(f"words {i} of {i % 2},{i % 2},x,y\n" for i in range(18))
    assert len(found(write(tmp_path / "t.csv", "text,label,note,note\n" + rows))[0].samples) == 18
    rows = "".join(
        f'{{"text": "{i} and {i % 2}", "label": {i % 2}, "x": {{"text": 1, "text": 2}}}}\n' for i in range(18)
    )
    assert len(found(write(tmp_path / "t.jsonl", rows))[0].samples) == 18


def test_a_name_that_is_too_long_is_told(tmp_path):
    long = "x" * 300
    recipe = f'[model]\nname = "torchvision/resnet18"\n[data]\npath = "{long}"\n'
    write(tmp_path / "edgetune.toml", recipe)
    for call in (
        lambda: api.check(tmp_path),
        lambda: api.plan(tmp_path / "edgetune.toml"),
        lambda: api.check(tmp_path / long),
        lambda: api.check(tmp_path / f"{long}.csv"),
        lambda: api.init(tmp_path / long, tmp_path / "new.toml"),
        lambda: load_recipe(tmp_path / long),
    ):
        with pytest.raises(InputError, match=r"cannot look at .*: File name too long"):
            call()
    write(tmp_path / "edgetune.toml", recipe.replace(long, ".").replace("[data]", f'weights = "{long}.pt"\n[data]'))
    write_images(tmp_path, splits={"train": 1})
    told = CliRunner().invoke(cli, ["plan", str(tmp_path / "edgetune.toml")])
    assert told.exit_code == 2 and "File name too long" in told.output and "bug" not in told.output
