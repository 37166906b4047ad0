"""Results as data frames, and records as short tables."""

import sys

import pytest
from matplotlib.figure import Figure

import itn
from itn.learning.records import LearnStep

MAGNITUDES = {"brightness": (-0.4, -0.2, 0.0, 0.2, 0.4), "contrast": (0.5, 1.0, 2.0)}


@pytest.fixture(scope="module")
def brightness_images():
    import torch  # noqa: PLC0415

    labels = torch.arange(40) % 2
    return (0.25 + 0.5 * labels.float()).view(-1, 1, 1, 1).expand(-1, 1, 4, 4).clone(), labels


@pytest.fixture
def sweep(brightness, brightness_images):
    config = itn.ScreenConfig(("brightness", "contrast"), magnitudes=MAGNITUDES, bisections=2)
    return itn.screen(brightness, *brightness_images, config)


@pytest.fixture
def worst(brightness, brightness_images):
    return itn.worst_case(
        brightness, *brightness_images, box={"brightness": (-0.4, 0.4), "contrast": (0.5, 2)}
    )


def test_a_screen_has_a_row_for_each_transformation_and_magnitude(sweep):
    frame = sweep.to_frame()
    assert list(frame["transform"]) == ["brightness"] * 5 + ["contrast"] * 3
    assert tuple(frame["magnitude"]) == (*MAGNITUDES["brightness"], *MAGNITUDES["contrast"])
    for name, record in sweep.record.transforms.items():
        of_name = frame[frame["transform"] == name]
        for column in ("accuracy", "ci_low", "ci_high", "agreement", "softmax_change", "pixel_change"):
            assert tuple(of_name[column]) == getattr(record, column)
    assert set(frame["n"]) == {40}
    assert frame["lost_content"].isna().all()  # of what moves no pixels


def test_a_worst_case_has_a_row_for_each_image(worst):
    frame = worst.to_frame()
    assert list(frame["image"]) == [row.image for row in worst.images]
    assert list(frame["class"]) == [row.class_ for row in worst.images]
    searched = frame[frame["searched"]]
    points = [row.point for row in worst.images if row.searched]
    assert list(zip(searched["brightness"], searched["contrast"], strict=True)) == points
    assert searched["survives"].mean() == pytest.approx(worst.record.survival.value)


def test_a_comparison_has_a_row_for_each_line_of_its_table(sweep):
    compared = itn.compare([sweep, sweep], resamples=100)
    frame = compared.to_frame()
    assert len(frame) == len(compared.rows)
    assert set(frame["quantity"]) >= {"accuracy", "threshold_accuracy", "breaks"}
    assert set(frame["value"].dropna()) <= {0.0, 1.0}  # of itself no difference, or a factor of 1
    assert isinstance(compared.plot(), Figure)
    with pytest.raises(ValueError, match="pair must be 0 to 0, got 1"):
        compared.plot(1)


def test_learning_has_a_row_for_each_step(blobs, side):
    result = itn.learn(side, *blobs, {"objective": "switched", "steps": 3, "batch_size": 32})
    frame = result.to_frame()
    assert list(frame["step"]) == [0, 1, 2]
    assert list(frame["displacement_spatial"]) == [step.displacement["spatial"] for step in result.history]
    assert list(frame["cross_entropy"]) == [step.values["cross_entropy"] for step in result.history]
    assert repr(result.record) == str(result)


def test_a_step_is_a_row():
    step = LearnStep(4, {"color": 0.5}, {"drop": None})
    assert step.columns() == {"step": 4, "displacement_color": 0.5, "drop": None}


def test_without_pandas_the_error_names_the_extra(worst, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r'to_frame needs pandas.*pip install "itn\[pandas\]"'):
        worst.to_frame()


def test_results_and_records_print_as_their_table(sweep, worst):
    for result in (sweep, worst):
        assert repr(result) == str(result) == repr(result.record) == str(result.record)
        assert 5 < len(repr(result).split("\n")) < 40
        shown = result._repr_html_()
        assert shown == result.record._repr_html_()
        assert shown.startswith("<pre")
    assert isinstance(worst.plot(), Figure)
