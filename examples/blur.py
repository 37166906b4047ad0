"""A blur as a transformer: ``python examples/blur.py`` asks lenet5 how strong it may be."""

from torch import Tensor

import itn
from itn.nn import Frame


class Blur(itn.Transformer):
    """A Gaussian blur whose standard deviation, in pixels, k drives."""

    names, bound = ("sigma in pixels",), 4.0

    def apply_parameters(self, images: Tensor, p: Tensor, frame: Frame) -> Tensor:
        """Return blurred images; at 0 the images themselves."""
        return itn.TRANSFORMS["blur"].apply(images, p[:, 0].abs(), frame.padding)

    def displacement(self, p: Tensor, frame: Frame) -> Tensor:
        """Return the variance of the blur, in squared pixels."""
        return p[:, 0].square()

    def describe(self, p: Tensor, frame: Frame) -> str:
        """Return the blur in words."""
        return f"images are blurred by a Gaussian of {abs(p[0, 0].item()):.2f} pixels"


def main() -> None:
    """Learn how much blur, and how much blur after a change of colors, lenet5 takes."""
    classifier = itn.load_classifier("lenet5")
    images, labels = itn.load_images("mnist:heldout", limit=4000)
    blur = Blur(nonnegative=True)
    for parts in ({"blur": blur}, {"color": itn.ColorTransformer(channels=1), "blur": blur}):
        print(itn.learn(classifier, images, labels, itn.LearnConfig(parts=parts, steps=100)), "\n")


if __name__ == "__main__":
    main()
