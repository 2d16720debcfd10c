"""Take a bundle's whole history again, as of its time: no entry counts that nobody had the right to write.

Whoever can write to the store can add an entry that continues the chain. So every decision begins by deciding every
earlier one again, on the evidence, policy and roster of its time, and by verifying every signature.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Literal

from bundles.approvals import approval_problems
from bundles.catalog import Catalog
from bundles.debts import is_same_algo, lineage_of, review_problems
from bundles.entries import (
    GOVERNANCE_LEDGER,
    Approved,
    Attested,
    Authored,
    Demoted,
    Denied,
    Evaluated,
    GlassBroken,
    LedgerEntry,
    Promoted,
    Registered,
    Released,
    Reviewed,
)
from bundles.errors import IntegrityError, InvalidInputError, NotFoundError
from bundles.evidence import Evaluation
from bundles.governance import Governance, after, beginning
from bundles.ladder import decide
from bundles.ledger import entry_key
from bundles.manifests import Bundle
from bundles.proposals import Proposal
from bundles.quorum import answer_problems
from bundles.signatures import BadSignatureError, signer_of
from bundles.stages import STAGES
from bundles.state import BundleState, Glass, Request
from bundles.state import after as next_state
from bundles.statements import AuthorStatement, EvaluationStatement, ReleaseStatement, Statement
from bundles.vouching import standing_evidence

CLOCK_TOLERANCE_NS = 600 * 10**9
"""How far the clocks of two writers may be apart before an entry looks out of date."""


class Verifier:
    """One look at a store: what it has verified once, it does not verify again."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._histories: dict[str, tuple[LedgerEntry, ...]] = {}
        self._governances: list[Governance] = []
        self._governance_times: list[int] = []
        self._records: dict[str, Evaluation] = {}
        self._known: dict[str, tuple[tuple[LedgerEntry, ...], BundleState]] = {}
        self._manifests: dict[str, Bundle] = {}

    # Governance

    def governance(self, entries: int | None = None) -> Governance:
        """Return what is in force, or was after so many entries of the governance ledger."""
        if not self._governances:
            self._read_governance()
        if entries is None:
            return self._governances[-1]
        if entries >= len(self._governances):
            raise IntegrityError(
                f"{entry_key(GOVERNANCE_LEDGER, entries)} is missing, but something was decided under it. "
                "Restore the governance ledger from a backup."
            )
        return self._governances[entries]

    def _read_governance(self) -> None:
        found = [beginning()]
        history = self.history(GOVERNANCE_LEDGER)
        for entry in history:
            found.append(after(self._catalog, found[-1], entry))
        self._governances, self._governance_times = found, [entry.at_ns for entry in history]

    # Bundles

    def history(self, name: str) -> tuple[LedgerEntry, ...]:
        """Return a ledger's entries, read once."""
        if name not in self._histories:
            self._histories[name] = self._catalog.ledger.history(name)
        return self._histories[name]

    def state(self, history: Sequence[LedgerEntry]) -> BundleState:
        """Return the state of a bundle after a history of which every entry holds.

        Raises:
            NotFoundError: there is no history.
            IntegrityError: naming each entry that does not hold.

        """
        if not history:
            raise NotFoundError("The bundle has no history. Register it again.")
        had_governance = bool(self._governances)
        problems, state = self._take(history)
        if problems and had_governance:
            # The history may be younger than what was read of governance: then look at that again.
            self.forget()
            problems, state = self._take(history)
        if problems or state is None:
            name = history[0].ledger
            raise IntegrityError(
                "\n".join([*problems, f"Restore the ledger of {name} from a backup; run `audit verify`."])
            )
        self._known[history[0].ledger] = (tuple(history), state)
        return state

    def forget(self) -> None:
        """Forget everything that grows: the ledgers are read again when they are needed."""
        self._histories.clear()
        self._governances = []
        self._known.clear()

    def _take(self, history: Sequence[LedgerEntry]) -> tuple[list[str], BundleState | None]:
        done, state = self._known.get(history[0].ledger, ((), None))
        if tuple(history[: len(done)]) != done:
            done, state = (), None
        problems: list[str] = []
        for entry in history[len(done) :]:
            problems += self._entry_problems(state, entry)
            state = next_state(state, entry)
        return problems, state

    def problems(self, history: Sequence[LedgerEntry]) -> list[str]:
        """List what does not hold in a history, without stopping at the first."""
        problems: list[str] = []
        state: BundleState | None = None
        for entry in history:
            problems += self._entry_problems(state, entry)
            try:
                state = next_state(state, entry)
            except IntegrityError as error:
                return [*problems, str(error)]
        return problems

    def records(self, names: Iterable[str]) -> dict[str, Evaluation]:
        """Return the evaluations that exist, their bytes verified."""
        for name in names:
            if name not in self._records:
                self._records.update(self._catalog.known_evaluations([name]))
        return {name: self._records[name] for name in names if name in self._records}

    def records_for(
        self, state: BundleState, governance: Governance, named: Iterable[str], now_ns: int
    ) -> dict[str, Evaluation]:
        """Return what `ladder.decide` needs: the named, the cited, and the standing evidence of each stage."""
        cited = [name for promotion in state.promotions for name in promotion.request.statement.evaluations]
        rules = [rule for stage in STAGES[state.target] if (rule := governance.policy.rule(state.target, stage))]
        standing = [found.evaluation for rule in rules for found in standing_evidence(state, rule, governance, now_ns)]
        return self.records(dict.fromkeys([*named, *cited, *standing]))

    def debts(self, bundle_id: str, governance: Governance, until_ns: int | None = None) -> tuple[str, ...]:
        """Say which broken glasses of the same algo owe reviews, now or, clocks being what they are, around some time.

        What others wrote at about that time may not have been there to be read.
        """
        manifest = self._manifest(bundle_id)
        lineage = lineage_of(self._catalog, manifest) if governance.glasses else ()
        found: list[str] = []
        for glass in governance.glasses:
            if is_same_algo(glass, manifest, lineage):
                found += self._open_debt(glass, until_ns)
        return tuple(found)

    def _open_debt(self, broken: GlassBroken, until_ns: int | None) -> Iterator[str]:
        state: BundleState | None = None
        for entry in self.history(broken.bundle):
            if until_ns is not None and entry.at_ns > until_ns + CLOCK_TOLERANCE_NS:
                break
            state = next_state(state, entry)
        for glass in state.glasses if state else ():
            if state is None or glass.promotion.request.id != broken.request:
                continue
            if until_ns is not None and glass.promotion.at_ns >= until_ns - CLOCK_TOLERANCE_NS:
                continue
            held = sum(self._holds(state, glass, at) for at in range(len(glass.reviews)))
            if held < glass.reviews_needed:
                yield (
                    f"the glass was broken for {broken.bundle} (stage {broken.stage}, {broken.request}) and "
                    f"{held} of {glass.reviews_needed} reviewers have looked at it; review it first: "
                    f"sequence bundle review {broken.bundle}"
                )

    def _holds(self, state: BundleState, glass: Glass, at: int) -> bool:
        """Tell whether a review, given those before it, was written by somebody who may."""
        review = glass.reviews[at]
        before = replace(glass, reviews=glass.reviews[:at])
        governance = self.governance(review.governance)
        return not any(review_problems(state, before, review.verdict, review.approval, governance, review.at_ns))

    def _manifest(self, bundle_id: str) -> Bundle:
        if bundle_id not in self._manifests:
            self._manifests[bundle_id] = self._catalog.bundle(bundle_id)
        return self._manifests[bundle_id]

    # Entries

    def _entry_problems(self, state: BundleState | None, entry: LedgerEntry) -> list[str]:
        where, body = entry_key(entry.ledger, entry.seq), entry.body
        try:
            if isinstance(body, Registered):
                problems = self._registered(entry, body)
            elif state is None:
                problems = iter(())
            elif isinstance(body, Authored):
                problems = _signature_problems(AuthorStatement(bundle=state.manifest), entry, body.signature)
            elif isinstance(body, Evaluated | Attested):
                statement = EvaluationStatement(
                    bundle=state.manifest, evaluation=body.evaluation, record=body.record, result=body.result
                )
                problems = _signature_problems(statement, entry, body.signature) if body.signature else iter(())
            elif isinstance(body, Approved | Denied):
                problems = self._answered(state, entry, body)
            elif isinstance(body, Promoted):
                problems = self._promoted(state, entry, body)
            elif isinstance(body, Released):
                problems = self._released(state, entry, body)
            elif isinstance(body, Reviewed):
                problems = self._reviewed(state, entry, body)
            elif isinstance(body, Demoted):
                problems = self._demoted(state, body)
            else:
                problems = iter(())
            return [f"{where}: {problem}" for problem in problems]
        except (IntegrityError, NotFoundError, InvalidInputError) as error:
            return [f"{where}: what it rests on cannot be verified: {error}"]

    def _registered(self, entry: LedgerEntry, body: Registered) -> Iterator[str]:
        manifest = self._catalog.manifest(body.manifest)
        self._manifests[entry.ledger] = manifest
        if manifest.bundle_id != entry.ledger:
            yield f"registers {manifest.bundle_id}"
        if (body.target, body.strategy, body.wasm) != (manifest.kind, manifest.label, manifest.wasm_digest):
            yield f"says {body.target}, {body.strategy}, {body.wasm}, which its manifest does not"

    def _answered(self, state: BundleState, entry: LedgerEntry, body: Approved | Denied) -> Iterator[str]:
        yield from self._dating(entry, body.governance)
        decision: Literal["approve", "deny"] = "approve" if isinstance(body, Approved) else "deny"
        request, governance = state.request(body.request), self.governance(body.governance)
        yield from answer_problems(state, request, decision, body.approval, governance, entry.at_ns)

    def _promoted(self, state: BundleState, entry: LedgerEntry, body: Promoted) -> Iterator[str]:
        governance = self.governance(body.governance)
        yield from self._dating(entry, body.governance)
        proposal = _proposal_of(state, state.request(body.request))
        records = self.records_for(state, governance, proposal.evaluations, entry.at_ns)
        debts = () if proposal.break_glass else self.debts(entry.ledger, governance, entry.at_ns)
        decision = decide(
            proposal, state=state, records=records, governance=governance, debts=debts, now_ns=entry.at_ns
        )
        if decision.decision != "promoted" or decision.repeats:
            yield f"the ladder does not allow this promotion: {'; '.join(decision.unmet) or 'it repeats one'}"
        elif decision.request is None or decision.request.id != body.request:
            yield "the promotion states another verdict or policy than its evaluations give"
        wanted = governance.policy.break_glass.reviews.count if proposal.break_glass else 0
        if body.reviews != wanted:
            yield f"asks for {body.reviews} reviews afterwards, the policy for {wanted}"
        if proposal.break_glass and (entry.ledger, body.request) not in {
            (glass.bundle, glass.request) for glass in governance.glasses
        }:
            yield "the glass was broken, but the governance ledger does not know of it"

    def _released(self, state: BundleState, entry: LedgerEntry, body: Released) -> Iterator[str]:
        governance = self.governance(body.governance)
        yield from self._dating(entry, body.governance)
        statement = ReleaseStatement(bundle=state.manifest, quarantine=body.quarantine)
        yield from approval_problems(
            body.approval,
            statement=statement,
            roster=governance.roster,
            author=state.author,
            signers=governance.policy.release,
            at_ns=entry.at_ns,
        )

    def _reviewed(self, state: BundleState, entry: LedgerEntry, body: Reviewed) -> Iterator[str]:
        governance = self.governance(body.governance)
        yield from self._dating(entry, body.governance)
        glass = next((each for each in state.glasses if each.promotion.request.id == body.request), None)
        if glass is not None:
            yield from review_problems(state, glass, body.verdict, body.approval, governance, entry.at_ns)

    @staticmethod
    def _demoted(state: BundleState, body: Demoted) -> Iterator[str]:
        if body.evaluation is not None and state.find(body.evaluation) is None:
            yield f"demotes because of {body.evaluation}, which the ledger does not know"

    def _dating(self, entry: LedgerEntry, governance: int) -> Iterator[str]:
        """Say so if something was decided under a policy or roster that had been replaced long before."""
        self.governance()
        for seq, at_ns in enumerate(self._governance_times, start=1):
            if seq > governance and at_ns + CLOCK_TOLERANCE_NS < entry.at_ns and self._changes_rules(seq):
                yield (
                    f"decided under entry {governance} of the governance ledger, although entry {seq} had replaced it"
                )
                return

    def _changes_rules(self, seq: int) -> bool:
        before, after_it = self._governances[seq - 1], self._governances[seq]
        return (before.policy, before.roster) != (after_it.policy, after_it.roster)


def _signature_problems(statement: Statement, entry: LedgerEntry, signature: str) -> Iterator[str]:
    """Check a signature as such; whose key it must be, and when, the ladder says at each promotion."""
    try:
        signer_of(statement.canonical(), signature, statement.namespace)
    except BadSignatureError as error:
        yield f"the signature of {entry.actor} does not verify: {error}"


def _proposal_of(state: BundleState, request: Request) -> Proposal:
    statement = request.statement
    return Proposal(
        bundle=state.bundle,
        manifest=state.manifest,
        bundle_kind=state.target,
        target=statement.target,
        stage=statement.stage,
        evaluations=statement.evaluations,
        break_glass=statement.break_glass,
        glass_s=statement.glass_s,
        notes=request.notes,
    )
