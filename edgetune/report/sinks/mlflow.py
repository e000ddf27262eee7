"""MLflow: a run in the experiment ``edgetune``. The address is a tracking URI: ``http://...`` or ``sqlite:///FILE``."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from edgetune.remote import told
from edgetune.report.sinks.record import Record

EXPERIMENT = "edgetune"
SQLITE = "sqlite:///"
LONGEST = 500  # characters of a parameter that every version of MLflow takes
AT_ONCE = 100  # parameters in one request; of metrics it is 1000


def send(record: Record, address: str) -> str:
    """Log parameters, metrics, curves and the report's files; returns the experiment, the run and the place."""
    logging.getLogger("mlflow").setLevel(logging.WARNING)  # a new database is told in twenty lines
    client = MlflowClient(tracking_uri=address)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    number = experiment.experiment_id if experiment else _new_experiment(client, address)
    run = client.create_run(number, run_name=record.name)
    try:
        _log(client, run.info.run_id, record)
    except BaseException:
        client.set_terminated(run.info.run_id, status="FAILED")
        raise
    client.set_terminated(run.info.run_id)
    return f"run {run.info.run_id} of experiment {EXPERIMENT} at {told(address)}"


def _new_experiment(client: MlflowClient, address: str) -> str:
    """One whose files lie beside its database, not wherever the command was called."""
    place = None
    if address.startswith(SQLITE):
        place = Path(address.removeprefix(SQLITE)).absolute().with_suffix(".files").as_uri()
    try:
        return str(client.create_experiment(EXPERIMENT, artifact_location=place))
    except MlflowException:
        if (made := client.get_experiment_by_name(EXPERIMENT)) is None:
            raise
        return str(made.experiment_id)  # another process was first


def _log(client: MlflowClient, run: str, record: Record) -> None:
    now = int(time.time() * 1000)
    metrics = [Metric(name, value, now, 0) for name, value in record.metrics.items()]
    metrics += [Metric(name, value, now, step) for name, points in record.curves.items() for step, value in points]
    parameters = [Param(name, value[:LONGEST]) for name, value in record.parameters.items()]
    for first in range(0, len(parameters), AT_ONCE):
        client.log_batch(run, params=parameters[first : first + AT_ONCE])
    for first in range(0, len(metrics), 10 * AT_ONCE):
        client.log_batch(run, metrics=metrics[first : first + 10 * AT_ONCE])
    client.log_batch(run, tags=[RunTag(name, value) for name, value in record.tags.items()])
    for path in record.files:
        client.log_artifact(run, str(path))
