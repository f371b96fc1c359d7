"""What the gateway was told when it started: one frozen struct, decoded once.

Nothing else reads options or environment.  The bounds are `limits.py`'s; they
stand here so that a test can tighten them.
"""

import datetime
import ipaddress
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from actors.fault_points import Fault, FaultRefused, parse_fault
from processor import limits


class ConfigRefused(Exception):
    """An option that cannot be served with; the message says what to change."""


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """How much the door lets in, and how long it waits."""

    body_bytes_max: int
    bulk_body_bytes_max: int
    bulk_commands_max: int
    commands_in_flight_max: int
    answer_wait_ms_max: int
    drain_ms_max: int
    recent_keys: int  # A power of two.
    connections_max: int


BOUNDS = Bounds(
    body_bytes_max=limits.BODY_BYTES_MAX,
    bulk_body_bytes_max=limits.BULK_BODY_BYTES_MAX,
    bulk_commands_max=limits.BULK_COMMANDS_MAX,
    commands_in_flight_max=limits.WINDOW_COMMANDS_MAX,
    answer_wait_ms_max=limits.ANSWER_WAIT_MS_MAX,
    drain_ms_max=limits.DRAIN_MS_MAX,
    recent_keys=limits.WINDOW_COMMANDS_MAX,
    connections_max=limits.CONNECTIONS_MAX,
)


class GatewayConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where to listen, where the data is, and what a new cluster looks like.

    A port of 0 asks for a free one; 0 shards for as many as the data has.
    Answers are kept for `keep_ms`, to be given again.
    """

    data_dir: Path
    host: Annotated[str, Meta(min_length=1)]
    port: Annotated[int, Meta(ge=0, le=65_535)]
    shard_count: Annotated[int, Meta(ge=0, le=limits.SHARDS_MAX)]
    first_day: datetime.date
    keep_ms: Annotated[
        int, Meta(ge=limits.KEEP_ANSWERS_MS_MIN, le=limits.KEEP_ANSWERS_MS_MAX)
    ] = limits.KEEP_ANSWERS_MS
    with_noop: bool = False
    faults: tuple[Fault, ...] = ()
    bounds: Bounds = BOUNDS

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the door."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def decode_config(options: dict[str, Any]) -> GatewayConfig:
    """The config of the command line's options; ConfigRefused names the wrong one."""

    def from_text(wanted: type, value: object) -> object:
        assert wanted is Path
        return Path(str(value))

    try:
        faults = tuple(parse_fault(text) for text in options.get("faults", ()))
    except FaultRefused as error:
        raise ConfigRefused(str(error)) from None

    try:
        options = options | {"faults": faults}
        return msgspec.convert(options, GatewayConfig, dec_hook=from_text)
    except msgspec.ValidationError as error:
        raise ConfigRefused(str(error).replace("$.", "")) from None
