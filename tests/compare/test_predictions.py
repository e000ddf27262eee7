"""The file of a run's answers: what is written is read back, and nothing else."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_runs import logits_for

from edgetune.compare.predictions import read_predictions, write_predictions
from edgetune.errors import ReportError
from edgetune.hashing import digest_json

LABELS = ["a", "b", "c"]


def dataset(truth):
    samples = [{"split": "test", "sha256": digest_json(i), "label": k} for i, k in enumerate(truth)]
    return {"labels": LABELS, "samples": [{"split": "val", "sha256": digest_json("v"), "label": 0}, *samples]}


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=50))
def test_what_is_written_is_read_back(tmp_path, pairs):
    truth, answers = [list(column) for column in zip(*pairs, strict=True)]
    arrays = {"test_logits": logits_for(answers, 3), "test_labels": np.asarray(truth)}
    write_predictions(tmp_path / "p/x.json", "x", dataset(truth), {"float": arrays})
    found = read_predictions(tmp_path / "p/x.json", "x.json")
    assert found.truth.tolist() == truth and found.engines["float"].answer.tolist() == answers
    assert found.labels == tuple(LABELS) and found.ids == tuple(digest_json(i)[:32] for i in range(len(truth)))
    sure = np.exp(4.0) / (np.exp(4.0) + 2)
    assert found.engines["float"].confidence == pytest.approx(sure, abs=5e-4)


def test_answers_in_another_order_are_not_written(tmp_path):
    arrays = {"test_logits": logits_for([0, 1], 3), "test_labels": np.asarray([1, 0])}
    with pytest.raises(ReportError, match="not in the order"):
        write_predictions(tmp_path / "x.json", "x", dataset([0, 1]), {"float": arrays})
    assert not (tmp_path / "x.json").exists()


def test_it_is_small(tmp_path):
    truth = list(np.random.default_rng(0).integers(0, 3, 1000))
    arrays = {"test_logits": np.random.default_rng(1).normal(size=(1000, 3)), "test_labels": np.asarray(truth)}
    write_predictions(tmp_path / "x.json", "x", dataset([int(k) for k in truth]), {str(i): arrays for i in range(4)})
    assert (tmp_path / "x.json").stat().st_size < 1000 * (37 + 4 * 8) + 500
    assert json.loads((tmp_path / "x.json").read_text())["target"] == "x"
