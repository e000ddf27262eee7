"""Training: strategies, schedule, precision, the loop, and its checkpoints."""
