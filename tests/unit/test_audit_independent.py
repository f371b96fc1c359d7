"""The audit is a second calculation: it may not borrow from the first."""

import ast
from pathlib import Path

import pytest

import processor.audit

FOLDER = Path(processor.audit.__file__).parent
# What says what is asked and what happened, and in which words (of pools: their
# names): no rule, no state.
WORDS = {
    "audit",
    "commands",
    "declines",
    "events",
    "ids",
    "journal",
    "limits",
    "pools",
    "records",
    "terms",
}
# Where objects lie while nobody asks for them; what they mean is not known there.
# That none is lost is seen by the sums over all objects, which the ledger must meet.
ROOM = {"paged", "scratch"}
# Only who holds both readings against each other may look at the other one.
BESIDE = {"recovery", "settlement_state", "state"}


def imported(path: Path) -> set[str]:
    """The modules of `processor` that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "processor":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parts = (node.module or "").split(".")
            found |= {parts[1]} if parts[0] == "processor" else set()
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            found |= {parts[1] for parts in names if parts[0] == "processor"}
    return found


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda p: p.stem)
def test_the_audit_uses_neither_the_rules_nor_apply(path: Path) -> None:
    allowed = WORDS | ROOM | (BESIDE if path.stem in ("compare", "verdict") else set())

    assert imported(path) - allowed == set()
