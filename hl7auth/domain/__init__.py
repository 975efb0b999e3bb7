"""What messages mean: authorizations, snapshot and action mode, answers. Pure."""
