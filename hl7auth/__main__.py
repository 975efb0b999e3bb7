"""`python -m hl7auth` is the command line.

Imports cli.
"""

from hl7auth.cli.app import main

if __name__ == "__main__":
    main()
