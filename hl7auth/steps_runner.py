"""Python steps in a process of their own, so that none can hang, block or end the engine.

Imports steps, hl7 and the standard library. Run by the engine as `python -m hl7auth.steps_runner` for the process.

A thread can not be stopped and a signal reaches only the main thread, and neither gets past C code that keeps the
interpreter lock; a process can be killed whatever it does. It lives as long as the engine and handles one call after
another, so a call costs a message to and fro and what python-hl7 needs. When its time is up it is killed with all that
it started, and the next call gets a new one. An alarm of the kernel ends it also when the engine is no longer there.
"""

import contextlib
import importlib
import importlib.util
import json
import os
import selectors
import signal
import struct
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, Self

from hl7auth.steps.calls import Entries, PythonCall, aligned
from hl7auth.steps.faults import StepFailed

START_SECONDS = 30.0
"""For a new process, and for importing a module: apart from the limit of a step, which is for one message."""
MAX_FRAME = 256 * 1024 * 1024
_LENGTH = struct.Struct(">I")
_GRACE = 1.0  # the engine kills first; the kernel's alarm is for a process whose engine is gone


class StepProcess:
    """The runner of Python steps: call it with a PythonCall and segments. Started by its first call, safe to share."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._loaded: set[tuple[str, str]] = set()

    def __call__(self, call: PythonCall, lines: Sequence[str]) -> Entries | None:
        """The segments as the function leaves them, None when it drops the message. Raises StepFailed."""
        with self._lock:
            self._load(call)
            answer = self._ask(call, {"lines": list(lines)}, call.seconds)
            return None if answer.get("dropped") else answer.get("entries", ())

    def consult(self, call: PythonCall, facts: Mapping[str, Any]) -> dict[str, Any]:
        """What a function says of plain data, as plain data. Raises StepFailed, also where it gives back no mapping."""
        with self._lock:
            self._load(call)
            told = self._ask(call, {"facts": dict(facts)}, call.seconds).get("told")
        if not isinstance(told, dict):
            raise StepFailed(f"{call.function} gave back no dict")
        return told

    def check(self, call: PythonCall) -> None:
        """Raises StepFailed when there is no such function, or its module can not be imported."""
        with self._lock:
            self._load(call)

    def close(self) -> None:
        """End the process, whatever it does; a call under way fails. A later call starts another."""
        if (process := self._process) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        with self._lock:
            self._kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _load(self, call: PythonCall) -> None:
        if self._process is None or call[:2] not in self._loaded:
            self._ask(call, {}, START_SECONDS)
            self._loaded.add(call[:2])

    def _ask(self, call: PythonCall, more: dict[str, Any], seconds: float) -> dict[str, Any]:
        process = self._process or self._start()
        request = json.dumps({"function": call.function, "folder": call.folder, "seconds": seconds} | more).encode()
        try:
            answer = _exchange(process, _LENGTH.pack(len(request)) + request, time.monotonic() + seconds)
        except TimeoutError:
            self._kill()
            raise StepFailed(f"{call.function} took longer than {seconds:g} s") from None
        except (OSError, ValueError):
            self._kill()
            raise StepFailed(f"{call.function} ended its process") from None
        if "fault" in answer:
            raise StepFailed(str(answer["fault"]))
        return answer

    def _start(self) -> subprocess.Popen[bytes]:
        env = {name: value for name, value in os.environ.items() if not name.startswith("HL7AUTH_")}
        env["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        env["PYTHONDONTWRITEBYTECODE"] = "1"  # a folder of channels is no place for what Python caches
        process = subprocess.Popen(
            [sys.executable, "-m", "hl7auth.steps_runner"], env=env, start_new_session=True, bufsize=0,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
        self._process = process
        return process

    def _kill(self) -> None:
        process, self._process = self._process, None
        self._loaded.clear()
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def _exchange(process: subprocess.Popen[bytes], request: bytes, deadline: float) -> dict[str, Any]:
    """Write a frame and read one. Raises TimeoutError, or OSError or ValueError when the process is gone or mad."""
    assert process.stdin is not None
    assert process.stdout is not None
    _send(process.stdin.fileno(), request, deadline)
    source = process.stdout.fileno()
    (size,) = _LENGTH.unpack(_receive(source, _LENGTH.size, deadline))
    if size > MAX_FRAME:
        raise ValueError("the answer is too long")
    answer = json.loads(_receive(source, size, deadline))
    if not isinstance(answer, dict):
        raise ValueError("the answer is none")
    return answer


def _send(fd: int, data: bytes, deadline: float) -> None:
    view = memoryview(data)
    while view:
        _wait(fd, selectors.EVENT_WRITE, deadline)
        view = view[os.write(fd, view) :]


def _receive(fd: int, size: int, deadline: float) -> bytes:
    found = bytearray()
    while len(found) < size:
        _wait(fd, selectors.EVENT_READ, deadline)
        data = os.read(fd, size - len(found))
        if not data:
            raise ConnectionError("the process is gone")
        found += data
    return bytes(found)


def _wait(fd: int, event: int, deadline: float) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(fd, event)
        if not selector.select(max(deadline - time.monotonic(), 0)):
            raise TimeoutError


# the process


def main() -> None:
    """Answer one request after another until the engine is gone."""
    with os.fdopen(os.dup(0), "rb") as requests, os.fdopen(os.dup(1), "wb") as answers:
        silence = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1):  # what a function prints is no answer, and may hold what no log may
            os.dup2(silence, fd)
        functions: dict[tuple[str, str], Callable[..., Any]] = {}
        while request := _next(requests):
            _serve(request, answers, functions)


def _next(requests: BinaryIO) -> dict[str, Any] | None:
    head = requests.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    request: dict[str, Any] = json.loads(requests.read(_LENGTH.unpack(head)[0]))
    return request


def _serve(request: dict[str, Any], answers: BinaryIO, functions: dict[tuple[str, str], Callable[..., Any]]) -> None:
    name, folder = request["function"], request["folder"]
    signal.setitimer(signal.ITIMER_REAL, request["seconds"] + _GRACE)
    try:
        answer = _answer(request, functions)
    except BaseException as error:  # also SystemExit: no function ends the process of its neighbours
        answer = {"fault": f"{name} {_described(error, folder)}"}
    signal.setitimer(signal.ITIMER_REAL, 0)
    data = json.dumps(answer).encode()
    answers.write(_LENGTH.pack(len(data)) + data)
    answers.flush()


def _answer(request: dict[str, Any], functions: dict[tuple[str, str], Callable[..., Any]]) -> dict[str, Any]:
    name, folder = request["function"], request["folder"]
    function = functions.get((name, folder))
    if function is None:
        function = functions[name, folder] = _found(name, folder)
    import hl7  # here, and not at the top: the engine's side has no use for it, and a step's limit should not pay

    if "facts" in request:
        return {"told": function(request["facts"])}
    if "lines" not in request:
        return {"ready": True}
    lines: list[str] = request["lines"]
    message = hl7.parse("\r".join(lines) + "\r")
    before = [str(segment) for segment in message]
    result = function(message)
    if result is False:
        return {"dropped": True}
    if isinstance(result, str):
        after = [line for line in result.split("\r") if line]
    elif result is None or isinstance(result, hl7.Message):
        after = [str(segment) for segment in (message if result is None else result)]
    else:
        return {"fault": f"{name} returned {type(result).__name__}: None, False, a message or a text is expected"}
    return {"entries": aligned(before if len(before) == len(lines) else lines, after)}


def _found(name: str, folder: str) -> Callable[..., Any]:
    module_name, _, attribute = name.partition(":")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    function: Callable[..., Any] = getattr(_module(module_name, folder), attribute)
    if not callable(function):
        raise TypeError("no function")
    return function


def _module(name: str, folder: str) -> ModuleType:
    """The module beside the channel, else one that is installed. Two channels may have modules of the same name."""
    path = Path(folder, *name.split(".")).with_suffix(".py")
    if not path.is_file():
        return importlib.import_module(name)
    own = f"{name} in {folder}"
    if own not in sys.modules:
        spec = importlib.util.spec_from_file_location(own, path)
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[own] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[own]
            raise
    return sys.modules[own]


def _described(error: BaseException, folder: str) -> str:
    """What happened and where; never the text of the exception, which may quote the message."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(folder)]
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    if isinstance(error, ModuleNotFoundError):
        return f"needs the module {error.name}, which is not there{where}"
    return f"raised {type(error).__name__}{where}"


if __name__ == "__main__":
    main()
