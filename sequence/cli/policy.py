"""`sequence policy`: what each stage asks for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sequence.cli.session import Group, Session, pass_session

if TYPE_CHECKING:
    from bundles.policy import Policy


@click.group(cls=Group)
def policy() -> None:
    """Show what every stage asks for: evidence, coverage, rules, approvals."""


@policy.command()
@pass_session
def show(session: Session) -> None:
    """Show the policy that is shipped."""
    from bundles.policy import default_policy

    _show(session, default_policy())


@policy.command()
@click.argument("file", type=click.Path(path_type=Path))
@pass_session
def check(session: Session, file: Path) -> None:
    """Read a policy FILE and show what it says; exit 5 names line and key of a mistake."""
    from bundles.policy import load_policy

    _show(session, load_policy(file))


def _show(session: Session, shown: Policy) -> None:
    lines = [f"Policy: {shown.name}", f"Digest: {shown.digest()}"]
    for target, stages in shown.ladders.items():
        for stage, rule in stages.items():
            need = rule.approvals
            lines.append(
                f"{target} {stage}: {rule.evidence} evaluation, at least {rule.coverage.min_duration_s} s and "
                f"{rule.coverage.min_events} events, at most {rule.max_age_days} days old; {need.count} "
                f"{'signed' if need.signed else 'typed'} approval(s)"
                + (f" by {', '.join(need.roles)}" if need.roles else "")
            )
            lines += [
                f"  {each.metric} {each.op} {each.value}" + (" (dry run)" if each.dry_run else "")
                for each in rule.rules
            ]
    session.emit({"digest": shown.digest(), **shown.model_dump(mode="json")}, lines)
