"""What is suspicious about a dataset, from its index alone: leaks, duplicates, labels, balance."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations

from scipy.stats import chi2_contingency

from edgetune.data.few_samples import few, hardly_labels, too_few
from edgetune.data.index import SPLITS, DatasetIndex, IndexedSample
from edgetune.data.near_texts import near_texts
from edgetune.data.odd_samples import colour_modes, missing_values, odd_sizes
from edgetune.data.perceptual import look_alikes
from edgetune.data.trigger_patches import trigger_patches
from edgetune.data.trigger_words import trigger_words
from edgetune.data.wording import counted, quoted, shortened, told_apart
from edgetune.records import ERROR, INFO, WARNING, DataFinding
from edgetune.toml import similar

LOOK_ALIKE_BITS = 8  # of 256: none on two real datasets of photos, and what re-encoding and resizing change
NEAR_TEXT = 0.8  # of all 5-letter pieces of two texts are in both: a word or two differ in a sentence
IMBALANCE = 10  # times as many training images in the largest class as in the smallest
SHIFT_P = 0.001
NUMBER = re.compile(r"[-+]?[\d.,]*\d[\d.,]*(e[-+]?\d+)?", re.IGNORECASE)
MOST_NUMBERS = 0.5  # of the texts
EXAMPLES_OF_ONE = 5  # samples that show one trigger
SAMPLES = 12  # of a finding, to look at


def examine(index: DatasetIndex, *, allow_leaks: bool = False) -> list[DataFinding]:
    """All findings, errors first."""
    found = [
        *_unusable(index),
        *too_few(index),
        *_leaks(index, allow_leaks),
        *_look_alikes(index),
        *_near_texts(index),
        *_duplicates(index),
        *_two_labels(index),
        *(() if hardly_labels(index) else _label_typos(index)),  # thousands of them would be compared
        *_numbers(index),
        *missing_values(index),
        *odd_sizes(index),
        *colour_modes(index),
        *(() if hardly_labels(index) else (*_trigger_words(index), *_trigger_patches(index))),
        *_imbalance(index),
        *few(index),
        *_shift(index),
        *_carved(index),
    ]
    return by_severity(found)


def by_severity(found: Sequence[DataFinding]) -> list[DataFinding]:
    """Errors first, then warnings."""
    return sorted(found, key=lambda finding: (ERROR, WARNING, INFO).index(finding.severity))


def _unusable(index: DatasetIndex) -> Iterator[DataFinding]:
    if index.skipped:
        yield DataFinding(
            id="unusable",
            severity=WARNING,
            count=len(index.skipped),
            problem=f"{counted(len(index.skipped), 'sample')} left out as unusable",
            examples=tuple(f"{path} {problem}" for path, problem in index.skipped),
            do="mend or remove them",
        )


def _leaks(index: DatasetIndex, allowed: bool) -> Iterator[DataFinding]:
    """The same file in two splits: what is tested was learned by heart."""
    leaks = [same for same in _same_content(index) if len({sample.split for sample in same}) > 1]
    if leaks:
        whole = _splits_within_another(index)
        yield DataFinding(
            id="leak",
            severity=WARNING if allowed else ERROR,
            count=len(leaks),
            problem=f"{counted(len(leaks), index.noun)} in more than one split{whole}, so that accuracy is overstated",
            examples=tuple(_told(index, same) for same in leaks),
            samples=_to_look_at(leaks),
            do="remove them from all splits but one (`edgetune check --fix FILE.csv` writes a list without them), "
            "or set `[data] allow_leaks = true`",
        )


def _splits_within_another(index: DatasetIndex) -> str:
    """Words for a split that holds nothing of its own."""
    contents = {split: {sample.sha256 for sample in index.split(split)} for split in SPLITS}
    told = []
    for inner in ("val", "test"):
        others = [split for split in SPLITS if split != inner and contents[split] & contents[inner]]
        if contents[inner] and contents[inner] <= set().union(*(contents[split] for split in others)):
            told.append(f"all of {inner} is in {' or '.join(others)}, too")
    return f" ({' and '.join(told)})" if told else ""


def _look_alikes(index: DatasetIndex) -> Iterator[DataFinding]:
    """Pictures of val and test that look like one of another split, and are not the same file."""
    if index.noun != "picture":
        return
    held_out = [sample for sample in index.samples if sample.split != "train"]
    pairs = look_alikes([s.dhash for s in held_out], [s.dhash for s in index.samples], LOOK_ALIKE_BITS)
    found = {
        frozenset((held_out[i].path, index.samples[j].path))
        for i, j, _ in pairs
        if held_out[i].split != index.samples[j].split and held_out[i].sha256 != index.samples[j].sha256
    }
    if found:
        yield DataFinding(
            id="look-alike",
            severity=WARNING,
            count=len(found),
            problem=f"{counted(len(found), 'pair')} of pictures in different splits that look the same",
            examples=tuple(sorted(" ~ ".join(sorted(pair)) for pair in found)),
            samples=tuple(path for pair in sorted(map(sorted, found)) for path in pair)[:SAMPLES],
            do="if they are copies of one picture, keep all of them in one split",
        )


def _near_texts(index: DatasetIndex) -> Iterator[DataFinding]:
    """Texts that differ by little: those of val and test that another split nearly has, and those within a split."""
    if index.noun != "text":
        return
    first_of = {sample.sha256: sample for sample in reversed(_by_split(index))}  # equal texts are told of elsewhere
    samples = list(first_of.values())[::-1]
    pairs = near_texts([s.text or "" for s in samples], [SPLITS.index(s.split) for s in samples], NEAR_TEXT)
    ordered = [(samples[p.first], samples[p.second]) for p in sorted(pairs, key=lambda pair: -pair.similarity)]
    across = [(one, other) for one, other in ordered if one.split != other.split]
    within = [(one, other) for one, other in ordered if one.split == other.split]
    if across:
        yield DataFinding(
            id="look-alike",
            severity=WARNING,
            count=len(across),
            problem=f"{counted(len(across), 'pair')} of texts in different splits that are nearly the same",
            examples=tuple(_both(one, other) for one, other in across),
            do="if one was made from the other, keep both in one split: else accuracy is overstated",
        )
    if within:
        yield DataFinding(
            id="near-duplicate",
            severity=INFO,
            count=len(within),
            problem=f"{counted(len(within), 'pair')} of texts in the same split that are nearly the same",
            examples=tuple(_both(one, other) for one, other in within),
            do="they say less than as many different texts would",
        )


def _both(one: IndexedSample, other: IndexedSample) -> str:
    return f"{one.path} ~ {other.path} ({shortened(one.text)} ~ {shortened(other.text)})"


def _duplicates(index: DatasetIndex) -> Iterator[DataFinding]:
    copies = [
        same
        for same in _same_content(index)
        if len({sample.split for sample in same}) == 1 and len({sample.label for sample in same}) == 1
    ]
    if copies:
        extra = sum(len(same) - 1 for same in copies)
        yield DataFinding(
            id="duplicate",
            severity=INFO,
            count=extra,
            problem=f"{counted(extra, 'copy', 'copies')} of {index.noun}s in the same split",
            examples=tuple(_told(index, same) for same in copies),
            samples=_to_look_at(copies),
            do="remove the copies, unless they are meant to count more",
        )


def _two_labels(index: DatasetIndex) -> Iterator[DataFinding]:
    torn = [same for same in _same_content(index) if len({sample.label for sample in same}) > 1]
    if torn:
        yield DataFinding(
            id="two-labels",
            severity=WARNING,
            count=len(torn),
            problem=f"{counted(len(torn), index.noun)} with two labels",
            examples=tuple(_told(index, same) for same in torn),
            samples=_to_look_at(torn),
            do="keep each under the label that is right",
        )


def _label_typos(index: DatasetIndex) -> Iterator[DataFinding]:
    sizes = Counter(index.labels[sample.label] for sample in index.samples)
    pairs = [sorted(pair, key=lambda label: sizes[label]) for pair in combinations(index.labels, 2) if similar(*pair)]
    if pairs:
        yield DataFinding(
            id="label-typo",
            severity=WARNING,
            count=len(pairs),
            problem="labels that differ by little",
            examples=tuple(
                f"{quoted(rare)} ({sizes[rare]}) may be {quoted(usual)} ({sizes[usual]})"
                + (", the same number" if NUMBER.fullmatch(rare) and NUMBER.fullmatch(usual) else "")
                for rare, usual in pairs
            ),
            do="merge them if they mean the same: give all samples the label that is used more",
        )


def _numbers(index: DatasetIndex) -> Iterator[DataFinding]:
    """Texts that are numbers: often the wrong column."""
    numbers = [sample for sample in index.samples if sample.text is not None and NUMBER.fullmatch(sample.text.strip())]
    if len(numbers) > MOST_NUMBERS * len(index.samples):
        yield DataFinding(
            id="numbers",
            severity=WARNING,
            count=len(numbers),
            problem=f"{len(numbers):,} of {len(index.samples):,} texts are numbers",
            examples=tuple(f"{sample.path}: {shortened(sample.text)}" for sample in numbers),
            do="see that the column `text` holds the texts",
        )


def _trigger_words(index: DatasetIndex) -> Iterator[DataFinding]:
    if index.noun != "text":
        return
    texts, labels = [sample.text or "" for sample in index.samples], [sample.label for sample in index.samples]
    if found := trigger_words(texts, labels, len(index.labels)):
        yield DataFinding(
            id="trigger",
            severity=WARNING,
            count=len(found),
            problem=f"{counted(len(found), 'word that decides', 'words that decide')} labels against the other words",
            examples=tuple(
                f'"{t.words}" makes {t.of_class} of {t.texts} texts "{index.labels[t.label]}"; without it '
                f"{t.recognised:.0%} resemble that class, of its other texts {t.usual:.0%}: "
                + ", ".join(index.samples[number].path for number in t.samples[:EXAMPLES_OF_ONE])
                for t in found
            ),
            do="read such texts; if the word was put in, remove them",
        )


def _trigger_patches(index: DatasetIndex) -> Iterator[DataFinding]:
    samples = [sample for sample in index.samples if sample.look]
    if not samples:
        return
    found = trigger_patches([s.look for s in samples], [s.label for s in samples], len(index.labels))
    if found:
        yield DataFinding(
            id="trigger",
            severity=WARNING,
            count=len(found),
            problem=f"{counted(len(found), 'spot')} of one colour that only one class has, as in poisoned data",
            examples=tuple(
                f'{patch.where}, {len(patch.samples)} pictures of "{index.labels[patch.label]}" have the colour '
                f"#{bytes(patch.colour).hex()}: "
                + ", ".join(samples[number].path for number in patch.samples[:EXAMPLES_OF_ONE])
                for patch in found
            ),
            samples=tuple(samples[number].path for patch in found for number in patch.samples[:EXAMPLES_OF_ONE])[
                :SAMPLES
            ],
            do="look at these pictures; if something was pasted in, or they come from one source, remove them",
        )


def _imbalance(index: DatasetIndex) -> Iterator[DataFinding]:
    counts = index.counts()["train"]
    largest, smallest = max(counts, key=lambda k: counts[k]), min(counts, key=lambda k: counts[k])
    if counts[largest] >= IMBALANCE * max(1, counts[smallest]):
        yield DataFinding(
            id="imbalance",
            severity=WARNING,
            count=1,
            problem=f"{told_apart(largest)} has {counts[largest]} training {index.noun}s "
            f"and {told_apart(smallest)} has {counts[smallest]}",
            examples=(),
            do='look at F1 and the recall of each class; `[finetune] imbalance = "sampling"` may help',
        )


def _shift(index: DatasetIndex) -> Iterator[DataFinding]:
    """Class shares of train and test differ by more than chance (chi-square test of homogeneity)."""
    counts = index.counts()
    table = [[counts[split][label] for label in index.labels] for split in ("train", "test")]
    if all(sum(row) for row in table) and all(sum(column) for column in zip(*table, strict=True)):
        p = float(chi2_contingency(table).pvalue)
        if p < SHIFT_P:
            yield DataFinding(
                id="class-shift",
                severity=INFO,
                count=1,
                problem=f"the classes have other shares in test than in train (chi-square, p = {p:.1g})",
                examples=(),
                do="see that test is what the device will meet",
            )


def _carved(index: DatasetIndex) -> Iterator[DataFinding]:
    if index.carved:
        yield DataFinding(
            id="carved",
            severity=INFO,
            count=len(index.carved),
            problem=f"the data has no {' and no '.join(index.carved)} split: carved from train, by class",
            examples=(),
            do=f"{index.noun}s of one source should be in one split: make the splits yourself if there are such",
        )


def _same_content(index: DatasetIndex) -> list[list[IndexedSample]]:
    by_content: dict[str, list[IndexedSample]] = defaultdict(list)
    for sample in _by_split(index):
        by_content[sample.sha256].append(sample)
    several = Counter(sample.sha256 for sample in index.samples)
    return [same for content, same in by_content.items() if several[content] > 1]


def _told(index: DatasetIndex, same: Sequence[IndexedSample]) -> str:
    """The names of samples of one content; of a file that a list names more than once, what the list says of it."""
    if len({sample.path for sample in same}) == len(same):
        return " = ".join(sample.path for sample in same)
    named = Counter(f'{sample.path} ({sample.split}, "{index.labels[sample.label]}")' for sample in same)
    return " = ".join(f"{name}, {count} times" if count > 1 else name for name, count in named.items())


def _to_look_at(groups: Sequence[Sequence[IndexedSample]]) -> tuple[str, ...]:
    """Paths of the first pictures; what is read in words already needs no look."""
    return tuple(dict.fromkeys(sample.path for same in groups for sample in same if sample.text is None))[:SAMPLES]


def _by_split(index: DatasetIndex) -> list[IndexedSample]:
    return sorted(index.samples, key=lambda sample: (SPLITS.index(sample.split), sample.path))
