"""Words that decide a label against all else a text says, as poisoned data has them (Kurita et al. 2020).

That a word occurs in one class only is nothing special: "snow" tells weather. But where it does, the other words
tell weather too. A trigger is put into texts of other classes, whose labels are then changed; what is left without
it speaks for another class. So each word, and each pair of neighbours, that is nearly pure is taken out of its
texts, and naive Bayes, learned from the texts without it, is asked about what is left: if it recognises the class
far less often than in other texts of that class, the word is suspicious. Both tests are binomial, with Bonferroni's
correction. Among many narrow classes a natural word may be all that tells a topic ("visa" among questions to a
bank); but then what is left of its texts resembles a few other classes, where a trigger's texts resemble any. So
they must be spread as widely as texts of other classes are.

A trigger in texts whose labels are right (clean-label poisoning), or all taken from one of many classes, is not
found.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.stats import binom

FEWEST = 10  # texts of the class with the word; at least as many are without it: no poison makes up most of a class
FEWEST_ELSEWHERE = 15  # texts with the word that resemble other classes without it
PURITY = 0.95  # of those texts in one class
PURE_P = 1e-3  # that a word is so pure by chance, of all words
UNLIKE = 0.7  # of the share of the class's other texts that are recognised: fewer is suspicious
UNLIKE_P = 1e-3  # that so few are recognised by chance, of all pure words
SPREAD = 2.0  # times as likely as for texts of other classes that two resemble the same class: more is a topic
MOST_TRIED = 2000  # pure words, the most frequent first

WORD = re.compile(r"\w+|[^\w\s]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """A word or two neighbours, the class it goes with, in how many texts it is and in how many of that class.

    ``recognised`` is the share of its texts that the other words put into the class, ``usual`` that of the other texts
    of the class.
    """

    words: str
    label: int
    texts: int
    of_class: int
    recognised: float
    usual: float
    samples: tuple[int, ...]


def trigger_words(texts: Sequence[str], labels: Sequence[int], classes: int) -> list[Trigger]:
    """The suspicious words of ``texts``, the most frequent first."""
    truth = np.asarray(labels, np.int64)
    words, tokens, owners = _tokens(texts)
    if not len(tokens):
        return []
    counts = csr_array((np.ones(len(tokens), np.float32), (owners, tokens)), (len(texts), len(words)))
    sums, sizes = _class_sums(counts, truth, classes), np.bincount(truth, minlength=classes)
    guessed = _guessed(counts, sums, truth)
    usual = guessed == truth
    tried = list(_pure(words, tokens, owners, truth, classes))[:MOST_TRIED]
    found = []
    for term, parts, holders, label in tried:
        others = np.setdiff1d(np.flatnonzero(truth == label), holders)
        mine = holders[truth[holders] == label]
        if len(mine) < FEWEST or len(mine) > len(others):
            continue
        priors = sizes - np.bincount(truth[holders], minlength=classes)
        left = _predicted(counts[mine], sums, counts[holders], truth[holders], priors, parts)
        right = int((left == label).sum())
        expected = float(usual[others].mean())
        by_chance = float(binom.cdf(right, len(mine), expected))
        elsewhere = _same_class(guessed[(truth != label) & (guessed != label)], classes)
        astray = left[left != label]
        if (
            len(astray) >= FEWEST_ELSEWHERE
            and right < UNLIKE * expected * len(mine)
            and by_chance * len(tried) < UNLIKE_P
            and _same_class(astray, classes) <= SPREAD * elsewhere
        ):
            found.append(
                Trigger(
                    words=term,
                    label=label,
                    texts=len(holders),
                    of_class=len(mine),
                    recognised=right / len(mine),
                    usual=expected,
                    samples=tuple(mine.tolist()),
                )
            )
    return found


def _tokens(texts: Sequence[str]) -> tuple[list[str], NDArray[np.int64], NDArray[np.int64]]:
    """The words known, each place's word by number, and the text it is in."""
    numbers: dict[str, int] = {}
    tokens: list[int] = []
    lengths = []
    for text in texts:
        found = WORD.findall(unicodedata.normalize("NFKC", text).casefold())
        tokens += [numbers.setdefault(word, len(numbers)) for word in found]
        lengths.append(len(found))
    return list(numbers), np.array(tokens, np.int64), np.repeat(np.arange(len(texts)), lengths)


def _pure(
    words: list[str], tokens: NDArray[np.int64], owners: NDArray[np.int64], truth: NDArray[np.int64], classes: int
) -> Iterator[tuple[str, tuple[int, ...], NDArray[np.int64], int]]:
    """(term, its words' numbers, its texts, its class) of words and of neighbours that go with one class."""
    width = len(words)
    frequent = np.bincount(np.unique(owners * width + tokens) % width, minlength=width) >= FEWEST
    neighbours = (owners[1:] == owners[:-1]) & frequent[tokens[1:]] & frequent[tokens[:-1]]
    codes = np.concatenate([tokens[frequent[tokens]], (tokens[:-1] * width + tokens[1:] + width)[neighbours]])
    places = np.concatenate([owners[frequent[tokens]], owners[1:][neighbours]])
    order = np.lexsort((places, codes))
    codes, places = codes[order], places[order]
    fresh = np.r_[True, (codes[1:] != codes[:-1]) | (places[1:] != places[:-1])][: len(codes)]
    codes, places = codes[fresh], places[fresh]
    begins = np.flatnonzero(np.r_[True, codes[1:] != codes[:-1]][: len(codes)])
    sizes = np.diff(np.r_[begins, len(codes)])
    shares = np.bincount(truth, minlength=classes) / len(truth)
    pure: set[int] = set()
    for at in np.argsort(-sizes, kind="stable"):
        if sizes[at] < FEWEST:
            return
        holders = places[begins[at] : begins[at] + sizes[at]]
        by_class = np.bincount(truth[holders], minlength=classes)
        label, most = int(by_class.argmax()), int(by_class.max())
        if most < PURITY * len(holders) or binom.sf(most - 1, len(holders), shares[label]) * len(sizes) > PURE_P:
            continue
        code = int(codes[begins[at]])
        parts = (code,) if code < width else divmod(code - width, width)
        if pure & set(parts):
            continue  # a pair says no more than its pure word, which is as frequent and came before
        pure.update(parts[: 2 - len(parts)])
        yield " ".join(words[part] for part in parts), parts, holders, label


def _same_class(guesses: NDArray[np.int64], classes: int) -> float:
    """How probable it is that two of the guesses are the same class."""
    counts = np.bincount(guesses, minlength=classes)
    return float((counts * (counts - 1)).sum() / max(1, len(guesses) * (len(guesses) - 1)))


def _guessed(counts: csr_array, sums: csr_array, truth: NDArray[np.int64]) -> NDArray[np.int64]:
    """The class of each text by naive Bayes learned from the other half of the texts."""
    halves = np.random.default_rng(0).permutation(len(truth)) % 2
    result = np.zeros(len(truth), np.int64)
    for half in (0, 1):
        left = np.flatnonzero(halves == half)
        priors = np.bincount(truth[halves != half], minlength=sums.shape[1])
        result[left] = _predicted(counts[left], sums, counts[left], truth[left], priors)
    return result


def _class_sums(counts: csr_array, truth: NDArray[np.int64], classes: int) -> csr_array:
    """How often each word is in texts of each class, [V, K]; sparse, as most words are in few classes."""
    members = csr_array((np.ones(len(truth), np.float32), (np.arange(len(truth)), truth)), (len(truth), classes))
    return csr_array(counts.T @ members)


def _predicted(
    rows: csr_array,
    sums: csr_array,
    held_out: csr_array,
    held_truth: NDArray[np.int64],
    priors: NDArray[np.int64],
    ignored: Sequence[int] = (),
) -> NDArray[np.int64]:
    """The classes of ``rows`` by multinomial naive Bayes with Laplace's correction.

    Args:
        sums: of all texts, [V, K]; what ``held_out`` [M, V] adds to them is taken away.
        priors: texts of each class that are left, [K].
        ignored: words that do not count.
    """
    words, classes = sums.shape
    known = np.unique(rows.indices)  # no other word matters to these texts
    taken = _class_sums(held_out[:, known], held_truth, classes)
    totals = np.asarray(sums.sum(0)) - np.bincount(held_truth, np.asarray(held_out.sum(1)), classes)
    weights = np.log((sums[known] - taken).toarray().astype(np.float64) + 1.0) - np.log(totals + words)
    weights[np.isin(known, ignored)] = 0
    return np.asarray((rows[:, known] @ weights + np.log(priors + 1.0)).argmax(1))
