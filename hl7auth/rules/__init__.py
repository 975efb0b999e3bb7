"""What messages should look like: dictionary, structures, profiles, tables, checks. Pure."""
