"""Steps that make engines of ONNX files, and look at them."""

from collections.abc import Mapping
from dataclasses import asdict

from edgetune.plan.as_data import runs_in
from edgetune.plan.candidates import FLOAT
from edgetune.plan.quantizing import QuantizingSteps
from edgetune.records import Candidate, Target


class EngineSteps(QuantizingSteps):
    """An engine is compiled, evaluated and measured where its target runs."""

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
            libraries=runs_in(target),
        )

    def _evaluate(self, target: Target, name: str, compiled: str, splits: tuple[str, ...]) -> str:
        """On ``splits``; (): on all that are not trained on."""
        return self._add(
            f"evaluate{''.join(f'-{split}' for split in splits)}:{target.name}:{name}",
            "evaluate",
            f"evaluate {name} on {target.name}" + (" (validation)" if splits == ("val",) else ""),
            {"splits": list(splits)} if splits else {},
            inputs={"engine": compiled, **self._data(), "device": self._device(target)},
            libraries=runs_in(target),
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
            libraries=runs_in(target),
            tolerant=beside is None,
        )
