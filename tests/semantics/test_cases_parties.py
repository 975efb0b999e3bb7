"""Whose numbers are whose: clinics behind one application, and partners that name each other less exactly."""

import pytest

from tests.messages import (
    ASKED,
    OTHER_PATIENT,
    PID,
    THERAPY,
    VISIT,
    Trial,
    answer,
    aut,
    changes,
    granted,
    request,
    rules,
    texts,
)

BOTH = pytest.mark.parametrize("version", ["2.3.1", "2.5.1"])
WEST = "FRONT|WEST"


@BOTH
@pytest.mark.parametrize("referral", ["R1", ""])
def test_p44_two_clinics_behind_one_application_use_the_same_numbers(referral: str, version: str) -> None:
    head = {"referral": referral, "version": version}
    trial = Trial()
    trial.send(request(VISIT, ASKED, **head))
    other = request(THERAPY, ASKED, sender=WEST, **head).replace(PID.encode(), OTHER_PATIENT)
    assert [version for _, version, _, _ in changes(trial.send(other))] == [1]
    told = answer(THERAPY, granted("PB1"), receiver=WEST, **head).replace(PID.encode(), OTHER_PATIENT)
    trial.send(answer(VISIT, granted("PA1"), **head), told)
    assert trial.statuses("PA1@ACME", "PB1@ACME") == ["approved", "approved"]
    name = "?R1@FRONT" if referral else "?#C1@FRONT"
    for facility, number in (("NORTH", "PA1@ACME"), ("WEST", "PB1@ACME")):
        assert trial.document(f"{name}:{facility}")["authorizations"] == [number]
    trial.send(request(event="I11", control_id="C2", version=version, referral="R1"))
    assert trial.statuses("PB1@ACME") == ["approved"]


@BOTH
def test_p44_the_namespace_of_a_referral_decides_before_who_sent_it(version: str) -> None:
    head = {"referral": "R1^HILL", "version": version}
    trial = Trial()
    trial.send(
        request(VISIT, ASKED, **head), request(THERAPY, ASKED, sender=WEST, event="I09", control_id="C2", **head)
    )
    assert trial.document("?R1@HILL")["version"] == 2
    outcome = trial.send(answer(VISIT, granted("PA1"), to="X9", receiver="ELSE|WHERE", **head))
    assert trial.statuses("?R1@HILL") == ["approved"]
    assert "answer.unmatched" not in rules(outcome)


@BOTH
@pytest.mark.parametrize("receiver", ["FRONT|", "|NORTH"])
def test_an_answer_that_names_its_receiver_by_half_stays_in_the_referral_of_its_request(
    receiver: str, version: str
) -> None:
    head = {"referral": "R1", "version": version}
    trial = Trial()
    trial.send(request(VISIT, ASKED, **head), answer(VISIT, granted("PA1"), **head))
    outcome = trial.send(answer(VISIT, granted("PA2"), receiver=receiver, control_id="D2", **head))
    assert "answer.unmatched" not in rules(outcome)
    assert trial.statuses("PA1@ACME", "PA2@ACME") == ["cancelled", "approved"]
    assert trial.document("?R1@FRONT:NORTH")["authorizations"] == ["PA2@ACME"]


@BOTH
def test_p59_a_half_name_that_fits_two_clinics_is_matched_by_what_msa_2_names_alone(version: str) -> None:
    head = {"referral": "R1", "version": version}
    trial = Trial()
    trial.send(request(VISIT, ASKED, **head), request(VISIT, ASKED, sender=WEST, control_id="C2", **head))
    unmatched = trial.send(answer(VISIT, granted("PA1"), to="X9", receiver="FRONT|", **head))
    assert "answer.unmatched" in rules(unmatched)
    trial.send(answer(VISIT, granted("PA2"), to="C2", receiver="FRONT|", control_id="D2", **head))
    assert trial.statuses("?R1@FRONT:NORTH", "?R1@FRONT:WEST") == ["pended", "approved"]


@BOTH
def test_a_request_that_named_no_facility_is_found_by_an_answer_that_does(version: str) -> None:
    head = {"referral": "R1", "version": version}
    trial = Trial()
    trial.send(request(VISIT, ASKED, sender="FRONT|", **head))
    trial.send(answer(VISIT, granted("PA1"), to="X9", **head))
    assert trial.statuses("?R1@FRONT") == ["approved"]
    other = answer(VISIT, granted("PB1"), to="X9", control_id="D2", referral="R1", receiver="BACK|", version=version)
    assert "answer.unmatched" in rules(trial.send(other))


FIRST = {"receiver": "PAYER|SOUTH", "control_id": "C1"}
OTHER_SYSTEM = {"receiver": "BETAPAY|EAST", "control_id": "C2"}
SAME_SYSTEM = {"receiver": "PAYER|SOUTH", "control_id": "C2"}
SENT_TO = pytest.mark.parametrize(
    ("second", "key"),
    [(OTHER_SYSTEM, "?R1@FRONT:NORTH~BETAPAY@EAST"), (SAME_SYSTEM, "?R1@FRONT:NORTH~PAYER@SOUTH")],
    ids=["another system", "the same system"],
)
BETA = {2: "BETA"}


def asked_twice(second: dict[str, str], version: str) -> Trial:
    """One referral, sent to ACME and to BETA."""
    head = {"referral": "R1", "version": version}
    trial = Trial()
    trial.send(request(VISIT, ASKED, **FIRST, **head))
    trial.send(request(VISIT, aut({8: "3"} | BETA), **second, **head))
    return trial


@BOTH
@SENT_TO
def test_a_referral_that_is_sent_to_two_payors_is_two_requests(second: dict[str, str], key: str, version: str) -> None:
    trial = asked_twice(second, version)
    assert trial.statuses("?R1@FRONT:NORTH", key) == ["pended", "pended"]
    trial.send(request(VISIT, aut({8: "9"} | BETA), event="I09", referral="R1", version=version, **second))
    assert [trial.document(each)["version"] for each in ("?R1@FRONT:NORTH", key)] == [1, 2]
    assert trial.document(key)["sent_to"]["payor"] == "BETA"


@BOTH
@SENT_TO
@pytest.mark.parametrize("to", ["C2", "X9"])
def test_each_payor_answers_the_request_that_was_sent_to_it(
    second: dict[str, str], key: str, to: str, version: str
) -> None:
    trial = asked_twice(second, version)
    told = {"sender": second["receiver"], "referral": "R1", "version": version}
    trial.send(answer(VISIT, granted("PB1", BETA), to=to, **told))
    assert trial.statuses("?R1@FRONT:NORTH", key, "PB1@BETA") == ["pended", "approved", "approved"]
    trial.send(answer(VISIT, granted("PA1"), to="X9", control_id="D2", referral="R1", version=version))
    assert trial.statuses("?R1@FRONT:NORTH", "PA1@ACME", "PB1@BETA") == ["approved", "approved", "approved"]
    assert trial.document(key)["authorizations"] == ["PB1@BETA"]


@BOTH
@SENT_TO
def test_p59_a_payor_that_nobody_asked_closes_no_request(second: dict[str, str], key: str, version: str) -> None:
    trial = asked_twice(second, version)
    told = {"sender": "GAMMAPAY|WEST", "referral": "R1", "to": "X9", "version": version}
    outcome = trial.send(answer(VISIT, granted("PG1", {2: "GAMMA"}), **told))
    assert "answer.unmatched" in rules(outcome)
    assert trial.statuses("?R1@FRONT:NORTH", key, "PG1@GAMMA") == ["pended", "pended", "approved"]


@BOTH
def test_p51_a_referral_is_cancelled_with_whom_the_cancellation_is_sent_to(version: str) -> None:
    trial = asked_twice(OTHER_SYSTEM, version)
    beta = {"sender": OTHER_SYSTEM["receiver"], "to": "C2", "control_id": "E1"}
    trial.send(answer(VISIT, granted("PA1"), referral="R1", version=version))
    trial.send(answer(VISIT, granted("PB1", BETA), referral="R1", version=version, **beta))
    cancel = {"event": "I11", "referral": "R1", "version": version, "receiver": OTHER_SYSTEM["receiver"]}
    trial.send(request(control_id="C3", **cancel))
    assert trial.statuses("?R1@FRONT:NORTH", "PA1@ACME") == ["approved", "approved"]
    assert trial.statuses("?R1@FRONT:NORTH~BETAPAY@EAST", "PB1@BETA") == ["cancelled", "cancelled"]
    trial.send(request(control_id="C4", **cancel | {"receiver": FIRST["receiver"]}))
    assert trial.statuses("?R1@FRONT:NORTH", "PA1@ACME") == ["cancelled", "cancelled"]


@pytest.mark.parametrize("version", ["2.4", "2.7"])
def test_a_status_request_tells_of_the_request_that_was_sent_there(version: str) -> None:
    trial = asked_twice(OTHER_SYSTEM, version)
    trial.send(answer(VISIT, aut({9: "0"}), referral="R1", version=version))
    ask = {"kind": "REF", "event": "I15", "referral": "R1", "version": version, "control_id": "C3"}
    replies = [trial.send(request(receiver=each["receiver"], **ask)) for each in (FIRST, OTHER_SYSTEM)]
    said = [next(line for line in texts(outcome)[0] if line.startswith("RF1")) for outcome in replies]
    assert [line.split("|")[1] for line in said] == ["R", "P"]


@pytest.mark.parametrize("version", ["2.8", "2.9"])
def test_rf1_25_deletes_the_referral_at_one_of_two_payors(version: str) -> None:
    trial = Trial()
    typed = {13: "SPEC"}
    trial.send(request(VISIT, aut({8: "3"} | typed), referral="R1", version=version, **FIRST))
    trial.send(request(VISIT, aut({8: "3"} | typed | BETA), referral="R1", version=version, **OTHER_SYSTEM))
    raw = request(referral="R1" + "|" * 19 + "D", event="I09", version=version, **OTHER_SYSTEM | {"control_id": "C3"})
    trial.send(raw)
    assert trial.statuses("?R1@FRONT:NORTH", "?R1@FRONT:NORTH~BETAPAY@EAST") == ["pended", "cancelled"]


MODIFIED = {"event": "I09", "control_id": "C3", "referral": "R1"}


@BOTH
def test_a_modification_that_names_another_payor_changes_the_request_that_waits(version: str) -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED, referral="R1", version=version))
    outcome = trial.send(request(VISIT, aut({8: "3"} | BETA), version=version, **MODIFIED))
    assert [(change.record.key, change.record.version) for change in outcome.changes] == [("?R1@FRONT:NORTH", 2)]
    assert trial.document("?R1@FRONT:NORTH")["sent_to"] == {
        "application": "PAYER", "facility": "SOUTH", "payor": "BETA",
    }  # fmt: skip
    (remark,) = [each for each in outcome.findings if each.rule == "request.payor-changed"]
    assert remark.text == "the request waited for the payor ACME; it is asked of BETA now"
    told = answer(VISIT, granted("PB1", BETA), to="X9", control_id="D2", referral="R1", version=version)
    assert "answer.unmatched" not in rules(trial.send(told))
    late = trial.send(answer(VISIT, granted("PA1"), referral="R1", version=version))
    assert "answer.unmatched" in rules(late)  # ACME is not asked any more
    assert trial.statuses("?R1@FRONT:NORTH", "PA1@ACME", "PB1@BETA") == ["approved", "approved", "approved"]
    assert trial.document("?R1@FRONT:NORTH")["authorizations"] == ["PB1@BETA"]


@BOTH
@pytest.mark.parametrize("how", ["new", "sent again", "elsewhere", "decided", "asked of two"])
def test_another_payor_is_another_request_unless_one_that_waits_is_modified(how: str, version: str) -> None:
    trial = asked_twice(SAME_SYSTEM, version) if how == "asked of two" else Trial()
    if how != "asked of two":
        trial.send(request(VISIT, ASKED, referral="R1", version=version))
    if how == "decided":
        trial.send(answer(VISIT, granted("PA1"), referral="R1", version=version))
    events = {"new": "I08", "sent again": "I10"}
    head = MODIFIED | {"event": events.get(how, "I09"), "version": version}
    head |= {"receiver": "BETAPAY|EAST"} if how == "elsewhere" else {}
    payor = {2: "GAMMA" if how == "asked of two" else "BETA"}
    (change,) = trial.send(request(VISIT, aut({8: "3"} | payor), **head)).changes
    assert (change.before, change.record.key == "?R1@FRONT:NORTH") == (None, False)
    assert trial.document("?R1@FRONT:NORTH")["sent_to"]["payor"] == "ACME"


@BOTH
def test_a_modification_without_a_payor_is_about_the_request_of_its_receiver(version: str) -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED, referral="R1", version=version))
    outcome = trial.send(request(THERAPY, version=version, **MODIFIED))
    assert [change.record.version for change in outcome.changes] == [2]
    assert trial.document("?R1@FRONT:NORTH")["sent_to"]["payor"] == "ACME"
    assert "request.payor-changed" not in rules(outcome)
