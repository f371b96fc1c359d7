"""The bodies of requests, derived from the commands they become.

A body is a command less who asks, under which key, and what stands in the
path.  Decoding checks form and bounds (`fields.py`); unknown fields are
refused.  Nothing here knows a rule about money.
"""

import datetime
import re
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.structs import astuple

from gateway.fields import FIELDS, NESTED_FIELDS, NestedBody, body_fields, form_of
from gateway.problems import MALFORMED_BODY, Refusal, invalid_field
from processor import commands as c

DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_NOT_IN_BODY = frozenset({"caller", "request_id"})


def body_struct(
    command: type[msgspec.Struct], in_path: str | None
) -> type[msgspec.Struct]:
    """The struct of a command's or calculation's body, less what the path holds."""
    return msgspec.defstruct(
        f"{command.__name__}Body",
        body_fields(command, _not_in_body(command) | {in_path or ""}),
        namespace={"__doc__": command.__doc__},
        forbid_unknown_fields=True,
        frozen=True,
        gc=False,
    )


def _not_in_body(command: type[msgspec.Struct]) -> frozenset[str]:
    """What the gateway fills in; a body's values come first, in order."""
    if not issubclass(command, c.Command):
        return frozenset()  # A calculation: all of it is asked for.
    internal = command.INTERNAL
    fields = command.__struct_fields__
    assert fields[len(fields) - len(internal) :] == internal
    return _NOT_IN_BODY.union(internal)


def item_struct(command: type[c.Command]) -> type[msgspec.Struct]:
    """The struct of a command in a bulk request: all fields but the caller's."""
    request_id: tuple[Any, ...] = ("request_id", FIELDS["request_id"].annotated())
    if command is c.CloseDay:  # Its request id is made from the day.
        request_id = (*request_id, "")
    return msgspec.defstruct(
        f"{command.__name__}Item",
        [request_id, *body_fields(command, _not_in_body(command))],
        namespace={"__doc__": command.__doc__},
        tag_field="command",
        tag=command.wire_name(),
        forbid_unknown_fields=True,
        frozen=True,
        gc=False,
        kw_only=True,
    )


def to_text_day(day: datetime.date | None, field: str = "next_day") -> str | None:
    """A day as commands carry it; a year nobody settles in is refused."""
    if day is None:
        return None
    if not 1900 <= day.year < 2200:
        raise invalid_field(field, f"must be {FIELDS[field].must_be}")
    return day.isoformat()


def to_plain(value: Any) -> Any:
    """A value as commands carry it: whether it is sound is a rule's word."""
    if isinstance(value, tuple):
        return tuple(to_plain(item) for item in value)
    if isinstance(value, NestedBody):
        return value.BECOMES(
            *(to_plain(getattr(value, name)) for name in value.__struct_fields__)
        )
    return value


_DAYS = frozenset(n for n, form in FIELDS.items() if form.type is datetime.date)


def converted_places(names: tuple[str, ...]) -> tuple[int, ...]:
    """Where among the named values of a body are those with another form there."""
    places = enumerate(names)
    return tuple(i for i, name in places if name in _DAYS or name in NESTED_FIELDS)


def values_of(body: msgspec.Struct, places: tuple[int, ...]) -> list[Any]:
    """All values of a body, in the forms the command has them in.

    Only those at `places` are looked at, and of them only what was given:
    every purchase comes by.
    """
    values = list(astuple(body))
    for place in places:
        value = values[place]
        if isinstance(value, datetime.date):
            values[place] = to_text_day(value, body.__struct_fields__[place])
        elif value:
            values[place] = to_plain(value)
    return values


def builder(command: type[c.Command]) -> Callable[..., c.Command]:
    """The command's constructor, to be called with values in its order."""
    return command


def request_id_of_day(day: str) -> str:
    """The request id of closing a day: there is only one such wish."""
    return f"close-{day}"


_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`", re.DOTALL)
_AT = re.compile(r"^(.*) - at `(?:key in )?(\$.*)`$", re.DOTALL)


def refusal_of(error: Exception, known: tuple[str, ...]) -> Refusal:
    """The problem that tells what a decoder disliked, and how to put it right."""
    text = str(error)
    if not isinstance(error, msgspec.ValidationError):
        if isinstance(error, RecursionError):
            text = "it is nested too deeply"
        return Refusal(MALFORMED_BODY, f"The body cannot be decoded: {text}")
    where = _AT.match(text)
    what, path = (where[1], _field_path(where[2])) if where else (text, "")
    if match := _UNKNOWN.search(what):
        name = _joined(path, match[1][:64])
        these = f"; known are {', '.join(known)}" if known else ""
        return invalid_field(name, f"unknown field{these}")
    if match := _MISSING.search(what):
        name = _joined(path, match[1])
        return invalid_field(name, f"is missing; must be {_must_be(name)}")
    if not path:
        return Refusal(MALFORMED_BODY, f"The body must be an object: {what}")
    return invalid_field(path, f"must be {_must_be(path)} ({_shorter(what)})")


def _field_path(path: str) -> str:
    return path.removeprefix("$").removeprefix(".")


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _must_be(path: str) -> str:
    *outer, name = [part.partition("[")[0] for part in path.split(".")]
    if name not in FIELDS:
        return "what the API document says"
    return form_of(name, outer[-1] if outer else "").must_be


def _shorter(what: str) -> str:
    # The expression itself helps nobody; the words before it say the same.
    return "its characters or length do not fit" if "regex" in what else what


def query_value(name: str, text: str) -> Any:
    """A parameter of the query, checked by the same form; a number is its digits."""
    try:
        value = msgspec.convert(text, FIELDS[name].type, strict=False)
    except msgspec.ValidationError:
        value = None
    if str(value) != text:
        raise invalid_field(name, f"must be {FIELDS[name].must_be}")
    return value


def path_value(name: str, text: str) -> str:
    """A path parameter, checked by the same form as a body's field."""
    try:
        value = msgspec.convert(text, FIELDS[name].type)
    except msgspec.ValidationError:
        raise invalid_field(name, f"must be {FIELDS[name].must_be}") from None
    if isinstance(value, datetime.date):
        return to_text_day(value, name) or ""
    assert isinstance(value, str)
    return value
