"""Photographs of one shade each, and a classifier that tells dark from light, known on paper."""

import torch
from PIL import Image
from torch import nn

import itn

SHADES = {"dark": 64, "light": 191}


class Brightness(nn.Module):
    """Says whether the mean of an image exceeds a threshold."""

    def __init__(self, threshold):
        super().__init__()
        self.threshold = threshold

    def forward(self, images):
        excess = 20 * (images.mean((1, 2, 3)) - self.threshold)
        return torch.stack([-excess, excess], 1)


def shade_classifier(threshold, size):
    """The classifier of crops of so many pixels."""
    preprocessing = itn.Preprocessing(resize=size, crop=(size, size))
    return itn.Classifier(
        Brightness(threshold), (0,) * 3, (1,) * 3, preprocessing=preprocessing, class_names=list(SHADES)
    )


def shade_photographs(folder, classifier, number):
    """So many of each shade, twice as wide as high: half the crop to its left and right, nothing above it."""
    size = classifier.preprocessing.crop[0]
    for name, shade in SHADES.items():
        (folder / name).mkdir(parents=True)
        for count in range(number):
            Image.new("RGB", (2 * size, size), (shade,) * 3).save(folder / name / f"{count:02}.png")
    return itn.load_images(folder, classifier, surround=2)
