"""A step's view of a text dataset: its tokens, as batches."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from edgetune.data.share import WHOLE, Share, first_samples
from edgetune.data.tokens import TokenizedTexts, batch_count, eval_batches, load_tokens, train_batches
from edgetune.models.text_classifier import LIBRARY
from edgetune.steps.context import StepContext
from edgetune.steps.dataset import load_index

TOKENIZER, TOKENS = "tokenizer.json", "tokens.npz"
EVAL_BATCH = 32
FEW_BATCH = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class TextExamples:
    """The training and validation splits as batches of (token ids int64 [N, L], int64 [N])."""

    texts: TokenizedTexts
    batch_size: int
    seed: int
    balanced: bool = False
    share: Share = WHOLE  # our part, where several processes train together

    @property
    def samples(self) -> int:
        """Training samples."""
        return len(self.texts.numbers("train"))

    @property
    def steps_per_epoch(self) -> int:
        """Batches of one epoch."""
        return batch_count(self.samples, self.batch_size)

    def shared(self, rank: int, processes: int) -> "TextExamples":
        """Part ``rank`` of every training batch, and every ``processes``-th batch of validation."""
        return replace(self, share=Share(rank, processes))

    def train(self, epoch: int, start_batch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of ``epoch``, from ``start_batch`` on."""
        return train_batches(
            self.texts,
            batch_size=self.batch_size,
            seed=self.seed,
            epoch=epoch,
            start_batch=start_batch,
            balanced=self.balanced,
            share=self.share,
        )

    def plain(self) -> Iterable[tuple[Tensor, Tensor]]:
        """The training split, each sample once."""
        return eval_batches(self.texts, "train", batch_size=EVAL_BATCH)

    def validation(self) -> Iterable[tuple[Tensor, Tensor]]:
        """The validation split."""
        return eval_batches(self.texts, "val", batch_size=EVAL_BATCH, share=self.share)

    def few(self, samples: int) -> Iterator[tuple[Tensor, Tensor]]:
        """So many texts of the validation split, or all if it has fewer, of all lengths."""
        batches = eval_batches(self.texts, "val", batch_size=min(samples, FEW_BATCH), shuffle_seed=self.seed)
        return first_samples(batches, samples)

    def calibration(self, samples: int) -> Iterator[tuple[Tensor, Tensor]]:
        """``samples`` training texts, shuffled, or all if there are fewer."""
        batches = eval_batches(self.texts, "train", batch_size=EVAL_BATCH, shuffle_seed=self.seed)
        return first_samples(batches, samples)


def source(context: StepContext) -> str:
    """Where the pretrained encoder comes from: the folder of the recipe, or a name on the hub."""
    if context.weights is not None:
        return str(context.weights)
    model = context.params["model"]
    name: str = model["name"]
    return name.removeprefix(LIBRARY)


def preprocessing(context: StepContext) -> dict[str, Any]:
    """What the device does to a text before the network."""
    content: dict[str, Any] = json.loads((context.inputs["tokens"] / "preprocessing.json").read_text(encoding="utf-8"))
    return content


def load_texts(context: StepContext) -> TokenizedTexts:
    """The tokens of all samples."""
    return load_tokens(context.inputs["tokens"] / TOKENS, load_index(context), preprocessing(context)["pad_id"])


def make_text_examples(context: StepContext, batch_size: int) -> TextExamples:
    """The Examples of a step."""
    return TextExamples(texts=load_texts(context), batch_size=batch_size, seed=context.seed)
