"""`python -m tests.scenarios`: what an author needs.

show FILE   the file with the answers and rows that really came
page        write the documentation page anew
untold      commands, readings and reasons that no story tells
"""

import sys
from pathlib import Path

from gateway.calculations import CALCULATIONS
from gateway.routes import COMMAND_ROUTES, QUERY_ROUTES, SAGA_ROUTES
from processor.declines import DeclineReason
from tests.scenarios.page import PAGE, page
from tests.scenarios.printed import printed
from tests.scenarios.reader import chapters
from tests.scenarios.sentences import calculation_name
from tests.scenarios.story import Closings, Misread, Reading, Wish, WorkingOut


def main(arguments: list[str]) -> int:
    """One command; the exit code."""
    try:
        match arguments:
            case ["show", file]:
                print(printed(Path(file)), end="")
            case ["page"]:
                PAGE.write_text(page())
            case ["untold"]:
                print("\n".join(untold()))
            case _:
                print(__doc__, file=sys.stderr)
                return 2
    except Misread as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def untold() -> list[str]:
    """What the API has and the book has not."""
    told: set[str] = set()
    for chapter in chapters():
        for story in chapter:
            for premise in story.given.premises:
                told |= {wish.route.command.wire_name() for wish in premise.wishes}
            for step in story.steps:
                if isinstance(step.deed, Wish):
                    told.add(step.deed.route.command.wire_name())
                elif isinstance(step.deed, Reading):
                    told.add(f"read {step.deed.route.kind}")
                elif isinstance(step.deed, WorkingOut):
                    told.add(calculation_name(step.deed.calculation))
                if isinstance(step.deed, Closings):
                    told.add(step.deed.close.command.wire_name())
                told |= {x.value for x in step.expected if x.words == "reason"}
    routes = (*COMMAND_ROUTES, *SAGA_ROUTES)
    offered = [route.command.wire_name() for route in routes]
    offered += [f"read {route.kind}" for route in QUERY_ROUTES]
    offered += [calculation_name(one) for one in CALCULATIONS]
    offered += [reason.value for reason in DeclineReason]
    return [name for name in offered if name not in told]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
