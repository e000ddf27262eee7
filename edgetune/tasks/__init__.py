"""What a network is trained for: head, loss, metrics. One module per task."""
