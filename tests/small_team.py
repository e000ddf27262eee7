"""Trainings that one process and a team of torchrun's must end alike, and the program that the team runs."""

import os
import signal
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import distributed, nn

from edgetune.data.share import WHOLE, Share
from edgetune.finetune import trainer
from edgetune.finetune.options import Trained, TrainOptions
from edgetune.finetune.stages import split_stages
from edgetune.finetune.team import current
from edgetune.finetune.trainer import train
from edgetune.steps import together
from edgetune.tasks.image_classification import cross_entropy, logits_of

OPTIONS = TrainOptions(
    strategy="full", epochs=3, learning_rate=2e-3, weight_decay=0.01, warmup_epochs=0.5, precision="fp32", seed=3
)


@dataclass(frozen=True)
class Lights:
    """Three classes told by their brightest channel, in batches of 13, 13, 13 and 12."""

    share: Share = WHOLE
    samples = 51
    steps_per_epoch = 4

    def _batch(self, seed: int, size: int):
        rng = torch.Generator().manual_seed(seed)
        labels = torch.randint(0, 3, (size,), generator=rng)
        images = torch.randn(size, 3, 8, 8, generator=rng) * 0.5
        images[torch.arange(size), labels] += 1.0
        return images, labels

    def shared(self, rank, processes):
        return replace(self, share=Share(rank, processes))

    def train(self, epoch, start_batch):
        for number in range(start_batch, self.steps_per_epoch):
            yield self.share.of_tensors(self._batch(1000 * epoch + number, 12 if number == 3 else 13))

    def plain(self):
        return [self._batch(number, 13) for number in range(self.steps_per_epoch)]

    def validation(self):
        return [self._batch(99_999 + start, 21) for start in self.share.of_batches(range(3))]


class Network(nn.Module):
    """Batch norms, and an auxiliary head that the loss does not look at."""

    def __init__(self, *, norm: bool = True, dropout: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8) if norm else nn.Identity()
        self.body = nn.Conv2d(8, 8, 3, bias=not norm)  # before a norm its gradient would be nothing but rounding
        self.other_norm = nn.BatchNorm2d(8, momentum=None, affine=False) if norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.auxiliary = nn.Linear(8, 3)
        self.head = nn.Linear(8, 3)

    def forward(self, images):
        features = torch.relu(self.norm(self.stem(images)))
        features = self.dropout(torch.relu(self.other_norm(self.body(features))).mean((2, 3)))
        return self.head(features), self.auxiliary(features)


HEAD = frozenset({"head.weight", "head.bias"})


def loss(model, images, labels):
    return cross_entropy(logits_of(model(images)), labels, 0.05)


def weighted(model, images, labels):
    return cross_entropy(logits_of(model(images)), labels, 0.0, torch.tensor([0.5, 1.0, 2.0]))


CASES = {
    "full": (Network, OPTIONS, loss),
    "gradual": (Network, replace(OPTIONS, strategy="gradual", layer_decay=0.8), loss),
    "partial": (Network, replace(OPTIONS, strategy="partial", stages=2, l2_sp=0.01), loss),
    "frozen": (Network, replace(OPTIONS, batch_norm="frozen", clip_norm=0.1), weighted),
    "pieces": (lambda: Network(norm=False), replace(OPTIONS, micro_batch=3), loss),
    "average": (Network, replace(OPTIONS, ema=0.9, patience=1, epochs=6), loss),
}
SHARDED = {  # the same with weights shared out
    f"sharded {name}": (make, replace(options, sharding="always"), how) for name, (make, options, how) in CASES.items()
}


def run_case(name: str, scratch: Path, tick=lambda *_: None) -> tuple[Trained, dict]:
    """Train as the case says; returns (what the trainer tells, weights)."""
    make, options, how = (CASES | SHARDED)[name]
    model = make()
    scratch.mkdir(parents=True, exist_ok=True)
    trained = train(model, options, Lights(), how, scratch, tick, HEAD)
    return trained, {key: value.contiguous().clone() for key, value in model.state_dict().items()}


def held() -> dict[str, torch.Tensor]:
    """What this process holds of each weight that is shared out, and (``whole.``) what gathering gives back."""
    from edgetune.finetune import sharding

    network, empty = Network(), Network()
    sharded = sharding.shard(network, split_stages(network, HEAD), current(), torch.device("cpu"))
    parts = {name: weight.to_local().detach().clone() for name, weight in sharded.named_parameters()}
    for weight in empty.parameters():
        nn.init.zeros_(weight)
    sharding.gather(sharded, empty)
    return parts | {f"whole.{name}": weight.detach().clone() for name, weight in empty.named_parameters()}


def killed_once(folder: Path, step: int):
    """A tick that kills the second process in ``step``, the first time."""

    def tick(done, _total, _note):
        mark = folder / "killed"
        if done == step and distributed.get_rank() == 1 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    return tick


def main(folder: Path, *names: str) -> None:
    """What each process of the team runs: cases one after the other.

    "kill" is "dropout" with one process killed, "sharded" either with weights shared out; "held" trains nothing.
    """
    together.join()
    for name in names:
        if name == "held":
            save_file(held(), folder / f"held-{distributed.get_rank()}.safetensors")
            continue
        kind = name.removeprefix("sharded ")
        if kind in ("dropout", "kill"):
            trainer.CHECKPOINT_EVERY_SECONDS = 0.0
            sharding = "always" if name != kind else "never"
            CASES[name] = (lambda: Network(dropout=0.3), replace(OPTIONS, ema=0.9, sharding=sharding), loss)
        tick = killed_once(folder, 6) if kind == "kill" else lambda *_: None
        trained, weights = run_case(name, folder / "scratch" / name, tick)
        save_file(weights, folder / f"{name}-{distributed.get_rank()}.safetensors", {"told": str(trained)})
    distributed.barrier()
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
