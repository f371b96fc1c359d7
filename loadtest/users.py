"""Locust users: each has its own accounts, its own timeline, and its own books.

Open loop: a request starts when it was meant to, or late, and its latency
counts from when it was meant to.  Locust's first name for a request (its command)
has the time of the exchange alone; the second ("… from intended start") has
what a customer would have waited.

What nobody answered is sent again under the same key until somebody does; if
nobody does, the account is left alone and the reconciliation asks.
"""

import time
from itertools import count
from typing import Any, ClassVar

import gevent
import msgspec
from locust import FastHttpUser, task

from loadtest.expected import Expected
from loadtest.plan import Plan
from loadtest.record import Answered, Dropped, RecordWriter, Sent
from loadtest.timeline import Timeline
from loadtest.wire import request_of
from loadtest.wishes import Answer, Kind, Wish
from loadtest.workload import Workload

_SENDINGS_MAX = 6
_AGAIN_SECONDS = (0.05, 0.2, 0.5, 1.0, 2.0)
_JSON = "application/json"


class Customer(FastHttpUser):
    """One client of the processor."""

    # Set once by the locustfile, before the first user starts.
    plan: ClassVar[Plan]
    record: ClassVar[RecordWriter]
    began_s: ClassVar[float]

    _numbers: ClassVar["count[int]"] = count()

    connection_timeout = 5.0
    network_timeout = 15.0  # The server gives up waiting after ten.

    def on_start(self) -> None:
        number = next(self._numbers)
        plan = self.plan
        name = plan.user_names[number]
        self._expected = Expected(plan.lots[number])
        self._workload = Workload(plan.seed, name, self._expected, plan.merchants)
        self._timeline = Timeline(plan.seed, name, plan.per_second / plan.users)
        self._headers = {
            "Authorization": f"Bearer {plan.key}",
            "Content-Type": _JSON,
        }

    @task
    def live(self) -> None:
        """One slot of the timeline: wait for it, then carry out a wish."""
        intended_s, dropped = self._timeline.take(self._now_s())
        if dropped:
            self.record.write(Dropped(dropped))
        if intended_s >= self.plan.seconds:
            gevent.sleep(0.2)  # Nothing more to do; Locust ends it.
            return
        gevent.sleep(max(0.0, intended_s - self._now_s()))
        self._carry_out(self._workload.next_wish(), intended_s)

    def _now_s(self) -> float:
        return time.monotonic() - self.began_s

    def _carry_out(self, wish: Wish, intended_s: float) -> None:
        self.record.write(Sent(wish))
        started_s = self._now_s()
        uncertain = False
        for sending in range(1, _SENDINGS_MAX + 1):
            answer, beside = self._send(wish)
            if not (answer.is_unknown or answer.is_not_done):
                break
            uncertain |= answer.is_unknown
            gevent.sleep(_AGAIN_SECONDS[min(sending, len(_AGAIN_SECONDS)) - 1])
        else:
            self._expected.disputed.add(wish.account_id)
            return
        ended_s = self._now_s()
        # A lone answer to two sendings: the other may have been the first.
        uncertain |= wish.kind is Kind.BESIDE and beside is None
        self.record.write(
            Answered(
                wish.number,
                answer,
                beside,
                uncertain,
                sending,
                intended_s,
                started_s,
                ended_s,
            )
        )
        self._tell(wish, self._judged(wish, answer, beside, uncertain), intended_s)

    def _judged(
        self, wish: Wish, answer: Answer, beside: Answer | None, uncertain: bool
    ) -> list[str]:
        if beside is not None and not uncertain:
            return self._expected.judge_pair(wish, answer, beside)
        return self._expected.judge(wish, answer, uncertain=uncertain)

    def _send(self, wish: Wish) -> tuple[Answer, Answer | None]:
        """The answer, and the other one when it was sent twice and both came."""
        if wish.kind is not Kind.BESIDE:
            return self._exchange(wish), None
        other = gevent.spawn(self._exchange, wish)
        one, two = self._exchange(wish), other.get()
        if one.is_decided and two.is_decided:
            return one, two
        return (one, None) if one.is_decided else (two, None)

    def _exchange(self, wish: Wish) -> Answer:
        method, path, body = request_of(wish)
        headers = dict(self._headers)
        if wish.request_id:
            headers["Idempotency-Key"] = wish.request_id
        data = None if body is None else msgspec.json.encode(body)
        with self.client.request(
            method,
            path,
            name=wish.command,
            data=data,  # type: ignore[arg-type]  # Bytes are fine.
            headers=headers,
            catch_response=True,
        ) as response:
            answer = _answer_of(response)
            # Whether the answer is right is told under the second name.
            if answer.is_decided or answer.status == 422:
                response.success()
            else:
                response.failure(f"status {answer.status}")
        return answer

    def _tell(self, wish: Wish, complaints: list[str], intended_s: float) -> None:
        self.environment.events.request.fire(
            request_type="",
            name=f"{wish.command} from intended start",
            response_time=1_000 * (self._now_s() - intended_s),
            response_length=0,
            exception=AssertionError("; ".join(complaints)) if complaints else None,
            context={},
        )


def _answer_of(response: Any) -> Answer:
    is_replay = (response.headers or {}).get("Idempotency-Replayed") == "true"
    return Answer(response.status_code, is_replay, response.content or b"")
