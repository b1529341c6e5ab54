"""Larder's Python client, from this repository, whatever is installed."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "Clients", "python", "src"))

import larder  # noqa: E402

__all__ = ["larder", "MODEL", "COMPONENTS", "Kind"]


class Kind:
    """Component numbers of MODEL."""

    FULL, WINDOW, STATE = 0, 1, 2


WINDOW_TOKENS = 128
# One of each kind of component, in the element types that have codecs of their own, and small, so that a store of a few
# MiB holds hundreds of chunks: 256, 128 bytes a token and a state of 2 KiB.
COMPONENTS = (
    larder.Component("full", kind="attention", element_type="f16", layers=2, planes=2, row_bytes=64),
    larder.Component(
        "window", kind="sliding", element_type="bf16", layers=1, planes=2, row_bytes=64, window=WINDOW_TOKENS),
    larder.Component("state", kind="recurrent", element_type="f32", layers=1, planes=1, row_bytes=2048),
)
MODEL = larder.Model(name="faults", revision="1", weights="none", page_tokens=1, components=COMPONENTS)
ELEMENT_TYPES = ("f16", "bf16", "f32")


def raw_bytes(component: int, tokens: int) -> int:
    """Bytes of a chunk."""
    return (256 * tokens, 128 * tokens, 2048)[component]
