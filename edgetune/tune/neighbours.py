"""Workers of one search on one machine: threads of OpenMP that wait by spinning take one another's cores."""

from collections.abc import Sequence

from optuna.trial import FrozenTrial, TrialState

from edgetune.tune.liveness import BEAT, place


def beside(trials: Sequence[FrozenTrial], pid: int) -> int:
    """How many other workers than process ``pid`` have a trial on this machine."""
    beats = [trial.user_attrs.get(BEAT) for trial in trials if trial.state is TrialState.RUNNING]
    return len({beat["pid"] for beat in beats if beat and beat["place"] == place() and beat["pid"] != pid})


def advice(workers: int, threads: int, cores: int) -> str | None:
    """What to say to one of ``workers`` that compute with ``threads`` each on ``cores``; None: there is room."""
    if workers < 2 or workers * threads <= cores:
        return None
    return (
        f"{workers} workers with {threads} threads each share {cores} core{'s' if cores > 1 else ''} here, which slows "
        f"training on a CPU many times; start each as OMP_NUM_THREADS={max(1, cores // workers)} edgetune ..."
    )
