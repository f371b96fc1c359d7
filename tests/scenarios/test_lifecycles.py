"""The lifecycles in the design document are those that the stories live."""

from pathlib import Path

from tests.scenarios.lifecycles import table

DESIGN = Path(__file__).parents[2] / "processor" / "DESIGN.md"


def test_the_document_has_every_step_of_every_object_and_no_other() -> None:
    assert table() in DESIGN.read_text(), "run `python -m tests.scenarios.lifecycles`"
