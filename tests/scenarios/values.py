"""From words to the value of a field, by the field's type.

Fields carry their unit in their name (`amount_minor`, `share_ppm`,
`penalty_ppm_per_day`, `expiry_seconds`, `lender_id`).  Who leaves the unit out
writes the value as people do (`120.00`, `12.5%`, `7 days`, `north`).
"""

from collections.abc import Collection, Iterator
from typing import Any

import msgspec
from msgspec import inspect

from tests.scenarios.amounts import minor_of, ppm_of, seconds_of

UNITS = frozenset({"id", "minor", "ppm", "seconds", "ms"})


class NotUnderstood(Exception):
    """What is wrong with a sentence."""


class Literal(str):
    """A text in quotes: what it says, and no name of the story."""

    __slots__ = ()


def parted(text: str, by: str) -> list[str]:
    """The parts of a text; what is in quotes or brackets is not parted."""
    parts, depth, is_quoted, at = [""], 0, False, 0
    while at < len(text):
        character = text[at]
        if character == '"':
            is_quoted = not is_quoted
        elif not is_quoted:
            depth += (character in "([{") - (character in ")]}")
        if depth or is_quoted or not text.startswith(by, at):
            parts[-1] += character
            at += 1
        else:
            parts.append("")
            at += len(by)
    return [part.strip() for part in parts]


def unit_of(name: str) -> str:
    """The unit that a field's name carries, or nothing."""
    return next((part for part in name.split("_") if part in UNITS), "")


def without_unit(name: str) -> str:
    """A field's name as people say it."""
    return "_".join(part for part in name.split("_") if part not in UNITS)


def field_named(written: str, names: Collection[str]) -> str | None:
    """The field that is meant, with or without its unit; None if there is none."""
    if written in names:
        return written
    meant = [name for name in names if without_unit(name) == written]
    return meant[0] if len(meant) == 1 else None


def fields_in(
    segments: list[str], types: dict[str, inspect.Type], currency: str
) -> dict[str, Any]:
    """`field value` for each segment; a flag may stand alone."""
    found: dict[str, Any] = {}
    for segment in segments:
        name, value = _field(segment, types, currency)
        if name in found:
            raise NotUnderstood(f"{name} is given twice")
        found[name] = value
    return found


def _field(
    segment: str, types: dict[str, inspect.Type], currency: str
) -> tuple[str, Any]:
    for written, rest in _prefixes(segment):
        name = field_named(written, types)
        if name is not None and (rest or _is(types[name], inspect.BoolType)):
            return name, value_of(types[name], name, rest, currency, written == name)
    raise NotUnderstood(
        f"{segment!r} names no field with a value; there are {', '.join(types)}"
    )


def _prefixes(segment: str) -> Iterator[tuple[str, str]]:
    """The words of a segment as a field's name and a rest, longest name first."""
    words = segment.split(" ")
    for count in range(len(words), 0, -1):
        yield "_".join(words[:count]), " ".join(words[count:]).strip()


def value_of(
    wanted: inspect.Type, name: str, text: str, currency: str, is_full: bool = False
) -> Any:
    """The value that a text means, in story form; `is_full`: with its unit."""
    wanted = without_none(wanted)
    if isinstance(wanted, inspect.BoolType):
        if text not in ("", "yes", "no"):
            raise NotUnderstood(f"{name} is yes or no, not {text!r}")
        return text != "no"
    if text == "none":
        return None
    if text[:1] in ("[", "{"):
        return msgspec.json.decode(text)
    if isinstance(wanted, inspect.StructType):
        return _struct(wanted, text, currency)
    if isinstance(wanted, inspect.VarTupleType | inspect.ListType):
        items = parted(text, " and ")
        return [value_of(wanted.item_type, name, item, currency) for item in items]
    if text.startswith('"') and text.endswith('"') and len(text) > 1:
        return Literal(text[1:-1])
    if isinstance(wanted, inspect.IntType) and not text.startswith("$"):
        return _number(name, text, currency, is_full)
    return text


def _number(name: str, text: str, currency: str, is_full: bool) -> int:
    unit = unit_of(name)
    if unit == "ppm" and (not is_full or text.endswith("%")):
        number, example = ppm_of(text), "a rate such as 12.5%"
    elif unit == "minor" and not is_full:
        number, example = minor_of(text, currency), f"an amount of {currency}"
    elif unit == "seconds" and not is_full:
        number, example = seconds_of(text), "a time such as `7 days`"
    else:
        plain = text.replace(",", "")
        is_whole = plain.removeprefix("-").isdigit()
        number, example = int(plain) if is_whole else None, "a whole number"
    if number is None:
        raise NotUnderstood(f"{name} takes {example}, not {text!r}")
    return number


def _struct(wanted: inspect.StructType, text: str, currency: str) -> dict[str, Any]:
    """`(lender north, share 30%)`, or the values in order: `north 30%`."""
    types = {field.encode_name: field.type for field in wanted.fields}
    if text.startswith("(") and text.endswith(")"):
        return fields_in(parted(text[1:-1], ", "), types, currency)
    words = parted(text, " ")
    if len(words) > len(types):
        raise NotUnderstood(f"{text!r} is more than {', '.join(types)}")
    return {
        name: value_of(types[name], name, word, currency)
        for name, word in zip(types, words, strict=False)
    }


def _is(wanted: inspect.Type, kind: type[inspect.Type]) -> bool:
    return isinstance(without_none(wanted), kind)


def without_none(wanted: inspect.Type) -> inspect.Type:
    """A type that may be null, without that."""
    if isinstance(wanted, inspect.UnionType):
        types = [t for t in wanted.types if not isinstance(t, inspect.NoneType)]
        return types[0] if len(types) == 1 else wanted
    return wanted


def built(wanted: inspect.Type, value: Any) -> Any:
    """A value in real form in the type a command has it in, the inner ones too."""
    wanted = without_none(wanted)
    match wanted, value:
        case inspect.StructType(), dict():
            types = {field.encode_name: field for field in wanted.fields}
            fields = {types[key].name: (types[key].type, value[key]) for key in value}
            return wanted.cls(**{name: built(*pair) for name, pair in fields.items()})
        case inspect.VarTupleType(), list():
            return tuple(built(wanted.item_type, item) for item in value)
        case inspect.ListType(), list():
            return [built(wanted.item_type, item) for item in value]
        case inspect.DictType(), dict():
            return {key: built(wanted.value_type, value[key]) for key in value}
        case inspect.EnumType(), str():
            return wanted.cls(value)
    return value
