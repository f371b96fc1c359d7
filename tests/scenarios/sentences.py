"""From a sentence to what is to be done, by the table of routes alone.

A sentence is `what, field value, field value, flag`.  Which commands there
are, and which fields of which type they have, is read from the routes and the
command structs: a new command or field needs nothing here.
"""

import re
from functools import cache
from typing import Any

import msgspec
from msgspec import inspect

from gateway.calculations import CALCULATIONS, Calculation
from gateway.routes import COMMAND_ROUTES, QUERY_ROUTES, SAGA_ROUTES, CommandRoute
from tests.scenarios.amounts import seconds_of
from tests.scenarios.phrases import PHRASES
from tests.scenarios.story import (
    Closings,
    Deed,
    Fetch,
    Pause,
    Reading,
    Wish,
    WorkingOut,
)
from tests.scenarios.values import NotUnderstood, built, fields_in, parted, value_of

_COMMANDS = {
    route.command.wire_name(): route for route in (*COMMAND_ROUTES, *SAGA_ROUTES)
}
_READINGS = {route.kind: route for route in QUERY_ROUTES}
_PASS = re.compile(r"(.+) pass(?:es)?")
_CLOSINGS = re.compile(r"every day closes until (\d{4}-\d\d-\d\d)")
_WORK_OUT = "work out "
_REQUEST_ID = "request id "
_BY = "by "
_NOT_FIELDS = frozenset({"caller", "request_id"})


def understand(sentence: str, currency: str) -> Deed:
    """What a step does."""
    if match := _PASS.fullmatch(sentence):
        seconds = seconds_of(match[1])
        if seconds is None:
            raise NotUnderstood(f"{match[1]!r} is no time such as `2 days 1 hour`")
        return Pause(seconds)
    if match := _CLOSINGS.fullmatch(sentence):
        return Closings(_COMMANDS["close_day"], _READINGS["day"], match[1])
    words = sentence.split()
    if words[0] == "read":
        if len(words) != 3 or words[1] not in _READINGS:
            kinds = ", ".join(_READINGS)
            raise NotUnderstood(f"`read` takes one of {kinds}, and a name")
        return Reading(_READINGS[words[1]], words[2])
    if words[0] == "GET" and len(words) == 2:
        return Fetch(words[1])
    if sentence.startswith(_WORK_OUT):
        return _working_out(sentence.removeprefix(_WORK_OUT), currency)
    return wish_of(sentence, currency)


def calculation_name(calculation: Calculation) -> str:
    """What a story calls it: `refund allocation`, of `/v1/refund-allocations`."""
    return calculation.path.rpartition("/")[2].removesuffix("s").replace("-", " ")


def _working_out(text: str, currency: str) -> WorkingOut:
    head, *segments = parted(text, ", ")
    named = {calculation_name(one): one for one in CALCULATIONS}
    if head not in named:
        raise NotUnderstood(f"`work out` takes one of {', '.join(named)}")
    kind = named[head].body
    fields = fields_in(segments, _types_of(kind), currency)
    _check_complete(head, kind, fields)
    return WorkingOut(named[head], fields)


def wish_of(sentence: str, currency: str) -> Wish:
    """The command a sentence asks for."""
    head, *segments = parted(sentence, ", ")
    route, fields = _head(head, currency)
    ids = [text for text in segments if text.startswith(_REQUEST_ID)]
    callers = [text for text in segments if text.startswith(_BY)]
    segments = [text for text in segments if text not in ids + callers]
    types = _types_of(route.command)
    more = fields_in(segments, types, currency)
    twice = fields.keys() & more.keys()
    if twice:
        raise NotUnderstood(f"{', '.join(twice)} is given twice")
    fields |= more
    if "currency" in _required(route.command):
        fields.setdefault("currency", currency)
    _check_complete(route.command.wire_name(), route.command, fields)
    in_order = {name: fields[name] for name in types if name in fields}
    request_id = ids[0].removeprefix(_REQUEST_ID) if ids else ""
    caller = callers[0].removeprefix(_BY) if callers else ""
    return Wish(route, in_order, request_id, caller)


def _head(head: str, currency: str) -> tuple[CommandRoute, dict[str, Any]]:
    for phrase in PHRASES:
        found = phrase.match(head)
        if found is not None:
            route = _COMMANDS[phrase.wire_name]
            types = _types_of(route.command)
            told = {
                name: value_of(types[name], name, text, currency)
                for name, text in found.items()
            }
            return route, {**dict(phrase.fields), **told}
    words = head.split()
    for count in range(len(words), 0, -1):
        named = _COMMANDS.get("_".join(words[:count]))
        if named is None:
            continue
        rest = " ".join(words[count:])
        first, wanted = next(iter(_types_of(named.command).items()))
        return named, {first: value_of(wanted, first, rest, currency)} if rest else {}
    raise NotUnderstood(
        f"{head!r} is no phrase, and begins with no command; commands are "
        + ", ".join(_COMMANDS)
    )


@cache
def _fields(command: type[msgspec.Struct]) -> list[msgspec.structs.FieldInfo]:
    fields = msgspec.structs.fields(command)
    return [field for field in fields if field.name not in _NOT_FIELDS]


@cache
def _types_of(command: type[msgspec.Struct]) -> dict[str, inspect.Type]:
    return {field.name: inspect.type_info(field.type) for field in _fields(command)}


def _required(command: type[msgspec.Struct]) -> list[str]:
    return [field.name for field in _fields(command) if field.required]


def _check_complete(
    what: str, kind: type[msgspec.Struct], fields: dict[str, Any]
) -> None:
    missing = [name for name in _required(kind) if name not in fields]
    if missing:
        raise NotUnderstood(f"{what} needs {', '.join(missing)}")


def arguments(kind: type[msgspec.Struct], fields: dict[str, Any]) -> dict[str, Any]:
    """A struct's fields, in real form, as its constructor takes them."""
    types = _types_of(kind)
    return {name: built(types[name], value) for name, value in fields.items()}
