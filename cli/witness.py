"""`privacy witness`: cosigns the audit log of another team or organisation. Needs no service and no PRIVACY_HOME.

`serve` speaks tlog-witness: POST /add-checkpoint, and GET /vkey for whoever sets a verifier up.
"""

from __future__ import annotations

import logging
import signal
import sys
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import SHUT_WR
from threading import Thread
from typing import Annotated, Final

import typer

from cli.terminal import Json, reporting, say, show
from privacy.cosignatures import Ed25519Cosigner
from privacy.errors import Invalid
from privacy.witness import MOST_BYTES, Answer, State, Witness, create_key, open_key, watch

app = typer.Typer(
    no_args_is_help=True, help="A witness of an audit log: remembers its last checkpoint, cosigns the next."
)

KeyFile = Annotated[Path, typer.Option("--key", metavar="FILE", help="The witness's own key.")]
StateFile = Annotated[
    Path, typer.Option("--state", metavar="FILE", help="What it has seen. Losing it loses the point.")
]

_IDLE_SECONDS: Final = 30
_LEAVE_SECONDS: Final = 2
_LEAVE_READS: Final = 64
log = logging.getLogger("witness")


@app.command()
def init(
    key: KeyFile,
    state: StateFile,
    name: Annotated[str | None, typer.Option(help="Its name for a new key, as witness.example/w1.")] = None,
    logs: Annotated[list[str] | None, typer.Option("--log", metavar="VKEY", help="A log to watch, by its key.")] = None,
    as_json: Json = False,
) -> None:
    """Make the key and the state where there are none; watch the logs given, too. Prints the key for verifiers."""
    with reporting(as_json):
        if not key.exists():
            if name is None:
                raise Invalid("A new key needs a --name, such as witness.example/w1")
            create_key(key, name)
        signer = open_key(key)
        with State.create(state) as kept:
            for vkey in logs or ():
                watch(kept, vkey)
            origins = sorted(kept.logs)
        vkey = Ed25519Cosigner(signer.name, signer.public).vkey
        show(as_json, {"vkey": vkey, "logs": origins}, lambda: say(vkey))


@app.command()
def serve(
    key: KeyFile,
    state: StateFile,
    host: Annotated[str, typer.Option(help="Loopback by default: put a TLS proxy before anything else.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 7433,
) -> None:
    """Answer POST /add-checkpoint until SIGTERM or SIGINT."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s")
    with reporting(as_json=False), State(state) as kept, _Server((host, port), _Handler) as server:
        server.witness = Witness(open_key(key), kept)
        for number in (signal.SIGTERM, signal.SIGINT):
            # shutdown waits for serve_forever, which this signal has interrupted: from a thread, or for ever
            signal.signal(number, lambda *_: Thread(target=server.shutdown).start())
        say(f"http://{host}:{server.server_address[1]}")
        sys.stdout.flush()
        server.serve_forever()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    witness: Witness


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "witness"
    sys_version = ""
    timeout = _IDLE_SECONDS
    server: _Server

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()) or int(length) > MOST_BYTES:
            self.close_connection = True  # what was not read would be taken for the next request
            self._answer(Answer(413 if length else 411, "a length of at most 256 KiB is expected\n"))
            self._leave()
            return
        body = self.rfile.read(int(length))
        if self.path != "/add-checkpoint":
            self._answer(Answer(404, "POST /add-checkpoint\n"))
            return
        answer = self.server.witness.add_checkpoint(body)
        if answer.status not in {200, 400}:
            # an operator wants to see a log that does not extend: it may be the proof that history was rewritten
            log.warning("add-checkpoint %d %s", answer.status, answer.text.strip())
        self._answer(answer)

    def do_GET(self) -> None:
        found = self.path == "/vkey"
        self._answer(Answer(200, f"{self.server.witness.vkey}\n") if found else Answer(404, "GET /vkey\n"))

    def _answer(self, answer: Answer) -> None:
        body = answer.text.encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def _leave(self) -> None:
        """Take what is still coming, within bounds: closing over unread bytes resets the connection, and the answer
        with it.
        """
        self.connection.shutdown(SHUT_WR)
        self.connection.settimeout(_LEAVE_SECONDS)
        with suppress(OSError):
            for _ in range(_LEAVE_READS):
                if not self.rfile.read1(MOST_BYTES):
                    break

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: whoever asks is nobody's business."""
