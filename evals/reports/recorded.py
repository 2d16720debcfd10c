"""An evaluation with all that a report shows of it: its logs, markets, its bundle's kind, the limits of a stage."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from bundles.canonical import short_id
from evals.reports.series import has

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bundles.catalog import Catalog
    from bundles.evidence import Evaluation
    from bundles.judging import Judgement

MOST_MARKETS: Final = 4
"""Markets that a title names."""


@dataclass(frozen=True, eq=False)
class Recorded:
    """A recorded evaluation as a report needs it."""

    evaluation: Evaluation
    judged: Judgement | None = None
    """None where nobody judged it."""
    logs: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """The outputs by name, one structured array each; which ones there are depends on the kind and on its age."""
    bundle_kind: str = "edge"
    markets: Sequence[tuple[str, str]] = ()
    """(symbol, venue) of each dataset, in the order of the inputs."""
    limits: Mapping[str, float] = field(default_factory=dict)
    """The value that the stage whose verdict stands first holds each metric against."""
    title: str = ""

    @property
    def kind(self) -> str:
        """The kind of the evaluation."""
        return self.evaluation.inputs.kind

    @property
    def verdict(self) -> str:
        """The verdict that stands first."""
        return self.judged.verdict if self.judged else "unjudged"

    @property
    def told(self) -> str:
        """The verdict that stands first, with its stage."""
        return self.judged.told if self.judged else "unjudged"

    @property
    def metrics(self) -> Mapping[str, int | float | None]:
        """What was measured."""
        return self.evaluation.metrics

    @cached_property
    def assets(self) -> list[str]:
        """The symbol of each asset by its index in the logs: markets sorted by symbol and venue, as the engine does."""
        return [symbol for symbol, _ in sorted(set(self.markets))] or [""]

    @property
    def capital_1e9(self) -> int | None:
        """The capital to which returns refer, x 10^9; None where the settings do not say."""
        value = self.evaluation.inputs.settings.get("capital_1e9")
        return int(value) if isinstance(value, (int, str)) else None

    def log(self, name: str, *columns: str) -> NDArray[Any] | None:
        """Return an output that has rows and these columns, or None."""
        rows = self.logs.get(name)
        return rows if has(rows, *columns) else None


def recorded(catalog: Catalog, evaluation: Evaluation, judged: Judgement | None = None) -> Recorded:
    """Return a recorded evaluation with its outputs, which come from the store, verified.

    Raises:
        NotFoundError, IntegrityError: if an output or a dataset is lost or changed.

    """
    datasets = [catalog.dataset(short_id("data", digest)) for digest in evaluation.inputs.datasets]
    markets = [(dataset.symbol, dataset.venue) for dataset in datasets]
    manifest = catalog.manifest(evaluation.inputs.bundle)
    rules = judged.rule.rules if judged and judged.rule else ()
    return Recorded(
        evaluation,
        judged,
        logs={name: read_log(catalog.blob(ref.digest)) for name, ref in evaluation.outputs.items()},
        bundle_kind=manifest.kind,
        markets=markets,
        limits={each.judged: float(each.value) for each in rules},
        title=title_of(evaluation, markets),
    )


def title_of(evaluation: Evaluation, markets: Sequence[tuple[str, str]]) -> str:
    """Return what was evaluated, and on which markets."""
    assets = sorted(set(markets))
    symbols = groupby(assets[:MOST_MARKETS], key=lambda each: each[0])
    named = ", ".join(_market_name(symbol, [venue for _, venue in group]) for symbol, group in symbols)
    more = f" and {len(assets) - MOST_MARKETS} more" if len(assets) > MOST_MARKETS else ""
    kind = evaluation.inputs.kind.replace("-", " ").capitalize()
    return f"{kind} of {short_id('bun', evaluation.inputs.bundle)}" + (f" on {named}{more}" if named else "")


def _market_name(symbol: str, venues: Sequence[str]) -> str:
    return f"{venues[0]} {symbol}" if len(venues) == 1 else f"{symbol} ({', '.join(venues)})"


def read_log(content: bytes) -> NDArray[Any]:
    """Return a recorded parquet log as a structured array; texts as objects."""
    import pyarrow.parquet as pq  # a flow's worker imports this module at start

    table = pq.read_table(io.BytesIO(content))
    columns = [table[name].to_numpy() for name in table.column_names]
    dtype = np.dtype([(name, column.dtype) for name, column in zip(table.column_names, columns, strict=True)])
    rows = np.empty(table.num_rows, dtype)
    for name, column in zip(table.column_names, columns, strict=True):
        rows[name] = column
    return rows
