"""The proof of the promise: an engine under load is killed again and again, and what was told is compared with what is.

Each module says in its second line what it may import.
"""
