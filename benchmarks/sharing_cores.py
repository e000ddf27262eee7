"""Two trainings on one machine: what it costs when each takes all cores, as PyTorch does by default.

    python benchmarks/sharing_cores.py

Each training is a process of its own that takes steps (MobileNetV2 at 96 px, and a network of two convolutions; batch
32, AdamW, random pictures) for some seconds. In every round one trains alone with a thread for each core, then two
beside each other so, then two that have half of the cores each (at least one). Kept are steps per second of a process
against those of the one alone, in the same round.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from typing import Any

from common import save

WAYS = ("alone", "two, all cores each", "two, their share each")


def train(name: str, seconds: float) -> None:
    """Take steps, and print how many there were in a second."""
    import torch
    import torchvision
    from torch import nn

    torch.manual_seed(0)
    if name == "mobilenet_v2":
        network = torchvision.models.mobilenet_v2(num_classes=10)
    else:
        layers = [nn.Conv2d(3, 16, 3, 2), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 32, 3, 2), nn.BatchNorm2d(32)]
        network = nn.Sequential(*layers, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))
    network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters())
    images = torch.randn(32, 3, 96, 96).to(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (32,))
    started, steps = time.perf_counter(), -1  # the first is warm-up
    while time.perf_counter() < started + seconds or steps < 1:
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images), labels).backward()
        optimizer.step()
        steps += 1
        started = time.perf_counter() if steps == 0 else started
    print(steps / (time.perf_counter() - started))


def rate(name: str, processes: int, threads: int, seconds: float) -> float:
    """Steps per second of one of so many processes, on average."""
    command = [sys.executable, __file__, "--train", name, "--seconds", str(seconds)]
    env = {**os.environ, "OMP_NUM_THREADS": str(threads), "CUDA_VISIBLE_DEVICES": ""}
    running = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) for _ in range(processes)]
    return statistics.mean(float(process.communicate()[0]) for process in running)


def main() -> None:
    """All rounds, or, in a process of its own, one training."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--train", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.train:
        train(args.train, args.seconds)
        return
    cores = len(os.sched_getaffinity(0))
    found: dict[str, Any] = {}
    for name in ("mobilenet_v2", "two convolutions"):
        rounds = []
        for _ in range(args.rounds):
            counts = ((1, cores), (2, cores), (2, max(1, cores // 2)))
            rates = [rate(name, processes, threads, args.seconds) for processes, threads in counts]
            rounds.append(dict(zip(WAYS, rates, strict=True)))
        ratios = {way: statistics.median(one[way] / one["alone"] for one in rounds) for way in WAYS[1:]}
        found[name] = {"steps_per_second": rounds, "of_one_alone": ratios}
        print(name, {way: f"{ratio:.2f}" for way, ratio in ratios.items()}, flush=True)
    save("sharing_cores", {"cores": cores, "seconds": args.seconds, "networks": found})


if __name__ == "__main__":
    main()
