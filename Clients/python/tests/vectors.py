"""Between a golden vector's fields, in the names of the protocol's page, and this package's values."""

from __future__ import annotations

from typing import Any

from larder.errors import Refusal, refusal
from larder.wire import admin, codec, hints, numbers, paging, policy, structures
from larder.wire.messages import MESSAGES

from support import protocol_vectors

#: Attributes that are named otherwise than the page's fields.
FIELD_OF = {"start": "from", "end": "to", "missing_start": "missing_from", "missing_end": "missing_to"}
#: The same, but only in one record.
FIELD_OF_RECORD = {
    ("Explanation", "end"): "end",
    ("TreeLine", "end"): "end",
    ("ModelSummary", "id"): "model_id",
    ("ModelSummary", "model"): "declaration",
    ("NamespaceSummary", "id"): "namespace_id",
}


def _error_code(name: str) -> int:
    """The number of an error code of the page."""
    number: int = protocol_vectors()["error_codes"][name]
    return number


def codec_of(vector: dict[str, Any]) -> codec.Codec[Any]:
    """The codec of a vector's fields."""
    if vector["kind"] == "refusal":
        return structures.REFUSAL
    if vector["kind"] == "progress":
        return {"get_into": paging.PROGRESS, "backup": admin.BACKUP_PROGRESS}[vector["message"]]
    which = MESSAGES[vector["message"]]
    return which.request if vector["kind"] == "request" else which.answer


def type_of(vector: dict[str, Any]) -> int:
    """The type in a vector's header."""
    if vector["kind"] == "refusal":
        return numbers.REFUSAL_TYPE
    bits = {"request": 0, "answer": numbers.ANSWER_BIT, "progress": numbers.ANSWER_BIT | numbers.PROGRESS_BIT}
    return MESSAGES[vector["message"]].number | bits[vector["kind"]]


def payload_bytes(vector_kind: str, name: str, value: Any) -> int:
    """How many bytes follow the fields."""
    if (name, vector_kind) == ("put", "request"):
        return sum(one.payload.payload_bytes for one in value.items if one.payload.region is None)
    if (name, vector_kind) in (("get", "answer"), ("get_into", "answer")):
        inline = [one for one in value.results if one.error is None and one.payload.region is None]
        return sum(one.payload.payload_bytes for one in inline)
    return 0


def value_of(of: codec.Codec[Any], fields: Any) -> Any:
    """A vector's fields as the value that ``of`` writes."""
    if of is structures.CHUNK_NAME and "from" in fields:
        return value_of(of, fields["from"])
    if isinstance(of, codec.Record):
        return of.make(*[value_of(inner, _field(of, name, fields)) for name, inner in of.fields])
    if isinstance(of, codec.ListOf):
        return [value_of(of.item, one) for one in fields]
    if isinstance(of, codec.Maybe):
        return None if fields is None else value_of(of.item, fields)
    if isinstance(of, structures._StatusCodec):
        return None if fields is None else refusal(_error_code(fields["code"]), fields["message"])
    if isinstance(of, structures._RefusalCodec):
        return refusal(_error_code(fields["code"]), fields["message"], fields["item"])
    if isinstance(of, structures._PayloadCodec):
        region = structures.ArenaRegion(fields["arena"], fields["arena_offset"]) if fields["payload_place"] else None
        return structures.Payload(fields["payload_bytes"], region)
    if isinstance(of, structures._NamingCodec):
        key = fields["prefix_key"]
        return structures.Naming() if key is None else structures.Naming(bytes.fromhex(key), fields.get("known", False))
    if isinstance(of, hints._TargetCodec):
        kind, inner = hints._TARGETS[fields["target"]]
        return value_of(inner, fields)
    if isinstance(of, policy._PolicyChangeCodec):
        salt = fields["salt"]
        return policy.PolicyChange(**{**fields, "salt": None if salt is None else bytes.fromhex(salt)})
    return bytes.fromhex(fields) if of is codec.HASH else fields


def _field(record: codec.Record[Any], name: str, fields: dict[str, Any]) -> Any:
    """What a vector says of an attribute of a record."""
    if name in ("payload", "naming", "target"):
        return fields
    if name in ("store_id_high", "store_id_low"):
        half = slice(16) if name.endswith("high") else slice(16, None)
        return int(fields["store_id"][half], 16)
    wire = FIELD_OF_RECORD.get((record.make.__name__, name)) or FIELD_OF.get(name, name)
    # A chunk's name is a structure of its own on the page, and part of the record here.
    if wire not in fields and wire in fields.get("chunk", {}):
        return fields["chunk"][wire]
    return fields[wire]


def same(one: Any, other: Any) -> bool:
    """Equality; of refusals, by what they say."""
    if isinstance(one, Refusal) or isinstance(other, Refusal):
        return type(one) is type(other) and (one.code, one.item, one.message) == (other.code, other.item, other.message)
    if isinstance(one, (tuple, list)) and isinstance(other, (tuple, list)):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    return bool(one == other)


def decode_frame(vector: dict[str, Any]) -> tuple[Any, bytes]:
    """Decodes a vector's frame as its kind and message, as strictly as this package would: the value, and the payloads.

    Raises ``ProtocolViolation`` if the frame breaks the protocol.
    """
    frame = bytes.fromhex(vector["frame"])
    reader = codec.Reader(frame[16:])
    value = codec_of(vector).read(reader)
    payload = reader.take(payload_bytes(vector["kind"], vector["message"], value))
    reader.finish()
    return value, payload
