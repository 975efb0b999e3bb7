"""What a channel worked out goes neither with a copy of it nor to another process."""

from hl7auth.flow.admission import Sender
from tests.messages import VISIT, Trial, request, shipped_channel


def test_a_copy_and_another_process_work_things_out_for_themselves() -> None:
    channel = shipped_channel().model_copy()
    assert Trial(channel).plan(request(VISIT)).refusal is None
    assert channel.kinds
    assert channel.steps is channel.steps
    strict = channel.file.accepts.model_copy(update={"senders": (Sender(application="NOBODY"),)})
    other = channel.model_copy(update={"file": channel.file.model_copy(update={"accepts": strict})})
    assert not other.kinds
    assert Trial(other).plan(request(VISIT)).refusal is not None
    assert not {"kinds", "steps"} & channel.__getstate__()["__dict__"].keys()
    assert channel == shipped_channel()
