"""The head and the last stages of the backbone are trained; what lies before keeps its weights and statistics."""


def first_stage(head: int, epoch: int, epochs: int, stages: int) -> int:
    """``stages`` below the head; the input's when there are not that many."""
    return max(0, head - stages)
