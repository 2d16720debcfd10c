"""Somebody can write to the store and has no keys: what they add moves nothing, is named, and stops nobody from taking
risk away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from bundles.approvals import Approval
from bundles.audit import verify
from bundles.canonical import digest_of
from bundles.catalog import blob_key, ref_key
from bundles.checkpoints import make_checkpoint
from bundles.descent import Change, demote, demote_on_failure, quarantine, review_statement
from bundles.entries import (
    Approved,
    Attested,
    Body,
    Denied,
    Evaluated,
    GlassBroken,
    LedgerEntry,
    PolicySet,
    Promoted,
    Released,
    Requested,
    Reviewed,
    RosterSet,
)
from bundles.errors import IntegrityError, LadderError, RefusedError
from bundles.governance import set_roster, statement_for
from bundles.ledger import Head, entry_key, head_key, sound_entries
from bundles.policy import default_policy
from bundles.promotion import complete
from bundles.roster import Roster
from bundles.state import fold
from bundles.statements import PromotionStatement, ReleaseStatement
from tests.bundles.conftest import (
    AUTHOR,
    DAY_NS,
    FIRST,
    GRETA,
    NOW_NS,
    OLGA,
    OTTO,
    PEOPLE,
    RITA,
    ROSTER,
    SECOND,
    STRANGER,
    TOM,
    UNLISTED,
    Person,
    World,
    evaluation_of,
    roster_of,
)
from tests.bundles.faults import MemoryStore

LATER_NS = NOW_NS + 2 * DAY_NS
MALLORY = "mallory"


@dataclass
class Attack:
    """A world with a bundle at shadow that has good evidence for live, and the hand that writes into its store."""

    store: MemoryStore = field(default_factory=MemoryStore)
    now_ns: int = LATER_NS
    forged: list[str] = field(default_factory=list)
    """The keys that audit must name one of."""

    def __post_init__(self) -> None:
        self.world = World(self.store).begin()
        self.world.sign()
        self.world.promote("replay", self.world.evaluate("replay"))
        self.world.promote("shadow", self.world.evaluate("shadow", number=1))
        self.evidence = self.world.evaluate("shadow", number=2, day=3, attested_by=SECOND, now_ns=LATER_NS)

    @property
    def bundle(self) -> str:
        return self.world.bundle_id

    def append(self, body: Body, *, ledger: str = "", actor: str = MALLORY, at_ns: int | None = None) -> int:
        """Continue a chain correctly, head and all."""
        name = ledger or self.bundle
        keys = sorted(self.store.list(f"ledger/{name}/"))
        last = LedgerEntry.model_validate_json(self.store.get(keys[-1]))
        entry = LedgerEntry(
            seq=len(keys) + 1,
            ledger=name,
            at_ns=self.now_ns if at_ns is None else at_ns,
            actor=actor,
            previous=digest_of(self.store.get(keys[-1])),
            body=body,
        )
        assert last.seq == len(keys)
        key = entry_key(name, entry.seq)
        self.store.put_if_absent(key, entry.canonical())
        head = Head.model_validate_json(self.store.get(head_key(name)))
        self.store.objects[head_key(name)] = head.model_copy(
            update={"seq": entry.seq, "entry": entry.digest()}
        ).canonical()
        self.forged.append(key)
        return entry.seq

    @property
    def governance(self) -> int:
        return len(list(self.store.list("ledger/governance/")))

    def request(self, stage: str = "live", **changed: object) -> PromotionStatement:
        """Let an honest operator open a request, and return what it asks for."""
        facts: dict = {"now_ns": self.now_ns} | changed
        names = () if facts.get("break_glass") else (self.evidence,)
        outcome = self.world.ask(stage, *names, **facts)
        assert outcome.request, outcome.unmet
        return self.world.catalog.request(outcome.request)

    def sound_stage(self) -> str:
        keys = sorted(self.store.list(f"ledger/{self.bundle}/"))
        return fold(sound_entries(self.bundle, keys, [self.store.get(key) for key in keys])).stage_at(self.now_ns)

    def promoted(self, request: PromotionStatement, *, governance: int = 1, reviews: int = 0, **when: int) -> None:
        state = self.world.catalog.ledger.state(self.bundle)
        self.append(
            Promoted(
                request=request.request_id,
                from_stage=state.earned,
                stage=request.stage,
                governance=governance,
                reviews=reviews,
            ),
            **when,
        )

    def approved(self, request: PromotionStatement, approval: Approval, **when: int) -> None:
        self.append(Approved(request=request.request_id, approval=approval, governance=self.governance), **when)


def promoted_without_approvals(attack: Attack) -> None:
    attack.promoted(attack.request())


def promoted_on_one_approval_of_two(attack: Attack) -> None:
    request = attack.request()
    attack.world.approve(request.request_id, RITA, now_ns=attack.now_ns)
    attack.promoted(request)


def with_a_signature_for(**changed: object) -> Callable[[Attack], None]:
    def forge(attack: Attack) -> None:
        request = attack.request()
        other = request.model_copy(update=changed)
        attack.approved(request, RITA.says(other))
        attack.approved(request, TOM.says(other))
        attack.promoted(request)

    return forge


def with_an_approval_that_is_a_denial(attack: Attack) -> None:
    request = attack.request()
    attack.approved(request, RITA.says(request.saying("deny")))


def with_the_authors_word(attack: Attack) -> None:
    request = attack.request()
    attack.world.approve(request.request_id, TOM, now_ns=attack.now_ns)
    attack.approved(request, AUTHOR.says(request))
    attack.promoted(request)


def with_one_key_and_two_names(attack: Attack) -> None:
    request = attack.request()
    attack.world.approve(request.request_id, RITA, now_ns=attack.now_ns)
    attack.approved(request, RITA.says(request).model_copy(update={"approver": TOM.name}))
    attack.promoted(request)


def with_one_person_twice(attack: Attack) -> None:
    request = attack.request()
    attack.world.approve(request.request_id, RITA, now_ns=attack.now_ns)
    attack.approved(request, RITA.says(request, notes="again"))
    attack.promoted(request)
    attack.forged.pop(0)  # it is Rita's own word; the promotion is what nobody allowed


def with_typed_names(attack: Attack) -> None:
    request = attack.request()
    for person in (RITA, TOM):
        attack.approved(request, person.says(request, signed=False))
    attack.promoted(request)


def with_a_stranger(attack: Attack) -> None:
    request = attack.request()
    attack.world.approve(request.request_id, RITA, now_ns=attack.now_ns)
    attack.approved(request, STRANGER.says(request))
    attack.promoted(request)


def with_a_revoked_key(governance: int) -> Callable[[Attack], None]:
    def forge(attack: Attack) -> None:
        request = attack.request()
        attack.world.approve(request.request_id, RITA, now_ns=attack.now_ns)
        without_tom(attack)
        attack.now_ns += DAY_NS
        attack.approved(request, TOM.says(request))
        attack.promoted(request, governance=governance)

    return forge


def without_tom(attack: Attack) -> None:
    left = roster_of({name: roles for name, roles in PEOPLE.items() if name != TOM.name})
    word = GRETA.says(statement_for(attack.world.catalog, left))
    set_roster(attack.world.catalog, left, by=GRETA.name, now_ns=attack.now_ns, more=[word])


def with_a_governance_that_is_not_there(attack: Attack) -> None:
    request = attack.request()
    attack.approved(request, RITA.says(request, signed=True))
    attack.promoted(request, governance=7)
    attack.forged.pop(0)  # that is Rita's own word


def backdated(attack: Attack) -> None:
    request = attack.request()
    attack.approved(request, RITA.says(request), at_ns=NOW_NS - DAY_NS)


def broken_without_telling(attack: Attack) -> None:
    request = attack.request("scaled", break_glass=True, notes="fire")
    attack.approved(request, OTTO.says(request))
    attack.promoted(request, reviews=2)
    attack.forged.pop(0)  # that may be Otto's own word


def broken_by_nobody(attack: Attack) -> None:
    request = attack.request("scaled", break_glass=True, notes="fire")
    body = GlassBroken(bundle=attack.bundle, request=request.request_id, stage="scaled", wasm=None, lineage=())
    attack.append(body, ledger="governance")
    attack.promoted(request, governance=2, reviews=2)
    attack.forged.pop(0)  # a crash leaves the same: a glass that was about to be broken


def broken_without_reviews(attack: Attack) -> None:
    request = attack.request("scaled", break_glass=True, notes="fire")
    attack.approved(request, OTTO.says(request))
    body = GlassBroken(bundle=attack.bundle, request=request.request_id, stage="scaled", wasm=None, lineage=())
    attack.append(body, ledger="governance")
    attack.promoted(request, governance=2, reviews=0)
    del attack.forged[:2]


def skipping_a_stage(attack: Attack) -> None:
    allowed, last = attack.request(), attack.world.catalog.ledger.state(attack.bundle).last
    request = allowed.model_copy(update={"stage": "scaled", "entry": last.seq + 1, "follows": last.digest()})
    attack.append(Requested(statement=request, notes=""))
    attack.approved(request, RITA.says(request))
    attack.approved(request, TOM.says(request))
    attack.promoted(request)
    attack.forged = attack.forged[-1:]


def denied_without_a_signature(attack: Attack) -> None:
    request = attack.request()
    attack.append(
        Denied(request=request.request_id, approval=RITA.says(request.saying("deny"), signed=False), governance=1)
    )


def denied_with_an_approval(attack: Attack) -> None:
    request = attack.request()
    attack.append(Denied(request=request.request_id, approval=RITA.says(request), governance=1))


def evaluated_with_a_stolen_signature(attack: Attack) -> None:
    entries = attack.world.catalog.ledger.history(attack.bundle)
    real = next(entry.body for entry in entries if isinstance(entry.body, Evaluated))
    assert isinstance(real, Evaluated)
    attack.append(invented(attack, signature=real.signature), actor=FIRST.name)


def attested_with_a_stolen_signature(attack: Attack) -> None:
    entries = attack.world.catalog.ledger.history(attack.bundle)
    real = next(entry.body for entry in entries if isinstance(entry.body, Attested))
    assert isinstance(real, Attested)
    attack.append(real.model_copy(update={"result": digest_of(b"mine")}), actor=FIRST.name)


def invented(attack: Attack, *, signature: str = "", number: int = 66) -> Evaluated:
    """A record that nobody measured, bound under its name like a real one."""
    record = evaluation_of(attack.world.bundle, "shadow", number=number, day=20)
    attack.world.catalog.put_blob(b"fills %d" % number)
    attack.world.catalog._bind("evaluations", record.eval_id, record)
    return Evaluated(
        evaluation=record.eval_id,
        evaluation_kind="shadow",
        record=record.digest(),
        result=record.result_digest,
        signature=signature,
    )


def released_by(person: Person, *, signed: bool = True, quarantined_by: str = "") -> Callable[[Attack], None]:
    def forge(attack: Attack) -> None:
        quarantine(attack.world.catalog, attack.bundle, notes="odd", operator="op", now_ns=attack.now_ns)
        last = attack.world.catalog.ledger.state(attack.bundle).last
        statement = ReleaseStatement(bundle=attack.world.bundle.digest(), quarantine=quarantined_by or last.digest())
        word = person.says(statement, signed=signed)
        attack.append(Released(quarantine=last.digest(), approval=word, governance=1))

    return forge


def reviewed_by(person: Person, said: str = "ratify", written: str = "ratify") -> Callable[[Attack], None]:
    def forge(attack: Attack) -> None:
        outcome = attack.world.promote("scaled", by=(OTTO,), break_glass=True, notes="fire", now_ns=attack.now_ns)
        statement = review_statement(attack.world.catalog, attack.bundle, said)  # type: ignore[arg-type]
        attack.append(
            Reviewed(
                request=outcome.request or "",
                verdict=written,  # type: ignore[arg-type]
                approval=person.says(statement),
                governance=2,
            )
        )

    return forge


MALLORYS = Roster(
    allowed_signers=ROSTER.allowed_signers + f"{MALLORY} {Person(MALLORY).public}\n",
    roles=dict(ROSTER.roles) | {MALLORY: ("risk", "trading", "governance", "break-glass")},
)
LAX = default_policy().model_copy(update={"name": "lax"})


def roster_set_by(person: Person | None) -> Callable[[Attack], None]:
    def forge(attack: Attack) -> None:
        attack.world.catalog.put_blob(MALLORYS.canonical())
        words = (person.says(statement_for(attack.world.catalog, MALLORYS)),) if person else ()
        attack.append(RosterSet(roster=MALLORYS.digest(), approvals=words), ledger="governance")

    return forge


def policy_set_by(person: Person | None) -> Callable[[Attack], None]:
    def forge(attack: Attack) -> None:
        attack.world.catalog.keep_policy(LAX)
        words = (person.says(statement_for(attack.world.catalog, LAX)),) if person else ()
        attack.append(PolicySet(policy=LAX.digest(), approvals=words), ledger="governance")

    return forge


def roster_replayed(attack: Attack) -> None:
    """Greta's word for the first roster, brought again after she had revoked it."""
    word = GRETA.says(statement_for(attack.world.catalog, ROSTER))
    without_tom(attack)
    attack.append(RosterSet(roster=ROSTER.digest(), approvals=(word,)), ledger="governance")


def garbage_as_next_entry(attack: Attack) -> None:
    state = attack.world.catalog.ledger.state(attack.bundle)
    attack.forged.append(entry_key(attack.bundle, state.entries + 1))
    attack.store.objects[attack.forged[-1]] = b"\x00garbage"


def garbage_far_away(attack: Attack) -> None:
    attack.forged.append(entry_key(attack.bundle, 99_999_999))
    attack.store.objects[attack.forged[-1]] = b"{}"


def an_entry_of_another_ledger(attack: Attack) -> None:
    attack.append(PolicySet(policy=default_policy().digest(), approvals=()))


def an_answer_to_nothing(attack: Attack) -> None:
    request = attack.request()
    attack.append(Approved(request="prm_0123456789abcdef", approval=RITA.says(request), governance=1))


def a_head_of_garbage(attack: Attack) -> None:
    attack.forged.append(head_key(attack.bundle))
    attack.store.objects[attack.forged[-1]] = b"{"


def a_head_that_knows_too_much(attack: Attack) -> None:
    head = Head.model_validate_json(attack.store.get(head_key(attack.bundle)))
    attack.forged.append(head_key(attack.bundle))
    attack.store.objects[attack.forged[-1]] = head.model_copy(update={"seq": head.seq + 5}).canonical()


def no_first_head(attack: Attack) -> None:
    attack.forged.append(head_key(attack.bundle))
    del attack.store.objects[attack.forged[-1]]


def an_edited_entry(attack: Attack) -> None:
    key = entry_key(attack.bundle, 3)
    attack.store.objects[key] = attack.store.objects[key].replace(b'"at_ns":"17', b'"at_ns":"18')
    attack.forged.append(key)


def an_edited_record(attack: Attack) -> None:
    """New metrics under the name of an evaluation that a ledger knows."""
    record = attack.world.catalog.evaluation(attack.evidence)
    edited = record.model_copy(update={"metrics": record.metrics | {"return_bps": 99.0}})
    attack.world.catalog.put_blob(edited.canonical())
    key = ref_key("evaluations", attack.evidence)
    attack.store.objects[key] = edited.digest().encode()
    attack.forged.append(key)


def record_bytes_edited(attack: Attack) -> None:
    key = blob_key(attack.world.catalog.evaluation(attack.evidence).digest())
    attack.store.objects[key] = attack.store.objects[key].replace(b'"return_bps":3.25', b'"return_bps":9.25')
    attack.forged.append(key)


FORGERIES: dict[str, Callable[[Attack], None]] = {
    "signature for another bundle": with_a_signature_for(bundle=digest_of(b"other")),
    "signature for another stage": with_a_signature_for(stage="shadow"),
    "signature for another policy": with_a_signature_for(policy=digest_of(b"other")),
    "signature for another verdict": with_a_signature_for(verdict=digest_of(b"other")),
    "signature for other evidence": with_a_signature_for(evaluations=("eval_0123456789abcdef",)),
    "signature for another request": with_a_signature_for(entry=3),
    "governance approver lacks the role": roster_set_by(RITA),
    "roster without a word": roster_set_by(None),
    "roster by its own people": roster_set_by(Person(MALLORY)),
    "policy without a word": policy_set_by(None),
    "policy by risk": policy_set_by(RITA),
    "released unsigned": released_by(OLGA, signed=False),
    "released by a stranger": released_by(STRANGER),
    "released by the author": released_by(AUTHOR),
    "released with an old word": released_by(OLGA, quarantined_by=digest_of(b"another quarantine")),
    "reviewed by who broke it": reviewed_by(OTTO),
    "reviewed by the author": reviewed_by(AUTHOR),
    "reviewed by a stranger": reviewed_by(STRANGER),
    "reviewed the other way round": reviewed_by(RITA, "demote", "ratify"),
    "key revoked, new governance": with_a_revoked_key(2),
    "key revoked, old governance": with_a_revoked_key(1),
} | {
    name.__name__.replace("_", " "): name
    for name in (
        promoted_without_approvals,
        promoted_on_one_approval_of_two,
        with_an_approval_that_is_a_denial,
        with_the_authors_word,
        with_one_key_and_two_names,
        with_one_person_twice,
        with_typed_names,
        with_a_stranger,
        with_a_governance_that_is_not_there,
        backdated,
        broken_without_telling,
        broken_by_nobody,
        broken_without_reviews,
        skipping_a_stage,
        denied_without_a_signature,
        denied_with_an_approval,
        evaluated_with_a_stolen_signature,
        attested_with_a_stolen_signature,
        roster_replayed,
        garbage_as_next_entry,
        garbage_far_away,
        an_entry_of_another_ledger,
        an_answer_to_nothing,
        a_head_of_garbage,
        a_head_that_knows_too_much,
        no_first_head,
        an_edited_entry,
        an_edited_record,
        record_bytes_edited,
    )
}


@pytest.fixture(params=FORGERIES)
def attack(request: pytest.FixtureRequest) -> Attack:
    found = Attack()
    FORGERIES[request.param](found)
    return found


def test_it_is_named(attack: Attack) -> None:
    problems = verify(attack.store).problems
    for key in attack.forged:
        assert any(key in problem for problem in problems), (key, problems)


def test_it_moves_nothing(attack: Attack) -> None:
    """Whatever an honest operator asks next, and whoever approves it, is refused."""
    before = {key for key, content in attack.store.objects.items() if b'"kind":"promoted"' in content}
    for stage, glass in (("live", False), ("scaled", False), ("scaled", True)):
        names = () if glass else (attack.evidence,)
        try:
            outcome = attack.world.ask(stage, *names, now_ns=attack.now_ns, break_glass=glass, notes="x")
            if outcome.request:
                outcome = complete(attack.world.catalog, outcome.request, now_ns=attack.now_ns)
        except LadderError:
            continue
        assert outcome.decision != "promoted"
    assert {key for key, content in attack.store.objects.items() if b'"kind":"promoted"' in content} == before


def test_it_stops_nobody_from_taking_risk_away(attack: Attack) -> None:
    catalog = attack.world.catalog
    try:
        state = catalog.ledger.state(attack.bundle)
        is_quarantined = state.quarantine is not None
    except IntegrityError:
        is_quarantined = False
    if attack.sound_stage() == "research":  # what is sound of the ledger brings it nowhere
        with pytest.raises(RefusedError, match="stands at research"):
            down_to_research(attack)
    else:
        assert down_to_research(attack).stage == "research"
    stopped = quarantine(catalog, attack.bundle, notes="tampered", operator="op", now_ns=attack.now_ns)
    assert is_quarantined or stopped.ledger_seq is not None
    standing = catalog.ledger.standing(attack.bundle)
    assert standing
    assert (standing.stage_at(attack.now_ns), standing.quarantined) == ("research", True)
    again = quarantine(catalog, attack.bundle, notes="again", operator="op", now_ns=attack.now_ns)
    assert again.ledger_seq is None
    with pytest.raises((IntegrityError, RefusedError)):
        attack.world.promote("replay", attack.evidence, now_ns=attack.now_ns).request or refuse()


def down_to_research(attack: Attack) -> Change:
    return demote(
        attack.world.catalog, attack.bundle, stage="research", notes="tampered", operator="op", now_ns=attack.now_ns
    )


def refuse() -> None:
    raise RefusedError("nothing was opened")


# Evidence that nobody measured: entries that a careless runner could have written as well do no harm


@pytest.mark.parametrize("runner", [MALLORY, UNLISTED.name, FIRST.name])
def test_invented_evidence_promotes_nothing(runner: str) -> None:
    attack = Attack()
    body = invented(attack)
    if runner == UNLISTED.name:
        record = attack.world.catalog.evaluation(body.evaluation)
        attack.world.catalog.record_evaluation(record, [b"fills 66"], runner=UNLISTED, now_ns=attack.now_ns)
    else:
        attack.append(body, actor=runner)
    for names in ((body.evaluation,), (attack.evidence,), (attack.evidence, body.evaluation)):
        outcome = attack.world.ask("live", *names, now_ns=attack.now_ns)
        assert outcome.decision == "refused", outcome


def test_an_invented_pass_does_not_make_up_for_a_failure() -> None:
    attack = Attack()
    attack.world.promote("live", attack.evidence, by=(RITA, TOM), now_ns=attack.now_ns)
    attack.world.evaluate("shadow", number=5, day=9, metrics={"traps": 1}, now_ns=attack.now_ns)
    attack.append(invented(attack), actor=FIRST.name)
    change = demote_on_failure(attack.world.catalog, attack.bundle, now_ns=attack.now_ns)
    assert change
    assert (change.stage_before, change.stage) == ("live", "shadow")


def test_an_invented_replay_does_not_lift_a_revocation() -> None:
    attack = Attack()
    attack.world.evaluate("replay", number=5, metrics={"traps": 1}, now_ns=attack.now_ns)
    record = evaluation_of(attack.world.bundle, "replay", number=66)
    attack.world.catalog.put_blob(b"fills 66")
    attack.world.catalog._bind("evaluations", record.eval_id, record)
    body = Evaluated(
        evaluation=record.eval_id, evaluation_kind="replay", record=record.digest(), result=record.result_digest
    )
    attack.append(body, actor=FIRST.name)
    outcome = attack.world.ask("live", attack.evidence, now_ns=attack.now_ns)
    assert outcome.decision == "refused"
    assert any("revokes stage replay" in line for line in outcome.unmet)


def test_a_date_in_the_future_shortens_no_waiting_time() -> None:
    attack = Attack()
    attack.now_ns = NOW_NS
    fresh = World(MemoryStore()).begin()
    fresh.sign()
    fresh.promote("replay", fresh.evaluate("replay"))
    fresh.promote("shadow", fresh.evaluate("shadow", number=1))
    name = fresh.evaluate("shadow", number=2, day=3, attested_by=SECOND, now_ns=NOW_NS + 2 * DAY_NS)
    outcome = fresh.promote("live", name, by=(RITA, TOM), now_ns=NOW_NS + 60 * 10**9)
    assert outcome.decision == "refused"
    assert any("dated 48.0 h from now" in line for line in outcome.unmet)
    assert verify(fresh.store).problems == ()


def test_a_revoked_key_that_signs_in_the_past_is_seen_by_a_checkpoint() -> None:
    """Without one nothing tells when an entry was written: its writer dates it."""
    attack = Attack()
    request = attack.request()
    attack.world.approve(request.request_id, RITA, now_ns=attack.now_ns)
    before_ns = attack.now_ns
    attack.now_ns += DAY_NS
    without_tom(attack)
    make_checkpoint(attack.world.catalog, FIRST, now_ns=attack.now_ns)
    attack.approved(request, TOM.says(request), at_ns=before_ns)
    attack.promoted(request, at_ns=before_ns)
    problems = verify(attack.store).problems
    assert any(attack.forged[0] in problem and "dated before checkpoint 1" in problem for problem in problems), problems
