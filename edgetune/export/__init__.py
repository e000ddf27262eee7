"""From torch to ONNX, and the proof that both say the same."""
