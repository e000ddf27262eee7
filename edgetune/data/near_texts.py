"""Texts that are nearly the same: MinHash (Broder 1997) with banding (Leskovec, Rajaraman & Ullman, section 3.4).

A text is the set of its 5-letter shingles, folded as ``texts.folded`` does. Candidates share one of 20 bands of 5
minima; each is then held against the sets themselves, so that what is reported is exact and only what is missed is
left to chance: 1 in 2,000 pairs at the limit, fewer above it. Own code, as vectors over many texts are ten times as
fast as a library that hashes text by text (docs/adr/0014).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgetune.data.texts import folded

LETTERS = 5  # of a shingle
FEWEST = 20  # shingles of a text that can be nearly another: of shorter ones a word is too large a part
BANDS, ROWS = 20, 5
CHUNK = 1024  # texts hashed at a time
NEIGHBOURS = 8  # of a text in a bucket that it is held against
MOST_LOOKS = 8  # at a text's pairs
SIEVED = 100_000  # pairs at a time
SEED = 20  # of the hash functions: the same data has the same findings
MIX = np.uint64(0x9E3779B97F4A7C15)

Pairs = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class NearPair:
    """Two texts by their position, and the Jaccard similarity of their shingles."""

    first: int
    second: int
    similarity: float


def near_texts(texts: Sequence[str], parts: Sequence[int], at_least: float) -> list[NearPair]:
    """The pairs of ``texts`` whose similarity is ``at_least`` that or more, each once.

    Texts of many copies are held against their neighbours and one of each part only, so that time and memory grow
    with the number of texts, not of pairs.

    Args:
        parts: a number for each text, such as its split: pairs across parts are found even among many copies.
    """
    plain = [folded(text) for text in texts]
    signatures = minima(plain)
    usable = np.array([len(text) - LETTERS + 1 >= FEWEST for text in plain], bool)
    pairs = _candidates(signatures, usable, np.asarray(parts, np.int64))
    return list(_confirmed(plain, pairs[_promising(signatures, pairs, at_least)], parts, at_least))


def _promising(signatures: NDArray[np.uint32], pairs: Pairs, at_least: float) -> NDArray[np.bool_]:
    """A sieve before sets are made: the share of equal minima estimates the similarity, with a deviation of 0.04."""
    shares = [np.empty(0)]
    for start in range(0, len(pairs), SIEVED):
        some = pairs[start : start + SIEVED]
        shares.append((signatures[some[:, 0]] == signatures[some[:, 1]]).mean(1))
    return np.asarray(np.concatenate(shares) >= at_least - 0.2)


def _confirmed(plain: Sequence[str], pairs: Pairs, parts: Sequence[int], at_least: float) -> Iterator[NearPair]:
    """The pairs that hold, those across parts looked at first; of texts that were held against many, no more."""
    looked_at = [0] * len(plain)
    for first, second in sorted(pairs.tolist(), key=lambda pair: parts[pair[0]] == parts[pair[1]]):
        if min(looked_at[first], looked_at[second]) >= MOST_LOOKS:
            continue
        looked_at[first] += 1
        looked_at[second] += 1
        similarity = jaccard(plain[first], plain[second])
        if similarity >= at_least:
            yield NearPair(first=first, second=second, similarity=similarity)


def jaccard(first: str, second: str) -> float:
    """Shared shingles of two folded texts, as a part of all their shingles."""
    one, other = ({text[i : i + LETTERS] for i in range(max(1, len(text) - LETTERS + 1))} for text in (first, second))
    return len(one & other) / len(one | other)


def minima(plain: Sequence[str]) -> NDArray[np.uint32]:
    """MinHash signatures [N, 100] of folded texts."""
    rng = np.random.default_rng(SEED)
    factors = rng.integers(1, 2**63, BANDS * ROWS, np.uint64) * np.uint64(2) + np.uint64(1)
    result = np.zeros((len(plain), len(factors)), np.uint32)
    for start in range(0, len(plain), CHUNK):
        shingles, begins = _shingles(plain[start : start + CHUNK])
        for number, factor in enumerate(factors):  # multiply-shift hashing (Dietzfelbinger et al. 1997)
            hashed = ((shingles * factor) >> np.uint64(32)).astype(np.uint32)
            result[start : start + CHUNK, number] = np.minimum.reduceat(hashed, begins)
    return result


def _shingles(plain: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Mixed numbers of the shingles of all texts, one text after the other, and where each text begins."""
    padded = [text.ljust(LETTERS) for text in plain]
    lengths = np.array([len(text) for text in padded])
    letters = np.frombuffer("".join(padded).encode("utf-32-le", "replace"), np.uint32).astype(np.uint64)
    numbers = np.zeros(len(letters), np.uint64)
    for offset in range(LETTERS):
        numbers = (numbers * MIX) ^ np.roll(letters, -offset)
    numbers *= MIX
    numbers ^= numbers >> np.uint64(29)
    ends = np.cumsum(lengths)
    keep = np.ones(len(letters), bool)
    for offset in range(1, LETTERS):
        keep[ends - offset] = False  # a shingle that would reach into the next text
    counts = lengths - LETTERS + 1
    return numbers[keep], np.concatenate([[0], np.cumsum(counts)[:-1]])


def _candidates(signatures: NDArray[np.uint32], usable: NDArray[np.bool_], parts: NDArray[np.int64]) -> Pairs:
    """Pairs [P, 2] (first < second) that share a band."""
    numbers = np.flatnonzero(usable)
    codes = [np.empty(0, np.int64)]
    for band in range(BANDS):
        rows = signatures[numbers, band * ROWS : (band + 1) * ROWS].astype(np.uint64)
        key = np.zeros(len(numbers), np.uint64)
        for column in rows.T:
            key = (key ^ column) * MIX
            key ^= key >> np.uint64(31)
        codes.append(np.unique(_within_buckets(key, numbers, parts[numbers]) @ np.array([len(signatures), 1])))
    code = np.unique(np.concatenate(codes))
    return np.stack([code // max(1, len(signatures)), code % max(1, len(signatures))], 1)


def _within_buckets(key: NDArray[np.uint64], numbers: NDArray[np.int64], parts: NDArray[np.int64]) -> Pairs:
    """Each member of a bucket with those close behind it, and with the bucket's first of each part."""
    order = np.lexsort((numbers, parts, key))
    key, numbers, parts = key[order], numbers[order], parts[order]
    found = []
    for offset in range(1, NEIGHBOURS + 1):
        same = np.flatnonzero(key[offset:] == key[:-offset]) if offset < len(key) else np.empty(0, np.int64)
        found.append(np.stack([numbers[same], numbers[same + offset]], 1))
    new_bucket = np.r_[True, key[1:] != key[:-1]][: len(key)]
    leads = new_bucket | np.r_[True, parts[1:] != parts[:-1]][: len(key)]  # the first of its part
    begins = np.flatnonzero(new_bucket)
    ends = np.r_[begins[1:], len(key)]
    large = ends - begins > NEIGHBOURS + 1
    for start, end in zip(begins[large], ends[large], strict=True):
        for leader in start + np.flatnonzero(leads[start:end]):
            others = np.delete(numbers[start:end], leader - start)
            found.append(np.stack([np.full(len(others), numbers[leader]), others], 1))
    return np.sort(np.concatenate(found), axis=1)
