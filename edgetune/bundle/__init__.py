"""What goes onto the device: an engine with its manifest, labels, preprocessing and golden outputs."""
