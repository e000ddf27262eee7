"""Whether this process is one of several that torchrun started, told by the environment alone."""

import os
from functools import cache

RUN_ID = "TORCHELASTIC_RUN_ID"


@cache
def several() -> bool:
    """Whether there are others; asked once, for ``RUN_ID`` is hidden later from programs that this one starts."""
    return RUN_ID in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1
