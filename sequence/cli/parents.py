"""`sequence data parents`: parent orders, which routing and assignment policies are judged on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sequence.cli.ids import DATASET
from sequence.cli.session import Group, Session, pass_session

if TYPE_CHECKING:
    from evals.market.source import TapeSource
    from evals.market.validation import ValidationReport
    from evals.parents.orders import ParentOrders

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_OUT = click.Path(dir_okay=False, path_type=Path)


@click.group(cls=Group)
def parents() -> None:
    """Import, generate and check parent orders: what routing and assignment policies are judged on."""


@parents.command("import")
@click.argument("file", type=_FILE)
@click.option("--symbol", help="Symbol of the orders, where FILE has no such column")
@click.option("--ignore", "ignore", multiple=True, metavar="COLUMN", help="Leave out a column of FILE (repeatable)")
@click.option("--out", type=_OUT, required=True, help="Parquet file to write")
@pass_session
def import_orders(session: Session, file: Path, symbol: str | None, ignore: tuple[str, ...], out: Path) -> None:
    """Import parent orders from FILE, CSV or parquet with the names that desks and the platform use."""
    from evals.parents.importing import IMPORTER, IMPORTER_VERSION, import_parents
    from evals.parents.parquet import write_parents

    found = import_parents(file, symbol=symbol, ignore=ignore)
    _write(out, write_parents(found, importer=IMPORTER, importer_version=IMPORTER_VERSION))
    session.emit({"file": str(out), **_figures(found)}, [f"Parent orders: {out}", *_lines(found)])


@parents.command()
@click.argument("dataset", type=DATASET)
@click.option("--count", default=1_000, show_default=True, help="How many orders")
@click.option("--seed", default=42, show_default=True, help="The same seed makes the same orders")
@click.option("--horizon-ms", default=60_000, show_default=True, help="How long each may work")
@click.option("--participation-bps", default=0, show_default=True, help="Most of the volume it may be; 0: no limit")
@click.option("--urgency", type=click.Choice(["low", "medium", "high"]), default="medium", show_default=True)
@click.option("--size-multiple", default=1, show_default=True, help="Size, in market orders of the tape")
@click.option("--until", type=str, metavar="TIME", help="Measure the tape only before this (ISO 8601 with zone)")
@click.option("--out", type=_OUT, required=True, help="Parquet file to write")
@pass_session
def generate(
    session: Session,
    dataset: str,
    count: int,
    seed: int,
    horizon_ms: int,
    participation_bps: int,
    urgency: str,
    size_multiple: int,
    until: str | None,
    out: Path,
) -> None:
    """Make seeded parent orders in the likeness of a DATASET: sizes, arrivals, persistence of sides."""
    from evals.market.datasets import open_dataset
    from evals.parents.calibration import calibrate
    from evals.parents.generator import GENERATOR, GENERATOR_VERSION, Wanted, closeness, generate_parents
    from evals.parents.parquet import write_parents

    tape = open_dataset(session.settings.data_root, session.catalog.dataset(dataset))
    calibration = calibrate(tape, until_ns=None if until is None else _time(until))
    wanted = Wanted(
        count=count,
        horizon_ns=horizon_ms * 10**6,
        participation_ppm=participation_bps * 100,
        urgency=["low", "medium", "high"].index(urgency),
        size_multiple=size_multiple,
    )
    made = generate_parents(calibration, wanted, seed=seed)
    _write(out, write_parents(made, importer=GENERATOR, importer_version=GENERATOR_VERSION))
    figures = closeness(calibration, wanted, made)
    width = max(map(len, figures))
    session.emit(
        {"file": str(out), **_figures(made), "closeness": figures},
        [
            f"Parent orders: {out}",
            *_lines(made),
            "",
            *(f"{name.replace('_', ' '):<{width}}  {figure:>15,}" for name, figure in figures.items()),
        ],
    )


@parents.command()
@click.argument("file", type=_FILE)
@click.argument("datasets", nargs=-1, required=True, type=DATASET)
@click.option("--symbol", help="Symbol of the orders, where FILE does not say it")
@pass_session
def check(session: Session, file: Path, datasets: tuple[str, ...], symbol: str | None) -> None:
    """Check the parent orders of FILE against DATASETS, one for each venue; exit 5 if no evaluation may use them."""
    from evals.errors import TapeError
    from evals.parents.parquet import read_parents

    found = read_parents(file, symbol=symbol)
    report = _report(session, found, datasets)
    session.emit(report.document(), report.text().splitlines())
    if report.refuse:
        raise click.exceptions.Exit(TapeError.exit_code)


@parents.command()
@click.argument("file", type=_FILE)
@click.option("--symbol", help="Symbol of the orders, where FILE does not say it")
@pass_session
def show(session: Session, file: Path, symbol: str | None) -> None:
    """Show what a FILE of parent orders holds."""
    from evals.parents.parquet import read_parents

    found = read_parents(file, symbol=symbol)
    session.emit({"file": str(file), **_figures(found)}, [f"Parent orders: {file}", *_lines(found)])


def _report(session: Session, found: ParentOrders, datasets: Sequence[str]) -> ValidationReport:
    from evals.market.datasets import open_dataset
    from evals.parents.report import validate_parents

    root = session.settings.data_root
    tapes: list[TapeSource] = [open_dataset(root, session.catalog.dataset(each)) for each in datasets]
    session.progress(f"Checking {len(found)} parent orders against {len(tapes)} tapes")
    return validate_parents(found, tapes)


def _figures(found: ParentOrders) -> dict[str, int | str]:
    from evals.parents.summary import summary_of

    return {"symbol": found.symbol, **summary_of(found)}


def _lines(found: ParentOrders) -> list[str]:
    from evals.market.rules import utc
    from evals.parents.summary import summary_of

    figures = summary_of(found)
    return [
        f"Symbol: {found.symbol}",
        f"Orders: {len(found):,} ({figures['buys']:,} to buy, {figures['sells']:,} to sell)",
        f"Arrivals: {utc(figures['first_ns'])} to {utc(figures['last_ns'])}",
        f"Quantity: {_decimal(figures['qty_least_1e8'])} to {_decimal(figures['qty_largest_1e8'])}, "
        f"half of them up to {_decimal(figures['qty_median_1e8'])}",
        f"With a limit: {figures['with_limit']:,}; with a limit of participation: {figures['with_participation']:,}",
    ]


def _decimal(qty_1e8: int) -> str:
    whole, fraction = divmod(qty_1e8, 10**8)
    return f"{whole:,}.{fraction:08d}".rstrip("0").rstrip(".")


def _time(text: str) -> int:
    from evals.parents.fields import read_time

    try:
        return read_time(text)
    except ValueError as error:
        raise click.UsageError(f"--until {text!r} {error}.") from None


def _write(out: Path, content: bytes) -> None:
    """Write a file that is not there yet, whole or not at all; the same bytes again change nothing."""
    from bundles.errors import InvalidInputError

    if out.exists() and out.read_bytes() != content:
        raise InvalidInputError(f"{out} holds other orders already. Give another name with --out, or remove it.")
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.tmp")
    temporary.write_bytes(content)
    temporary.replace(out)
