"""What engines need of CUDA, on a real GPU where there is one."""

import threading

import numpy as np
import pytest
from edgetune_runtime import cuda
from edgetune_runtime.errors import RuntimeProblem


@pytest.fixture(scope="module")
def work():
    try:
        found = cuda.Work()
    except RuntimeProblem as problem:
        pytest.skip(str(problem))
    yield found
    found.close()


def test_arrays_go_there_and_back_from_any_thread(work):
    sent, back = np.random.default_rng(0).standard_normal((3, 224, 224)), np.empty((3, 224, 224))
    small = work.buffer("image", 1000)
    address = work.buffer("image", sent.nbytes)
    assert small and address and work.buffer("image", 10) == address

    def fetch():
        work.enter()
        work.send(address, sent)
        work.fetch(back, address)
        work.wait()

    thread = threading.Thread(target=fetch)
    thread.start()
    thread.join()
    assert np.array_equal(sent, back)


def test_what_the_gpu_is(work):
    found = cuda.gpu()
    assert found["gpu"] and [part.isdigit() for part in found["sm"].split(".")] == [True, True]


def test_more_memory_than_there_is_is_an_error_of_ours(work):
    with pytest.raises(RuntimeProblem, match=r"out of memory \(CUDA error 2 of cuMemAlloc_v2\)"):
        work.buffer("huge", 1 << 50)
