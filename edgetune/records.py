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

# --- the recipe -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """Which network: ``torchvision/NAME``, ``timm/NAME``, ``transformers/NAME`` or ``package.module:factory``."""

    name: str
    weights: str | None = None  # a file (of transformers a folder) by the recipe; None: the library's own
    pretrained: bool = True  # False: start from random weights
    args: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSpec:
    """Where the labelled examples are, and how they become tensors."""

    path: str
    image_size: int = 224
    max_length: int = 128  # tokens of a text; what is longer is cut
    val_fraction: float = 0.15  # carved from train when the data has no val split
    test_fraction: float = 0.15  # carved when the data has no test split
    on_bad_file: str = "error"  # error | skip
    allow_leaks: bool = False  # go on when the same picture is in two splits
    check_labels: bool = False  # a build looks for wrong labels, by the pretrained network's features
    folds: int = 0  # of a cross-validation of the float network over train and val; 0: none
    cache_mb: int = 2048  # memory for decoded images
    workers: int = -1  # loader processes; -1: none on CPU, up to 8 beside a GPU


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuneSpec:
    """How the pretrained network learns the user's classes."""

    strategy: str = "full"  # auto | full | partial | gradual | lora | feature-extraction
    stages: int = 1  # of the backbone, trained by "partial"
    epochs: int = 8
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warmup_epochs: float = 0.5
    label_smoothing: float = 0.1
    augmentation: str = "standard"  # none | light | standard | strong
    precision: str = "auto"  # auto | fp32 | bf16 | fp16
    compile: str = "auto"  # auto: where it was measured to pay | never | always
    sharding: str = "auto"  # of weights and moments between processes: auto: where memory asks for it | never | always
    layer_decay: float = 1.0  # learning rate of a stage relative to the one above it
    batch_norm: str = "train"  # train | frozen
    mixup: float = 0.0  # alpha of its Beta distribution; 0: not used
    cutmix: float = 0.0
    imbalance: str = "none"  # none | weights | sampling
    l2_sp: float = 0.0  # pull of the backbone towards its pretrained weights, in place of weight decay
    ema: float = 0.0  # decay of the running average of the weights; 0: not used
    patience: int = 0  # epochs without a better validation accuracy before training stops; 0: never
    clip_norm: float = 0.0  # largest norm of the gradient; 0: not clipped
    micro_batch: int = 0  # samples computed at once, gradients accumulate; 0: the whole batch
    keep: str | None = None  # pictures of the pretrained network's own classes, to tell what is forgotten
    lora_rank: int = 8  # of the updates that "lora" learns
    lora_alpha: float = 16.0  # they are multiplied by lora_alpha / lora_rank


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneSpec:
    """Structured pruning: how much to try removing, and how to recover.

    Without ``ratio``, ``target_speedup`` and ``target_latency_ms`` the plan chooses: speed-ups where the target's
    layers can be timed here, else ratios.
    """

    ratio: tuple[float, ...] | None = None  # shares of channels to try removing
    target_speedup: tuple[float, ...] | None = None  # what the layers' measured latency shall be divided by
    target_latency_ms: tuple[float, ...] | None = None  # of the engine on the target; what takes longer loses channels
    criterion: str = "fisher"  # fisher | taylor | obd | magnitude | magnitude-l1 | lamp | fpgm | bn-scale | random
    scope: str = "global"  # of ratios: global | isomorphic | local
    group_reduction: str = "auto"  # scores of coupled layers become one: auto | mean | sum | max | prod | first
    normalization: str = "auto"  # what scores of a group are divided by: auto | none | mean | sum | max | gaussian
    layers: Mapping[str, float] = field(default_factory=dict)  # module name -> share; by measured latency: at most
    sparsity: str = "none"  # training that makes channels small before they go: none | group-lasso | growing
    sparsity_epochs: int = 4
    sparsity_strength: float | None = None  # None: what is usual for the kind
    steps: int = 3  # 1: one-shot; more: prune a little, rank again, repeat
    step_epochs: int = 0  # recovery between those steps
    recovery_epochs: int = 4  # after the last one
    learning_rate: float = 5e-4
    distillation_weight: float = 0.7  # share of the loss that comes from the unpruned network
    distillation_temperature: float = 2.0
    feature_distillation: float = 0.0  # weight of the stages' attention maps in the loss; 0: not used
    protect: tuple[str, ...] = ()  # module names never pruned


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizeSpec:
    """INT8: the scheme is the target's; this says whether, and on how much data."""

    mode: str = "auto"  # none | ptq | qat | auto
    calibration: str = "mse"  # how ranges are chosen: mse | minmax | moving-average | percentile | entropy
    calibration_samples: int = 256
    repair: tuple[str, ...] = ("bias-correction",)  # what mends the rounding; (): nothing
    float_layers: str = "auto"  # auto: the first ones that are faster so on the target; none
    weights: tuple[str, ...] = ()  # engines of float arithmetic whose weights alone are int8 | int4
    keep_float: tuple[str, ...] = ()  # module names whose layers are not quantized; then nothing is chosen
    epochs: int = 2  # of quantization-aware training
    learning_rate: float = 1e-4  # of that training
    scales: str = "learned"  # learned | frozen, in that training


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetSpec:
    """What the shipped engine must keep to; None: no limit."""

    max_accuracy_drop: float = 1.0  # percentage points below the fine-tuned float engine
    confidence: float | None = None  # that an engine is inside; None: the point estimate decides
    max_latency_ms: float | None = None
    max_size_mb: float | None = None
    max_hours: float | None = None  # of work, after which the controller begins nothing new


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchSpec:
    """How latency is measured."""

    threads: int = 1
    min_runs: int = 200  # timed runs of each engine
    min_seconds: float = 2.0  # of timed runs of each engine
    max_seconds: float = 60.0  # for one engine, warm-up apart


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleSpec:
    """What the device hands to the engine."""

    input: str = "float32-nchw"  # float32-nchw: normalised | uint8-nhwc: pixels, the engine normalises them

    @property
    def takes_pixels(self) -> bool:
        """Whether normalisation and layout are part of the engine."""
        return self.input == "uint8-nhwc"


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetsSpec:
    """What ``build`` makes when no ``--target`` is given."""

    names: tuple[str, ...] = ("x86-cpu",)
    options: Mapping[str, Any] = field(default_factory=dict)  # {target: over its `backend_options`}; [targets.NAME]


@dataclass(frozen=True, slots=True, kw_only=True)
class CostSpec:
    """What the machine costs; a build only tells it."""

    per_hour: float | None = None  # of one device: a GPU or a machine without one
    currency: str = ""  # what ``per_hour`` is in


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneSpec:
    """How ``edgetune tune`` searches values for ``[finetune]``; a build does not look at it."""

    trials: int = 20  # trainings in all, the recipe's own among them
    timeout_hours: float | None = None  # no trial starts after it
    seed: int = 0  # of the sampler
    pruner: str = "median"  # median | hyperband | none
    storage: str | None = None  # a URL, or an SQLite file by the recipe; None: tune/search.db there
    lost_after_seconds: float = 120.0  # without a sign of life from a trial's worker
    space: Mapping[str, Any] | None = None  # {key of [finetune]: list or low and high}; None: the usual ones


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSpec:
    """How ``edgetune search`` searches compression by building and timing engines; a build does not look at it."""

    trials: int = 30  # engines in all, those of the recipe among them
    timeout_hours: float | None = None  # no trial starts after it
    seed: int = 0  # of the sampler
    sampler: str = "tpe"  # tpe | nsga2 | random
    size: bool = False  # the engine's size is an objective too
    give_up_points: float = 5.0  # below the accuracy budget, at which a network is neither quantized nor timed
    storage: str | None = None  # a URL, or an SQLite file by the recipe; None: search/search.db there
    lost_after_seconds: float = 120.0  # without a sign of life from a trial's worker
    space: Mapping[str, Any] | None = None  # {section: {key: list or low and high}}; None: the usual ones


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
    deterministic: bool = False  # trainings give the same bits from the same seed, also on a GPU

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


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFinding:
    """Something suspicious about a dataset, found ``count`` times; ``examples`` are in words.

    ``samples`` are paths of pictures to look at, a few, within the dataset.
    """

    id: str
    severity: str  # error: the build fails; warning: look at it; info
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
