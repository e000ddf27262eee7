"""AVX2 without VNNI: sums of uint8 x int8 products saturate in 16 bits, and 7-bit weights are what helps.

    python benchmarks/compression/novnni_saturation.py --data signdigits --store STORE

``STORE`` is the store of a build (``--cache-dir``) of ``--data``; its fine-tuned network is quantized twice, with the
scheme of x86-cpu (weights in 8 bits) and that of x86-cpu-novnni (7 bits, ``reduce_range``), both repaired alike. The
files answer the test pictures in ONNX Runtime on this processor, and on a Haswell, which has AVX2 and no VNNI, as
QEMU's user mode emulates it (package qemu-user-static): its instructions are carried out exactly, so the outputs are
those of the real one; its times mean nothing and are not taken.
Wanted: 8-bit weights lose at least 2 points there, and the target's scheme does not.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from common import save
from numpy.typing import NDArray

from edgetune.data.images import DecodedImages, eval_loader
from edgetune.data.index import build_index
from edgetune.data.preprocessing import make_preprocessing
from edgetune.export.onnx_export import export_onnx
from edgetune.models.checkpoint import load_checkpoint
from edgetune.quantization.quantize import quantize
from edgetune.target import load_target

BATCH, CALIBRATION_BATCHES = 32, 8
PROCESSOR = "Haswell"
ANSWER = """
import sys
sys.path[:0] = sys.argv[4].split(":")
import numpy as np, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
images = np.load(sys.argv[2])
name = session.get_inputs()[0].name
np.save(sys.argv[3], np.concatenate([session.run(None, {name: images[i : i + 1]})[0] for i in range(len(images))]))
"""


def answers(model: Path, images: Path, emulator: str | None) -> NDArray[np.float32]:
    """Logits [N, classes] of the file, one picture at a time, in a process of its own."""
    out = model.with_suffix(".npy")
    packages = ":".join(path for path in sys.path if path.endswith("site-packages"))
    python = [os.path.realpath(sys.executable), "-c", ANSWER, str(model), str(images), str(out), packages]
    command = python if emulator is None else [emulator, "-cpu", PROCESSOR, *python]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL if emulator else None)
    return np.asarray(np.load(out))


def main() -> None:
    """Quantize, answer on both processors, compare, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=310)
    parser.add_argument("--emulator", default="qemu-x86_64-static")
    args = parser.parse_args()
    manifests = sorted((args.store / "objects").glob("*/artifact.json"))
    folder = next(path.parent for path in manifests if json.loads(path.read_text())["name"] == "finetune")
    spec, network, _ = load_checkpoint(folder)
    assert spec.image_size is not None
    index = build_index(args.data, val_fraction=0.15, test_fraction=0.15, on_bad_file="error", seed=0)
    decoded = DecodedImages(index, make_preprocessing(spec.image_size), cache_mb=1024)
    shuffled = eval_loader(decoded, "train", batch_size=BATCH, shuffle_seed=0)
    calibration = [images for images, _ in itertools.islice(shuffled, CALIBRATION_BATCHES)]
    test = list(eval_loader(decoded, "test", batch_size=BATCH))
    images = torch.cat([batch for batch, _ in test])[: args.samples]
    labels = torch.cat([truth for _, truth in test])[: args.samples].numpy()
    with torch.no_grad():
        floating = network.eval()(images).numpy()
    rows: dict[str, Any] = {"float": {"accuracy": float((floating.argmax(1) == labels).mean())}}
    with tempfile.TemporaryDirectory() as temporary:
        pixels = Path(temporary) / "images.npy"
        np.save(pixels, images.numpy())
        for target in ("x86-cpu", "x86-cpu-novnni"):
            model = Path(temporary) / f"{target}.onnx"
            graph = quantize(
                network, spec.example(), load_target(target).scheme, lambda: calibration, repair=("bias-correction",)
            )
            export_onnx(graph, spec.example(), model, opset=20)
            for where, emulator in (("here", None), (PROCESSOR, args.emulator)):
                found = answers(model, pixels, emulator)
                rows[f"scheme of {target}, {where}"] = {
                    "accuracy": float((found.argmax(1) == labels).mean()),
                    "sqnr_db": float(10 * np.log10(np.square(floating).mean() / np.square(found - floating).mean())),
                }
                print(target, where, json.dumps(rows[f"scheme of {target}, {where}"]), flush=True)
    version = subprocess.run([args.emulator, "--version"], capture_output=True, text=True).stdout.splitlines()[0]
    network_name = json.loads((folder / "model.json").read_text())
    save(
        "novnni_saturation",
        {
            "data": args.data.name,
            "model": network_name.get("factory", network_name.get("name")),
            "image_size": spec.image_size,
            "samples": len(labels),
            "emulator": version,
            "processor": PROCESSOR,
            "rows": rows,
        },
    )


if __name__ == "__main__":
    main()
