"""Another order of the labels that explains the predictions far better than the one that is given."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from itn.stats import binomial_tail

FEWEST = 10  # images of a class
_BETTER = 4  # times as many of the images that get another label must be right
_BY_CHANCE = 1e-4  # probability that another order explains so much


class Order(NamedTuple):
    """An order of the labels."""

    text: str
    """Which one."""
    labels: Tensor
    """The output that each label would stand for."""


def better_order(
    labels: Tensor, predictions: Tensor, classes: int, class_names: Sequence[str] | None
) -> tuple[Order, float] | None:
    """Return the order that explains predictions far better than the labels do, and its accuracy; or None.

    Args:
        labels: N, int64, in [0, K). For an order without a name, classes with fewer than ten images are left
            out.
        predictions: N, int64.
        classes: K.
        class_names: Names of the outputs, if they are known.
    """
    counts = labels.bincount(minlength=classes)
    present = counts.nonzero().flatten()
    position = torch.zeros(classes, dtype=torch.int64).index_copy(0, present, torch.arange(len(present)))
    shares = torch.zeros(len(present), classes)
    shares.index_put_((position[labels], predictions), torch.ones(len(labels)), accumulate=True)
    shares /= counts[present, None]
    explaining = [
        order for order in _named(classes, class_names) if _explains(order, present, shares, counts)
    ]
    found = [(order, _accuracy(order, labels, predictions)) for order in explaining]
    best = max(found, key=lambda each: each[1], default=None)
    frequent = counts[present] >= FEWEST
    if frequent.sum() < 2:
        return best
    present, shares = present[frequent], shares[frequent]
    mostly_right = bool(_predicted_as(present, shares).mean() >= 0.5)
    order = _among(present, shares) if mostly_right else _any(present, shares)
    accuracy = _accuracy(order, labels, predictions)
    if mostly_right and not _each_moves(order, present, shares):
        return best
    # An order without a name fits by chance too
    if accuracy > max(0.5, 1.1 * best[1] if best else 0) and _explains(order, present, shares, counts, 0.5):
        best = order, accuracy
    return best


def _accuracy(order: Order, labels: Tensor, predictions: Tensor) -> float:
    return float((order.labels[labels] == predictions).float().mean())


def _named(classes: int, class_names: Sequence[str] | None) -> Iterator[Order]:
    numbers = torch.arange(classes)
    yield Order("they stand for the outputs in reverse", numbers.flip(0))
    for what, names in (
        ("folders numbered from 0", [str(number) for number in range(classes)]),
        ("folders numbered from 1", [str(number + 1) for number in range(classes)]),
        ("names of the classes", class_names if class_names and len(class_names) == classes else ()),
    ):
        if names:
            order = torch.tensor(sorted(range(classes), key=names.__getitem__))
            example = ", ".join(names[number] for number in order[:4].tolist())
            sorted_text = f"the order of the {what} sorted as text ({example})"
            yield Order(f"they are in {sorted_text} and the outputs are not", order)
            yield Order(f"the outputs are in {sorted_text} and they are not", order.argsort())
    yield Order("they are one too low", numbers.roll(-1))
    yield Order("they are one too high", numbers.roll(1))


def _any(present: Tensor, shares: Tensor) -> Order:
    """Return the one-to-one order that explains the most, found by assignment."""
    labels = torch.full((shares.shape[1],), -1)
    return _unnamed(present, labels.index_copy(0, present, _assigned(shares)))


def _among(present: Tensor, shares: Tensor) -> Order:
    """Return the best one in which classes that are mostly right stay, and others trade places."""
    own = shares[:, present]
    labels = torch.arange(shares.shape[1])
    others = present[_assigned(own + _BETTER * own.diag().diag())]
    return _unnamed(present, labels.index_copy(0, present, others))


def _assigned(scores: Tensor) -> Tensor:
    """Return a column for each row, each once, with the largest sum of scores."""
    from scipy.optimize import linear_sum_assignment  # noqa: PLC0415  # slow to import

    _, columns = linear_sum_assignment(-scores.numpy())
    return torch.as_tensor(columns)


def _unnamed(present: Tensor, labels: Tensor) -> Order:
    """Return an order as the list of the labels that it changes."""
    moved = [f"{label} for {labels[label]}" for label in present.tolist() if labels[label] != label]
    more = f" and {len(moved) - 10} more" if len(moved) > 10 else ""
    return Order(f"labels stand for other outputs, {', '.join(moved[:10])}{more}", labels)


def _explains(order: Order, present: Tensor, shares: Tensor, counts: Tensor, least: float = 0.0) -> bool:
    """Return whether far more of the images that get another label are right, and at least a share.

    Shares are means over classes, which are as certain as those of so many images in classes of one size.
    """
    moved, now, then = _moved(order, present, shares)
    if len(moved) < 2:
        return False
    share, chance = float(now.mean()), 1 / len(present)
    n = int(len(moved) ** 2 / (1 / counts[moved]).sum())
    return (
        share >= _BETTER * float(then.mean())
        and share > max(1.5 * chance, least)
        and binomial_tail(round(share * n), n, chance) < _BY_CHANCE
    )


def _each_moves(order: Order, present: Tensor, shares: Tensor) -> bool:
    """Return whether most images of each class that gets another label are predicted as that."""
    _, now, then = _moved(order, present, shares)
    return bool(((now >= 0.5) & (now >= _BETTER * then)).all())


def _moved(order: Order, present: Tensor, shares: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the classes that get another label, and their shares predicted as that, and as before."""
    other = order.labels[present]
    moved = other != present
    now, then = (_predicted_as(outputs, shares)[moved] for outputs in (other, present))
    return present[moved], now, then


def _predicted_as(outputs: Tensor, shares: Tensor) -> Tensor:
    """Return which share of each class is predicted as an output of its own."""
    return shares.gather(1, outputs[:, None])[:, 0]
