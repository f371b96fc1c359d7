"""The documentation page, served without any other host: Swagger UI's files
from the `swagger-ui-bundle` package, the scenario book, and a page for each
type of problem.

The book is written in `tests/scenarios/`; `scenarios.html` is made from it.

Swagger UI 4 refuses documents that call themselves 3.1 though it can show what
ours use, so the page, and only the page, calls the document 3.0.3.
"""

from html import escape
from pathlib import Path

import swagger_ui_bundle
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from gateway.problems import KINDS, NOT_FOUND, ProblemKind, Refusal

_POLICY = {
    "content-security-policy": "default-src 'self'; img-src 'self' data:;"
    " style-src 'self' 'unsafe-inline'"
}

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>Forebay API</title>
  <link rel="stylesheet" href="/docs/assets/swagger-ui.css">
  <link rel="icon" type="image/png" href="/docs/assets/favicon-32x32.png">
</head>
<body>
  <p style="font:14px sans-serif;margin:1rem 20px">
    <a href="/docs/scenarios">The scenario book</a>: what it does, in short stories ·
    <a href="/problems">Problems</a>
  </p>
  <div id="page"></div>
  <script src="/docs/assets/swagger-ui-bundle.js"></script>
  <script src="/docs/start.js"></script>
</body>
</html>
"""

_SCENARIOS = Path(__file__).with_name("scenarios.html")

_START = """fetch("/openapi.json")
  .then((answer) => answer.json())
  .then((spec) => {
    spec.openapi = "3.0.3";
    SwaggerUIBundle({
      spec,
      dom_id: "#page",
      deepLinking: true,
      persistAuthorization: true,
      defaultModelsExpandDepth: 0,
      validatorUrl: null,
    });
  });
"""


def docs_routes() -> list[BaseRoute]:
    """The page, its script, Swagger UI's files, and the problems."""
    assets = StaticFiles(directory=swagger_ui_bundle.swagger_ui_path)
    return [
        Route("/docs", _docs),
        Route("/docs/start.js", _start),
        Route("/docs/scenarios", _scenarios),
        Mount("/docs/assets", assets),
        Route("/problems", _problems),
        Route("/problems/{slug}", _problem),
    ]


async def _docs(request: Request) -> Response:
    return HTMLResponse(_PAGE, headers=_POLICY)


async def _start(request: Request) -> Response:
    return Response(_START, media_type="text/javascript")


async def _scenarios(request: Request) -> Response:
    return FileResponse(_SCENARIOS, media_type="text/html", headers=_POLICY)


async def _problems(request: Request) -> Response:
    return HTMLResponse(_problem_page(KINDS), headers=_POLICY)


async def _problem(request: Request) -> Response:
    slug = request.path_params["slug"]
    kinds = tuple(kind for kind in KINDS if kind.slug == slug)
    if not kinds:
        raise Refusal(NOT_FOUND, f"There is no type of problem {slug!r}.")
    return HTMLResponse(_problem_page(kinds), headers=_POLICY)


def _problem_page(kinds: tuple[ProblemKind, ...]) -> str:
    parts = [
        f"<h2>{escape(kind.title)}</h2>"
        f'<p><a href="{kind.uri}"><code>{kind.uri}</code></a> · HTTP'
        f" {kind.status.value} · {'may' if kind.retryable else 'must not'} be sent"
        f" again unchanged</p><p>{escape(kind.meaning)}</p>"
        for kind in kinds
    ]
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        "<title>Forebay problems</title><style>body{font:16px/1.5 sans-serif;"
        "max-width:44rem;margin:2rem auto;padding:0 1rem}</style></head><body>"
        f"{''.join(parts)}<p><a href='/problems'>All problems</a> ·"
        ' <a href="/docs">API</a></p></body></html>'
    )
