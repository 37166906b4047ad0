"""A learned family as a random transform: what it draws, and what it makes of a classifier's answers."""

import pytest
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

import itn
from itn.stats.sampling import generator

IMAGES = torch.rand(6, 1, 9, 12, generator=generator(0, "images"))


def family(scale=1.0):
    """Gains up to 1.5 and shifts along x of up to a tenth of the frame, growing with both entries of k."""
    color, spatial = itn.ColorTransformer(1), itn.SpatialTransformer("translation")
    for head, row, size in ((color.head, 0, 0.5), (spatial.head, 0, 0.2)):
        with torch.no_grad():
            head.hidden.weight.fill_(1)
            head.output.weight.zero_()
            head.output.weight[row] = head.bound * torch.atanh(size / head.bound) / (2 * 32)
    return itn.LearnedAugmentation(color, spatial, scale)


def test_each_image_has_a_separate_draw_that_seeds_determine():
    same = IMAGES[:1].expand(6, -1, -1, -1)
    torch.manual_seed(3)
    first = family()(same)
    assert len(first.unique(dim=0)) == 6
    torch.manual_seed(3)
    assert torch.equal(family()(same), first)
    assert not torch.equal(family()(same), first)


def test_draws_are_members_of_the_family():
    """Of uniform k the sums are triangular on [0, 2]: gains lie in [1, 1.5], most often in the middle."""
    torch.manual_seed(0)
    flat = torch.full((4000, 1, 5, 5), 0.4)
    gains = itn.LearnedAugmentation(family().part("color"))(flat)[:, 0, 2, 2] / 0.4
    assert 1 <= gains.min() < 1.05
    assert 1.45 < gains.max() <= 1.5
    raw = torch.atanh(gains - 1) / torch.atanh(torch.tensor(0.5)) * 2  # the sum of both entries
    expected = 1 - (1 - 0.5) ** 2 / 2  # of a triangular sum lies above 0.5
    assert (raw > 0.5).float().mean() == pytest.approx(expected, abs=0.03)


def test_scale_0_changes_nothing_and_larger_scales_change_more():
    assert torch.equal(family(0.0)(IMAGES), IMAGES)
    moved = []
    for scale in (1.0, 1.5):
        torch.manual_seed(0)
        moved.append(
            (itn.LearnedAugmentation(family().part("color"), None, scale)(IMAGES) - IMAGES).abs().mean()
        )
    assert moved[1] > 1.2 * moved[0]


def test_single_images_and_bytes_are_accepted():
    torch.manual_seed(1)
    one = family()((255 * IMAGES[0]).round().to(torch.uint8))
    assert one.shape == IMAGES[0].shape
    assert one.dtype == torch.float32
    assert 0 <= one.min() <= one.max() <= 1


def test_weights_get_no_gradients_and_images_do():
    images = IMAGES.clone().requires_grad_()
    augment = family()
    augment(images).sum().backward()
    assert images.grad.any()
    assert not any(parameter.requires_grad for parameter in augment.parameters())


def test_averages_are_means_of_softmax(flats, brightness):
    images, labels = flats
    augment = family()
    torch.manual_seed(2)
    draws = torch.stack([brightness(augment(images)).softmax(1) for _ in range(3)])
    torch.manual_seed(2)
    mean = augment.probabilities(brightness, images, draws=3)
    torch.testing.assert_close(mean, draws.mean(0))
    torch.testing.assert_close(mean.sum(1), torch.ones(200))
    assert (mean.argmax(1) == labels).float().mean() > 0.9


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (itn.LearnedAugmentation, "nothing to learn: give a color transformer"),
        (lambda: family(-1.0), "scale must be at least 0, got -1"),
        (lambda: family()(torch.rand(2, 3, 5, 5)), "images have 3 channels, the family takes 1"),
        (lambda: family()([[0.5]]), "images must be a tensor, got list"),
        (lambda: family().probabilities(None, IMAGES, draws=0), "draws must be at least 1"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.usefixtures("no_figures")
def test_loads_from_the_folder_of_a_run_what_the_net_does(blobs, side, tmp_path):
    config = itn.LearnConfig(tolerance=0.06, steps=6, batch_size=64)
    itn.learn(side, *blobs, config, tmp_path / "run")
    net = itn.load_net(tmp_path / "run", side)
    augment = itn.load_augmentation(tmp_path / "run", scale=0.7)
    torch.manual_seed(5)
    moved = augment(blobs[0])
    torch.manual_seed(5)
    k1, k2 = 0.7 * torch.rand(2, 200, 2)
    assert torch.equal(moved, net.transform(blobs[0], k1, k2))
    assert not torch.equal(moved, blobs[0])
    with pytest.raises(ValueError, match=r"nowhere holds no finished run of itn learn \("):
        itn.load_augmentation(tmp_path / "nowhere")


def test_it_works_in_double_precision():
    torch.manual_seed(0)
    expected = family()(IMAGES)
    torch.manual_seed(0)
    moved = family().double()(IMAGES.double())
    assert moved.dtype == torch.float64
    torch.testing.assert_close(moved.float(), expected, rtol=0, atol=1e-5)


def test_it_belongs_into_pipelines_of_torchvision():
    pipeline = v2.Compose([family()])
    image, label = pipeline(IMAGES[0], 7)
    assert label == 7
    assert image.shape == IMAGES[0].shape
    sample = pipeline({"label": torch.tensor(3), "image": tv_tensors.Image(IMAGES[0])})
    assert isinstance(sample["image"], tv_tensors.Image)
    assert sample["label"].item() == 3
    assert not torch.equal(sample["image"], IMAGES[0])
    boxes = tv_tensors.BoundingBoxes([[0, 0, 3, 3]], format="XYXY", canvas_size=(9, 12))
    with pytest.raises(ValueError, match="transforms images alone, got BoundingBoxes beside them"):
        pipeline(tv_tensors.Image(IMAGES[0]), boxes)


def test_larger_images_are_warped_and_cropped():
    """Shifts by up to 0.1 of the crop bring in what lies around it; photographs end where the images do."""
    large = torch.rand(5, 1, 19, 22, generator=generator(0, "large"))
    augment = itn.LearnedAugmentation(None, family().part("spatial"), crop=(9, 12))
    torch.manual_seed(4)
    crops = augment(large)
    assert crops.shape == (5, 1, 9, 12)
    torch.manual_seed(4)
    k = torch.rand(2, 5, 2)[1]
    shift = augment.part("spatial").matrix(k, (9, 12))[:, 0, 2] * 12 / 2
    assert shift.max() > 0.5
    columns = torch.arange(12) + 5 + shift[:, None]
    left = columns.floor().long()
    share = (columns - left)[:, None, None, :]
    rows = [image[:, 5:14] for image in large]
    expected = torch.stack(
        [row[..., n] * (1 - s) + row[..., n + 1] * s for row, n, s in zip(rows, left, share, strict=True)]
    )
    torch.testing.assert_close(crops, expected, atol=1e-5, rtol=0)
    assert augment(large[0]).shape == (1, 9, 12)
    unchanged = itn.LearnedAugmentation(None, family().part("spatial"), 0.0, (9, 12))
    assert torch.equal(unchanged(large), large[..., 5:14, 5:17])
    with pytest.raises(ValueError, match="a crop of 9 x 12 does not fit into 9 x 11"):
        augment(large[..., :9, :11])


@pytest.mark.parametrize("crop", [0, -3, (9, 0), (9,), (9, 12, 1), (9, 1.5), "9", True, float("nan")])
def test_a_crop_is_two_positive_numbers(crop):
    with pytest.raises(ValueError, match="crop must be positive pixels, height and width"):
        itn.LearnedAugmentation(family().part("color"), crop=crop)


def test_one_number_is_a_square_crop():
    augment = itn.LearnedAugmentation(family().part("color"), crop=7)
    assert augment.crop == (7, 7)
    assert augment(IMAGES).shape == (6, 1, 7, 7)


def test_transformers_are_asked_about_the_frame_of_the_crop():
    class Fixed(itn.ColorTransformer):
        def check_frame(self, shape):
            if tuple(shape) != (6, 1, 7, 5):
                raise ValueError("other frame")

    assert itn.LearnedAugmentation({"color": Fixed(1)}, crop=(7, 5))(IMAGES).shape == (6, 1, 7, 5)
    with pytest.raises(ValueError, match="other frame"):
        itn.LearnedAugmentation({"color": Fixed(1)})(IMAGES)
