"""The same stories over HTTP, on one `forebay serve` that all of them share.

They are played one after the other, then the server is stopped, and the rows
are read from its journals.
"""

import contextlib

import pytest

from tests.processes import check_verified, running_server
from tests.scenarios.over_http import OPTIONS, HttpStage, ledger_in
from tests.scenarios.player import Play, check_rows, play
from tests.scenarios.reader import chapters
from tests.scenarios.story import Story

STORIES = [story for chapter in chapters() for story in chapter]
PLAYABLE = [story for story in STORIES if not story.core_only]


@pytest.fixture(scope="module")
def plays(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Play]:
    """Every story that was selected, played and checked, by its name."""
    data_dir = tmp_path_factory.mktemp("book") / "data"
    selected = {item.name for item in request.session.items}
    with running_server(data_dir, *OPTIONS) as server:
        with contextlib.closing(HttpStage(server)) as stage:
            going = [
                play(story, stage)
                for story in PLAYABLE
                if any(f"[{story.name}]" in name for name in selected)
            ]
        assert server.terminate() == 0
    ledger = ledger_in(data_dir)
    for one in going:
        check_rows(one, ledger, is_alone=False)
    check_verified(data_dir)
    return {one.story.name: one for one in going}


@pytest.mark.parametrize("story", PLAYABLE, ids=lambda story: story.name)
def test_a_server_tells_the_same_story(story: Story, plays: dict[str, Play]) -> None:
    going = plays[story.name]

    assert "" == going.report, f"\n{going.report}"
