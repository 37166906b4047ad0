"""Which classes a report shows: those that are affected most, and least."""

from collections.abc import Sequence

from itn.runtime.wording import counted

SHOWN = 3
FEWEST_IMAGES = 10
"""Of each class, for classes to be compared."""


def extremes(order: Sequence[str]) -> list[tuple[str, str]]:
    """Return the classes that are affected most and least, with that word, from all in their order."""
    shown = min(SHOWN, len(order) // 2)
    ranks = (("most", order[:shown]), ("least", order[::-1][:shown]))
    return [(class_, rank) for rank, classes in ranks for class_ in classes]


def caution(compared: int, left_out: int, confidence: float) -> str:
    """Return what is to be known of the extremes of some classes, as the end of a sentence."""
    text = (
        f"these are the extremes of {compared} classes, picked after measuring, and of many classes some are "
        f"extreme by chance; each {100 * confidence:g} % interval is of its class alone."
    )
    if left_out:
        few = f"{counted(left_out, 'class', 'classes')} with fewer than {FEWEST_IMAGES} images"
        text = f"{text} {few} {'is' if left_out == 1 else 'are'} left out."
    return text
