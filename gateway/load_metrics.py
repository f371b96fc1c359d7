"""What the metrics say of load: whose commands, what waits where, who was sent away.

Read off when they are asked for; nothing is counted here.
"""

from collections.abc import Iterable, Mapping

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from actors.backlog import WAIT_BUCKETS_SECONDS
from gateway.connections import Connections
from gateway.ports import Backlog, Sender

_BOUNDS = [*map(str, WAIT_BUCKETS_SECONDS), "+Inf"]


def load_families(
    senders: Mapping[str, Sender],
    backlogs: Mapping[str, Backlog],
    connections: Connections,
) -> Iterable[Metric]:
    """Every family, in a fixed order."""
    yield from _of_senders(senders)
    yield from _of_nodes(backlogs)
    yield GaugeMetricFamily(
        "forebay_gateway_connections", "Connections of clients.", len(connections)
    )
    hung_up = CounterMetricFamily(
        "forebay_gateway_hung_up",
        "Connections that were hung up on, by reason.",
        labels=("reason",),
    )
    for reason, count in sorted(connections.hung_up.items()):
        hung_up.add_metric((reason,), count)
    yield hung_up


def _of_senders(senders: Mapping[str, Sender]) -> Iterable[Metric]:
    in_flight = GaugeMetricFamily(
        "forebay_gateway_key_commands_in_flight",
        "Commands that wait for their answer, by API key.",
        labels=("key",),
    )
    admitted = CounterMetricFamily(
        "forebay_gateway_admitted",
        "Commands that were sent on to a node, by API key.",
        labels=("key",),
    )
    rejected = CounterMetricFamily(
        "forebay_gateway_rejected",
        "Commands that were sent away for load or time, by API key and reason.",
        labels=("key", "reason"),
    )
    for key, sender in senders.items():
        in_flight.add_metric((key,), sender.in_flight)
        admitted.add_metric((key,), sender.admitted)
        for reason, count in sorted(sender.refused.items()):
            rejected.add_metric((key, reason), count)
    return in_flight, admitted, rejected


def _of_nodes(backlogs: Mapping[str, Backlog]) -> Iterable[Metric]:
    waiting = GaugeMetricFamily(
        "forebay_gateway_node_waiting",
        "Commands and queries that a node has not come to yet.",
        labels=("node",),
    )
    limit = GaugeMetricFamily(
        "forebay_gateway_node_limit",
        "How many may wait for a node, as measured.",
        labels=("node",),
    )
    waits = HistogramMetricFamily(
        "forebay_gateway_node_wait_seconds",
        "From sending to a node to its answer; one command at a time is a sample.",
        labels=("node",),
    )
    for node, backlog in backlogs.items():
        waiting.add_metric((node,), backlog.waiting)
        limit.add_metric((node,), backlog.limit)
        buckets, total = [], 0
        for bound, count in zip(_BOUNDS, backlog.wait_buckets, strict=True):
            total += count
            buckets.append((bound, float(total)))
        waits.add_metric((node,), buckets, backlog.wait_seconds_total)
    return waiting, limit, waits
