"""A tiny encoder with a tokenizer of its own, and sentences of three classes that it learns in seconds."""

import csv
import json
import random
from pathlib import Path

TOPICS = {
    "food": ("soup", "bread", "salt", "dinner", "apple"),
    "money": ("loan", "bank", "price", "coins", "debt"),
    "weather": ("rain", "cloud", "sunny", "storm", "snow"),
}
FILLING = ("the", "a", "was", "very", "today", "and", "we", "saw", "some", "of", "it", "then", "again", "here")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def sentence(topic: str, rng: random.Random) -> str:
    words = rng.choices(FILLING, k=rng.randint(2, 12)) + rng.choices(TOPICS[topic], k=2)
    rng.shuffle(words)
    return " ".join(words).capitalize() + "."


def write_texts(folder: Path, *, splits: dict[str, int], seed: int = 0) -> Path:
    """CSV files of ``splits`` ({"train": texts a class}), no text twice."""
    rng, seen = random.Random(seed), set()
    folder.mkdir(parents=True, exist_ok=True)
    for split, count in splits.items():
        rows = []
        for topic in TOPICS:
            while sum(label == topic for _, label in rows) < count:
                text = sentence(topic, rng)
                if text not in seen:
                    seen.add(text)
                    rows.append((text, topic))
        rng.shuffle(rows)
        with (folder / f"{split}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("text", "label"), *rows])
    return folder


def write_encoder(folder: Path, kind: str = "bert", *, seed: int = 0) -> Path:
    """What ``save_pretrained`` writes of a two-layer encoder and its tokenizer: random weights, real formats."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import AutoModel, BertConfig, DistilBertConfig, RobertaConfig

    folder.mkdir(parents=True, exist_ok=True)
    words = [*SPECIAL, *FILLING, *(word for words in TOPICS.values() for word in words), "."]
    shared = {"vocab_size": len(words), "pad_token_id": 0}
    config = {
        "bert": lambda: BertConfig(
            **shared, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
            max_position_embeddings=40,
        ),
        "distilbert": lambda: DistilBertConfig(
            **shared, dim=32, n_layers=2, n_heads=4, hidden_dim=64, max_position_embeddings=40
        ),
        "roberta": lambda: RobertaConfig(
            **shared, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
            max_position_embeddings=40, type_vocab_size=1,
        ),
    }[kind]()  # fmt: skip
    torch.manual_seed(seed)
    AutoModel.from_config(config).save_pretrained(folder)
    tokenizer = Tokenizer(models.WordPiece({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder
