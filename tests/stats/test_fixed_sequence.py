import pytest

from itn.stats import binomial_tail, max_failures


@pytest.mark.parametrize("confidence", [0.01, 0.5, 0.9, 0.95, 0.999])
@pytest.mark.parametrize("tolerance", [0.0, 1e-4, 0.01, 0.05, 0.3, 0.5, 0.99, 1.0])
def test_max_failures_is_found_by_counting_up(tolerance, confidence):
    """Compare the chance of at most ``count`` failures for one count after another; -1 if none passes."""
    for n in (*range(1, 301), 6000):
        count = -1
        while binomial_tail(n - count - 1, n, 1 - tolerance) <= 1 - confidence:
            count += 1
        assert max_failures(n, tolerance, confidence) == count, n
