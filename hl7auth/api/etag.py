"""Versions of what is read and changed: ETag, If-Match and If-None-Match.

Imports fastapi and api.problems only.
"""

from typing import Annotated

from fastapi import Header, Response

from hl7auth.api.problems import Problem

IfMatch = Annotated[str, Header(max_length=500, description="The ETag of what is to be changed.")]
IfNoneMatch = Annotated[str, Header(max_length=500, description="The ETag of what is known already.")]


def tag(version: object) -> str:
    """The entity tag of a version."""
    return f'"{version}"'


def same(header: str, version: object) -> bool:
    """True when a list of tags names this version."""
    wanted = [each.strip().removeprefix("W/") for each in header.split(",")]
    return "*" in wanted or tag(version) in wanted


def require_match(header: str, version: object) -> None:
    """Raises Problem (412) when something else is there now than what the caller knows."""
    if header and not same(header, version):
        raise Problem(412, "it was changed since: read it again", "changed")


def unchanged(version: object) -> Response:
    """304."""
    return Response(status_code=304, headers={"ETag": tag(version)})
