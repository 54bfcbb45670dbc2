"""The servers that stand beside the service in a run, each as a process: `python -m bench.apps NAME PORT`.

empty    an `async` FastAPI route that does nothing, on uvicorn as the service runs it: the floor "E"
ceiling  answers each read from a socket with the same bytes: what the load generator itself can do
all      the service with all its routes, and
alone    the service with the hot route only; both on uvicorn as `privacy serve` runs it

The last two read PRIVACY_* from the environment.
"""

from __future__ import annotations

import select
import socket
import sys
from typing import Final

import uvicorn
from fastapi import FastAPI

HOT: Final = "/v1/records/{record_id}"
_CONSTANT: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-type: application/json\r\n\r\n{}"


def empty() -> FastAPI:
    """The floor: what FastAPI and uvicorn cost when nobody does anything."""
    app = FastAPI(openapi_url=None)

    @app.get("/")
    async def nothing() -> dict[str, str]:
        return {}

    return app


def steward(*, alone: bool) -> FastAPI:
    """The service on PRIVACY_HOME; `alone`: without every route but the hot one."""
    from api.app import create_app
    from privacy.settings import Settings
    from privacy.steward import opened

    app = create_app(opened(Settings.from_environment()))
    if alone:
        app.router.routes[:] = [
            route
            for route in app.router.routes
            if getattr(route, "path", "") == HOT and "GET" in (getattr(route, "methods", None) or ())
        ]
        assert len(app.router.routes) == 1, "the hot route is not where the benchmark looks for it"
    return app


def ceiling(port: int) -> None:
    """Not a web server: it takes whatever it reads for one request."""
    poll = select.epoll()
    listener = socket.create_server(("127.0.0.1", port), backlog=128)
    clients: dict[int, socket.socket] = {}
    poll.register(listener.fileno(), select.EPOLLIN)
    while True:
        for number, _ in poll.poll():
            if number == listener.fileno():
                client, _ = listener.accept()
                clients[client.fileno()] = client
                poll.register(client.fileno(), select.EPOLLIN)
                continue
            try:
                data = clients[number].recv(1 << 18)
            except ConnectionError:
                data = b""
            if data:
                clients[number].sendall(_CONSTANT)
            else:
                poll.unregister(number)
                clients.pop(number).close()


def main(name: str, port: int) -> None:
    match name:
        case "ceiling":
            ceiling(port)
        case "empty":
            _serve(empty(), port)
        case "all" | "alone":
            _serve(steward(alone=name == "alone"), port)
        case _:
            raise SystemExit(f"no such server: {name}")


def _serve(app: FastAPI, port: int) -> None:
    uvicorn.run(
        app,
        port=port,
        loop="uvloop",
        http="httptools",
        ws="none",
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
