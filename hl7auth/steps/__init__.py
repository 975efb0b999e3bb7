"""Filters and steps as data: what a channel changes in a message before a destination gets it. Pure."""
