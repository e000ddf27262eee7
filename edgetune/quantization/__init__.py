"""INT8: one fake-quantize pass on ``torch.export`` graphs. Calibrating it is post-training quantization."""
