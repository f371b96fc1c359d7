"""An answer beside what a story expects of it.

Only the fields that a story names are compared.  They are found in the answer
itself, so an answer may grow any field: `open to buy 380.00` looks for
`open_to_buy`, then for it with a unit (`open_to_buy_minor`).  A dot leads
inside: `lenders.north.captured 30.00` takes the item of a list whose id is
`north`.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from tests.scenarios.amounts import minor_of, money, per_cent, ppm_of
from tests.scenarios.names import Names
from tests.scenarios.story import Answer, Expected
from tests.scenarios.values import field_named, unit_of, without_unit

# Different each time a story is played; never shown unless asked for.
_VOLATILE = ("expires_at_ms", "replayed")


class Missing:
    """There is no such field."""


_MISSING = Missing()


def differences(
    expected: list[Expected], answer: Answer, names: Names, currency: str
) -> Iterator[tuple[Expected, str]]:
    """What is not as expected, and what came in its place.

    A `$word` that is new is caught here.
    """
    for wanted in expected:
        key, came = _found(wanted.words, answer, names)
        if wanted.value.startswith("$") and not isinstance(came, Missing):
            known = names.caught.setdefault(wanted.value, came)
            if known != came:
                yield wanted, f"{wanted.words} {came}, which is not {known}"
        elif not _is_equal(wanted, key, names.story(came), currency):
            yield wanted, _told(wanted.words, key, names.story(came), currency)


def _found(words: str, answer: Answer, names: Names) -> tuple[str, Any]:
    """The field's full name and its value as it came."""
    found: Any = answer
    key = ""
    for part in words.replace(" ", "_").split("."):
        if isinstance(found, dict):
            whole = {names.story(name): name for name in found}
            name = field_named(part, whole) or part
            found = found.get(whole.get(name, name), _MISSING)
            if not unit_of(key) or unit_of(name):
                key = name  # Otherwise the outer one has it: `payout_minor.EUR`.
        elif isinstance(found, list):
            key, found = part, _item(found, part, names)
        else:
            return part, _MISSING
    return key, found


def _item(items: list[Any], part: str, names: Names) -> Any:
    if part == "count":
        return len(items)
    if part.isdigit():
        return items[int(part) - 1] if 0 < int(part) <= len(items) else _MISSING
    for item in items:
        if isinstance(item, dict) and part in names.story(item).values():
            return item
    return _MISSING


def _is_equal(wanted: Expected, key: str, came: Any, currency: str) -> bool:
    text = wanted.value
    if isinstance(came, Missing) or came is None:
        return text == "none"
    if isinstance(came, bool):
        return text == ("yes" if came else "no")
    if isinstance(came, int):
        is_full = wanted.words.replace(" ", "_").rpartition(".")[2] == key
        if not is_full and unit_of(key) == "minor":
            return minor_of(text, currency) == came
        if not is_full and unit_of(key) == "ppm":
            return ppm_of(text) == came
        return text.replace(",", "") == str(came)
    return text == _text(came)


def _told(words: str, key: str, came: Any, currency: str) -> str:
    if isinstance(came, Missing):
        return f"{words} none"
    return f"{words} {in_words(key, came, currency)}"


def in_words(key: str, value: Any, currency: str) -> str:
    """A value as a story writes it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and unit_of(key) == "minor":
        return money(value, currency)
    if isinstance(value, int) and unit_of(key) == "ppm":
        return per_cent(value)
    text = _text(value)
    return f'"{text}"' if " " in text or not text else text


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()


def retold(
    expected: list[Expected],
    answer: Answer,
    names: Names,
    currency: str,
    has_status: bool,
) -> list[str]:
    """The answer in the story's words: what the story names, or all of it.

    An answer to a command begins with its status and reason.  Ids that nobody
    has caught get a word.
    """
    heads: list[str] = []
    if has_status:
        heads += [key for key in ("status", "reason") if key in answer]
    parts = [" ".join(str(answer[key]) for key in heads)] if heads else []
    told = [wanted for wanted in expected if wanted.words not in heads]
    if not expected:
        return parts + list(_whole(answer, names, currency, heads))
    for wanted in told:
        key, came = _found(wanted.words, answer, names)
        if wanted.value.startswith("$") and not isinstance(came, Missing):
            names.caught.setdefault(wanted.value, came)
        parts.append(_told(wanted.words, key, names.story(came), currency))
    return parts


def _whole(
    answer: Answer, names: Names, currency: str, heads: list[str]
) -> Iterator[str]:
    for key, value in answer.items():
        if key in heads or key in _VOLATILE or isinstance(value, dict | list):
            continue
        if names.is_volatile(value):
            continue
        plain = names.story(value)
        if key.endswith("_id") and plain == value and value:
            word = f"${key.removesuffix('_id')}{len(names.caught) + 1}"
            names.caught[word] = value
            plain = word
        short = without_unit(key)
        if field_named(short, answer) != key or unit_of(key) in ("seconds", "ms"):
            short = key
        yield f"{short.replace('_', ' ')} {in_words(key, plain, currency)}"
