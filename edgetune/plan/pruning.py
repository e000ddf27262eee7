"""Steps that time layers and remove structure."""

from dataclasses import asdict

from edgetune.plan.as_data import runs_in, session_of
from edgetune.plan.candidates import UNPRUNED, candidate_name, float_precision, percent
from edgetune.plan.engines import EngineSteps
from edgetune.plan.versions import EXPORTING, TEXT_LIBRARIES, TRAINING
from edgetune.records import BenchSpec, Pruning, Target


class PruningSteps(EngineSteps):
    """Pruning by ratio is for any target of the same channel multiple, by time for one target."""

    def _prune(self, pruning: Pruning, target: Target, int8: bool) -> str:
        if self.recipe.reads_text:
            return self._prune_encoder(pruning, target, int8)
        prune, finetune = self.recipe.prune, self.recipe.finetune
        inputs = {"network": self.add_finetune(), "dataset": self._check_data()}
        if pruning.timed:
            inputs["latency"] = self._time_layers(target, int8)
        if pruning.latency_ms is not None:
            inputs["engine"] = self._time_unpruned(target, int8)
        params = {
            **asdict(prune),
            "ratio": pruning.ratio,
            "target_speedup": pruning.speedup,
            "target_latency_ms": pruning.latency_ms,
            "protect": list(prune.protect),
            "channel_multiple": target.channel_multiple,
            "batch_size": finetune.batch_size,
            "weight_decay": finetune.weight_decay,
            "warmup_epochs": finetune.warmup_epochs,
            "label_smoothing": finetune.label_smoothing,
            "augmentation": finetune.augmentation,
            "precision": finetune.precision,
            "micro_batch": finetune.micro_batch,
        }
        if pruning.timed:
            step_id = f"prune-{pruning.amount}-for-{target.name}"
            title = f"prune to {pruning.amount} on {target.name}"
        else:
            step_id = f"prune-{percent(pruning.ratio or 0.0)}-by-{target.channel_multiple}"
            title = f"prune {percent(pruning.ratio or 0.0)} %, channels by {target.channel_multiple}"
        return self._add(
            step_id,
            "prune",
            title,
            params,
            inputs=inputs,
            libraries=(*TRAINING, "torch-pruning"),
        )

    def _prune_encoder(self, pruning: Pruning, target: Target, int8: bool) -> str:
        prune, finetune = self.recipe.prune, self.recipe.finetune
        params = {
            "target_speedup": pruning.speedup,
            **({"target_latency_ms": pruning.latency_ms} if pruning.latency_ms is not None else {}),
            "recovery_epochs": prune.recovery_epochs,
            "learning_rate": prune.learning_rate,
            "distillation_weight": prune.distillation_weight,
            "distillation_temperature": prune.distillation_temperature,
            "channel_multiple": target.channel_multiple,
            "batch_size": finetune.batch_size,
            "weight_decay": finetune.weight_decay,
            "warmup_epochs": finetune.warmup_epochs,
            "label_smoothing": finetune.label_smoothing,
            "precision": finetune.precision,
            "micro_batch": finetune.micro_batch,
        }
        return self._add(
            f"prune-{pruning.amount}-for-{target.name}",
            "prune_encoder",
            f"prune to {pruning.amount} on {target.name}",
            params,
            inputs={"network": self.add_finetune(), **self._data(), "latency": self._time_encoder(target, int8)},
            libraries=("torch", *TEXT_LIBRARIES),
        )

    def _time_layers(self, target: Target, int8: bool) -> str:
        params = {
            "activation": target.scheme.activation if int8 else None,
            "channel_multiple": target.channel_multiple,
            "opset": target.opset,
            **session_of(target),
        }
        return self._add(
            f"time-layers:{target.name}",
            "time_layers",
            f"time layers on {target.name}",
            params,
            inputs={"network": self.add_finetune(), "processor": self._device(target).replace("device", "processor")},
            libraries=runs_in(target),
        )

    def _time_encoder(self, target: Target, int8: bool) -> str:
        params = {
            "int8": self._described_scheme(target) if int8 else None,
            "opset": target.opset,
            **session_of(target),
            "threads": self.recipe.bench.threads,
        }
        return self._add(
            f"time-layers:{target.name}",
            "time_encoder",
            f"time layers on {target.name}",
            params,
            inputs={
                "network": self.add_finetune(),
                **self._data(),
                "processor": self._device(target).replace("device", "processor"),
            },
            libraries=(*EXPORTING, *runs_in(target)),
        )

    def _time_unpruned(self, target: Target, int8: bool) -> str:
        """The engine that a latency in ms is compared with; timed by settings of its own: `[bench]` prunes nothing."""
        network = self.add_finetune()
        precision = "int8" if int8 else float_precision(target)
        made = self._quantize(network, target) if int8 else self._export(network, target)
        compiled = self._compile(
            target, candidate_name(UNPRUNED, precision), precision, self._shipped(made, network, target, precision)
        )
        return self._add(
            f"time-unpruned:{target.name}",
            "measure",
            f"time the unpruned engine on {target.name}",
            asdict(BenchSpec(threads=self.recipe.bench.threads)),
            inputs={"unpruned": compiled, "device": self._device(target)},
            libraries=runs_in(target),
        )
