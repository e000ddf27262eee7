"""Texts -> token ids, by the code that runs on the device, and the tokenizer that does it."""

import json

from edgetune_runtime.text import TextPreprocessing

from edgetune.data.tokens import save_tokens
from edgetune.errors import ModelError
from edgetune.hashing import canonical_json
from edgetune.models.text_classifier import read_config, read_tokenizer
from edgetune.steps.context import StepContext
from edgetune.steps.dataset import load_index
from edgetune.steps.texts import TOKENIZER, TOKENS, source

CHUNK = 1024


def run(context: StepContext) -> None:
    """Write ``tokenizer.json``, ``preprocessing.json`` (for the bundle) and ``tokens.npz`` of all samples.

    Raises:
        ModelError: the network reads fewer tokens at once than the recipe asks for.
    """
    config, limit = read_config(source(context)), context.params["max_length"]
    positions = int(config.get("max_position_embeddings") or limit)
    if "roberta" in config["model_type"]:  # their positions begin behind the padding's
        positions -= config["pad_token_id"] + 1
    if limit > positions:
        raise ModelError(
            f"{source(context)} reads {positions} tokens at most, the recipe asks for {limit}",
            hint=f"set `[data] max_length = {positions}` or less",
        )
    tokenizer = read_tokenizer(source(context))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.save(str(context.out / TOKENIZER))
    description = {
        "kind": "text",
        "tokenizer": TOKENIZER,
        "max_length": limit,
        "pad_id": config["pad_token_id"],
    }
    preprocessing = TextPreprocessing(description, context.out)
    texts = [sample.text or "" for sample in load_index(context).samples]
    tokens: list[list[int]] = []
    for start in range(0, len(texts), CHUNK):
        tokens += preprocessing.tokens(texts[start : start + CHUNK])
        context.tick(len(tokens), len(texts), "texts")
    save_tokens(tokens, context.out / TOKENS)
    (context.out / "preprocessing.json").write_text(canonical_json(description), encoding="utf-8")
    cut = sum(len(ids) >= limit for ids in tokens)
    context.note("lengths.json").write_text(
        json.dumps({"texts": len(tokens), "cut": cut, "mean": sum(map(len, tokens)) / len(tokens)}), encoding="utf-8"
    )
