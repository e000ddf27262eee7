"""The training loop: one network, one loss, resumable to the bit on the same machine.

In a team (``edgetune.finetune.team``) every process runs it on its part of each batch and only the first one writes.
"""

import importlib
import math
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from edgetune.errors import Abandoned, Interrupted, TrainingError
from edgetune.finetune import compiling
from edgetune.finetune.average import averaged
from edgetune.finetune.batch_norm import synchronized_batch_norms
from edgetune.finetune.evaluation import tally
from edgetune.finetune.freezing import freeze_below, set_modes
from edgetune.finetune.groups import parameter_groups, toward_start
from edgetune.finetune.interrupts import deferred_interrupts
from edgetune.finetune.options import Batches, Examples, Trained, TrainOptions
from edgetune.finetune.precision import Compute, choose_compute, fastest_kernels, finish
from edgetune.finetune.schedule import learning_rate
from edgetune.finetune.stages import split_stages
from edgetune.finetune.state import Progress, load_state, save_state
from edgetune.finetune.strategies import STRATEGIES
from edgetune.finetune.team import Team, current, draw_seed, spread
from edgetune.finetune.update import Loss, Update
from edgetune.models.tensors import load_tensors
from edgetune.progress import Tick, Watch, unwatched

CHECKPOINT_EVERY_SECONDS = 30.0
RETRY_RATE = 0.1  # the learning rate of the one retry after a loss that is not finite
BAD_BATCH = "nan-batch.safetensors"


class _Diverged(Exception):
    def __init__(self, step: int, images: Tensor, labels: Tensor) -> None:
        super().__init__()
        self.step, self.images, self.labels = step, images, labels


def train(
    network: nn.Module,
    options: TrainOptions,
    examples: Examples,
    loss: Loss,
    scratch: Path,
    tick: Tick,
    head: frozenset[str] = frozenset(),
    watch: Watch = unwatched,
) -> Trained:
    """Train ``network`` in place, going on from the checkpoint in ``scratch`` if there is one.

    A loss that is not finite is met with one retry from the start at a tenth of the rate; the batch
    that caused it is kept in ``scratch``.

    Args:
        head: state-dict keys of the head (``edgetune.models.head``); empty: that of the last stage.
        watch: told the history after each epoch, and before a training goes on from a checkpoint; a strategy without
            epochs does not call it.

    Raises:
        TrainingError: the loss was not finite twice, or the strategy does not fit the network.
        Interrupted: Ctrl-C; the state is saved.
    """
    strategy = importlib.import_module(STRATEGIES[options.strategy])
    if hasattr(strategy, "learn"):
        trained: Trained = strategy.learn(network, options, examples, loss, scratch, tick, head)
        return trained
    added = add_weights(network, options)
    spread(network, current())
    initial = {key: value.detach().clone() for key, value in network.state_dict().items()}
    run = _Run(network, options, examples, loss, scratch, tick, head, watch, added)
    while True:
        try:
            trained = run.to_the_end()
            if added:
                strategy.merge(network)
            return trained
        except _Diverged as diverged:
            if run.team.leads:
                batch = {"images": diverged.images.cpu().contiguous(), "labels": diverged.labels.cpu()}
                save_file(batch, scratch / BAD_BATCH)
            if run.progress.attempt > 0:
                raise TrainingError(
                    f"the loss became NaN or infinite at step {diverged.step}, also at a tenth of the rate "
                    f"{options.learning_rate:g}",
                    hint=f"the batch is kept in {scratch / BAD_BATCH}; lower the `learning_rate` of "
                    "`[finetune]` (`edgetune lr-find` suggests one), `[prune]` or `[quantize]`, or look for broken "
                    "samples in that batch",
                ) from None
            load_tensors(network, initial)
            run.restart(attempt=1)


def add_weights(network: nn.Module, options: TrainOptions) -> frozenset[str]:
    """Add the strategy's own weights to ``network``; returns their names, none for most strategies."""
    adapt = getattr(importlib.import_module(STRATEGIES[options.strategy]), "adapt", None)
    if adapt is None:
        return frozenset()
    names: frozenset[str] = adapt(network, options.lora_rank, options.lora_alpha, options.seed)
    return names


def _sharding(option: str, network: nn.Module, team: Team, compute: Compute) -> ModuleType | None:
    """The module that shares weights out where that is wanted; only then is it loaded, which takes a second or two."""
    if team.size == 1 or option == "never":
        return None
    module = importlib.import_module("edgetune.finetune.sharding")
    return module if module.is_wanted(option, network, team, compute) else None


class _Run:
    """One training run's moving parts."""

    def __init__(
        self,
        network: nn.Module,
        options: TrainOptions,
        examples: Examples,
        loss: Loss,
        scratch: Path,
        tick: Tick,
        head: frozenset[str],
        watch: Watch,
        added: frozenset[str],
    ) -> None:
        self.compute: Compute = choose_compute(options.precision)
        self.whole = network  # what trains is its copy where weights are shared out, else the same
        self.team = current()
        if self.team.size > 1:
            self.team.check_batches(examples.samples, examples.steps_per_epoch)
            examples = examples.shared(self.team.rank, self.team.size)
        self.options, self.examples, self.loss = options, examples, loss
        self.scratch, self.tick, self.watch, self.added = scratch, tick, watch, added
        self.strategy = importlib.import_module(STRATEGIES[options.strategy])
        self.stages = split_stages(network, head)
        self.total_steps = options.epochs * examples.steps_per_epoch
        freeze_below(network, self.stages, self._first_stage(options.epochs - 1), added)
        self.sharding = _sharding(options.sharding, network, self.team, self.compute)
        self.saved_at = time.monotonic()
        self.steps_here, self.last_loss = 0, math.nan
        self.restart(attempt=0)
        if (restored := load_state(scratch, self.network, self.optimizer, self.average)) is not None:
            self.progress, self.best = restored
            self.update.micro_batch = self.progress.micro_batch or options.micro_batch
            self.update.scaler.load_state_dict(self.progress.scaler)
            if self.progress.compilation.get("used"):
                compiling.apply(self.update)
        self.team.check_same(self.progress.step, "how far training was")

    def restart(self, attempt: int) -> None:
        """Begin at step 0 with fresh optimizer and random state."""
        options = self.options
        torch.manual_seed(options.seed)
        self.network = self._placed(self.whole)
        groups = parameter_groups(
            self.network,
            self.stages,
            weight_decay=options.weight_decay,
            layer_decay=options.layer_decay,
            l2_sp=options.l2_sp,
        )
        self.optimizer = torch.optim.AdamW(groups, lr=options.learning_rate, fused=self.compute.device.type != "mps")
        self.update = Update(
            network=self.network,
            optimizer=self.optimizer,
            loss=self.loss,
            compute=self.compute,
            clip_norm=options.clip_norm,
            micro_batch=options.micro_batch,
            team=self.team,
            sharded=self.sharding is not None,
        )
        start = {name: weight.detach().clone() for name, weight in self.network.named_parameters() if options.l2_sp}
        self.pull = toward_start(self.network, self.stages, start, options.l2_sp) if options.l2_sp else None
        self.average = averaged(self.whole, options.ema) if options.ema else None
        if self.average is not None and self.sharding:
            self.average.module = self._placed(self.average.module)
        compilation = self.progress.compilation if attempt else {}
        if compilation.get("used"):
            compiling.apply(self.update)
        self.progress, self.best = Progress(attempt=attempt, compilation=compilation), dict[str, Tensor]()
        self.unread: tuple[int, Tensor, Tensor, Tensor] | None = None  # a step, its loss and its batch

    def _placed(self, network: nn.Module) -> nn.Module:
        """``network`` on the device that computes, or a copy whose weights are shared out."""
        if self.sharding:
            made: nn.Module = self.sharding.shard(network.cpu(), self.stages, self.team, self.compute.device)
            return made
        return network.to(self.compute.device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def to_the_end(self) -> Trained:
        per_epoch = self.examples.steps_per_epoch
        if self.progress.history:  # of a run that was stopped: what gave it up may do so again
            self._tell()
        with deferred_interrupts() as stop_asked, synchronized_batch_norms(self.network, self.team), fastest_kernels():
            while self.progress.step < self.total_steps and not self._stopped_early():
                epoch, batch = divmod(self.progress.step, per_epoch)
                self._begin_epoch(epoch)
                for images, labels in self._timed(self.examples.train(epoch, batch)):
                    self._step(images, labels)
                    if self.progress.step % per_epoch == 0:
                        self._end_epoch(epoch)
                    elif self._is_time_to_save():
                        self._save()
                    if self.team.any(stop_asked()):
                        self._save()
                        raise Interrupted("stopped; training is saved", hint="run the same command to go on")
        load_tensors(self.whole, self.best)
        self.whole.requires_grad_(True).eval()
        return Trained(
            history=self.progress.history,
            best_epoch=self.progress.best_epoch,
            precision=self.compute.precision,
            device=self.compute.device.type,
            retried=self.progress.attempt > 0,
            strategy=self.options.strategy,
            compute=self.compute.reason,
            compilation=self.progress.compilation,
            stopped_early=self.progress.step < self.total_steps,
            micro_batch=self.update.micro_batch,
            processes=self.team.size,
            sharded=self.sharding is not None,
        )

    def _is_time_to_save(self) -> bool:
        """In all processes at once where each holds a part of what is saved."""
        due = time.monotonic() - self.saved_at > CHECKPOINT_EVERY_SECONDS
        return self.team.any(due) if self.sharding else due

    def _first_stage(self, epoch: int) -> int:
        """The lowest stage that learns in ``epoch``."""
        options = self.options
        return int(self.strategy.first_stage(self.stages.head, epoch, options.epochs, options.stages))

    def _begin_epoch(self, epoch: int) -> None:
        """Let the stages learn that the strategy says."""
        first = self._first_stage(epoch)
        freeze_below(self.network, self.stages, first, self.added)
        set_modes(self.network, self.stages, first, self.options.batch_norm)

    def _stopped_early(self) -> bool:
        """Whether the accuracy on validation has not risen for ``patience`` epochs (Prechelt 1998)."""
        accuracies = [row["val_accuracy"] for row in self.progress.history]
        if not self.options.patience or not accuracies:
            return False
        return len(accuracies) - 1 - accuracies.index(max(accuracies)) >= self.options.patience

    def _timed(self, batches: Batches) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches, with the time spent waiting for each added up."""
        iterator = iter(batches)
        while True:
            started = time.perf_counter()
            item = next(iterator, None)
            waited = time.perf_counter() - started
            self.progress.epoch_wait_seconds += waited
            self.progress.epoch_seconds += waited
            if item is None:
                return
            yield item

    def _step(self, images: Tensor, labels: Tensor) -> None:
        started = time.perf_counter()
        rate = self._rate()
        if not self.progress.compilation and self.steps_here:  # after a step, which has found what fits into memory
            self._consider_compiling(images, labels)
        if self.team.size > 1:  # dropout: another draw in each process and step, whatever came before
            torch.manual_seed(draw_seed(self.options.seed, self.progress.attempt, self.progress.step, self.team.rank))
        loss = self.update.step(images, labels, rate)
        if not self.update.waits:
            self._read_loss()  # of the step before, while the GPU computes this one
        self.unread = self.progress.step, loss, images, labels
        if self.update.waits:
            self._read_loss()
        if self.pull is not None:
            self.pull(rate)
        if self.average is not None:
            self.average.update_parameters(self.network)
        self.progress.step += 1
        self.steps_here += 1
        self.progress.epoch_seconds += time.perf_counter() - started
        known = math.isfinite(self.last_loss)  # on a GPU not before the second step
        self.tick(self.progress.step, self.total_steps, f"loss {self.last_loss:.3f}" if known else "")

    def _consider_compiling(self, images: Tensor, labels: Tensor) -> None:
        changing = self.options.strategy == "gradual"
        left = self.total_steps - self.progress.step
        made = compiling.consider(self.options.compile, self.update, (images, labels), left, changing)
        self.progress.compilation = made.to_json()

    def _read_loss(self) -> None:
        """Wait for the loss of the last step, if it was not read yet."""
        if self.unread is None:
            return
        (step, loss, images, labels), self.unread = self.unread, None
        self.last_loss = float(loss)
        if not math.isfinite(self.last_loss):
            raise _Diverged(step, images, labels)
        self.progress.epoch_loss += self.last_loss

    def _rate(self) -> float:
        per_epoch = self.examples.steps_per_epoch
        return learning_rate(
            self.progress.step,
            peak=self.options.learning_rate * (RETRY_RATE if self.progress.attempt else 1.0),
            warmup_steps=min(round(self.options.warmup_epochs * per_epoch), self.total_steps // 2),
            total_steps=self.total_steps,
        )

    def _end_epoch(self, epoch: int) -> None:
        """Judge the epoch on validation, keep the best, and save (a later epoch wins a tie)."""
        started = time.perf_counter()
        self._read_loss()
        finish(self.compute.device)
        self.progress.epoch_seconds += time.perf_counter() - started
        started = time.perf_counter()
        judged = self._judged()
        right, loss, total = self.team.sum(*tally(judged, self.examples.validation(), self.compute.device))
        accuracy, val_loss = right / max(1, total), loss / max(1, total)
        if not math.isfinite(val_loss):
            raise TrainingError(
                f"the network's outputs on validation are NaN or infinite in epoch {epoch + 1} at the learning rate "
                f"{self.options.learning_rate:g}",
                hint="lower `[finetune] learning_rate` (`edgetune lr-find` suggests one); or it computes "
                "otherwise in eval mode",
            )
        progress, per_epoch = self.progress, self.examples.steps_per_epoch
        progress.history.append(
            {
                "epoch": epoch + 1,
                "train_loss": progress.epoch_loss / per_epoch,
                "val_loss": val_loss,
                "val_accuracy": accuracy,
                "seconds": round(progress.epoch_seconds, 3),
                "data_wait_seconds": round(progress.epoch_wait_seconds, 3),
                "validation_seconds": round(time.perf_counter() - started, 3),
            }
        )
        if accuracy >= progress.best_accuracy or not self.options.keep_best:
            progress.best_accuracy, progress.best_epoch = accuracy, epoch + 1
            self.best = {key: value.detach().cpu().clone() for key, value in judged.state_dict().items()}
        if self.sharding:
            judged.cpu()
        progress.epoch_loss = progress.epoch_seconds = progress.epoch_wait_seconds = 0.0
        self._save()
        self._tell()

    def _judged(self) -> nn.Module:
        """What validation looks at, whole, on the device that computes."""
        trained = self.network if self.average is None else self.average.module
        if self.sharding is None:
            return trained
        self.sharding.gather(trained, self.whole.to(self.compute.device))
        return self.whole

    def _tell(self) -> None:
        """Let the first process's watch see the history; where it gives up, all do."""
        given_up = None
        if self.team.leads:
            try:
                self.watch(self.progress.history)
            except Abandoned as reason:
                given_up = reason
        if self.team.any(given_up is not None):
            raise given_up or Abandoned("the first process gave this training up")

    def _save(self) -> None:
        self._read_loss()
        if not (self.team.leads or self.sharding):
            return
        self.progress.micro_batch, self.progress.scaler = self.update.micro_batch, self.update.scaler.state_dict()
        save_state(self.scratch, self.network, self.optimizer, self.progress, self.best, self.average, self.team.leads)
        self.saved_at = time.monotonic()
