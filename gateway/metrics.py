"""What /metrics shows: cheap counters, turned into Prometheus' form when asked.

The hot path adds to plain integers; nothing here may take a lock, build a
label or parse an answer beyond its first bytes while a caller waits.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from actors.runner import Statistics
from gateway.problems import KINDS
from processor.declines import DeclineReason

BUCKETS_SECONDS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0,
)  # fmt: skip
_DECLINED = b'{"status":"declined","reason":"'
_REASON_AT = len(_DECLINED)


class RouteCounters:
    """What one route was asked and answered, and how long it took."""

    __slots__ = (
        *("buckets", "declined", "refused", "replayed", "route", "total_seconds"),
        "unread",
    )

    def __init__(self, route: str) -> None:
        self.route = route
        self.buckets = [0] * (len(BUCKETS_SECONDS) + 1)
        self.total_seconds = 0.0
        self.declined: dict[bytes, int] = {}
        self.refused: dict[str, int] = {}
        self.replayed = 0
        self.unread = 0

    def took(self, seconds: float) -> None:
        """Count one request that was read by how long it took, whatever came of it."""
        self.buckets[bisect_left(BUCKETS_SECONDS, seconds)] += 1
        self.total_seconds += seconds

    def answered(self, is_replay: bool, body: bytes) -> None:
        """Count what an answer is; approved is all that is counted nowhere else."""
        if is_replay:
            self.replayed += 1
        if body.startswith(_DECLINED):
            reason = body[_REASON_AT : body.index(b'"', _REASON_AT)]
            self.declined[reason] = self.declined.get(reason, 0) + 1

    def was_refused(self, slug: str) -> None:
        """Count one problem."""
        self.refused[slug] = self.refused.get(slug, 0) + 1

    def was_sent_away(self, slug: str) -> None:
        """Count one that was not read: how long it took, nothing is known of."""
        self.unread += 1
        self.was_refused(slug)

    def outcomes(self, total: int) -> Iterable[tuple[str, int]]:
        """Outcome and count; `total` is how many there were in all."""
        declined = sum(self.declined.values())
        yield "answered", total - declined - sum(self.refused.values())
        if declined:
            yield "declined", declined
        yield from sorted(self.refused.items())


class Counters:
    """Every route's counters, and those of the commands inside bulk requests."""

    def __init__(self) -> None:
        self.routes: dict[str, RouteCounters] = {}
        self.bulk_commands = RouteCounters("bulk")
        self.bulk_commands_total = 0

    def of(self, route: str) -> RouteCounters:
        """The counters of a route, by its path's template."""
        return self.routes.setdefault(route, RouteCounters(route))


class GatewayCollector(Collector):
    """One reading of the counters, and of what the nodes said of themselves."""

    def __init__(
        self,
        counters: Counters,
        in_flight: int,
        ready: bool,
        nodes: Sequence[Statistics],
        load: Iterable[Metric] = (),
    ) -> None:
        self._counters = counters
        self._in_flight = in_flight
        self._ready = ready
        self._nodes = nodes
        self._load = load

    def collect(self) -> Iterable[Metric]:
        """Every family, in a fixed order."""
        yield self._requests()
        yield self._durations()
        yield self._problems()
        yield self._bulk()
        yield self._declines()
        yield self._replays()
        yield GaugeMetricFamily(
            "forebay_gateway_commands_in_flight",
            "Commands that wait for their answer.",
            self._in_flight,
        )
        yield GaugeMetricFamily(
            "forebay_gateway_ready", "Whether /readyz says yes.", int(self._ready)
        )
        yield from self._load
        yield from _node_families(self._nodes)

    def _all(self) -> list[RouteCounters]:
        return [*self._counters.routes.values(), self._counters.bulk_commands]

    def _requests(self) -> Metric:
        family = CounterMetricFamily(
            "forebay_gateway_requests",
            "Requests by route and outcome; a problem is counted by its type.",
            labels=("route", "outcome"),
        )
        for counters in self._counters.routes.values():
            total = sum(counters.buckets) + counters.unread
            for outcome, count in counters.outcomes(total):
                family.add_metric((counters.route, outcome), count)
        return family

    def _problems(self) -> Metric:
        family = CounterMetricFamily(
            "forebay_gateway_problems", "Problems answered, by type.", labels=("type",)
        )
        for kind in KINDS:
            count = sum(counters.refused.get(kind.slug, 0) for counters in self._all())
            family.add_metric((kind.slug,), count)
        return family

    def _durations(self) -> Metric:
        family = HistogramMetricFamily(
            "forebay_gateway_request_duration_seconds",
            "From the last header to the answer, by route; of what was read.",
            labels=("route",),
        )
        bounds = [*map(str, BUCKETS_SECONDS), "+Inf"]
        for counters in self._counters.routes.values():
            family.add_metric(
                (counters.route,),
                _cumulative(bounds, counters.buckets),
                counters.total_seconds,
            )
        return family

    def _bulk(self) -> Metric:
        family = CounterMetricFamily(
            "forebay_gateway_bulk_commands",
            "Commands inside bulk requests by outcome.",
            labels=("outcome",),
        )
        total = self._counters.bulk_commands_total
        for outcome, count in self._counters.bulk_commands.outcomes(total):
            family.add_metric((outcome,), count)
        return family

    def _declines(self) -> Metric:
        family = CounterMetricFamily(
            "forebay_gateway_declines",
            "Commands declined by reason, bulk included.",
            labels=("reason",),
        )
        # All there are: of what was never seen nothing can be said to have grown.
        reasons = {reason.encode(): 0 for reason in DeclineReason}
        for counters in self._all():
            for reason, count in counters.declined.items():
                reasons[reason] = reasons.get(reason, 0) + count
        for reason, count in sorted(reasons.items()):
            family.add_metric((reason.decode(),), count)
        return family

    def _replays(self) -> Metric:
        return CounterMetricFamily(
            "forebay_gateway_replays",
            "Answers that had been given before under the same key.",
            sum(counters.replayed for counters in self._all()),
        )


def _cumulative(bounds: list[str], counts: list[int]) -> list[tuple[str, float]]:
    buckets: list[tuple[str, float]] = []
    total = 0
    for bound, count in zip(bounds, counts, strict=True):
        total += count
        buckets.append((bound, float(total)))
    return buckets


_NODE_GAUGES = {
    "epoch": "The epoch of the node's journal: how often it was started.",
    "sequence": "The last record of the node's journal.",
    "inbox": "Messages that wait to be worked off.",
    "remembered": "Request ids whose answers are kept.",
    "parked": "Commands that wait for reserve.",
    "accounts": "Accounts on the shard.",
    "batch_records_max": "The most records in one batch since the node started.",
    "append_seconds_max": "The longest append to the journal since it started.",
    "reading_seconds_max": "The longest it has read entries without a pause.",
    "sealed_sequence": "The last record in a sealed segment of the journal.",
    "rotation_seconds_max": "The longest a change of segments has held a step up.",
}
_NODE_COUNTERS = {
    "batches": "Batches appended to the journal since the node started.",
    "records": "Records appended to the journal since the node started.",
    "append_seconds": "Time spent appending to the journal since it started.",
    "readings": "Pages of entries read since the node started.",
    "reading_seconds": "Time spent reading entries since the node started.",
    "rotations": "Segments of the journal sealed since the node started.",
}
# What its supervisor counts: told of a node that does not answer, too.
_LIFE_COUNTERS = {
    "deaths": "Lives of the node that ended since the server started.",
    "silences": "Of these, those it was killed in because it was silent.",
}


def _node_families(nodes: Sequence[Statistics]) -> Iterable[Metric]:
    """What the nodes tell of themselves, and what is known of all of them."""
    up = [node for node in nodes if node.pid]
    for name, what in _NODE_GAUGES.items():
        yield _gauge(name, what, {n.name: getattr(n, name) for n in up})
    for name, what in _NODE_COUNTERS.items():
        yield _counter(name, what, {n.name: getattr(n, name) for n in up})
    for name, what in _LIFE_COUNTERS.items():
        yield _counter(name, what, {n.name: getattr(n, name) for n in nodes})
    answers = {node.name: int(node.pid > 0) for node in nodes}
    yield _gauge("up", "Whether the node answers.", answers)
    refused = {node.name: int(bool(node.refused)) for node in nodes}
    yield _gauge("refused", "Whether it cannot start; /v1/status says why.", refused)


def _gauge(name: str, what: str, values: Mapping[str, float]) -> Metric:
    gauge = GaugeMetricFamily(f"forebay_node_{name}", what, labels=("node",))
    for node, value in values.items():
        gauge.add_metric((node,), value)
    return gauge


def _counter(name: str, what: str, values: Mapping[str, float]) -> Metric:
    counter = CounterMetricFamily(f"forebay_node_{name}", what, labels=("node",))
    for node, value in values.items():
        counter.add_metric((node,), value)
    return counter


def exposition(collector: GatewayCollector) -> bytes:
    """The text that Prometheus reads."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    return generate_latest(registry)
