"""What a screen keeps of every image: counted again, it is the curves; it comes back from its file."""

import numpy as np
import pytest
import torch

import itn
from itn.runtime.arrays import read_arrays, smallest, write_arrays

MAGNITUDES = {"rotate": (-60.0, 0.0, 30.0, 60.0), "zoom": (0.5, 2.0), "horizontal_flip": (0.0, 1.0)}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A screen of 60 digits, and its folder."""
    folder = tmp_path_factory.mktemp("screen")
    images, labels = itn.load_images("mnist", limit=60)
    config = itn.ScreenConfig(tuple(MAGNITUDES), magnitudes=MAGNITUDES, topk=2, bisections=1)
    return itn.screen(itn.load_classifier("lenet5"), images, labels, config, folder, source="mnist"), folder


def test_counted_again_the_outcomes_are_the_curves(finished):
    result, _ = finished
    outcomes = result.outcomes
    assert (outcomes.source, outcomes.shape, outcomes.topk, outcomes.labeled) == (
        "mnist",
        (1, 28, 28),
        2,
        True,
    )
    assert outcomes.right.mean() == result.record.clean_accuracy
    for name, sweep in outcomes.sweeps.items():
        record = result.record.transforms[name]
        assert tuple(sweep.magnitudes[sweep.swept]) == record.magnitudes
        assert sweep.identity in sweep.magnitudes
        assert tuple(sweep.right[sweep.swept].mean(1)) == record.accuracy
        assert tuple(sweep.agrees[sweep.swept].mean(1)) == record.agreement
        assert sweep.logarithmic is (name == "zoom")
        assert sweep.discrete is (name == "horizontal_flip")
        for side, (magnitude, flipped) in sweep.flips.items():
            rows = [row for row in result.flips if (row.transform, row.side) == (name, side)]
            assert [row.magnitude for row in rows] == magnitude.tolist()
            assert [row.flipped for row in rows] == flipped.tolist()
    near = outcomes.sweeps["rotate"].magnitudes[~outcomes.sweeps["rotate"].swept]
    assert len(near) > 0  # measured to find the threshold


def test_outcomes_come_back_from_their_file_and_are_small(finished):
    result, folder = finished
    loaded = itn.load_screen(folder).outcomes
    kept, again = result.outcomes.arrays(), loaded.arrays()
    assert kept.keys() == again.keys()
    for name, array in kept.items():
        np.testing.assert_array_equal(array, again[name])
    assert loaded.classes == result.outcomes.classes
    assert loaded.sweeps["rotate"].predictions.dtype == np.uint8
    assert (folder / "outcomes.npz").stat().st_size < 15_000


def test_equal_arrays_make_equal_files_and_damage_is_told(finished, tmp_path):
    arrays = finished[0].outcomes.arrays()
    write_arrays(arrays, tmp_path / "a.npz")
    write_arrays(dict(arrays), tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes((tmp_path / "b.npz").read_bytes()[:500])
    with pytest.raises(ValueError, match=r"a\.npz is damaged"):
        read_arrays(tmp_path / "a.npz")


def test_a_part_has_the_outcomes_of_these_images(finished):
    outcomes = finished[0].outcomes
    rows = np.array([5, 3, 40])
    part = outcomes.part(rows)
    assert part.images == ("5", "3", "40")
    assert set(part.classes) == set(outcomes.labels[rows].tolist())
    sweep, whole = part.sweeps["zoom"], outcomes.sweeps["zoom"]
    np.testing.assert_array_equal(sweep.right, whole.right[:, rows])
    np.testing.assert_array_equal(sweep.flips["below"][0], whole.flips["below"][0][rows])


def test_images_are_recognized_as_bytes_and_as_floats(brightness, flats):
    images, labels = flats
    images = (255 * images + torch.arange(200).view(-1, 1, 1, 1) % 7).round().byte()
    config = itn.ScreenConfig(("brightness",), magnitudes={"brightness": (0.0, 0.1)}, bisections=0)
    of_bytes = itn.screen(brightness, images, labels, config).outcomes
    of_floats = itn.screen(brightness, images.double() / 255, labels, config).outcomes
    np.testing.assert_array_equal(of_bytes.digests, of_floats.digests)
    assert len(set(of_bytes.digests.tolist())) == len(images.flatten(1).unique(dim=0))
    assert of_bytes.source == ""


def test_without_labels_the_figure_has_no_accuracy(brightness, flats, texts):
    from itn.screening.plot_sweep import accuracy_curve  # noqa: PLC0415  # slow to import

    config = itn.ScreenConfig(("brightness",), criterion="agreement")
    found = itn.screen(brightness, flats[0], config=config)
    assert not found.outcomes.labeled
    record = found.record.transforms["brightness"]
    shown = flats[0][None, :1], torch.ones(1, 1, dtype=torch.bool), (0.0,)
    figure = accuracy_curve(itn.TRANSFORMS["brightness"], record, *shown, 0.9, 0.95, labeled=False)
    assert "accuracy" not in " ".join(texts(figure))
    assert "softmax changed, mean total variation in %" in texts(figure)
    assert "accuracy" in texts(accuracy_curve(itn.TRANSFORMS["brightness"], record, *shown, 0.9, 0.95))


def test_the_smallest_type_that_holds_whole_numbers():
    for values, kind in (([0, 255], "u1"), ([-1, 3], "i2"), ([0, 256], "i2"), ([0, 40_000], "i4")):
        found = smallest(np.array(values))
        assert found.dtype == kind
        assert found.tolist() == values
