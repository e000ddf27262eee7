"""The engines of a target, from float to the bundle of the chosen one."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from edgetune.inference import INFERENCE_LIBRARIES
from edgetune.plan.as_data import recipe_for_bundle
from edgetune.plan.candidates import BASELINE, FLOAT, UNPRUNED, candidate_name, describe, float_precision, prunings
from edgetune.plan.pruning import PruningSteps
from edgetune.records import Candidate, Pruning, Rung, Target
from edgetune.rungs import CALIBRATED, treatment


@dataclass
class Builder(PruningSteps):
    """Collects the steps of a plan and the engines they make."""

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
            way = treatment(rung.treatment, reads_text=self.recipe.reads_text)
            made, precision = self._quantize(network, target, treatment=way), "int8"
            ending = way.name.removeprefix(CALIBRATED.name)
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
