"""Whether a folder has the files of a pretrained encoder, told before anything is read or trained."""

from pathlib import Path

from edgetune.errors import WeightsError

PARTS = {  # what it is: files of which one must be there
    "configuration": ("config.json",),
    "tokenizer": (
        "tokenizer.json",
        "vocab.txt",
        "vocab.json",
        "spiece.model",
        "sentencepiece.bpe.model",
        "tokenizer.model",
    ),
    "weights": (
        "model.safetensors",
        "model.safetensors.index.json",
        "pytorch_model.bin",
        "pytorch_model.bin.index.json",
    ),
}


def check_encoder_folder(folder: Path, *, weights: bool) -> None:
    """Raise WeightsError for a part that is missing; ``weights``: whether they are wanted."""
    for part, names in PARTS.items():
        if (part != "weights" or weights) and not any((folder / name).is_file() for name in names):
            raise WeightsError(
                f"{folder} has no {part}: no {names[0]}" + (", nor another file for it" if len(names) > 1 else ""),
                hint="`[model] weights` is a folder as `save_pretrained` writes it, of network and tokenizer: "
                "config.json, model.safetensors, tokenizer.json",
            )
