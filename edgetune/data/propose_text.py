"""Look at a dataset of texts and propose a recipe for it."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from edgetune.data.propose import Noted, as_comments, notes_on_labels, quoted, strategy_for, summary
from edgetune.data.texts import TextListing, scan_texts

TOKENS_PER_WORD = 1.4  # of English in a WordPiece vocabulary of 30,000, measured on banking77 and rt_polarity
SPECIAL_TOKENS = 2
LENGTHS = (32, 64, 128, 256, 512)
MANY_LABELS = (
    20  # more are learned longer, at twice the rate, as banking77's were: benchmarks/results/text_banking77.json
)

TEMPLATE = """\
# Written by `edgetune init`. Every key is optional but `model.name` and `data.path`.
# {summary}
{notes}
[model]
name = "transformers/sentence-transformers/all-MiniLM-L6-v2"   # of the Hugging Face hub, or any name with
# weights = "encoder"               # a folder of config.json, model.safetensors and tokenizer.json

[data]
path = {path}
max_length = {length:<22} # tokens; what is longer is cut. Words here: {typical}
on_bad_file = "error"               # or "skip": leave empty texts out and count them

[finetune]
strategy = {strategy:<24} # {learns}
epochs = {epochs:<26} # passes over the training texts
batch_size = 32                     # texts in one step
learning_rate = {rate:<19} # its peak; 2e-5 to 5e-5 for large encoders

[quantize]
mode = "auto"                       # try INT8, keep it if it pays; or "none"

[budget]
max_accuracy_drop = 1.0             # percentage points below the fine-tuned float engine
# max_latency_ms = 10.0             # median of one text, on the target
# max_size_mb = 25.0                # of the engine
# confidence = 0.95                 # with which a larger drop must be ruled out
# max_hours = 8.0                   # of work, after which no other engine is begun

[bench]
threads = 1                         # that the engine may use

[targets]
names = ["x86-cpu"]                 # `edgetune targets` lists them
"""


def propose_text_recipe(data: Path, base: Path, noted: Noted = lambda note: None) -> str:
    """The text of an ``edgetune.toml`` in the folder ``base`` for the texts in ``data``.

    Args:
        noted: as of ``propose_recipe``.

    Raises:
        DataError: see ``edgetune.data.texts.scan_texts``.
    """
    listing = scan_texts(data)
    words = sorted(len(row.text.split()) for row in listing.rows)
    most = words[int(0.99 * (len(words) - 1))]
    needed = TOKENS_PER_WORD * most + SPECIAL_TOKENS
    many = len(listing.labels) > MANY_LABELS
    counts = Counter(row.label for row in listing.rows if row.split in ("train", None))
    splits = {row.split for row in listing.rows}
    strategy, learns = strategy_for(counts.values(), splits, "texts")
    return TEMPLATE.format(
        summary=summary(listing.kind, "texts", listing.labels, [row.split for row in listing.rows]),
        notes=as_comments(_notes(listing, counts), noted),
        path=quoted(data.relative_to(base).as_posix() if data.is_relative_to(base) else str(data)),
        length=next((length for length in LENGTHS if length >= needed), LENGTHS[-1]),
        typical=f"{words[len(words) // 2]} in the middle, 99 % have {most} or fewer",
        strategy=strategy,
        learns=learns,
        epochs=6 if many or len(listing.rows) / len(listing.labels) < 500 else 3,
        rate="2e-4" if many else "1e-4",
    )


def _notes(listing: TextListing, counts: Mapping[str, int]) -> list[str]:
    notes = notes_on_labels(counts, {row.split for row in listing.rows}, "texts")
    if empty := [row.where for row in listing.rows if not row.text.strip()]:
        notes.insert(0, f"{len(empty)} texts are empty, such as {empty[0]}. `edgetune check` lists them all.")
    return notes
