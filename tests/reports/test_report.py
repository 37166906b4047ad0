"""Reports: one file for a run or several, which holds what was found and loads nothing."""

import dataclasses
import io
import json
import shutil
from html.parser import HTMLParser

import pytest
import torch
from PIL import Image

import itn
from itn.cli.main import main
from itn.reports import kinds
from itn.reports.html import page_html
from itn.reports.page import RunPage, Section, Text
from itn.reports.pictures import data_uri, eight_bits, encoded
from itn.runtime.provenance import commanded, provenance
from itn.runtime.run_dir import content_of
from itn.screening.examples import RANKS
from tests.reports.conftest import LEARN, SCREEN, Side

NASTY = '<script>alert("1")</script>'


class Texts(HTMLParser):
    """The tags, texts and addresses of a page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.texts, self.links = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ("src", "href", "xlink:href", "action")]

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


def read(path):
    return Texts(path.read_text())


def test_a_screen_ends_with_a_page_that_says_what_was_found(screened):
    result, folder = screened
    page = read(folder / "report.html")
    threshold = result.record.transforms["translate_x"].thresholds.accuracy["above"]
    for words in (
        "side on 200 images (spots): accuracy, 100.00 % [98.17 %, 100.00 %] unchanged, stays at or above",
        "90 % of that under translate_x from",
        f"to {threshold.value:.3g} [",
        "It stays there under all that was tested of brightness (0 to 0.1, fraction of full range).",
        "Under translate_x and brightness together",
        "changes first: image",
        "What these numbers do not say",
        "itn.screen(classifier, images, labels, itn.ScreenConfig(transforms=('translate_x', 'brightness')",
        result.record.provenance["torch"],
        "seed 0",
    ):
        assert words in page.text, words
    assert page.tags.count("svg") == 4  # thresholds, two curves, a map
    assert page.tags.count("h1") == 1


def test_a_page_loads_nothing_and_equal_runs_have_equal_ones(screened, learned, spots, sides, tmp_path):
    for folder in (screened[1], learned[1]):
        page = read(folder / "report.html")
        assert all(link.startswith(("data:", "#")) for link in page.links)
        assert "://" not in (folder / "report.html").read_text()
        assert (folder / "report.html").stat().st_size < 500_000
    itn.screen(sides, *spots, SCREEN, tmp_path / "again", source="spots")
    assert content_of(tmp_path / "again") == content_of(screened[1])
    before = (learned[1] / "report.html").read_bytes()
    assert itn.report(learned[1]) == learned[1] / "report.html"
    assert (learned[1] / "report.html").read_bytes() == before


def test_examples_are_where_the_prediction_changes(screened, spots):
    result, folder = screened
    examples = [example for example in result.examples if example.transform == "translate_x"]
    assert [example.rank for example in examples] == list(RANKS)
    flips = {(row.image, row.magnitude) for row in result.flips if row.flipped}
    for example in examples:
        unchanged, last, first = example.moments
        assert unchanged.answer == last.answer == example.class_ != first.answer
        assert unchanged.magnitude == 0
        assert abs(first.magnitude - last.magnitude) == pytest.approx(0.2 / 2**3)
        assert (example.image, first.magnitude) in flips
        image = spots[0][int(example.image)][None]
        shifted = itn.TRANSFORMS["translate_x"](image, first.magnitude)
        assert first.picture == encoded(shifted[0])
    assert itn.load_screen(folder).examples == result.examples
    assert not [example for example in result.examples if example.transform == "brightness"]


def test_a_family_has_sliders_and_answers_of_the_net(learned):
    result, folder = learned
    page = read(folder / "report.html")
    assert result.record.certificate.statement in page.text
    data = json.loads(next(text for text in page.texts if text.startswith('{"names"')))
    assert data["controls"] == ["color", "spatial"]
    assert data["points"] == [0, 0.25, 0.5, 0.75, 1]
    assert [mark["name"] for mark in data["marks"]] == ["unchanged", "full strength", "worst k"]
    assert data["marks"][2]["k"] == list(result.record.certificate.worst.k)
    for image, of_page in zip(result.examples.lattice.images, data["images"], strict=True):
        assert of_page["src"] == data_uri(image.picture)
        assert len(image.answers) == 625
        assert image.answers[0] == image.unchanged
        assert data["names"][str(image.unchanged)] == str(image.unchanged)
    for flip in result.examples.flips:
        assert flip.moments[0].answer == flip.moments[1].answer != flip.moments[2].answer


def test_sliders_that_do_the_same_are_said_to(learned):
    result = learned[0]
    for member, said in (("zoom +", True), ("zoom + and rotate -", False), (None, False)):
        parts = {name: dataclasses.replace(part, member=member) for name, part in result.record.parts.items()}
        page = dataclasses.replace(result, record=dataclasses.replace(result.record, parts=parts)).page()
        (section,) = [section for section in page.sections if section.key == "sliders"]
        assert ("do the same" in " ".join(section.blocks[0].reading)) == said


def test_the_lattice_holds_the_answers_of_the_net(learned, spots):
    """Each image is found again among all by its pixels, and classified at every point."""
    result, _ = learned
    pixels = spots[0]
    ks = torch.cartesian_prod(*[torch.linspace(0, 1, 5)] * 4)
    for image in result.examples.lattice.images[:2]:
        row = next(n for n, each in enumerate(pixels) if encoded(each, exact=True) == image.picture)
        images = pixels[row].expand(len(ks), -1, -1, -1)
        with torch.no_grad():
            answers = result.net(images, ks[:, :2], ks[:, 2:]).argmax(1)
        assert answers.tolist() == list(image.answers)


def test_transformers_of_the_user_have_pictures_along_rays(faded):
    result, folder = faded
    assert result.examples.lattice is None
    page = read(folder / "report.html")
    data = json.loads(next(text for text in page.texts if text.startswith('{"names"')))
    assert [way["name"] for way in data["ways"]] == ["fade: k1 = (t, 0)", "fade: k1 = (0, t)"]
    assert all(len(way) == 5 for image in data["images"] for way in image["pictures"])
    assert "Measured, not certified: on 120 held-out images accuracy of side is" in page.text
    assert "Nothing is certified" in page.text


def test_families_of_classes_move_the_images_of_their_class(spots, sides, tmp_path):
    result = itn.learn_per_class(sides, *spots, LEARN, tmp_path / "run")
    page = read(tmp_path / "run" / "report.html")
    assert result.record.certificate.statement in page.text
    assert [image.family for image in result.examples.lattice.images] == [0, 1]
    assert len(result.examples.lattice.families) == 2


def test_several_runs_stand_side_by_side(screened, learned, tmp_path, capsys):
    both = tmp_path / "both.html"
    assert main(["report", str(screened[1]), str(learned[1]), "--out", str(both)]) == 0
    assert capsys.readouterr().out == f"report: {both}\n"
    page = read(both)
    assert page.tags.count("h1") == 2
    assert page.tags.count("main") == 1
    assert "This run has no such section." in page.text
    assert screened[0].record.model in page.text
    assert itn.report([screened[0], learned[0]], tmp_path / "memory.html").exists()
    assert main(["report", str(screened[1]), str(learned[1])]) == 2
    assert "name the file of the report, such as --out report.html" in capsys.readouterr().err


def test_other_images_beside_each_other_are_said(spots, sides, screened, tmp_path):
    itn.screen(sides, spots[0][:100], spots[1][:100], SCREEN, tmp_path / "fewer")
    itn.report([screened[1], tmp_path / "fewer"], tmp_path / "both.html")
    assert "These runs are about different images." in read(tmp_path / "both.html").text


def test_names_are_escaped_everywhere(spots, tmp_path):
    names = (NASTY, "a & b </script> ' \"")
    classifier = itn.Classifier(Side(), name=NASTY, class_names=names)
    itn.screen(classifier, *spots, SCREEN, tmp_path / "screen", source=NASTY, names=[NASTY] * 200)
    config = itn.LearnConfig(objective="switched", steps=2, batch_size=64)
    itn.learn(classifier, *spots, config, tmp_path / "learn", source=NASTY)
    for run in ("screen", "learn"):
        page = read(tmp_path / run / "report.html")
        assert page.tags.count("script") == (1 if run == "screen" else 2)  # ours, and JSON
        assert NASTY in page.text


def test_a_report_that_fails_does_not_lose_the_run(spots, sides, tmp_path, monkeypatch):
    def fails(*_):
        raise RuntimeError("no ink")

    monkeypatch.setattr(kinds, "page_html", fails)
    with pytest.warns(itn.ReportWarning, match="no ink"):
        result = itn.screen(sides, *spots, SCREEN, tmp_path / "run")
    assert (tmp_path / "run" / "result.json").exists()
    assert not (tmp_path / "run" / "report.html").exists()
    monkeypatch.undo()
    again = itn.screen(sides, *spots, SCREEN, tmp_path / "run")
    assert again.record == result.record
    assert (tmp_path / "run" / "report.html").exists()


def test_the_command_is_told_without_its_places(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = ["screen", "--limit", "60", "--transforms", "brightness", "--bisections", "0"]
    assert main([*arguments, "--out", "run", "--overwrite"]) == 0
    assert "report: run/report.html" in capsys.readouterr().out
    said = "itn screen --limit 60 --transforms brightness --bisections 0"
    assert said in read(tmp_path / "run" / "report.html").text
    assert json.loads((tmp_path / "run" / "result.json").read_text())["provenance"]["command"] == said
    with commanded(["learn", "--out=a b", "--device", "cpu", "--weights", "my net.pt", "--deterministic"]):
        assert provenance(torch.device("cpu"))["command"] == "itn learn --weights 'my net.pt'"
    assert "command" not in provenance(torch.device("cpu"))


def test_what_is_no_run_and_what_is_no_report_is_refused(screened, tmp_path):
    (tmp_path / "notes.html").write_text("mine")
    with pytest.raises(ValueError, match="is not a report of itn, and would be lost"):
        itn.report(screened[1], tmp_path / "notes.html")
    assert (tmp_path / "notes.html").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="does not hold a finished run"):
        itn.report(tmp_path / "empty")
    assert not list((tmp_path / "empty").iterdir())
    with pytest.raises(ValueError, match="name the file"):
        itn.report(screened[0])
    with pytest.raises(ValueError, match="one run or several"):
        itn.report([])
    with pytest.raises(ValueError, match="folders or results"):
        itn.report([3], tmp_path / "x.html")


def test_runs_without_examples_are_reported_without(screened, learned, tmp_path):
    for name, (_, folder) in (("screened", screened), ("learned", learned)):
        shutil.copytree(folder, tmp_path / name)
        (tmp_path / name / "examples.json").unlink()
        text = read(itn.report(tmp_path / name)).text
        assert "No image is shown" in text or "has left no images" in text


def test_results_draw_their_figures_and_show_themselves(screened, learned, texts):
    sweep, run = screened[0], learned[0]
    assert "translate_x (fraction of the width)" in texts(sweep.plot("translate_x"))
    assert itn.load_screen(screened[1]).plot("translate_x,brightness").axes
    assert sweep.plot().axes
    assert run.plot().axes
    assert run.plot("losses").axes
    for result in (sweep, run):
        with pytest.raises(ValueError, match="give one of"):
            result.plot("nothing")
        assert result._repr_html_().startswith("<pre")
    assert "accuracy &gt;= 90 % of clean" in sweep._repr_html_()


def test_sections_of_several_runs_are_in_order():
    def run(*keys):
        return RunPage("run", ("says",), tuple(Section(key, f"on {key}", (Text((key,)),)) for key in keys))

    text = page_html([run("a", "c"), run("a", "b", "c", "d")])
    titles = [line for line in Texts(text).texts if line.startswith("on ")]
    assert titles == ["on a", "on b", "on c", "on d"]


def test_pictures_are_exact_where_they_have_to_be():
    image = torch.rand(3, 70, 80, generator=torch.Generator().manual_seed(0))
    assert encoded(image).startswith(b"\xff\xd8")
    assert encoded(image, exact=True).startswith(b"\x89PNG")
    assert encoded(image[:, :60, :60]).startswith(b"\x89PNG")
    wide = encoded(torch.rand(1, 40, 600, generator=torch.Generator().manual_seed(0)))
    with Image.open(io.BytesIO(wide)) as picture:
        assert picture.size == (256, 17)
    assert eight_bits(torch.tensor([0.0, 0.5, 1.0])).tolist() == [0, 128, 255]
