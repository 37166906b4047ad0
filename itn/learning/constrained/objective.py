"""The constrained objective and its settings."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from itn.learning.constrained.learner import ConstrainedLearner
from itn.learning.constrained.settings import DEFAULT_SETTINGS, ConstrainedSettings
from itn.learning.objective import LearnProblem, Objective, mean
from itn.learning.records import LearnStep
from itn.runtime.validation import require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from itn.learning.config import LearnConfig


@dataclasses.dataclass(frozen=True)
class Constrained(Objective):
    """The largest displacement at which no more is lost than is tolerated; it is then certified."""

    settings: ConstrainedSettings = DEFAULT_SETTINGS
    """How it samples, steps and prunes; there is no need to change it."""

    name: ClassVar[str] = "constrained"
    members: ClassVar[bool] = True
    side_by_side: ClassVar[bool] = True
    columns: ClassVar[tuple[str, ...]] = ("drop", "multiplier", "restarts")

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            isinstance(self.settings, ConstrainedSettings),
            f"settings must be ConstrainedSettings, got {self.settings!r}",
        )

    @override
    def check(self, parts: Mapping[str, bool], hidden: int) -> None:
        require(
            hidden > 1 or not any(parts.values()),
            "hidden must be at least 2 where a family has one parameter: one unit for each end of its range",
        )

    @override
    def learner(self, problems: Sequence[LearnProblem], config: "LearnConfig") -> ConstrainedLearner:
        return ConstrainedLearner(problems, config, self)

    @override
    def progress(self, steps: Sequence[LearnStep]) -> str:
        return f"drop {mean(steps, 'drop'):.2%}"

    @override
    def figure(self, history: Sequence[LearnStep]) -> "Figure":
        from itn.learning.step_plots import constrained_curves  # noqa: PLC0415  # slow to import

        return constrained_curves(history, self.tolerance)
