"""Records to and from JSON."""

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def read_as(command: str) -> Iterator[None]:
    """Turn what content that is no record of a command raises into ValueError."""
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"the content is no record of {command} ({error!r})") from None
