"""The same ONNX files in ONNX Runtime and in OpenVINO, and the same network quantized for each of them.

    python benchmarks/backends.py --images clothing10.tar --weights mobilenet_v2_imagenet.safetensors

MobileNetV2 with pretrained weights and MobileNetV3-Large with random ones, both at 160 pixels: the float file, the INT8
file in the scheme of x86-cpu and the one in the scheme of intel-cpu, each in both libraries, on one thread, all six
interleaved by `edgetune bench`. Then the outputs of each file in both libraries are compared on pictures that were not
calibrated on.
"""

import argparse
import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from common import save
from edgetune_runtime.preprocessing import make_preprocessing
from edgetune_runtime.session import open_session
from PIL import Image
from safetensors.torch import load_file

from edgetune import api
from edgetune.data.preprocessing import make_preprocessing as describe
from edgetune.export.onnx_export import export_onnx
from edgetune.quantization.quantize import quantize
from edgetune.records import BenchSpec
from edgetune.target import load_target

SIDE, CALIBRATION, COMPARED = 160, 128, 256
LIBRARIES = ("onnxruntime", "openvino")


def pictures(archive: Path) -> np.ndarray:
    """CALIBRATION + COMPARED pictures spread over the archive, as float32 [N, 3, SIDE, SIDE]."""
    prepare = make_preprocessing(describe(SIDE), Path())
    with tarfile.open(archive) as tar:
        members = sorted((m for m in tar if m.name.endswith((".jpg", ".png"))), key=lambda member: member.name)
        chosen = np.random.default_rng(0).permutation(len(members))[: CALIBRATION + COMPARED]
        found = [prepare(Image.open(io.BytesIO(tar.extractfile(members[i]).read()))) for i in chosen]
    return np.concatenate(found)


def files(network: torch.nn.Module, images: np.ndarray, folder: Path) -> dict[str, Path]:
    """The float file and one INT8 file for each target; those that are there already are taken."""
    folder.mkdir(parents=True, exist_ok=True)
    example = torch.from_numpy(images[:1])
    batches = [torch.from_numpy(part) for part in np.split(images[:CALIBRATION], CALIBRATION // 32)]
    made = {"float": folder / "float.onnx"}
    if not made["float"].exists():
        export_onnx(network, example, made["float"], opset=20)
    for target in ("x86-cpu", "intel-cpu"):
        made[f"int8 for {target}"] = path = folder / f"int8-{target}.onnx"
        if not path.exists():
            graph = quantize(network, example, load_target(target).scheme, lambda: batches, repair=("bias-correction",))
            export_onnx(graph, example, path, opset=20)
    return made


def compared(path: Path, images: np.ndarray) -> dict[str, float]:
    """How far the libraries' outputs for one file are from each other, in spreads of the outputs."""
    outputs = []
    for library in LIBRARIES:
        session = open_session(path, {"backend": library})
        name = session.get_inputs()[0].name
        outputs.append(np.concatenate([session.run(None, {name: image[None]})[0] for image in images]))
    first, second = outputs
    far = np.abs(first - second) / first.std()
    return {
        "samples": len(images),
        "agreement": float((first.argmax(1) == second.argmax(1)).mean()),
        "max_difference": float(far.max()),
        "mean_difference": float(far.mean()),
    }


def measured(network: torch.nn.Module, images: np.ndarray, spec: BenchSpec, folder: Path) -> dict[str, Any]:
    """Latencies of all files in both libraries, and how their outputs differ."""
    made = files(network.eval(), images, folder)
    parity = {name: compared(path, images[CALIBRATION:]) for name, path in made.items()}
    found = api.bench([*made.values()], spec=spec, backends=LIBRARIES)
    keys = ("name", "backend", "size_bytes", "speedup", "load_ms", "first_inference_ms", "peak_rss_bytes")
    rows = [
        {key: engine[key] for key in keys} | {"p50_ms": engine["latency_ms"]["p50"], "n": engine["latency_ms"]["n"]}
        for engine in found["engines"]
    ]
    for row in rows:
        print(f"{row['name']:32}{row['p50_ms']:8.3f} ms  {row['speedup'] and row['speedup']['value']}")
    return {"engines": rows, "noise": found["noise"], "bench": found["bench"], "outputs": parity}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="clothing10.tar")
    parser.add_argument("--weights", type=Path, required=True, help="of MobileNetV2, in torchvision's names")
    parser.add_argument("--min-runs", type=int, default=400)
    parser.add_argument("--work", type=Path, default=Path("backends"), help="keeps the ONNX files")
    options = parser.parse_args()
    torch.manual_seed(0)
    images, spec = pictures(options.images), BenchSpec(min_runs=options.min_runs, min_seconds=1.0, max_seconds=60.0)
    second = torchvision.models.mobilenet_v2(weights=None)
    second.load_state_dict(load_file(options.weights))
    third = torchvision.models.mobilenet_v3_large(weights=None)
    result: dict[str, Any] = {}
    for name, network in (("mobilenet_v2", second), ("mobilenet_v3_large", third)):
        result[name] = measured(network, images, spec, options.work / name)
        save("backends", {"side": SIDE, "threads": spec.threads, "networks": result})


if __name__ == "__main__":
    main()
