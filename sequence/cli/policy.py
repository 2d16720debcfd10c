"""`sequence policy`: what each stage asks for, who may say so, and how both change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bundles.times import in_utc
from sequence.cli.layout import wrapped
from sequence.cli.session import Group, Session, pass_session
from sequence.cli.signing import key_at_hand, read_signature, telling_how_to_sign

if TYPE_CHECKING:
    from bundles.policy import ApprovalRule, Policy, Signers, StageRule
    from bundles.roster import Roster

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])


def _with_signers(command: _Decorated) -> _Decorated:
    command = click.option(
        "--signature",
        "signatures",
        metavar="NAME=FILE",
        multiple=True,
        help="Somebody's signature of the statement, made elsewhere; again for more people",
    )(command)
    command = click.option(
        "--key",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Sign with this OpenSSH key [default: the first usual one that the roster lists]",
    )(command)
    return click.option("--approver", default="", help="Who signs the change [default: the user]")(command)


@click.group(cls=Group)
def policy() -> None:
    """Show and set what every stage asks for: evidence, runners, rules, approvals."""


@policy.command()
@click.argument("name", metavar="[POL]", default="current")
@pass_session
def show(session: Session, name: str) -> None:
    """Show the policy in force, or POL: an id (pol_…), a file, or `default`, the one that is shipped."""
    _show(session, _named(session, name))


@policy.command()
@click.argument("file", type=click.Path(path_type=Path))
@pass_session
def check(session: Session, file: Path) -> None:
    """Read a policy FILE and show what it says; exit 5 names line and key of a mistake."""
    from bundles.policy import load_policy

    _show(session, load_policy(file))


@policy.command()
@pass_session
def schema(session: Session) -> None:
    """Print the JSON schema of policies, for editors that complete and check YAML."""
    from bundles.policy import Policy
    from sequence.cli.failures import dumps

    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Policy.model_json_schema()}
    session.emit(document, dumps(document).split("\n"))


@policy.command()
@click.argument("a")
@click.argument("b")
@pass_session
def diff(session: Session, a: str, b: str) -> None:
    """Show what changes from policy A to policy B: files, ids (pol_…), `current` or `default`."""
    before, after = _named(session, a), _named(session, b)
    changes = list(_changes(before, after))
    session.emit(
        {"a": before.digest(), "b": after.digest(), "changes": changes}, _change_lines(changes) or ["No difference."]
    )


@policy.command("set")
@click.argument("file", type=click.Path(path_type=Path))
@_with_signers
@pass_session
def set_policy(session: Session, file: Path, approver: str, key: Path | None, signatures: tuple[str, ...]) -> None:
    """Put the policy of FILE into force; approvals given under another policy no longer count.

    Signed by whom the policy in force names under `governance`, as soon as the roster gives somebody that role.
    """
    from bundles.governance import in_force, policy_id
    from bundles.policy import load_policy

    wanted, before = load_policy(file), in_force(session.catalog).policy
    seq = _put_into_force(session, wanted, approver, key, signatures)
    changes = list(_changes(before, wanted))
    session.emit(
        {"policy": policy_id(wanted), "digest": wanted.digest(), "ledger_seq": seq, "changes": changes},
        [f"Policy: {policy_id(wanted)} ({wanted.name})", *_set_lines(seq), *_change_lines(changes)],
    )


@policy.command()
@click.argument("allowed_signers", required=False, type=click.Path(path_type=Path))
@click.option("--roles", type=click.Path(path_type=Path), help="YAML file: roles, then each person's list of them")
@_with_signers
@pass_session
def roster(
    session: Session,
    allowed_signers: Path | None,
    roles: Path | None,
    approver: str,
    key: Path | None,
    signatures: tuple[str, ...],
) -> None:
    """Show the roster in force; with an OpenSSH ALLOWED_SIGNERS file, put that one into force."""
    from bundles.governance import in_force
    from bundles.roster import load_roster

    if allowed_signers is None and (roles or key or approver or signatures):
        raise click.UsageError("--roles and those that sign go with an ALLOWED_SIGNERS file.")
    if allowed_signers is None:
        shown, seq, lines = in_force(session.catalog).roster, None, []
    else:
        shown = load_roster(allowed_signers, roles)
        seq = _put_into_force(session, shown, approver, key, signatures)
        lines = _set_lines(seq)
    people = _people(shown)
    session.emit(
        {"digest": shown.digest(), "ledger_seq": seq, "people": people},
        [f"Digest: {shown.digest()}", *lines, *(part for each in people for part in _person_lines(each))],
    )


def _named(session: Session, name: str) -> Policy:
    from bundles.governance import in_force
    from bundles.policy import default_policy, load_policy

    if name == "current":
        return in_force(session.catalog).policy
    if name == "default":
        return default_policy()
    if name.startswith("pol_") and not Path(name).exists():
        return session.catalog.policy(name)
    return load_policy(Path(name))


def _put_into_force(
    session: Session, document: Policy | Roster, approver: str, key: Path | None, signatures: tuple[str, ...]
) -> int | None:
    import time

    from bundles.approvals import word_of
    from bundles.governance import in_force, set_roster, statement_for
    from bundles.governance import set_policy as put_policy
    from bundles.policy import Policy

    before, now_ns = in_force(session.catalog), time.time_ns()
    statement, given = statement_for(session.catalog, document), _signatures(signatures)
    person = approver.strip() or next(iter(given), session.settings.user)
    if person not in given:
        key = key or key_at_hand(before.roster, person, statement.namespace, now_ns)
    more = [word_of(name, statement, at_ns=now_ns, signature=text) for name, text in given.items()]
    session.say(f"Statement: {statement.canonical().decode()}")
    signed = key is not None or person in given
    with telling_how_to_sign(before.roster, person, before.policy.governance, signed=signed):
        if isinstance(document, Policy):
            return put_policy(session.catalog, document, by=person, now_ns=now_ns, key=key, more=more)
        return set_roster(session.catalog, document, by=person, now_ns=now_ns, key=key, more=more)


def _signatures(given: tuple[str, ...]) -> dict[str, str]:
    """Read each NAME=FILE; returns the signatures by name."""
    found = {}
    for each in given:
        name, _, path = each.partition("=")
        try:
            with Path(path).open(encoding="utf-8", errors="replace") as file:
                found[name.strip()] = read_signature(file)
        except OSError as error:
            raise click.UsageError(
                f"--signature {each}: write NAME=FILE, a file that can be read. {error.strerror}."
            ) from error
    return found


def _set_lines(seq: int | None) -> list[str]:
    return ["In force already." if seq is None else f"In force since: governance entry {seq}"]


def _people(shown: Roster) -> list[dict[str, Any]]:
    from bundles.people import same_person

    names = sorted({key.person for key in shown.keys} | {same_person(name) for name in shown.roles})
    return [
        {
            "person": name,
            "roles": sorted(shown.roles_of(name)),
            "keys": [
                {
                    "fingerprint": each.key.fingerprint,
                    "type": each.key.algorithm,
                    "namespaces": sorted(each.namespaces),
                    "valid_after": None if each.valid_after_ns is None else in_utc(each.valid_after_ns),
                    "valid_before": None if each.valid_before_ns is None else in_utc(each.valid_before_ns),
                }
                for each in shown.keys
                if each.person == name
            ],
        }
        for name in names
    ]


def _person_lines(person: dict[str, Any]) -> Iterator[str]:
    from bundles.roster import NAMESPACES

    yield f"{person['person']}: {', '.join(person['roles']) or '-'}"
    for key in person["keys"]:
        limits = [f"{name} {key[field]}" for name, field in _LIMITS if key[field]]
        if len(key["namespaces"]) < len(NAMESPACES):
            limits.insert(0, f"only for {', '.join(key['namespaces'])}")
        yield from wrapped("  " + ", ".join([key["fingerprint"], *limits]))


_LIMITS = (("from", "valid_after"), ("until", "valid_before"))


def _show(session: Session, shown: Policy) -> None:
    from bundles.governance import policy_id

    session.emit(
        {"policy": policy_id(shown), "digest": shown.digest(), **shown.model_dump(mode="json")},
        [part for line in _policy_lines(shown) for part in wrapped(line)],
    )


def _policy_lines(shown: Policy) -> Iterator[str]:
    from bundles.governance import policy_id
    from bundles.stages import STAGES

    yield f"Policy: {policy_id(shown)} ({shown.name})"
    yield f"Digest: {shown.digest()}"
    for target, stages in STAGES.items():
        for stage in stages:
            rule = shown.rule(target, stage)
            if rule is not None:
                yield from _stage_lines(target, stage, stages[stages.index(stage) - 1], rule)
    glass = shown.break_glass
    yield f"break-glass: {_signers(glass)}; lasts {glass.default_hours} h, at most {glass.max_hours} h"
    yield f"  reviews afterwards: {_approvals(glass.reviews)}"
    yield f"governance (changes of policy and roster): {_approvals(shown.governance)}"
    yield f"release from quarantine: {_signers(shown.release)}"


def _stage_lines(target: str, stage: str, below: str, rule: StageRule) -> Iterator[str]:
    later = ", on a later market than the evidence before" if rule.later_window else ""
    listed = " of the roster" if rule.runners.listed else ""
    yield f"{target} {stage}: {rule.evidence} evaluation{later}"
    yield (
        f"  data: at least {rule.coverage.min_duration_s} s and {rule.coverage.min_events} events, at most "
        f"{rule.max_age_days} days old"
    )
    yield f"  runners: {rule.runners.count}{listed}"
    if rule.signed_author:
        yield "  author: has signed the bundle"
    if rule.soak_hours:
        yield f"  soak: {rule.soak_hours} h at {below}"
    if rule.demote_on_failure:
        yield "  a later evaluation that fails demotes"
    yield f"  approvals: {_approvals(rule.approvals)}, within {rule.approvals.valid_hours} h"
    for each in rule.rules:
        yield f"  {each.judged} {each.op} {each.value}" + (" (dry run)" if each.dry_run else "")
    for setting in rule.settings:
        yield f"  setting {setting.setting} {setting.op} {setting.value}"


def _approvals(rule: ApprovalRule) -> str:
    least = [f"{count} by {role}" for role, count in rule.at_least.items()]
    return f"{rule.count} {_signers(rule)}" + (f" (at least {', '.join(least)})" if least else "")


def _signers(rule: Signers) -> str:
    return ("signed" if rule.signed else "typed") + (f" by {' or '.join(rule.roles)}" if rule.roles else "")


def _changes(before: Policy, after: Policy) -> Iterator[dict[str, Any]]:
    """Yield each place where two policies differ; rules are told apart by metric or setting, not by order."""
    a, b = dict(_flat(before.model_dump(mode="json"))), dict(_flat(after.model_dump(mode="json")))
    for place in dict.fromkeys([*a, *b]):
        if a.get(place) != b.get(place) or (place in a) != (place in b):
            yield {"place": place, "a": a.get(place), "b": b.get(place)}


def _flat(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(inner, f"{place}.{name}" if place else name)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        seen: dict[str, int] = {}
        for each in value:
            name = each.get("metric", each.get("setting")) + (f"_{each['bound']}" if each.get("bound") else "")
            name += f" {each['op']}"
            seen[name] = seen.get(name, 0) + 1
            again = f" ({seen[name]})" if seen[name] > 1 else ""
            yield f"{place}.{name}{again}", f"{each['value']}" + (" (dry run)" if each.get("dry_run") else "")
    else:
        yield place, value


def _change_lines(changes: list[dict[str, Any]]) -> list[str]:
    lines = []
    for each in changes:
        place, a, b = (each[name] for name in ("place", "a", "b"))
        place = place.removeprefix("ladders.")
        if a is None:
            line = f"Added: {place}: {_told(b)}"
        elif b is None:
            line = f"Removed: {place}: {_told(a)}"
        else:
            line = f"Changed: {place}: {_told(a)} → {_told(b)}"
        lines += wrapped(line)
    return lines


def _told(value: Any) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, list | dict) else str(value)
