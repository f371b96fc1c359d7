"""The stream: frames survive any cutting, and what is not a frame is refused."""

import msgspec
import pytest

from processor import commands as c
from processor import limits
from processor import messages as m
from processor.framing import (
    FORMAT,
    BrokenFrame,
    Window,
    caller_reader,
    frame,
    node_reader,
)

SAID: list[m.Message] = [
    m.Submit(1, c.Authorize("caller", "r1", "a", "m", 100, "EUR", True, "ref")),
    m.Query(2, "account", "a"),
    m.SliceAsked(3, (m.Need("L1", 5), m.Need("L2", 7)), 9),
]
ANSWERED: list[m.Message] = [
    m.Answer(1, m.Outcome.DECIDED, b'{"status":"approved"}'),
    m.GrantSlice("L1", 100),
    m.AskRefused(3, "L1", 4, 1),
]


def head_of(length: int, version: int = FORMAT) -> bytes:
    return bytes([version]) + length.to_bytes(4, "big")


@pytest.mark.parametrize("version", [0, 1, FORMAT + 1, 255])
def test_a_peer_of_another_version_is_named(version: int) -> None:
    spoken = head_of(0, version)
    with pytest.raises(
        BrokenFrame, match=f"peer of format {version or 1}, this program 2"
    ):
        node_reader().feed(spoken)


def test_the_version_before_hangs_up_on_ours() -> None:
    """It took the first four bytes for a length: over its bound, so refused."""
    for length in (0, 1, 255, 4_000, limits.FRAME_BYTES_MAX):
        taken_for = int.from_bytes(head_of(length)[:4], "big")
        assert taken_for > limits.FRAME_BYTES_MAX


def test_a_frame_is_format_and_length_then_its_messages() -> None:
    framed = frame(SAID)
    assert (FORMAT, len(framed) - 5) == (framed[0], int.from_bytes(framed[1:5], "big"))
    assert SAID == node_reader().feed(framed)
    assert ANSWERED == caller_reader().feed(frame(ANSWERED))


def test_frames_cut_at_every_byte_come_out_the_same() -> None:
    framed = frame(SAID[:2]) + frame([]) + frame(SAID[2:])
    for cut in range(len(framed) + 1):
        reader = node_reader()
        assert SAID == reader.feed(framed[:cut]) + reader.feed(framed[cut:])


def test_a_frame_comes_out_with_its_last_byte_and_not_before() -> None:
    framed = frame(SAID)
    reader = node_reader()
    for i in range(len(framed) - 1):
        assert [] == reader.feed(framed[i : i + 1])
    assert SAID == reader.feed(framed[-1:])


def test_many_frames_may_arrive_at_once() -> None:
    reader = node_reader()
    assert SAID * 100 == reader.feed(frame(SAID) * 100)
    assert [] == reader.feed(b"")


def test_a_frame_over_the_bound_is_refused_by_its_length_alone() -> None:
    head = head_of(limits.FRAME_BYTES_MAX + 1)
    with pytest.raises(BrokenFrame, match="over the bound"):
        node_reader().feed(head)


def test_a_frame_at_the_bound_is_waited_for() -> None:
    head = head_of(limits.FRAME_BYTES_MAX)
    assert [] == node_reader().feed(head)


def test_a_frame_over_the_bound_is_not_sent() -> None:
    body = b"x" * limits.FRAME_BYTES_MAX
    with pytest.raises(BrokenFrame, match="over the bound"):
        frame([m.Answer(1, m.Outcome.READ, body)])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        b"GET / HTTP/1.1\r\n\r\n",
        msgspec.msgpack.encode({"not": "a list"}),
        msgspec.msgpack.encode([["Unknown", 1]]),
        msgspec.msgpack.encode([["Query", "not a number", "account", "a"]]),
        frame(SAID)[5:-1],
        frame(ANSWERED)[5:],
    ],
)
def test_what_does_not_decode_is_a_broken_peer(body: bytes) -> None:
    with pytest.raises(BrokenFrame):
        node_reader().feed(head_of(len(body)) + body)


def test_an_http_request_is_not_mistaken_for_a_frame() -> None:
    with pytest.raises(BrokenFrame):
        node_reader().feed(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")


# The window.


def test_an_answer_finds_who_waits_for_it() -> None:
    window: Window[str] = Window(4)
    first, second = window.open("first"), window.open("second")
    assert first != second
    assert "second" == window.close(second)
    assert "first" == window.close(first)
    assert 0 == len(window)


def test_an_answer_nobody_waits_for_is_nobodys() -> None:
    window: Window[str] = Window(4)
    correlation = window.open("one")
    window.close(correlation)
    assert window.close(correlation) is None
    assert window.close(999) is None


def test_a_full_window_takes_no_more_until_one_is_closed() -> None:
    window: Window[int] = Window(2)
    correlations = [window.open(i) for i in range(2)]
    assert 0 == window.open(2)
    window.close(correlations[0])
    assert window.open(2) not in (0, *correlations)
    assert 0 == window.open(3)


def test_a_broken_connection_tells_everybody_and_forgets_them() -> None:
    window: Window[str] = Window(4)
    correlation = window.open("one")
    window.open("two")
    assert ["one", "two"] == window.break_all()
    assert 0 == len(window)
    assert window.close(correlation) is None
    assert [] == window.break_all()


@pytest.mark.parametrize("bound", [0, -1, limits.WINDOW_COMMANDS_MAX + 1])
def test_a_window_has_a_bound_within_the_houses(bound: int) -> None:
    with pytest.raises(AssertionError):
        Window(bound)
