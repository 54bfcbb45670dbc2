"""The benchmark runs, so that it still does when somebody needs its figures. No figure is judged here."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from bench import load
from bench.__main__ import main
from bench.apps import ceiling
from bench.load import LoadFailed
from bench.servers import free_port


def test_the_vault_is_measured_beside_its_floors(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Every ratio of a database is there, and the report says them as text too."""
    options = "--seconds 0.2 --turns 1 --people 50 --connections 2 --database sqlite --requests 100 --json"
    assert main(["vault", *options.split()]) == 0
    report = json.loads(capsys.readouterr().out)
    # processor time is counted in hundredths of a second, of which there may be none here
    assert {ratio["name"] for ratio in report["ratios"] if "server time" not in ratio["name"]} == {
        "read one / E",
        "write one / E",
        "read 100 / driver alone",
        "write 100 / driver alone",
        "hot route, all routes / alone",
        "read one / OpenBao",
        "write one / OpenBao",
        "read one, p99 in ms",
        "write one, p99 in ms",
    }
    assert all(ratio["value"] >= 0 for ratio in report["ratios"])
    assert [memory["requests"] for memory in report["memory"]] == [100]
    assert {floor["batch"] for floor in report["floors"]} == {1, 100}


def test_a_status_that_was_not_expected_is_no_measurement() -> None:
    port = free_port()
    threading.Thread(target=ceiling, args=(port,), daemon=True).start()
    found = load.run(port, [load.get("/")], connections=2, seconds=0.1, warm_up=0.1)
    assert found.requests > 0
    assert found.p50 <= found.p99 <= found.worst
    with pytest.raises(LoadFailed, match="unexpected answer"):
        load.run(port, [load.get("/")], connections=2, seconds=0.1, warm_up=0.1, accepted=(404,))


def test_an_answer_ends_where_its_header_section_says() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
    whole = [
        head + b"Content-Length: 2\r\n\r\n{}",
        head + b"content-length: 0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        head + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    ]
    for answer in whole:
        assert load.is_whole(answer)
        assert not load.is_whole(answer[:-1])
