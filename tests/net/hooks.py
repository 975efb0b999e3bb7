"""A real HTTP server that is told of alerts, and may refuse or hang."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

SECONDS = 30.0


class HookServer:
    """Takes what is posted. `react` gives the status of the answer to the n-th post; it may take its time."""

    def __init__(self, react: Callable[[int], int] = lambda _: 204) -> None:
        self.got: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self._changed = threading.Condition()
        hooked = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with hooked._changed:
                    hooked.got.append(body)
                    hooked.headers.append(dict(self.headers))
                    number = len(hooked.got)
                    hooked._changed.notify_all()
                self.send_response(react(number))
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/alerts?desk=1"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def __enter__(self) -> "HookServer":
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def until(self, count: int) -> list[dict[str, Any]]:
        """What was posted, as soon as there are so many."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.got) >= count, SECONDS), self.got
            return list(self.got)
