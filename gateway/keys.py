"""API keys: `fb_<keyid>_<secret>`, kept only as keyed hashes.

`keys.json` in the data directory holds, per key id, the BLAKE2b hash of the
whole key under a pepper, the caller's name and its roles.  The pepper is in
`keys.pepper`, readable by its owner alone; a copy of one file without the
other is of no use.  A key itself is shown once, when it is made, and must
never be written anywhere here.
"""

import fcntl
import logging
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from hmac import compare_digest
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from actors.backlog import Sender
from gateway.fields import ID_FORM
from gateway.problems import FORBIDDEN, UNAUTHENTICATED, Refusal
from gateway.routes import Role
from processor import limits

ALL_ROLES = tuple(Role)
_HASH_BYTES = 32
_KEYS_MAX = 10_000
Weight = Annotated[int, Meta(ge=1, le=limits.KEY_WEIGHT_MAX)]
InFlightMax = Annotated[int, Meta(ge=0, le=limits.WINDOW_COMMANDS_MAX)]
_VERIFIED_MAX = 4_096
_log = logging.getLogger("forebay.gateway")


class KeysRefused(Exception):
    """The key files cannot be used; the message says why."""


class KeyRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """One key, less the key: who calls with it, and what it may do.

    When there is too much to do, a key of weight 2 gets twice the share of a
    key of weight 1.  It never has more commands in flight than `in_flight_max`,
    if that is not 0.
    """

    key_id: str
    hash_hex: str
    caller: Annotated[str, ID_FORM]
    roles: tuple[Role, ...]
    created_on: str
    weight: Weight = 1
    in_flight_max: InFlightMax = 0


class Principal(msgspec.Struct, frozen=True):
    """Who a request is from; `sender` is his key, as it competes with others."""

    caller: str
    roles: frozenset[Role]
    sender: Sender


class KeyFile:
    """The two files of a data directory, and their only writer."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "keys.json"
        self._pepper_path = data_dir / "keys.pepper"

    @property
    def exists(self) -> bool:
        """Whether any key was ever made, even if all are revoked."""
        return self._path.exists()

    def add(
        self,
        caller: str,
        roles: Sequence[Role],
        created_on: str,
        weight: int = 1,
        in_flight_max: int = 0,
    ) -> str:
        """Make a key and return it: the only time it is seen."""
        if not roles:
            raise KeysRefused("a key needs at least one role")
        _check("the caller's name", caller, Annotated[str, ID_FORM])
        _check("the weight", weight, Weight)
        _check("the bound of commands in flight", in_flight_max, InFlightMax)
        with self._locked():
            pepper = self._pepper_or_new()
            records = self.records()
            if len(records) >= _KEYS_MAX:
                raise KeysRefused(f"there are {_KEYS_MAX} keys already; revoke some")
            key_id = secrets.token_hex(4)
            while key_id in records:
                key_id = secrets.token_hex(4)
            key = f"fb_{key_id}_{secrets.token_hex(24)}"
            records[key_id] = KeyRecord(
                key_id,
                hash_of(key.encode(), pepper).hex(),
                caller,
                tuple(dict.fromkeys(roles)),
                created_on,
                weight,
                in_flight_max,
            )
            self._write(records)
        return key

    def revoke(self, key_id: str) -> bool:
        """Forget a key; False if there is none of that id."""
        with self._locked():
            records = self.records()
            if records.pop(key_id, None) is None:
                return False
            self._write(records)
        return True

    def records(self) -> dict[str, KeyRecord]:
        """Every key by id; empty when there is no file."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise KeysRefused(f"{self._path} cannot be read: {error}") from None
        try:
            records = msgspec.json.decode(data, type=tuple[KeyRecord, ...])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise KeysRefused(f"{self._path} cannot be read: {error}") from None
        return {record.key_id: record for record in records}

    def pepper(self) -> bytes:
        """The pepper; KeysRefused when it is missing or others may read it."""
        try:
            mode = self._pepper_path.stat().st_mode
            pepper = bytes.fromhex(self._pepper_path.read_text())
        except FileNotFoundError:
            raise KeysRefused(
                f"{self._pepper_path} is missing: without it no key can be checked"
            ) from None
        except (OSError, ValueError) as error:
            raise KeysRefused(f"{self._pepper_path} is no pepper: {error}") from None
        if mode & 0o077:
            raise KeysRefused(
                f"{self._pepper_path} may be read by others: chmod 600 it"
            )
        if len(pepper) != _HASH_BYTES:
            raise KeysRefused(f"{self._pepper_path} is no pepper: its length is wrong")
        return pepper

    def stamp(self) -> tuple[int, int, int]:
        """What changes whenever the keys do; all zero without a file."""
        try:
            status = self._path.stat()
        except OSError:
            return (0, 0, 0)
        return (status.st_mtime_ns, status.st_ino, status.st_size)

    def _pepper_or_new(self) -> bytes:
        if not self._pepper_path.exists():
            if self.records():
                return self.pepper()  # Raises: the keys there need the old one.
            _write_durably(
                self._pepper_path, secrets.token_bytes(_HASH_BYTES).hex().encode()
            )
        return self.pepper()

    def _write(self, records: dict[str, KeyRecord]) -> None:
        _write_durably(
            self._path,
            msgspec.json.format(msgspec.json.encode(tuple(records.values()))) + b"\n",
        )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(
            self._path.with_suffix(".lock"),
            os.O_CREAT | os.O_RDWR | os.O_CLOEXEC,
            0o600,
        )
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


class KeyRing:
    """The keys as the hot path asks for them.

    A header that proved good is remembered whole, so that the next one costs
    one dict look-up: its hash is keyed by the interpreter at random, and bytes
    are compared only when all of it agrees, so the time it takes tells nothing.
    Everything remembered is dropped when the key file changes.
    """

    def __init__(self, file: KeyFile) -> None:
        self._file = file
        self._stamp = (0, 0, 0)
        self._pepper = secrets.token_bytes(_HASH_BYTES)
        self._records: dict[str, KeyRecord] = {}
        self._verified: dict[bytes, Principal] = {}
        # One for each key that was ever good: what is in flight outlives the file.
        self.senders: dict[str, Sender] = {}

    def follow(self) -> None:
        """Read the files anew if they changed; unusable ones change nothing."""
        try:
            self.refresh()
        except KeysRefused as error:
            _log.error("the keys stay as they were: %s", error)

    def refresh(self) -> None:
        """Read the files anew if they changed; KeysRefused if they cannot be."""
        stamp = self._file.stamp()
        if stamp == self._stamp:
            return
        self._stamp = stamp  # First, so that a broken file is told of once.
        records = self._file.records()
        if records:
            self._pepper = self._file.pepper()
        self._records = records
        self._verified = {}
        for key_id, sender in list(self.senders.items()):
            if record := records.get(key_id):
                sender.weight = record.weight
                sender.in_flight_max = record.in_flight_max
            elif not sender.in_flight:
                del self.senders[key_id]

    def known(self, authorization: bytes) -> Principal | None:
        """Who sends this header, if it proved good before."""
        return self._verified.get(authorization)

    def principal_of(self, authorization: bytes | None) -> Principal:
        """Who sends this Authorization header; a Refusal if nobody known."""
        # None is never in it.
        principal = self._verified.get(authorization)  # type: ignore[arg-type]
        if principal is None:
            principal = self._verify(authorization)
        return principal

    def _verify(self, authorization: bytes | None) -> Principal:
        if authorization is None:
            raise Refusal(
                UNAUTHENTICATED,
                "The Authorization header is missing: send `Bearer fb_...`.",
            )
        scheme, _, key = authorization.partition(b" ")
        key = key.strip()
        parts = key.split(b"_", 2)
        if scheme.lower() != b"bearer" or len(parts) != 3 or parts[0] != b"fb":
            raise Refusal(
                UNAUTHENTICATED,
                "The Authorization header must be `Bearer fb_<keyid>_<secret>`.",
            )
        self.follow()  # A key is good from the moment it was made.
        record = self._records.get(parts[1].decode("latin-1"))
        # An unknown id costs the same work as a wrong secret.
        expected = bytes.fromhex(record.hash_hex) if record else bytes(_HASH_BYTES)
        is_same = compare_digest(expected, hash_of(key, self._pepper))
        if record is None or not is_same:
            raise Refusal(UNAUTHENTICATED, "The API key is unknown or was revoked.")
        sender = self.senders.setdefault(
            record.key_id, Sender(record.key_id, record.weight, record.in_flight_max)
        )
        principal = Principal(record.caller, frozenset(record.roles), sender)
        if len(self._verified) >= _VERIFIED_MAX:
            self._verified = {}
        self._verified[authorization] = principal
        return principal


def require(principal: Principal, role: Role) -> None:
    """Refuse a caller whose key lacks a role."""
    if role not in principal.roles:
        raise Refusal(FORBIDDEN, f"The API key lacks the role `{role.value}`.")


def _check(what: str, value: object, form: object) -> None:
    try:
        msgspec.convert(value, form)
    except msgspec.ValidationError as error:
        raise KeysRefused(f"{what} is not possible: {error}") from None


def hash_of(key: bytes, pepper: bytes) -> bytes:
    """The hash of a whole key under the pepper."""
    return blake2b(
        key, key=pepper, digest_size=_HASH_BYTES, person=b"forebay-key"
    ).digest()


def _write_durably(path: Path, data: bytes) -> None:
    """Replace a file in one step: after a crash it is the old one or the new."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}.draft")
    descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
