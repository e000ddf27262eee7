"""Texts as sparse vectors, without a network: hashed words and pairs of words, TF-IDF (Salton & Buckley 1988)."""

import zlib
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from scipy.sparse import csr_array

from edgetune.data.texts import folded

MOST_WEIGHTS = 1_000_000  # of a classifier over all classes: what bounds its memory and time
WIDTHS = (2**15, 2**14, 2**13, 2**12, 2**11)


def tfidf(texts: Sequence[str], classes: int) -> csr_array:
    """Rows [N, D] of length 1, float32; D is the largest width that keeps D x ``classes`` below a million."""
    width = next((width for width in WIDTHS if width * classes <= MOST_WEIGHTS), WIDTHS[-1])
    columns: list[int] = []
    values: list[float] = []
    ends = [0]
    for text in texts:
        words = folded(text).split()
        terms = [*words, *(f"{one} {other}" for one, other in pairwise(words))]
        counts = Counter(zlib.crc32(term.encode("utf-8", "replace")) % width for term in terms)
        columns += counts
        values += (1 + np.log(list(counts.values()))).tolist()
        ends.append(len(columns))
    made = csr_array(
        (np.array(values, np.float32), np.array(columns, np.int32), np.array(ends, np.int64)), (len(texts), width)
    )
    found_in = np.bincount(made.indices, minlength=width)
    rarity = np.log((1 + len(texts)) / (1 + found_in)).astype(np.float32) + 1
    made.data *= rarity[made.indices]
    rows = np.repeat(np.arange(len(texts)), np.diff(made.indptr))
    lengths = np.sqrt(np.bincount(rows, made.data**2, minlength=len(texts)))
    made.data /= np.maximum(lengths, 1e-12)[rows].astype(np.float32)
    return made
