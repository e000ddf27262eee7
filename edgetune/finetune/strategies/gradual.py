"""The head first, then one stage after the other down to the input (Howard & Ruder 2018, ULMFiT).

Stages are freed evenly over the first half of the epochs, so that a network of twenty stages is
trained as a whole for as long as one of five.
"""


def first_stage(head: int, epoch: int, epochs: int, stages: int) -> int:
    """The head in the first epoch, the input from the middle of training on."""
    half = max(1, epochs // 2)
    return max(0, round(head * (1 - epoch / half)))
