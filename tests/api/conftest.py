"""The API over an empty store."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.desk import Desk
from tests.api.desk import desk as made


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with made(tmp_path) as found:
        yield found
