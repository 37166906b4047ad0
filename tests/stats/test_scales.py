import pytest

from itn.stats import last_scale


def test_the_last_scale_is_before_the_first_stride_that_fails():
    assert last_scale(lambda scale: True, 2.0) == 2.0
    assert last_scale(lambda scale: scale <= 0.3, 1.0) == pytest.approx(0.3, abs=0.25 / 2**5)
    assert last_scale(lambda scale: not 0.3 < scale < 0.6, 1.0) < 0.3  # recognized again farther out
    assert last_scale(lambda scale: scale <= 0.01, 1.0) == pytest.approx(0.01, rel=1 / 8)
    assert last_scale(lambda scale: False, 1.0) < 1e-3


def test_strides_begin_at_what_is_known_to_hold():
    tried = []
    assert (
        last_scale(lambda scale: tried.append(scale) or scale <= 0.75, 1.5, 0.5, strides=2, bisections=1)
        == 0.75
    )
    assert tried == [1.0, 0.75, 0.875, 0.8125]  # until the bracket is less than an eighth
