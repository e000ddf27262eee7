"""Whether this process is one of several that torchrun started, told by the environment alone."""

import os


def several() -> bool:
    """Whether there are others."""
    return "TORCHELASTIC_RUN_ID" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1
