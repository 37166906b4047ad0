"""Importance sampling of training images: those that are likely to change are drawn more often."""

from collections.abc import Sequence

import torch
from torch import Tensor

from itn.functional import Surround
from itn.learning.constrained.problem import FamilyProblem
from itn.models.checked_images import CheckedImages
from itn.models.classifier import Classifier
from itn.runtime.batching import map_in_memory


class ImageSampler:
    """Draws images in proportion to their vulnerability, with weights that keep all means unbiased.

    Most images are far from the decision boundary: they never change and teach little. The vulnerability of
    an image is a running mean of how close it came to changing when it was drawn; it begins with the margin
    of the unchanged image. An image that is drawn c times as often as in uniform sampling weighs 1 / c, so
    that a weighted mean estimates the mean over all images. Some uniform draws keep all weights small.

    Args:
        problems: Whose images are drawn, those that can change.
        classifier: Gives the first margins; images are kept on its device.
        batch_size: Images in a forward pass.
        vulnerable_share: Share of the images that are drawn in proportion to vulnerability.
    """

    def __init__(
        self,
        problems: Sequence[FamilyProblem],
        classifier: Classifier,
        batch_size: int,
        vulnerable_share: float,
    ) -> None:
        changeable = [problem.training.part(problem.training.changeable) for problem in problems]
        self.criterion = changeable[0].criterion
        self.data = CheckedImages.joined([images.data for images in changeable]).to(classifier.device)
        self.members = torch.arange(len(self.data)).split([len(images.data) for images in changeable])
        self.changeable_shares = [
            len(images.data) / len(problem.training.data)
            for images, problem in zip(changeable, problems, strict=True)
        ]
        self.vulnerable_share = vulnerable_share
        self.vulnerability = self._first_vulnerability(classifier, batch_size)

    def draw(self, count: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw images of each problem.

        Returns:
            Indices, problems x count, and weights that make the mean over a row an unbiased estimate of the
            mean over all images of the problem.
        """
        indices, weights = [], []
        vulnerable = self.vulnerable_share
        for members, share in zip(self.members, self.changeable_shares, strict=True):
            vulnerability = self.vulnerability[members]
            chances = (1 - vulnerable) / len(members) + vulnerable * vulnerability / vulnerability.sum()
            index = torch.multinomial(chances, count, replacement=True, generator=random)
            indices.append(members[index])
            weights.append(share / len(members) / chances[index])
        return torch.stack(indices), torch.stack(weights)

    def pixels(self, index: Tensor, copies: int) -> tuple[Tensor, Surround | None]:
        """Return images of indices, problems x draws, copied for the restarts of a problem.

        Where photographs are known around them, these are canvases with their surround.
        """

        def copied(rows: Tensor) -> Tensor:
            rows = rows.unflatten(0, (len(index), 1, -1))
            return rows.expand(-1, copies, *rows.shape[2:]).flatten(0, 2)

        images, surround = self.data.with_surround(index.flatten(), self.data.labels.device)
        if surround is not None:
            surround = surround._replace(boxes=copied(surround.boxes))
        return copied(images), surround

    def known(self, index: Tensor, copies: int) -> tuple[Tensor, Tensor]:
        """Return references and labels of indices, problems x draws, likewise."""
        chosen = index.to(self.data.labels.device)
        reference, labels = (
            values[chosen].repeat_interleave(copies, 0).flatten(0, 1)
            for values in (self.data.reference, self.data.labels)
        )
        return reference, labels

    def update(self, index: Tensor, turning: Tensor) -> None:
        """Update the vulnerability of the drawn images.

        Args:
            index: The images, problems x draws.
            turning: How close each came to changing, problems x draws in [0, 1].
        """
        self.vulnerability[index] = 0.7 * self.vulnerability[index] + 0.3 * turning.cpu()

    def most_vulnerable(self, count: int) -> tuple[Tensor, Tensor]:
        """Return the most vulnerable images of each problem.

        Returns:
            Indices, problems x count, and 1 for each; both are 0 in places that a problem cannot fill.
        """
        count = min(count, max(map(len, self.members)))
        indices = torch.zeros(len(self.members), count, dtype=torch.long)
        present = torch.zeros(len(self.members), count)
        for row, members in enumerate(self.members):
            worst = members[self.vulnerability[members].topk(min(count, len(members))).indices]
            indices[row, : len(worst)], present[row, : len(worst)] = worst, 1
        return indices, present

    @torch.no_grad()
    def _first_vulnerability(self, classifier: Classifier, batch_size: int) -> Tensor:
        """Return how close each image is to changing when it is unchanged."""

        def evaluate_batch(rows: slice) -> Tensor:
            labels = self.data.labels[rows]
            logits = classifier.logits(self.data.pixels(rows, labels.device))
            return self.criterion.surrogate(logits, self.data.reference[rows], labels)

        batches, _ = map_in_memory(len(self.data), batch_size, evaluate_batch)
        unchanged = torch.cat(batches).abs().cpu()
        return torch.sigmoid(2 - 4 * unchanged / unchanged.median())
