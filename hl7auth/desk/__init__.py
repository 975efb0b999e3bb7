"""The desk: where requests are worked on and decided, each decision a message that goes the way of all messages."""
