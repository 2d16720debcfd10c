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
    """Show the policy in force: the store's own, else the one that is shipped."""
    _show(session, session.catalog.policy())


@policy.command()
@click.argument("file", type=click.Path(path_type=Path))
@pass_session
def check(session: Session, file: Path) -> None:
    """Read a policy FILE and show what it says; exit 5 names line and key of a mistake."""
    from bundles.policy import load_policy

    _show(session, load_policy(file))


@policy.command()
@click.argument("file", type=click.Path(path_type=Path))
@pass_session
def install(session: Session, file: Path) -> None:
    """Put the policy of FILE into force; approvals given under another policy no longer count."""
    from bundles.policy import load_policy

    wanted = load_policy(file)
    session.catalog.install_policy(wanted)
    _show(session, wanted)


@policy.command()
@click.argument("allowed_signers", required=False, type=click.Path(path_type=Path))
@click.option("--roles", type=click.Path(path_type=Path), help="YAML file: roles, then each person's list of them")
@pass_session
def roster(session: Session, allowed_signers: Path | None, roles: Path | None) -> None:
    """Show the roster in force; with an OpenSSH ALLOWED_SIGNERS file, put that one into force."""
    from bundles.approvals import load_roster
    from bundles.people import same_person

    if allowed_signers is not None:
        session.catalog.install_roster(load_roster(allowed_signers, roles))
    elif roles is not None:
        raise click.UsageError("--roles goes with an ALLOWED_SIGNERS file.")
    shown = session.catalog.roster()
    people = sorted({key.person for key in shown.keys} | {same_person(name) for name in shown.roles})
    documents = [{"person": name, "roles": sorted(shown.roles_of(name))} for name in people]
    session.emit(
        {"digest": shown.digest(), "people": documents},
        [
            f"Digest: {shown.digest()}",
            *(f"{name}: {', '.join(sorted(shown.roles_of(name))) or '-'}" for name in people),
        ],
    )


def _show(session: Session, shown: Policy) -> None:
    from bundles.stages import STAGES

    lines = [f"Policy: {shown.name}", f"Digest: {shown.digest()}"]
    for target, stages in STAGES.items():
        for stage in stages:
            rule = shown.rule(target, stage)
            if rule is None:
                continue
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
