"""What a recipe holds, section by section: frozen records, each key with its type, its default and what it means.

The strings below the fields are what ``docs/recipe.md`` prints (``tools/site/recipe_reference.py`` reads them here):
Markdown, with links as seen from ``docs/``. What a key may be is in ``edgetune.recipe``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MOST_EPOCHS = 10_000  # of a training


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """Which network: ``torchvision/NAME``, ``timm/NAME``, ``transformers/NAME`` or ``package.module:factory``."""

    name: str
    """`torchvision/NAME`, `timm/NAME` (with `pip install 'edgetune[timm]'`), `transformers/NAME` (reads
    [text](text.md)), or `package.module:factory` (looked for beside the recipe first)"""
    weights: str | None = None
    """`.safetensors`, or a `.pt` state dict; a pickle that would run code is refused. Of `transformers/` a folder"""
    pretrained: bool = True
    """without `weights`: the library's own; false: random weights"""
    args: Mapping[str, Any] = field(default_factory=dict)
    """more arguments for the factory; of `transformers/` changes to its configuration"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSpec:
    """Where the labelled examples are, and how they become tensors."""

    path: str
    """`train/ val/ test/` folders of class folders, one folder of class folders, or a CSV `path,label[,split]`; texts:
    CSV or JSON Lines `text,label[,split]`, or a folder of one a split"""
    image_size: int = 224
    """pixels; square"""
    max_length: int = 128
    """tokens of a text; what is longer is cut"""
    val_fraction: float = 0.15
    """share of train that becomes the validation split, by class, where the data has none"""
    test_fraction: float = 0.15
    """share of train that becomes the test split, by class, where the data has none; it is taken before validation"""
    on_bad_file: str = "error"
    """`skip` leaves unreadable files out and counts them in the report"""
    allow_leaks: bool = False
    """go on when the same picture or text is in two splits (see [data.md](data.md))"""
    check_labels: bool = False
    """a build looks for wrong labels before it trains, and shows them in the report ([data.md](data.md))"""
    folds: int = 0
    """of a cross-validation of the float network over train and val: 3 to 20 more trainings, nothing that ships changes
    ([finetuning.md](finetuning.md#cross-validation))"""
    cache_mb: int = 2048
    """memory for decoded images; the rest is decoded every time"""
    workers: int = -1
    """loader processes; -1: none on a CPU, up to 8 beside a GPU"""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuneSpec:
    """How the pretrained network learns the user's classes."""

    strategy: str = "full"
    """`full`, `partial`, `gradual`, `lora`, `feature-extraction` or `auto`: see [strategies](strategies/index.md)"""
    stages: int = 1
    """of the backbone, trained by `partial` beside the head"""
    epochs: int = 8
    """the epoch that is best on validation is kept"""
    batch_size: int = 32
    """samples of one step of training"""
    learning_rate: float = 1e-3
    """peak, for AdamW; linear warm-up, then a cosine to zero. Of `lora` for texts 1e-3"""
    weight_decay: float = 0.05
    """not applied to norms and biases"""
    warmup_epochs: float = 0.5
    """in which the learning rate rises to its peak"""
    label_smoothing: float = 0.1
    """share of a label that is spread over all classes (Szegedy et al. 2016)"""
    augmentation: str = "standard"
    """`standard`: random crops and mirror images; `light`: small crops, no mirror; `strong`: `standard`, then
    TrivialAugmentWide; `none`"""
    precision: str = "auto"
    """bf16 where the hardware multiplies it, else fp32; or `fp32`, `bf16`, `fp16` (NVIDIA)"""
    compile: str = "auto"
    """`torch.compile`: on a GPU where it was measured to pay, `never`, or `always`
    ([finetuning.md](finetuning.md#where-it-computes))"""
    sharding: str = "auto"
    """of several processes: each keeps only its part of weights and moments where these would fill half of the memory;
    `never`, or `always` ([scaling.md](scaling.md#networks-that-do-not-fit))"""
    layer_decay: float = 1.0
    """learning rate of a stage relative to the stage above; the head has the full one"""
    batch_norm: str = "train"
    """`frozen`: batch norms keep their statistics; scale and shift are trained"""
    mixup: float = 0.0
    """alpha of the shares in which two pictures are blended (Zhang et al. 2018); with `cutmix` each batch gets one of
    the two at random"""
    cutmix: float = 0.0
    """alpha of the shares in which a rectangle of another picture is pasted in (Yun et al. 2019); with `mixup` each
    batch gets one of the two at random"""
    imbalance: str = "none"
    """`weights`: rare classes count more in the loss; `sampling`: every class is drawn as often"""
    l2_sp: float = 0.0
    """pull of the backbone towards its pretrained weights, in place of its weight decay"""
    ema: float = 0.0
    """decay of a running average of the weights, which is judged and kept; 0: none"""
    patience: int = 0
    """stop after so many epochs without a better validation accuracy; 0: never"""
    clip_norm: float = 0.0
    """largest norm of the gradient; 0: not clipped"""
    micro_batch: int = 0
    """samples computed at once; gradients accumulate to `batch_size`; 0: all. Halved when memory runs out"""
    keep: str | None = None
    """a folder of pictures of the pretrained network's own classes: the report tells what was forgotten
    ([finetuning.md](finetuning.md#what-is-forgotten))"""
    lora_rank: int = 8
    """rank of the updates that `lora` learns: the higher, the more weights they have"""
    lora_alpha: float = 16.0
    """strength of the updates that `lora` learns: they count `lora_alpha / lora_rank` times"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneSpec:
    """Structured pruning: how much to try removing, and how to recover.

    Without ``ratio``, ``target_speedup`` and ``target_latency_ms`` the plan chooses: speed-ups where the target's
    layers can be timed here, else ratios.
    """

    ratio: tuple[float, ...] | None = None
    """shares of channels to try removing; needs no target. Default where layers cannot be timed: [0.15, 0.3]"""
    target_speedup: tuple[float, ...] | None = None
    """prune until the layers, each timed on the target, are so much faster together (below); the controller goes from
    strong to gentle, by default [2, 1.5, 1.25]. With another `quantize.mode` than auto: [1.25, 1.5], text [1.5]"""
    target_latency_ms: tuple[float, ...] | None = None
    """prune until the engine is so fast on the target: as many ms as the unpruned engine (INT8 where the target has it)
    takes, divided by this, is the speed-up of its layers"""
    criterion: str = "fisher"
    """how channels are ranked: `fisher`, `taylor`, `obd`, `magnitude`, `magnitude-l1`, `lamp`, `fpgm`, `bn-scale`,
    `random` (below)"""
    scope: str = "global"
    """of ratios. `global`: the weakest channels anywhere; `isomorphic`: the weakest among layers of the same kind and
    shape (Fang et al. 2024); `local`: the same share of every layer"""
    group_reduction: str = "auto"
    """how scores of layers that lose the same channels become one: `mean`, `sum`, `max`, `prod` or `first`
    ([pruning.md](pruning.md#scores))"""
    normalization: str = "auto"
    """what a group's scores are divided by before groups are compared: `none`, `mean`, `sum`, `max` or `gaussian`"""
    layers: Mapping[str, float] = field(default_factory=dict)
    """shares for modules by name, such as `{ "layer4" = 0.2, "conv1" = 0.0 }`: instead of `ratio`, or at most, where
    latency decides"""
    sparsity: str = "none"
    """training that makes channels small before they go: `group-lasso` or `growing`
    ([pruning.md](pruning.md#sparse-training-before))"""
    sparsity_epochs: int = 4
    """passes over the training pictures of `sparsity`"""
    sparsity_strength: float | None = None
    """weight of what makes channels small in the loss of `sparsity`; not set: 1e-3 for `group-lasso`, 1.0 for
    `growing`"""
    steps: int = 3
    """in how many steps channels go; before each they are ranked again"""
    step_epochs: int = 0
    """epochs of training between two steps; 0: none"""
    recovery_epochs: int = 4
    """epochs of training after the last step, with distillation from the unpruned network"""
    learning_rate: float = 5e-4
    """peak rate of all training that belongs to pruning"""
    distillation_weight: float = 0.7
    """share of the loss from the unpruned network (Hinton et al. 2015)"""
    distillation_temperature: float = 2.0
    """temperature that softens both networks' answers in that part of the loss"""
    feature_distillation: float = 0.0
    """weight of the stages' attention maps, which are led to those of the unpruned network (Zagoruyko and Komodakis
    2017)"""
    protect: tuple[str, ...] = ()
    """module names never pruned; the head is protected anyway"""


SMOOTHQUANT = "smoothquant"  # the repair of networks for text


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizeSpec:
    """INT8: the scheme is the target's; this says whether, and on how much data."""

    mode: str = "auto"
    """`auto`: the [controller](controller.md) makes one engine after the other, repairs INT8 where it loses too much,
    and ends when nothing better is to be expected; `ptq`: each pruning in float and in calibrated INT8; `qat`: also
    by quantization-aware training; `none`: float only"""
    calibration: str = "mse"
    """how a range is chosen: `mse`, `minmax`, `moving-average`, `percentile` or `entropy` ([which
    when](quantization.md#calibration))"""
    calibration_samples: int = 256
    """training images that choose the ranges"""
    repair: tuple[str, ...] = ("bias-correction",)
    """`bias-correction` mends the mean shift that rounding weights causes, `equalisation` evens out channels before
    (Nagel et al. 2019), `adaround` chooses which weights to round up (Nagel et al. 2020); of text only `smoothquant`
    (Xiao et al. 2022); []: nothing"""
    float_layers: str = "auto"
    """`auto`: first layers stay in float where that is proven faster on the target; `none`"""
    worst_in_float: int = 0
    """so many layers go back to float, those first that give back most accuracy for their time on the target
    ([how](quantization.md#layers-left-in-float)); a search may try several numbers"""
    weights: tuple[str, ...] = ()
    """`int8`, `int4`: also engines `int8-weights`, `int4-weights` that compute in float and only store weights so ([for
    what](quantization.md#weights-alone))"""
    keep_float: tuple[str, ...] = ()
    """module names whose convolutions and linear layers stay in float, such as `["features.0"]`; of text also tables of
    embeddings (`["encoder.bert.encoder.layer.5"]`)"""
    epochs: int = 2
    """epochs of quantization-aware training"""
    learning_rate: float = 1e-4
    """peak rate of quantization-aware training"""
    scales: str = "learned"
    """of that training: `learned` (LSQ), or `frozen` as calibration chose them"""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetSpec:
    """What the shipped engine must keep to; None: no limit."""

    max_accuracy_drop: float = 1.0
    """percentage points below the float engine: validation chooses by it, test is gated by it"""
    confidence: float | None = None
    """such as 0.95: a larger drop must be ruled out at this confidence on validation ([how](controller.md#how-sure));
    without it what was seen decides"""
    max_latency_ms: float | None = None
    """largest median latency of one sample on the target, in milliseconds"""
    max_size_mb: float | None = None
    """largest size of the engine file, in millions of bytes"""
    max_hours: float | None = None
    """of work, after which the controller begins no other engine, nor one before that would not end in time; what is
    finished is chosen from; strategy `auto` trains for half of them at most"""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchSpec:
    """How latency is measured."""

    threads: int = 1
    """threads of one inference"""
    min_runs: int = 200
    """each engine is run and timed at least so often, over all the times it is loaded"""
    min_seconds: float = 2.0
    """timed runs of each engine take at least so many seconds together, over all the times it is loaded"""
    max_seconds: float = 60.0
    """timing ends when one engine has run so many seconds, whether or not the two above are reached"""


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleSpec:
    """What the device hands to the engine."""

    input: str = "float32-nchw"
    """`uint8-nhwc`: the engine takes pixels and normalises them itself ([bundles.md](bundles.md)); for pictures"""

    @property
    def takes_pixels(self) -> bool:
        """Whether normalisation and layout are part of the engine."""
        return self.input == "uint8-nhwc"


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetsSpec:
    """What ``build`` makes when no ``--target`` is given."""

    names: tuple[str, ...] = ("x86-cpu",)
    """what `build` makes without `--target`"""
    options: Mapping[str, Any] = field(default_factory=dict)
    """a table of options for the target NAME, which count instead of those in its `backend_options` ([of
    bundles](bundles.md), [of TensorRT](tensorrt.md))"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CostSpec:
    """What the machine costs; a build only tells it."""

    per_hour: float | None = None
    """money for an hour of one device (a GPU, or a machine without one); reports and `plan` tell what was spent"""
    currency: str = ""
    """what that is in, such as `EUR`"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneSpec:
    """How ``edgetune tune`` searches values for ``[finetune]``; a build does not look at it."""

    trials: int = 20
    """of `edgetune tune`, the recipe's own among them: see [tuning.md](tuning.md). A build does not look at `[tune]`"""
    timeout_hours: float | None = None
    """no trial begins after it"""
    seed: int = 0
    """of the values that are drawn"""
    pruner: str = "median"
    """gives up trials that fall behind: `median`, `hyperband` (Li et al. 2018) or `none`"""
    storage: str | None = None
    """an SQLite file, or a URL such as `postgresql://user@host/database`; not set: `tune/search.db`"""
    lost_after_seconds: float = 120.0
    """a worker without a sign of life for so long is lost, and its trial is begun again"""
    space: Mapping[str, Any] | None = None
    """keys of `[finetune]`, each with a list of values or `{ low = 1e-4, high = 1e-2, log = true }`"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSpec:
    """How ``edgetune search`` searches compression by building and timing engines; a build does not look at it."""

    trials: int = 30
    """of `edgetune search`, the engines of the recipe among them: see [search.md](search.md). A build does not look at
    `[search]`"""
    timeout_hours: float | None = None
    """no trial begins after it"""
    seed: int = 0
    """of the values that are drawn"""
    sampler: str = "tpe"
    """`tpe` (Ozaki et al. 2022), `nsga2` (Deb et al. 2002) or `random`"""
    size: bool = False
    """the engine's size is an objective too"""
    energy: bool = False
    """the energy of an inference is an objective too, where the processor tells it
    ([measuring.md](measuring.md#energy))"""
    give_up_points: float = 5.0
    """a network so many points further below float than `max_accuracy_drop` allows is neither quantized nor timed"""
    stop_points: float = 5.0
    """a recovery that would be given up if it ended now, and is so many points behind the median of finished ones, is
    stopped ([how](search.md#what-is-given-up-and-what-is-chosen)); 100: none is"""
    storage: str | None = None
    """an SQLite file, or a URL such as `postgresql://user@host/database`; not set: `search/search.db`"""
    lost_after_seconds: float = 120.0
    """a worker without a sign of life for so long is lost, and its trial is begun again"""
    space: Mapping[str, Any] | None = None
    """keys of `[prune]`, `[quantize]`, `data.image_size` and `model.name`, each with a list of values or low and high
    """
