"""Which steps a build takes, in order. Pure: reads no file, loads no library.

Every target gets a float candidate (its baseline), an INT8 one, and both again for each pruning; where the controller
chooses, the float one and those of its rungs.
Steps two targets share (fine-tuning, pruning by ratio to the same multiple of channels)
appear once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import PurePath
from typing import Any

from edgetune.hashing import digest_json
from edgetune.inference import INFERENCE_LIBRARIES, session_settings
from edgetune.private import cleaned
from edgetune.records import (
    BenchSpec,
    Candidate,
    Facts,
    FinetuneSpec,
    Plan,
    PruneSpec,
    Pruning,
    Recipe,
    Rung,
    Step,
    Target,
)
from edgetune.rungs import CALIBRATED, TREATMENTS, Treatment

# Raise a step's number when its code changes what it makes.
VERSIONS = {
    "check_data": 3,
    "check_labels": 2,
    "finetune": 1,
    "folds": 1,
    "fold": 1,  # it fine-tunes as "finetune" does: raise both
    "cross_validate": 1,
    "time_layers": 1,
    "time_encoder": 2,
    "prune": 3,
    "prune_encoder": 1,
    "export": 1,
    "quantize": 4,
    "quantize_dynamic": 1,
    "store_weights": 1,
    "float_layers": 3,
    "qat": 2,
    "mend": 2,
    "mix": 2,
    "tokenize": 1,
    "half": 1,
    "pixels": 1,
    "compile": 1,
    "evaluate": 1,
    "measure": 5,
    "select": 10,
    "bundle": 3,
    "validate": 2,
    "lr_find": 1,
    "time_training": 1,
    "forgetting": 1,
    "diagnose": 2,
}
TRAINING = ("torch", "torchvision")
TEXT_LIBRARIES = ("transformers", "tokenizers")
EXPORTING = ("torch", "onnx", "onnxscript")
HALF_OPSET = 19  # the first in which QuantizeLinear and DequantizeLinear take float16
FLOAT = "float"
DEFAULT_SPEEDUPS = (1.25, 1.5)
DEFAULT_ENCODER_SPEEDUPS = (1.5,)  # one layer more or less is about 1.2 times; each takes a training of its own
DEFAULT_RATIOS = (0.15, 0.3)
AUTO_SPEEDUPS = (2.0, 1.5, 1.25)  # what the controller may try of a recipe that says nothing
UNPRUNED = Pruning()
BASELINE = Rung(pruning=UNPRUNED)
REPAIR_SAMPLES = 512  # of validation, that repairs and layers in float are chosen by
NOT_IN_LR_FIND = ("learning_rate", "warmup_epochs", "patience", "ema")  # what a range test does not depend on


def make_plan(
    recipe: Recipe, targets: tuple[Target, ...], facts: Facts, rungs: Mapping[str, Sequence[Rung]] | None = None
) -> Plan:
    """The plan of a build for ``targets``: of those in ``rungs`` these engines, of the others the recipe's grid."""
    builder = _Builder(recipe, facts)
    if recipe.data.check_labels:
        builder.add_check_labels()
    if recipe.data.folds:
        builder.add_folds()
    for target in targets:
        builder.add_target(target, (rungs or {}).get(target.name))
    if recipe.finetune.keep is not None:
        builder.add_forgetting()
    if recipe.data.folds:
        builder.add_cross_validation()
    return Plan(
        recipe=recipe,
        targets=targets,
        steps=tuple(builder.steps.values()),
        candidates=tuple(builder.candidates),
        facts=facts,
    )


def make_lr_find_plan(recipe: Recipe, facts: Facts, *, lowest: float, highest: float, steps: int) -> Plan:
    """The steps of a learning-rate range test: look at the data, then try rates."""
    builder = _Builder(recipe, facts)
    builder.add_lr_find({"lowest": lowest, "highest": highest, "steps": steps})
    return Plan(recipe=recipe, targets=(), steps=tuple(builder.steps.values()), candidates=(), facts=facts)


def make_timing_plan(recipe: Recipe, facts: Facts) -> Plan:
    """The steps that time a few batches of the fine-tuning, to tell how long it would take."""
    builder = _Builder(recipe, facts)
    builder.add_time_training()
    return Plan(recipe=recipe, targets=(), steps=tuple(builder.steps.values()), candidates=(), facts=facts)


def make_diagnosis_plan(recipe: Recipe, target: Target, facts: Facts, *, samples: int) -> Plan:
    """The steps that find where the fine-tuned network loses its accuracy to the target's 8 bits."""
    builder = _Builder(recipe, facts)
    builder.add_diagnosis(target, samples)
    return Plan(recipe=recipe, targets=(target,), steps=tuple(builder.steps.values()), candidates=(), facts=facts)


def make_finetune_plan(recipe: Recipe, facts: Facts) -> Plan:
    """The steps of a build up to its fine-tuning."""
    builder = _Builder(recipe, facts)
    builder.add_finetune()
    return Plan(recipe=recipe, targets=(), steps=tuple(builder.steps.values()), candidates=(), facts=facts)


def make_trial_plan(recipe: Recipe, target: Target, facts: Facts, pruning: Pruning, precision: str) -> Plan:
    """The steps of a build that make one engine of ``recipe`` and evaluate it, on validation alone.

    Args:
        precision: "float", "int8", or "qat" for INT8 that was trained.
    """
    builder = _Builder(recipe, facts)
    builder.add_trial(target, pruning, precision)
    return Plan(
        recipe=recipe,
        targets=(target,),
        steps=tuple(builder.steps.values()),
        candidates=tuple(builder.candidates),
        facts=facts,
    )


def make_rung_plan(recipe: Recipe, target: Target, facts: Facts, rung: Rung) -> Plan:
    """The steps that make the engine of ``rung``, evaluate it on validation alone, and time it beside the float one.

    The baseline itself is not timed.
    """
    builder = _Builder(recipe, facts)
    if recipe.data.check_labels:
        builder.add_check_labels()
    if recipe.data.folds:
        builder.add_folds()
    baseline = builder.add_rung(target, BASELINE, ("val",))
    candidate = baseline if rung == BASELINE else builder.add_rung(target, rung, ("val",))
    if rung != BASELINE:
        assert baseline.compile_step and candidate.compile_step  # rungs are for targets that run here
        pair = {FLOAT: baseline.compile_step, candidate.name: candidate.compile_step}
        builder.add_measure(target, pair, beside=candidate.name)
    return Plan(
        recipe=recipe, targets=(target,), steps=tuple(builder.steps.values()), candidates=(candidate,), facts=facts
    )


def make_pair_plan(recipe: Recipe, target: Target, facts: Facts, engines: Mapping[str, str]) -> Plan:
    """The one step that times ``engines`` ({name: id of a step of another plan}) in the same session."""
    builder = _Builder(recipe, facts)
    measured = builder.add_measure(target, engines)
    return Plan(recipe=recipe, targets=(target,), steps=(builder.steps[measured],), candidates=(), facts=facts)


def make_check_labels_plan(recipe: Recipe, facts: Facts) -> Plan:
    """The steps of a look at the labels: look at the data, then at what the network sees of it."""
    builder = _Builder(recipe, facts)
    builder.add_check_labels()
    return Plan(recipe=recipe, targets=(), steps=tuple(builder.steps.values()), candidates=(), facts=facts)


@dataclass(slots=True)
class _Builder:
    recipe: Recipe
    facts: Facts
    steps: dict[str, Step] = field(default_factory=dict)
    candidates: list[Candidate] = field(default_factory=list)

    def add_target(self, target: Target, rungs: Sequence[Rung] | None = None) -> None:
        if rungs is not None:
            ours = [self.add_rung(target, rung) for rung in (BASELINE, *rungs)]
            ours += self._weight_only(target, True)
            self.candidates += ours
            self._finish(target, ours)
            return
        runs_here = self.facts.unavailable[target.name] is None
        layers_timed = runs_here and target.name not in self.facts.untimed
        layers_timed &= INFERENCE_LIBRARIES[target.backend].times_layers
        int8 = self.int8(target)
        ours = []
        for pruning in dict.fromkeys((UNPRUNED, *prunings(self.recipe.prune, layers_timed, self.recipe.reads_text))):
            network = self._prune(pruning, target, int8) if pruning.asked else self.add_finetune()
            plain = float_precision(target)
            floating = self._shipped(self._export(network, target), network, target, plain)
            ours.append(self._candidate(target, pruning, plain, network, floating, runs_here))
            if int8:
                onnx = self._shipped(self._quantize(network, target), network, target, "int8")
                ours.append(self._candidate(target, pruning, "int8", network, onnx, runs_here))
            if int8 and self.recipe.quantize.mode == "qat":
                onnx = self._shipped(self._quantize(network, target, train=True), network, target, "int8")
                ours.append(self._candidate(target, pruning, "int8", network, onnx, runs_here, "-qat"))
        ours += self._weight_only(target, runs_here)
        self.candidates += ours
        if target.backend == "tensorrt":
            self._validate(target, ours)
        if runs_here:
            self._finish(target, ours)

    def add_trial(self, target: Target, pruning: Pruning, precision: str) -> None:
        """One engine, without measurement and choice."""
        int8 = precision != FLOAT
        network = self._prune(pruning, target, self.int8(target)) if pruning.asked else self.add_finetune()
        made = self._quantize(network, target, train=precision == "qat") if int8 else self._export(network, target)
        onnx = self._typed(made, network, target)
        engine = "int8" if int8 else float_precision(target)
        ending = "-qat" if precision == "qat" else ""
        self.candidates = [self._candidate(target, pruning, engine, network, onnx, True, ending, ("val",))]

    def add_rung(self, target: Target, rung: Rung, splits: tuple[str, ...] = ()) -> Candidate:
        """The engine of a rung, evaluated on ``splits``."""
        pruning, int8 = rung.pruning, self.int8(target)
        network = self._prune(pruning, target, int8) if pruning.asked else self.add_finetune()
        if rung.treatment is None:
            made, precision, ending = self._export(network, target), float_precision(target), ""
        else:
            treatment = TREATMENTS[rung.treatment]
            made, precision = self._quantize(network, target, treatment=treatment), "int8"
            ending = treatment.name.removeprefix(CALIBRATED.name)
        onnx = self._shipped(made, network, target, precision)
        return self._candidate(target, pruning, precision, network, onnx, True, ending, splits)

    def _weight_only(self, target: Target, runs_here: bool) -> list[Candidate]:
        """The whole network once for each kind of weights that the recipe names; TensorRT reads none of them."""
        if target.backend == "tensorrt":
            return []
        network, made = self.add_finetune(), []
        for kind in self.recipe.quantize.weights:
            precision = f"{kind}-weights"
            stored = self._add(
                f"store-weights:{network}:{kind}:opset-{target.opset}",
                "store_weights",
                f"store weights in {kind}: {self.steps[network].title}",
                {"weights": kind},
                inputs={"onnx": self._export(network, target), "network": network, **self._data()},
                libraries=("onnx", "onnxruntime"),
            )
            onnx = self._shipped(stored, network, target, precision)
            made.append(self._candidate(target, UNPRUNED, precision, network, onnx, runs_here))
        return made

    def int8(self, target: Target) -> bool:
        """Whether a build for ``target`` makes INT8 engines."""
        return self.recipe.quantize.mode != "none" and makes_int8(self.recipe, target)

    def _add(self, step_id: str, name: str, title: str, params: Mapping[str, Any], **more: Any) -> str:
        facts = {"seed": self.recipe.seed, **more}
        if self.recipe.deterministic and "torch" in facts.get("libraries", ()):
            params = {**params, "deterministic": True}
        step = Step(id=step_id, name=name, version=VERSIONS[name], title=title, params=params, **facts)
        return self.steps.setdefault(step_id, step).id

    def _device(self, target: Target) -> str:
        """The source that stands for where the target's engines run."""
        name = f"device:{target.name}"
        return f"source:{name}" if name in self.facts.sources else "source:device"

    def _check_data(self) -> str:
        data = self.recipe.data
        params = {
            "val_fraction": data.val_fraction,
            "test_fraction": data.test_fraction,
            "on_bad_file": data.on_bad_file,
            "allow_leaks": data.allow_leaks,
        }
        return self._add("check-data", "check_data", "check data", params, inputs={"data": "source:data"})

    def _data(self) -> dict[str, str]:
        """Inputs of a step that looks at samples."""
        dataset = {"dataset": self._check_data()}
        return {**dataset, "tokens": self._tokenize()} if self.recipe.reads_text else dataset

    def _tokenize(self) -> str:
        params = {"model": {"name": self.recipe.model.name}, "max_length": self.recipe.data.max_length}
        inputs = {"dataset": self._check_data(), "weights": "source:weights"}
        return self._add("tokenize", "tokenize", "tokenize", params, inputs=inputs, libraries=TEXT_LIBRARIES)

    def _training_libraries(self) -> tuple[str, ...]:
        if self.recipe.reads_text:
            return ("torch", *TEXT_LIBRARIES)
        return (*TRAINING, "timm") if self.recipe.model.name.startswith("timm/") else TRAINING

    def add_finetune(self) -> str:
        params, inputs = self._training()
        libraries = self._training_libraries()
        return self._add("finetune", "finetune", "fine-tune", params, inputs=inputs, libraries=libraries)

    def add_folds(self) -> str:
        """The assignment alone, before anything is trained: classes may be too small for it."""
        params, inputs = {"folds": self.recipe.data.folds}, {"dataset": self._check_data()}
        return self._add("folds", "folds", "assign folds", params, inputs=inputs)

    def add_cross_validation(self) -> None:
        """Each fold fine-tunes with a seed of its own; they come last, as no engine waits for them."""
        data, folds = self.recipe.data, {}
        params, inputs = self._training()
        for number in range(1, data.folds + 1):
            folds[f"fold-{number}"] = self._add(
                f"fold-{number}",
                "fold",
                f"cross-validate: fold {number} of {data.folds}",
                {**params, "fold": number, "val_fraction": data.val_fraction},
                inputs={**inputs, "folds": self.add_folds()},
                libraries=self._training_libraries(),
                seed=fold_seed(self.recipe.seed, number),
            )
        self._add("cross-validate", "cross_validate", "cross-validation", {}, inputs=folds, libraries=("scipy",))

    def add_check_labels(self) -> str:
        params, inputs = self._training()
        params = {key: params[key] for key in ("model", *self._input_size())}
        libraries = self._training_libraries()
        return self._add("check-labels", "check_labels", "check labels", params, inputs=inputs, libraries=libraries)

    def add_lr_find(self, limits: Mapping[str, Any]) -> str:
        params, inputs = self._training()
        params = {key: value for key, value in params.items() if key not in NOT_IN_LR_FIND}
        title = "learning-rate range test"
        libraries = self._training_libraries()
        return self._add("lr-find", "lr_find", title, {**params, **limits}, inputs=inputs, libraries=libraries)

    def add_forgetting(self) -> str:
        network, source = self.add_finetune(), {role: f"source:{role}" for role in ("weights", "code", "keep")}
        libraries, title = self._training_libraries(), "what was forgotten"
        return self._add(
            "forgetting", "forgetting", title, {}, inputs={"network": network, **source}, libraries=libraries
        )

    def add_time_training(self) -> str:
        params, inputs = self._training()
        libraries = self._training_libraries()
        inputs = {**inputs, "processor": "source:processor"}
        return self._add("time-training", "time_training", "time batches", params, inputs=inputs, libraries=libraries)

    def add_diagnosis(self, target: Target, samples: int) -> str:
        params = {
            **self._calibration(target),
            "samples": samples,
            "max_accuracy_drop": self.recipe.budget.max_accuracy_drop,
        }
        inputs = {"network": self.add_finetune(), "dataset": self._check_data()}
        title = f"diagnose 8 bits of {target.name}"
        return self._add("diagnose", "diagnose", title, params, inputs=inputs, libraries=self._training_libraries())

    def _training(self) -> tuple[dict[str, Any], dict[str, str]]:
        """Parameters and inputs of whatever trains the whole network."""
        recipe, data = self.recipe, self._data()
        model = recipe.model
        params = {
            "model": {"name": model.name, "args": dict(model.args), "pretrained": model.pretrained},
            **self._input_size(),
            **finetune_as_data(recipe.finetune),
            **(self._auto() if recipe.finetune.strategy == "auto" else {}),
        }
        return params, {**data, "weights": "source:weights", "code": "source:code"}

    def _auto(self) -> dict[str, Any]:
        """What decides beside the data where the strategy is left to edgetune; ``auto``: how it decides."""
        hours = self.recipe.budget.max_hours
        return {"auto": 2, **({} if hours is None else {"max_hours": hours})}

    def _input_size(self) -> dict[str, int]:
        data = self.recipe.data
        return {"max_length": data.max_length} if self.recipe.reads_text else {"image_size": data.image_size}

    def _time_layers(self, target: Target, int8: bool) -> str:
        params = {
            "activation": target.scheme.activation if int8 else None,
            "channel_multiple": target.channel_multiple,
            "opset": target.opset,
            **_session(target),
        }
        return self._add(
            f"time-layers:{target.name}",
            "time_layers",
            f"time layers on {target.name}",
            params,
            inputs={"network": self.add_finetune(), "processor": self._device(target).replace("device", "processor")},
            libraries=_runs_in(target),
        )

    def _time_encoder(self, target: Target, int8: bool) -> str:
        params = {
            "int8": self._described_scheme(target) if int8 else None,
            "opset": target.opset,
            **_session(target),
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
            libraries=(*EXPORTING, *_runs_in(target)),
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
            libraries=_runs_in(target),
        )

    def _export(self, network: str, target: Target) -> str:
        params = {"opset": target.opset}
        step_id = f"export:{network}:opset-{target.opset}"
        title = f"export {self.steps[network].title}"
        return self._add(step_id, "export", title, params, inputs={"network": network}, libraries=EXPORTING)

    def _quantize(self, network: str, target: Target, train: bool = False, treatment: Treatment = CALIBRATED) -> str:
        if self.recipe.reads_text:
            return self._quantize_dynamic(network, target, smooth=treatment.mended)
        params = {"opset": target.opset, **self._calibration(target)}
        flavour = "-".join(
            [
                target.scheme.activation,
                "per-channel" if target.scheme.per_channel else "per-tensor",
                *(["7bit"] if target.scheme.reduce_range else []),
                *(["fused-add"] if target.scheme.fused_add else []),
                *(["outputs"] if target.scheme.layer_outputs else []),
                *target.scheme.operators,
            ]
        )
        chosen, train = self._float_layers(network, target, flavour), train or treatment.trained
        kind, how = "qat" if train else "quantize", treatment.name.removeprefix(CALIBRATED.name)
        timed = f":as-timed-on-{target.name}" if chosen or treatment.mixed else ""
        if treatment.mended:
            chosen = {"settings": self._mend(network, target, flavour, chosen)}
        if treatment.mixed:
            chosen = {"settings": self._mix(network, target, flavour, chosen)}
        return self._add(
            f"{kind}:{network}:{flavour}:opset-{target.opset}{timed}{how}",
            kind,
            f"{'train quantized:' if train else 'quantize'} {self.steps[network].title}"
            + (f" ({treatment.title})" if treatment.mended and not train else ""),
            {**params, **self._quantized_training()} if train else params,
            inputs={"network": network, "dataset": self._check_data(), **chosen},
            libraries=(*EXPORTING, "onnxruntime", *(("torchvision",) if train else ())),
        )

    def _calibration(self, target: Target) -> dict[str, Any]:
        """How the ranges of a quantized network come about."""
        quantize = self.recipe.quantize
        return {
            "scheme": _scheme(target),
            "calibration_samples": quantize.calibration_samples,
            "repair": list(quantize.repair),
            **({"calibration": quantize.calibration} if quantize.calibration != "mse" else {}),
            **({"keep_float": list(quantize.keep_float)} if quantize.keep_float else {}),
        }

    def _float_layers(self, network: str, target: Target, flavour: str) -> dict[str, str]:
        """The step that chooses layers for float, where the target's engines can be timed on this machine."""
        quantize, here = self.recipe.quantize, self._device(target) == "source:device"
        runs = self.facts.unavailable[target.name] is None and here
        if quantize.float_layers == "none" or quantize.keep_float or not runs:
            return {}
        params = {
            "opset": target.opset,
            "scheme": _scheme(target),
            **_session(target),
            "threads": self.recipe.bench.threads,
        }
        step = self._add(
            f"float-layers:{network}:{flavour}:{target.name}",
            "float_layers",
            f"time first layers of {self.steps[network].title} in float",
            params,
            inputs={"network": network, "processor": "source:processor"},
            libraries=(*EXPORTING, *_runs_in(target)),
        )
        return {"float_layers": step}

    def _mend(self, network: str, target: Target, flavour: str, first: Mapping[str, str]) -> str:
        """The step that finds ranges and repairs; ``first`` is the one that chose first layers for float."""
        return self._add(
            f"mend:{network}:{flavour}" + (f":as-timed-on-{target.name}" if first else ""),
            "mend",
            f"find repairs for {self.steps[network].title}",
            {
                **self._calibration(target),
                "samples": REPAIR_SAMPLES,
                "max_accuracy_drop": self.recipe.budget.max_accuracy_drop,
            },
            inputs={"network": network, "dataset": self._check_data(), **first},
            libraries=self._training_libraries(),
        )

    def _mix(self, network: str, target: Target, flavour: str, mended: Mapping[str, str]) -> str:
        """The step that chooses layers for float by what they give back for their time on the target."""
        params = {
            "scheme": _scheme(target),
            "calibration_samples": self.recipe.quantize.calibration_samples,
            "samples": REPAIR_SAMPLES,
            "max_accuracy_drop": self.recipe.budget.max_accuracy_drop,
            "opset": target.opset,
            **_session(target),
            "threads": self.recipe.bench.threads,
        }
        processor = self._device(target).replace("device", "processor")
        return self._add(
            f"mix:{network}:{flavour}:{target.name}",
            "mix",
            f"choose layers of {self.steps[network].title} for float",
            params,
            inputs={"network": network, "dataset": self._check_data(), **mended, "processor": processor},
            libraries=(*EXPORTING, *_runs_in(target)),
        )

    def _quantized_training(self) -> dict[str, Any]:
        quantize, prune, finetune = self.recipe.quantize, self.recipe.prune, self.recipe.finetune
        return {
            "epochs": quantize.epochs,
            "learning_rate": quantize.learning_rate,
            **({"scales": quantize.scales} if quantize.scales != "learned" else {}),
            "distillation_weight": prune.distillation_weight,
            "distillation_temperature": prune.distillation_temperature,
            "batch_size": finetune.batch_size,
            "warmup_epochs": finetune.warmup_epochs,
            "label_smoothing": finetune.label_smoothing,
            "augmentation": finetune.augmentation,
            "micro_batch": finetune.micro_batch,
        }

    def _quantize_dynamic(self, network: str, target: Target, *, smooth: bool) -> str:
        scheme, quantize = target.scheme, self.recipe.quantize
        params: dict[str, Any] = {"per_channel": scheme.per_channel, "reduce_range": scheme.reduce_range}
        if smoothed := smooth or "smoothquant" in quantize.repair:
            params |= {"repair": ["smoothquant"], "calibration_samples": quantize.calibration_samples}
        flavour = "-".join(
            [
                "per-channel" if scheme.per_channel else "per-tensor",
                *(["7bit"] if scheme.reduce_range else []),
                *(["smoothed"] if smoothed else []),
            ]
        )
        return self._add(
            f"quantize:{network}:dynamic-{flavour}:opset-{target.opset}",
            "quantize_dynamic",
            f"quantize {self.steps[network].title}" + (" (SmoothQuant)" if smooth else ""),
            params,
            inputs={"onnx": self._export(network, target), "network": network, **self._data()},
            libraries=("onnx", "onnxruntime"),
        )

    def _shipped(self, onnx: str, network: str, target: Target, precision: str) -> str:
        """The file that is compiled, of one that says what the network says."""
        typed = self._typed(onnx, network, target)
        return self._pixels(typed, network, precision) if self.recipe.bundle.takes_pixels else typed

    def _pixels(self, onnx: str, network: str, precision: str) -> str:
        return self._add(
            f"pixels:{onnx}",
            "pixels",
            f"input of pixels: {self.steps[onnx].title}",
            {"precision": precision, "image_size": self.recipe.data.image_size},
            inputs={"onnx": onnx, "network": network, "dataset": self._check_data()},
            libraries=("torch", "onnx", "onnxruntime"),
        )

    def _typed(self, onnx: str, network: str, target: Target) -> str:
        """The file in the types the backend is to compute in; where opsets know float16 scales, TensorRT goes by it."""
        if float_precision(target) != "fp16" or target.opset < HALF_OPSET:
            return onnx
        return self._add(
            f"half:{onnx}",
            "half",
            f"float16: {self.steps[onnx].title}",
            {},
            inputs={"onnx": onnx, "network": network, **self._data()},
            libraries=("onnx", "onnxruntime"),
        )

    def _candidate(
        self,
        target: Target,
        pruning: Pruning,
        precision: str,
        network: str,
        onnx: str,
        runs_here: bool,
        ending: str = "",
        splits: tuple[str, ...] = (),
    ) -> Candidate:
        name = candidate_name(pruning, precision) + ending
        compiled = self._compile(target, name, precision, onnx) if runs_here else None
        return Candidate(
            name=name,
            target=target.name,
            precision=precision,
            pruning=pruning,
            network_step=network,
            onnx_step=onnx,
            compile_step=compiled,
            evaluate_step=self._evaluate(target, name, compiled, splits) if compiled else None,
        )

    def _compile(self, target: Target, name: str, precision: str, onnx: str) -> str:
        params = {
            "target": target.name,
            "backend": target.backend,
            "backend_options": dict(target.backend_options),
            "precision": precision,
            "scheme": self._described_scheme(target) if precision == "int8" else None,
            "threads": self.recipe.bench.threads,
            **({"min_runtime": target.min_runtime} if target.min_runtime and target.backend == "onnxruntime" else {}),
            **self._input_size(),
            **({"input": self.recipe.bundle.input} if self.recipe.bundle.takes_pixels else {}),
        }
        return self._add(
            f"compile:{target.name}:{name}",
            "compile",
            f"compile {name} for {target.name}",
            params,
            inputs={"onnx": onnx, **self._data(), "device": self._device(target)},
            libraries=_runs_in(target),
        )

    def _described_scheme(self, target: Target) -> dict[str, Any]:
        if not self.recipe.reads_text:
            return _scheme(target)
        return {"dynamic": True, "per_channel": target.scheme.per_channel, "reduce_range": target.scheme.reduce_range}

    def _evaluate(self, target: Target, name: str, compiled: str, splits: tuple[str, ...]) -> str:
        """On ``splits``; (): on all that are not trained on."""
        return self._add(
            f"evaluate{''.join(f'-{split}' for split in splits)}:{target.name}:{name}",
            "evaluate",
            f"evaluate {name} on {target.name}" + (" (validation)" if splits == ("val",) else ""),
            {"splits": list(splits)} if splits else {},
            inputs={"engine": compiled, **self._data(), "device": self._device(target)},
            libraries=_runs_in(target),
        )

    def _validate(self, target: Target, candidates: list[Candidate]) -> None:
        version = target.backend_options["version"] + ("-dla" if target.backend_options.get("dla") else "")
        self._add(
            f"validate:{target.name}",
            "validate",
            f"validate for TensorRT {version}",
            {"version": version},
            inputs={candidate.name: candidate.onnx_step for candidate in candidates},
            libraries=("onnx",),
            tolerant=True,
        )

    def add_measure(self, target: Target, engines: Mapping[str, str], beside: str | None = None) -> str:
        """Time ``engines`` in one session; ``beside``: one of them beside float, and only if there are both."""
        texts = self._data() if self.recipe.reads_text else {}
        return self._add(
            f"measure:{target.name}" + (f":{beside}" if beside else ""),
            "measure",
            f"time {beside} beside {FLOAT} on {target.name}" if beside else f"measure on {target.name}",
            asdict(self.recipe.bench),
            inputs={**engines, **texts, "device": self._device(target)},
            libraries=_runs_in(target),
            tolerant=beside is None,
        )

    def _finish(self, target: Target, candidates: list[Candidate]) -> None:
        """Measure all engines together, select one, bundle it; where nothing can be timed, only compare them."""
        recipe, untimed = self.recipe, self.facts.untimed.get(target.name)
        engines = {c.name: c.compile_step for c in candidates if c.compile_step}
        described = [describe(candidate) for candidate in candidates]
        evaluated = {f"evaluate:{c.name}": c.evaluate_step for c in candidates if c.evaluate_step}
        networks = {f"network:{c.name}": c.network_step for c in candidates}
        selected = self._add(
            f"select:{target.name}",
            "select",
            f"select for {target.name}",
            {
                "target": target.name,
                "candidates": described,
                "budget": {key: value for key, value in asdict(recipe.budget).items() if key != "max_hours"},
                **({"untimed": untimed} if untimed else {}),
            },
            inputs={
                **{f"engine:{name}": step for name, step in engines.items()},
                **evaluated,
                **networks,
                **({} if untimed else {"measure": self.add_measure(target, engines)}),
                "dataset": self._check_data(),
            },
            libraries=("scipy",),
            tolerant=True,
        )
        if untimed:
            return
        self._add(
            f"bundle:{target.name}",
            "bundle",
            f"bundle for {target.name}",
            {"target": target.name, "recipe": recipe_for_bundle(recipe)},
            inputs={
                **{f"engine:{name}": step for name, step in engines.items()},
                **evaluated,
                "select": selected,
                **self._data(),
                **({"device": self._device(target)} if self._device(target) != "source:device" else {}),
            },
            tolerant=True,
        )


def fold_seed(seed: int, number: int) -> int:
    """The seed of a fold's training: another than the build's and every other fold's."""
    return int(digest_json(["fold", seed, number])[:8], 16)


def _runs_in(target: Target) -> tuple[str, ...]:
    """The distribution whose version counts for whatever runs engines of ``target``."""
    distribution = INFERENCE_LIBRARIES[target.backend].distribution
    return () if distribution is None else (distribution,)


def _session(target: Target) -> dict[str, Any]:
    """How engines that are only timed are opened; without a backend it is ONNX Runtime."""
    backend = {} if target.backend == "onnxruntime" else {"backend": target.backend}
    return {**backend, **session_settings(target.backend, target.backend_options)}


def makes_int8(recipe: Recipe, target: Target) -> bool:
    """Whether there are INT8 engines of the recipe's kind of network for ``target``."""
    return "int8" in target.precisions and (not recipe.reads_text or INFERENCE_LIBRARIES[target.backend].dynamic_int8)


def float_precision(target: Target) -> str:
    """What the float candidate computes in: TensorRT takes float16 where the target is fast at it."""
    return "fp16" if target.backend == "tensorrt" and "fp16" in target.precisions else "fp32"


def percent(ratio: float) -> str:
    """0.15 -> "15", 0.125 -> "12.5"."""
    return f"{ratio * 100:.4g}"


def prunings(
    spec: PruneSpec, timed: bool, encoder: bool = False, usual: tuple[float, ...] | None = None
) -> list[Pruning]:
    """What to try removing; speed-ups and latencies only where the target's layers can be ``timed`` here, and no ratio
    of an ``encoder``. ``usual``: the speed-ups of a recipe that names none.
    """
    ratios, speedups, latencies = spec.ratio, spec.target_speedup, spec.target_latency_ms
    if encoder:
        ratios = ()
        speedups = usual or DEFAULT_ENCODER_SPEEDUPS if speedups is None and latencies is None else speedups
    elif ratios is None and speedups is None and latencies is None:
        ratios, speedups = ((), usual or DEFAULT_SPEEDUPS) if timed else (DEFAULT_RATIOS, ())
    asked = [Pruning(ratio=ratio) for ratio in ratios or () if ratio]
    asked += [Pruning(speedup=speedup) for speedup in speedups or () if timed]
    asked += [Pruning(latency_ms=latency) for latency in latencies or () if timed]
    return list({candidate_name(pruning, "fp32"): pruning for pruning in asked}.values())


def candidate_name(pruning: Pruning, precision: str) -> str:
    """float, int8, pruned-30, pruned-1.5x-int8, pruned-2.5ms."""
    parts = []
    if pruning.timed:
        parts.append(f"pruned-{pruning.amount}")
    elif pruning.ratio is not None:
        parts.append(f"pruned-{percent(pruning.ratio)}")
    parts += [precision] if precision.startswith("int") else []
    return "-".join(parts) or FLOAT


def describe(candidate: Candidate) -> dict[str, Any]:
    """What the report says of a candidate before it is measured."""
    return {
        "name": candidate.name,
        "precision": candidate.precision,
        "pruning_ratio": candidate.pruning.ratio if candidate.pruning.asked else 0.0,
        "pruning_speedup": candidate.pruning.speedup,
        **({"pruning_latency_ms": candidate.pruning.latency_ms} if candidate.pruning.latency_ms is not None else {}),
    }


def finetune_as_data(spec: FinetuneSpec) -> dict[str, Any]:
    """The options that training depends on: what is for one strategy alone changes no result of another."""
    content = asdict(spec)
    del content["keep"]
    if spec.strategy != "lora":
        del content["lora_rank"], content["lora_alpha"]
    for key in ("compile", "sharding"):
        if content[key] == "auto":
            del content[key]
    return content


def recipe_as_data(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain data for a report: of absolute paths only the last part, which tells no one's folders."""
    content = asdict(recipe)
    del (
        content["base"],
        content["tune"],
        content["search"],
    )  # no result depends on it, and a storage's URL may hold a password
    for section, key in (("data", "path"), ("model", "weights"), ("finetune", "keep")):
        path = content[section][key]
        if path is not None and PurePath(path).is_absolute():
            content[section][key] = PurePath(path).name
    plain: dict[str, Any] = cleaned(_plain(content))
    return plain


def recipe_for_bundle(recipe: Recipe) -> dict[str, Any]:
    """What of the recipe made the engine: all but where things lie and how they were measured."""
    content = recipe_as_data(recipe)
    for section in ("bench", "targets", "budget", "cost"):
        del content[section]
    content["data"] = (
        {"max_length": recipe.data.max_length} if recipe.reads_text else {"image_size": recipe.data.image_size}
    )
    content["finetune"] = finetune_as_data(recipe.finetune)
    content["model"].pop("weights")
    if not recipe.bundle.takes_pixels:
        del content["bundle"]
    return content


def _scheme(target: Target) -> dict[str, Any]:
    scheme: dict[str, Any] = _plain(asdict(target.scheme))
    return scheme


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value
