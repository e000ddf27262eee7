"""Pipelines: the engine's own answers, in order, with back-pressure, errors in their places and a clean end."""

import asyncio
import threading
import time

import numpy as np
import pytest
from edgetune_runtime import Engine, InputError, Pipeline, QueueFull, RuntimeProblem
from hypothesis import given
from hypothesis import strategies as st

SIDE = 8


@pytest.fixture
def engine(bundle):
    with Engine.open(bundle) as opened:
        yield opened


def samples(count, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (12, 12, 3), dtype=np.uint8) for _ in range(count)]


class Gate:
    """Preprocessing that waits until it is opened."""

    def __init__(self, engine, monkeypatch):
        self.open, self.begun, prepare = threading.Event(), threading.Event(), engine.prepare

        def waiting(sample):
            self.begun.set()
            assert self.open.wait(20)
            return prepare(sample)

        monkeypatch.setattr(engine, "prepare", waiting)


@pytest.fixture
def gate(engine, monkeypatch):
    return Gate(engine, monkeypatch)


@given(st.lists(st.sampled_from(["good", "bad"]), max_size=12), st.integers(1, 5))
def test_answers_and_errors_come_in_the_order_of_the_samples(bundle, kinds, depth):
    pictures = samples(len(kinds))
    asked = [p if kind == "good" else p.astype(np.float64) for p, kind in zip(pictures, kinds, strict=True)]
    finished = []
    with Engine.open(bundle) as engine, Pipeline(engine, depth=depth, top=2) as pipeline:
        answers = [pipeline.submit(sample) for sample in asked]
        for number, answer in enumerate(answers):
            answer.add_done_callback(lambda _, number=number: finished.append(number))
        for answer, kind, picture in zip(answers, kinds, pictures, strict=True):
            if kind == "good":
                assert answer.result(20) == engine.predict(picture, top=2)
            else:
                assert isinstance(answer.exception(20), InputError)
    assert sorted(finished) == list(range(len(kinds)))


def test_map_takes_no_more_than_it_needs(engine):
    taken = []

    def source():
        for number, sample in enumerate(samples(20)):
            taken.append(number)
            yield sample

    with Pipeline(engine, depth=3) as pipeline:
        answers = pipeline.map(source())
        first = next(answers)
        assert len(taken) <= 5
        found = [first, *answers]
    assert found == [engine.predict(sample) for sample in samples(20)]


def test_map_raises_an_error_in_its_place(engine):
    asked = [*samples(2), np.zeros((2, 2)), *samples(1)]
    with Pipeline(engine) as pipeline:
        answers = pipeline.map(asked)
        assert next(answers) == engine.predict(asked[0])
        assert next(answers) == engine.predict(asked[1])
        with pytest.raises(InputError, match="expected float32"):
            next(answers)


def test_a_full_queue_makes_the_source_wait_or_says_so(engine, gate):
    with Pipeline(engine, depth=2) as pipeline:
        answers = [pipeline.submit(samples(1)[0])]
        assert gate.begun.wait(20)  # it waits no more, so that two others may
        answers += [pipeline.submit(sample) for sample in samples(2)]
        assert pipeline.waiting == 2
        for timeout in (0, 0.05):
            with pytest.raises(QueueFull, match="2 samples wait already"):
                pipeline.submit(samples(1)[0], timeout=timeout)
        late = []
        source = threading.Thread(target=lambda: late.append(pipeline.submit(samples(1)[0])))
        source.start()
        source.join(0.1)
        assert source.is_alive()
        gate.open.set()
        source.join(20)
        assert [len(answer.result(20)) for answer in (*answers, *late)] == [4] * 4


def test_closing_answers_what_waits_and_ends_the_threads(engine):
    before = threading.active_count()
    pipeline = Pipeline(engine, depth=8)
    answers = [pipeline.submit(sample) for sample in samples(8)]
    pipeline.close()
    pipeline.close()
    assert all(answer.done() and answer.exception() is None for answer in answers)
    assert threading.active_count() == before
    with pytest.raises(RuntimeProblem, match="closed"):
        pipeline.submit(samples(1)[0])


def test_an_exception_in_the_block_cancels_what_has_not_begun(engine, gate):
    with pytest.raises(KeyError), Pipeline(engine) as pipeline:
        running = pipeline.submit(samples(1)[0])
        assert gate.begun.wait(20)
        waiting = [pipeline.submit(sample) for sample in samples(3)]
        threading.Timer(0.05, gate.open.set).start()
        raise KeyError
    assert running.exception() is None
    assert all(answer.cancelled() for answer in waiting)


def test_who_waits_for_a_place_when_it_closes_is_told(engine, gate):
    pipeline = Pipeline(engine, depth=1)
    pipeline.submit(samples(1)[0])
    assert gate.begun.wait(20)
    pipeline.submit(samples(1)[0])
    told = []

    def ask():
        try:
            pipeline.submit(samples(1)[0])
        except RuntimeProblem as problem:
            told.append(str(problem))

    sources = [threading.Thread(target=ask) for _ in range(3)]
    for source in sources:
        source.start()
    time.sleep(0.05)
    threading.Timer(0.05, gate.open.set).start()
    pipeline.close()
    for source in sources:
        source.join(20)
    assert told == ["the pipeline is closed; make another"] * 3


def test_a_closed_engine_is_told_by_each_answer(engine):
    with Pipeline(engine) as pipeline:
        engine.close()
        with pytest.raises(RuntimeProblem, match="the engine is closed"):
            pipeline.submit(samples(1)[0]).result(20)


def test_asyncio_waits_without_holding_the_loop(engine, gate):
    async def ask(pipeline):
        answers = [asyncio.create_task(pipeline.answer(sample)) for sample in samples(6)]
        await asyncio.sleep(0.05)  # the loop goes round though the queue is full
        assert not any(answer.done() for answer in answers)
        gate.open.set()
        return await asyncio.gather(*answers)

    with Pipeline(engine, depth=2) as pipeline:
        found = asyncio.run(ask(pipeline))
    assert found == [engine.predict(sample) for sample in samples(6)]


def test_the_hook_is_told_of_every_sample(engine):
    seen = []
    with Pipeline(engine, hook=seen.append) as pipeline:
        good = pipeline.submit(samples(1)[0])
        bad = pipeline.submit(np.zeros((2, 2)))
        assert isinstance(bad.exception(20), InputError)
    first, second = seen
    assert (first.label, first.confidence) == good.result()[0]
    assert first.input_level == pytest.approx(engine.prepare(samples(1)[0]).mean(), abs=1e-6)
    assert min(first.preprocess_ms, first.inference_ms) > 0
    total = first.waited_ms + first.preprocess_ms + first.inference_ms
    assert first.latency_ms == pytest.approx(total) and first.queue_depth == 1
    assert second.error is bad.exception() and second.label is None and second.inference_ms is None


def test_predict_tells_the_engines_hook_of_batches_and_refusals(engine):
    seen = []
    engine.hook = seen.append
    pair = np.concatenate([engine.prepare(sample) for sample in samples(2)])
    answers = engine.predict(pair)
    with pytest.raises(InputError):
        engine.predict(pair[:0])
    assert [(one.label, one.confidence) for one in seen[:2]] == [row[0] for row in answers]
    assert [one.batch for one in seen] == [2, 2, 1]
    assert isinstance(seen[2].error, InputError)


def test_a_hook_that_fails_harms_no_answer(engine, caplog):
    def hook(_):
        raise ValueError("no room for metrics")

    with Pipeline(engine, hook=hook) as pipeline:
        assert pipeline.submit(samples(1)[0]).result(20) == engine.predict(samples(1)[0])
    assert "no room for metrics" in caplog.text


@pytest.mark.parametrize("wrong", [{"depth": 0}, {"top": 0}])
def test_sizes_below_one_are_refused(engine, wrong):
    with pytest.raises(InputError, match="must be 1 or more"):
        Pipeline(engine, **wrong)
