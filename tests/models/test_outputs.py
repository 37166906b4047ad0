"""What networks return that is no tensor of logits: it is found, or refused with what to write."""

from collections import OrderedDict, namedtuple
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

import itn

Pair = namedtuple("Pair", "scores features")


@dataclass
class Found:
    scores: Tensor
    loss: None = None


@dataclass
class WithLogits:
    logits: Tensor
    features: Tensor


class Computed:
    """Has logits that are neither a field nor a key."""

    __slots__ = ("scores",)

    def __init__(self, scores):
        self.scores = scores

    @property
    def logits(self):
        return self.scores


RETURNED = {
    "dictionary": (lambda z: {"scores": z, "features": z}, "scores", r"dict\(scores: 32x2, features: 32x2\)"),
    "data class": (Found, "scores", r'Found\(scores: 32x2, loss: NoneType\).*output="scores"'),
    "named tuple": (lambda z: Pair(z, z), "scores", r"Pair\(scores: 32x2"),
    "tuple": (lambda z: (z, z[:, 0]), lambda out: out[0], r"tuple\(32x2, 32\).*lambda out: out\[0\]"),
    "column": (
        lambda z: z[:, 1:],
        lambda z: torch.cat([0 * z, 2 * z], 1),
        r"32x1 of.*cat\(\[0 \* z, z\], 1\)",
    ),
    "number": (
        lambda z: z[:, 1].sigmoid(),
        lambda p: torch.stack([1 - p, p], 1).log(),
        r"returns 32 of.*cat\(\[1 - z.view\(-1, 1\)",
    ),
    "one pixel": (
        lambda z: z[:, 1:, None, None],
        lambda z: torch.cat([0 * z.view(-1, 1), 2 * z.view(-1, 1)], 1),
        r"32x1x1x1 of.*cat\(\[0 \* z.view\(-1, 1\)",
    ),
    "features first": (
        lambda z: {"features": z[:, :, None], "scores": z},
        "scores",
        r'output="scores"\), or whichever of scores, features',
    ),
    "list of images": (list, torch.stack, r"list\(2, 2, 2 and 29 more\).*output=torch.stack"),
    "pixel": (lambda z: z[:, :, None, None], lambda z: z.flatten(1), r"32x2x1x1.*z\.flatten\(1\)"),
    "map": (
        lambda z: z[:, :, None, None].expand(-1, -1, 2, 3),
        lambda z: z.mean((2, 3)),
        r"32x2x2x3.*z\.mean\(\(2, 3\)\)",
    ),
    "views": (
        lambda z: torch.cat([z, z]),
        lambda z: z.view(2, -1, 2).mean(0),
        "64x2 .*one row for each image",
    ),
}


@pytest.mark.parametrize("returned", RETURNED)
def test_what_is_no_tensor_of_logits_is_refused_with_what_to_write(returned, blobs, side, through):
    change, output, message = RETURNED[returned]
    net = through(side.net, change=change)
    with pytest.raises(ValueError, match=message):
        itn.preflight(itn.Classifier(net), *blobs)
    chosen = itn.Classifier(net, output=output)
    assert itn.preflight(chosen, *blobs).clean.all()
    assert chosen(blobs[0][:3]).shape == (3, 2)


def test_numbers_of_classes_are_no_logits(blobs, side, through):
    with pytest.raises(ValueError, match=r"return the logits whose argmax they are"):
        itn.preflight(itn.Classifier(through(side.net, change=lambda z: z.argmax(1))), *blobs)
    with pytest.raises(ValueError, match=r"returns a NoneType, .*return a tensor"):
        itn.preflight(itn.Classifier(through(side.net, change=lambda z: None)), *blobs)


def test_what_is_called_logits_is_taken_and_said(blobs, side, through):
    config = itn.ScreenConfig(("contrast",), magnitudes={"contrast": (0.5,)}, bisections=0)
    plain = itn.screen(side, *blobs, config)
    for change, kind in (
        (lambda z: OrderedDict(loss=None, logits=z), "OrderedDict"),
        (lambda z: WithLogits(z, 2 * z), "WithLogits"),
        (Computed, "Computed"),
    ):
        found = itn.screen(itn.Classifier(through(side.net, change=change)), *blobs, config)
        assert found.curves == plain.curves
        assert found.record.provenance["outputs"] == f"logits of a {kind}"
        assert f"the network returns logits of a {kind}\n" in str(found)
    assert "outputs" not in plain.record.provenance


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (3, "output must be a name or a function"),
        ("scores", r"returns a tensor of 32x2, .*leave out output='scores'"),
        (lambda out: out["scores"], r"output fails on .*a tensor of 32x2 \(IndexError: .*another function"),
        (lambda out: 7, "output must return a tensor of logits, got a int"),
    ],
)
def test_an_output_that_is_not_there_is_refused(output, message, blobs, side):
    with pytest.raises(ValueError, match=message):
        itn.preflight(itn.Classifier(side.net, output=output), *blobs)


@pytest.mark.parametrize(
    ("change", "cure", "message"),
    [
        (lambda z: z.softmax(1), lambda p: p.clamp_min(1e-30).log(), "sum to 1;.*drop its last softmax"),
        (lambda z: 100 * z.softmax(1), lambda p: p.clamp_min(1e-30).log(), "sum to 100;"),
        (
            lambda z: (z / 20 + 1).sigmoid(),
            lambda p: p.logit(1e-6),
            "sigmoids: all outputs lie between 0 and 1",
        ),
    ],
)
def test_probabilities_are_refused_unless_that_is_accepted(change, cure, message, blobs, side, through):
    net = through(side.net, change=change)
    with pytest.raises(ValueError, match=f'{message}.*accept=."logits"'):
        itn.preflight(itn.Classifier(net), *blobs)
    assert itn.preflight(itn.Classifier(net), *blobs, accept=("logits",)).clean.all()
    assert itn.preflight(itn.Classifier(net, output=cure), *blobs).clean.all()


def test_sigmoids_that_are_all_small_are_refused(blobs, side, through):
    """Of ten classes and more, logits that are never negative are no accident."""

    def many(z):
        return torch.cat([z / 20, z.new_zeros(len(z), 10)], 1)

    tags = itn.Classifier(through(side.net, change=lambda z: (many(z) - 3).sigmoid()))
    assert tags(blobs[0]).max() < 0.5
    with pytest.raises(ValueError, match="sigmoids: all outputs lie between 0 and 1"):
        itn.preflight(tags, *blobs)
    assert itn.preflight(itn.Classifier(through(side.net, change=many)), *blobs).clean.all()
    cosines = itn.Classifier(through(side.net, change=lambda z: 0.25 + many(z) / 1000))
    assert itn.preflight(cosines, *blobs).clean.all()
    untrained = itn.Classifier(through(side.net, change=lambda z: 0 * many(z)))
    assert not itn.preflight(untrained, *blobs, accept=("chance", "labels")).clean.all()


def test_classes_masked_by_infinity_are_refused_with_what_to_write(blobs, side, through):
    masked = through(side.net, change=lambda z: torch.cat([z, z[:, :1] - torch.inf], 1))
    with pytest.raises(ValueError, match=r"masks by -inf write .*z.clamp_min\(-1e9\)"):
        itn.preflight(itn.Classifier(masked), *blobs)
    chosen = itn.Classifier(masked, output=lambda z: z.clamp_min(-1e9))
    assert itn.preflight(chosen, *blobs).clean.all()


def test_log_probabilities_serve_as_logits(blobs, side, through):
    config = itn.ScreenConfig(("contrast",), magnitudes={"contrast": (0.5,)}, bisections=0)
    logs = itn.Classifier(through(side.net, change=lambda z: z.log_softmax(1)))
    found, plain = (itn.screen(each, *blobs, config) for each in (logs, side))
    assert [row.accuracy for row in found.curves] == [row.accuracy for row in plain.curves]
    assert found.record.provenance["outputs"].startswith("log-probabilities")


def test_small_logits_are_no_sigmoids(blobs, side, through):
    small = itn.Classifier(through(side.net, change=lambda z: 0.6 + z / 100))
    assert ((small(blobs[0]) - 0.5).abs() <= 0.5).all()
    assert itn.preflight(small, *blobs).clean.all()


class Background(nn.Module):
    """The brightness of constant images as one of 1001 classes, the first of which is the background."""

    def forward(self, images):
        wanted = 1 + 999 * images.mean((1, 2, 3))
        return -(wanted[:, None] - torch.arange(1001.0, device=images.device)).abs()


def test_a_background_before_a_thousand_classes_is_refused_with_what_to_write():
    labels = torch.arange(0, 1000, 37)
    images = (labels / 999).view(-1, 1, 1, 1).expand(-1, 1, 4, 4).clone()
    with pytest.raises(ValueError, match=r"0 of 28 images are right as labeled, 28 .*lambda z: z\[:, 1:\]"):
        itn.preflight(itn.Classifier(Background()), images, labels)
    cut = itn.Classifier(Background(), output=lambda z: z[:, 1:])
    assert itn.preflight(cut, images, labels).clean.all()
    assert itn.preflight(itn.Classifier(Background()), images, labels + 1).clean.all()
