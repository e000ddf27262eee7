"""Preprocessing beside inference: one thread prepares the next sample while another runs the engine on this one.

Two threads and not more: the engine has threads of its own (``Engine.open(threads=...)``), and one of each keeps the
answers in the order of the questions.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgetune_runtime.errors import InputError, QueueFull, RuntimeProblem
from edgetune_runtime.observation import Hook, Observation, observations, tell

if TYPE_CHECKING:
    from edgetune_runtime.engine import Engine

END = None  # the last thing in a queue


@dataclass
class _Request:
    sample: Any
    answer: Future[Any]
    submitted: float
    depth: int
    inputs: Any = None
    problem: BaseException | None = None
    preprocess_ms: float | None = None


class Pipeline:
    """Answers ``engine.predict`` would give, from threads, in the order the samples came.

    At most ``depth`` samples wait in front; then ``submit`` waits (back-pressure), so that a fast source fills no
    memory. Close it, or use it as a context manager: what was submitted is answered first; when an exception leaves
    the ``with`` block, what has not begun is cancelled instead. The engine is not closed with it.

    Raises:
        InputError: ``depth`` or ``top`` below 1.
    """

    def __init__(self, engine: Engine, *, depth: int = 4, top: int = 5, hook: Hook | None = None) -> None:
        """Start the threads; ``hook`` is called with an ``Observation`` of each sample (default: the engine's)."""
        if depth < 1 or top < 1:
            raise InputError(f"depth is {depth} and top is {top}, both must be 1 or more")
        self.engine, self.top, self.hook = engine, top, engine.hook if hook is None else hook
        self.depth = depth
        self._slots = threading.Semaphore(depth)
        self._waiting: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._prepared: queue.Queue[_Request | None] = queue.Queue(maxsize=1)
        self._lock = threading.Lock()
        self._closed = self._cancelled = False
        self._threads = [
            threading.Thread(target=work, name=f"edgetune-{work.__name__.strip('_')}", daemon=True)
            for work in (self._prepare, self._infer)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """Samples that nobody has begun with."""
        return self._waiting.qsize()

    def submit(self, sample: Any, *, timeout: float | None = None) -> Future[Any]:
        """The answer to come for ``sample`` (anything ``Engine.predict`` takes); its errors come with it.

        Args:
            timeout: seconds to wait for a place in the queue; 0: do not wait; None: as long as it takes.

        Raises:
            QueueFull: no place became free in time. RuntimeProblem: the pipeline is closed.
        """
        if not self._slots.acquire(timeout=timeout):
            raise QueueFull(f"{self.depth} samples wait already; the engine is slower than their source")
        request = _Request(sample, Future(), time.perf_counter(), 0)
        with self._lock:
            if self._closed:
                self._slots.release()  # for whoever waits beside us, to be told the same
                raise RuntimeProblem("the pipeline is closed; make another")
            request.depth = self._waiting.qsize() + 1
            self._waiting.put(request)
        return request.answer

    def map(self, samples: Iterable[Any]) -> Iterator[Any]:
        """Answers in the order of ``samples``, which are taken as they are needed.

        The error of a sample is raised in its place; what was taken after it is cancelled.
        """
        pending: deque[Future[Any]] = deque()
        try:
            for sample in samples:
                pending.append(self.submit(sample))
                if len(pending) > self.depth:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for answer in pending:
                answer.cancel()

    async def answer(self, sample: Any) -> Any:
        """For asyncio: the answer for ``sample``; while the queue is full, only this coroutine waits."""
        import asyncio  # not needed by anybody else here, and not light

        try:
            answer = self.submit(sample, timeout=0)
        except QueueFull:
            answer = await asyncio.get_running_loop().run_in_executor(None, self.submit, sample)
        return await asyncio.wrap_future(answer)

    def close(self, *, cancel: bool = False) -> None:
        """Take nothing more, answer what waits (or ``cancel`` what has not begun) and end the threads."""
        with self._lock:
            self._cancelled = self._cancelled or cancel
            if not self._closed:
                self._closed = True
                self._waiting.put(END)
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.close(cancel=kind is not None)

    def _prepare(self) -> None:
        while (request := self._waiting.get()) is not END:
            self._slots.release()
            if self._cancelled:
                request.answer.cancel()
            if not request.answer.set_running_or_notify_cancel():
                continue
            begin = time.perf_counter()
            try:
                request.inputs = self.engine.prepare(request.sample)
            except BaseException as problem:  # noqa: BLE001 - whoever asked is told, and the next sample comes
                request.problem = problem
            request.sample = None  # a frame may be large
            request.preprocess_ms = 1e3 * (time.perf_counter() - begin)
            self._prepared.put(request)
        self._prepared.put(END)

    def _infer(self) -> None:
        while (request := self._prepared.get()) is not END:
            begin, answer, problem = time.perf_counter(), None, request.problem
            if problem is None:
                try:
                    answer = self.engine.answer(request.inputs, self.top)
                except BaseException as error:  # noqa: BLE001 - as above
                    problem = error
            end = time.perf_counter()
            if self.hook is not None:
                self._tell(request, answer, problem, begin, end)
            if problem is None:
                request.answer.set_result(answer)
            else:
                request.answer.set_exception(problem)

    def _tell(self, request: _Request, answer: Any, problem: BaseException | None, begin: float, end: float) -> None:
        latency, prepared = 1e3 * (end - request.submitted), request.preprocess_ms or 0.0
        ran = None if request.problem is not None else 1e3 * (end - begin)
        facts: dict[str, Any] = {
            "latency_ms": latency,
            "waited_ms": max(0.0, latency - prepared - (ran or 0.0)),
            "preprocess_ms": request.preprocess_ms,
            "inference_ms": ran,
            "queue_depth": request.depth,
        }
        assert self.hook is not None
        if problem is not None:
            tell(self.hook, Observation(error=problem, **facts))
        else:
            tell(self.hook, *observations(answer, self.engine.preprocessing.levels(request.inputs), **facts))
