"""All messages of the protocol by name."""

from __future__ import annotations

from . import listings, paging, policies, sessions
from .message import MESSAGES

__all__ = ["MESSAGES", "listings", "paging", "policies", "sessions"]
