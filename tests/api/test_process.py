"""`hl7auth serve --api`: a process of its own that is there with the engine, and ends with it, however that ends."""

import json
import signal
import socket
from pathlib import Path
from urllib.request import urlopen

from tests.cli.inline import run
from tests.serving import Serving


def test_the_api_lives_and_dies_with_the_engine(tmp_path: Path) -> None:
    with Serving(tmp_path, 1, options=["--api", "0"]) as engine:
        said = engine.said()
        assert said.startswith("the API listens on http://127.0.0.1:")
        with urlopen(f"{said.split()[-1]}/health") as answer:
            assert json.load(answer)["status"] == "ok"
        engine.process.send_signal(signal.SIGKILL)
        engine.until_gone()  # its output ends when the last process has


def test_a_taken_port_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        refused = run("serve", "--api", address, database=f"sqlite:///{tmp_path}/s.db")
    assert (refused.code, refused.err) == (2, f"hl7auth: the API can not listen at {address}: address already in use\n")


def test_mistakes_of_the_options_are_one_sentence_each(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    for words, text in (
        (("--api", "nowhere"), "'nowhere' is no ADDRESS:PORT for the API"),
        (("--api", "0", "--api-desk", "x"), "--api-desk: there is no channel 'x' (known: referral-intake)"),
        (("--api", "0", "--api-share", "ACME=2"), "--api-share: 'ACME=2' is no PAYOR=SHARE"),
    ):
        refused = run("serve", *words, database=url)
        assert refused.code == 2
        assert text in refused.err
