"""Two runs side by side: what changed in accuracy, latency and size, and whether that is a regression."""
