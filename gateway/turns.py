"""Of what one turn of the event loop has brought, so much is read and no more.

When more requests have come than the gateway can read, it is the reading that
costs, not the nodes: a request that is parsed, looked into and then sent away
costs two thirds of one that is carried out, and at three times the capacity
there is time for nothing else.  So what a turn has beyond a number of requests is
sent away as it stands: of a whole request only the key is looked at, so that who
sends little is heard behind whoever sends much.

A number and not a time: a machine that stood still for a moment is no crowd.  It
is small enough that being sent away is quick, and large enough that the turns do
not consist of sending away.
"""

import asyncio
import re

from processor import limits

_READ_MAX = limits.TURN_REQUESTS_MAX

# Whatever may say where a request ends, or that its connection does; and the key.
_telling = re.compile(
    rb"\r\n(authorization|content-length|transfer-encoding|connection|expect|upgrade)"
    rb":[ \t]*([^\r\n]*)(?=\r\n)",
    re.IGNORECASE,
).findall


class Turns:
    """The turns of a gateway's event loop, counted; one for all connections."""

    def __init__(self) -> None:
        self.number = 0
        self.left = 0  # So many more are read in this one, if it has begun.
        self._has_begun = False

    def begin(self) -> bool:
        """Nothing is left: read one more if it is the first of a turn.

        False when enough was read in this one.
        """
        if self._has_begun:
            return False
        asyncio.get_running_loop().call_soon(self._end)
        self._has_begun = True
        self.left = _READ_MAX - 1
        return True

    def _end(self) -> None:
        self.number += 1
        self.left = 0
        self._has_begun = False


def whole_post(data: bytes) -> tuple[bytes, bytes] | None:
    """URL and Authorization of one whole plain POST; None if it is anything else.

    What it says is enough to send it away, and not enough to carry it out.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0 or not data.startswith(b"POST /"):
        return None
    line_end = data.index(b"\r\n")
    url, _, version = data[5:line_end].partition(b" ")
    if version != b"HTTP/1.1":
        return None
    told = _telling(data, line_end, end + 2)
    named = {name.lower(): value for name, value in told}
    if len(told) != 2 or named.keys() != {b"authorization", b"content-length"}:
        return None
    length = named[b"content-length"]
    if not length.isdigit() or len(length) > 9 or len(data) != end + 4 + int(length):
        return None
    return url, named[b"authorization"]
