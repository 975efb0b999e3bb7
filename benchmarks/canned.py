"""The limit program without its database: answers at once, to show that the load generator is not the bottleneck.

Imports the standard library and limit.
"""

import argparse
import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING or __package__:
    from .limit import Mllp, answer, control_id, serve
else:  # run by path: this folder is on sys.path, its parent need not be
    from limit import Mllp, answer, control_id, serve


def receive(sender: Mllp, raw: bytes) -> None:
    """Answer and forget."""
    sender.reply(answer(control_id(raw)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one; it is printed")
    asyncio.run(serve(parser.parse_args().port, receive))
