"""Carry out a plan: find each step's result in the store or make it, then tell what came of it."""

import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from edgetune_runtime.errors import RuntimeProblem

from edgetune.errors import (
    BackendError,
    DeviceError,
    EdgetuneError,
    InputError,
    Interrupted,
    ProcessError,
    SetAside,
    StoreError,
)
from edgetune.inference import INFERENCE_LIBRARIES, installed_version
from edgetune.likeness import Past
from edgetune.processes import several
from edgetune.progress import Reporter, Watch, unwatched
from edgetune.records import Artifact, Plan, Step
from edgetune.spending import Meter, added, remember, remembered
from edgetune.steps.context import StepContext
from edgetune.steps.running import run_step
from edgetune.stopping import raise_again
from edgetune.store import Store, step_key
from edgetune.surroundings import Surroundings

SPENT = "spent.json"  # in scratch: what a step that was interrupted has cost so far


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one step: an artifact, or the reason why not."""

    step: Step
    artifact: Artifact | None
    cached: bool
    seconds: float  # spent in this run
    reason: str | None = None
    hint: str | None = None  # what to do about ``reason``


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What ``plan`` tells of one step; ``cached`` is None when an earlier step must run first to know."""

    step: Step
    cached: bool | None
    seconds: float | None  # what it took, or what one like it is known to have taken
    size_bytes: int | None
    same_data: bool | None = None  # whether ``seconds`` are of the same data; None: unknown, or its own
    scaled: bool = False  # whether they are in proportion to the epochs of one that had others
    timed: bool = False  # whether they were foretold from timed batches
    rung: str | None = None  # the engine of the controller's that needs it; None: every build does


def run(
    plan: Plan,
    store: Store,
    surroundings: Surroundings,
    reporter: Reporter,
    watch: Watch = unwatched,
    known: Mapping[str, Outcome] | None = None,
    part: str | None = None,
) -> dict[str, Outcome]:
    """Run every step of ``plan`` that is not in the store; returns {step id: outcome}. Fine-tuning and the recovery
    from pruning tell ``watch``.

    Steps may take inputs from ``known``, outcomes of other plans; what one of these did already is not looked at again.
    Lines begin with the number of the step, or with the name of the ``part`` of a build that this is.

    A candidate's step that fails takes its candidate out of the race; a step that every candidate
    or the float baseline needs ends the build.

    Raises:
        EdgetuneError: from a needed step. InputError, DeviceError, ProcessError: from any.
        Interrupted: Ctrl-C; finished steps are kept.
    """
    outcomes: dict[str, Outcome] = dict(known or {})
    needed = _needed(plan)
    for number, step in enumerate(plan.steps, start=1):
        if step.id in outcomes and outcomes[step.id].step == step:
            continue
        label = f"[{part or f'{number}/{len(plan.steps)}'}] {step.title}"
        started = time.monotonic()
        if failed := _missing_input(step, outcomes):
            outcomes[step.id] = replace(failed, step=step, seconds=0.0)
            continue
        try:
            raise_again()
            artifact, cached = _make(step, plan, outcomes, store, surroundings, reporter, label, watch)
        except (StoreError, Interrupted, InputError, DeviceError, ProcessError):  # not a candidate's fault
            raise
        except KeyboardInterrupt:
            raise Interrupted("stopped; finished steps are kept", hint="run the same command to go on") from None
        except EdgetuneError as error:
            if step.id in needed:
                raise
            reporter.say(f"{label}: failed: {error.message}")
            outcomes[step.id] = _failure(step, started, error.message, error.hint)
            continue
        except Exception as error:
            if step.id in needed:
                raise
            # Libraries fail in ways of their own on odd networks; that must not take the other candidates along.
            reason = f"unexpected {type(error).__name__}: {error}"
            reporter.say(f"{label}: failed: {reason}")
            outcomes[step.id] = _failure(step, started, reason)
            continue
        seconds = time.monotonic() - started
        reporter.say(f"{label}: cached" if cached else f"{label}: {seconds:.1f} s")
        outcomes[step.id] = Outcome(step=step, artifact=artifact, cached=cached, seconds=seconds)
    return outcomes


def preview(plan: Plan, store: Store) -> list[Status]:
    """What each step of ``plan`` would do, and what it is likely to cost."""
    found = recall(plan, store)
    keys = {name: outcome.artifact.key for name, outcome in found.items() if outcome.artifact is not None}
    past = Past(store.entries(), plan.steps, keys)
    statuses = []
    for step in plan.steps:
        artifact = found[step.id].artifact if step.id in found else None
        if artifact is not None:
            facts = store.facts(artifact)
            size = sum(int(file["size"]) for file in facts["files"].values())
            statuses.append(Status(step=step, cached=True, seconds=float(facts["seconds"]), size_bytes=size))
            continue
        cached = False if _is_known(step, found) else None
        likely = past.likely(step)
        told = {} if likely is None else asdict(likely)
        statuses.append(Status(step=step, cached=cached, size_bytes=None, **{"seconds": None, **told}))
    return statuses


def recall(plan: Plan, store: Store, known: Mapping[str, Outcome] | None = None) -> dict[str, Outcome]:
    """The outcomes of the steps that are in the store, found from ``known`` ones; makes nothing."""
    found = dict(known or {})
    for step in plan.steps:
        if step.id not in found and _is_known(step, found):
            artifact = store.lookup(_key(step, plan, found))
            if artifact is not None:
                found[step.id] = Outcome(step=step, artifact=artifact, cached=True, seconds=0.0)
    return found


def _is_known(step: Step, found: Mapping[str, Outcome]) -> bool:
    return all(source.startswith("source:") or source in found for source in step.inputs.values())


def tell(outcomes: Mapping[str, Outcome], store: Store) -> list[dict[str, Any]]:
    """The steps for the report; a cached one with the time it took when it ran."""
    rows = []
    for outcome in outcomes.values():
        facts = {} if outcome.artifact is None else store.facts(outcome.artifact)
        seconds = float(facts["seconds"]) if outcome.cached and facts else outcome.seconds
        rows.append(
            {
                "name": outcome.step.id,
                "title": outcome.step.title,
                "seconds": round(seconds, 3),
                "cached": outcome.cached,
                "cost": facts.get("cost"),
            }
        )
    return rows


def publish_folder(source: Path, destination: Path) -> None:
    """Copy an artifact's files (not its manifest of the store) to ``destination``, replacing what a run left there."""
    partial = destination.with_name(destination.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(source, partial)
    shutil.rmtree(destination, ignore_errors=True)
    partial.rename(destination)


def _needed(plan: Plan) -> set[str]:
    """Ids of the steps without which there is nothing to report."""
    by_id = {step.id: step for step in plan.steps}
    if not plan.candidates:  # no engines are made: every step is what was asked for
        return set(by_id)
    needed: set[str] = set()
    ends = [step.id for step in plan.steps if step.tolerant]
    for candidate in plan.candidates:
        if not candidate.precision.startswith("int") and not candidate.pruning.asked:
            ends.append(candidate.evaluate_step or candidate.onnx_step)
    queue = list(ends)
    while queue:
        step = by_id[queue.pop()]
        if step.id in needed:
            continue
        needed.add(step.id)
        if not step.tolerant:
            queue += [source for source in step.inputs.values() if not source.startswith("source:")]
    return needed


def _failure(step: Step, started: float, reason: str, hint: str | None = None) -> Outcome:
    """Of a step that began at ``started`` of the monotonic clock."""
    seconds = time.monotonic() - started
    return Outcome(step=step, artifact=None, cached=False, seconds=seconds, reason=reason, hint=hint)


def _missing_input(step: Step, outcomes: Mapping[str, Outcome]) -> Outcome | None:
    """The step that failed before this one and that it needs; None: it can run."""
    if step.tolerant:
        return None
    for source in step.inputs.values():
        if not source.startswith("source:") and outcomes[source].artifact is None:
            return outcomes[source]
    return None


def _present_inputs(step: Step, outcomes: Mapping[str, Outcome]) -> dict[str, Artifact]:
    found = {}
    for role, source in step.inputs.items():
        if not source.startswith("source:") and (artifact := outcomes[source].artifact) is not None:
            found[role] = artifact
    return found


def _key(step: Step, plan: Plan, outcomes: Mapping[str, Outcome]) -> str:
    digests = {role: artifact.digest for role, artifact in _present_inputs(step, outcomes).items()}
    for role, source in step.inputs.items():
        if source.startswith("source:"):
            digests[role] = plan.facts.sources[source.removeprefix("source:")]
    return step_key(step, digests, {name: _library_version(name) for name in step.libraries})


def _make(
    step: Step,
    plan: Plan,
    outcomes: Mapping[str, Outcome],
    store: Store,
    surroundings: Surroundings,
    reporter: Reporter,
    label: str,
    watch: Watch,
) -> tuple[Artifact, bool]:
    inputs = _present_inputs(step, outcomes)
    recipe = plan.recipe

    def body(out: Path, scratch: Path) -> dict[str, Any]:
        reporter.say(f"{label} ...")
        context = StepContext(
            params=step.params,
            inputs={role: artifact.path for role, artifact in inputs.items()},
            out=out,
            scratch=scratch,
            seed=step.seed,
            tick=reporter.tick(step.title),
            base=recipe.base,
            data=surroundings.data,
            weights=surroundings.weights,
            keep=surroundings.keep,
            cache_mb=recipe.data.cache_mb,
            workers=recipe.data.workers,
            device=surroundings.devices.get(step.inputs.get("device", step.inputs.get("processor", ""))),
            watch=watch,
        )
        spent, before = scratch / SPENT, remembered(scratch / SPENT)
        try:
            with Meter() as meter:
                carry_out(step.name, context)
            return added(before, meter.read())
        except RuntimeProblem as problem:  # the device's package has errors of its own
            raise BackendError(f"{step.title}: {problem}") from problem
        except (Interrupted, SetAside):
            remember(spent, added(before, meter.read()))
            raise
        finally:
            reporter.close()

    parents = tuple(artifact.key for artifact in inputs.values())
    key = _key(step, plan, outcomes)
    return store.make(key, step, parents, body, waiting=lambda: reporter.say(f"{label}: another build is making it"))


def carry_out(name: str, context: StepContext) -> None:
    """Run a step; one that trains, in all the processes there are."""
    if several():
        from edgetune.steps.together import TRAINING, joined, run_together  # one process does without it

        if name in TRAINING and joined():
            run_together(name, context)
            return
    run_step(name, context)


@cache
def _library_version(name: str) -> str:
    return installed_version(name) or "missing"


def library_versions() -> dict[str, str]:
    """Versions of the libraries that make or run engines."""
    names = ["edgetune", "torch", "torchvision", "torch-pruning", "onnx", "onnxscript", "numpy"]
    names += [library.distribution for library in INFERENCE_LIBRARIES.values() if library.distribution]
    return {name: _library_version(name) for name in names}
