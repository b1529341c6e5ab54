"""Larder for llama-cpp-python: the state of a `llama_cpp.Llama` in a session, by offset.

    from larder.integrations.llama_cpp import LlamaCache

    LlamaCache(llama, session="task-17").attach()

From then on a prompt costs only what neither the context nor Larder has of it. See `LlamaCache` for more, and
Docs/ENGINES.md.
"""

from .attach import Attachment
from .blob import UnknownState
from .cache import LlamaCache, Restored
from .context import RestoreFailed, Unsupported
from .save import Saved

__all__ = ["Attachment", "LlamaCache", "RestoreFailed", "Restored", "Saved", "UnknownState", "Unsupported"]
