"""The numbers and limits of the protocol, version 1."""

from __future__ import annotations

from typing import Final, Literal

VERSION: Final = 1
MAGIC: Final = b"LRDR"
#: Feature bit 0 of the handshake: the daemon shares memory.
ARENAS: Final = 1

ANSWER_BIT: Final = 0x8000
PROGRESS_BIT: Final = 0x4000
REFUSAL_TYPE: Final = 0xFFFF
#: The item of a refusal that is about the whole request.
NO_ITEM: Final = 0xFFFF_FFFF
#: Stands for "to the session's end" and "no bound" among offsets.
NO_BOUND: Final = 2**64 - 1

ComponentKind = Literal["attention", "sliding", "recurrent"]
ElementType = Literal["bf16", "f16", "f32", "f8e4m3", "f8e5m2", "i8", "bytes"]
Encoding = Literal["raw", "lz4", "cascade"]
EncodingChoice = Literal["auto", "raw", "lz4", "cascade"]
Acknowledgement = Literal["accepted", "committed", "durable"]
Sharing = Literal["shared", "off"]
Admission = Literal["everything", "secondTouch"]
HintKind = Literal["retain", "pin", "prefetch", "demote", "share"]
HintOutcome = Literal["accepted", "clipped", "deferred", "rejected", "missing"]
HintBound = Literal["none", "limit", "bytes", "count", "stored", "shared", "queue", "policy", "conflict", "argument"]
MissCause = Literal["none", "noState", "neverStored", "evicted", "damaged"]
EvictionRule = Literal["cold", "expired", "useless", "requested", "quota"]
RateOrigin = Literal["none", "declared", "learned"]

COMPONENT_KINDS: Final[dict[str, int]] = {"attention": 1, "sliding": 2, "recurrent": 3}
ELEMENT_TYPES: Final[dict[str, int]] = {"bf16": 1, "f16": 2, "f32": 3, "f8e4m3": 4, "f8e5m2": 5, "i8": 6, "bytes": 7}
ENCODINGS: Final[dict[str, int]] = {"raw": 1, "lz4": 2, "cascade": 3}
ENCODING_CHOICES: Final[dict[str, int]] = {"auto": 0, "raw": 1, "lz4": 2, "cascade": 3}
ACKNOWLEDGEMENTS: Final[dict[str, int]] = {"accepted": 0, "committed": 1, "durable": 2}
SHARING: Final[dict[str, int]] = {"shared": 0, "off": 1}
ADMISSIONS: Final[dict[str, int]] = {"everything": 0, "secondTouch": 1}
HINT_KINDS: Final[dict[str, int]] = {"retain": 1, "pin": 2, "prefetch": 3, "demote": 4, "share": 5}
HINT_OUTCOMES: Final[dict[str, int]] = {"accepted": 0, "clipped": 1, "deferred": 2, "rejected": 3, "missing": 4}
HINT_BOUNDS: Final[dict[str, int]] = {
    "none": 0,
    "limit": 1,
    "bytes": 2,
    "count": 3,
    "stored": 4,
    "shared": 5,
    "queue": 6,
    "policy": 7,
    "conflict": 8,
    "argument": 9,
}
MISS_CAUSES: Final[dict[str, int]] = {"none": 0, "noState": 1, "neverStored": 2, "evicted": 3, "damaged": 4}
EVICTION_RULES: Final[dict[str, int]] = {"cold": 1, "expired": 2, "useless": 3, "requested": 4, "quota": 5}
RATE_ORIGINS: Final[dict[str, int]] = {"none": 0, "declared": 1, "learned": 2}

# Limits.

#: Bytes of a name.
NAME_BYTES: Final = 255
#: Components of a model.
COMPONENTS: Final = 64
#: Layers of a component, and bytes of a token in one plane of one of them.
LAYERS: Final = 4_096
ROW_BYTES: Final = 64 << 20
#: Ranks of a parallel group.
GROUP_SIZE: Final = 1_024
#: Tokens of a chunk.
CHUNK_TOKENS: Final = 1 << 20
#: Raw bytes of a chunk.
CHUNK_BYTES: Final = 256 << 20
#: Most bytes of a frame that this client takes, whatever the daemon says in its handshake.
FRAME_BYTES: Final = 64 << 20
#: Fewest that it works with.
FRAME_BYTES_LEAST: Final = 4_096
#: Items of a batch that this client takes, whatever the daemon says.
BATCH_ITEMS: Final = 4_096
#: Entries in a page of a listing.
PAGE_ENTRIES: Final = 1_000
#: Chunks, and reaches, in the answer to a resume.
RESUME_CHUNKS: Final = 16_384
RESUME_REACHES: Final = GROUP_SIZE * COMPONENTS
#: Lines in the answer to a tree.
TREE_LINES: Final = 16_384
#: Rows of a report, over all its pages, that this client takes.
REPORT_ROWS: Final = 1 << 20
#: Frames of progress before an answer.
PROGRESS_FRAMES: Final = 64
#: Bytes of a namespace's salt.
SALT_BYTES: Final = 32
#: Offsets in a plan of snapshots.
SNAPSHOTS: Final = 4_096
#: Bytes of a prefix key.
KEY_BYTES: Final = 32
#: Bytes that an answer takes for an item at most, besides its payload: an error's sentence is the longest.
ITEM_ANSWER_BYTES: Final = 1_100
