"""Where a channel learns whether a member is enrolled: the settings of it, as people write them.

Imports flow.endpoint, flow.http_address, rules.strict_yaml and pydantic only.
"""

import re
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from hl7auth.flow.endpoint import endpoint
from hl7auth.flow.http_address import HttpHeaders, HttpUrl
from hl7auth.rules.strict_yaml import Strict

_PORTS, _MOST_DOUBLINGS = 65_535, 64
_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


class Call(Strict):
    """A Python function by its name, `module:function`; its module is looked for beside the channel first.

    It gets a dict (member, assigner, payor, plan, start, end, name, birth_date) and returns one, or None where it knows
    nobody of that number. It runs in a process of its own, which is ended after so many seconds.
    """

    function: str
    seconds: float = Field(10.0, gt=0, le=300)

    @field_validator("function")
    @classmethod
    def _named(cls, text: str) -> str:
        if not _FUNCTION.fullmatch(text):
            raise ValueError(f"'{text}' is no function, like eligibility:answer")
        return text


class Post(Strict):
    """An HTTP server that is asked by a POST of JSON and answers with a JSON object; 404 means that it knows nobody."""

    url: HttpUrl
    headers: HttpHeaders = {}
    seconds: float = Field(10.0, gt=0, le=300)


class Inquiry(Strict):
    """An MLLP listener that answers RQI^I01 (chapter 11, 11.3.1) with RPI^I01."""

    connect: str
    seconds: float = Field(10.0, gt=0, le=300)
    version: Literal["2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.8", "2.8.1", "2.8.2"] = "2.5.1"
    receiving_application: str = ""
    receiving_facility: str = ""

    @field_validator("connect")
    @classmethod
    def _place(cls, text: str) -> str:
        found = endpoint(text)
        if found.kind != "tcp" or not found.host or not found.second.isdecimal() or int(found.second) > _PORTS:
            raise ValueError(f"'{text}' is no endpoint to connect to, like tcp:payer.example:2575")
        return text

    @property
    def place(self) -> tuple[str, int]:
        """Host and port."""
        found = endpoint(self.connect)
        return found.host, int(found.second)


class Pauses(Strict):
    """The pauses before it is asked again: `first_seconds`, times `factor` each time, up to `most_seconds`."""

    first_seconds: float = Field(60.0, gt=0, le=86_400)
    factor: float = Field(2.0, ge=1, le=10)
    most_seconds: float = Field(3_600.0, gt=0, le=86_400)

    def after(self, tries: int) -> float:
        """Seconds to wait after so many tries in vain, from 1."""
        return float(min(self.first_seconds * self.factor ** min(tries - 1, _MOST_DOUBLINGS), self.most_seconds))


class Enrollment(Strict):
    """Whether a request is worked on before it is known that its member is enrolled.

    What was learned is kept and used again for `expires_hours`; with `keep` it is used whatever its age, and nobody is
    asked: a member of whom nothing is kept is then a fatal message. Exactly one of `python`, `http` and `hl7` is asked,
    or none with `keep`. Where no answer can be had the request waits and is tried again: that is no denial.
    """

    keep: bool = False
    expires_hours: float = Field(24.0, ge=0)
    python: Call | None = None
    http: Post | None = None
    hl7: Inquiry | None = None
    retry: Pauses = Pauses()

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        count = sum(each is not None for each in (self.python, self.http, self.hl7))
        if count > 1 or (not count and not self.keep):
            raise ValueError("say exactly one of python, http and hl7, or keep: true")
        return self
