"""From text to the network's input, with the ``tokenizers`` library only.

The description is a plain dict (stored in every manifest)::

    {"kind": "text", "tokenizer": "tokenizer.json", "max_length": 128, "pad_id": 0}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from edgetune_runtime.errors import BundleError, InputError

MAX_LENGTH = 1 << 16  # tokens; far beyond any encoder


class TextPreprocessing:
    """Tokenize, cut to the longest the network takes, pad a batch to its longest text.

    Where the ``tokenizers`` library is missing, token ids are taken all the same.

    Raises:
        BundleError: a description that is incomplete or impossible, or a tokenizer that cannot be read.
    """

    def __init__(self, description: Mapping[str, Any], folder: Path) -> None:
        self.description = dict(description)
        try:
            self.max_length, self.pad_id = int(description["max_length"]), int(description["pad_id"])
            name = str(description["tokenizer"])
        except (KeyError, TypeError, ValueError, OverflowError) as problem:
            raise BundleError(f"the preprocessing is incomplete or wrong: {problem!r}") from problem
        if not 1 < self.max_length <= MAX_LENGTH or self.pad_id < 0:
            raise BundleError(f"preprocessing max_length {self.max_length} or pad_id {self.pad_id} is impossible")
        self._file = folder / name
        self._loaded: Any = None
        if find_spec("tokenizers") is not None:  # else token ids are all that is taken; a text tells what is missing
            self._tokenizer()

    def to_dict(self) -> dict[str, Any]:
        """The description this was made from."""
        return dict(self.description)

    def _tokenizer(self) -> Any:
        """The tokenizer, loaded once."""
        if self._loaded is None:
            self._loaded = _load(self._file)
            self._loaded.enable_truncation(self.max_length)
            self._loaded.no_padding()
        return self._loaded

    def __call__(self, text: Any) -> np.ndarray:
        """Token ids int64 [N, L] of one text or a list of N; L is the longest of them in tokens.

        Raises:
            InputError: what is not text, or an empty list.
        """
        texts = [text] if isinstance(text, str) else text
        if not isinstance(texts, Sequence) or not texts or not all(isinstance(one, str) for one in texts):
            raise InputError(f"expected a text or a list of texts, not {type(text).__name__}")
        return self.padded(self.tokens(texts))

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, cut to ``max_length``."""
        # A lone surrogate (half a character, from a broken file name or a cut string) is no text for the tokenizer.
        clean = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        return [encoding.ids for encoding in self._tokenizer().encode_batch(clean)]

    def padded(self, tokens: Sequence[Sequence[int]]) -> np.ndarray:
        """int64 [N, L] of N lists of ids."""
        result = np.full((len(tokens), max(2, *map(len, tokens), 2)), self.pad_id, dtype=np.int64)
        for row, ids in zip(result, tokens):
            row[: len(ids)] = ids
        return result

    def check(self, array: np.ndarray) -> np.ndarray:
        """``array`` itself, if it is what the engine takes.

        Raises:
            InputError: anything but int64 [N, L] with N > 0 and 1 < L <= ``max_length``.
        """
        if array.dtype != np.int64 or array.ndim != 2 or not len(array) or not 1 < array.shape[1] <= self.max_length:
            raise InputError(
                f"expected text, or token ids int64 [N, L] with N > 0 and L from 2 to {self.max_length}, "
                f"not {array.dtype} {list(array.shape)}"
            )
        return array

    def example(self, batch: int = 1) -> np.ndarray:
        """Ids int64 [batch, max_length] of no particular text: the most the engine is ever given at once."""
        unpadded = 1 if self.pad_id == 0 else 0
        return np.full((batch, self.max_length), unpadded, dtype=np.int64)

    def levels(self, inputs: np.ndarray) -> list[float]:
        """How long each text [N] is in tokens, for watching drift."""
        lengths: list[float] = (inputs != self.pad_id).sum(1).astype(float).tolist()
        return lengths

    def fits(self, shape: Sequence[Any]) -> bool:
        """Whether an engine with an input of ``shape`` takes what this gives."""
        return len(shape) == 2 and isinstance(shape[1], str)


def _load(path: Path) -> Any:
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise InputError("text bundles need tokenizers: pip install 'edgetune-runtime[text]'") from None
    try:
        return Tokenizer.from_file(str(path))
    except Exception as problem:  # the library raises Exception itself
        raise BundleError(f"the tokenizer cannot be read: {problem}; copy the bundle again") from problem
