"""Names in figures: inside the paper, beside each other, and in letters that there are."""

import dataclasses

import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

import itn
from itn.learning import class_plots, plots
from itn.plotting.names import AVERAGE, choose_fonts, class_called, class_label, shortened
from itn.plotting.style import save
from itn.screening import plot_sweep
from itn.screening.records import FlipRow, SoftmaxRow

LONG = ("a photograph of a very large ball", "WWWWWWWWWWWWWWWWWWWWWWWWWWW", "очень_длинное_название_класса")


@pytest.mark.parametrize("name", [*LONG, "short", "two\nlines", "$x$"])
def test_names_are_no_wider_than_their_room(name):
    most = 12
    drawn = shortened(name, most).replace(r"\$", "$")
    width = text_to_path.get_text_width_height_descent(drawn, FontProperties(size=100), False)[0]
    assert width <= 100 * AVERAGE * (most + 0.5)
    assert "\n" not in drawn
    if name in LONG:
        assert "…" in drawn
        assert (drawn[0], drawn[-1]) == (name[0], name[-1])


def test_a_class_is_called_by_its_number_where_its_name_cannot_be_drawn_or_will_be_cut():
    assert class_label("no defect", 1) == "no defect"
    assert class_label("собака", 1) == "собака"
    assert class_label(chr(0x5FFFD), 3) == "class 3"  # no font has it
    labels = {shortened(class_label(f"category number {k} of the collection", k)) for k in range(300)}
    assert len(labels) == 300
    assert class_called(chr(0x5FFFD), ("a", chr(0x5FFFD))) == "class 1"
    assert class_called("elsewhere", ("a", "b")) == class_called("elsewhere", None) == "elsewhere"
    assert shortened(f"in {chr(0x5FFFD)} letters") == "in ? letters"


def test_worst_images_of_classes_that_no_font_can_write(blobs, side, tmp_path):
    """A box of an empty character would stand for each letter, and matplotlib would warn."""
    classifier = itn.Classifier(side.net, class_names=[chr(0x5FFFC) * 30, chr(0x5FFFD) * 30])
    itn.worst_case(classifier, *blobs, box={"translate_x": (-0.3, 0.3)}, out=tmp_path / "run")
    assert (tmp_path / "run" / "figures" / "worst.png").exists()


def test_another_font_draws_what_the_usual_one_lacks(tmp_path):
    """STIX, which matplotlib brings as well, has a bold mathematical A, DejaVu Sans has not."""
    bold = "\U0001d400"
    assert class_label(bold, 0) == bold
    figure = Figure()
    text = figure.text(0.5, 0.5, f"class {bold}")
    plain = figure.text(0.5, 0.2, "class A")
    before = plain.get_fontfamily()
    choose_fonts(figure)
    assert text.get_fontfamily()[:-1] == plain.get_fontfamily() == before
    save(figure, tmp_path / "a.png")  # a missing glyph would be a warning, which is an error here


def check_texts(figure):
    """All texts lie inside the figure, and those above neighbouring axes beside each other."""
    figure.draw_without_rendering()
    drawn, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert min(drawn.x0, drawn.y0) > -0.01
    assert drawn.x1 < width + 0.01
    assert drawn.y1 < height + 0.01
    above = [text for ax in figure.axes for text in (*ax.texts, ax.title, ax._left_title) if text.get_text()]
    titles = [text.get_window_extent() for text in above]
    for number, one in enumerate(titles):
        assert not any(one.overlaps(other) for other in titles[number + 1 :] if one.y0 == other.y0)


def long_names(count):
    return [class_label(f"{LONG[k % 3]} {k}", k) for k in range(count)]


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_softmax_and_survival_of_few_classes_with_long_names(count):
    rotate, names = itn.TRANSFORMS["rotate"], long_names(count)
    rows = [
        SoftmaxRow("rotate", v, name, output, 0.3)
        for name in names
        for output in dict.fromkeys((name, *names[:2], "others"))
        for v in (-90.0, 0.0, 90.0)
    ]
    check_texts(plot_sweep.class_softmax(rotate, rows))
    flips = [FlipRow("rotate", "above", str(i), name, 45.0, True) for i, name in enumerate(names)]
    check_texts(plot_sweep.survival(rotate, flips, (0.0, 90.0), 0.95))


def test_strips_of_long_names():
    images = torch.rand(2, 6, 1, 8, 8)
    predictions = torch.tensor([[0, 1, 2, 0, 1, 2], [2, 1, 0, 2, 1, 0]])
    figure = plots.class_strips(
        {"color": images, "spatial": images}, {"color": predictions, "spatial": predictions},
        torch.tensor([0, 1]), LONG.__getitem__, (0.0, 0.2, 0.4, 0.6, 0.8, 1.0),
        {"color": "color", "spatial": "spatial"},
    )  # fmt: skip
    check_texts(figure)


@pytest.fixture(scope="module")
def record():
    """Of two classes."""
    images = torch.rand(200, 1, 6, 6, generator=torch.Generator().manual_seed(0)) * 0.4
    labels = torch.arange(200) % 2
    images += 0.5 * labels.view(-1, 1, 1, 1)

    class Bright(torch.nn.Module):
        def forward(self, images):
            excess = 20 * (images.mean((1, 2, 3)) - 0.45)
            return torch.stack([-excess, excess], 1)

    config = {"parts": ("color",), "color_family": "bias", "tolerance": 0.06, "steps": 2}
    return itn.learn_per_class(itn.Classifier(Bright()), images, labels, config).record


@pytest.mark.parametrize("count", [2, 10, 20, 1000])
def test_families_of_classes_with_long_names(count, record):
    classes = tuple(
        dataclasses.replace(record.classes[k % 2], label=k, name=f"{LONG[k % 3]} {k}") for k in range(count)
    )
    for draw in (class_plots.families, class_plots.allowed):
        figure = draw(dataclasses.replace(record, classes=classes))
        check_texts(figure)
        assert all(ax.get_position().height > 0.2 for ax in figure.axes if ax.patches)
