"""Every way to change a log is found by the offline verifier, with the first bad position, and nothing else is."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import pytest

from keys.secret import Secret
from privacy import audit_verifier, cosignatures, tlog
from privacy.audit_verifier import Report, Unusable, verify
from tests.privacy.log_files import OTHER, WRITER, Log, event, events, heartbeat, signer

SIZE = 600
VKEY = signer().vkey
_PEAK = """
import sys, tracemalloc
from privacy.audit_verifier import verify
tracemalloc.start()
assert verify(sys.argv[1], vkey=sys.argv[2]).ok
print(tracemalloc.get_traced_memory()[1])
"""
WITNESS = signer(9, "witness.example/w1")
WITNESS_VKEY = cosignatures.Ed25519Cosigner(WITNESS.name, WITNESS.public).vkey
BUNDLE = "tile/entries/{:03}{}"


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Log(events(SIZE)).write(tmp_path_factory.mktemp("pristine"))


@pytest.fixture
def folder(pristine: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine, tmp_path / "log"))


def found(report: Report) -> list[tuple[int | None, str]]:
    return [(problem.position, problem.code) for problem in report.problems]


def bundle_of(position: int) -> str:
    number = position // tlog.WIDTH
    return BUNDLE.format(number, "" if (number + 1) * tlog.WIDTH <= SIZE else f".p/{SIZE % tlog.WIDTH}")


def rewrite(folder: Path, position: int, change: Callable[[list[bytes], int], None]) -> None:
    """Change the bundle of a position; `change` gets its entries and the place among them."""
    file = folder / bundle_of(position)
    entries = tlog.unbundle(file.read_bytes())
    change(entries, position % tlog.WIDTH)
    file.write_bytes(tlog.bundle(entries))


def cosigned(note: str) -> str:
    parsed = tlog.parse_note(note)
    return str(parsed.signed(cosignatures.cosign(WITNESS, parsed.text, 1_767_225_600)))


# --- a good log ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, SIZE, 1024])
def test_a_good_log_passes_whatever_its_size(size: int, tmp_path: Path) -> None:
    log = Log(events(size))
    report = verify(log.write(tmp_path), vkey=VKEY, old_checkpoint=[log.note(n) for n in range(0, size + 1, 37)])
    assert found(report) == []
    assert report.ok
    assert (report.origin, report.size, report.root, report.events) == (log.key.name, size, log.root.hex(), size)


def test_a_log_of_three_levels_passes_and_a_change_in_any_of_its_tiles_is_placed(tmp_path: Path) -> None:
    log = Log(events(65_536 + 300))
    folder = log.write(tmp_path)
    assert found(verify(folder, vkey=VKEY, old_checkpoint=[log.note(65_000), log.note(65_536)])) == []
    for tile, at, first in (("0/003", 5, 3 * 256 + 5), ("1/000", 7, 7 * 256), ("2/000.p/1", 0, 0)):
        file = folder / "tile" / tile
        good = file.read_bytes()
        file.write_bytes(good[: at * 32] + bytes(32) + good[at * 32 + 32 :])
        assert found(verify(folder, vkey=VKEY))[0][0] == first, tile
        file.write_bytes(good)


def test_a_zip_reads_as_its_directory_does(folder: Path, tmp_path: Path) -> None:
    zipped = tmp_path / "log.zip"
    with ZipFile(zipped, "w", ZIP_DEFLATED) as archive:
        for file in folder.rglob("*"):
            archive.write(file, file.relative_to(folder))
    assert verify(zipped, vkey=VKEY) == verify(folder, vkey=VKEY)
    assert verify(zipped, vkey=VKEY).ok


def test_a_full_tile_stands_in_for_the_partial_one_of_an_older_checkpoint(tmp_path: Path) -> None:
    log = Log(events(SIZE))
    folder = log.write(tmp_path)
    (folder / "checkpoint").write_text(log.note(300), encoding="utf-8")
    (folder / "tile/1/000.p/1").write_bytes(log.tiles[1, 0][:32])
    report = verify(folder, vkey=VKEY)
    assert found(report) == []
    assert (report.size, report.events) == (300, 300)


# --- what somebody may do to it ------------------------------------------------------------------------------------


def _change_a_byte(entries: list[bytes], at: int) -> None:
    entries[at] = entries[at].replace(b'"actor":"desk"', b'"actor":"disk"')


def _remove(entries: list[bytes], at: int) -> None:
    del entries[at]


def _add(entries: list[bytes], at: int) -> None:
    entries.insert(at, event(9999))


def _swap(entries: list[bytes], at: int) -> None:
    entries[at], entries[at + 1] = entries[at + 1], entries[at]


def _cut(entries: list[bytes], at: int) -> None:
    del entries[at:]


@pytest.mark.parametrize("position", [0, 100, 254, 256, 400, 512, SIZE - 2])
@pytest.mark.parametrize("change", [_change_a_byte, _remove, _add, _swap, _cut])
def test_a_change_of_the_entries_is_found_at_its_position(
    folder: Path, position: int, change: Callable[[list[bytes], int], None]
) -> None:
    rewrite(folder, position, change)
    report = verify(folder, vkey=VKEY)
    assert not report.ok
    assert report.problems[0].position == position
    assert report.problems[0].what
    assert report.problems[0].zh


@pytest.mark.parametrize("position", [255, SIZE - 1])
def test_an_entry_after_the_last_of_its_bundle_is_found(folder: Path, position: int) -> None:
    rewrite(folder, position, lambda entries, at: entries.append(event(9999)))
    assert (position + 1, "extra") in found(verify(folder, vkey=VKEY))


@pytest.mark.parametrize("position", [100, 300, SIZE - 1])
def test_an_entry_changed_together_with_its_hash_is_found_in_its_tile(folder: Path, position: int) -> None:
    rewrite(folder, position, _change_a_byte)
    entries = tlog.unbundle((folder / bundle_of(position)).read_bytes())
    tile = b"".join(map(tlog.leaf_hash, entries))
    (folder / bundle_of(position).replace("entries", "0")).write_bytes(tile)
    report = verify(folder, vkey=VKEY)
    assert not report.ok
    # the partial tile at the right edge has none above it: only the root tells
    expected = (position // 256 * 256, "tile") if position < 512 else (None, "root")
    assert found(report)[0] == expected


@pytest.mark.parametrize("name", ["tile/0/001", "tile/1/000.p/2", BUNDLE.format(1, ""), "tile/0/002.p/88"])
def test_a_missing_file_is_found_at_its_first_position(folder: Path, name: str) -> None:
    (folder / name).unlink()
    first = 0 if name.startswith("tile/1") else 512 if "002" in name else 256
    assert found(verify(folder, vkey=VKEY))[0] == (first, "missing")


def test_a_tree_built_anew_without_the_key_is_not_signed(folder: Path, tmp_path: Path) -> None:
    entries = events(SIZE)
    _change_a_byte(entries, 5)
    forged = Log(entries, signer(2)).write(tmp_path / "forged")
    assert (None, "signature") in found(verify(forged, vkey=VKEY))
    shutil.copy(folder / "checkpoint", forged / "checkpoint")
    assert found(verify(forged, vkey=VKEY)) == [(None, "root")]


def test_a_log_built_anew_and_signed_again_lacks_the_witness_and_denies_an_older_checkpoint(tmp_path: Path) -> None:
    log = Log(events(500))
    older = [log.note(size) for size in (100, 200, 300, 400)]
    witnessed = cosigned(log.note())
    entries = list(log.entries)
    _change_a_byte(entries, 250)
    forged = Log(entries).write(tmp_path)
    assert verify(forged, vkey=VKEY).ok  # alone it cannot be told from the true one: this is what a witness is for
    assert found(verify(forged, vkey=VKEY, witness_vkeys=[WITNESS_VKEY])) == [(None, "witness")]
    # the change is after what the checkpoint of 200 vouches for
    assert found(verify(forged, vkey=VKEY, old_checkpoint=older)) == [(200, "history"), (200, "history")]
    assert found(verify(forged, vkey=VKEY, old_checkpoint=witnessed)) == [(0, "history")]


def test_a_log_that_carries_its_witness_passes_and_another_witness_is_missed(folder: Path) -> None:
    note = cosigned((folder / "checkpoint").read_text(encoding="utf-8"))
    (folder / "checkpoint").write_text(note, encoding="utf-8")
    assert verify(folder, vkey=VKEY, witness_vkeys=[WITNESS_VKEY]).ok
    other = signer(8, WITNESS.name)
    vkey = cosignatures.Ed25519Cosigner(other.name, other.public).vkey
    assert found(verify(folder, vkey=VKEY, witness_vkeys=[WITNESS_VKEY, vkey])) == [(None, "witness")]


def test_a_cosignature_moved_to_another_checkpoint_is_none(tmp_path: Path) -> None:
    log = Log(events(500))
    folder = log.write(tmp_path)
    moved = tlog.parse_note(cosigned(log.note(400))).signatures[1]
    (folder / "checkpoint").write_text(str(tlog.parse_note(log.note()).signed(moved)), encoding="utf-8")
    assert found(verify(folder, vkey=VKEY, witness_vkeys=[WITNESS_VKEY])) == [(None, "witness")]


def test_a_tail_cut_with_its_checkpoint_is_found_by_an_older_one(tmp_path: Path) -> None:
    whole, cut = Log(events(SIZE)), Log(events(500))
    folder = cut.write(tmp_path)
    assert verify(folder, vkey=VKEY).ok
    assert found(verify(folder, vkey=VKEY, old_checkpoint=whole.note())) == [(500, "shrunk")]


def test_a_checkpoint_of_another_log_or_key_is_refused(folder: Path) -> None:
    assert found(verify(folder, vkey=signer(2).vkey)) == [(None, "signature")]
    assert (None, "origin") in found(verify(folder, vkey=signer(1, "other.example").vkey))
    (folder / "checkpoint").write_text("no checkpoint\n", encoding="utf-8")
    assert found(verify(folder, vkey=VKEY)) == [(None, "checkpoint")]
    (folder / "checkpoint").unlink()
    assert found(verify(folder, vkey=VKEY)) == [(None, "checkpoint")]


def test_an_older_checkpoint_of_another_key_is_refused(folder: Path) -> None:
    theirs = Log(events(100), signer(2)).note()
    assert found(verify(folder, vkey=VKEY, old_checkpoint=theirs)) == [(None, "older")]
    assert found(verify(folder, vkey=VKEY, old_checkpoint="nothing")) == [(None, "older")]


def test_an_ml_dsa_44_key_of_the_log_or_of_a_witness_is_checked(folder: Path) -> None:
    key = cosignatures.Mldsa44Signer(signer().name, Secret(bytearray(b"\x07" * 32)))
    parsed = tlog.parse_note((folder / "checkpoint").read_text(encoding="utf-8"))
    (folder / "checkpoint").write_text(str(parsed.signed(key.cosign(parsed.text))), encoding="utf-8")
    assert verify(folder, vkey=key.verifier.vkey, witness_vkeys=[key.verifier.vkey]).ok
    other = cosignatures.Mldsa44Signer(signer().name, Secret(bytearray(b"\x08" * 32)))
    assert found(verify(folder, vkey=other.verifier.vkey)) == [(None, "signature")]


# --- writers -------------------------------------------------------------------------------------------------------


def checked(tmp_path: Path, entries: list[bytes]) -> list[tuple[int | None, str]]:
    return found(verify(Log(entries).write(tmp_path), vkey=VKEY))


def test_an_event_deleted_before_it_was_sequenced_is_a_gap(tmp_path: Path) -> None:
    entries = events(10)
    del entries[4]
    assert checked(tmp_path, entries) == [(4, "gap")]


def test_the_first_event_of_a_writer_is_missed_too(tmp_path: Path) -> None:
    assert checked(tmp_path, [*events(3), event(2, writer=OTHER)]) == [(3, "gap")]


def test_numbers_may_stand_out_of_order(tmp_path: Path) -> None:
    entries = [*events(3), event(2, writer=OTHER), event(4, writer=OTHER), event(3, writer=OTHER)]
    assert checked(tmp_path, [*entries, event(1, writer=OTHER)]) == []


@pytest.mark.parametrize("again", [1, 5, 6])
def test_a_number_used_twice_is_found_where_it_is_used_again(tmp_path: Path, again: int) -> None:
    assert checked(tmp_path, [*events(6), event(again, actor="someone-else")]) == [(6, "repeated")]


def test_a_heartbeat_exposes_what_is_missing_at_the_end(tmp_path: Path) -> None:
    entries = [*events(5), heartbeat(6, {WRITER: 5, OTHER: 2}), event(1, writer=OTHER)]
    assert checked(tmp_path, entries) == [(5, "promised")]
    assert checked(tmp_path / "kept", [*entries, event(2, writer=OTHER)]) == []


@pytest.mark.parametrize(
    "entry",
    [
        b"{}", b"not json", b"\xff", b'{"writer":"w","seq":1}', b'["writer"]', b"[" * 5000,
        event(1).replace(b'"seq":1', b'"seq":"1"'), event(1).replace(b'"seq":1', b'"seq":1.0'),
        event(1).replace(b'"seq":1', b'"seq":0'), heartbeat(1, {}).replace(b"{}", b"[]"), b" " + heartbeat(1, {}),
        event(1, action="audit.archived", detail={}),
    ],
    ids=range(12),
)  # fmt: skip
def test_an_entry_that_is_no_event_is_found(tmp_path: Path, entry: bytes) -> None:
    assert checked(tmp_path, [entry]) == [(0, "form")]


def test_an_event_without_a_subject_or_with_a_member_called_seq_counts(tmp_path: Path) -> None:
    trap = event(2, detail={"note": ',"seq":9,"v":1,"writer":"x"}', "seq": 7, "writer": "x"})
    bare = json.loads(event(3))
    del bare["subject"]
    assert checked(tmp_path, [event(1), trap, json.dumps(bare, separators=(",", ":")).encode()]) == []


# --- archives ------------------------------------------------------------------------------------------------------


def test_archived_entries_may_be_gone_when_the_log_records_it(tmp_path: Path) -> None:
    entries = [*events(600), event(601, action="audit.archived", detail={"first": 0, "after": 256})]
    report = verify(Log(entries).write(tmp_path, archived=[(0, 256)]), vkey=VKEY)
    assert found(report) == []
    assert (report.events, report.archived) == (601 - 256, ((0, 256),))


def test_an_archive_may_end_within_a_bundle(tmp_path: Path) -> None:
    entries = [*events(600), event(601, action="audit.archived", detail={"first": 100, "after": 300})]
    folder = Log(entries).write(tmp_path, archived=[(100, 300)])
    report = verify(folder, vkey=VKEY)
    assert (found(report), report.events) == ([], 601 - 200)
    rewrite(folder, 300, lambda entries, at: entries.__setitem__(at, b""))
    assert found(verify(folder, vkey=VKEY))[0] == (300, "missing")


def test_an_archive_that_the_log_does_not_record_is_none(tmp_path: Path) -> None:
    folder = Log(events(600)).write(tmp_path, archived=[(0, 256)])
    assert found(verify(folder, vkey=VKEY)) == [(0, "archive")]
    (folder / "archives.json").write_bytes(b"[]")
    assert found(verify(folder, vkey=VKEY))[0] == (0, "missing")
    (folder / "archives.json").write_bytes(b'[{"first": 5}]')
    assert (None, "archives") in found(verify(folder, vkey=VKEY))


def test_the_hashes_of_archived_entries_still_count(tmp_path: Path) -> None:
    entries = [*events(600), event(601, action="audit.archived", detail={"first": 0, "after": 256})]
    folder = Log(entries).write(tmp_path, archived=[(0, 256)])
    tile = folder / "tile/0/000"
    tile.write_bytes(bytes(32) + tile.read_bytes()[32:])
    assert found(verify(folder, vkey=VKEY))[0] == (0, "tile")


def test_an_archive_excuses_no_gap_larger_than_itself(tmp_path: Path) -> None:
    entries = [*events(600), event(1000, action="audit.archived", detail={"first": 0, "after": 256})]
    folder = Log(entries).write(tmp_path, archived=[(0, 256)])
    assert (600, "gap") in found(verify(folder, vkey=VKEY))


# --- selections ----------------------------------------------------------------------------------------------------

CHOSEN = [0, 17, 255, 256, 599]


@pytest.fixture
def selection(tmp_path: Path) -> Path:
    entries = events(SIZE)
    entries[17] = event(18, detail={"写": '原因\n"\\\u2028😀', "ﬀ": 1, "𐐷": True, "b": [1, "x"], "a": None})
    value = json.loads(entries[17])
    entries[17] = audit_verifier._canonical(value)
    return Log(entries).write_selection(tmp_path, CHOSEN)


def edit(file: Path, change: Callable[[list[str]], None]) -> None:
    lines = file.read_text(encoding="utf-8").split("\n")[:-1]
    change(lines)
    file.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def test_a_selection_passes_by_its_proofs(selection: Path) -> None:
    report = verify(selection, vkey=VKEY)
    assert found(report) == []
    assert report.events == len(CHOSEN)


@pytest.mark.parametrize("place", range(len(CHOSEN)))
@pytest.mark.parametrize("file", ["events.ndjson", "proofs.ndjson"])
def test_a_changed_line_of_a_selection_is_found_at_its_position(selection: Path, file: str, place: int) -> None:
    def change(lines: list[str]) -> None:
        row = json.loads(lines[place])
        if "event" in row:
            row["event"]["actor"] = "disk"
        else:
            row["proof"][-1] = "A" * 43 + "="
        lines[place] = json.dumps(row)

    edit(selection / file, change)
    assert found(verify(selection, vkey=VKEY)) == [(CHOSEN[place], "proof")]


@pytest.mark.parametrize("file", ["events.ndjson", "proofs.ndjson"])
def test_a_line_removed_added_or_swapped_in_a_selection_is_found(selection: Path, file: str) -> None:
    good = (selection / file).read_text(encoding="utf-8")
    for change in (
        lambda lines: lines.pop(1),
        lambda lines: lines.insert(1, lines[1]),
        lambda lines: lines.reverse(),
        lambda lines: lines.pop(),
    ):
        edit(selection / file, change)
        report = verify(selection, vkey=VKEY)
        assert any(problem.code in {"order", "proof"} for problem in report.problems)
        (selection / file).write_text(good, encoding="utf-8")


def test_an_event_removed_with_its_proof_is_missed_by_the_count(selection: Path) -> None:
    for name in ("events.ndjson", "proofs.ndjson"):
        edit(selection / name, lambda lines: lines.__delitem__(1))
    assert found(verify(selection, vkey=VKEY)) == [(None, "count")]


# --- over HTTP -----------------------------------------------------------------------------------------------------


class _Served(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    root: Path
    token = "k" * 20

    def do_GET(self) -> None:
        file = self.root / self.path.removeprefix("/v1/audit/")
        allowed = self.headers.get("Authorization") == f"Bearer {self.token}"
        status = 403 if not allowed else 200 if file.is_file() else 404
        body = file.read_bytes() if status == 200 else b"no"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def address(folder: Path) -> Iterator[str]:
    handler = type("Handler", (_Served,), {"root": folder})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=functools.partial(server.serve_forever, poll_interval=0.02))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1/audit/"
        server.shutdown()
        thread.join()


def test_a_served_log_reads_as_its_directory_does(address: str, folder: Path) -> None:
    assert verify(address, vkey=VKEY, token=_Served.token) == verify(folder, vkey=VKEY)
    rewrite(folder, 300, _change_a_byte)
    assert found(verify(address, vkey=VKEY, token=_Served.token)) == [(300, "entry")]


def test_a_server_that_refuses_says_nothing_about_the_log(address: str) -> None:
    with pytest.raises(Unusable):
        verify(address, vkey=VKEY)
    with pytest.raises(Unusable):
        verify("http://127.0.0.1:1/", vkey=VKEY)


# --- the command ---------------------------------------------------------------------------------------------------


def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if name not in {"PRIVACY_KEY", "LC_ALL", "LC_MESSAGES"}}
    program = [sys.executable, "-m", "privacy.audit_verifier", *map(str, arguments)]
    return subprocess.run(
        program, capture_output=True, text=True, env=env | {"LANG": "C.UTF-8"} | environment, check=False
    )


def test_the_command_answers_by_status_and_names_the_first_bad_position(folder: Path, tmp_path: Path) -> None:
    good = run(folder, "--key", VKEY)
    assert (good.returncode, good.stderr) == (0, "")
    assert "intact" in good.stdout
    old = tmp_path / "old"
    old.write_text(Log(events(100)).note(), encoding="utf-8")
    rewrite(folder, 300, _change_a_byte)
    bad = run(folder, "--key", VKEY, "--checkpoint", old, "--json")
    answer = json.loads(bad.stdout)
    assert (bad.returncode, answer["ok"], answer["problems"][0]["position"]) == (1, False, 300)
    assert run(folder, "--key", VKEY).stdout.startswith("300: ")
    assert "300: 此记录" in run(folder, "--key", VKEY, LANG="zh_CN.UTF-8").stdout


def test_the_command_sends_a_token_only_when_told(address: str) -> None:
    assert run(address, "--key", VKEY, PRIVACY_KEY=_Served.token).returncode == 2
    assert run(address, "--key", VKEY, "--token-env", PRIVACY_KEY=_Served.token).returncode == 0
    assert run(address, "--key", VKEY, "--token-env", "OTHER", OTHER=_Served.token).returncode == 0


def test_the_command_used_wrongly_ends_with_2(folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"no zip")
    for arguments in (
        (folder,), (folder, "--key", "no key"), (tmp_path / "nowhere", "--key", VKEY), (broken, "--key", VKEY),
        (folder, "--key", VKEY + "A"), (folder, "--key", VKEY, "--checkpoint", tmp_path / "nowhere"),
    ):  # fmt: skip
        assert run(*arguments).returncode == 2


def test_the_verifier_is_one_file_that_runs_alone(folder: Path, tmp_path: Path) -> None:
    alone = shutil.copy(audit_verifier.__file__, tmp_path / "verifier.py")
    program = [sys.executable, "-I", str(alone), str(folder), "--key", VKEY]
    assert subprocess.run(program, capture_output=True, cwd="/", check=False).returncode == 0


def test_memory_does_not_grow_with_the_log(tmp_path: Path) -> None:
    peaks = []
    for size in (2_000, 40_000):
        folder = Log(events(size)).write(tmp_path / str(size))
        # in a process of its own: threads of this one, of whatever test, would be counted too
        command = [sys.executable, "-c", _PEAK, str(folder), VKEY]
        peaks.append(int(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    assert peaks[1] < peaks[0] + 100_000
