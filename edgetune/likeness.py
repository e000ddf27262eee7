"""What finished steps say of the cost of one that was not done yet: which are like it, and what their time says.

A step is like another of its name if it works on the same kind of network (name, arguments, input size) and has as much
to do. Only epochs of ordinary training may differ: its time is told in their proportion.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgetune.hashing import canonical_json
from edgetune.records import Step
from edgetune.store import Entry

LIKE = {"fold": "finetune"}  # steps that cost about as much as those of another name, until one of their own was run
NOTHING = object()
INPUT_SIZES = ("image_size", "max_length")
WORK = (  # parameters that say how much there is to do; of steps where one differs the time says nothing
    *("strategy", "stages", "patience", "sparsity", "sparsity_epochs", "steps", "step_epochs", "recovery_epochs"),
    *("repair", "min_runs", "min_seconds", "max_seconds"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Likely:
    """What a step is likely to take, from one like it."""

    seconds: float
    same_data: bool
    scaled: bool  # whether the other one had another number of epochs, and its time is told in their proportion


class Past:
    """The finished steps of a store, as seen from one plan."""

    def __init__(self, entries: Sequence[Entry], steps: Sequence[Step], keys: Mapping[str, str]) -> None:
        """``keys``: of the plan's steps that are in the store, by id."""
        self._entries = {entry.key: entry for entry in entries}
        self._steps = {step.id: step for step in steps}
        self._subjects: dict[str, frozenset[str]] = {}  # by key, of entries that were asked for
        # Texts are made numbers of by the files of one encoder: what came of others may be of any size.
        self._ours = {root: self._descendants(keys.get(root)) for root in ("check-data", "tokenize")}

    def likely(self, step: Step) -> Likely | None:
        """From the finished step most like ``step``; None: there is none of such a network, or of as much work.

        First those of the same data count, then those of as many epochs and with the most equal parameters, then the
        last one.
        """
        params = _plain(step.params)
        subject = _subject([params, *(_plain(before.params) for before in self._before(step))])
        root = "tokenize" if any(before.id == "tokenize" for before in self._before(step)) else "check-data"
        for name in (step.name, LIKE.get(step.name)):
            found = []
            for entry in self._entries.values():
                if entry.name != name or self._subject_of(entry) != subject:
                    continue
                ratio, same = _ratio(params, entry.params), entry.key in self._ours[root]
                # Of nothing but other data, or of the same data through another encoder, the time says nothing.
                if ratio is None or (not same and (not subject or entry.key in self._ours["check-data"])):
                    continue
                equal = sum(entry.params.get(key, NOTHING) == value for key, value in params.items())
                found.append(((same, ratio == 1.0, equal, entry.last_used), ratio * entry.seconds))
            if found:
                (same, unscaled, *_), seconds = max(found)
                return Likely(seconds=seconds, same_data=same, scaled=not unscaled)
        return None

    def _before(self, step: Step) -> Iterator[Step]:
        """All steps that ``step`` waits for."""
        queue, seen = [step], {step.id}
        while queue:
            for source in queue.pop().inputs.values():
                if source in self._steps and source not in seen:
                    seen.add(source)
                    queue.append(self._steps[source])
                    yield self._steps[source]

    def _lineage(self, entry: Entry) -> Iterator[Entry]:
        """``entry`` and what it was made from, as far as that was kept."""
        queue, seen = [entry], {entry.key}
        while queue:
            current = queue.pop()
            yield current
            for key in current.parents:
                if key in self._entries and key not in seen:
                    seen.add(key)
                    queue.append(self._entries[key])

    def _subject_of(self, entry: Entry) -> frozenset[str]:
        if entry.key not in self._subjects:
            self._subjects[entry.key] = _subject([each.params for each in self._lineage(entry)])
        return self._subjects[entry.key]

    def _descendants(self, key: str | None) -> set[str]:
        """Keys of the entries that were made from the artifact ``key``, and itself."""
        found, before = {key} if key else set[str](), -1
        while len(found) > before:
            before = len(found)
            found |= {entry.key for entry in self._entries.values() if not found.isdisjoint(entry.parents)}
        return found


def _subject(lineage: Collection[Mapping[str, Any]]) -> frozenset[str]:
    """The networks and input sizes that the parameters of a step and of those before it name."""
    models = [params["model"] for params in lineage if isinstance(params.get("model"), Mapping)]
    named = [{key: model.get(key) for key in ("name", "args")} for model in models]
    sizes = [{key: params[key]} for params in lineage for key in INPUT_SIZES if key in params]
    return frozenset(canonical_json(item) for item in (*named, *sizes))


def _ratio(wanted: Mapping[str, Any], done: Mapping[str, Any]) -> float | None:
    """How many times as much there is to do as was done; None: that cannot be said."""
    if any(wanted.get(key, NOTHING) != done.get(key, NOTHING) for key in WORK):
        return None
    strategy, epochs, before = wanted.get("strategy"), wanted.get("epochs"), done.get("epochs")
    if epochs == before or strategy == "feature-extraction":  # which passes over the pictures once
        return 1.0
    if not (epochs and before) or strategy == "auto" or wanted.get("patience"):  # these end when they see fit
        return None
    return float(epochs / before)


def _plain(params: Mapping[str, Any]) -> dict[str, Any]:
    """As a manifest holds them."""
    plain: dict[str, Any] = json.loads(canonical_json(dict(params)))
    return plain
