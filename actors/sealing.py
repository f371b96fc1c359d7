"""A cut through all journals at which nobody knows more than the others do.

Settlement stands still while every shard seals what its journal has.  Nothing
is sent by it meanwhile, so no shard has received anything that settlement's
sealed segments do not have; and what settlement has recorded of a shard was
durable there before it was told, so the shard's sealed segments have it.  Put
back together, each journal is as far as the others say it is.

The shards go on all the while; only who needs something of settlement waits, for
as long as sealing takes.  Settlement goes on by itself if nobody tells it to.
"""

import asyncio
from typing import Any

from ray.exceptions import RayActorError, RayTaskError

from actors.cuts import SealedCut, SealedJournal
from actors.nodes import NothingDone
from processor.chain import Point

STAND_STILL_SECONDS_MAX = 5.0


async def seal_all(cluster_id: str, nodes: dict[str, Any]) -> SealedCut:
    """Seal every journal at one cut; settlement is among the nodes by that name.

    Raises NothingDone when a node cannot be reached or takes too long; what was
    sealed until then does no harm.
    """
    settlement = nodes["settlement"]
    shards = {name: actor for name, actor in nodes.items() if name != "settlement"}
    try:
        await asyncio.gather(*(a.prepare_segment.remote() for a in nodes.values()))
        first = await settlement.seal_and_stand_still.remote(STAND_STILL_SECONDS_MAX)
        try:
            sealed = await asyncio.gather(*(a.seal.remote() for a in shards.values()))
        finally:
            stood_still_ms = await settlement.go_on.remote()
    except (RayActorError, RayTaskError) as error:
        raise NothingDone(f"a node failed: {str(error).splitlines()[0]}") from error
    if stood_still_ms is None:
        raise NothingDone("the shards took too long to seal their journals")
    journals = [_sealed("settlement", *first)]
    journals += [
        _sealed(name, *found) for name, found in zip(shards, sealed, strict=True)
    ]
    return SealedCut(cluster_id, journals, stood_still_ms)


def _sealed(name: str, point: Point, segments: int) -> SealedJournal:
    return SealedJournal(name, segments, point.sequence, point.chain.hex())
