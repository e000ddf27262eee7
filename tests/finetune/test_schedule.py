"""The learning rate rises to its peak, then only falls, and ends near zero."""

from hypothesis import given
from hypothesis import strategies as st

from edgetune.finetune.schedule import learning_rate


@given(st.integers(1, 500), st.integers(0, 100), st.floats(1e-6, 1.0))
def test_warm_up_then_cosine(total, warmup, peak):
    warmup = min(warmup, total // 2)
    rates = [learning_rate(step, peak=peak, warmup_steps=warmup, total_steps=total) for step in range(total)]
    assert all(0 < rate <= peak * (1 + 1e-9) for rate in rates)
    assert rates[:warmup] == sorted(rates[:warmup])
    assert rates[warmup:] == sorted(rates[warmup:], reverse=True)
    assert max(rates) >= peak * (1 - 1e-9)


def test_known_values():
    assert learning_rate(0, peak=1.0, warmup_steps=4, total_steps=8) == 0.25
    assert abs(learning_rate(6, peak=1.0, warmup_steps=4, total_steps=8) - 0.5) < 1e-12
