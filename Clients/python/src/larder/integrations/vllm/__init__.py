"""Larder as vLLM's KV cache store: a connector that pages prompt state out and in.

One flag turns it on::

    --kv-transfer-config '{"kv_connector": "LarderConnector",
        "kv_connector_module_path": "larder.integrations.vllm", "kv_role": "kv_both"}'

How it works, and what each part is for:

=================  ====================================================================================
``connector``      what vLLM calls: hands on to the two halves, and lets nothing be raised into the engine
``scheduler``      the half beside vLLM's scheduler: what to load and to save, and under which names
``worker``         the half in each worker process, beside the KV cache
``loading``        the thread that pages in; ``saving``: the one that pages out
``layout``         the KV cache's memory, and how a chunk lies in it
``identity``       what makes state interchangeable: the model that is declared
``keys``           names of chunks by content; ``naming``: namespaces and sessions
``link``           a connection that comes back; ``options``, ``tally``: what is set, what is counted
=================  ====================================================================================

State is loaded between steps, never inside one: a request whose prefix is stored waits until all of it is in place and
checked, while others go on. What could not be loaded is computed. So a failed load has nothing to undo.
"""

from __future__ import annotations

from typing import Any

__all__ = ["LarderConnector"]


def __getattr__(name: str) -> Any:
    """``LarderConnector``, imported on first use: the other modules here do without vLLM."""
    if name == "LarderConnector":
        from .connector import LarderConnector

        return LarderConnector
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
