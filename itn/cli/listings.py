"""``itn models`` and ``itn transforms``: what there is to choose from."""

from itn.models.sources import model_table
from itn.runtime.tables import text_table
from itn.transforms import TRANSFORMS


def models_command() -> None:
    """List the classifiers that can be named."""
    header, *rows = model_table()
    print(text_table(rows, header))


def transforms_command() -> None:
    """List the transformations with their units, identities and default magnitudes."""
    rows = []
    for name, transform in TRANSFORMS.items():
        first, *_, last = transform.magnitudes
        swept = f"{first:g} to {last:g}, {len(transform.magnitudes)} values"
        meaning = (transform.function.__doc__ or "").partition("\n")[0]
        rows.append((name, transform.unit, f"{transform.identity:g}", swept, meaning))
    print(text_table(rows, ("transformation", "unit", "identity", "magnitudes", "what it does")))
