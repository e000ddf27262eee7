"""Where a finished run can be told besides its own files: {name: module}.

A sink has ``send(record, address)``, which hands a ``Record`` over and returns where it can be seen. ``address`` is
what the user wrote after the name's colon.
"""

SINKS = {
    "mlflow": "edgetune.report.sinks.mlflow",
    "tensorboard": "edgetune.report.sinks.tensorboard",
}
