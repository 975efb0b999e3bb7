"""The archive of messages: listed, read back whole, exported."""

from pathlib import Path

import pytest

from hl7auth.errors import UserError
from hl7auth.store import archive
from tests.engine import answer, request
from tests.store.stored import Store


def test_messages_are_read_back_with_what_they_changed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.send(request("C1", number="PA1"), answer("P1", "C1"), request("X", number="PA2"))
    with store.reading() as connection:
        listed = archive.list_messages(connection, {"control_id": "C1"}, 100)
        assert [(entry["id"], entry["received_at"]) for entry in listed] == [("1", "2026-03-01T10:00:00.000+00:00")]
        assert [entry["id"] for entry in archive.list_messages(connection, {}, 2)] == ["2", "3"]
        whole = archive.read_message(connection, 2)
        assert whole["changed"] == [{"key": "PA1@ACME", "version": 2, "status": "approved", "by": "answer"}]
        assert whole["raw"] == answer("P1", "C1")
        assert archive.read_raw(connection, {"message_type": "RPA"}, 0) == [(2, answer("P1", "C1"))]
        with pytest.raises(UserError, match="there is no message 99"):
            archive.read_message(connection, 99)
    store.close()
