"""Which steps a build takes, in order. Pure: reads no file, loads no library.

Every target gets a float candidate (its baseline), an INT8 one, and both again for each pruning
ratio. Steps two targets share (fine-tuning, pruning to the same multiple of channels) appear once.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import PurePath
from typing import Any

from edgetune.records import Candidate, Facts, Plan, Recipe, Step, Target

# Raise a step's number when its code changes what it makes.
VERSIONS = {
    "check_data": 1,
    "finetune": 1,
    "prune": 1,
    "export": 1,
    "quantize": 1,
    "compile": 1,
    "evaluate": 1,
    "measure": 2,
    "select": 2,
    "bundle": 1,
}
TRAINING = ("torch", "torchvision")
EXPORTING = ("torch", "onnx", "onnxscript")
BACKEND_LIBRARY = {"onnxruntime": ("onnxruntime",)}
FLOAT = "float"


def make_plan(recipe: Recipe, targets: tuple[Target, ...], facts: Facts) -> Plan:
    """The plan of a build for ``targets``."""
    builder = _Builder(recipe, facts)
    for target in targets:
        builder.add_target(target)
    return Plan(
        recipe=recipe,
        targets=targets,
        steps=tuple(builder.steps.values()),
        candidates=tuple(builder.candidates),
        facts=facts,
    )


@dataclass(slots=True)
class _Builder:
    recipe: Recipe
    facts: Facts
    steps: dict[str, Step] = field(default_factory=dict)
    candidates: list[Candidate] = field(default_factory=list)

    def add_target(self, target: Target) -> None:
        runs_here = self.facts.unavailable[target.name] is None
        int8 = self.recipe.quantize.mode != "none" and "int8" in target.precisions
        ours = []
        for ratio in dict.fromkeys((0.0, *self.recipe.prune.ratio)):
            network = self._finetune() if ratio == 0.0 else self._prune(ratio, target)
            ours.append(self._candidate(target, ratio, "fp32", network, self._export(network, target), runs_here))
            if int8:
                onnx = self._quantize(network, target)
                ours.append(self._candidate(target, ratio, "int8", network, onnx, runs_here))
        self.candidates += ours
        if runs_here:
            self._finish(target, ours)

    def _add(self, step_id: str, name: str, title: str, params: Mapping[str, Any], **more: Any) -> str:
        step = Step(
            id=step_id, name=name, version=VERSIONS[name], title=title, params=params, seed=self.recipe.seed, **more
        )
        return self.steps.setdefault(step_id, step).id

    def _check_data(self) -> str:
        data = self.recipe.data
        params = {
            "val_fraction": data.val_fraction,
            "test_fraction": data.test_fraction,
            "on_bad_file": data.on_bad_file,
        }
        return self._add("check-data", "check_data", "check data", params, inputs={"data": "source:data"})

    def _finetune(self) -> str:
        recipe, dataset = self.recipe, self._check_data()
        model = recipe.model
        params = {
            "model": {"name": model.name, "args": dict(model.args), "pretrained": model.pretrained},
            "image_size": recipe.data.image_size,
            **asdict(recipe.finetune),
        }
        inputs = {"dataset": dataset, "weights": "source:weights", "code": "source:code"}
        return self._add("finetune", "finetune", "fine-tune", params, inputs=inputs, libraries=TRAINING)

    def _prune(self, ratio: float, target: Target) -> str:
        prune, finetune = self.recipe.prune, self.recipe.finetune
        params = {
            **{key: value for key, value in asdict(prune).items() if key != "ratio"},
            "ratio": ratio,
            "protect": list(prune.protect),
            "channel_multiple": target.channel_multiple,
            "batch_size": finetune.batch_size,
            "weight_decay": finetune.weight_decay,
            "warmup_epochs": finetune.warmup_epochs,
            "label_smoothing": finetune.label_smoothing,
            "augmentation": finetune.augmentation,
            "precision": finetune.precision,
        }
        return self._add(
            f"prune-{percent(ratio)}-by-{target.channel_multiple}",
            "prune",
            f"prune {percent(ratio)} %, channels by {target.channel_multiple}",
            params,
            inputs={"network": self._finetune(), "dataset": self._check_data()},
            libraries=(*TRAINING, "torch-pruning"),
        )

    def _export(self, network: str, target: Target) -> str:
        params = {"opset": target.opset}
        step_id = f"export:{network}:opset-{target.opset}"
        title = f"export {self.steps[network].title}"
        return self._add(step_id, "export", title, params, inputs={"network": network}, libraries=EXPORTING)

    def _quantize(self, network: str, target: Target) -> str:
        params = {
            "opset": target.opset,
            "scheme": _scheme(target),
            "calibration_samples": self.recipe.quantize.calibration_samples,
        }
        flavour = "-".join(
            [
                target.scheme.activation,
                "per-channel" if target.scheme.per_channel else "per-tensor",
                *(["7bit"] if target.scheme.reduce_range else []),
                *target.scheme.operators,
            ]
        )
        return self._add(
            f"quantize:{network}:{flavour}:opset-{target.opset}",
            "quantize",
            f"quantize {self.steps[network].title}",
            params,
            inputs={"network": network, "dataset": self._check_data()},
            libraries=(*EXPORTING, "onnxruntime"),
        )

    def _candidate(
        self, target: Target, ratio: float, precision: str, network: str, onnx: str, runs_here: bool
    ) -> Candidate:
        name = candidate_name(ratio, precision)
        compiled = self._compile(target, name, precision, onnx) if runs_here else None
        return Candidate(
            name=name,
            target=target.name,
            precision=precision,
            pruning_ratio=ratio,
            network_step=network,
            onnx_step=onnx,
            compile_step=compiled,
            evaluate_step=self._evaluate(target, name, compiled) if compiled else None,
        )

    def _compile(self, target: Target, name: str, precision: str, onnx: str) -> str:
        params = {
            "target": target.name,
            "backend": target.backend,
            "backend_options": dict(target.backend_options),
            "precision": precision,
            "scheme": _scheme(target) if precision == "int8" else None,
            "threads": self.recipe.bench.threads,
            "image_size": self.recipe.data.image_size,
        }
        return self._add(
            f"compile:{target.name}:{name}",
            "compile",
            f"compile {name} for {target.name}",
            params,
            inputs={"onnx": onnx, "dataset": self._check_data(), "device": "source:device"},
            libraries=BACKEND_LIBRARY.get(target.backend, ()),
        )

    def _evaluate(self, target: Target, name: str, compiled: str) -> str:
        return self._add(
            f"evaluate:{target.name}:{name}",
            "evaluate",
            f"evaluate {name} on {target.name}",
            {},
            inputs={"engine": compiled, "dataset": self._check_data(), "device": "source:device"},
            libraries=BACKEND_LIBRARY.get(target.backend, ()),
        )

    def _finish(self, target: Target, candidates: list[Candidate]) -> None:
        """Measure all engines together, select one, bundle it."""
        recipe = self.recipe
        engines = {c.name: c.compile_step for c in candidates if c.compile_step}
        measured = self._add(
            f"measure:{target.name}",
            "measure",
            f"measure on {target.name}",
            asdict(recipe.bench),
            inputs={**engines, "device": "source:device"},
            libraries=BACKEND_LIBRARY.get(target.backend, ()),
            tolerant=True,
        )
        described = [{"name": c.name, "precision": c.precision, "pruning_ratio": c.pruning_ratio} for c in candidates]
        evaluated = {f"evaluate:{c.name}": c.evaluate_step for c in candidates if c.evaluate_step}
        networks = {f"network:{c.name}": c.network_step for c in candidates}
        selected = self._add(
            f"select:{target.name}",
            "select",
            f"select for {target.name}",
            {"target": target.name, "candidates": described, "budget": asdict(recipe.budget)},
            inputs={
                **{f"engine:{name}": step for name, step in engines.items()},
                **evaluated,
                **networks,
                "measure": measured,
                "dataset": self._check_data(),
            },
            libraries=("scipy",),
            tolerant=True,
        )
        self._add(
            f"bundle:{target.name}",
            "bundle",
            f"bundle for {target.name}",
            {"target": target.name, "recipe": recipe_for_bundle(recipe)},
            inputs={
                **{f"engine:{name}": step for name, step in engines.items()},
                "select": selected,
                "dataset": self._check_data(),
            },
            tolerant=True,
        )


def percent(ratio: float) -> str:
    """0.15 -> "15", 0.125 -> "12.5"."""
    return f"{ratio * 100:.4g}"


def candidate_name(ratio: float, precision: str) -> str:
    """float, int8, pruned-30, pruned-30-int8."""
    parts = [f"pruned-{percent(ratio)}"] if ratio else []
    parts += ["int8"] if precision == "int8" else []
    return "-".join(parts) or FLOAT


def recipe_as_data(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain data for a report: of absolute paths only the last part, which tells no one's folders."""
    content = asdict(recipe)
    del content["base"]
    for section, key in (("data", "path"), ("model", "weights")):
        path = content[section][key]
        if path is not None and PurePath(path).is_absolute():
            content[section][key] = PurePath(path).name
    plain: dict[str, Any] = _plain(content)
    return plain


def recipe_for_bundle(recipe: Recipe) -> dict[str, Any]:
    """What of the recipe made the engine: all but where things lie and how they were measured."""
    content = recipe_as_data(recipe)
    for section in ("bench", "targets", "budget"):
        del content[section]
    content["data"] = {"image_size": recipe.data.image_size}
    content["model"].pop("weights")
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
