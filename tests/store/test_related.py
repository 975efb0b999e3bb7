"""What belongs to a message: request, answer, repetition, and others about the same authorization."""

from pathlib import Path

from hl7auth.store.related import deliveries_of, related
from tests.engine import answer, request
from tests.store.stored import Store


def test_request_answer_and_repetition_find_each_other(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.send(
        request("C1", number="PA1"), answer("P1", "C1"), request("C1", number="PA1"), request("C2", number="PA9")
    )
    with store.reading() as connection:
        assert [(each["as"], each["id"]) for each in related(connection, 1, "C1", "")] == [
            ("answer", "2"), ("repetition", "3"),
        ]  # fmt: skip
        assert [(each["as"], each["id"]) for each in related(connection, 2, "P1", "C1")] == [
            ("request", "1"), ("request", "3"),
        ]  # fmt: skip
        assert related(connection, 4, "C2", "") == []
        assert deliveries_of(connection, 1) == []
    store.close()
