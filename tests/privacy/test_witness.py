"""A witness signs what extends the tree it remembers and nothing else, also when it is killed at any step."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from cli.witness import app
from keys.signing import Signer
from privacy import tlog
from privacy.cosignatures import (
    SIZE_TYPE,
    Ed25519Cosigner,
    WitnessElsewhere,
    WitnessRefused,
    WitnessUnavailable,
    obtain,
    submit,
)
from privacy.errors import Conflict, Invalid, NotFound
from privacy.witness import State, Witness, create_key, open_key, watch
from tests.privacy.log_files import ORIGIN, Log, event, events, signer

NAME = "witness.example/w1"
AT = 1_767_225_600


def forked(size: int, at: int = 5) -> Log:
    """The same log with another event at one position, under the same key."""
    entries = events(size)
    entries[at] = event(at + 1, actor="somebody-else")
    return Log(entries)


@pytest.fixture
def log() -> Log:
    return Log(events(100))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state file that watches the log, and the key beside it."""
    create_key(tmp_path / "key", NAME)
    with State.create(tmp_path / "state") as kept:
        watch(kept, signer().vkey)
    return tmp_path / "state"


@contextmanager
def witness(state: Path) -> Iterator[Witness]:
    with State(state) as kept:
        yield Witness(open_key(state.with_name("key")), kept, clock=lambda: AT)


def key_of(state: Path) -> Ed25519Cosigner:
    key = open_key(state.with_name("key"))
    return Ed25519Cosigner(key.name, key.public)


def request(log: Log, old: int, new: int | None = None, *, proof: list[bytes] | None = None) -> bytes:
    new = log.size if new is None else new
    steps = proof if proof is not None else tlog.consistency(min(old, new), new, log.read)
    return tlog.witness_request(old, steps, log.note(new))


# --- what it signs -------------------------------------------------------------------------------------------------


def test_it_cosigns_the_first_checkpoint_and_every_extension(state: Path, log: Log) -> None:
    with witness(state) as ours:
        for old, new in ((0, 7), (7, 7), (7, 8), (8, 64), (64, 100)):
            answer = ours.add_checkpoint(request(log, old, new))
            assert answer.status == 200
            text = tlog.parse_note(log.note(new)).text
            note = tlog.open_note(f"{text}\n{answer.text}", [key_of(state)])
            assert int.from_bytes(note.signatures[0].signature[:8], "big") == AT


def test_it_never_cosigns_another_tree(state: Path, log: Log) -> None:
    with witness(state) as ours:
        assert ours.add_checkpoint(request(log, 0, 50)).status == 200
        other = forked(100)
        assert ours.add_checkpoint(request(other, 50)).status == 422
        assert ours.add_checkpoint(request(other, 50, proof=[])).status == 422
        assert ours.add_checkpoint(request(log, 50, 100, proof=tlog.consistency(49, 100, log.read))).status == 422
        assert ours.add_checkpoint(request(log, 50, 50, proof=[bytes(32)])).status == 422
        same = ours.add_checkpoint(request(other, 50, 50))
        assert (same.status, same.text, same.content_type) == (409, "50\n", SIZE_TYPE)
        assert ours.add_checkpoint(request(log, 50)).status == 200


def test_it_never_cosigns_a_shorter_tree(state: Path, log: Log) -> None:
    with witness(state) as ours:
        ours.add_checkpoint(request(log, 0))
        for old, new in ((0, 50), (50, 50), (50, 100), (0, 100)):
            answer = ours.add_checkpoint(request(log, old, new))
            assert (answer.status, answer.text, answer.content_type) == (409, "100\n", SIZE_TYPE)
        assert ours.add_checkpoint(request(log, 100, 50, proof=[])).status == 400


def test_from_nothing_it_takes_no_proof_and_no_empty_tree_with_a_root(state: Path, log: Log) -> None:
    with witness(state) as ours:
        assert ours.add_checkpoint(request(log, 0, 50, proof=[bytes(32)])).status == 422
        text = tlog.Checkpoint(ORIGIN, 0, bytes(32)).text()
        key = signer()
        note = str(tlog.sign_note(text, key.name, key.key_id, key.sign(text.encode())))
        assert ours.add_checkpoint(tlog.witness_request(0, [], note)).status == 422
        assert ours.add_checkpoint(request(Log([]), 0)).status == 200
        assert ours.add_checkpoint(request(log, 0, 50)).status == 200


def test_it_signs_for_known_logs_and_keys_only(state: Path) -> None:
    def submitted(key: Signer) -> int:
        with witness(state) as ours:
            return ours.add_checkpoint(request(Log(events(3), key), 0)).status

    assert submitted(signer(1, "other.example")) == 404
    assert submitted(signer(2)) == 403
    with State(state) as kept:
        watch(kept, signer(2).vkey)  # the log's next key
    assert submitted(signer(2)) == 200


def test_a_changed_note_or_request_is_refused(state: Path, log: Log) -> None:
    good = request(log, 0, 50)
    with witness(state) as ours:
        assert ours.add_checkpoint(good.replace(b"\n50\n", b"\n51\n")).status == 403
        for bad in (b"", b"\n\n", good[4:], good.replace(b"old 0", b"old 00"), good.replace(b"old 0", b"old -1"),
                    good.replace(b"old 0", b"old 0\nAAAA"), good[:-1], b"\xff" + good,
                    b"old 0\n" + b"A" * 43 + b"=\n" * 64 + good[6:]):  # fmt: skip
            assert ours.add_checkpoint(bad).status == 400
    assert State(state).logs[ORIGIN].root is None


def test_requests_at_once_are_taken_one_after_the_other(state: Path, log: Log) -> None:
    """The race that the specification warns of: two checks against the same old size."""
    with witness(state) as ours, ThreadPoolExecutor(8) as pool:
        ours.add_checkpoint(request(log, 0, 10))
        answers = list(pool.map(ours.add_checkpoint, [request(log, 10, new) for new in range(20, 40)]))
    assert [answer.status for answer in answers].count(200) == 1
    assert all(answer.status in {200, 409} for answer in answers)


# --- what it remembers ---------------------------------------------------------------------------------------------


def test_it_remembers_over_a_restart(state: Path, log: Log) -> None:
    with witness(state) as ours:
        ours.add_checkpoint(request(log, 0, 50))
    with witness(state) as ours:
        assert ours.add_checkpoint(request(forked(100), 50)).status == 422
        assert ours.add_checkpoint(request(log, 50)).status == 200


def test_two_witnesses_do_not_share_a_state(state: Path) -> None:
    with State(state), pytest.raises(Conflict):
        State(state)
    State(state).close()


def test_without_its_memory_it_does_not_start(state: Path) -> None:
    for damage in (b"", b"{}", b'{"logs": {"o": {"vkeys": [], "size": "1", "root": null}}}', b'{"logs": []}'):
        state.write_bytes(damage)
        with pytest.raises(Invalid):
            State(state)
    state.unlink()
    with pytest.raises(NotFound):
        State(state)


def test_a_key_is_never_replaced_and_only_its_owner_reads_it(state: Path) -> None:
    key = state.with_name("key")
    assert key.stat().st_mode & 0o077 == 0
    assert state.stat().st_mode & 0o077 == 0
    with pytest.raises(Conflict):
        create_key(key, NAME)
    with pytest.raises(NotFound):
        open_key(state.with_name("nothing"))
    for content in (b"", b"name\n", b"a name\n" + bytes(32), b"\xff\n" + bytes(32)):
        key.write_bytes(content)
        with pytest.raises(Invalid):
            open_key(key)


# A witness that dies on its way from the signature to the answer: at the n-th call of the system that matters.
_DYING = """
import os, signal, sys
from pathlib import Path
from privacy.witness import State, Witness, open_key
folder, step = Path(sys.argv[1]), int(sys.argv[2])
witness = Witness(open_key(folder / "key"), State(folder / "state"))
calls = 0
def counted(call):
    def wrapped(*args, **kwargs):
        global calls
        calls += 1
        if calls == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **kwargs)
    return wrapped
for name in ("open", "fsync", "replace", "close"):
    setattr(os, name, counted(getattr(os, name)))
answer = witness.add_checkpoint(sys.stdin.buffer.read())
os.kill(os.getpid(), signal.SIGKILL) if step == 0 else print(answer.status, calls)
"""


def test_killed_between_signature_and_answer_it_has_signed_one_tree_or_none(tmp_path: Path, log: Log) -> None:
    create_key(tmp_path / "key", NAME)
    with State.create(tmp_path / "state") as kept:
        watch(kept, signer().vkey)
    with witness(tmp_path / "state") as ours:
        ours.add_checkpoint(request(log, 0, 50))
    before = (tmp_path / "state").read_bytes()
    sizes = set()
    for step in range(8):
        (tmp_path / "state").write_bytes(before)
        program = [sys.executable, "-c", _DYING, str(tmp_path), str(step)]
        done = subprocess.run(program, input=request(log, 50, 80), capture_output=True, check=False)
        if done.returncode == 0:  # fewer calls than that: it has answered
            assert done.stdout.split()[0] == b"200"
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        with witness(tmp_path / "state") as ours:
            size = _stands(ours, log)
            sizes.add(size)
            assert ours.add_checkpoint(request(forked(100), size)).status == 422
            assert ours.add_checkpoint(request(log, size, 80)).status == 200
    else:
        pytest.fail("it died every time")
    assert sizes == {50, 80}
    assert step >= 5


def _stands(ours: Witness, log: Log) -> int:
    answer = ours.add_checkpoint(request(log, 1, 2))
    assert answer.status == 409
    return int(answer.text)


# --- over HTTP -----------------------------------------------------------------------------------------------------


@contextmanager
def serving(state: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A witness in a process of its own; its address."""
    program = [sys.executable, "-c", "from cli.witness import app; app()", "serve", "--port", "0",
               "--key", str(state.with_name("key")), "--state", str(state)]  # fmt: skip
    process = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), process
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def test_a_log_gets_its_cosignature_and_finds_its_way_back_by_itself(state: Path, log: Log) -> None:
    key = key_of(state)

    def prove(old: int) -> list[bytes]:
        return tlog.consistency(old, log.size, log.read)

    with serving(state) as (url, process):
        assert httpx.get(f"{url}/vkey").text == f"{key.vkey}\n"
        note = obtain(url, log.note(), 0, prove, key)
        assert {one.name for one in tlog.open_note(note, [signer().verifier, key]).signatures} == {ORIGIN, NAME}
        log.append([event(101)])
        assert tlog.open_note(obtain(url, log.note(), 0, prove, key), [key])  # it had forgotten where the witness stood
        with pytest.raises(WitnessElsewhere) as elsewhere:
            submit(url, log.note(), 7, prove(7))
        assert elsewhere.value.size == 101
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_killed_and_started_again_it_still_refuses_another_history(state: Path, log: Log) -> None:
    key, other = key_of(state), forked(120)
    with serving(state) as (url, process):
        lines = submit(url, log.note(), 0, [])
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        with pytest.raises(WitnessUnavailable):
            submit(url, log.note(), 0, [])
    with serving(state) as (url, _):
        with pytest.raises(WitnessRefused):
            obtain(url, other.note(), 100, lambda old: tlog.consistency(old, 120, other.read), key)
        with pytest.raises(WitnessRefused):  # the same size, another root
            submit(url, forked(100).note(), 100, [])
        with pytest.raises(WitnessRefused):  # a log whose tail has been cut
            obtain(url, log.note(60), 0, lambda old: tlog.consistency(old, 60, log.read), key)
        again = obtain(url, log.note(), 0, lambda old: tlog.consistency(old, 100, log.read), key)
    assert tlog.open_note(again, [key])
    assert lines.startswith(f"— {NAME} ")


def test_a_rebuilt_log_gets_no_cosignature_whoever_signed_it(state: Path, log: Log) -> None:
    """Somebody with the database and the signing key, but not the witness."""
    key, rebuilt = key_of(state), forked(100, at=42)
    with serving(state) as (url, _):
        obtain(url, log.note(), 0, lambda old: [], key)
        rebuilt.append(events(50))
        with pytest.raises(WitnessRefused):
            obtain(url, rebuilt.note(), 0, lambda old: tlog.consistency(old, 150, rebuilt.read), key)


def test_strange_requests_get_an_answer_and_not_more(state: Path) -> None:
    with serving(state) as (url, _), httpx.Client(base_url=url) as client:
        assert client.post("/add-checkpoint", content=b"x").status_code == 400
        assert client.post("/else", content=b"x").status_code == 404
        assert client.get("/").status_code == 404
        assert client.post("/add-checkpoint", content=b"x" * (1 << 19)).status_code == 413
        assert client.post("/add-checkpoint", content=iter([b"x"])).status_code == 411
        assert client.post("/add-checkpoint", content=b"x").status_code == 400


@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [
        (200, "text/plain", "nonsense"),
        (200, "text/plain", ""),
        (409, SIZE_TYPE, "many\n"),
        (500, "text/plain", ""),
        (302, "text/plain", ""),
    ],
)
def test_an_answer_that_is_none_is_no_cosignature(state: Path, log: Log, status: int, kind: str, body: str) -> None:
    class Strange(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Strange) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        with pytest.raises(WitnessUnavailable):
            obtain(f"http://127.0.0.1:{server.server_address[1]}", log.note(), 0, lambda old: [], key_of(state))
        thread.join()


def test_an_address_of_another_kind_is_not_asked(log: Log) -> None:
    for url in ("file:///etc/hosts", "nothing", ""):
        with pytest.raises(WitnessUnavailable):
            submit(url, log.note(), 0, [])


# --- the command ---------------------------------------------------------------------------------------------------


def test_init_makes_what_is_missing_and_forgets_nothing(tmp_path: Path, log: Log) -> None:
    files = ["--key", str(tmp_path / "key"), "--state", str(tmp_path / "state")]
    run = CliRunner()
    assert run.invoke(app, ["init", *files]).exit_code == 1  # a name is needed
    made = run.invoke(app, ["init", *files, "--name", NAME, "--log", signer().vkey, "--json"])
    assert json.loads(made.stdout) == {"vkey": key_of(tmp_path / "state").vkey, "logs": [ORIGIN]}
    with witness(tmp_path / "state") as ours:
        ours.add_checkpoint(request(log, 0, 50))
    other = signer(4, "other.example")
    again = run.invoke(app, ["init", *files, "--log", signer().vkey, "--log", other.vkey, "--json"])
    assert json.loads(again.stdout)["logs"] == [ORIGIN, "other.example"]
    assert State(tmp_path / "state").logs[ORIGIN].size == 50
    assert run.invoke(app, ["init", *files, "--log", "no key"]).exit_code == 1
