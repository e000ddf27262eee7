"""What ``import edgetune`` offers, and all that the command line calls."""

from edgetune.api.building import build, emit_cpp, plan
from edgetune.api.common import open_store
from edgetune.api.data import check, init
from edgetune.api.launching import as_one_of_several, launch
from edgetune.api.machines import doctor, probe
from edgetune.api.measuring import bench, bench_on, compare, device_times, self_check, validate
from edgetune.api.runs import find_report, push_to_hub, send_report, several_reports
from edgetune.api.training import diagnose, lr_find, search, search_serve, tune, tune_serve

__all__ = [
    "as_one_of_several", "bench", "bench_on", "build", "check", "compare", "device_times", "diagnose", "doctor",
    "emit_cpp", "find_report", "init", "launch", "lr_find", "open_store", "plan", "probe", "push_to_hub", "search",
    "search_serve", "self_check", "send_report", "several_reports", "tune", "tune_serve", "validate",
]  # fmt: skip
