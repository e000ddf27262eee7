"""Two real processes (Gloo) take the steps of one: every strategy, uneven batches, a process killed in an epoch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import small_team
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from edgetune.errors import InputError
from edgetune.finetune.team import ALONE, Team

pytestmark = pytest.mark.slow


def run_team(folder: Path, *names: str, processes: int = 2, restarts: int = 0) -> str:
    """Run cases under torchrun; returns what the processes wrote to stderr."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"),
            *(f"--max-restarts={restarts}", small_team.__file__, str(folder), *names),
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Folder with the weights that two processes ended with, of every case."""
    folder = tmp_path_factory.mktemp("team")
    run_team(folder, *small_team.CASES, *small_team.SHARDED, "held")
    return folder


@pytest.mark.parametrize("case", small_team.CASES)
def test_two_processes_end_with_the_weights_of_one(both, case, tmp_path):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    trained, alone = small_team.run_case(case, tmp_path)
    torch.set_num_threads(threads)
    first, second = (load_file(both / f"{case}-{rank}.safetensors") for rank in range(2))
    assert trained.processes == 1 and len(trained.history) >= 3
    start = small_team.CASES[case][0]().state_dict()
    assert any((alone[name] - start[name]).abs().max() > 1e-3 for name in alone)
    for name, weight in alone.items():
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(first[name], weight, rtol=0, atol=1e-5)


def test_three_processes_share_thirteen_samples(tmp_path):
    run_team(tmp_path, "full", processes=3)
    _, alone = small_team.run_case("full", tmp_path / "alone")
    for name, weight in load_file(tmp_path / "full-2.safetensors").items():
        torch.testing.assert_close(weight, alone[name], rtol=0, atol=1e-5)


@pytest.mark.parametrize("case", small_team.CASES)
def test_shared_out_weights_end_as_copies_do(both, case):
    copies, *parts = (
        load_file(both / f"{name}.safetensors") for name in (f"{case}-0", f"sharded {case}-0", f"sharded {case}-1")
    )
    for name, weight in copies.items():
        assert torch.equal(parts[0][name], parts[1][name]), name
        torch.testing.assert_close(parts[0][name], weight, rtol=0, atol=1e-5)
    with safe_open(both / f"sharded {case}-0.safetensors", "pt") as file:
        assert "sharded=True" in file.metadata()["told"]


def test_each_process_holds_half_of_each_weight(both):
    network = small_team.Network()
    first, second = (load_file(both / f"held-{rank}.safetensors") for rank in range(2))
    for name, weight in network.named_parameters():
        assert torch.equal(torch.cat([first[name], second[name]]), weight)
        assert first[name].numel() <= -(-weight.shape[0] // 2) * weight[0].numel()
        assert torch.equal(first[f"whole.{name}"], weight) and torch.equal(second[f"whole.{name}"], weight)


@pytest.mark.parametrize("prefix", ["", "sharded "], ids=["copies", "sharded"])
def test_a_process_killed_in_an_epoch_changes_nothing(tmp_path, prefix):
    run_team(tmp_path, f"{prefix}dropout", f"{prefix}kill", restarts=1)
    assert (tmp_path / "killed").exists()
    whole, cut = (load_file(tmp_path / f"{prefix}{case}-0.safetensors") for case in ("dropout", "kill"))
    assert all(torch.equal(whole[name], cut[name]) for name in whole)


def test_a_team_of_one_communicates_nothing():
    assert ALONE.sum(1.5, 2) == [1.5, 2] and ALONE.any(True) and not ALONE.any(False)
    ALONE.check_same(7, "anything")


def test_more_processes_than_samples_in_a_batch():
    Team(rank=0, size=12).check_batches(51, 4)
    with pytest.raises(InputError, match="13 processes cannot share batches of 12 samples"):
        Team(rank=0, size=13).check_batches(51, 4)
