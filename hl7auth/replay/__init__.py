"""Replay: messages of the archive or of files once more, without doing anything twice; plan, run, report.

Imports net, store, flow, packs, wire and errors only.
"""
