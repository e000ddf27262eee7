"""The peers, one entry a row of the table: what is installed, which script its user would write, what comes of it."""

from dataclasses import dataclass

LIBRARIES = ("onnxruntime", "openvino")


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A way to a faster engine from the same fine-tuned network.

    ``requirements`` and ``script`` name files in the folders of these names. ``engine`` is what the script leaves in
    its folder. ``after`` names a peer whose engine takes the place of ``float.onnx``; its work is part of this one's.
    ``libraries`` are those its engine is run in.
    """

    key: str
    title: str
    requirements: str
    script: str
    engine: str = "engine.onnx"
    after: str | None = None
    libraries: tuple[str, ...] = LIBRARIES


IMAGE_PEERS = (
    Peer(
        key="ort-static",
        title="ONNX Runtime `quantize_static`, defaults",
        requirements="onnxruntime",
        script="onnxruntime_static",
    ),
    Peer(
        key="ort-static-best",
        title="ONNX Runtime `quantize_static`, best settings",
        requirements="onnxruntime",
        script="onnxruntime_static_best",
    ),
    Peer(key="nncf", title="NNCF `quantize` on ONNX", requirements="nncf", script="nncf_quantize"),
    Peer(
        key="nncf-accuracy",
        title="NNCF with accuracy control on ONNX",
        requirements="nncf",
        script="nncf_accuracy_control",
    ),
    Peer(
        key="nncf-openvino",
        title="NNCF `quantize` on OpenVINO's IR",
        requirements="nncf",
        script="nncf_openvino",
        engine="engine.xml",
        libraries=("openvino",),
    ),
    Peer(
        key="inc-static",
        title="Intel Neural Compressor 2.6",
        requirements="neural-compressor",
        script="neural_compressor_static",
    ),
    Peer(
        key="inc-static-tuned",
        title="Intel Neural Compressor 2.6, tuned by accuracy",
        requirements="neural-compressor",
        script="neural_compressor_static_tuned",
    ),
    Peer(
        key="onnx-inc-static",
        title="ONNX Neural Compressor 1.0",
        requirements="onnx-neural-compressor",
        script="onnx_neural_compressor_static",
    ),
    Peer(key="olive-static", title="Olive, static", requirements="olive", script="olive_static"),
    Peer(
        key="torch-pruning",
        title="torch-pruning, magnitude, one-shot",
        requirements="torch-pruning",
        script="torch_pruning_magnitude",
    ),
    Peer(
        key="torch-pruning-ort",
        title="torch-pruning, then `quantize_static`, best settings",
        requirements="onnxruntime",
        script="onnxruntime_static_best",
        after="torch-pruning",
    ),
)
TEXT_PEERS = (
    Peer(
        key="ort-dynamic",
        title="ONNX Runtime `quantize_dynamic`, defaults",
        requirements="onnxruntime",
        script="onnxruntime_dynamic",
    ),
    Peer(
        key="ort-dynamic-best",
        title="ONNX Runtime `quantize_dynamic`, by channel",
        requirements="onnxruntime",
        script="onnxruntime_dynamic_best",
    ),
    Peer(key="optimum", title="optimum-onnx, dynamic", requirements="optimum", script="optimum_dynamic"),
    Peer(
        key="inc-dynamic",
        title="Intel Neural Compressor 2.6, dynamic, tuned",
        requirements="neural-compressor",
        script="neural_compressor_dynamic",
    ),
    Peer(
        key="onnx-inc-dynamic",
        title="ONNX Neural Compressor 1.0, dynamic",
        requirements="onnx-neural-compressor",
        script="onnx_neural_compressor_dynamic",
    ),
    Peer(key="olive-dynamic", title="Olive, dynamic", requirements="olive", script="olive_dynamic"),
    Peer(
        key="nncf-openvino-text",
        title="NNCF `quantize` on OpenVINO's IR",
        requirements="nncf",
        script="nncf_openvino_text",
        engine="engine.xml",
        libraries=("openvino",),
    ),
)
