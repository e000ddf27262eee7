"""Steps from a network to the ONNX file that is compiled: export, 8 bits, float16, pixels."""

from collections.abc import Mapping
from typing import Any

from edgetune.plan.as_data import runs_in, scheme_as_data, session_of
from edgetune.plan.candidates import float_precision, makes_int8
from edgetune.plan.training import TrainingSteps
from edgetune.plan.versions import EXPORTING
from edgetune.records import Target
from edgetune.rungs import CALIBRATED, Treatment
from edgetune.specs import SMOOTHQUANT

HALF_OPSET = 19  # the first in which QuantizeLinear and DequantizeLinear take float16
REPAIR_SAMPLES = 512  # of validation, that repairs and layers in float are chosen by


class QuantizingSteps(TrainingSteps):
    """The ways to 8 bits, and what makes a file ready for its backend."""

    def int8(self, target: Target) -> bool:
        """Whether a build for ``target`` makes INT8 engines."""
        return self.recipe.quantize.mode != "none" and makes_int8(self.recipe, target)

    def _export(self, network: str, target: Target) -> str:
        params = {"opset": target.opset}
        step_id = f"export:{network}:opset-{target.opset}"
        title = f"export {self.steps[network].title}"
        inputs = {"network": network, **self._data()}
        return self._add(step_id, "export", title, params, inputs=inputs, libraries=(*EXPORTING, "onnxruntime"))

    def _quantize(self, network: str, target: Target, train: bool = False, treatment: Treatment = CALIBRATED) -> str:
        if self.recipe.reads_text:
            return self._quantize_dynamic(network, target, treatment, train or treatment.trained)
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
        worst = bool(self.recipe.quantize.worst_in_float) and not treatment.mixed  # which chooses how many by itself
        timed = f":as-timed-on-{target.name}" if chosen or treatment.mixed or worst else ""
        if treatment.mended:
            chosen = {"settings": self._mend(network, target, flavour, chosen)}
        if treatment.mixed:
            chosen = {"settings": self._mix(network, target, flavour, chosen)}
        if worst:
            chosen = {"settings": self._keep_worst(network, target, f"{flavour}{how}", chosen)}
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
            "scheme": scheme_as_data(target),
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
            "scheme": scheme_as_data(target),
            **session_of(target),
            "threads": self.recipe.bench.threads,
        }
        step = self._add(
            f"float-layers:{network}:{flavour}:{target.name}",
            "float_layers",
            f"time first layers of {self.steps[network].title} in float",
            params,
            inputs={"network": network, "processor": "source:processor"},
            libraries=(*EXPORTING, *runs_in(target)),
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
            "scheme": scheme_as_data(target),
            "calibration_samples": self.recipe.quantize.calibration_samples,
            "samples": REPAIR_SAMPLES,
            "max_accuracy_drop": self.recipe.budget.max_accuracy_drop,
            "opset": target.opset,
            **session_of(target),
            "threads": self.recipe.bench.threads,
        }
        processor = self._device(target).replace("device", "processor")
        return self._add(
            f"mix:{network}:{flavour}:{target.name}",
            "mix",
            f"choose layers of {self.steps[network].title} for float",
            params,
            inputs={"network": network, "dataset": self._check_data(), **mended, "processor": processor},
            libraries=(*EXPORTING, *runs_in(target)),
        )

    def _keep_worst(self, network: str, target: Target, flavour: str, chosen: Mapping[str, str]) -> str:
        """The step that leaves a number of layers in float; all numbers go by one ranking, which takes the time."""
        runs, count = self.facts.unavailable[target.name] is None, self.recipe.quantize.worst_in_float
        params = {
            **self._calibration(target),
            "samples": REPAIR_SAMPLES,
            "opset": target.opset,
            "timed": runs,
            **({**session_of(target), "threads": self.recipe.bench.threads} if runs else {}),
        }
        there = {"processor": self._device(target).replace("device", "processor")} if runs else {}
        ranking = self._add(
            f"rank-layers:{network}:{flavour}:{target.name}",
            "rank_layers",
            f"rank layers of {self.steps[network].title} for float",
            params,
            inputs={"network": network, "dataset": self._check_data(), **chosen, **there},
            libraries=(*EXPORTING, *(runs_in(target) if runs else ())),
        )
        return self._add(
            f"keep-worst:{network}:{flavour}:{target.name}",
            "keep_worst",
            f"leave {count} of {self.steps[network].title} in float",
            {**self._calibration(target), "worst_in_float": count},
            inputs={"ranking": ranking, **chosen},
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

    def _quantize_dynamic(self, network: str, target: Target, treatment: Treatment, train: bool) -> str:
        smooth = treatment.mended and not treatment.mixed  # which weighs smoothing itself
        params = self._dynamic(target)
        if train:  # for the rounding of weights that are not smoothed
            network = self._train_dynamic(network, target)
            params.pop("repair", None)
        if smoothed := smooth or "repair" in params:
            params["repair"] = [SMOOTHQUANT]
        if smoothed or treatment.mixed:
            params["calibration_samples"] = self.recipe.quantize.calibration_samples
        flavour = "-".join([_dynamic_flavour(target), *(["smoothed"] if smoothed else [])])
        chosen, timed = {}, ""
        if treatment.mixed:
            chosen, timed = {"settings": self._mix_dynamic(network, target)}, f":as-timed-on-{target.name}:mixed"
        return self._add(
            f"quantize:{network}:dynamic-{flavour}:opset-{target.opset}{timed}",
            "quantize_dynamic",
            f"quantize {self.steps[network].title}" + (" (SmoothQuant)" if smooth else ""),
            params,
            inputs={"onnx": self._export(network, target), "network": network, **self._data(), **chosen},
            libraries=("torch", "onnx", "onnxruntime"),
        )

    def _train_dynamic(self, network: str, target: Target) -> str:
        """The step that trains an encoder for dynamic INT8; what comes out is quantized as any encoder."""
        params = self._dynamic(target)
        params.pop("repair", None)
        return self._add(
            f"qat:{network}:dynamic-{_dynamic_flavour(target)}",
            "qat_dynamic",
            f"train quantized: {self.steps[network].title}",
            {**params, **self._quantized_training()},
            inputs={"network": network, **self._data()},
            libraries=self._training_libraries(),
        )

    def _dynamic(self, target: Target) -> dict[str, Any]:
        """How the recipe has an encoder's INT8."""
        scheme, quantize = target.scheme, self.recipe.quantize
        params: dict[str, Any] = {"per_channel": scheme.per_channel, "reduce_range": scheme.reduce_range}
        if SMOOTHQUANT in quantize.repair:
            params["repair"] = [SMOOTHQUANT]
        return params | ({"keep_float": list(quantize.keep_float)} if quantize.keep_float else {})

    def _trying(self, target: Target, samples: int) -> dict[str, Any]:
        """The same for a step that tries changes on ``samples`` of validation."""
        return {
            **self._dynamic(target),
            "calibration_samples": self.recipe.quantize.calibration_samples,
            "samples": samples,
            "max_accuracy_drop": self.recipe.budget.max_accuracy_drop,
        }

    def _mix_dynamic(self, network: str, target: Target) -> str:
        """The step that chooses layers of an encoder for float, as ``_mix`` of other networks."""
        processor = self._device(target).replace("device", "processor")
        return self._add(
            f"mix:{network}:dynamic-{_dynamic_flavour(target)}:{target.name}",
            "mix_dynamic",
            f"choose layers of {self.steps[network].title} for float",
            {
                **self._trying(target, REPAIR_SAMPLES),
                **session_of(target),
                "threads": self.recipe.bench.threads,
            },
            inputs={
                "onnx": self._export(network, target),
                "network": network,
                **self._data(),
                "processor": processor,
            },
            libraries=("torch", "onnx", "onnxruntime", *runs_in(target)),
        )

    def _described_scheme(self, target: Target) -> dict[str, Any]:
        if not self.recipe.reads_text:
            return scheme_as_data(target)
        return {"dynamic": True, "per_channel": target.scheme.per_channel, "reduce_range": target.scheme.reduce_range}

    def add_diagnosis(self, target: Target, samples: int) -> str:
        title = f"diagnose 8 bits of {target.name}"
        if self.recipe.reads_text:
            network = self.add_finetune()
            return self._add(
                "diagnose",
                "diagnose_dynamic",
                title,
                self._trying(target, samples),
                inputs={"onnx": self._export(network, target), "network": network, **self._data()},
                libraries=("torch", "onnx", "onnxruntime"),
            )
        params = {
            **self._calibration(target),
            "samples": samples,
            "max_accuracy_drop": self.recipe.budget.max_accuracy_drop,
        }
        inputs = {"network": self.add_finetune(), "dataset": self._check_data()}
        return self._add("diagnose", "diagnose", title, params, inputs=inputs, libraries=self._training_libraries())

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


def _dynamic_flavour(target: Target) -> str:
    scheme = target.scheme
    return "-".join(["per-channel" if scheme.per_channel else "per-tensor", *(["7bit"] if scheme.reduce_range else [])])
