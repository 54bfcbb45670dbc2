"""Exports of the audit log: a zip that verifies without the service, in every form, streamed."""

from __future__ import annotations

import csv
import gc
import io
import json
import tempfile
import tracemalloc
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import pytest

from privacy import audit_export, audit_verifier, tlog
from privacy.audit import Filters
from privacy.audit_export import Form
from privacy.errors import Forbidden, Invalid
from privacy.tables import audit_events
from tests.invariants.looking import rows, run
from tests.world import PERSON, World


def exported(world: World, filters: Filters = Filters(), **options: Any) -> zipfile.ZipFile:  # noqa: B008 - frozen
    pieces = audit_export.export(partial(world.service.begin, world.auditor), filters, **options)
    return zipfile.ZipFile(io.BytesIO(b"".join(pieces)))


def verified(world: World, archive: zipfile.ZipFile, tmp_path: Path) -> audit_verifier.Report:
    file = tmp_path / "export.zip"
    assert archive.fp is not None
    archive.fp.seek(0)
    file.write_bytes(archive.fp.read())
    return audit_verifier.verify(str(file), vkey=world.service.keyring.signer.vkey)


def lines(archive: zipfile.ZipFile, name: str) -> list[Any]:
    return [json.loads(line) for line in archive.read(name).splitlines()]


def member(archive: zipfile.ZipFile, name: str) -> Any:
    return json.loads(archive.read(name))


@pytest.fixture
def subject(world: World) -> UUID:
    """A person who was read by two components, among others."""
    subject = world.subject()
    record = world.store(subject).id
    for _ in range(3):
        world.read(record, "customer-service")
        world.read(record, "membership", by="platform")
    world.store(world.subject())
    return subject


def test_an_exported_log_verifies_without_the_service(world: World, subject: UUID, tmp_path: Path) -> None:
    for _ in range(2):  # past the first tile
        with world.service.begin(world.auditor) as work:
            for _ in range(200):
                work.audit("tasks.listed")
    archive = exported(world, kind="log")
    report = verified(world, archive, tmp_path)
    assert report.problems == []
    assert report.size == member(archive, "log.json")["size"] == len(rows(world, audit_events))
    assert report.size > 2 * tlog.WIDTH - 100
    assert member(archive, "bundle.json") == {
        "format": "steward-audit-bundle/1", "kind": "log", "from": None, "to": None, "filters": {},
        "events": report.size, "form": None,
    }  # fmt: skip
    assert member(archive, "archives.json") == []
    assert archive.testzip() is None


def test_a_selection_verifies_and_holds_what_matches_and_nothing_else(
    world: World, subject: UUID, tmp_path: Path
) -> None:
    # Broken by hand: proofs of the position before; a leaf written again from parsed values.
    for filters, column in (
        (Filters(subject=subject), ("subject_id", subject)),
        (Filters(actor="desk"), ("actor", "desk")),
    ):
        archive = exported(world, filters)
        report = verified(world, archive, tmp_path)
        assert report.problems == []
        expected = {str(event["event_id"]) for event in rows(world, audit_events) if event[column[0]] == column[1]}
        found = lines(archive, "events.ndjson")
        assert {line["event"]["id"] for line in found} == expected
        assert [line["position"] for line in found] == sorted(line["position"] for line in found)
        assert [line["position"] for line in lines(archive, "proofs.ndjson")] == [line["position"] for line in found]
        assert member(archive, "bundle.json")["events"] == len(expected)


def test_a_window_of_time_is_exported_from_its_checkpoint_on(world: World, subject: UUID, tmp_path: Path) -> None:
    exported(world)  # signs a checkpoint
    world.clock.advance(days=30)
    middle = world.service_now()
    world.store(subject)
    archive = exported(world, Filters(since=middle))
    assert verified(world, archive, tmp_path).problems == []
    actions = [line["event"]["action"] for line in lines(archive, "events.ndjson")]
    assert actions == ["record.stored", "audit.exported"]
    assert member(archive, "bundle.json")["from"] is not None
    before = exported(world, Filters(until=middle))
    assert "record.read" in {line["event"]["action"] for line in lines(before, "events.ndjson")}
    assert all(line["event"]["at"] < middle.timestamp() * 1e6 for line in lines(before, "events.ndjson"))


def test_a_changed_event_in_an_export_is_found(world: World, subject: UUID, tmp_path: Path) -> None:
    archive = exported(world, Filters(subject=subject))
    changed = io.BytesIO()
    with zipfile.ZipFile(changed, "w") as out:
        for name in archive.namelist():
            data = archive.read(name)
            out.writestr(name, data.replace(b'"desk"', b'"dusk"', 1) if name == "events.ndjson" else data)
    (first, *_) = [line["position"] for line in lines(archive, "events.ndjson") if line["event"]["actor"] == "desk"]
    problems = verified(world, zipfile.ZipFile(changed), tmp_path).problems
    assert [problem.position for problem in problems] == [first]


def test_the_export_is_on_record_before_its_first_byte_and_is_in_the_log_that_it_exports(world: World) -> None:
    pieces = audit_export.export(partial(world.service.begin, world.auditor), Filters(actor="desk"), form="csv")
    (event,) = world.events(action="audit.exported")
    assert event["detail"] == {"filters": ["actor"], "form": "csv", "kind": "selection"}
    assert next(pieces)
    archive = exported(world, kind="log")
    bundles = [name for name in archive.namelist() if name.startswith("tile/entries/")]
    entries = [json.loads(entry) for name in bundles for entry in tlog.unbundle(archive.read(name))]
    assert [entry["action"] for entry in entries][-2:] == ["audit.exported", "audit.exported"]


@pytest.mark.parametrize("name", ["desk", "operator"])
def test_only_auditors_and_administrators_export(world: World, name: str) -> None:
    with pytest.raises(Forbidden):
        audit_export.export(partial(world.service.begin, world.actor(name)))
    assert [event["outcome"] for event in world.events(action="audit.exported")] == ["refused"]


def test_a_log_takes_no_filter(world: World) -> None:
    with pytest.raises(Invalid):
        audit_export.export(partial(world.service.begin, world.auditor), Filters(actor="desk"), kind="log")


@pytest.mark.parametrize("form", ["ndjson", "csv", "parquet", "ocsf"])
@pytest.mark.parametrize("kind", ["log", "selection"])
def test_every_form_holds_the_events_of_the_export(world: World, subject: UUID, kind: Any, form: Form) -> None:
    archive = exported(world, kind=kind, form=form)
    expected = {(event["actor"], event["action"], str(event["event_id"])) for event in rows(world, audit_events)}
    data = archive.read(f"events.{form}")
    match form:
        case "ndjson":
            found = {(line["event"]["actor"], line["event"]["action"], line["event"]["id"]) for line in _json(data)}
        case "csv":
            found = {(row["actor"], row["action"], row["id"]) for row in _csv(data)}
        case "parquet":
            found = {(row["actor"], row["action"], row["id"]) for row in _parquet(data)}
        case "ocsf":
            found = {
                (line["actor"]["user"]["name"], line["metadata"]["event_code"], line["metadata"]["uid"])
                for line in _json(data)
            }
    assert found == expected
    assert ("events.ndjson" in archive.namelist()) == (kind == "selection" or form == "ndjson")


def test_an_empty_selection_is_still_an_export_in_every_form(world: World, tmp_path: Path) -> None:
    for form in ("ndjson", "csv", "parquet", "ocsf"):
        archive = exported(world, Filters(actor="nobody"), form=form)
        assert verified(world, archive, tmp_path).problems == []
        assert lines(archive, "events.ndjson") == []
        if form == "parquet":
            assert _parquet(archive.read("events.parquet")) == []


def test_parquet_has_types_and_leaves_no_file_behind(world: World, subject: UUID) -> None:
    home = world.service.settings.home
    before = sorted(home.rglob("*"))
    archive = exported(world, form="parquet")
    read = _parquet(archive.read("events.parquet"))
    reads = [row for row in read if row["action"] == "record.read" and row["actor"] == "desk"]
    assert reads[0]["fields"] == ["name", "phone", "id_number"]
    assert json.loads(reads[0]["detail"])["type"] == "member"
    event = next(event for event in world.events() if str(event["event_id"]) == reads[0]["id"])
    assert reads[0]["micros"] == round(event["at"].timestamp() * 1e6)
    assert [file for file in sorted(home.rglob("*")) if file not in before and file.name.startswith("export-")] == []


def test_csv_is_rfc_4180_and_no_cell_is_a_formula(world: World) -> None:
    # Broken by hand: `_harmless` gives the cell as it is.
    for action in ("=1+1", "+x", "-x", "@x", "\tx", 'a "quoted", one'):
        with world.service.begin(world.auditor) as work:
            work.audit(action, detail={"lines": "one\r\ntwo"})
    data = exported(world, Filters(actor="auditor"), form="csv").read("events.csv")
    assert data.startswith(b"position,id,at,actor,role,action,")
    assert all(line.endswith(b"\r\n") for line in data.splitlines(keepends=True))
    actions = [row["action"] for row in _csv(data)]
    assert actions == ["'=1+1", "'+x", "'-x", "'@x", "'\tx", 'a "quoted", one', "audit.exported"]
    assert json.loads(next(_csv(data))["detail"]) == {"lines": "one\r\ntwo"}


def test_an_entry_that_was_removed_is_missing_at_its_own_place(world: World, subject: UUID, tmp_path: Path) -> None:
    """An export of a log that was tampered with still comes, so that the verifier can say where."""
    exported(world, kind="log")
    positions = {line["event"]["id"]: line["position"] for line in lines(exported(world), "events.ndjson")}
    victim = world.events(action="record.stored")[0]["event_id"]
    unguarded = {
        "sqlite": "DROP TRIGGER audit_events_refuse_delete",
        "postgresql": "ALTER TABLE audit_events DISABLE TRIGGER USER",
    }
    run(world, unguarded[world.service.database.kind], "DELETE FROM audit_events WHERE action = 'record.stored'")
    report = verified(world, exported(world, kind="log"), tmp_path)
    assert positions[str(victim)] in [problem.position for problem in report.problems]


def test_an_event_that_was_made_unreadable_does_not_stop_an_export(world: World, subject: UUID, tmp_path: Path) -> None:
    positions = {line["event"]["id"]: line["position"] for line in lines(exported(world), "events.ndjson")}
    victim = world.events(action="record.stored")[0]["event_id"]
    unguarded = {
        "sqlite": "DROP TRIGGER audit_events_refuse_update",
        "postgresql": "ALTER TABLE audit_events DISABLE TRIGGER USER",
    }
    broken = "UPDATE audit_events SET detail = '{' WHERE action = 'record.stored'"
    run(world, unguarded[world.service.database.kind], broken)
    for kind in ("log", "selection"):
        for form in ("csv", "ocsf", "parquet"):
            report = verified(world, exported(world, kind=kind, form=form), tmp_path)
            assert positions[str(victim)] in [problem.position for problem in report.problems]


def test_three_times_the_events_cost_no_more_memory(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    # Broken by hand: the roots of all proofs kept; `_zipped` joins all pieces before it gives the first.
    # What an export may hold at once is made small, so that what it must not hold is seen beside it.
    for name, small in (("_PAGE", 100), ("_TILES_KEPT", 2), ("_ROOTS_KEPT", 200), ("_CHUNK", 8192)):
        monkeypatch.setattr(audit_export, name, small)
    begin = partial(world.service.begin, world.auditor)
    peaks = []
    for events in (1000, 2000):
        with world.service.begin(world.auditor) as work:
            for _ in range(events):
                work.audit("tasks.listed", detail={"count": 1})
        list(audit_export.export(begin, form="csv"))  # what is made once: statements, plans
        peaks.append(_peak(audit_export.export(begin, form="csv")))
    assert peaks[1] - peaks[0] < 30 * 2000  # bytes an event; a root takes some 300


def _peak(pieces: Iterator[bytes]) -> int:
    """The most bytes that were held at once, without the garbage that waits for a collection."""
    gc.collect()
    gc.freeze()
    tracemalloc.start()
    try:
        for piece in pieces:
            assert len(piece) < 40_000
            gc.collect()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        gc.unfreeze()


def test_whoever_stops_taking_pieces_leaves_nothing_open(world: World, subject: UUID) -> None:
    for form in ("csv", "parquet"):
        pieces = audit_export.export(partial(world.service.begin, world.auditor), form=form)
        next(pieces)
        pieces.close()
    world.store(subject)  # no snapshot and no lock is held


def _json(data: bytes) -> Iterator[Any]:
    return map(json.loads, data.splitlines())


def _csv(data: bytes) -> Iterator[dict[str, str]]:
    return iter(csv.DictReader(io.StringIO(data.decode(), newline="")))


def _parquet(data: bytes) -> list[dict[str, Any]]:
    """Its rows; `micros` is the instant, which DuckDB would need another package to give as a datetime."""
    with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
        file.write(data)
        file.flush()
        with duckdb.connect() as connection:
            found = connection.execute(
                f'SELECT * EXCLUDE ("at"), epoch_us("at") AS micros FROM read_parquet(\'{file.name}\')'
            )
            names = [column[0] for column in found.description or ()]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def test_records_are_named_in_an_export_and_never_their_values(world: World, subject: UUID) -> None:
    for kind in ("log", "selection"):
        archive = exported(world, kind=kind, form="ocsf")
        everything = b"".join(archive.read(name) for name in archive.namelist()).decode(errors="replace")
        assert str(subject) in everything
        for value in PERSON.values():
            assert value not in everything
