"""The pretrained network learns the user's classes."""

from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor, nn

from edgetune.data.mixing import make_mix
from edgetune.export.onnx_export import check_exportable
from edgetune.finetune.options import TrainOptions
from edgetune.finetune.stages import split_stages
from edgetune.finetune.strategies import auto
from edgetune.finetune.trainer import train
from edgetune.finetune.update import Loss
from edgetune.hashing import canonical_json
from edgetune.models.checkpoint import NetworkSpec, save_checkpoint
from edgetune.models.head import head_keys
from edgetune.models.text_classifier import head_of, pretrained_text_classifier, read_config
from edgetune.models.trial import check_finite, check_network
from edgetune.models.weights import fit_weights, read_weights
from edgetune.models.zoo import AUXILIARY, library_weights
from edgetune.records import FinetuneSpec
from edgetune.steps import comparing
from edgetune.steps.context import StepContext
from edgetune.steps.dataset import load_index
from edgetune.steps.examples import Examples, ImageExamples, make_examples
from edgetune.steps.texts import preprocessing, source
from edgetune.tasks.image_classification import balancing_weights, cross_entropy, logits_of


def run(context: StepContext) -> None:
    """Write the trained checkpoint and its history."""
    spec, network, notes = learn(context)
    save_checkpoint(context.out, spec, network.cpu(), [])
    context.note("training.json").write_text(canonical_json(notes), encoding="utf-8")


def learn(context: StepContext) -> tuple[NetworkSpec, nn.Module, dict[str, Any]]:
    """The fine-tuned network, and how it came about."""
    spec, network, head, fresh = start(context)
    wanted, reason = settled(finetune_spec(context), context, network, head, fresh)
    options = train_options(wanted, context.seed)
    examples = training_examples(context, wanted, spec)
    loss = training_loss(context, wanted)
    if asks_for_comparison(context, network, fresh):
        rival = comparing.frozen_features(network, head, options, examples, loss, context)
        if rival is not None:
            return spec, *_compared(context, rival, network, head, fresh, (wanted, reason), examples, loss)
    trained = train(network, options, examples, loss, context.scratch, context.tick, head, context.watch)
    if trained.strategy != wanted.strategy:
        reason += f"; {wanted.strategy} needs a head that is one linear layer at the end"
    return spec, network, {**trained.to_json(), "fresh_keys": fresh, "reason": reason}


def asks_for_comparison(context: StepContext, network: nn.Module, fresh: list[str]) -> bool:
    """Whether ``auto`` tries frozen features as well."""
    if finetune_spec(context).strategy != "auto":
        return False
    hours = context.params.get("max_hours")
    return auto.is_compared(class_counts(context), pretrained=_is_pretrained(network, fresh), hours=hours)


def _compared(
    context: StepContext,
    rival: comparing.Rival,
    network: nn.Module,
    head: frozenset[str],
    fresh: list[str],
    settlement: tuple[FinetuneSpec, str],
    examples: Examples,
    loss: Loss,
) -> tuple[nn.Module, dict[str, Any]]:
    """What ``auto`` keeps of its choice and the rival, and how it came about."""
    (wanted, reason), stages = settlement, split_stages(network, head).head
    choice = auto.Choice(strategy=wanted.strategy, stages=wanted.stages, reason=reason)
    choice = comparing.affordable(choice, rival, stages, train_options(wanted, context.seed), context)
    if choice.strategy == rival.trained.strategy:
        return rival.network, {**rival.trained.to_json(), "fresh_keys": fresh, "reason": choice.reason}
    options = train_options(replace(wanted, strategy=choice.strategy, stages=choice.stages), context.seed)
    trained = train(network, options, examples, loss, context.scratch, context.tick, head, context.watch)
    network, trained, told = comparing.better(network, trained, rival)
    return network, {**trained.to_json(), "fresh_keys": fresh, "reason": f"{choice.reason}; {told}"}


def _is_pretrained(network: nn.Module, fresh: list[str]) -> bool:
    """Whether most of the network has weights worth keeping."""
    keys = set(network.state_dict())
    return len(keys - set(fresh)) > len(keys) / 2


def start(context: StepContext) -> tuple[NetworkSpec, nn.Module, frozenset[str], list[str]]:
    """The network before training, the keys of its head, and those that start at random."""
    model, classes = context.params["model"], len(load_index(context).labels)
    if "tokens" in context.inputs:
        spec = NetworkSpec(
            name=model["name"],
            num_classes=classes,
            args={"config": {**read_config(source(context)), **model["args"]}},
            max_length=preprocessing(context)["max_length"],
        )
    else:
        spec = NetworkSpec(
            name=model["name"], num_classes=classes, image_size=context.params["image_size"], args=model["args"]
        )
    if spec.max_length is not None:
        network, fresh = pretrained(spec, context, frozenset())
        check_finite(network, spec.example(), spec.name)
        return spec, network, head_of(network), fresh
    trial = spec.make(context.base)
    check_network(trial, spec.example(), classes, spec.name)
    check_exportable(trial, spec.example())
    head = head_keys(lambda classes: spec.make(context.base, classes), spec.num_classes)
    network, fresh = pretrained(spec, context, head)
    check_finite(network, spec.example(), spec.name if context.weights is None else context.weights.name)
    return spec, network, head, fresh


def finetune_spec(context: StepContext) -> FinetuneSpec:
    """The ``[finetune]`` options of the step's parameters."""
    known: dict[str, Any] = {
        item.name: context.params[item.name] for item in fields(FinetuneSpec) if item.name in context.params
    }
    return FinetuneSpec(**known)


def settled(
    spec: FinetuneSpec, context: StepContext, network: nn.Module, head: frozenset[str], fresh: list[str]
) -> tuple[FinetuneSpec, str]:
    """The options with "auto" replaced by a strategy, and the reason for it."""
    if spec.strategy != "auto":
        return spec, "as the recipe says"
    stages = split_stages(network, head).head
    choice = auto.choose(class_counts(context), stages, pretrained=_is_pretrained(network, fresh))
    return replace(spec, strategy=choice.strategy, stages=choice.stages), choice.reason


def train_options(spec: FinetuneSpec, seed: int) -> TrainOptions:
    """What of the options the training loop needs."""
    ours = {item.name for item in fields(TrainOptions)} - {"seed", "keep_best"}
    return TrainOptions(seed=seed, **{name: getattr(spec, name) for name in ours})


def training_examples(context: StepContext, wanted: FinetuneSpec, spec: NetworkSpec) -> Examples:
    """The splits, augmented, mixed and balanced as the options say."""
    examples = make_examples(context, spec, wanted.batch_size, wanted.augmentation)
    if not isinstance(examples, ImageExamples):
        return replace(examples, balanced=wanted.imbalance == "sampling")
    mix = make_mix(wanted.mixup, wanted.cutmix, spec.num_classes)
    return replace(examples, mix=mix, balanced=wanted.imbalance == "sampling")


def training_loss(context: StepContext, wanted: FinetuneSpec) -> Loss:
    """Cross-entropy, with class weights if the options say so."""
    weights = balancing_weights(class_counts(context)) if wanted.imbalance == "weights" else None

    def loss(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(logits_of(model(images)), labels, wanted.label_smoothing, weights)

    return loss


def class_counts(context: StepContext) -> list[int]:
    """Training samples of each class, in the order of the labels."""
    return list(load_index(context).counts()["train"].values())


def pretrained(spec: NetworkSpec, context: StepContext, head: frozenset[str]) -> tuple[nn.Module, list[str]]:
    """The network with its pretrained weights and a fresh head; also the keys left at their fresh values."""
    torch.manual_seed(context.seed)
    if spec.max_length is not None and context.params["model"]["pretrained"]:
        return pretrained_text_classifier(spec.num_classes, source(context), spec.args["config"])
    network = spec.make(context.base)
    if context.weights is not None:
        state, origin = read_weights(context.weights), context.weights.name
    elif context.params["model"]["pretrained"] and "/" in spec.name:
        state, origin = library_weights(spec.name), spec.name
    else:
        return network, sorted(network.state_dict())
    return network, fit_weights(network, state, head, origin, left_out=AUXILIARY.get(spec.name, ()))
