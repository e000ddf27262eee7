"""edgetune: fine-tune, compress, compile and measure neural networks for edge devices.

``import edgetune; edgetune.build("edgetune.toml", target="x86-cpu")`` does what the command line
does and returns the Report. Importing this package loads neither torch nor an inference library.
"""

from typing import TYPE_CHECKING, Any

from edgetune.errors import EdgetuneError

__version__ = "0.1.0"
__all__ = ["EdgetuneError", "Report", "__version__", "build", "plan"]

if TYPE_CHECKING:
    from edgetune.api import build, plan
    from edgetune.records import Report


def __getattr__(name: str) -> Any:
    if name in ("build", "plan"):
        from edgetune import api

        return getattr(api, name)
    if name == "Report":
        from edgetune.records import Report

        return Report
    raise AttributeError(f"module 'edgetune' has no attribute {name!r}")
