"""One call of a Python function in a process of its own: `python -m hl7auth.desk.calling`, JSON in and JSON out.

Imports the standard library only, so that it starts fast.

What the function prints goes to stderr: standard output holds the answer alone.
"""

import contextlib
import importlib
import json
import sys


def main() -> None:
    """Reads folder, function and argument; writes what the function returns. Ends with 1 where it can not."""
    folder, function, argument = json.load(sys.stdin)
    module, _, name = function.partition(":")
    sys.path.insert(0, folder)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            answer = getattr(importlib.import_module(module), name)(argument)
        text = json.dumps(answer)
    except Exception as error:  # whatever the code of people raises
        sys.stderr.write(f"{type(error).__name__}\n")  # its text may name a patient
        sys.exit(1)
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
