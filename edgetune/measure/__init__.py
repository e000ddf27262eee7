"""How engines are measured and compared: latency protocol, statistics, metrics, memory."""
