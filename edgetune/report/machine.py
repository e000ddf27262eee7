"""The machines of a report in words: what each is, told once, and its state before, while and after it was timed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edgetune.report import numbers
from edgetune.report.view import Json, flatten

STATES = {"before": "Before", "during": "Meanwhile", "after": "After"}
WORDS = {
    "name": "where",
    "model": "model",
    "cpu": "processor",
    "arch": "architecture",
    "cpu_features": "instruction sets",
    "memory_bytes": "memory",
    "os": "system",
    "looks": "times looked at",
    "clock_mhz": "clock",
    "gpu_clock_mhz": "GPU’s clock",
    "clock_max_mhz": "highest clock",
    "load_average": "load over 1, 5, 15 min",
    "temperature_c": "temperature",
    "power_w": "power",
}
# What a summary of many looks calls what one look calls otherwise.
SUMMARISED = {"temperature_max_c": "temperature_c", "power_mean_w": "power_w"}
UNITS = {"_mhz": "MHz", "_c": "°C", "_w": "W"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a machine is, as (what, text), and for each target timed on it (target, rows of ``state_rows``)."""

    caption: str
    facts: list[tuple[str, str]]
    states: list[tuple[str, list[tuple[str, ...]]]] = field(default_factory=list)


def machines(data: Json) -> list[Machine]:
    """Each device that engines were timed on, then where the build ran if that is another machine."""
    by_facts: dict[str, list[Json]] = {}
    for target in data["targets"]:
        if target.get("device"):
            by_facts.setdefault(repr(fact_rows(target["device"])), []).append(target)
    built = data["environment"].get("machine") or {}
    found = []
    for timed in by_facts.values():
        names, device = " and ".join(target["target"] for target in timed), timed[0]["device"]
        here = _same(built, device)
        states = [(target["target"], state_rows(target["device"])) for target in timed]
        found.append(
            Machine(
                caption=f"The device of {names}{', on which this was built too' if here else ''}.",
                facts=fact_rows(device),
                states=[(name, rows) for name, rows in states if rows],
            )
        )
    if built and not any(_same(built, target["device"]) for timed in by_facts.values() for target in timed):
        found.append(Machine(caption="The machine on which this was built.", facts=fact_rows(built)))
    return found


def _same(one: Json, other: Json) -> bool:
    """Whether two records of a machine say the same in all that both say."""
    shared = one.keys() & other.keys()
    return bool(shared) and all(one[key] == other[key] for key in shared)


def other_rows(data: Json) -> list[tuple[str, str]]:
    """The environment besides its machine: versions of libraries, of the interpreter."""
    return list(flatten({key: value for key, value in data["environment"].items() if key != "machine"}))


def known_names(device: Json) -> list[str]:
    """What a device and its processor are called, as far as it says."""
    return [str(device[key]) for key in ("model", "cpu") if device.get(key) not in (None, "", "unknown")]


def fact_rows(device: Json) -> list[tuple[str, str]]:
    """(what, text) of all that does not change while it is measured."""
    return [(_word(key), _text(key, value)) for key, value in device.items() if key not in STATES]


def state_rows(telemetry: Json) -> list[tuple[str, ...]]:
    """(what, before, meanwhile, after); a dash where nobody looked. Empty where there was no look at all."""
    states = {name: _renamed(telemetry[name]) for name in STATES if isinstance(telemetry.get(name), Mapping)}
    keys = dict.fromkeys(key for state in states.values() for key in state)
    return [
        (
            _word(key),
            *(_text(key, states[name][key]) if key in states.get(name, {}) else numbers.NONE for name in STATES),
        )
        for key in keys
    ]


def _renamed(state: Json) -> dict[str, Any]:
    return {SUMMARISED.get(key, key): value for key, value in state.items()}


def _word(key: str) -> str:
    if key in WORDS:
        return WORDS[key]
    ending = next((ending for ending in (*UNITS, "_bytes") if key.endswith(ending)), "")
    return key.removesuffix(ending).replace("_", " ")


def _text(key: str, value: Any) -> str:
    """With its unit; of many numbers of one kind the lowest and the highest."""
    if isinstance(value, Mapping):
        return "; ".join(f"{name} {_text(key, one)}" for name, one in value.items()) or numbers.NONE
    if key.endswith("_bytes") and isinstance(value, int):
        return numbers.size(value)
    unit = next((unit for ending, unit in UNITS.items() if key.endswith(ending)), "")
    if unit and _is_numbers(value):
        low, high = min(value), max(value)
        return f"{low:g} {unit}" if low == high else f"{low:g} to {high:g} {unit}"
    if unit and _is_numbers([value]):
        return f"{value:.4g} {unit}"
    return "; ".join(text for _, text in flatten(value))


def _is_numbers(value: Any) -> bool:
    return (
        isinstance(value, Sequence)
        and len(value) > 0
        and all(isinstance(one, int | float) and not isinstance(one, bool) for one in value)
    )
