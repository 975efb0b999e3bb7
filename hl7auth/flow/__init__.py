"""What the engine does with a message: channels, plan and decide. Pure."""
