"""From the record of a comparison to the lines of comparison.csv."""

from collections.abc import Iterator, Mapping
from typing import Any

from itn.screening.comparison.records import (
    ComparisonRecord,
    ComparisonRow,
    Correlation,
    Difference,
    PairComparison,
    TransformComparison,
)


def comparison_rows(record: ComparisonRecord) -> Iterator[ComparisonRow]:
    """Yield the lines of comparison.csv."""
    for pair in record.pairs:
        clean = pair.clean
        yield _row(
            pair,
            "accuracy",
            n=record.n,
            of_first=clean.first,
            of_second=clean.second,
            value=clean.value,
            ci_low=clean.ci_low,
            ci_high=clean.ci_high,
        )
        for name, compared in pair.transforms.items():
            yield from _of_transform(pair, name, compared, record.n)


def _of_transform(
    pair: PairComparison, name: str, compared: TransformComparison, n: int
) -> Iterator[ComparisonRow]:
    for criterion, sides in compared.thresholds.items():
        yield from _distances(pair, f"threshold_{criterion}", name, sides, n)
    yield from _distances(pair, "median_flip", name, compared.median_flip, n)
    by_class: dict[str, Mapping[str, Correlation]] = {"all": compared.correlation}
    for class_, correlations in (by_class | compared.correlation_by_class).items():
        for side, found in correlations.items():
            yield _row(
                pair,
                "correlation",
                name,
                side,
                class_=class_,
                n=found.n,
                value=found.value,
                ci_low=found.ci_low,
                ci_high=found.ci_high,
            )
    for side, breaks in compared.breaks.items():
        of_first, of_second = breaks.first_only + breaks.both, breaks.second_only + breaks.both
        yield _row(
            pair,
            "breaks",
            name,
            side,
            n=breaks.n,
            of_first=of_first / max(breaks.n, 1),
            of_second=of_second / max(breaks.n, 1),
            value=(of_second - of_first) / max(breaks.n, 1),
        )
    accuracy = compared.accuracy
    columns = (accuracy.magnitudes, accuracy.first, accuracy.second)
    differences = (accuracy.value, accuracy.ci_low, accuracy.ci_high)
    for v, first, second, value, low, high in zip(*columns, *differences, strict=True):
        yield _row(
            pair,
            "accuracy",
            name,
            magnitude=v,
            n=n,
            of_first=first,
            of_second=second,
            value=value,
            ci_low=low,
            ci_high=high,
        )


def _distances(
    pair: PairComparison, quantity: str, name: str, sides: Mapping[str, Difference], n: int
) -> Iterator[ComparisonRow]:
    for side, found in sides.items():
        yield _row(
            pair,
            quantity,
            name,
            side,
            n=n,
            of_first=found.first,
            of_second=found.second,
            value=found.value,
            ci_low=found.ci_low,
            ci_high=found.ci_high,
            beyond=beyond(found),
        )


def beyond(found: Difference) -> str:
    """Return which of two screens go on beyond the last magnitude."""
    names = {(True, True): "both", (True, False): "first", (False, True): "second"}
    return names.get((found.first_beyond, found.second_beyond), "")


def _row(
    pair: PairComparison, quantity: str, transform: str = "", side: str = "", **columns: Any
) -> ComparisonRow:
    empty = {"magnitude": None, "class_": "all", "of_first": None, "of_second": None}
    empty |= {"value": None, "ci_low": None, "ci_high": None, "beyond": ""}
    return ComparisonRow(pair.first, pair.second, quantity, transform, side, **(empty | columns))
