"""Detection never speaks to a network: not when it loads, not when it analyses, in no process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
# Python runs it in every process that finds it, before anything else: in the workers as well. An audit hook cannot be
# taken away again, but sees Python's sockets only; what native code does, the kernel sees (seccomp(2)): a process that
# connects or sends to an address, for whatever reason, is killed.
GUARD: Final = """
import ctypes, os, platform, struct, sys
def _guard(event, arguments):
    if event.startswith("socket.") and event not in ("socket.__new__", "socket.gethostname"):
        if event == "socket.bind" and arguments[1][:2] == ("::1", 0):
            return  # urllib3, which a library imports, looks whether there is IPv6; it sends nothing
        with open(os.path.join(os.path.dirname(__file__), "called"), "a") as file:
            file.write(event + "\\n")
        raise OSError("no network")
sys.addaudithook(_guard)
_calls = {"x86_64": (42, 44, 46), "aarch64": (203, 206, 211)}.get(platform.machine())  # connect, sendto, sendmsg
if sys.platform == "linux" and _calls:
    filters = [(0x20, 0, 0, 0), *((0x15, 3 - n, 0, call) for n, call in enumerate(_calls))]
    filters += [(0x06, 0, 0, 0x7FFF0000), (0x06, 0, 0, 0x80000000)]  # allow, or kill the process
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in filters))
    header = ctypes.create_string_buffer(struct.pack("HP", len(filters), ctypes.addressof(program)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, header, 0, 0):  # PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP
        raise SystemExit("the kernel takes no filter")
with open(os.path.join(os.path.dirname(__file__), "armed"), "a") as file:
    file.write(str(os.getpid()) + "\\n")
"""
PROGRAM: Final = """
import os, socket, subprocess, sys
from privacy.detection.workers import Workers
if __name__ == "__main__":
    native = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('127.0.0.1', 9))"
    if sys.platform == "linux" and subprocess.run([sys.executable, "-S", "-c", native]).returncode != -31:  # SIGSYS
        raise SystemExit("the kernel does not guard")
    try:
        socket.getaddrinfo("example.com", 443)
    except OSError:
        pass
    else:
        raise SystemExit("the guard does not guard")
    os.remove(os.path.join(os.environ["GUARD"], "called"))
    workers = Workers(1, "full")
    texts = ["我叫王伟，邮箱 wang.wei@example.com，电话13800138000，住北京市海淀区中关村大街1号。",
             "My name is John Smith, mail john.smith@example.co.uk, call +1 212 555 0100, see https://example.org/x"]
    for text, found in zip(texts, workers.analyse(texts)):
        print(*sorted({one.entity for one in found}))
    print(*workers.pids)
    workers.close()
"""


def test_both_languages_are_analysed_without_touching_a_socket(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(GUARD)
    (tmp_path / "program.py").write_text(PROGRAM)
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GUARD": str(tmp_path)}
    environment["PYTHONPATH"] = f"{tmp_path}{os.pathsep}{ROOT}"
    run = subprocess.run(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    chinese, english, worker = run.stdout.splitlines()
    assert {"PERSON", "CN_MOBILE", "EMAIL_ADDRESS"} <= set(chinese.split())
    assert {"PERSON", "EMAIL_ADDRESS"} <= set(english.split())
    assert worker in (tmp_path / "armed").read_text().split(), "the worker was not guarded"
    assert not (tmp_path / "called").exists(), (tmp_path / "called").read_text()
    left = {file.name for file in tmp_path.iterdir()} - {"sitecustomize.py", "program.py", "armed", "__pycache__"}
    assert left == set(), "something was cached in the home folder"
