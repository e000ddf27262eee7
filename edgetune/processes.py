"""Whether this process is one of several that torchrun started, told by the environment alone."""

import os
from functools import cache

RUN_ID = "TORCHELASTIC_RUN_ID"
LOST = 70  # exit code of a process that lost another one; torchrun starts all of them again, if it was told to


@cache
def several() -> bool:
    """Whether there are others; asked once, for ``RUN_ID`` is hidden later from programs that this one starts."""
    return RUN_ID in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1
