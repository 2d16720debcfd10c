"""Runs the demo."""

from __future__ import annotations

import shutil
import sys
import textwrap
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bundles.errors import LadderError, RefusedError
from sequence.demo.climbing import Outcome, Place
from sequence.demo.people import govern
from sequence.demo.surroundings import (
    RECKLESS,
    compile_engines,
    fresh_folder,
    load_flows,
    own_runner,
    start_server,
    temporary_prefect,
)
from sequence.demo.telling import progress, say

if TYPE_CHECKING:
    from collections.abc import Sequence

EXPECTED: Final = {"my-mm": "shadow", "reckless": "research", "routing": "sandbox", "assignment": "sandbox"}
"""Where each bundle stands when the demo ends."""


def main() -> int:
    """Run the demo; returns 0 if everything ended where it should."""
    try:
        out = fresh_folder(Path("demo-out").absolute())
        with temporary_prefect(), own_runner(out), ThreadPoolExecutor(2) as pool:
            return _run(out, pool.submit(start_server), pool.submit(compile_engines, out / "warm-up"))
    except LadderError as error:
        say(f"\nThe demo stopped: {error}")
        return error.exit_code


def _run(out: Path, server: Future[None], engine: Future[None]) -> int:
    from bundles.catalog import Catalog
    from bundles.store import open_store
    from sequence.demo.bundles import climb_algo, climb_assignment, climb_routing
    from sequence.demo.market import prepare_market
    from sequence.templates import start_project

    store, data = f"file://{out / 'store'}", out / "data"
    catalog = Catalog(open_store(store))
    place = Place(out, catalog, store, data, govern(out, catalog))
    market = prepare_market(out, catalog, data)
    progress("Projects: sequence init my-mm; a copy of the reckless algo")
    start_project("my-mm", out)
    shutil.copytree(RECKLESS, out / "reckless")
    progress("Prefect's temporary server: starting (20 s or so)")
    load_flows()
    server.result()
    if not engine.done():
        progress("Engines: compiling (once; Numba keeps them)")
    engine.result()

    outcomes = [climb_algo(place, name, market) for name in ("my-mm", "reckless")]
    outcomes += [climb_routing(place, market), climb_assignment(place, market)]
    progress("Done")
    say(_summary(store, outcomes))
    as_expected = {each.name: each.stage for each in outcomes} == EXPECTED
    return 0 if as_expected else RefusedError.exit_code


def _summary(store: str, outcomes: Sequence[Outcome]) -> str:
    lines = ["", f"{'NAME':<12}{'BUNDLE':<24}{'VERDICT':<26}STAGE"]
    lines += [f"{each.name:<12}{each.bundle:<24}{each.verdict:<26}{each.stage}" for each in outcomes]
    for each in outcomes:
        if each.reasons:
            lines += ["", f"Why {each.name} is refused:"]
        for reason in each.reasons:
            lines += textwrap.wrap(reason, 78, initial_indent="- ", subsequent_indent="  ")
    reports = [f"Report:  {path}" for each in outcomes for path in each.reports]
    return "\n".join(
        [*lines, "", *reports, f"History: SEQUENCE_STORE={store} sequence bundle history {outcomes[0].bundle}"]
    )


if __name__ == "__main__":
    sys.exit(main())
