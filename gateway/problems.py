"""What goes wrong at the door, in the form of RFC 9457.

Every problem has a stable relative type that this server documents under that
very path, says what to do, and whether the same request may be sent again.  A
decline is not a problem: it is an answer.
"""

from functools import lru_cache
from http import HTTPStatus

import msgspec

PROBLEM_JSON = b"application/problem+json"
RETRY_AFTER_SECONDS = b"1"


class ProblemKind(msgspec.Struct, frozen=True):
    """One type of problem, as documented; `meaning` is for its page.

    `retryable`: the same request, with the same key, may be sent again.
    """

    slug: str
    status: HTTPStatus
    title: str
    retryable: bool
    meaning: str

    @property
    def uri(self) -> str:
        """The relative reference that is the problem's type."""
        return f"/problems/{self.slug}"


class FieldError(msgspec.Struct, frozen=True):
    """What is wrong with one field of the body, the path or the headers."""

    field: str
    message: str


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """One problem as it is sent."""

    type: str
    title: str
    status: int
    detail: str
    retryable: bool
    errors: tuple[FieldError, ...] = ()


class Refusal(Exception):
    """Raised anywhere in the gateway to answer with a problem."""

    def __init__(
        self,
        kind: ProblemKind,
        detail: str,
        errors: tuple[FieldError, ...] = (),
        allow: str = "",
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.errors = errors
        self.allow = allow

    @property
    def problem(self) -> Problem:
        """The problem as it is sent."""
        kind, status = self.kind, self.kind.status.value
        return Problem(
            kind.uri, kind.title, status, self.detail, kind.retryable, self.errors
        )

    @property
    def body(self) -> bytes:
        """The problem as JSON."""
        if self.kind in WORDED_ALIKE and not self.errors:
            return _body_of(self.kind.slug, self.detail)
        return msgspec.json.encode(self.problem)

    def headers(self) -> list[tuple[bytes, bytes]]:
        """The headers of the answer, less its length."""
        headers = [(b"content-type", PROBLEM_JSON)]
        if self.kind.status is HTTPStatus.UNAUTHORIZED:
            headers.append((b"www-authenticate", b'Bearer realm="forebay"'))
        if self.kind in RETRIED_LATER:
            headers.append((b"retry-after", RETRY_AFTER_SECONDS))
        if self.allow:
            headers.append((b"allow", self.allow.encode()))
        return headers


# Those that come in crowds just when time is short.
@lru_cache(maxsize=64)
def _body_of(slug: str, detail: str) -> bytes:
    (kind,) = (kind for kind in WORDED_ALIKE if kind.slug == slug)
    return msgspec.json.encode(Refusal(kind, detail).problem)


def invalid_field(field: str, message: str) -> Refusal:
    """The refusal of one field; the message says what it must be."""
    return Refusal(INVALID_FIELD, f"{field}: {message}", (FieldError(field, message),))


MALFORMED_BODY = ProblemKind(
    "malformed-body",
    HTTPStatus.BAD_REQUEST,
    "The body cannot be read",
    False,
    "The body is not one complete document of its content type. Nothing was done.",
)
INVALID_FIELD = ProblemKind(
    "invalid-field",
    HTTPStatus.BAD_REQUEST,
    "A field is missing, unknown or invalid",
    False,
    "`errors` names the field and what it must be. Amounts are whole numbers of"
    " minor units, written without fraction, exponent or quotes. Fields that the"
    " command does not have are refused. Nothing was done.",
)
KEY_MISSING = ProblemKind(
    "idempotency-key-missing",
    HTTPStatus.BAD_REQUEST,
    "An Idempotency-Key is needed",
    False,
    "Every command carries an Idempotency-Key header: 1 to 64 visible ASCII"
    " characters of your choice, new for each new wish and the same for each"
    " repetition of it. Nothing was done.",
)
UNAUTHENTICATED = ProblemKind(
    "unauthenticated",
    HTTPStatus.UNAUTHORIZED,
    "A valid API key is needed",
    False,
    "Send `Authorization: Bearer fb_...`. Keys are made with `forebay keys add`.",
)
FORBIDDEN = ProblemKind(
    "forbidden",
    HTTPStatus.FORBIDDEN,
    "This API key may not do that",
    False,
    "The key is valid but lacks the role that the command needs.",
)
NOT_FOUND = ProblemKind(
    "not-found",
    HTTPStatus.NOT_FOUND,
    "There is no such thing",
    False,
    "The path is unknown, or the object it names does not exist.",
)
METHOD_NOT_ALLOWED = ProblemKind(
    "method-not-allowed",
    HTTPStatus.METHOD_NOT_ALLOWED,
    "The path does not take this method",
    False,
    "The `Allow` header lists the methods the path takes.",
)
BODY_TIMEOUT = ProblemKind(
    "body-timeout",
    HTTPStatus.REQUEST_TIMEOUT,
    "The body did not arrive in time",
    True,
    "The request stopped half way. Nothing was done.",
)
TOO_LARGE = ProblemKind(
    "too-large",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "The request is too large",
    False,
    "The body has more bytes, or the array more commands, than one request may"
    " have. Nothing was done; send it in parts.",
)
UNSUPPORTED_TYPE = ProblemKind(
    "unsupported-content-type",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "The content type is not supported",
    False,
    "Send `Content-Type: application/json`; bulk commands also take"
    " `application/msgpack`. Nothing was done.",
)
KEY_REUSED = ProblemKind(
    "idempotency-key-reused",
    HTTPStatus.UNPROCESSABLE_ENTITY,
    "The Idempotency-Key was used for something else",
    False,
    "The same caller has used this key for a command with other content; `errors`"
    " names the first field that differs. Nothing was done. Use a new key for a"
    " new wish.",
)
NOT_COMPUTABLE = ProblemKind(
    "not-computable",
    HTTPStatus.UNPROCESSABLE_ENTITY,
    "There is no result",
    False,
    "Every field has the right form, but together they cannot be worked out;"
    " `errors` names the field and says why. A calculation changes nothing.",
)
OVERLOADED = ProblemKind(
    "overloaded",
    HTTPStatus.TOO_MANY_REQUESTS,
    "Too much is in flight",
    True,
    "A bound was reached before anything was written down: nothing was done and"
    " nothing will be. Send it again after `Retry-After` seconds.",
)
UNAVAILABLE = ProblemKind(
    "unavailable",
    HTTPStatus.SERVICE_UNAVAILABLE,
    "Not available just now",
    True,
    "Nothing was done and nothing will be. Send it again after `Retry-After`"
    " seconds, with the same Idempotency-Key.",
)
TOO_LATE = ProblemKind(
    "too-late",
    HTTPStatus.SERVICE_UNAVAILABLE,
    "Its time was over before its turn came",
    True,
    "The command would have been decided after the time that `Request-Timeout-Ms`"
    " leaves it, so nothing was done and nothing will be. Send it again after"
    " `Retry-After` seconds, with the same Idempotency-Key.",
)
OUTCOME_UNKNOWN = ProblemKind(
    "outcome-unknown",
    HTTPStatus.GATEWAY_TIMEOUT,
    "The outcome is not known",
    True,
    "The command may or may not have been carried out. Send it again with the same"
    " Idempotency-Key: it is carried out at most once, and you get its answer.",
)
INTERNAL = ProblemKind(
    "internal",
    HTTPStatus.INTERNAL_SERVER_ERROR,
    "A fault of the server",
    True,
    "An error of ours, and logged. If this was a command, its outcome is not known:"
    " send it again with the same Idempotency-Key.",
)

KINDS: tuple[ProblemKind, ...] = (
    MALFORMED_BODY,
    INVALID_FIELD,
    KEY_MISSING,
    UNAUTHENTICATED,
    FORBIDDEN,
    NOT_FOUND,
    METHOD_NOT_ALLOWED,
    BODY_TIMEOUT,
    TOO_LARGE,
    UNSUPPORTED_TYPE,
    KEY_REUSED,
    NOT_COMPUTABLE,
    OVERLOADED,
    UNAVAILABLE,
    TOO_LATE,
    OUTCOME_UNKNOWN,
    INTERNAL,
)
RETRIED_LATER = frozenset({OVERLOADED, UNAVAILABLE, TOO_LATE})
WORDED_ALIKE = frozenset({OVERLOADED, TOO_LATE})
