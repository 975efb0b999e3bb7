"""Every target of the fuzzing: its corpus, and what hypothesis makes of it in a moment."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS, seeds


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_is_survived(name: str) -> None:
    for seed in seeds(name):
        TARGETS[name](seed)


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_cut_joined_and_changed_is_survived(name: str) -> None:
    known = [seed[:3_000] for seed in seeds(name)] or [b"MSH|"]
    pieces = st.one_of(
        st.tuples(st.sampled_from(known), st.integers(0, 3_000), st.integers(0, 200)).map(
            lambda of: of[0][of[1] :][: of[2]]
        ),
        st.binary(max_size=12),
        st.sampled_from(
            [b"\x0b", b"\x1c\r", b"\r", b"\n", b"|", b'""', b"\\X0D\\", b"MSH|^~\\&|", b"\xff", b"- ", b": "]
        ),
    )

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(st.lists(pieces, max_size=30).map(b"".join), st.sampled_from(known))
    def survived(data: bytes, start: bytes) -> None:
        TARGETS[name](data)
        TARGETS[name](start + data)

    survived()
