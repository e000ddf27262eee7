"""The nouns of edgetune: frozen records that travel between the rooms.

Units are in the names (``latency_ms``, ``size_bytes``). Accuracies are fractions in [0, 1];
changes of accuracy are percentage points. A Measurement keeps raw values; statistics are
derived when asked for (``edgetune.measure.statistics``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edgetune.specs import (
    BenchSpec,
    BudgetSpec,
    BundleSpec,
    CostSpec,
    DataSpec,
    FinetuneSpec,
    ModelSpec,
    PruneSpec,
    QuantizeSpec,
    SearchSpec,
    TargetsSpec,
    TuneSpec,
)

__all__ = [  # with the sections of a recipe, which lie in a module of their own
    "Artifact",
    "BenchSpec",
    "BudgetSpec",
    "BundleSpec",
    "Candidate",
    "CostSpec",
    "DataFinding",
    "DataSpec",
    "Dimension",
    "Facts",
    "FinetuneSpec",
    "Measurement",
    "ModelSpec",
    "Plan",
    "PruneSpec",
    "Pruning",
    "QuantizationScheme",
    "QuantizeSpec",
    "Recipe",
    "Report",
    "Rung",
    "SearchSpec",
    "Source",
    "Step",
    "Target",
    "TargetsSpec",
    "TuneSpec",
]

# --- the recipe -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """The values that one key of the recipe may take in a search: ``choices``, or from ``low`` to ``high``."""

    name: str
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False

    def holds(self, value: Any) -> bool:
        """Whether ``value`` is among them."""
        return value in self.choices if self.choices else bool(self.low <= value <= self.high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One ``edgetune.toml``, parsed. ``base`` is the folder its paths are relative to."""

    base: Path
    model: ModelSpec
    data: DataSpec
    finetune: FinetuneSpec = field(default_factory=FinetuneSpec)
    prune: PruneSpec = field(default_factory=PruneSpec)
    quantize: QuantizeSpec = field(default_factory=QuantizeSpec)
    budget: BudgetSpec = field(default_factory=BudgetSpec)
    bench: BenchSpec = field(default_factory=BenchSpec)
    bundle: BundleSpec = field(default_factory=BundleSpec)
    targets: TargetsSpec = field(default_factory=TargetsSpec)
    cost: CostSpec = field(default_factory=CostSpec)
    tune: TuneSpec = field(default_factory=TuneSpec)
    search: SearchSpec = field(default_factory=SearchSpec)
    seed: int = 0
    """of splits, training order, augmentation, dropout and statistics"""
    deterministic: bool = False
    """trainings give the same bits from the same seed on the same kind of GPU, for some speed
    ([finetuning.md](finetuning.md#where-it-computes))"""

    @property
    def reads_text(self) -> bool:
        """Whether the network classifies texts; else pictures."""
        return self.model.name.startswith("transformers/")


# --- targets --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizationScheme:
    """The arithmetic a device is fast at. Weights are always symmetric int8."""

    activation: str = "uint8"  # uint8 (asymmetric) | int8 (symmetric)
    per_channel: bool = True
    reduce_range: bool = False  # 7-bit weights where uint8 x int8 products saturate 16 bits
    operators: tuple[str, ...] = ("conv", "linear", "add", "pool", "cat")
    fused_add: bool = False  # the backend adds within the convolution before: that one's output stays as it is
    layer_outputs: bool = False  # also what convolutions and linear layers give to float operators


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a fact of a target comes from."""

    fact: str
    origin: str  # a URL, or "measured here"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A device family: one file in targets/."""

    name: str
    summary: str
    backend: str
    arch: str  # x86_64 | aarch64 | any
    scheme: QuantizationScheme
    aliases: tuple[str, ...] = ()
    memory_mb: int | None = None
    cpu_features: tuple[str, ...] = ()  # any one of them, as named in /proc/cpuinfo
    precisions: tuple[str, ...] = ("int8", "fp32")  # in the order they are tried
    channel_multiple: int = 8  # pruned channel counts are rounded to it
    threads: tuple[int, ...] = (1,)
    opset: int = 20
    backend_options: Mapping[str, Any] = field(default_factory=dict)
    min_runtime: str | None = None  # the oldest release of the backend's library that devices have
    telemetry: str = "sysfs"
    sources: tuple[Source, ...] = ()


# --- steps and artifacts --------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One unit of work. ``inputs`` maps a role to the id of the step, or the ``source:...``, it comes from.

    A ``tolerant`` step does without the inputs whose steps failed (selection among candidates).
    """

    id: str
    name: str  # module in edgetune.steps
    version: int
    title: str
    params: Mapping[str, Any]
    inputs: Mapping[str, str] = field(default_factory=dict)
    libraries: tuple[str, ...] = ()  # distributions whose version is part of the key
    seed: int = 0
    tolerant: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the plan needs to know of the world: digests of its sources, and which targets cannot run here."""

    sources: Mapping[str, str]  # data, weights, code, device; device:TARGET where it is not this machine
    unavailable: Mapping[str, str | None]  # target -> why its engines cannot be run, None: they can
    untimed: Mapping[str, str] = field(default_factory=dict)  # target -> why its engines run but cannot be timed


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Steps in an order in which each comes after its inputs."""

    recipe: Recipe
    targets: tuple[Target, ...]
    steps: tuple[Step, ...]
    candidates: tuple[Candidate, ...]
    facts: Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A finished step's files, found by key; ``digest`` is that of their contents."""

    kind: str
    key: str
    digest: str
    path: Path
    parents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruning:
    """How much of a network goes: a share of its channels, or as much as a speed-up or a latency takes; or nothing."""

    ratio: float | None = None
    speedup: float | None = None
    latency_ms: float | None = None

    @property
    def asked(self) -> bool:
        """Whether anything goes."""
        return (self.ratio, self.speedup, self.latency_ms) != (None, None, None)

    @property
    def timed(self) -> bool:
        """Whether it goes by what layers take on the target."""
        return self.speedup is not None or self.latency_ms is not None

    @property
    def amount(self) -> str:
        """Of what is ``timed``, as names have it: 1.5x, 2.5ms."""
        return f"{self.latency_ms:g}ms" if self.latency_ms is not None else f"{self.speedup:g}x"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One engine the controller may make: of a network ``pruning`` leaves, in float or in INT8.

    ``treatment`` says how INT8 comes about, by its name in ``edgetune.rungs``; None: the network stays in float.
    """

    pruning: Pruning
    treatment: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One engine that may ship: a target, a pruning and a precision."""

    name: str  # float, int8, pruned-30, pruned-1.5x-int8
    target: str
    precision: str  # fp32 | fp16 | int8 | int8-weights | int4-weights
    pruning: Pruning
    network_step: str  # id of the step that makes the network
    onnx_step: str  # id of the step that exports it
    compile_step: str | None  # None where the target's engines cannot run on this machine
    evaluate_step: str | None


ERROR, WARNING, INFO = "error", "warning", "info"  # how grave a finding on data is


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFinding:
    """Something suspicious about a dataset, found ``count`` times; ``examples`` are in words.

    ``samples`` are paths of pictures to look at, a few, within the dataset.
    """

    id: str
    severity: str  # ERROR: the build fails; WARNING: look at it; INFO
    count: int
    problem: str
    examples: tuple[str, ...]
    do: str
    samples: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As plain data; ``samples`` only where there are any."""
        content = {**asdict(self), "examples": list(self.examples), "samples": list(self.samples)}
        return content if self.samples else {key: value for key, value in content.items() if key != "samples"}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> DataFinding:
        """What ``to_json`` wrote."""
        lists = {key: tuple(content.get(key, ())) for key in ("examples", "samples")}
        return cls(**{**content, **lists})

    def __str__(self) -> str:
        shown = "; ".join(self.examples[:10])
        more = f"; and {len(self.examples) - 10} more" if len(self.examples) > 10 else ""
        return f"{self.severity}: {self.problem}{': ' if shown else ''}{shown}{more}. {self.do}"


# --- measurements and the report ------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """Raw values of one metric of one engine, with what was true while they were taken."""

    metric: str  # latency
    unit: str  # ms
    values: tuple[float, ...]
    warmups: int
    environment: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a build returns: the content of ``report.json`` (schema ``edgetune.report/1``)."""

    data: Mapping[str, Any]
    run_dir: Path

    @property
    def exit_code(self) -> int:
        """0 ok, 1 a target failed, 3 a gate failed, 4 something is prepared but not measured."""
        statuses = [target["status"] for target in self.data["targets"]]
        if "failed" in statuses:
            return 1
        if not all(gate["passed"] for gate in self.data["gates"]):
            return 3
        return 4 if "prepared" in statuses else 0
