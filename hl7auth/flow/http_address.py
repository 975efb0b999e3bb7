"""HTTP servers as people write them: addresses without a password in them, and headers that can not become two.

Imports pydantic only.
"""

import re
from typing import Annotated

from pydantic import AfterValidator

_URL = re.compile(r"https?://(?:\[[0-9A-Fa-f:.]+\]|[^\s/?#:@\[\]]+)(?::\d{1,5})?(?:[/?]\S*)?", re.ASCII)


def _http(text: str) -> str:
    if not _URL.fullmatch(text):
        raise ValueError(f"'{text}' is no http:// or https:// address")
    return text


def _plain(headers: dict[str, str]) -> dict[str, str]:
    if any(not name or set(f"{name}{value}") & set("\r\n\0") for name, value in headers.items()):
        raise ValueError("a header has a name, and no line ends")
    return headers


HttpUrl = Annotated[str, AfterValidator(_http)]
HttpHeaders = Annotated[dict[str, str], AfterValidator(_plain)]
