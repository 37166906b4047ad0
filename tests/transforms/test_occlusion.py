import numpy as np
import pytest
import torch

from itn.functional import Surround
from itn.transforms import TRANSFORMS, standard_noise

occlusion = TRANSFORMS["occlusion"]


def patterns(count, size=(9, 13)):
    like = torch.empty(count, 2, *size, dtype=torch.float64)
    return standard_noise(like, torch.Generator().manual_seed(3))


@pytest.mark.parametrize("v", [0.05, 0.3, 0.77, 1.0])
def test_the_share_is_exact_and_the_rectangle_has_the_shape_of_the_frame(v):
    white = torch.ones(20, 2, 9, 13, dtype=torch.float64)
    covered = 1 - occlusion(white, v, noise=patterns(20))
    np.testing.assert_allclose(covered.mean((1, 2, 3)), v, atol=1e-12)
    assert torch.equal(covered[:, 0], covered[:, 1])
    rows, columns = covered[:, 0].amax(2).sum(1), covered[:, 0].amax(1).sum(1)
    if v > 0.1:  # smaller ones need not hold a whole pixel
        np.testing.assert_allclose(rows, 9 * v**0.5, atol=1e-12)
        np.testing.assert_allclose(columns, 13 * v**0.5, atol=1e-12)


def test_it_covers_black_and_leaves_the_rest():
    images = torch.rand(4, 2, 9, 13, generator=torch.Generator().manual_seed(1))
    covered = occlusion(images, 0.3)
    unchanged, black = covered == images, covered == 0
    assert (unchanged | black).double().mean() > 0.7  # the others are cut by its edges
    assert (covered <= images).all()


def test_the_rectangle_grows_from_its_place():
    white, noise = torch.ones(20, 2, 9, 13, dtype=torch.float64), patterns(20)
    before = torch.zeros_like(white)
    for v in (0.1, 0.2, 0.5, 0.9):
        covered = 1 - occlusion(white, v, noise=noise)
        assert (covered >= before - 1e-12).all()
        before = covered


def test_places_are_all_over_the_frame():
    covered = 1 - occlusion(
        torch.ones(2000, 1, 9, 13, dtype=torch.float64), 1 / 9, noise=patterns(2000)[:, :1]
    )
    y, x = (torch.arange(n) + 0.5 for n in (9, 13))
    total = covered.sum((1, 2, 3))
    down, across = (covered[:, 0].sum(2) @ y.double() / total, covered[:, 0].sum(1) @ x.double() / total)
    for center, n in ((down, 9), (across, 13)):  # uniform from a sixth of the frame to five sixths
        np.testing.assert_allclose(center.mean(), n / 2, atol=0.03 * n)
        np.testing.assert_allclose(center.std(), n * (2 / 3) / 12**0.5, rtol=0.05)
        assert center.min() >= n / 6 - 1e-9
        assert center.max() <= 5 * n / 6 + 1e-9
    assert abs(np.corrcoef(down, across)[0, 1]) < 0.1


@pytest.mark.parametrize("name", ["occlusion", "elastic"])
def test_of_a_canvas_the_crop_is_changed_and_nothing_around_it(name):
    canvases = torch.rand(3, 2, 15, 21, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    surround, noise = Surround.central((15, 21), (9, 13), 3), patterns(3, (15, 21))
    v = torch.tensor([0.1, 0.0, 0.05], dtype=torch.float64)
    changed = TRANSFORMS[name].apply(canvases, v, "border", noise, surround)
    crops, pattern = surround.crops(canvases), surround.crops(noise)
    expected = TRANSFORMS[name](crops, v, padding="border", noise=pattern)
    torch.testing.assert_close(surround.crops(changed), expected)
    surround.crops(changed).copy_(crops)
    assert torch.equal(changed, canvases)
