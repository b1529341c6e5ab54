"""LMCache on Larder.

Two classes, for LMCache's two ways to a store outside its process; both are named to LMCache in its configuration:

- ``LarderConnectorAdapter``: a remote backend of the engine's own process (``remote_storage_plugins``).
- ``LarderL2Adapter``: a second level of LMCache's server (``--l2-adapter '{"type": "plugin", ...}'``).

``Docs/ENGINES.md`` has the configuration of both.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "LarderConnector": ".connector",
    "LarderConnectorAdapter": ".connector",
    "LarderL2Adapter": ".l2",
    "LarderL2AdapterConfig": ".l2",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    # LMCache's two halves need different packages; who uses one need not have what the other imports.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)
