"""The REST API: who asks, what of the store they may see and change, and in which shape."""
