"""What if: the archive run through another configuration in memory, and what would have come out otherwise."""
