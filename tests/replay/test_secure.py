"""Replays to an endpoint over TLS: who is not trusted, or does not trust us, gets nothing; others get it once."""

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.cli.inline import Ran, run
from tests.engine import answer, request
from tests.replay.made import planned, went
from tests.replay.sink import Say, Sink, says
from tests.store.stored import Store

Open = Callable[[Say], Sink]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path, migrate=True)
    made.send(request("C1", number="PA1"), request("C2", number="PA2"), answer("D1", "C1"))
    yield made
    made.close()


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    """Signs the server of `opened`, and the clients that it lets in."""
    return Authority(tmp_path)


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def opened(ours: Authority, request: pytest.FixtureRequest) -> Iterator[Open]:
    """Opens an endpoint that speaks one version of TLS, and lets in who has a certificate of that authority."""
    made: list[Sink] = []
    server = ours.sign("server", "localhost", "127.0.0.1")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=ours.path)
    context.load_cert_chain(server, server.with_suffix(".key"))
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = context.maximum_version = request.param

    def make(say: Say) -> Sink:
        made.append(Sink(say, context))
        return made[-1]

    yield make
    for each in made:
        each.close()


def ran(store: Store, number: str, *words: str | Path) -> Ran:
    return run("replay", "run", number, *map(str, words), "--format", "json", database=store.url)


def test_messages_arrive_once_and_in_order(store: Store, ours: Authority, opened: Open, tmp_path: Path) -> None:
    client = ours.sign("client", passphrase="open sesame")
    (tmp_path / "secret").write_text("open sesame\n", encoding="utf-8")
    who = ("--certificate", client, "--key", client.with_suffix(".key"), "--passphrase", f"file:{tmp_path / 'secret'}")
    known = ("--trust", ours.path, *who)
    sink = opened(lambda raw: says("AE" if b"|C2|" in raw[:120] else "AA", raw))
    plan = planned(store, "--to-endpoint", sink.to, "--tls")
    assert (plan["target"], plan["expected"]) == (f"endpoint:tls:{sink.to}", {"send": 3})
    done = ran(store, plan["replay"], *known)
    assert (done.code, done.document["states"]) == (1, {"done": 2, "refused": 1}), done.err
    assert sink.order == ["C1", "C2", "D1"]
    assert planned(store, "--to-endpoint", sink.to, "--tls")["expected"] == {"done": 2, "send": 1}
    assert ran(store, plan["replay"], *known).code == 1
    assert sink.came == {"C1": 1, "C2": 1, "D1": 1}


def test_one_that_hangs_up_behind_each_answer_is_connected_to_again(
    store: Store, ours: Authority, opened: Open
) -> None:
    client = ours.sign("client")
    known = ("--trust", ours.path, "--certificate", client, "--key", client.with_suffix(".key"))
    sink = opened(lambda raw: says("AA", raw))
    sink.once = True
    done = ran(store, planned(store, "--to-endpoint", sink.to, "--tls")["replay"], *known)
    assert (done.document["states"], sink.order) == ({"done": 3}, ["C1", "C2", "D1"]), done.document


def test_who_is_not_trusted_gets_nothing(store: Store, ours: Authority, opened: Open, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    client, stranger = ours.sign("client"), other.sign("client")
    sink = opened(lambda raw: says("AA", raw))
    number = planned(store, "--to-endpoint", sink.to, "--tls")["replay"]
    mine = ("--certificate", client, "--key", client.with_suffix(".key"))
    for words, said in (
        (mine, "is not trusted: "),
        (("--trust", other.path, *mine), "is not trusted: "),
        (("--trust", ours.path, "--server-name", "other.example", *mine), "hostname mismatch"),
        (("--trust", ours.path), "no TLS with"),
        (("--trust", ours.path, "--certificate", stranger, "--key", stranger.with_suffix(".key")), "no TLS with"),
    ):
        done = ran(store, number, *words)
        assert (done.code, done.document["states"]) == (1, {"waiting": 3}), (words, done.document)
        assert said in done.document["rests"]
    plain = planned(store, "--to-endpoint", sink.to)["replay"]
    assert went(store, plain).document["states"] == {"unknown": 1, "waiting": 2}
    assert not sink.came


def test_options_that_do_not_fit_are_told_before_anything_is_sent(store: Store, tmp_path: Path) -> None:
    for words, said in (
        (("--trust", tmp_path / "none.pem"), "--trust: "),
        (("--key", tmp_path / "none.key"), "--key: a key without a certificate is no use"),
        (("--minimum", "1.1"), "--minimum: TLS 1.1 is broken: the least is 1.2"),
        (("--minimum", "2"), "--minimum: Input should be '1.2' or '1.3'"),
    ):
        number = planned(store, "--to-endpoint", "127.0.0.1:9", "--tls")["replay"]
        done = ran(store, number, *words)
        assert (done.code, said in done.err) == (2, True), done.err
    plain = planned(store, "--to-endpoint", "127.0.0.1:9")["replay"]
    for number in (plain, planned(store)["replay"]):
        done = ran(store, number, "--minimum", "1.3")
        assert (done.code, "--tls" in done.err) == (2, True), done.err
    odd = run("replay", "plan", "--tls", database=store.url)
    assert (odd.code, odd.err) == (2, "hl7auth: --tls goes with --to-endpoint\n")
