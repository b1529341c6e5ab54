"""All messages of the protocol by name."""

from __future__ import annotations

from . import admin, listings, paging, policies, sessions
from .message import MESSAGES

__all__ = ["MESSAGES", "admin", "listings", "paging", "policies", "sessions"]
