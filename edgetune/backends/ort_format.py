"""ONNX -> ONNX Runtime's own format, and which operators a build of it has to contain.

The graph is optimised here, by the tool that comes with ONNX Runtime
(https://onnxruntime.ai/docs/performance/model-optimizations/ort-format-models.html), as for Arm: without layouts in
blocks (NCHWc), which depend on the processor, and with integer kernels for signed activations.
"""

import contextlib
import io
import tempfile
from pathlib import Path

from edgetune.errors import BackendError

ENGINE = "engine.ort"
OPERATORS = "required_operators_and_types.config"  # for `build.sh --include_ops_by_config` of a minimal build


def convert(onnx: Path, folder: Path) -> None:
    """Write ``engine.ort`` and the list of its operators and types into ``folder``.

    Raises:
        BackendError: ONNX Runtime refuses the file.
    """
    from onnxruntime.tools.convert_onnx_models_to_ort import OptimizationStyle, convert_onnx_models_to_ort

    with tempfile.TemporaryDirectory(prefix="edgetune-ort-") as name:
        made = Path(name)
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does
                convert_onnx_models_to_ort(
                    onnx,
                    output_dir=made,
                    optimization_styles=[OptimizationStyle.Fixed],
                    target_platform="arm",
                    enable_type_reduction=True,
                )
        except Exception as problem:  # ONNX Runtime's share no base
            raise BackendError(
                f"ONNX Runtime cannot convert the network to its own format: {' '.join(str(problem).split())}",
                hint='take `format = "ort"` out; the engine is an ONNX file then',
            ) from problem
        (made / f"{onnx.stem}.ort").replace(made / ENGINE)
        (folder / ENGINE).write_bytes((made / ENGINE).read_bytes())
        lines = (made / f"{onnx.stem}.{OPERATORS}").read_text(encoding="utf-8").splitlines()
        # Its first lines are a comment that names the folders of whoever made it.
        (folder / OPERATORS).write_text("\n".join(one for one in lines if one[:1] != "#") + "\n", encoding="utf-8")
