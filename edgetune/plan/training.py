"""Steps that look at the data and train the whole network."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgetune.hashing import digest_json
from edgetune.plan.as_data import finetune_as_data
from edgetune.plan.versions import TEXT_LIBRARIES, TRAINING, VERSIONS
from edgetune.records import Facts, Recipe, Step, Target

NOT_IN_LR_FIND = ("learning_rate", "warmup_epochs", "patience", "ema")  # what a range test does not depend on


def fold_seed(seed: int, number: int) -> int:
    """The seed of a fold's training: another than the build's and every other fold's."""
    return int(digest_json(["fold", seed, number])[:8], 16)


@dataclass
class TrainingSteps:
    """Adds each step once, under its id.

    Attributes:
        steps: in the order in which they run.
    """

    recipe: Recipe
    facts: Facts
    steps: dict[str, Step] = field(default_factory=dict)

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
