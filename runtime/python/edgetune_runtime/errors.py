"""What can go wrong on the device. The message says what, with what, and what to do."""


class RuntimeProblem(Exception):
    """Root of this package's errors."""


class BundleError(RuntimeProblem):
    """The bundle is damaged, altered, unsafe, or of a schema this version does not know."""


class LibraryError(RuntimeProblem):
    """The inference library that the engine needs is not installed."""


class InputError(RuntimeProblem):
    """The image or array handed over does not fit the engine."""


class QueueFull(RuntimeProblem):
    """As many samples wait in a pipeline as it takes, and no place became free in time."""


class MeasureError(RuntimeProblem):
    """A process that was started to measure an engine failed, died or did not end."""
