"""optimum-onnx from the encoder's folder: its exporter, then dynamic INT8 for AVX-512 VNNI, weights by channel."""

import sys
from pathlib import Path

from optimum.exporters.onnx import main_export
from optimum.onnxruntime import ORTQuantizer
from optimum.onnxruntime.configuration import AutoQuantizationConfig

main_export(str(Path(sys.argv[1]) / "network"), "exported", task="text-classification", do_validation=False)
quantizer = ORTQuantizer.from_pretrained("exported", file_name="model.onnx")
config = AutoQuantizationConfig.avx512_vnni(is_static=False, per_channel=True)
quantizer.quantize(save_dir="quantized", quantization_config=config)
Path("quantized/model_quantized.onnx").rename("engine.onnx")
