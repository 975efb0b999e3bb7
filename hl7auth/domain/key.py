"""Keys of authorizations and requests as people see them.

Imports nothing: who only reads back what is stored needs no more of the domain.
"""


def shown_key(key: str) -> str:
    """A key as people see it: without the marks of a request."""
    return key.removeprefix("?").removeprefix("#") if key.startswith("?") else key
