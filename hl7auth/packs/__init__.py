"""Sealed packs: the bodies of one channel and one day in one file that never changes, wherever it is kept."""
