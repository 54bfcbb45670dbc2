"""Evident tampering, the half that nobody can forge: what is done to the log is found, and where, without us.

Each forgery is by the owner of the database, who has dropped its guards. The last also holds the signing key.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any, Final

import pytest
from sqlalchemy import select, text, update

from cli.witness import _Handler, _Server
from keys.secret import Secret
from keys.signing import Signer
from privacy import audit_export, sequencer, tlog
from privacy.audit_verifier import Report, verify
from privacy.cosignatures import Ed25519Cosigner
from privacy.errors import AuditUnavailable
from privacy.sequencer import ANCHOR, Sequencer
from privacy.tables import audit_checkpoints, audit_positions
from privacy.witness import State, Witness, create_key, open_key, watch
from tests.invariants.looking import rows
from tests.world import World

_AT: Final = 5  # the position that is touched


@pytest.fixture
def signed(world: World) -> World:
    """A world with some history, signed, whose writers have promised what they wrote."""
    for _ in range(4):
        stored = world.store(world.subject())
        world.read(stored.id, "customer-service")
    keeper = Sequencer(world.service)
    keeper.beat()
    keeper.catch_up()
    return world


def _verified(world: World, folder: Path, **options: Any) -> Report:
    """What the offline verifier says of an export of the log as it is now."""
    file = folder / "log.zip"
    file.write_bytes(b"".join(audit_export.export(world.service.begin, kind="log")))
    return verify(file, vkey=world.service.keyring.signer.vkey, **options)


def _forge(world: World, *statements: str) -> None:
    with world.service.database.borrow() as lane, lane.transaction() as transaction:
        if world.service.database.kind == "sqlite":
            triggers = transaction.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'"))
            for name in triggers.scalars().all():
                transaction.execute(text(f"DROP TRIGGER {name}"))
        else:
            transaction.execute(text("SET LOCAL session_replication_role = replica"))
        for statement in statements:
            transaction.execute(text(statement))


_EVENT: Final = f"event_id = (SELECT event_id FROM audit_positions WHERE position = {_AT})"
_SWAP: Final = (
    f"UPDATE audit_positions SET position = CASE position WHEN {_AT} THEN -1 ELSE -2 END"
    f" WHERE position IN ({_AT}, {_AT + 1})"
)
FORGERIES: Final[dict[str, tuple[str, ...]]] = {
    "one byte of an event changed": (f"UPDATE audit_events SET actor = 'desl' WHERE {_EVENT}",),
    "an event removed": (f"DELETE FROM audit_events WHERE {_EVENT}",),
    "two events swapped": (
        _SWAP,
        f"UPDATE audit_positions SET position = CASE position WHEN -1 THEN {_AT + 1} ELSE {_AT} END WHERE position < 0",
    ),
}


@pytest.mark.parametrize("forgery", sorted(FORGERIES))
def test_what_is_done_to_an_event_is_found_at_its_position(signed: World, tmp_path: Path, forgery: str) -> None:
    assert _verified(signed, tmp_path).ok
    _forge(signed, *FORGERIES[forgery])
    report = _verified(signed, tmp_path)
    assert not report.ok
    assert report.problems[0].position == _AT


def test_an_event_added_between_others_is_found(signed: World, tmp_path: Path) -> None:
    last = max(row["position"] for row in rows(signed, audit_positions))
    kind = signed.service.database.kind
    new = "x'" + "07" * 16 + "'" if kind == "sqlite" else "'" + "07" * 16 + "'"
    shift = [
        f"UPDATE audit_positions SET position = {position + 1} WHERE position = {position}"
        for position in range(last, _AT - 1, -1)
    ]
    _forge(
        signed,
        *shift,
        f"INSERT INTO audit_events SELECT {new}, at, writer, sequence + 1000, actor, role, action, outcome, subject_id,"
        " record_id, purpose, basis, fields, detail, request_id, key_id, origin, digest, commitment FROM audit_events"
        f" WHERE event_id = (SELECT event_id FROM audit_positions WHERE position = {_AT + 1})",
        f"INSERT INTO audit_positions VALUES ({_AT}, {new})",
    )
    report = _verified(signed, tmp_path)
    assert not report.ok
    assert report.problems[0].position == _AT


def test_the_tail_cut_off_is_found_by_the_anchor_and_by_a_checkpoint_kept_elsewhere(
    signed: World, tmp_path: Path
) -> None:
    with signed.service.begin(signed.auditor) as work:
        kept = sequencer.newest(work)
    assert kept is not None
    _rebuild(signed, after=_AT)
    keeper = Sequencer(signed.service)
    keeper.check()
    assert signed.service.distrust is not None
    with pytest.raises(AuditUnavailable):
        signed.read(signed.store(signed.subject()).id, "customer-service")
    _sign_as_if_nothing_were(signed)
    report = _verified(signed, tmp_path, old_checkpoint=kept.note)
    assert not report.ok
    assert any(problem.position is not None for problem in report.problems)


def _rebuild(world: World, *, after: int | None = None) -> None:
    """Forget the tree, and the events from a position on; what is left is pending anew."""
    cut = () if after is None else (
        f"DELETE FROM audit_events WHERE event_id IN (SELECT event_id FROM audit_positions WHERE position >= {after})",
    )  # fmt: skip
    _forge(
        world,
        *cut,
        "DELETE FROM audit_positions",
        "DELETE FROM audit_tiles",
        "DELETE FROM audit_checkpoints",
        "DELETE FROM audit_writers",
        "DELETE FROM audit_pending",
        "INSERT INTO audit_pending SELECT event_id FROM audit_events",
    )


def _sign_as_if_nothing_were(world: World) -> None:
    """With the signing key and the host: the anchor is forged too."""
    (world.service.settings.home / ANCHOR).unlink(missing_ok=True)
    world.service.distrust = None
    Sequencer(world.service).catch_up()


@pytest.fixture
def witness(world: World, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """A witness that watches this log: its address and its key."""
    key, state = tmp_path / "witness.key", tmp_path / "witness.state"
    create_key(key, "witness.example/w1")
    with State.create(state) as kept:
        watch(kept, world.service.keyring.signer.vkey)
    with State(state) as kept, _Server(("127.0.0.1", 0), _Handler) as server:
        server.witness = Witness(open_key(key), kept)
        thread = Thread(target=server.serve_forever)
        thread.start()
        signer = open_key(key)
        yield f"http://127.0.0.1:{server.server_address[1]}", Ed25519Cosigner(signer.name, signer.public).vkey
        server.shutdown()
        thread.join()


def test_a_log_rebuilt_and_signed_anew_gets_no_witness_and_the_service_discloses_nothing(
    world: World, witness: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, vkey = witness
    _configure(world, monkeypatch, url, vkey)
    for _ in range(4):
        world.store(world.subject())
    keeper = Sequencer(world.service)
    keeper.catch_up()
    assert keeper.cosign()
    assert _verified(world, tmp_path, witness_vkeys=[vkey]).ok
    _configure(world, monkeypatch, "http://127.0.0.1:9", vkey)
    assert keeper.cosign()  # it is, and nobody is asked
    _configure(world, monkeypatch, url, vkey)
    _forge(world, f"UPDATE audit_events SET actor = 'desl' WHERE {_EVENT}")
    _rebuild(world)
    _sign_as_if_nothing_were(world)
    assert _verified(world, tmp_path).ok  # the key alone proves nothing
    other = Sequencer(world.service)
    assert not other.cosign()
    assert world.service.distrust is not None
    assert "witness.example/w1" in world.service.distrust
    report = _verified(world, tmp_path, witness_vkeys=[vkey])
    assert {problem.code for problem in report.problems} == {"witness"}
    stored = world.store(world.subject())
    with pytest.raises(AuditUnavailable, match="witness"):
        world.read(stored.id, "customer-service")


def test_a_log_cut_short_and_signed_anew_behind_a_running_service_is_refused_by_the_witness(
    world: World, witness: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Broken by hand: asked from the size where the witness stood last, which it takes for a mistake in the asking.
    _configure(world, monkeypatch, *witness)
    world.store(world.subject())
    keeper = Sequencer(world.service)
    keeper.catch_up()
    assert keeper.cosign()
    _rebuild(world, after=_AT)
    _sign_as_if_nothing_were(world)
    assert not keeper.cosign()
    assert world.service.distrust is not None
    assert "witness.example/w1" in world.service.distrust


def test_a_witness_that_signs_at_last_ends_the_distrust_that_its_refusal_began(
    world: World, witness: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Broken by hand: the refusal never forgotten.
    url, vkey = witness
    _configure(world, monkeypatch, url, vkey)
    stored = world.store(world.subject())
    keeper = Sequencer(world.service)
    keeper.catch_up()
    signed = rows(world, audit_checkpoints)[-1]
    with Secret.random() as seed:
        _replace_note(world, signed["size"], Signer(world.service.keyring.signer.name, seed))
    assert not keeper.cosign()
    with pytest.raises(AuditUnavailable, match="witness"):
        world.read(stored.id, "customer-service")
    _replace_note(world, signed["size"], world.service.keyring.signer)
    assert keeper.cosign()
    keeper.check()
    assert world.read(stored.id, "customer-service").data["name"]


def _replace_note(world: World, size: int, signer: Signer) -> None:
    with world.service.database.borrow() as lane, lane.transaction() as transaction:
        this = audit_checkpoints.c.size == size
        signed = transaction.execute(select(audit_checkpoints.c.note).where(this)).scalar_one()
        body = tlog.parse_note(signed).text
        note = tlog.sign_note(body, signer.name, signer.key_id, signer.sign(body.encode()))
        transaction.execute(update(audit_checkpoints).where(this).values(note=str(note)))


def _configure(world: World, monkeypatch: pytest.MonkeyPatch, url: str, vkey: str) -> None:
    from dataclasses import replace

    monkeypatch.setattr(world.service, "settings", replace(world.service.settings, witness_url=url, witness_key=vkey))


def test_the_log_holds_before_and_after_any_subject_is_erased(signed: World, tmp_path: Path) -> None:
    before = _verified(signed, tmp_path)
    assert before.ok
    for row in {row["subject_id"] for row in signed.events() if row["subject_id"] is not None}:
        signed.service.keystore.destroy(row.bytes)
        after = _verified(signed, tmp_path)
        assert after.ok
    assert after.size > before.size
