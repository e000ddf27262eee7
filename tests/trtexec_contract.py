"""An executable that keeps the documented contract of NVIDIA's trtexec, for tests of what calls it. It is not TensorRT.

It takes the flags of one release and refuses all others, ties what it builds to that release, and computes outputs with
ONNX Runtime. The times it writes are those of hashing the engine file: they mean nothing and are never published. Its
sources are those of ``edgetune_runtime.trtexec``.
"""

import hashlib
import json
import re
import stat
import sys
import time
from pathlib import Path

EVERY = {
    "onnx", "saveEngine", "loadEngine", "shapes", "minShapes", "optShapes", "maxShapes", "memPoolSize",
    "timingCacheFile", "useCudaGraph", "noDataTransfers", "useSpinWait", "separateProfileRun",
    "profilingVerbosity", "percentile", "exportTimes", "exportLayerInfo", "exportProfile", "exportOutput",
    "loadInputs", "iterations", "duration", "warmUp", "useDLACore", "allowGPUFallback", "verbose",
}  # fmt: skip
OF_FAMILY = {8: {"fp16", "int8", "best"}, 10: {"fp16", "int8", "best", "stronglyTyped"}, 11: {"stronglyTyped"}}
BARE = {
    "useCudaGraph", "noDataTransfers", "useSpinWait", "separateProfileRun", "allowGPUFallback", "fp16", "int8", "best",
    "stronglyTyped", "verbose",
}  # fmt: skip
NEWEST_OPSET = {8: 17, 10: 20, 11: 24}
MAGIC = b"not an engine of TensorRT\n"


def install(folder: Path, banner: str, family: int, notes: Path | None = None) -> Path:
    """Put it into ``folder`` as ``trtexec`` of the release whose banner is ``v100300``."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "trtexec"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import trtexec_contract\n"
        f"sys.exit(trtexec_contract.main(sys.argv[1:], {banner!r}, {family}, {str(notes)!r}))\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program


def main(arguments, banner, family, notes):
    print(f"&&&& RUNNING TensorRT.trtexec [TensorRT {banner}] # trtexec {' '.join(arguments)}")
    if arguments == ["--help"]:
        return 0
    if notes != "None":
        with Path(notes).open("a") as file:
            file.write(json.dumps(arguments) + "\n")
    try:
        options = parse(arguments, family)
        print("[11/27/2026-03:00:00] [I] === Device Information ===")
        print("[11/27/2026-03:00:00] [I] Selected Device: Contract")
        print("[11/27/2026-03:00:00] [I] Compute Capability: 0.0")
        plan = build(options, banner, family) if "onnx" in options else load(options, banner)
        infer(options, plan, family)
    except Wrong as problem:
        print(f"[11/27/2026-03:00:00] [E] {problem}")
        print(f"&&&& FAILED TensorRT.trtexec [TensorRT {banner}]")
        return 1
    print(f"&&&& PASSED TensorRT.trtexec [TensorRT {banner}]")
    return 0


class Wrong(Exception):
    """What trtexec would end with."""


def parse(arguments, family):
    options = {}
    for argument in arguments:
        name, equals, value = argument.removeprefix("--").partition("=")
        if not argument.startswith("--") or name not in EVERY | OF_FAMILY[family]:
            raise Wrong(f"Unknown option: {argument}")
        if (name in BARE) == bool(equals) or name in options:
            raise Wrong(f"Option {name} cannot be given so: {argument}")
        options[name] = value
    if ("onnx" in options) == ("loadEngine" in options):
        raise Wrong("Model missing or mismatched with --loadEngine")
    if "stronglyTyped" in options and {"fp16", "int8", "best"} & set(options):
        raise Wrong("Invalid usage, precision flags are not allowed if the network is strongly typed")
    if "useDLACore" in options and family == 10 and "stronglyTyped" in options:
        raise Wrong("The FP16 flag, which DLA sets, is not allowed if the network is strongly typed")
    if "memPoolSize" in options and not re.fullmatch(r"workspace:[1-9]\d*", options["memPoolSize"]):
        raise Wrong(f"Invalid memPoolSize {options['memPoolSize']}")
    return options


def shape(text):
    name, _, sizes = text.partition(":")
    if not re.fullmatch(r"\d+(x\d+)*", sizes):
        raise Wrong(f"Invalid shape {text}")
    return name, [int(size) for size in sizes.split("x")]


def build(options, banner, family):
    import onnx

    try:
        model = onnx.load(options["onnx"])
    except Exception as problem:
        raise Wrong(f"Could not parse {options['onnx']}") from problem
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    if opset > NEWEST_OPSET[family]:
        raise Wrong(f"opset {opset} is not supported")
    halves = any(tensor.data_type == onnx.TensorProto.FLOAT16 for tensor in model.graph.initializer)
    if halves and family == 8 and any("Linear" in node.op_type for node in model.graph.node):
        raise Wrong("scales of QuantizeLinear must be float")
    if family == 8 and any(n.op_type == "QuantizeLinear" for n in model.graph.node) and "int8" not in options:
        raise Wrong("Q/DQ layers need the INT8 flag")
    if "shapes" in options:
        low = most = shape(options["shapes"])
    else:
        low, most = shape(options["minShapes"]), shape(options["maxShapes"])
        if shape(options["optShapes"])[0] != low[0] or low[1][1:] != most[1][1:]:
            raise Wrong("the profile does not hold together")
    if low[0] not in [value.name for value in model.graph.input]:
        raise Wrong(f"Cannot find input tensor with name {low[0]!r} in the network inputs!")
    if "useDLACore" in options:
        if low != most:
            raise Wrong("DLA does not support dynamic shapes")
        for node in model.graph.node:
            if node.op_type in ("Gemm", "QuantizeLinear", "DequantizeLinear"):
                print(f"[11/27/2026-03:00:00] [W] [TRT] {node.name}: DLA does not take {node.op_type}.")
                kind = node.op_type.upper()
                print(
                    f"[11/27/2026-03:00:00] [W] [TRT] Layer '{node.name}' ({kind}): Unsupported on DLA. "
                    "Switching this layer's device type to GPU."
                )
    header = {"banner": banner, "input": low[0], "min": low[1], "max": most[1], "dla": options.get("useDLACore")}
    content = MAGIC + json.dumps(header).encode() + b"\n" + model.SerializeToString()
    if "saveEngine" in options:
        Path(options["saveEngine"]).write_bytes(content)
    if "timingCacheFile" in options:
        Path(options["timingCacheFile"]).write_bytes(b"timings of " + banner.encode())
    names = [node.name for node in model.graph.node if node.op_type not in ("QuantizeLinear", "DequantizeLinear")]
    copies = [f"Reformatting CopyNode for Input Tensor 0 to {names[0]}"] if "int8" in options["onnx"] or halves else []
    layers = [{"Name": name, "LayerType": "Reformat", "Inputs": [], "Outputs": []} for name in copies]
    layers += [{"Name": name, "LayerType": "CaskConvolution", "Inputs": [], "Outputs": []} for name in names]
    if "exportLayerInfo" in options:
        Path(options["exportLayerInfo"]).write_text(json.dumps({"Layers": layers, "Bindings": []}))
    if "exportProfile" in options:
        rows = [{"name": one["Name"], "timeMs": 0.5, "averageMs": 0.05, "percentage": 1} for one in layers]
        Path(options["exportProfile"]).write_text(json.dumps([{"count": 10}, *rows]))
    return content


def load(options, banner):
    content = Path(options["loadEngine"]).read_bytes()
    if not content.startswith(MAGIC):
        raise Wrong("Error Code 4: Internal Error (Engine deserialization failed)")
    if header_of(content)["banner"] != banner:
        raise Wrong("Error Code 6: The engine plan file is not compatible with this version of TensorRT")
    if header_of(content)["dla"] != options.get("useDLACore"):
        raise Wrong("the engine was built for another DLA core")
    return content


def header_of(content):
    return json.loads(content[len(MAGIC) :].partition(b"\n")[0])


def infer(options, plan, family):
    header = header_of(plan)
    name, sizes = shape(options["shapes"]) if "shapes" in options else (header["input"], header["min"])
    if (
        name != header["input"]
        or not header["min"][0] <= sizes[0] <= header["max"][0]
        or sizes[1:] != header["min"][1:]
    ):
        raise Wrong(f"{name}:{sizes} is not in the range of the profile")
    iterations = int(options.get("iterations", 10))
    if "exportTimes" in options:
        rows = []
        for _ in range(iterations + (3 if family == 8 else 0)):  # 8.x lists those of the warm-up too
            start = time.perf_counter()
            hashlib.sha256(plan).digest()
            spent = (time.perf_counter() - start) * 1e3
            rows.append(
                {"startComputeMs": start, "endComputeMs": start + spent, "computeMs": spent, "latencyMs": spent}
            )
        Path(options["exportTimes"]).write_text(json.dumps(rows))
    if "exportOutput" in options:
        if "noDataTransfers" in options:
            raise Wrong("there are no outputs without data transfers")
        write_output(options, plan, name, sizes)


def write_output(options, plan, name, sizes):
    import numpy as np
    import onnxruntime

    session = onnxruntime.InferenceSession(plan[len(MAGIC) :].partition(b"\n")[2], providers=["CPUExecutionProvider"])
    (declared,) = session.get_inputs()
    dtype = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8}[declared.type]
    source, _, file = options["loadInputs"].partition(":")
    array = np.frombuffer(Path(file).read_bytes(), dtype)
    if source != name or array.size != np.prod(sizes):
        raise Wrong(f"Note: CPU memory size of {file} and the binding's do not agree")
    outputs = zip(session.get_outputs(), session.run(None, {name: array.reshape(sizes)}), strict=True)
    text = ",\n".join(
        f'{{ "name" : "{one.name}", "dimensions" : "{"x".join(map(str, value.shape))}", '
        f'"values" : [ {", ".join(f"{number:.6g}" for number in value.ravel().tolist())} ] }}'
        for one, value in outputs
    )
    Path(options["exportOutput"]).write_text(f"[\n{text}\n]\n")
