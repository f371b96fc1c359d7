"""The crowd without a server: its wishes, its books, and what it notices."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.bodies import body_struct
from gateway.routes import COMMAND_ROUTES
from loadtest.expected import Expected
from loadtest.plan import Plan, make_plan, read_plan, write_plan
from loadtest.reconcile import Reconciliation, Report
from loadtest.record import Answered, RecordWriter, Sent
from loadtest.timeline import LATE_SECONDS_MAX, Timeline
from loadtest.wire import request_of
from loadtest.wishes import Answer, Kind, Wish
from loadtest.workload import WEIGHTS, Workload
from tests.unit.shard_for_wishes import ShardForWishes

SEED = 20_260_105
TICK_SECONDS = 0.02  # Between two wishes, so that what is left runs out.


class Crowd:
    """One user against one shard."""

    def __init__(self, seed: int, plan: Plan) -> None:
        (lots,) = plan.lots
        self.expected = Expected(lots)
        self.shard = ShardForWishes(plan.programs, plan.merchants, lots)
        (name,) = plan.user_names
        self._workload = Workload(seed, name, self.expected, plan.merchants)

    def exchanges(self, count: int) -> Iterator[tuple[Wish, Answer, Answer | None]]:
        """Wish, answer, and the second answer to what is sent twice."""
        for _ in range(count):
            self.shard.sleep(TICK_SECONDS)
            wish = self._workload.next_wish()
            answer = self.shard.grant(wish)
            beside = self.shard.grant(wish) if wish.kind is Kind.BESIDE else None
            yield wish, answer, beside

    def judged(self, count: int) -> Iterator[tuple[Wish, list[str]]]:
        """Wish, and what is wrong with its answer."""
        for wish, answer, beside in self.exchanges(count):
            if beside is None:
                yield wish, self.expected.judge(wish, answer)
            else:
                yield wish, self.expected.judge_pair(wish, answer, beside)


def plan_of(seed: int, record: Path = Path("unused")) -> Plan:
    return make_plan("http://127.0.0.1:1", "fb_key", seed, "t", 1, 5.0, 10.0, record)


def wishes_of(seed: int, count: int) -> list[Wish]:
    return [wish for wish, _ in Crowd(seed, plan_of(seed)).judged(count)]


def test_the_same_seed_makes_the_same_wishes() -> None:
    assert wishes_of(SEED, 1_000) == wishes_of(SEED, 1_000)


def test_another_seed_makes_other_wishes() -> None:
    assert wishes_of(SEED, 50) != wishes_of(SEED + 1, 50)


@pytest.mark.parametrize("seed", range(SEED, SEED + 5))
def test_the_processor_answers_every_wish_as_foreseen(seed: int) -> None:
    judged = list(Crowd(seed, plan_of(seed)).judged(4_000))
    assert [] == [(wish, wrong) for wish, wrong in judged if wrong], f"seed {seed}"


def test_every_element_of_the_mix_is_reached() -> None:
    assert set(WEIGHTS) == {wish.kind for wish in wishes_of(SEED, 4_000)}


def test_what_must_be_declined_is_declined_and_some_of_the_rest_is_too() -> None:
    reasons: dict[Kind, set[str]] = {}
    crowd = Crowd(SEED, plan_of(SEED))
    for wish, answer, _ in crowd.exchanges(4_000):
        crowd.expected.judge(wish, answer, uncertain=wish.kind is Kind.BESIDE)
        if wish.request_id and answer.is_decided:
            told = msgspec.json.decode(answer.body, type=dict[str, Any])
            reasons.setdefault(wish.kind, set()).add(told.get("reason", "approved"))
    assert {"capture_exceeds_authorized"} == reasons[Kind.OVER_CAPTURE]
    assert {"refund_exceeds_captured"} == reasons[Kind.OVER_REFUND]
    assert {"authorization_not_open"} == reasons[Kind.TOO_LATE]
    assert {"credit_limit_exceeded"} == reasons[Kind.OVER_LIMIT]
    assert {"account_not_found"} == reasons[Kind.NOBODY]
    assert {"approved", "credit_limit_exceeded"} == reasons[Kind.BUY]


def test_a_few_accounts_get_most_of_the_purchases() -> None:
    bought: dict[str, int] = {}
    for wish in wishes_of(SEED, 4_000):
        if wish.kind is Kind.BUY:
            bought[wish.account_id] = bought.get(wish.account_id, 0) + 1
    counts = sorted(bought.values(), reverse=True)
    assert 0.6 < sum(counts[:4]) / sum(counts) < 0.95  # Four of twenty.


# What the client's books notice.


def forgeries(answer: Answer) -> Iterator[Answer]:
    """The answer with one field wrong, missing or too much, each in turn."""
    told = msgspec.json.decode(answer.body, type=dict[str, Any])
    for name, value in told.items():
        yield forged(answer, {k: v for k, v in told.items() if k != name})
        yield forged(answer, told | {name: [value]})
        if type(value) is int and name != "expires_at_ms":
            yield forged(answer, told | {name: value + 10**9})
            yield forged(answer, told | {name: value - 10**9})
    yield forged(answer, told | {"surprise": 1})
    yield forged(answer, {"status": "approved"})
    yield forged(answer, {"status": "declined", "reason": "no", "transient": True})
    yield Answer(200, answer.is_replay, answer.body[:-1])
    yield Answer(201, answer.is_replay, answer.body)
    yield Answer(404, answer.is_replay, b"{}")


def forged(answer: Answer, told: dict[str, Any]) -> Answer:
    return Answer(answer.status, answer.is_replay, msgspec.json.encode(told))


def test_no_forged_answer_passes() -> None:
    crowd = Crowd(SEED, plan_of(SEED))
    tried: dict[Kind, int] = {}
    for wish, answer, beside in crowd.exchanges(1_500):
        if answer.is_decided and beside is None and tried.get(wish.kind, 0) < 3:
            tried[wish.kind] = tried.get(wish.kind, 0) + 1
            for wrong in forgeries(answer):
                books = copy.deepcopy(crowd.expected)
                assert books.judge(wish, wrong), f"{wish} passed with {wrong}"
        crowd.expected.judge(wish, answer, uncertain=beside is not None)
    assert set(WEIGHTS) - {Kind.BESIDE, Kind.CONFLICT} == set(tried)


def test_an_off_by_one_is_noticed_where_nothing_is_in_doubt() -> None:
    crowd = Crowd(SEED, plan_of(SEED))
    for wish, answer, _ in crowd.exchanges(50):
        if wish.kind is Kind.BUY:
            told = msgspec.json.decode(answer.body, type=dict[str, Any])
            told["open_to_buy_minor"] += 1
            break
        crowd.expected.judge(wish, answer, uncertain=True)
    complaints = crowd.expected.judge(wish, forged(answer, told))
    assert 1 == len(complaints)
    assert complaints[0].startswith("open_to_buy_minor is ")


def first_exchange(crowd: Crowd, kind: Kind) -> tuple[Wish, Answer, Answer | None]:
    for wish, answer, beside in crowd.exchanges(3_000):
        if wish.kind is kind:
            return wish, answer, beside
        crowd.expected.judge(wish, answer, uncertain=wish.kind is Kind.BESIDE)
    raise AssertionError(f"no {kind} in 3000 wishes of seed {SEED}")


def test_a_replay_must_be_marked_and_the_same_to_the_byte() -> None:
    crowd = Crowd(SEED, plan_of(SEED))
    wish, answer, _ = first_exchange(crowd, Kind.AGAIN)
    judge = crowd.expected.judge
    assert [] == judge(wish, answer)
    assert judge(wish, Answer(200, False, answer.body))
    assert judge(wish, Answer(200, True, answer.body + b" "))


def test_a_new_key_must_not_be_a_replay_unless_it_was_sent_before() -> None:
    crowd = Crowd(SEED, plan_of(SEED))
    wish, answer, _ = first_exchange(crowd, Kind.BUY)
    replayed = Answer(200, True, answer.body)
    books = copy.deepcopy(crowd.expected)
    assert ["a new key was answered as a replay"] == books.judge(wish, replayed)
    assert [] == crowd.expected.judge(wish, replayed, uncertain=True)


def test_a_key_sent_twice_at_once_must_be_carried_out_once() -> None:
    crowd = Crowd(SEED, plan_of(SEED))
    wish, one, other = first_exchange(crowd, Kind.BESIDE)
    assert other is not None
    twice = Answer(200, False, other.body)
    assert copy.deepcopy(crowd.expected).judge_pair(wish, one, twice)
    assert copy.deepcopy(crowd.expected).judge_pair(
        wish, one, Answer(200, True, other.body + b" ")
    )
    assert [] == copy.deepcopy(crowd.expected).judge_pair(wish, other, one)
    assert [] == crowd.expected.judge_pair(wish, one, other)


def test_a_conflict_must_be_refused_and_name_the_field() -> None:
    crowd = Crowd(SEED, plan_of(SEED))
    wish, answer, _ = first_exchange(crowd, Kind.CONFLICT)
    judge = crowd.expected.judge
    assert [] == judge(wish, answer)
    assert judge(wish, Answer(200, True, b'{"status":"approved"}'))
    wrong = answer.body.replace(b"amount_minor", b"merchant_id")
    assert judge(wish, Answer(422, False, wrong))
    assert judge(wish, Answer(422, False, b"{}"))


def test_an_id_must_not_be_given_twice() -> None:
    crowd = Crowd(SEED, plan_of(SEED))
    wish, answer, _ = first_exchange(crowd, Kind.BUY)
    assert [] == crowd.expected.judge(wish, answer)
    again, later, _ = first_exchange(crowd, Kind.BUY)
    same_id = msgspec.json.decode(later.body, type=dict[str, Any])
    first = msgspec.json.decode(answer.body, type=dict[str, Any])
    same_id["authorization_id"] = first["authorization_id"]
    assert crowd.expected.judge(again, forged(later, same_id))


def test_a_disputed_account_is_left_alone() -> None:
    crowd = Crowd(SEED, plan_of(SEED))
    wish, _, _ = first_exchange(crowd, Kind.BUY)
    crowd.expected.judge(wish, Answer(404))
    assert {wish.account_id} == crowd.expected.disputed
    later = [later for later, _ in crowd.judged(300) if later.kind is Kind.BUY]
    assert later
    assert wish.account_id not in {wish.account_id for wish in later}


# On the way to HTTP.


def test_every_wish_is_a_body_that_the_gateway_takes() -> None:
    structs = {
        route.path: body_struct(route.command, route.parameter)
        for route in COMMAND_ROUTES
    }
    for wish in wishes_of(SEED, 2_000):
        method, path, body = request_of(wish)
        if method == "GET":
            assert body is None
            continue
        parts = path.split("/")
        parameter = next((k for k in wish.fields if wish.fields[k] in parts), None)
        if parameter:
            path = path.replace(wish.fields[parameter], f"{{{parameter}}}")
        msgspec.json.decode(msgspec.json.encode(body), type=structs[path])


def test_a_timeline_keeps_its_rate_and_drops_what_is_too_late() -> None:
    timeline = Timeline(SEED, "u0", 100.0)
    taken = [timeline.take(0.0) for _ in range(1_000)]
    assert 0 == sum(dropped for _, dropped in taken)
    assert 8.5 < taken[-1][0] < 11.5
    now_s = taken[-1][0] + 60.0
    intended_s, dropped = timeline.take(now_s)
    assert now_s - LATE_SECONDS_MAX <= intended_s
    assert 5_000 < dropped < 6_600


def test_a_plan_is_read_as_it_was_written_and_only_by_its_owner(tmp_path: Path) -> None:
    plan = plan_of(SEED)
    write_plan(plan, tmp_path / "plan.json")
    assert plan == read_plan(tmp_path / "plan.json")
    assert 0o600 == (tmp_path / "plan.json").stat().st_mode & 0o777


# The reconciliation.


class Kept:
    """A crowd whose every exchange is written down, some answers excepted."""

    def __init__(self, record: Path, lost: frozenset[Kind]) -> None:
        self.plan = plan_of(SEED, record)
        self.crowd = Crowd(SEED, self.plan)
        self.lost_keys: set[str] = set()
        with RecordWriter(record) as writer:
            for wish, answer, beside in self.crowd.exchanges(600):
                writer.write(Sent(wish))
                if wish.kind in lost and not self.lost_keys:
                    self.lost_keys.add(wish.request_id)
                    self.crowd.expected.disputed.add(wish.account_id)
                    continue
                times = (0.0, 0.0, 0.001)
                entry = Answered(wish.number, answer, beside, False, 1, *times)
                writer.write(entry)
                if beside is None:
                    self.crowd.expected.judge(wish, answer)
                else:
                    self.crowd.expected.judge_pair(wish, answer, beside)

    def reconciled(self) -> Report:
        shard = self.crowd.shard
        return Reconciliation(self.plan, shard, shard.sleep).run()


def test_a_clean_record_reconciles(tmp_path: Path) -> None:
    report = Kept(tmp_path / "record", frozenset()).reconciled()
    assert [] == report.mismatches
    assert report.keys == report.approved + report.declined > 400
    assert 0 == report.unknown
    assert (22, 5) == (report.accounts_compared, report.lenders_compared)


def test_an_answer_that_was_lost_is_asked_for_again(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "record", frozenset({Kind.BUY}))
    report = kept.reconciled()
    assert 1 == len(kept.lost_keys)
    assert [] == report.mismatches
    assert (1, 0) == (report.resolved, report.unknown)


def test_money_that_moved_behind_the_clients_back_is_found(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "record", frozenset())
    account_id = kept.plan.lots[0][0].account_id
    fields = {"account_id": account_id, "amount_minor": 1, "currency": "EUR"}
    kept.crowd.shard.grant(Wish("x", Kind.REPAY, "repay", "behind", account_id, fields))
    mismatches = kept.reconciled().mismatches
    assert mismatches
    assert all(text.startswith(f"account {account_id}: ") for text in mismatches)
