"""The store: found again, rebuilt when damaged, safe against kill -9, two processes and a full disk."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from edgetune.errors import Abandoned, SetAside, StoreError
from edgetune.records import Step
from edgetune.store import Store, step_key

STEP = Step(id="a", name="demo", version=1, title="demo", params={"x": 1})


def write(text: str):
    def body(out: Path, scratch: Path) -> None:
        (out / "value.txt").write_text(text)

    return body


def never(out: Path, scratch: Path) -> None:
    raise AssertionError("the body ran although its result is in the store")


def test_a_result_is_made_once(tmp_path):
    store = Store(tmp_path)
    made, cached = store.make("k", STEP, (), write("one"))
    assert (made.path / "value.txt").read_text() == "one"
    assert not cached
    found, cached = Store(tmp_path).make("k", STEP, (), never)
    assert cached and found.digest == made.digest


@pytest.mark.parametrize("change", [{"version": 2}, {"params": {"x": 2}}, {"seed": 1}, {"name": "other"}])
def test_the_key_depends_on_everything_that_matters(change):
    fields = {"id": "a", "name": "demo", "version": 1, "title": "demo", "params": {"x": 1}, **change}
    assert step_key(Step(**fields), {}, {}) != step_key(STEP, {}, {})


def test_the_key_depends_on_inputs_and_libraries_but_not_on_titles():
    renamed = Step(id="b", name="demo", version=1, title="another title", params={"x": 1})
    assert step_key(renamed, {}, {}) == step_key(STEP, {}, {})
    assert step_key(STEP, {"data": "1"}, {}) != step_key(STEP, {"data": "2"}, {})
    assert step_key(STEP, {}, {"torch": "1"}) != step_key(STEP, {}, {"torch": "2"})


@pytest.mark.parametrize("damage", ["flip", "truncate", "delete", "manifest"])
def test_a_damaged_artifact_is_noticed_and_rebuilt(tmp_path, damage):
    made, _ = Store(tmp_path).make("k", STEP, (), write("good"))
    value = made.path / "value.txt"
    if damage == "flip":
        value.write_text("baad")
    elif damage == "truncate":
        value.write_text("go")
    elif damage == "delete":
        value.unlink()
    else:
        (made.path / "artifact.json").write_text("{")
    assert Store(tmp_path).lookup("k") is None
    again, cached = Store(tmp_path).make("k", STEP, (), write("good"))
    assert not cached
    assert (again.path / "value.txt").read_text() == "good"


def test_notes_do_not_change_the_digest(tmp_path):
    def noted(text):
        def body(out: Path, scratch: Path) -> None:
            (out / "value.txt").write_text("same")
            (out / "notes").mkdir()
            (out / "notes" / "seconds").write_text(text)

        return body

    one, _ = Store(tmp_path).make("k1", STEP, (), noted("1.0"))
    two, _ = Store(tmp_path).make("k2", STEP, (), noted("2.0"))
    assert one.digest == two.digest


def test_a_failed_body_leaves_nothing_to_find_and_keeps_its_scratch(tmp_path):
    def failing(out: Path, scratch: Path) -> None:
        (out / "half.txt").write_text("half")
        (scratch / "checkpoint").write_text("step 7")
        raise ValueError("boom")

    store = Store(tmp_path)
    with pytest.raises(ValueError, match="boom"):
        store.make("k", STEP, (), failing)
    assert store.lookup("k") is None

    def resuming(out: Path, scratch: Path) -> None:
        assert (scratch / "checkpoint").read_text() == "step 7"
        assert not (out / "half.txt").exists()
        (out / "value.txt").write_text("done")

    store.make("k", STEP, (), resuming)
    assert not (tmp_path / "work" / "k").exists()


CHILD = """
import sys, time
from pathlib import Path
from edgetune.records import Step
from edgetune.store import Store
def body(out, scratch):
    with (scratch / "count").open("a") as file:
        file.write("x")
    (out / "value.txt").write_text("done")
    print("inside", flush=True)
    time.sleep({sleep})
store = Store(Path(sys.argv[1]))
step = Step(id="a", name="demo", version=1, title="demo", params={{}})
made, cached = store.make("k", step, (), body)
print("cached" if cached else "made", (made.path / "value.txt").read_text(), flush=True)
"""


def child(root: Path, sleep: float) -> subprocess.Popen:
    code = textwrap.dedent(CHILD).format(sleep=sleep)
    return subprocess.Popen([sys.executable, "-c", code, str(root)], stdout=subprocess.PIPE, text=True)


def test_what_is_given_up_on_purpose_leaves_nothing(tmp_path):
    def body(out: Path, scratch: Path) -> None:
        (scratch / "checkpoint").write_text("half done")
        raise Abandoned("pruned")

    store = Store(tmp_path)
    with pytest.raises(Abandoned):
        store.make("k", STEP, (), body)
    assert store.work_bytes() == 0 and not list((tmp_path / "work").iterdir()) and store.lookup("k") is None


def test_what_is_set_aside_is_not_finished_and_goes_on_when_it_is_wanted_again(tmp_path):
    def body(out: Path, scratch: Path) -> None:
        if not (scratch / "checkpoint").exists():
            (scratch / "checkpoint").write_text("half done")
            raise SetAside("not now")
        (out / "value").write_text((scratch / "checkpoint").read_text())

    store = Store(tmp_path)
    with pytest.raises(SetAside):
        store.make("k", STEP, (), body)
    assert store.lookup("k") is None and not store.entries()
    made, cached = store.make("k", STEP, (), body)
    assert not cached and (made.path / "value").read_text() == "half done" and store.work_bytes() == 0


def test_kill_9_leaves_a_store_that_goes_on(tmp_path):
    process = child(tmp_path, 60)
    assert process.stdout.readline() == "inside\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert Store(tmp_path).lookup("k") is None
    assert (tmp_path / "work" / "k" / "scratch" / "count").read_text() == "x"
    process = child(tmp_path, 0)
    assert process.communicate(timeout=60)[0] == "inside\nmade done\n"


def test_two_processes_make_one_result(tmp_path):
    first = child(tmp_path, 2)
    assert first.stdout.readline() == "inside\n"
    second = child(tmp_path, 0)
    assert second.communicate(timeout=60)[0] == "cached done\n"
    assert first.communicate(timeout=60)[0] == "made done\n"


def test_a_full_disk_is_a_clear_error_and_leaves_the_store_whole(tmp_path):
    root = tmp_path / "small"
    root.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", root]).returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        store = Store(root)
        kept, _ = store.make("small", STEP, (), write("kept"))

        def huge(out: Path, scratch: Path) -> None:
            (out / "huge.bin").write_bytes(b"x" * (4 << 20))

        with pytest.raises(StoreError, match="no space left") as caught:
            store.make("huge", STEP, (), huge)
        assert "cache prune" in caught.value.hint
        assert Store(root).lookup("small").digest == kept.digest
        assert Store(root).lookup("huge") is None
    finally:
        subprocess.run(["umount", root], check=True)


def test_a_read_only_folder_is_a_clear_error(tmp_path):
    root = tmp_path / "ro"
    root.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", root]).returncode:
        pytest.skip("mounting a read-only file system needs root")
    try:
        with pytest.raises(StoreError, match="cannot write") as caught:
            Store(root).make("k", STEP, (), write("x"))
        assert "EDGETUNE_CACHE" in caught.value.hint
    finally:
        subprocess.run(["umount", root], check=True)


def test_prune_removes_the_least_recently_used_first(tmp_path):
    store = Store(tmp_path)
    for number, key in enumerate(["old", "middle", "new"]):
        made, _ = store.make(key, STEP, (), write("x" * 1000))
        os.utime(made.path / "artifact.json", (time.time() - 1000 + number,) * 2)
    assert [entry.key for entry in store.entries()] == ["old", "middle", "new"]
    assert [entry.key for entry in store.prune(keep_bytes=2000)] == ["old"]
    assert store.lookup("old") is None and store.lookup("new") is not None
    assert len(store.prune(unused_days=1)) == 0
    assert len(store.prune()) == 2
    assert store.entries() == []


def test_manifest_tells_what_was_made(tmp_path):
    store = Store(tmp_path)
    made, _ = store.make("k", STEP, ("parent",), write("x"))
    facts = json.loads((made.path / "artifact.json").read_text())
    assert facts["params"] == {"x": 1} and facts["parents"] == ["parent"]
    assert store.facts(made)["files"]["value.txt"]["size"] == 1


def test_prune_touches_nothing_that_is_not_the_stores(tmp_path):
    chapter, ours = tmp_path / "work/thesis/ch1.txt", tmp_path / "work" / ("a" * 64) / "scratch"
    chapter.parent.mkdir(parents=True)
    chapter.write_text("precious")
    ours.mkdir(parents=True)
    (tmp_path / "locks").mkdir()
    Store(tmp_path).prune()
    assert chapter.read_text() == "precious" and not ours.exists()


@pytest.mark.parametrize(
    "broken", [{"files": []}, {"files": {"a": 1}}, {"seconds": "x"}, {"seconds": None}, {"parents": None}]
)
def test_a_manifest_that_holds_nonsense_is_damage(tmp_path, broken):
    made, _ = Store(tmp_path).make("k", STEP, (), write("one"))
    manifest = made.path / "artifact.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), **broken}))
    assert Store(tmp_path).lookup("k") is None and Store(tmp_path).entries() == []
    again, cached = Store(tmp_path).make("k", STEP, (), write("two"))
    assert not cached and (again.path / "value.txt").read_text() == "two"


def test_a_file_where_an_object_should_be_is_replaced(tmp_path):
    (tmp_path / "objects").mkdir()
    (tmp_path / "objects/k").write_text("not a folder")
    assert Store(tmp_path).make("k", STEP, (), write("one"))[1] is False


def test_a_root_that_is_a_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot write"):
        Store(tmp_path / "file").make("k", STEP, (), write("one"))
