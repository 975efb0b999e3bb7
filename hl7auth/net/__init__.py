"""Sockets: the MLLP listener and the MLLP sender."""
