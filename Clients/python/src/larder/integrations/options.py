"""Options out of an engine's configuration, as the fields of a dataclass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

T = TypeVar("T")


def read_options(kind: type[T], given: Mapping[str, Any]) -> T:
    """An instance of a dataclass whose fields all have defaults: its fields are the options, and each is of its
    default's type. Numbers may come as text, as command lines and URLs give them.

    Raises ``ValueError`` that names the option and what it may be.
    """
    known: dict[str, Any] = {one.name: one.default for one in fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ValueError(f"no option {unknown[0]!r}; there are {', '.join(sorted(known))}")
    return kind(**{name: _converted(name, value, type(known[name])) for name, value in given.items()})


def _converted(name: str, value: Any, kind: Any) -> Any:
    """The value as an option's type."""
    if kind in (bool, str):
        if isinstance(value, kind):
            return value
        raise ValueError(f"{name} is {value!r}; it is {'true or false' if kind is bool else 'a string'}")
    number = None
    if not isinstance(value, bool):
        try:
            number = kind(value)
        except (TypeError, ValueError, OverflowError):
            pass
    if number is None or number != number:
        raise ValueError(f"{name} is {value!r}; it is a number")
    return number
