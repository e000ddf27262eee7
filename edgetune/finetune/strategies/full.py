"""Every weight is trained, all the time."""


def first_stage(head: int, epoch: int, epochs: int, stages: int) -> int:
    """The input's stage."""
    return 0
