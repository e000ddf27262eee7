"""The trials of the one search that a storage holds, looked at from outside."""

from functools import cache

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial
from sqlalchemy.pool import NullPool


@cache
def storage(url: str) -> RDBStorage:
    """No connection stays open between two looks: tests look many times, and stop the database in between."""
    return RDBStorage(url, engine_kwargs={"poolclass": NullPool})


def load(url: str) -> list[FrozenTrial]:
    """All trials."""
    (name,) = optuna.get_all_study_names(storage(url))
    return optuna.load_study(study_name=name, storage=storage(url)).get_trials()
