"""What the engine that ships gets wrong and float right, and the reverse."""

import numpy as np
from PIL import Image

from edgetune.compare.gallery import MOST, gallery
from edgetune.compare.predictions import Answers, Predictions

TRUTH = np.arange(60) % 3


def found(float_answers, int8_answers, sure):
    answers = {"float": float_answers, "int8": int8_answers}
    return Predictions(
        labels=("cat", "dog", "owl"), ids=tuple(map(str, range(60))), truth=TRUTH, validation="v",
        engines={name: Answers(answer=np.asarray(a), confidence=sure) for name, a in answers.items()},
    )  # fmt: skip


def test_both_kinds_are_counted_and_the_surest_mistakes_come_first(tmp_path):
    wrong = (TRUTH + 1) % 3
    int8 = np.where(np.arange(60) < 40, wrong, TRUTH)  # 40 became wrong, ...
    floating = np.where(np.arange(60) >= 58, wrong, TRUTH)  # ... 2 became right
    samples = [{"path": f"{number}.png"} for number in range(60)]
    Image.new("RGB", (640, 480), "red").save(tmp_path / "39.png", exif=b"")
    told = gallery(found(floating, int8, np.linspace(0.4, 0.9, 60)), "float", "int8", samples, tmp_path)
    assert (told["negative"], told["positive"]) == (40, 2)
    shown = {kind: [one for one in told["shown"] if one["kind"] == kind] for kind in ("negative", "positive")}
    assert len(shown["negative"]) == MOST and [one["path"] for one in shown["positive"]] == ["59.png", "58.png"]
    first, second = shown["negative"][:2]
    assert first["path"] == "39.png" and first["thumbnail"].startswith("data:image/jpeg;base64,")
    assert (first["truth"], first["baseline"], first["chosen"]) == ("cat", "cat", "dog")
    assert second["confidence_chosen"] < first["confidence_chosen"] and "thumbnail" not in second  # it is not there


def test_texts_are_shown_themselves_and_long_ones_begin(tmp_path):
    int8 = TRUTH.copy()
    int8[:2] = (TRUTH[:2] + 1) % 3
    samples = [{"path": f"test.csv:{number}", "text": "short" if number else "long " * 200} for number in range(60)]
    told = gallery(found(TRUTH, int8, np.full(60, 0.5)), "float", "int8", samples, tmp_path)
    texts = {one["path"]: one["text"] for one in told["shown"]}
    assert texts["test.csv:1"] == "short" and texts["test.csv:0"].endswith("[...]") and len(texts["test.csv:0"]) < 420
