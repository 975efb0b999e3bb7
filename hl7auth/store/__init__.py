"""What is kept: tables, the journal that commits, the archive that reads."""
