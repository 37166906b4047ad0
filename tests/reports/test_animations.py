"""Films of runs: what they show is what the run has found, and they replace nothing else."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence
from torch import nn

import itn
from itn.cli.main import main
from itn.learning.film import closed_path
from itn.plotting.film import Film, Frame, Tile, image_of, is_film, write_film
from itn.screening import film as screening_film


def frames(path):
    with Image.open(path) as film:
        return [np.asarray(frame.convert("RGB")).copy() for frame in ImageSequence.Iterator(film)]


class Side(nn.Module):
    """Says on which side of the middle an image is brighter."""

    def forward(self, images):
        left, right = (half.mean((1, 2, 3)) for half in images.chunk(2, -1))
        return 20 * torch.stack([left - right, right - left], 1)


@pytest.fixture(scope="module")
def dots():
    """Sixty images, 1 x 12 x 12, of a dot on the left, class 0, or on the right."""
    y, x = torch.meshgrid(*[torch.arange(12.0)] * 2, indexing="ij")
    labels = torch.arange(60) % 2
    centres = 3.0 + 5 * labels.view(-1, 1, 1)
    return torch.exp(-((x - centres) ** 2 + (y - 5.5) ** 2) / 4).unsqueeze(1), labels


@pytest.fixture(scope="module")
def sided():
    return itn.Classifier(Side(), name="side")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def screen(dots, sided, folders):
    magnitudes = {"translate_x": (-0.6, 0.0, 0.6), "noise": (0.0, 2.0)}
    config = itn.ScreenConfig(("translate_x", "noise"), magnitudes=magnitudes)
    return itn.screen(sided, *dots, config, folders / "screen")


@pytest.fixture(scope="module")
def learned(dots, sided, folders):
    config = itn.LearnConfig(parts=("spatial",), objective="switched", steps=2, batch_size=16)
    return itn.learn(sided, *dots, config, folders / "learn")


@pytest.mark.parametrize("ending", ["gif", "webp"])
def test_a_film_shows_its_frames_for_their_time_in_a_loop(ending, tmp_path):
    tiles = [[Tile(torch.full((1, 6, 8), shade), "", "dog", shade < 0.5)] for shade in (0.2, 0.4, 0.9)]
    film = Film("a $odd_name", "what it shows", tuple(Frame("k", tuple(of), 200) for of in tiles))
    write_film(film, path := tmp_path / f"a.{ending}")
    assert is_film(path)
    shown = frames(path)
    assert len(shown) == 3
    height, width, _ = shown[0].shape
    middle = [frame[height // 2 + 5, width // 4].astype(float).mean() / 255 for frame in shown]
    np.testing.assert_allclose(middle, [0.2, 0.4, 0.9], atol=0.04)
    with Image.open(path) as opened:
        opened.load()
        assert opened.info["loop"] == 0
        assert opened.info["duration"] == 200


def test_a_screen_is_shown_until_the_prediction_changes(screen, sided):
    film = screen.film("translate_x")
    assert film.model == "side"
    examples = [example for example in screen.examples if example.transform == "translate_x"]
    assert len(film.frames[0].tiles) == len(examples)
    for number, example in enumerate(examples):
        strip = [frame.tiles[number] for frame in film.frames]
        assert [tile.kept for tile in strip] == [True] * (len(strip) - 1) + [False]
        answers = [sided.class_name(int(sided(tile.image[None]).argmax())) for tile in strip]
        assert answers == [tile.answer for tile in strip]
        assert torch.equal(strip[0].image, image_of(example.moments[0].picture))
        assert torch.equal(strip[-1].image, image_of(example.moments[2].picture))


@pytest.mark.parametrize("settings", [{}, {"padding": "reflection"}, {"interpolation": "bicubic"}])
def test_between_its_stored_pictures_an_image_is_changed_as_the_screen_did(screen, settings):
    result = dataclasses.replace(screen, record=dataclasses.replace(screen.record, **settings))
    strip = [frame.tiles[0] for frame in result.film("translate_x").frames]
    last = next(e for e in screen.examples if e.transform == "translate_x").moments[1].magnitude
    step = screening_film.STEPS // 2
    v = last * step / (screening_film.STEPS - 1)
    expected = itn.TRANSFORMS["translate_x"](strip[0].image[None], v, **settings)[0]
    torch.testing.assert_close(strip[step].image, expected)


def test_of_what_cannot_be_done_again_only_stored_pictures_are_shown(screen):
    assert {e.transform for e in screen.examples} == {"translate_x", "noise"}
    assert len(screen.film("noise").frames) == 3  # its pattern was drawn for each image
    assert screen.film().what.startswith("translate_x")
    with pytest.raises(ValueError, match="changes under rotate: give one of translate_x, noise"):
        screen.film("rotate")


def test_a_family_is_shown_from_no_change_to_full_strength_and_back(learned, sided):
    film = learned.film()
    path = [frame.place for frame in film.frames]
    assert path == closed_path()
    assert path[0] == (0, 0)
    assert path[len(path) // 2] == pytest.approx((1, 1))
    assert (
        max(
            max(abs(b - a) for a, b in zip(p, q, strict=True))
            for p, q in zip(path, path[1:] + path[:1], strict=True)
        )
        < 0.1
    )
    full = film.frames[len(path) // 2]
    for number, image in enumerate(learned.examples.lattice.images):
        unchanged = image_of(image.picture)
        assert torch.equal(film.frames[0].tiles[number].image, unchanged)
        one = torch.ones(2)
        torch.testing.assert_close(
            full.tiles[number].image, learned.net.transform(unchanged[None], 0 * one, one)[0]
        )
        logits = learned.net(unchanged[None], 0 * one, one)
        assert full.tiles[number].answer == sided.class_name(int(logits.argmax()))


def test_folder_and_result_make_the_same_film(learned, screen, folders, tmp_path, monkeypatch):
    for module in ("learning", "screening"):
        monkeypatch.setattr(f"itn.{module}.film.STEPS", 4)  # drawing takes the time
    for result, name in ((learned, "learn"), (screen, "screen")):
        written = itn.animate(folders / name)
        assert written == folders / name / "animation.gif"
        again = itn.animate(result, out=tmp_path / f"{name}.gif")
        assert again.read_bytes() == written.read_bytes()
        assert itn.animate(folders / name) == written  # its own file is replaced


def test_a_film_replaces_no_other_file(screen, tmp_path):
    mine = tmp_path / "mine.gif"
    mine.write_bytes(b"GIF89a, of a holiday")
    with pytest.raises(ValueError, match=r"mine\.gif is not a film of itn, and would be lost"):
        itn.animate(screen, out=mine)
    assert mine.read_bytes() == b"GIF89a, of a holiday"
    with pytest.raises(ValueError, match=r"a film ends in \.gif or \.webp, got .*a\.mp4"):
        itn.animate(screen, out=tmp_path / "a.mp4")
    with pytest.raises(ValueError, match="name the file of the film"):
        itn.animate(screen)
    assert not (tmp_path / "a.mp4").exists()


def test_the_command_writes_a_film_or_one_line(screen, folders, tmp_path, capsys):
    out = tmp_path / "noise.webp"
    assert main(["animate", str(folders / "screen"), "--transform", "noise", "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"film: {out}\n"
    assert len(frames(out)) == 3
    assert main(["animate", str(tmp_path / "nowhere")]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"itn: {tmp_path / 'nowhere'} does not hold a finished run that can be animated")
    assert error.count("\n") == 1
