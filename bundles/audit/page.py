"""The review as one page: no scripts, nothing from elsewhere, readable on a phone and on paper."""

from __future__ import annotations

import json
from collections.abc import Iterable
from html import escape
from typing import Final

from bundles.audit.review import Change, Evidence, Power, Review, Subject, Word
from bundles.times import in_utc

_STYLE: Final = """
:root { color-scheme: light dark; --line: #8885; --soft: #8882; --bad: #b3261e; --good: #1b7f4b }
@media (prefers-color-scheme: dark) { :root { --bad: #ff8a80; --good: #7bd8a5 } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 0 auto; padding: 1.5rem 1rem 4rem }
h1 { font-size: 1.6rem; margin: 0 0 .25rem } h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem }
h3 { font-size: 1rem; margin: 0 } p { margin: .25rem 0 } .dim { opacity: .75 }
code { font: .85em ui-monospace, monospace; overflow-wrap: anywhere }
article { border: 1px solid var(--line); border-radius: .5rem; padding: .75rem 1rem; margin: .75rem 0 }
article.glass { border-left: .4rem solid var(--bad) } .bad { color: var(--bad) } .good { color: var(--good) }
dl { display: grid; grid-template-columns: 9rem 1fr; gap: .2rem 1rem; margin: .5rem 0 0 }
dt { opacity: .75 } dd { margin: 0; overflow-wrap: anywhere }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; vertical-align: top; padding: .35rem .5rem }
th, td { border-bottom: 1px solid var(--line); overflow-wrap: anywhere } details { margin: .25rem 0 }
summary { cursor: pointer } ul { margin: .25rem 0; padding-left: 1.2rem }
pre { overflow-x: auto; background: var(--soft); padding: .5rem; border-radius: .3rem; font-size: .8rem }
@media (max-width: 36rem) { dl { grid-template-columns: 1fr; gap: 0 } dt { margin-top: .4rem } }
@media print { body { max-width: none; font-size: 10pt } article { break-inside: avoid }
  details::details-content { content-visibility: visible; display: block } }
"""


def as_html(review: Review) -> str:
    """Return the page."""
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Review of changes</title><style>{_STYLE}</style></head><body><main>",
        "<h1>Review of changes</h1>",
        f'<p class="dim">As of {in_utc(review.at_ns)}. When each change was made, who made it, who '
        "approved it, and what it was (RTS 6, Article 5). Every line was verified from the signed record.</p>",
        _facts([("Policy in force", _code(review.policy)), ("Roster in force", _code(review.roster))]),
        "<h2>Bundles</h2>",
        *map(_subject, review.subjects),
        "<h2>Changes</h2>",
        *map(_change, review.changes),
        "<h2>Who may halt, and who may do what else</h2>",
        _powers(review.powers),
        "</main></body></html>",
    ]
    return "\n".join(parts)


def _subject(subject: Subject) -> str:
    manifest = json.dumps(subject.manifest, indent=2, ensure_ascii=False, sort_keys=True)
    research = (f"<code>{escape(name)}</code> {escape(note)}" for name, note in subject.research.items())
    facts = [
        ("Stage", f"<strong>{escape(subject.stage)}</strong>"),
        *(("Note", f'<strong class="bad">{escape(remark)}</strong>') for remark in subject.remarks),
        ("Made by", escape(subject.author)),
        ("Registered", _when(subject.registered)),
        ("Research", "<br>".join(research)),
    ]
    return (
        f'<article id="{escape(subject.bundle)}"><h3><code>{escape(subject.bundle)}</code></h3>{_facts(facts)}'
        f"<details><summary>Configuration and limits</summary><pre>{escape(manifest)}</pre></details></article>"
    )


def _change(change: Change) -> str:
    facts = [("When", _when(change.at)), ("Made by", escape(change.made_by))]
    if change.recorded_by != change.made_by:
        facts.append(("Recorded by", escape(change.recorded_by)))
    if change.break_glass:
        facts.append(("Break-glass", f'<strong class="bad">{escape(change.break_glass)}</strong>'))
    if change.approved_by:
        label = "Approved by" if change.what.startswith("promoted") else "Word of"
        facts.append((label, "<br>".join(map(_word, change.approved_by))))
    facts += [("Evidence", _evidence(each)) for each in change.evidence]
    for name, text in (("Request", change.request), ("Policy", change.policy), ("Roster", change.roster)):
        if text:
            facts.append((name, _code(text)))
    if change.notes:
        facts.append(("Notes", escape(change.notes).replace("\n", "<br>")))
    kind = "glass" if change.break_glass or change.what.startswith("glass broken") else "change"
    return (
        f'<article class="{kind}"><h3>{escape(change.what)}</h3><p class="dim"><code>{escape(change.ledger)}</code> '
        f"entry {change.entry}</p>{_facts(facts)}</article>"
    )


def _word(word: Word) -> str:
    how = f"signed with <code>{escape(word.key)}</code>" if word.key else "typed name, not signed"
    roles = f" ({escape(', '.join(word.roles))})" if word.roles else ""
    notes = f": {escape(word.notes)}" if word.notes else ""
    return f"{escape(word.person)}{roles}, {how}, {_when(word.at)}{notes}"


def _evidence(evidence: Evidence) -> str:
    tone = {"pass": "good", "fail": "bad"}.get(evidence.verdict, "dim")
    checks = "".join(f"<li>{escape(check)}</li>" for check in evidence.checks)
    metrics = "".join(f"<li>{escape(name)} {escape(str(value))}</li>" for name, value in evidence.metrics.items())
    return (
        f"<code>{escape(evidence.evaluation)}</code> {escape(evidence.kind)}: "
        f'<strong class="{tone}">{escape(evidence.verdict)}</strong>, executed by '
        f"{escape(', '.join(evidence.runners))}<details><summary>{len(evidence.checks)} checks, "
        f"{len(evidence.metrics)} metrics</summary><ul>{checks}</ul><ul>{metrics}</ul></details>"
    )


def _powers(powers: Iterable[Power]) -> str:
    rows = "".join(
        f"<tr><td>{escape(each.action)}</td><td>{escape(each.who)}</td><td>{escape(', '.join(each.people))}</td></tr>"
        for each in powers
    )
    return f"<table><thead><tr><th>To</th><th>Takes</th><th>People</th></tr></thead><tbody>{rows}</tbody></table>"


def _facts(facts: Iterable[tuple[str, str]]) -> str:
    return f"<dl>{''.join(f'<dt>{name}</dt><dd>{html}</dd>' for name, html in facts)}</dl>"


def _when(at: str) -> str:
    return f"<time>{escape(at[:19])} UTC</time>"


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"
