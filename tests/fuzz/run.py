"""Fuzzes the targets with atheris (the extra `fuzz`), one after the other, each for some seconds.

    python tests/fuzz/run.py [--seconds 60] [TARGET ...]

What makes a target fail is written to tests/fuzz/found/TARGET-..., and the run ends with status 1; put the file into
tests/fuzz/corpus/TARGET once it is mended, so that every later run of the tests begins with it.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))


def main() -> int:
    """The command."""
    asked = _arguments()
    if asked.one:
        return _fuzz(asked.targets[0], asked.seconds)
    from tests.fuzz.targets import TARGETS

    failed = []
    for name in asked.targets or TARGETS:
        if name not in TARGETS:
            sys.exit(f"unknown target '{name}' (known: {', '.join(TARGETS)})")
        command = [sys.executable, __file__, "--one", "--seconds", str(asked.seconds), name]
        sys.stdout.write(f"== {name}\n")
        sys.stdout.flush()
        if subprocess.call(command):
            failed.append(name)
    sys.stdout.write(f"failed: {', '.join(failed)}\n" if failed else "nothing found\n")
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    return parser.parse_args()


def _fuzz(name: str, seconds: int) -> int:
    """One target in this process: atheris ends it."""
    import atheris

    with atheris.instrument_imports(include=["hl7auth"]):
        from tests.fuzz.targets import FOLDER, TARGETS, seeds
    found = FOLDER / "found"
    found.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="hl7auth-fuzz-") as corpus:
        for number, seed in enumerate(seeds(name)):
            (Path(corpus) / f"seed-{number}").write_bytes(seed)
        options = [f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1"]
        atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={found}/{name}-", corpus], TARGETS[name])
        atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
