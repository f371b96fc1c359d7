"""The parts of the house style that a machine can check.

A rule is a function from one file to complaints, each a line and what to do
about it.  `SEEN_TO_FAIL` holds for every rule a snippet that it must refuse, so
that no rule can go blind unnoticed; `SEEN_TO_PASS` holds the near misses.
"""

import ast
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("processor", "actors", "gateway", "loadtest", "benchmarks", "tests")
INNER_FOLDERS = ("processor", "actors", "gateway")
JOURNAL = "processor/journal.py"
STORAGE = "processor/storage/"

FUNCTION_LINES_MAX = 60
LINES_WITHOUT_DOCSTRING_MAX = 20
TEXT_BYTES_MAX = 2_000_000

# What the rules must not reach for.  The journal and what keeps it may touch the
# disk, and wait for it; the time and the randomness in its records come from the actor.
DISK = frozenset(
    {"aiosqlite", "asyncio", "fcntl", "os", "pathlib", "sqlite3", "threading"}
)
OUTSIDE_WORLD = DISK | {
    *("logging", "random", "ray", "secrets", "socket", "subprocess"),
    *("tempfile", "time"),
    *("aiohttp", "click", "prometheus_client", "stamina", "starlette"),
    *("uvicorn", "uvloop"),
}
CLOCK_METHODS = frozenset({"now", "today", "utcnow"})

# Nothing in the key may import anything in the value.
OUTSIDERS = frozenset({"loadtest", "benchmarks", "tests"})
ONE_WAY = {
    "processor": OUTSIDERS | {"actors", "gateway"},
    "actors": OUTSIDERS | {"gateway"},
    "gateway": OUTSIDERS,
}

VAGUE_WORDS = frozenset(
    {"util", "utils", "helper", "helpers", "manager", "common", "misc"}
)
BROAD = frozenset({"Exception", "BaseException"})
GOES_ON = re.compile(r"# Goes on: \S")

# Written in pieces so that this file does not find itself.
MACHINE_PATH = re.compile(
    r"(?<![\w.\-/}>])/(?:" + "|".join(("wo" + "rk", "ro" + "ot", "ho" + "me")) + r")/\w"
    r"|/Us" + r"ers/\w|\.py" + r"env\b|/opt/(?:py" + r"pi|wh" + r"eels)"
)
REGISTRY = re.compile(
    "|".join(
        (
            r"py" + r"pi\.(?:org|python\.org)",
            r"python" + r"hosted\.org",
            r"registry\.npm" + r"js",
            r"art" + r"ifactory",
            r"--(?:extra-)?index" + r"-url\b",
            r"--find" + r"-links\b",
        )
    )
)


@dataclass(frozen=True)
class Source:
    """One file: its path from the root, and its text."""

    path: str
    text: str

    @property
    def folder(self) -> str:
        return PurePosixPath(self.path).parts[0]

    @cached_property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    @cached_property
    def nodes(self) -> list[ast.AST]:
        return list(ast.walk(ast.parse(self.text, filename=self.path)))

    @cached_property
    def functions(self) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
        return [node for node in self.nodes if isinstance(node, kinds)]

    @cached_property
    def imports(self) -> list[tuple[int, str, str]]:
        """Every import as line, module and last name; relative ones stay inside."""
        found = []
        for node in self.nodes:
            if isinstance(node, ast.Import):
                found += [(node.lineno, alias.name, "") for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                module = node.module or ""
                found += [(node.lineno, module, alias.name) for alias in node.names]
        return found


Complaint = tuple[int, str]
Rule = Callable[[Source], Iterator[Complaint]]


# The rules.


def functions_are_short(source: Source) -> Iterator[Complaint]:
    for function in source.functions:
        length = (function.end_lineno or function.lineno) - function.lineno + 1
        if length > FUNCTION_LINES_MAX:
            yield (
                function.lineno,
                f"{function.name} has {length} lines of at most "
                f"{FUNCTION_LINES_MAX}; give its steps names of their own",
            )


def money_is_integer(source: Source) -> Iterator[Complaint]:
    if source.folder != "processor":
        return
    for node in source.nodes:
        match node:
            case ast.Constant(value=float() | complex()):
                yield node.lineno, "a float literal; count in minor units, as int"
            case ast.Call(func=ast.Name(id="float")):
                yield node.lineno, "float(...); stay in integers"
            case ast.BinOp(op=ast.Div()) | ast.AugAssign(op=ast.Div()):
                yield node.lineno, "true division; use // and say where the rest goes"


def the_processor_is_pure(source: Source) -> Iterator[Complaint]:
    if source.folder != "processor":
        return
    is_journal = source.path == JOURNAL or source.path.startswith(STORAGE)
    forbidden = OUTSIDE_WORLD - DISK if is_journal else OUTSIDE_WORLD
    for line, module, _ in source.imports:
        if top(module) in forbidden:
            yield line, f"imports {module}; let the actor read it and pass it in"
    for node in source.nodes:
        match node:
            case ast.Call(func=ast.Attribute(attr=name)) if name in CLOCK_METHODS:
                yield node.lineno, f"{name}() reads a clock; take the batch's time"
            case (
                ast.AsyncFunctionDef() | ast.Await() | ast.AsyncFor() | ast.AsyncWith()
            ) if not is_journal:
                yield node.lineno, "waits; only the journal does, the rest is plain"


def imports_point_one_way(source: Source) -> Iterator[Complaint]:
    forbidden = ONE_WAY.get(source.folder, frozenset())
    for line, module, _ in source.imports:
        if top(module) in forbidden:
            yield (
                line,
                f"{source.folder} imports {module}; imports point "
                "gateway -> actors -> processor, so move what is shared inwards",
            )


def only_actors_import_ray(source: Source) -> Iterator[Complaint]:
    if source.folder in ("actors", "tests"):  # Tests look at clusters from outside.
        return
    for line, module, _ in source.imports:
        if top(module) == "ray":
            yield line, f"imports {module}; put what needs Ray into actors/"


def only_loadtest_imports_locust(source: Source) -> Iterator[Complaint]:
    if source.folder == "loadtest":
        return
    for line, module, _ in source.imports:
        if top(module) in ("gevent", "locust"):
            yield (
                line,
                f"imports {module}, which monkey-patches the process; "
                "run `python -m loadtest` as a program instead",
            )


def names_say_what_is_inside(source: Source) -> Iterator[Complaint]:
    for part in PurePosixPath(source.path).with_suffix("").parts:
        vague = VAGUE_WORDS.intersection(part.split("_"))
        if vague or part == "data":
            yield 1, f"the name {part} says nothing; name the noun that lives here"


def broad_excepts_say_why(source: Source) -> Iterator[Complaint]:
    for node in source.nodes:
        match node:
            case ast.ExceptHandler(type=None):
                yield node.lineno, "a bare except; name what you expect"
            case ast.ExceptHandler(type=ast.expr() as caught, body=body):
                if not is_broad(caught) or has_raise(body) or goes_on(source, caught):
                    continue
                yield (
                    node.lineno,
                    "a broad except that goes on; name what you expect, raise, "
                    "or end the line with `# Goes on: <reason>`",
                )
            case ast.Call(func=function, args=args):
                if name_of(function) != "suppress" or goes_on(source, node):
                    continue
                if any(is_broad(argument) for argument in args):
                    yield (
                        node.lineno,
                        "suppresses everything; name what you expect, or end the "
                        "line with `# Goes on: <reason>`",
                    )


def modules_have_docstrings(source: Source) -> Iterator[Complaint]:
    if source.folder not in INNER_FOLDERS:
        return
    if len(source.lines) <= LINES_WITHOUT_DOCSTRING_MAX:
        return
    module = source.nodes[0]
    if isinstance(module, ast.Module) and ast.get_docstring(module) is None:
        yield 1, "no docstring; open with what the module is, and its rule"


def every_test_asserts(source: Source) -> Iterator[Complaint]:
    if source.folder != "tests":
        return
    for node in source.nodes:
        match node:
            case ast.Assert(test=ast.Constant(value=value)) if value:
                yield node.lineno, "asserts a constant; assert what must be true"
    for function in source.functions:
        if function.name.startswith("test_") and not is_asserting(function):
            yield (
                function.lineno,
                f"{function.name} asserts nothing; state the rule as an assert, "
                "pytest.raises or a call to check_*/assert_*/verify_*",
            )


def nothing_names_a_machine(source: Source) -> Iterator[Complaint]:
    for number, line in enumerate(source.lines, start=1):
        if MACHINE_PATH.search(line):
            yield number, "a path of somebody's machine; make it relative"
        if REGISTRY.search(line):
            yield number, "a package registry; leave the choice to the reader's pip"


# What the rules ask of the syntax tree.


def top(module: str) -> str:
    return module.partition(".")[0]


def name_of(node: ast.AST) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def is_broad(caught: ast.expr) -> bool:
    several = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(name_of(one) in BROAD for one in several)


def has_raise(body: list[ast.stmt]) -> bool:
    return any(isinstance(node, ast.Raise) for stmt in body for node in ast.walk(stmt))


def goes_on(source: Source, node: ast.expr) -> bool:
    last_line = source.lines[(node.end_lineno or node.lineno) - 1]
    return GOES_ON.search(last_line) is not None


def is_asserting(function: ast.AST) -> bool:
    for node in ast.walk(function):
        match node:
            case ast.Assert():
                return True
            case ast.Call(func=called):
                name = name_of(called).lstrip("_")
                if name.startswith(("check", "assert", "verify")):
                    return True
                if name in ("raises", "warns", "fail"):
                    return True
    return False


# The tree.


@cache
def python_sources() -> list[Source]:
    paths = [path for name in FOLDERS for path in sorted((ROOT / name).rglob("*.py"))]
    return [read(path) for path in paths]


@cache
def kept_sources() -> list[Source]:
    """Return what git tracks or would track, so that a new file is seen in time."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listing.returncode != 0:
        pytest.skip("not a git checkout, so nothing is tracked")
    paths = [ROOT / name for name in sorted(listing.stdout.decode().split("\0")[:-1])]
    return [read(path) for path in paths if is_text_to_read(path)]


def is_text_to_read(path: Path) -> bool:
    return path.is_file() and path.stat().st_size <= TEXT_BYTES_MAX


def read(path: Path) -> Source:
    text = path.read_text(encoding="utf-8", errors="replace")
    return Source(path=path.relative_to(ROOT).as_posix(), text=text)


def complaints(rule: Rule, sources: list[Source]) -> list[str]:
    return [
        f"{source.path}:{line}: {what}"
        for source in sources
        for line, what in rule(source)
    ]


PYTHON_RULES: tuple[Rule, ...] = (
    functions_are_short,
    money_is_integer,
    the_processor_is_pure,
    imports_point_one_way,
    only_actors_import_ray,
    only_loadtest_imports_locust,
    names_say_what_is_inside,
    broad_excepts_say_why,
    modules_have_docstrings,
    every_test_asserts,
)

LONG = "def f():\n" + "    x = 1\n" * FUNCTION_LINES_MAX
LONGEST = LONG.removesuffix("    x = 1\n")
CATCHING = "try:\n    f()\nexcept {}\n    g()\n"
SEVERAL = CATCHING.format("(OSError, BaseException) as error:")
NO_REASON = CATCHING.format("Exception:  # Goes on:")
REASON = CATCHING.format("Exception:  # Goes on: the caller is gone.")
RAISING = CATCHING.format("Exception:").replace("g()", "raise")
RAISES = "def test_a():\n    with pytest.raises(E): f()"
LOCAL_PATHS = "http://localhost:8080/home/page and ./wo" + "rk/x"


SEEN_TO_FAIL: tuple[tuple[Rule, str, str], ...] = (
    (functions_are_short, "gateway/a.py", LONG),
    (functions_are_short, "tests/test_a.py", "async " + LONG),
    (money_is_integer, "processor/a.py", "x = 0.5"),
    (money_is_integer, "processor/a.py", "x = float(y)"),
    (money_is_integer, "processor/a.py", "x = y / 2"),
    (money_is_integer, "processor/a.py", "x /= 2"),
    (the_processor_is_pure, "processor/a.py", "import os.path"),
    (the_processor_is_pure, "processor/a.py", "from time import monotonic"),
    (the_processor_is_pure, "processor/a.py", "async def f(): ..."),
    (the_processor_is_pure, "processor/a.py", "x = datetime.datetime.now(UTC)"),
    (the_processor_is_pure, "processor/a.py", "x = date.today()"),
    (the_processor_is_pure, JOURNAL, "import time"),
    (the_processor_is_pure, JOURNAL, "import ray"),
    (the_processor_is_pure, STORAGE + "a.py", "import random"),
    (imports_point_one_way, "processor/a.py", "from actors.shard import Shard"),
    (imports_point_one_way, "processor/a.py", "def f():\n    import gateway.http"),
    (imports_point_one_way, "actors/a.py", "from gateway import cli"),
    (imports_point_one_way, "gateway/a.py", "import tests.unit"),
    (only_actors_import_ray, "gateway/a.py", "from ray.actor import ActorHandle"),
    (only_actors_import_ray, "benchmarks/a.py", "import ray"),
    (only_loadtest_imports_locust, "tests/test_a.py", "import locust"),
    (names_say_what_is_inside, "gateway/utils.py", ""),
    (names_say_what_is_inside, "tests/unit/journal_helpers.py", ""),
    (names_say_what_is_inside, "processor/data.py", ""),
    (names_say_what_is_inside, "actors/common/shard.py", ""),
    (broad_excepts_say_why, "actors/a.py", "try: f()\nexcept: g()"),
    (broad_excepts_say_why, "actors/a.py", CATCHING.format("Exception:")),
    (broad_excepts_say_why, "actors/a.py", SEVERAL),
    (broad_excepts_say_why, "actors/a.py", NO_REASON),
    (broad_excepts_say_why, "actors/a.py", "with suppress(Exception): f()"),
    (modules_have_docstrings, "gateway/a.py", "x = 1\n" * 21),
    (every_test_asserts, "tests/test_a.py", "def test_a():\n    assert True"),
    (every_test_asserts, "tests/test_a.py", "async def test_a():\n    await f()"),
    (nothing_names_a_machine, "README.md", "see /ho" + "me/someone/notes"),
    (nothing_names_a_machine, "Makefile", "PYTHON = /ro" + "ot/.py" + "env/bin/python"),
    (nothing_names_a_machine, "requirements.lock", "--index" + "-url x"),
    (nothing_names_a_machine, "README.md", "from files.python" + "hosted.org"),
)

SEEN_TO_PASS: tuple[tuple[Rule, str, str], ...] = (
    (functions_are_short, "gateway/a.py", LONGEST),
    (money_is_integer, "gateway/a.py", "x = y / 2.0"),
    (money_is_integer, "processor/a.py", "x = y // 2"),
    (the_processor_is_pure, "processor/a.py", "x = date(2026, 1, 1) + DAY"),
    (the_processor_is_pure, "processor/a.py", "from datetime import date"),
    (the_processor_is_pure, JOURNAL, "import os\nasync def f(): await g()"),
    (the_processor_is_pure, STORAGE + "a.py", "import os\nasync def f(): await g()"),
    (the_processor_is_pure, "actors/a.py", "import time\nasync def f(): ..."),
    (imports_point_one_way, "gateway/a.py", "import actors.shard, processor.rules"),
    (imports_point_one_way, "processor/a.py", "from . import gateway"),
    (only_actors_import_ray, "actors/a.py", "import ray"),
    (only_loadtest_imports_locust, "loadtest/a.py", "import locust"),
    (names_say_what_is_inside, "processor/reference_data.py", ""),
    (broad_excepts_say_why, "actors/a.py", RAISING),
    (broad_excepts_say_why, "actors/a.py", REASON),
    (broad_excepts_say_why, "actors/a.py", CATCHING.format("OSError:")),
    (broad_excepts_say_why, "actors/a.py", "with suppress(OSError): f()"),
    (modules_have_docstrings, "gateway/a.py", '"""A."""\n' + "x = 1\n" * 21),
    (modules_have_docstrings, "gateway/a.py", "x = 1\n" * 20),
    (every_test_asserts, "tests/test_a.py", "def test_a():\n    assert x == 1"),
    (every_test_asserts, "tests/test_a.py", "def test_a():\n    check_books(x)"),
    (every_test_asserts, "tests/test_a.py", RAISES),
    (nothing_names_a_machine, "README.md", LOCAL_PATHS),
)


# The tests.


@pytest.mark.parametrize("rule", PYTHON_RULES)
def test_the_code_keeps_the_rule(rule: Rule) -> None:
    assert [] == complaints(rule, python_sources())


def test_no_kept_file_names_a_machine_or_a_package_registry() -> None:
    assert [] == complaints(nothing_names_a_machine, kept_sources())


@pytest.mark.parametrize(("rule", "path", "snippet"), SEEN_TO_FAIL)
def test_a_rule_refuses_what_it_is_for(rule: Rule, path: str, snippet: str) -> None:
    assert complaints(rule, [Source(path, snippet)])


@pytest.mark.parametrize(("rule", "path", "snippet"), SEEN_TO_PASS)
def test_a_rule_lets_a_near_miss_pass(rule: Rule, path: str, snippet: str) -> None:
    assert [] == complaints(rule, [Source(path, snippet)])


def test_every_rule_has_been_seen_to_fail() -> None:
    assert {*PYTHON_RULES, nothing_names_a_machine} == {row[0] for row in SEEN_TO_FAIL}
