"""Every story of the book, played in the core: answers, rows, and the audit."""

import pytest

from tests.scenarios.in_core import CoreStage
from tests.scenarios.player import check_rows, play
from tests.scenarios.reader import chapters
from tests.scenarios.story import Story

STORIES = [story for chapter in chapters() for story in chapter]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_the_core_tells_the_same_story(story: Story) -> None:
    stage = CoreStage()
    going = play(story, stage)
    check_rows(going, stage.ledger(), is_alone=True)

    assert "" == going.report, f"\n{going.report}"
