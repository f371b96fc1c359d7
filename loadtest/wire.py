"""A wish as an HTTP request: method, path, body.

Paths come from the gateway's own table, so that a route that moves is followed;
what the answers must be does not.
"""

from typing import Any

from gateway.routes import COMMAND_ROUTES
from loadtest.wishes import Wish

_READS = {
    "read_account": ("/v1/accounts/", "account_id"),
    "read_authorization": ("/v1/authorizations/", "authorization_id"),
    "read_hold": ("/v1/holds/", "hold_id"),
}
_COMMANDS = {route.command.wire_name(): route for route in COMMAND_ROUTES}

Request = tuple[str, str, dict[str, Any] | None]


def request_of(wish: Wish) -> Request:
    """Method, path and body; the Idempotency-Key is the wish's request id."""
    read = _READS.get(wish.command)
    if read is not None:
        path, parameter = read
        return "GET", path + wish.fields[parameter], None
    route = _COMMANDS[wish.command]
    body = dict(wish.fields)
    if route.parameter is None:
        return "POST", route.path, body
    value = body.pop(route.parameter)
    return "POST", route.path.replace(f"{{{route.parameter}}}", value), body
