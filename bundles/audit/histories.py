"""Verify what happened to each bundle: its chain, its head, every decision and word, and what its entries imply."""

from __future__ import annotations

from collections.abc import Callable

from bundles.approvals import Approval
from bundles.audit.citations import cited_blobs
from bundles.audit.findings import Findings
from bundles.canonical import short_id
from bundles.catalog import Catalog, ref_key
from bundles.entries import Approved, Attested, Denied, Evaluated, GlassBroken, LedgerEntry, Registered, Requested
from bundles.evidence import Evaluation
from bundles.ledger import entry_key, head_key
from bundles.people import same_person
from bundles.signatures import BadSignatureError, signer_of
from bundles.state import BundleState, Request, Standing, after, fold
from bundles.statements import EvaluationStatement, Statement
from bundles.verification import Verifier


class HistoryAudit:
    """Verifies one ledger after another, and remembers the states for what refers to them."""

    def __init__(
        self,
        catalog: Catalog,
        verifier: Verifier,
        findings: Findings,
        has: Callable[[str], bool],
        cite: Callable[[str, str], None],
    ) -> None:
        self._catalog = catalog
        self._verifier = verifier
        self._findings = findings
        self._has = has
        self._cite = cite
        self._states: dict[str, BundleState] = {}
        self._broken: set[str] = set()
        self._recorded: dict[tuple[str, str], str] = {}
        self.entries = 0
        """How many entries were verified."""
        self.governed = False
        """Whether governance verifies; without it no decision can be taken again."""

    def recorded(self, bundle_id: str, name: str) -> str | None:
        """Return the digest that a bundle's ledger gives for an evaluation or a request."""
        return self._recorded.get((bundle_id, name))

    def is_broken(self, name: str) -> bool:
        """Tell whether a history was found that does not verify: what it says of anything else is not known."""
        return name in self._broken

    def check(self, name: str) -> None:
        """Verify a bundle's ledger."""
        with self._findings.of(f"ledger/{name}/"):
            self._broken.add(name)
            entries = self._verifier.history(name)
            if not entries:
                self._findings.problem(
                    f"{entry_key(name, 1)}: missing, so nobody knows what happened to this bundle; restore its ledger"
                )
                return
            self.entries += len(entries)
            state = self._fold(name, entries)
            self._states[name] = state
            self._broken.remove(name)
            self._check_names(state)
            for entry in entries:
                with self._findings.of(entry_key(name, entry.seq)):
                    self._check_entry(state, entry)
            if self.governed:
                for problem in self._verifier.problems(entries):
                    self._findings.problem(problem)

    def _fold(self, name: str, entries: tuple[LedgerEntry, ...]) -> BundleState:
        """Return the state after all entries, and compare the head with the state after those that it knows."""
        head = self._catalog.ledger.head(name)
        known = min(head.seq if head else len(entries), len(entries))
        state = fold(entries[:known])
        self.check_head(name, len(entries), state.standing())
        for entry in entries[known:]:
            state = after(state, entry)
        return state

    def check_head(self, name: str, count: int, standing: Standing | None) -> None:
        """Compare a head with what its ledger gives; that it remembers the right entry, the ledger has verified."""
        head, key = self._catalog.ledger.head(name), head_key(name)
        if head is None and count:
            self._findings.unfinished(f"{key}: missing; whatever is done with the bundle next puts it back")
        elif head is not None and head.seq < count:
            self._findings.unfinished(f"{key}: lags behind {entry_key(name, count)}; the next entry moves it on")
        if head is not None and head.seq <= count and head.standing != standing:
            self._findings.problem(f"{key}: shows a standing that the ledger does not give; restore it from a backup")

    # What entries imply

    def _check_names(self, state: BundleState) -> None:
        """Everything that an entry names is found by its id, unless the process died before it could be."""
        self._expect(
            ref_key("bundles", state.bundle), state.entries > 1, "register the bundle again, or restore the reference"
        )
        used = {each.evaluation for each in state.attested}
        for request in state.requests:
            statement = request.statement
            self._expect(ref_key("policies", short_id("pol", statement.policy)), True, "restore it")
            self._expect(ref_key("requests", request.id), _was_answered(request), "ask for the promotion again")
            if not statement.break_glass:
                used |= set(statement.evaluations)
        for name in {each.evaluation for each in state.evaluated}:
            self._expect(ref_key("evaluations", name), name in used, "run the evaluation again")

    def _expect(self, key: str, was_there: bool, remedy: str) -> None:
        if not self._has(key):
            note = self._findings.problem if was_there else self._findings.unfinished
            note(f"{key}: missing, but its ledger knows of it; {remedy}")

    def _check_entry(self, state: BundleState, entry: LedgerEntry) -> None:
        where, body = entry_key(entry.ledger, entry.seq), entry.body
        if isinstance(body, Registered):
            self._cite(body.manifest, where)
        elif isinstance(body, Requested):
            self._recorded[entry.ledger, body.statement.request_id] = body.statement.digest()
        elif isinstance(body, Evaluated | Attested):
            self._check_execution(state, entry, body)
        elif isinstance(body, Approved | Denied):
            statement = state.request(body.request).statement.saying("deny" if isinstance(body, Denied) else "approve")
            self._check_word(where, statement, body.approval)

    def _check_execution(self, state: BundleState, entry: LedgerEntry, body: Evaluated | Attested) -> None:
        where = entry_key(entry.ledger, entry.seq)
        self._recorded[entry.ledger, body.evaluation] = body.record
        self._cite(body.record, where)
        record = self._catalog.read(body.record, Evaluation)
        for blob in cited_blobs(record):
            self._cite(blob, where)
        if (record.eval_id, record.inputs.bundle) != (body.evaluation, state.manifest) or (
            isinstance(body, Evaluated)
            and (record.inputs.kind, record.result_digest) != (body.evaluation_kind, body.result)
        ):
            self._findings.problem(f"{where}: names {body.evaluation}, but its record is another; restore the ledger")
        if body.signature:
            statement = EvaluationStatement(
                bundle=state.manifest, evaluation=body.evaluation, record=body.record, result=body.result
            )
            try:
                signer_of(statement.canonical(), body.signature, statement.namespace)
            except BadSignatureError as error:
                self._findings.problem(
                    f"{where}: the signature of {entry.actor} does not verify: {error}; restore the ledger"
                )

    def _check_word(self, where: str, statement: Statement, approval: Approval) -> None:
        """Verify a signed word; whether it counted, the decision that rests on it tells."""
        if approval.kind != "signed" or not self.governed:
            return
        try:
            used = signer_of(statement.canonical(), approval.signature, statement.namespace)
        except BadSignatureError as error:
            self._findings.problem(
                f"{where}: the signature of {approval.approver} does not verify: {error}; restore the ledger"
            )
            return
        if (same_person(approval.approver), used) not in self._verifier.keys_ever_listed():
            self._findings.problem(
                f"{where}: the key {used.fingerprint} that signed never was a key of {approval.approver}; the entry is "
                "forged, restore the ledger"
            )

    # Broken glass

    def check_glass(self, body: GlassBroken, where: str) -> None:
        """Find the bundle that a broken glass moved."""
        state = self._states.get(body.bundle)
        if self.is_broken(body.bundle) or (
            state and any(glass.promotion.request.id == body.request for glass in state.glasses)
        ):
            return
        if state is None or all(each.id != body.request for each in state.requests):
            self._findings.problem(
                f"ledger/{body.bundle}/: has no request {body.request}, for which {where} says that the glass was "
                "broken; restore the ledger"
            )
        else:
            self._findings.unfinished(
                f"{where}: says that the glass was broken for {body.bundle} ({body.request}), which did not move by it"
            )


def _was_answered(request: Request) -> bool:
    """Tell whether people could find the request: answers come by its id, and so do promotions."""
    return bool(request.approvals) or request.ended == "promoted" or request.ended.startswith("denied")
