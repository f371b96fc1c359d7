"""API keys: never stored, compared whole, followed by a running server."""

import asyncio
import stat
from pathlib import Path

import pytest

from gateway.keys import ALL_ROLES, KeyFile, KeyRing, KeysRefused, Principal
from gateway.problems import Refusal
from gateway.routes import Role
from tests.unit.gateway_fake import AUTHORIZE, TODAY, FakeNodes, browsing


def ring_of(data_dir: Path) -> KeyRing:
    ring = KeyRing(KeyFile(data_dir))
    ring.refresh()
    return ring


def header(key: str) -> bytes:
    return f"Bearer {key}".encode()


def test_a_key_names_its_caller_and_roles(tmp_path: Path) -> None:
    key = KeyFile(tmp_path).add("shop", [Role.PAYMENTS], TODAY)
    principal = ring_of(tmp_path).principal_of(header(key))
    assert principal == Principal("shop", frozenset({Role.PAYMENTS}), principal.sender)
    assert principal.sender.name == key.split("_")[1]
    assert key.startswith("fb_")


def test_no_file_holds_a_key_or_its_secret(tmp_path: Path) -> None:
    key = KeyFile(tmp_path).add("shop", ALL_ROLES, TODAY)
    secret = key.split("_")[2]
    for file in tmp_path.iterdir():
        assert secret not in file.read_text()


def test_the_files_are_their_owners_alone(tmp_path: Path) -> None:
    KeyFile(tmp_path).add("shop", ALL_ROLES, TODAY)
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir()}
    assert modes == {"keys.json": 0o600, "keys.pepper": 0o600, "keys.lock": 0o600}


def test_a_pepper_that_others_may_read_is_refused(tmp_path: Path) -> None:
    KeyFile(tmp_path).add("shop", ALL_ROLES, TODAY)
    (tmp_path / "keys.pepper").chmod(0o640)
    with pytest.raises(KeysRefused, match="chmod 600"):
        ring_of(tmp_path)


def test_keys_without_their_pepper_are_refused_and_none_is_made(
    tmp_path: Path,
) -> None:
    file = KeyFile(tmp_path)
    file.add("shop", ALL_ROLES, TODAY)
    (tmp_path / "keys.pepper").unlink()
    with pytest.raises(KeysRefused, match="missing"):
        ring_of(tmp_path)
    with pytest.raises(KeysRefused, match="missing"):
        file.add("other", ALL_ROLES, TODAY)
    assert not (tmp_path / "keys.pepper").exists()


@pytest.mark.parametrize("text", ["", "{", "[{}]", '[{"key_id":1}]', "\ud800"])
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, text: str) -> None:
    KeyFile(tmp_path).add("shop", ALL_ROLES, TODAY)
    (tmp_path / "keys.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(KeysRefused, match=r"keys\.json"):
        ring_of(tmp_path)


def test_a_key_is_compared_whole(tmp_path: Path) -> None:
    key = KeyFile(tmp_path).add("shop", ALL_ROLES, TODAY)
    other = KeyFile(tmp_path).add("other", ALL_ROLES, TODAY)
    ring = ring_of(tmp_path)
    mixed = "_".join([*key.split("_")[:2], other.split("_")[2]])
    for wrong in (key[:-1], key + "0", key.upper(), mixed, "fb__", "fb_ü_x"):
        with pytest.raises(Refusal):
            ring.principal_of(header(wrong))


def test_the_scheme_may_be_written_in_any_case(tmp_path: Path) -> None:
    key = KeyFile(tmp_path).add("shop", ALL_ROLES, TODAY)
    assert ring_of(tmp_path).principal_of(f"bearer {key}".encode()).caller == "shop"


def test_a_revoked_key_is_refused_though_it_was_remembered(tmp_path: Path) -> None:
    file = KeyFile(tmp_path)
    key = file.add("shop", ALL_ROLES, TODAY)
    ring = ring_of(tmp_path)
    ring.principal_of(header(key))
    assert file.revoke(key.split("_")[1]) is True
    assert file.revoke(key.split("_")[1]) is False
    ring.refresh()
    with pytest.raises(Refusal):
        ring.principal_of(header(key))


@pytest.mark.parametrize("caller", ["", "a b", "x" * 65, "shop\n"])
def test_a_caller_has_a_name_that_can_be_journaled(tmp_path: Path, caller: str) -> None:
    with pytest.raises(KeysRefused):
        KeyFile(tmp_path).add(caller, ALL_ROLES, TODAY)
    with pytest.raises(KeysRefused):
        KeyFile(tmp_path).add("shop", [], TODAY)


async def test_a_running_server_follows_the_file(tmp_path: Path) -> None:
    file = KeyFile(tmp_path)
    async with browsing(tmp_path, FakeNodes()) as browser:
        before = await browser.post("/v1/authorizations", AUTHORIZE)
        file.revoke(browser.key.split("_")[1])
        await asyncio.sleep(0.3)
        after = await browser.post("/v1/authorizations", AUTHORIZE)
        browser.key = file.add("new", ALL_ROLES, TODAY)
        again = await browser.post("/v1/authorizations", AUTHORIZE)
        (tmp_path / "keys.json").write_text("damaged")
        await asyncio.sleep(0.3)
        damaged = await browser.post("/v1/authorizations", AUTHORIZE)
    statuses = [told.status for told in (before, after, again, damaged)]
    assert statuses == [200, 401, 200, 200]
