"""The named checks of a preflight, and what a user accepts of what they find."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal, get_args

from itn.runtime.validation import check_choice, check_names

CheckName = Literal["in-place", "gradient", "batch", "repeat", "logits", "labels", "chance", "range"]
"""What a preflight looks for; docs/how-to/checks.md has a paragraph on each."""


@dataclass
class Findings:
    """What the checks of one preflight have found, and which of them may find something."""

    accept: Collection[str] = ()
    """Checks that do not stop the run."""
    accepted: dict[str, str] = field(default_factory=dict)
    """What these have found."""
    outputs: str | None = None
    """What the logits are, where the network returns something else than a tensor of them."""

    def report(self, check: CheckName, found: str) -> None:
        """Raise ValueError with what a check has found, unless the user accepts it."""
        if check not in self.accept:
            raise ValueError(f'{found}. To go on all the same, accept this check: accept=("{check}",)')
        self.accepted[check] = found


def check_accept(accept: object) -> tuple[CheckName, ...]:
    """Return the names of checks as a tuple; raise ValueError unless they are some."""
    check_names(accept, "accept is")
    for name in accept:  # type: ignore[attr-defined]
        check_choice("accept", name, get_args(CheckName))
    return tuple(accept)  # type: ignore[arg-type]


def named(items: list[str]) -> str:
    """Return up to three names, and how many more there are."""
    return ", ".join(items[:3]) + (f" and {len(items) - 3} more" if len(items) > 3 else "")
