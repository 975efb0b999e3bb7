"""The command line inside the process of the test: the same `main`, without the start of an interpreter."""

import contextlib
import io
import json
import sys
from typing import Any, NamedTuple
from unittest import mock

from hl7auth.cli.app import main


class Ran(NamedTuple):
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Its output as one JSON document."""
        return json.loads(self.out)


def run(*words: str, database: str = "") -> Ran:
    """Runs a command, on a database if wanted."""
    out, err = io.StringIO(), io.StringIO()
    command = ["hl7auth", *words, *(["--database", database] if database else [])]
    code: object = 0
    with (
        mock.patch.object(sys, "argv", command),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    assert isinstance(code, int)
    return Ran(code, out.getvalue(), err.getvalue())
