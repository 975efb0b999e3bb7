"""Good answers as they are sent, where pages are long or many are asked for: written once, and not checked again.

Imports fastapi and orjson only.
"""

from collections.abc import Mapping
from typing import Any

import orjson
from fastapi import Response

MEDIA_TYPE = "application/json"


def answer(entry: Any, headers: Mapping[str, str] | None = None) -> Response:
    """200 with plain data: what the store made is what is sent."""
    return Response(orjson.dumps(entry), 200, headers, MEDIA_TYPE)
