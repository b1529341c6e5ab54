"""Keeping the caches of transformers' models, hybrid ones too, in Larder.

::

    keeper = CacheKeeper(larder.connect(), model)
    line = keeper.line("task-17")
    done = line.prefill(input_ids)          # restores what it can, computes the rest, saves as it goes
    seen = torch.cat([input_ids, done.logits.argmax().view(1, 1)], dim=1)
    model.generate(seen, past_key_values=done.cache)

``restore`` and ``save`` are the two halves, for who runs the model in a loop of their own.

A model may mix full attention, sliding attention and recurrent layers (Mamba, DeltaNet, short convolutions). Its cache
is cut into components: attention per token, and the states of recurrent layers as snapshots at the offsets that are
worth their bytes. What is restored is always a whole cache at one offset.
"""

from .fingerprint import weights_hash
from .keeper import CacheKeeper, Line, Prefilled, Restored
from .layout import CacheLayout, UnknownCache

__all__ = ["CacheKeeper", "CacheLayout", "Line", "Prefilled", "Restored", "UnknownCache", "weights_hash"]
