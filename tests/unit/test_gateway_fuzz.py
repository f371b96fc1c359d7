"""Whatever is sent, the answer is a problem or an answer: never a fault of ours.

The server is real and runs in a thread of its own; requests go over a plain
connection, because no client library would send some of them.
"""

import asyncio
import http.client
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.http_server import bound_socket, open_door
from gateway.keys import ALL_ROLES, KeyFile
from gateway.routes import COMMAND_ROUTES
from processor import limits
from processor.commands import Authorize
from tests.unit.gateway_fake import AUTHORIZE, TODAY, FakeNodes, config_for

REFUSED = {400, 401, 403, 404, 405, 408, 413, 415, 422, 429}
ROOM = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


class Server:
    """A server in a thread, and one connection to it."""

    def __init__(self, data_dir: Path) -> None:
        self.nodes = FakeNodes()
        self.key = KeyFile(data_dir).add("fuzz", ALL_ROLES, TODAY)
        self._data_dir = data_dir
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._port = 0
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        config = config_for(self._data_dir)
        keys = KeyFile(self._data_dir)
        with bound_socket(config) as listener:
            async with open_door(config, self.nodes, keys, listener, None):
                self._port = listener.getsockname()[1]
                self._started.set()
                await self._stop.wait()

    def start(self) -> None:
        self._thread.start()
        assert self._started.wait(10)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def send(
        self, path: str, body: bytes, headers: dict[str, bytes] | None = None
    ) -> tuple[int, bytes]:
        """POST as it is; the status and the body."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        usual = {
            "Authorization": f"Bearer {self.key}".encode(),
            "Content-Type": b"application/json",
            "Idempotency-Key": b"r",
        }
        connection.putrequest("POST", path, skip_accept_encoding=True)
        for name, value in (usual | (headers or {})).items():
            connection.putheader(name, value)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        told = response.read()
        connection.close()
        return response.status, told


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("fuzz"))
    running.start()
    yield running
    running.stop()


def check_refused_or_sent(server: Server, path: str, body: bytes) -> None:
    status, told = server.send(path, body)
    assert status == 200 or status in REFUSED, (status, told)
    if status != 200:
        assert msgspec.json.decode(told)["status"] == status


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=70),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=12), inner, max_size=4)
    ),
    max_leaves=8,
)
FIELDS = st.sampled_from([*AUTHORIZE, "capture", "reference", "shares", "caller"])
PATHS = st.sampled_from(
    [
        route.path.replace(f"{{{route.parameter}}}", value)
        for route in COMMAND_ROUTES
        for value in ("alice", "au_3c0002a", "2011-01-31")
    ]
)


@ROOM
@given(path=PATHS, body=st.binary(max_size=200))
@example(path="/v1/authorizations", body=b"\xef\xbb\xbf{}")
@example(path="/v1/authorizations", body=b'{"account_id":' * 20_000)
@example(path="/v1/programs", body=b'{"shares":' + b"[" * 200_000)
def test_any_bytes(server: Server, path: str, body: bytes) -> None:
    check_refused_or_sent(server, path, body)


@ROOM
@given(path=PATHS, body=st.dictionaries(FIELDS, JSON))
def test_any_values_in_known_fields(
    server: Server, path: str, body: dict[str, object]
) -> None:
    check_refused_or_sent(server, path, msgspec.json.encode(body))


@ROOM
@given(changes=st.dictionaries(FIELDS, JSON, max_size=2))
def test_what_gets_through_is_within_every_bound(
    server: Server, changes: dict[str, object]
) -> None:
    server.nodes.commands.clear()
    status, _ = server.send(
        "/v1/authorizations", msgspec.json.encode(AUTHORIZE | changes)
    )
    sent = server.nodes.commands
    assert len(sent) <= 1
    assert status == 200 or not sent
    for command in sent:
        assert isinstance(command, Authorize)
        assert type(command.amount_minor) is int
        assert 1 <= command.amount_minor <= limits.AMOUNT_MINOR_MAX
        assert 1 <= len(command.account_id) <= limits.ID_LENGTH_MAX
        assert len(command.reference) <= limits.REFERENCE_LENGTH_MAX
        assert command.currency.isascii()
        assert len(command.currency) == 3


@ROOM
@given(items=st.lists(st.dictionaries(FIELDS, JSON) | JSON, max_size=5))
def test_any_items_in_bulk(server: Server, items: list[object]) -> None:
    body = msgspec.json.encode(items)
    status, told = server.send("/v1/commands", body)
    assert status == 200
    assert len(msgspec.json.decode(told)) == len(items)


@ROOM
@given(body=st.binary(max_size=100))
@example(body=b"\x91" * 100_000)
@example(body=b"\xdd\xff\xff\xff\xff")
@example(body=b"\xdc\xff\xff\xc0")
def test_any_msgpack_in_bulk(server: Server, body: bytes) -> None:
    content_type = {"Content-Type": b"application/msgpack"}
    status, told = server.send("/v1/commands", body, content_type)
    assert status == 200 or status in REFUSED, told


HEADER = st.binary(max_size=80).map(
    lambda value: bytes(b for b in value if b not in b"\r\n\0").strip()
)


@ROOM
@given(
    name=st.sampled_from(["Authorization", "Content-Type", "Idempotency-Key"]),
    value=HEADER,
)
def test_any_header(server: Server, name: str, value: bytes) -> None:
    if any(byte < 32 or byte == 127 for byte in value):
        return  # The HTTP parser itself refuses these.
    status, told = server.send(
        "/v1/authorizations", msgspec.json.encode(AUTHORIZE), {name: value}
    )
    assert status == 200 or status in REFUSED, told


@ROOM
@given(path=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=60))
def test_any_path(server: Server, path: str) -> None:
    status, told = server.send(f"/v1/{path}", b"{}")
    assert status == 200 or status in REFUSED, told
