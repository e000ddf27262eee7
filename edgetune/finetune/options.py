"""What the training loop is asked for, what it learns from, and what it leaves behind."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from torch import Tensor

Batches = Iterable[tuple[Tensor, Tensor]]


class Examples(Protocol):
    """What is learned from. Training order depends on (seed, epoch) alone, so it can start in the middle.

    A team also asks for ``samples``, and for the part of a process.
    """

    @property
    def samples(self) -> int: ...
    @property
    def steps_per_epoch(self) -> int: ...
    def shared(self, rank: int, processes: int) -> "Examples": ...
    def train(self, epoch: int, start_batch: int) -> Batches: ...
    def plain(self) -> Batches: ...
    def validation(self) -> Batches: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOptions:
    """How to train; see FinetuneSpec for the meaning of each."""

    strategy: str
    epochs: int
    learning_rate: float
    weight_decay: float
    warmup_epochs: float
    precision: str
    seed: int
    stages: int = 1
    layer_decay: float = 1.0
    batch_norm: str = "train"
    l2_sp: float = 0.0
    clip_norm: float = 0.0
    micro_batch: int = 0
    ema: float = 0.0
    patience: int = 0
    lora_rank: int = 8
    lora_alpha: float = 16.0
    keep_best: bool = True  # the epoch that is best on validation; else the last
    compile: str = "never"
    sharding: str = "never"  # of weights and moments between the processes of a team


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What training left behind; the network holds its best epoch's weights (on validation)."""

    history: list[dict[str, float]]
    best_epoch: int
    precision: str
    device: str
    retried: bool
    strategy: str
    compute: str = ""  # why this device and precision
    compilation: dict[str, Any] = field(default_factory=dict)  # a ``Compilation``; empty: there was nothing to compile
    stopped_early: bool = False
    micro_batch: int = 0  # samples computed at once; 0: whole batches
    processes: int = 1
    sharded: bool = False  # weights and moments were shared out between them

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)
