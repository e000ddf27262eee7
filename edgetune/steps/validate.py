"""Hold the ONNX files of a target that is only prepared here against the rules of what will compile them."""

from edgetune.backends.tensorrt_rules import validate
from edgetune.hashing import canonical_json
from edgetune.steps.context import StepContext


def run(context: StepContext) -> None:
    """Write ``validation.json``: the findings of each candidate's file."""
    version = context.params["version"]
    findings = {
        name: [finding.to_json() for finding in validate(path / "model.onnx", version)]
        for name, path in context.inputs.items()
    }
    content = {"tensorrt": version, "findings": findings}
    (context.out / "validation.json").write_text(canonical_json(content), encoding="utf-8")
