"""Stores chunks that ``test_lmcache`` knows, for ever, until it is killed."""

import sys

from lmcache_rig import Engine

engine = Engine(sys.argv[1])
print("ready", flush=True)
while True:
    for index in range(64):
        chunk = engine.chunk(index)
        engine.put(engine.key(f"killed {index}"), chunk)
        chunk.ref_count_down()
