"""The audit of a running system, in a process of its own.

Takes a cut: a moment at which every node's journal ends where its state does
and nothing moves.  Then it reads every row up to the cut through the owners of
the journals (nobody else may open them), folds each twice, and compares the
result with the fingerprints the live nodes gave of themselves at the cut.

A system under load has no such moment; then the audit says so and does not
guess.  `forebay verify` audits the files of a stopped one.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import ray

from processor.audit.verdict import Verdict, Verification
from processor.journal import Batch
from processor.recovery import digest_of
from processor.storage.scratch_files import FileScratch

_ROWS_PER_READ = 64
_TRIES_MAX = 50
_TRY_AGAIN_SECONDS = 0.1


class TooBusy(Exception):
    """The system did not hold still for a moment; nothing was audited."""


class Cut(msgspec.Struct):
    """One node at the moment of the cut."""

    name: str
    sequence: int
    digest: str


async def take_cut(nodes: dict[str, Any]) -> list[Cut]:
    """A moment at which no node's journal grew.  Raises TooBusy."""
    for _ in range(_TRIES_MAX):
        found = await asyncio.gather(*(a.digest.remote() for a in nodes.values()))
        again = await asyncio.gather(*(a.sequence.remote() for a in nodes.values()))
        if [sequence for sequence, _ in found] == again:
            return [
                Cut(name, sequence, digest)
                for name, (sequence, digest) in zip(nodes, found, strict=True)
            ]
        await asyncio.sleep(_TRY_AGAIN_SECONDS)
    raise TooBusy("requests keep coming in; audit when it is quiet, or offline")


async def rows(actor: Any, last_sequence: int) -> AsyncIterator[Batch]:
    """A node's journal rows from the first to a sequence."""
    after = 0
    while after < last_sequence:
        for row in await actor.read_rows.remote(after, _ROWS_PER_READ):
            if row.first_sequence > last_sequence:
                return
            yield row
            after = row.last_sequence


class Auditor:
    """An actor that lives for one audit."""

    @ray.method
    async def audit(self, nodes: dict[str, Any], keep_ms: int) -> Verdict:
        """Audit the nodes by name, settlement first.  Raises TooBusy.

        `keep_ms` is the shortest time for which answers were ever kept.
        """
        cuts = await take_cut(nodes)
        identities = await asyncio.gather(
            *(actor.identity.remote() for actor in nodes.values())
        )
        with TemporaryDirectory() as directory:
            scratch = FileScratch(Path(directory))
            verification = Verification(
                identities[0], list(identities[1:]), keep_ms, scratch
            )
            return await self._verdict(nodes, cuts, verification)

    async def _verdict(
        self, nodes: dict[str, Any], cuts: list[Cut], verification: Verification
    ) -> Verdict:
        journals = [verification.settlement, *verification.shards]
        unlike: list[str] = []
        for cut, journal in zip(cuts, journals, strict=True):
            async for row in rows(nodes[cut.name], cut.sequence):
                journal.batch(row)
            if journal is verification.settlement:
                verification.settlement_is_read()
            if digest_of(journal.state) != cut.digest:
                unlike.append(
                    f"{cut.name}: the running state at record {cut.sequence} is not "
                    "what its journal replays to."
                )
        verdict = verification.verdict()
        verdict.replay_differences += unlike
        return verdict
