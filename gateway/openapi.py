"""The API document, OpenAPI 3.1, made from the routes and the structs.

Nothing is described twice: paths and roles come from `routes.py`, fields from
`fields.py` through the body structs, answers from the structs the shards
encode, problems from `problems.py`.
"""

from typing import Any

import msgspec

from gateway import bodies, bulk
from gateway import problems as p
from gateway.calculations import CALCULATIONS, Calculation
from gateway.fields import FIELDS
from gateway.routes import (
    AUDIT_PATH,
    BULK_PATH,
    COMMAND_ROUTES,
    QUERY_ROUTES,
    SAGA_ROUTES,
    SEALINGS_PATH,
    STATUS_PATH,
    CommandRoute,
    QueryRoute,
)
from processor.answers import DeclinedAnswer
from processor.declines import DeclineReason

Node = dict[str, Any]

_REF = "#/components/schemas/{name}"
_READ_PROBLEMS = (p.UNAUTHENTICATED, p.UNAVAILABLE, p.INTERNAL)
_COMMAND_PROBLEMS = (
    p.MALFORMED_BODY,
    p.INVALID_FIELD,
    p.KEY_MISSING,
    p.UNAUTHENTICATED,
    p.FORBIDDEN,
    p.BODY_TIMEOUT,
    p.TOO_LARGE,
    p.UNSUPPORTED_TYPE,
    p.KEY_REUSED,
    p.OVERLOADED,
    p.INTERNAL,
    p.UNAVAILABLE,
    p.OUTCOME_UNKNOWN,
)
_CALCULATION_PROBLEMS = (
    p.MALFORMED_BODY,
    p.INVALID_FIELD,
    p.UNAUTHENTICATED,
    p.BODY_TIMEOUT,
    p.TOO_LARGE,
    p.UNSUPPORTED_TYPE,
    p.NOT_COMPUTABLE,
    p.INTERNAL,
    p.UNAVAILABLE,
)
_APPROVED_EXAMPLES: dict[str, Any] = {
    "status": "approved",
    "account_id": "alice",
    "authorization_id": "au_3c0002a",
    "capture_id": "ca_3c0002b",
    "refund_id": "re_3c0002c",
    "repayment_id": "rp_3c0002d",
    "withholding_id": "wh_3c0002e",
    "hold_id": "ho_3c0002b",
    "lender_id": "first-bank",
    "program_id": "pay-in-three",
    "merchant_id": "corner-shop",
    "purchase_day": "2011-01-31",
    "day": "2011-01-31",
    "next_day": "2011-02-01",
    "version": 1,
    "captured_minor": 0,
    "open_to_buy_minor": 237_500,
    "expires_at_ms": 1_296_518_400_000,
}
_DECLINED_EXAMPLE = {
    "status": "declined",
    "reason": DeclineReason.CREDIT_LIMIT_EXCEEDED.value,
    "transient": True,
    "headroom_missing_minor": 2_500,
}


def document() -> bytes:
    """The whole document as JSON."""
    schemas = _Schemas()
    paths: Node = {}
    for command in (*COMMAND_ROUTES, *SAGA_ROUTES):
        paths[command.path] = {"post": _command(command, schemas)}
    for query in QUERY_ROUTES:
        paths.setdefault(query.path, {})["get"] = _query(query, schemas)
    for calculation in CALCULATIONS:
        paths[calculation.path] = {"post": _calculation(calculation, schemas)}
    paths[BULK_PATH] = {"post": _bulk(schemas)}
    paths[STATUS_PATH] = {"get": _status()}
    paths[AUDIT_PATH] = {"get": _audit()}
    paths[SEALINGS_PATH] = {"post": _sealing()}
    paths |= _open_paths()
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": _INFO,
            "servers": [{"url": "/"}],
            "security": [{"key": []}],
            "tags": [{"name": name} for name in _TAGS],
            "paths": paths,
            "components": {
                "schemas": schemas.components(),
                "securitySchemes": {"key": _SECURITY},
                "responses": _problem_responses(),
            },
        }
    )


_INFO = {
    "title": "Forebay",
    "version": "1",
    "description": "A consumer-credit transaction processor. Amounts are whole"
    " numbers of minor units; rates are parts per million. A decline is an answer"
    " (200, `status: declined`); a problem (RFC 9457) means that the command was not"
    " decided, or that its outcome is not known and it must be sent again with the"
    " same Idempotency-Key.",
    "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
}
_SECURITY = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key, `fb_<keyid>_<secret>`, made by `forebay keys add`.",
}
_TAGS = (
    "authorizations",
    "refunds",
    "repayments",
    "pos-repayments",
    "holds",
    "accounts",
    "forced-captures",
    "lenders",
    "funds",
    "programs",
    "merchants",
    "business-days",
    "calculations",
    "commands",
    "status",
)


class _Schemas:
    """Collects the structs that the document refers to."""

    def __init__(self) -> None:
        self._types: dict[str, Any] = {}

    def ref(self, wanted: Any) -> Node:
        """A reference to a struct's schema."""
        self._types[wanted.__name__] = wanted
        return {"$ref": _REF.format(name=wanted.__name__)}

    def components(self) -> Node:
        """Every schema that was referred to, and those inside them."""
        types = [*self._types.values(), p.Problem]
        _, components = msgspec.json.schema_components(types, ref_template=_REF)
        _name_declines(components)
        return components


def _name_declines(components: Node) -> None:
    for name, schema in components.items():
        if name.endswith("Answer"):
            is_decline = name.endswith(DeclinedAnswer.__name__)
            status = "declined" if is_decline else "approved"
            schema["properties"]["status"] = {"type": "string", "enum": [status]}
            if is_decline:
                reasons = [reason.value for reason in DeclineReason]
                schema["properties"]["reason"]["enum"] = reasons


def _command(route: CommandRoute, schemas: _Schemas) -> Node:
    body = bodies.body_struct(route.command, route.parameter)
    parameters = [_path_parameter(route.parameter)] if route.parameter else []
    if route.needs_key:
        parameters.append(_KEY_HEADER)
    required = any(f.required for f in msgspec.structs.fields(body))
    return {
        "operationId": route.command.wire_name(),
        "tags": [_tag(route.path)],
        "summary": route.summary,
        "description": f"{_prose(route.command)}\n\nRole: `{route.role.value}`.",
        "parameters": parameters,
        "requestBody": {
            "required": required,
            "content": {
                "application/json": {
                    "schema": schemas.ref(body),
                    "example": _body_example(body),
                }
            },
        },
        "responses": {
            "200": _answers(schemas, route),
            **_problems(_COMMAND_PROBLEMS),
        },
    }


def _answers(schemas: _Schemas, route: CommandRoute) -> Node:
    approved, declined = schemas.ref(route.answer), schemas.ref(route.declined)
    return {
        "description": "Approved or declined; durable either way.",
        "headers": {"Idempotency-Replayed": _REPLAYED_HEADER},
        "content": {
            "application/json": {
                "schema": {"oneOf": [approved, declined]},
                "examples": {
                    "approved": {"value": _answer_example(route)},
                    "declined": {"value": _DECLINED_EXAMPLE},
                },
            }
        },
    }


def _query(route: QueryRoute, schemas: _Schemas) -> Node:
    return {
        "operationId": f"read_{route.kind}",
        "tags": [_tag(route.path)],
        "summary": route.summary,
        "description": f"{_prose(route.answer)}\n\nAny role.",
        "parameters": [
            _path_parameter(route.parameter, is_query=True),
            *(_query_parameter(*given) for given in route.narrowed_by.items()),
        ],
        "responses": {
            "200": {
                "description": "As it is after everything sent before.",
                "content": {"application/json": {"schema": schemas.ref(route.answer)}},
            },
            **_problems((p.INVALID_FIELD, p.NOT_FOUND, p.OVERLOADED, *_READ_PROBLEMS)),
        },
    }


def _calculation(calculation: Calculation, schemas: _Schemas) -> Node:
    body = schemas.ref(bodies.body_struct(calculation.body, None))
    media = {"schema": body, "example": calculation.example}
    answer = {"schema": schemas.ref(calculation.answer)}
    return {
        "operationId": calculation.path.rpartition("/")[2].replace("-", "_"),
        "tags": ["calculations"],
        "summary": calculation.summary,
        "description": f"{_prose(calculation.body)}\n\n{_CALCULATION_PROSE}",
        "requestBody": {"required": True, "content": {"application/json": media}},
        "responses": {
            "200": {
                "description": _prose(calculation.answer),
                "content": {"application/json": answer},
            },
            **_problems(_CALCULATION_PROBLEMS),
        },
    }


_CALCULATION_PROSE = (
    "A calculation: it changes nothing, is kept nowhere and needs no"
    " Idempotency-Key. Any role."
)


def _bulk(schemas: _Schemas) -> Node:
    items = [schemas.ref(item) for item in bulk.item_forms()]
    answers: list[Node] = []
    for route in COMMAND_ROUTES:
        answer = schemas.ref(route.answer)
        if answer not in answers:
            answers.append(answer)
    media: Node = {"schema": {"type": "array", "items": {"oneOf": items}}}
    result: Node = {
        "type": "object",
        "required": ["outcome"],
        "properties": {
            "outcome": {"enum": _BULK_OUTCOMES},
            "answer": {"anyOf": [*answers, schemas.ref(DeclinedAnswer)]},
            "problem": {"$ref": _REF.format(name=p.Problem.__name__)},
        },
    }
    told: Node = {"schema": {"type": "array", "items": result}}
    names = ("application/json", "application/msgpack")
    return {
        "operationId": "bulk",
        "tags": ["commands"],
        "summary": "Carry out many commands, in order",
        "description": _BULK_PROSE,
        "requestBody": {"required": True, "content": dict.fromkeys(names, media)},
        "responses": {
            "200": {
                "description": "One result for each command, in order.",
                "content": dict.fromkeys(names, told),
            },
            **_problems(tuple(k for k in _COMMAND_PROBLEMS if k not in _ITEM_PROBLEMS)),
        },
    }


_BULK_OUTCOMES = ["decided", "replayed", "conflict", "not_done", "unknown", "invalid"]
_ITEM_PROBLEMS = (p.INVALID_FIELD, p.KEY_MISSING, p.FORBIDDEN, p.KEY_REUSED)
_BULK_PROSE = (
    "An array of commands, each with its own `request_id` in place of the"
    " Idempotency-Key. They are submitted in order, so the order within an account"
    " is kept; one that is invalid spoils no other. The role is checked for each."
)


def _status() -> Node:
    return {
        "operationId": "status",
        "tags": ["status"],
        "summary": "The state of every shard and of settlement",
        "responses": {
            "200": {
                "description": "Epoch, sequence, process and business day of each.",
                "content": {"application/json": {"schema": {"type": "object"}}},
            },
            **_problems(_READ_PROBLEMS),
        },
    }


def _sealing() -> Node:
    journal = {
        "name": {"type": "string"},
        "segments": {"type": "integer"},
        "sequence": {"type": "integer"},
        "chain": {"type": "string"},
    }
    schema = _object(
        {
            "cluster_id": {"type": "string"},
            "journals": {"type": "array", "items": _object(journal)},
            "stood_still_ms": {"type": "integer"},
        }
    )
    return {
        "operationId": "sealJournals",
        "tags": ["status"],
        "summary": "Seal every journal at one cut, so that it can be copied",
        "description": "What `forebay backup` asks for. Authorizations go on; who needs"
        " something of settlement waits for a moment. Role: `operator`.",
        "responses": {
            "200": {
                "description": "How many segments of each journal are sealed, up to"
                " which record, and for how long settlement stood still.",
                "content": {"application/json": {"schema": schema}},
            },
            **_problems((p.FORBIDDEN, *_READ_PROBLEMS)),
        },
    }


def _object(properties: Node) -> Node:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
    }


def _audit() -> Node:
    return {
        "operationId": "audit",
        "tags": ["status"],
        "summary": "Recompute everything from the journals and compare",
        "description": "May take minutes; a system that does not hold still for a"
        " moment answers 503. Role: `auditor`.",
        "responses": {
            "200": {
                "description": "The figures that must be zero, and every difference.",
                "content": {"application/json": {"schema": _AUDIT_SCHEMA}},
            },
            **_problems((p.FORBIDDEN, *_READ_PROBLEMS)),
        },
    }


_AUDIT_SCHEMA: Node = {
    "type": "object",
    "properties": {
        "overspend_minor": {"type": "integer"},
        "false_reserve_declines": {"type": "integer"},
        "trial_balance_minor": {"type": "integer"},
        "replay_equal": {"type": "boolean"},
        "differences": {"type": "array", "items": {"type": "string"}},
        "open_withholdings": {
            "type": "object",
            "additionalProperties": {"type": "integer"},
        },
    },
}


def _open_paths() -> Node:
    """What needs no key."""
    told = {
        "/livez": "Whether the process answers",
        "/readyz": "Whether it takes new work",
        "/metrics": "Counters for Prometheus",
    }
    return {
        path: {
            "get": {
                "operationId": path[1:],
                "tags": ["status"],
                "summary": summary,
                "security": [],
                "responses": {
                    "200": {"description": "Yes."},
                    **(_problems((p.UNAVAILABLE,)) if path == "/readyz" else {}),
                },
            }
        }
        for path, summary in told.items()
    }


_KEY_HEADER: Node = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": True,
    "description": "Yours to choose: new for each new wish, the same for each"
    " repetition of it. The same key with the same content gets the same answer.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,64}$"},
    "example": FIELDS["request_id"].example,
}
_REPLAYED_HEADER: Node = {
    "description": "`true` when this answer was given before under the same key.",
    "schema": {"type": "string", "enum": ["true"]},
}


def _path_parameter(name: str, *, is_query: bool = False) -> Node:
    form = FIELDS[name]
    (schema,), _ = msgspec.json.schema_components([form.type], ref_template=_REF)
    if name == "day" and is_query:
        schema = {"anyOf": [schema, {"const": "current"}]}
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": f"{form.is_what} Must be {form.must_be}.",
        "schema": schema,
        "example": form.example,
    }


def _query_parameter(name: str, default: Any) -> Node:
    form = FIELDS[name]
    (schema,), _ = msgspec.json.schema_components([form.type], ref_template=_REF)
    if default is not None:
        schema["default"] = default
    return {
        "name": name,
        "in": "query",
        "required": False,
        "description": f"{form.is_what} Must be {form.must_be}.",
        "schema": schema,
        "example": form.example,
    }


def _problems(kinds: tuple[p.ProblemKind, ...]) -> Node:
    return {
        str(kind.status.value): {"$ref": f"#/components/responses/{kind.status.value}"}
        for kind in sorted(kinds, key=lambda kind: kind.status.value)
    }


def _problem_responses() -> Node:
    """One response for each status; its types are listed and shown."""
    by_status: dict[int, list[p.ProblemKind]] = {}
    for kind in p.KINDS:
        by_status.setdefault(kind.status.value, []).append(kind)
    return {
        str(status): {
            "description": "\n\n".join(f"**{k.title}**: {k.meaning}" for k in kinds),
            "headers": _retry_header() if status in (429, 503) else {},
            "content": {
                "application/problem+json": {
                    "schema": {"$ref": _REF.format(name=p.Problem.__name__)},
                    "examples": {k.slug: {"value": _problem_example(k)} for k in kinds},
                }
            },
        }
        for status, kinds in by_status.items()
    }


def _retry_header() -> Node:
    return {
        "Retry-After": {
            "description": "Seconds to wait before sending it again.",
            "schema": {"type": "integer"},
        }
    }


def _problem_example(kind: p.ProblemKind) -> Node:
    example: Node = {
        "type": kind.uri,
        "title": kind.title,
        "status": kind.status.value,
        "detail": "What exactly, and what to do.",
        "retryable": kind.retryable,
    }
    if kind is p.INVALID_FIELD:
        must_be = f"must be {FIELDS['amount_minor'].must_be}"
        example["detail"] = f"amount_minor: {must_be}"
        example["errors"] = [{"field": "amount_minor", "message": must_be}]
    return example


def _body_example(body: type[msgspec.Struct]) -> Node:
    return {
        field.name: FIELDS[field.name].example
        for field in msgspec.structs.fields(body)
        if field.name != "next_day"
    }


def _answer_example(route: CommandRoute) -> Node:
    return {
        field.name: _APPROVED_EXAMPLES.get(field.name, 12_500)
        for field in msgspec.structs.fields(route.answer)
    }


def _prose(described: type) -> str:
    return "\n".join(line.strip() for line in (described.__doc__ or "").splitlines())


def _tag(path: str) -> str:
    return path.split("/")[2]
