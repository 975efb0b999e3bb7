"""token create, list, revoke; audit verify and list."""

import json
from pathlib import Path

from hl7auth.store.database import open_database, upgrade
from hl7auth.store.tokens import caller
from tests.cli.inline import run


def test_a_token_is_made_listed_and_revoked(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    engine = open_database(url)
    upgrade(engine)
    base = ("--database", url)
    asked = ("--scope", "billing.charge.read", "--scope", "admin", "--payor", "ACME", "--by", "ann")
    made = run("token", "create", "billing", *asked, *base)
    token = made.out.strip()
    with engine.connect() as connection:
        found = caller(connection, token)
    assert found is not None
    assert (found.name, set(found.payors), found.may("clinical.authorization.write")) == ("billing", {"ACME"}, True)
    assert token.encode() not in (tmp_path / "store.db").read_bytes()
    assert "billing.charge.read" in run("token", "list", *base).out
    assert "already" in run("token", "create", "billing", "--scope", "admin", *base).err
    assert "no scope 'all'" in run("token", "create", "other", "--scope", "all", *base).err
    assert run("token", "revoke", "billing", *base).code == 0
    assert run("token", "revoke", "billing", *base).code == 2
    with engine.connect() as connection:
        assert caller(connection, token) is None
    verified = run("audit", "verify", *base, "--format", "json")
    assert (verified.code, json.loads(verified.out)["rows"]) == (0, 2)
    assert [each["action"] for each in json.loads(run("audit", "list", *base, "--format", "json").out)] == [
        "token.create", "token.revoke",
    ]  # fmt: skip
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE audit SET who = 'nobody' WHERE id = 1")
    assert run("audit", "verify", *base).code == 1
    engine.dispose()
