"""Every way edgetune can fail, as one tree.

A message says what is wrong and with what; ``hint`` says what to do next. The command line
prints both and exits with ``exit_code``: 1 failed, 2 the user's input is wrong, 130 interrupted.
(3, a gate failed, and 4, prepared but not compiled, are results, not errors.)
"""

from __future__ import annotations


class EdgetuneError(Exception):
    """Root of all errors that edgetune raises on purpose."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message


class InputError(EdgetuneError):
    """Something the user handed over is wrong; nothing was started."""

    exit_code = 2


class RecipeError(InputError):
    """The recipe has an unknown key, a wrong type or an impossible value."""


class TargetError(InputError):
    """An unknown target, or a target file that does not hold together."""


class DataError(InputError):
    """The dataset is missing, empty, inconsistent, or has files that cannot be read."""


class ModelError(InputError):
    """The network cannot be made, or does not fit the task."""


class WeightsError(ModelError):
    """A checkpoint that is missing, does not fit the network, or is not safe to load."""


class BundleError(InputError):
    """A bundle that is damaged, altered or of an unknown schema."""


class TrainingError(EdgetuneError):
    """Training diverged or could not go on."""


class ProcessError(TrainingError):
    """One of several processes that train together failed, or torchrun could not start them."""


class Abandoned(TrainingError):
    """A training that is given up on purpose; nothing of it is kept."""


class SetAside(Abandoned):
    """A training that is given up on purpose, but may be wanted again: what it has saved is kept to go on from."""


class TuneError(EdgetuneError):
    """The storage of a search has gone, or no trial came to an end."""


class PruningError(EdgetuneError):
    """The network cannot be pruned as asked."""


class QuantizationError(EdgetuneError):
    """The network cannot be traced, calibrated or quantized."""


class ExportError(EdgetuneError):
    """The network cannot be exported to ONNX, or the file does not say what the network says."""


class BackendError(EdgetuneError):
    """An inference library is missing, or refuses the engine."""


class MeasureError(EdgetuneError):
    """A measurement could not be taken."""


class DeviceError(EdgetuneError):
    """A device cannot be reached, lacks something, or failed at what it was asked."""


class ReportError(EdgetuneError):
    """A report that does not follow its schema."""


class StoreError(EdgetuneError):
    """The artifact store cannot be read or written."""


class Interrupted(EdgetuneError):
    """The user stopped the run (Ctrl-C or SIGTERM); finished steps are kept."""

    exit_code = 130
