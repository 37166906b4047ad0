"""Images to learn from, and to choose the scale on and measure."""

import dataclasses
import itertools

import torch

import itn
from itn.learning.split import split_images

QUICK = itn.LearnConfig(objective="constrained", tolerance=0.06, steps=30, batch_size=64)


def test_images_of_the_two_parts_are_disjoint(blobs, side):
    data = itn.preflight(side, *blobs)
    numbered = dataclasses.replace(data, images=torch.arange(200.0).view(-1, 1, 1, 1))
    parts = [part.images.flatten().tolist() for part in split_images(numbered, QUICK)]
    assert list(map(len, parts)) == [80, 120]
    assert sorted(itertools.chain(*parts)) == list(range(200))


def test_classes_of_one_image_can_be_split(side):
    data = itn.CheckedImages(torch.zeros(200, 1, 1, 1), torch.arange(200), torch.arange(200))
    assert [len(part) for part in split_images(data, QUICK)] == [80, 120]
