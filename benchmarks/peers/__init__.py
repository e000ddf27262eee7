"""The same job by edgetune and by the tools one would use instead, from the same fine-tuned network: ``run.py``."""
