"""Random sequences of snapshots and actions on the real journal, beside a model that is short enough to be believed."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from hl7auth.flow.intake import plan
from hl7auth.observe import ids, now
from hl7auth.store.database import open_database
from hl7auth.store.journal import Journal
from hl7auth.store.schema import metadata
from tests.messages import answer, aut, shipped_channel
from tests.semantics.model import Fields, Model, Sent

NUMBERS, PROCEDURES, REFERRALS = ("PA1", "PA2", "PA3"), ("99213", "97110", "73721"), ("R1", "R2")

new_id = ids()


def texts(*values: str) -> st.SearchStrategy[str]:
    return st.sampled_from(values)


whole = st.fixed_dictionaries({"count": texts("0", "2"), "name": texts("", "Acme", "Apex")})
part = st.fixed_dictionaries({"count": texts("", "0", "2", "5"), "name": texts("", '""', "Acme")})


def members(codes: Sequence[str], fields: st.SearchStrategy[Fields]) -> st.SearchStrategy[list[Sent]]:
    """A message's PR1s, each procedure once."""
    one = st.builds(Sent, st.sampled_from(codes), texts(*NUMBERS), texts(*PROCEDURES), fields)
    return st.lists(one, min_size=1, max_size=3, unique_by=lambda sent: sent.procedure)


class Semantics(RuleBasedStateMachine):
    """An authorizing payer sends; model and journal must come to the same."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.engine = open_database(f"sqlite:///{Path(self.folder.name)}/store.db")
        metadata.create_all(self.engine)  # what migrations make, sooner
        self.journal = Journal(self.engine)
        self.model = Model()
        self.count = 0

    def send(self, referral: str, sent: list[Sent], top: str = "") -> bool:
        """True when the journal accepted the message."""
        self.count += 1
        segments = []
        for action, number, procedure, fields in sent:
            more = {3: fields["name"], 6: number, 9: fields["count"], 13: "SPEC", 29: action}
            segments += [f"PR1|1||{procedure}^^C4||20260401", aut(more)]
        raw = answer(
            *(segments or ["PR1|1||99213^^C4||20260401"]),
            top=top, referral=referral, version="2.9" if not top else "2.6", to="X", control_id=f"M{self.count}",
        )  # fmt: skip
        (outcome,) = self.journal.commit([plan(raw, shipped_channel(), now(), new_id)])
        assert outcome.disposition in ("accepted", "refused")
        return outcome.disposition == "accepted"

    @rule(referral=texts(*REFERRALS), sent=members([""], whole))
    def snapshot(self, referral: str, sent: list[Sent]) -> None:
        assert self.send(referral, sent) == self.model.snapshot(referral, sent)

    @rule(referral=texts(*REFERRALS), sent=members("AUDX", part))
    def action(self, referral: str, sent: list[Sent]) -> None:
        added = [each._replace(fields=each.fields | {"count": each.fields["count"] or "2"}) for each in sent]
        sent = [full if full.action == "A" else each for full, each in zip(added, sent, strict=True)]
        assert self.send(referral, sent) == self.model.act(referral, sent)

    @rule(referral=texts(*REFERRALS))
    def delete_all(self, referral: str) -> None:
        assert self.send(referral, [], top="AUT" + '|""' * 10) == self.model.snapshot(referral, [])

    @invariant()
    def model_and_journal_agree(self) -> None:
        sql = "SELECT key, status, document FROM authorization_version WHERE current = 1"
        with self.engine.connect() as connection:
            rows = connection.exec_driver_sql(sql).all()
        found = {}
        for key, status, text in rows:
            document = json.loads(text)
            assert document["status"] == status
            if status != "cancelled":
                lines = {line["procedure"]["code"]: said(line) for line in document["lines"]}
                found[key] = (document["referral"]["originating_id"], lines)
        wanted = {f"{key}@ACME": (held.referral, held.lines) for key, held in self.model.held.items()}
        assert found == wanted

    def teardown(self) -> None:
        self.journal.close()
        self.engine.dispose()
        self.folder.cleanup()


def said(line: dict[str, object]) -> Fields | None:
    """What a stored line says, in the words of the model; its status follows from its count."""
    count, name = line.get("authorized_treatments"), line.get("payor_name")
    if line["status"] == "cancelled":
        return None
    fields = {"name": str(name)} if name else {}
    assert isinstance(count, dict)
    assert line["status"] == ("denied" if count["quantity"] == "0" else "approved")
    return fields | {"count": str(count["quantity"])}


TestSemantics = Semantics.TestCase
TestSemantics.settings = settings(
    max_examples=20,
    stateful_step_count=15,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking, with a file to be synced, takes minutes
)
