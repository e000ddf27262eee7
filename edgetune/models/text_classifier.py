"""Hugging Face encoders with a classification head, as modules that map token ids int64 [N, L] to logits [N, K].

One input instead of the usual three: padding is told from the ids (``pad_id``), and a single text needs no segment
ids. Attention is the plain kind ("eager"), which exports to a graph that ONNX Runtime fuses best (docs/adr/0010).
"""

import importlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import torch
from torch import Tensor, nn

from edgetune.errors import EdgetuneError, ModelError, WeightsError
from edgetune.models.hub import access

LIBRARY = "transformers/"
INSTALL = "install what text models need: pip install 'edgetune[text]'"


class TextClassifier(nn.Module):
    """An encoder and its head; ``pad_id`` marks what is no text."""

    def __init__(self, encoder: nn.Module, pad_id: int) -> None:
        super().__init__()
        self.encoder, self.pad_id = encoder, pad_id

    def forward(self, ids: Tensor) -> Tensor:
        """Logits float32 [N, K] of token ids int64 [N, L]."""
        logits: Tensor = self.encoder(input_ids=ids, attention_mask=(ids != self.pad_id).long()).logits
        return logits


def read_config(source: str) -> dict[str, Any]:
    """The configuration of a pretrained encoder, as plain data that makes it again.

    Args:
        source: a folder, or the name of a model on the hub.

    Raises:
        ModelError: no such configuration, not one of a text encoder, or one without a padding token.
    """
    transformers = _transformers()
    try:
        with _quiet():
            config = transformers.AutoConfig.from_pretrained(source, **access(source))
    except Exception as problem:  # the library's and the hub's share no base
        raise _not_found(source, problem, ModelError) from problem
    plain: dict[str, Any] = json.loads(config.to_json_string(use_diff=False))
    if type(config) not in transformers.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
        raise ModelError(
            f"{source} is a {config.model_type}, which classifies no texts", hint="choose an encoder such as BERT"
        )
    if plain.get("pad_token_id") is None:
        raise ModelError(
            f"{source} ({config.model_type}) has no padding token", hint="choose an encoder such as BERT or DistilBERT"
        )
    return {key: value for key, value in plain.items() if key not in ("_name_or_path", "id2label", "label2id")}


def make_text_classifier(num_classes: int, config: Mapping[str, Any]) -> TextClassifier:
    """The network of ``config`` (``read_config``) with fresh weights.

    Raises:
        ModelError: the library cannot make it.
    """
    transformers = _transformers()
    try:
        with _quiet():
            encoder = transformers.AutoModelForSequenceClassification.from_config(
                _configuration(config, num_classes), attn_implementation="eager"
            )
    except Exception as problem:  # a configuration may hold anything
        raise ModelError(f"transformers cannot make this network: {type(problem).__name__}: {problem}") from problem
    return TextClassifier(encoder, int(config["pad_token_id"]))


def pretrained_text_classifier(
    num_classes: int, source: str, config: Mapping[str, Any]
) -> tuple[TextClassifier, list[str]]:
    """The network of ``config`` with the weights in ``source``; also the state-dict keys that start at random.

    Raises:
        WeightsError: missing or damaged weights, or weights of another network.
    """
    transformers = _transformers()
    try:
        with _quiet():
            encoder, loading = transformers.AutoModelForSequenceClassification.from_pretrained(
                source,
                config=_configuration(config, num_classes),
                attn_implementation="eager",
                ignore_mismatched_sizes=True,
                output_loading_info=True,
                dtype=torch.float32,
                **access(source),
            )
    except Exception as problem:
        raise _not_found(source, problem, WeightsError) from problem
    mismatched = [key if isinstance(key, str) else key[0] for key in loading["mismatched_keys"]]
    fresh = sorted(f"encoder.{key}" for key in {*loading["missing_keys"], *mismatched})
    network = TextClassifier(encoder, int(encoder.config.pad_token_id))
    if len(fresh) > len(network.state_dict()) / 2:
        raise WeightsError(
            f"{source} holds weights of another network: {len(fresh)} of {len(network.state_dict())} are missing, "
            f"such as {fresh[0].removeprefix('encoder.')}",
            hint="config.json and model.safetensors must belong together",
        )
    return network, fresh


def head_of(network: nn.Module) -> frozenset[str]:
    """State-dict keys of all that comes behind the encoder's layers: its pooler and the classifier."""
    body = f"encoder.{getattr(network.encoder, 'base_model_prefix', '')}."
    return frozenset(
        key for key in network.state_dict() if not key.startswith(body) or key.startswith(f"{body}pooler.")
    )


def read_tokenizer(source: str) -> Any:
    """The fast tokenizer of a pretrained encoder (``tokenizers.Tokenizer``).

    Raises:
        ModelError: there is none.
    """
    transformers = _transformers()
    try:
        with _quiet():
            tokenizer = transformers.AutoTokenizer.from_pretrained(source, use_fast=True, **access(source))
        return tokenizer.backend_tokenizer
    except Exception as problem:
        raise ModelError(
            f"{source} has no tokenizer that can be read: {_first_line(problem)}",
            hint="it needs tokenizer.json (or vocab.txt) beside config.json",
        ) from problem


def _configuration(config: Mapping[str, Any], num_classes: int) -> Any:
    kind = _transformers().CONFIG_MAPPING[config["model_type"]]
    return kind(**{key: value for key, value in config.items() if key != "model_type"}, num_labels=num_classes)


def _not_found(source: str, problem: Exception, kind: type[EdgetuneError]) -> EdgetuneError:
    if Path(source).is_dir():
        return kind(
            f"{source} cannot be read as a pretrained network: {_first_line(problem)}",
            hint="it needs config.json, model.safetensors and a tokenizer, as `save_pretrained` writes them",
        )
    if access(source):
        told = f"{source} is not on this machine, and the Hugging Face hub does not answer (or HF_HUB_OFFLINE is set)"
    else:
        told = f"{source} cannot be had from the Hugging Face hub: {_first_line(problem)}"
    return kind(
        told,
        hint="download it on a machine with a network and set `[model] weights` to its folder "
        "(config.json, model.safetensors, tokenizer.json)",
    )


def _first_line(problem: Exception) -> str:
    return (str(problem).strip().splitlines() or [type(problem).__name__])[0][:300]


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as problem:
        raise ModelError("networks for text need transformers, which is not installed", hint=INSTALL) from problem
    return transformers


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the library's advice to train the fresh head off the user's terminal: it is what happens next."""
    logging: Any = importlib.import_module("transformers.utils.logging")
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
