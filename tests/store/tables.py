"""All tables, for whoever compares the schema as a whole: a table is known when its module was imported."""

from importlib import import_module
from pathlib import Path

from hl7auth import store
from hl7auth.store.schema import metadata as schema_metadata

for _path in Path(str(store.__file__)).parent.glob("*_table.py"):
    import_module(f"hl7auth.store.{_path.stem}")

metadata = schema_metadata
