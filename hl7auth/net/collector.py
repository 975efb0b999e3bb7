"""Python's collector of cycles, told how a process that serves uses its memory.

Imports the standard library only.
"""

import gc


def calm_the_collector() -> None:
    """A batch of messages is some 50,000 objects that all die by themselves, without cycles.

    With Python's default threshold of 700 the collector would look at them, and at the dictionaries, again and again:
    for nothing. Now it runs seldom, and never looks at what was there when serving began.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)
