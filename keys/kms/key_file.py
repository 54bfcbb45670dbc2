"""The file of a root key: read only when it is safe, written durably, replaced without a moment in which none is there.

root.key          the key in use
root.key.next     its successor, from before the first secret is wrapped by it
root.key.old      a second name of the key in use, from before the successor takes its name until it is overwritten
"""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from keys.errors import BadRootKey


def refuse_unsafe(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise BadRootKey(f"{path} is not a regular file")
    if found.st_uid != os.geteuid():
        raise BadRootKey(f"{path} belongs to another user; chown it to the user of the service")
    if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise BadRootKey(f"{path} can be used by others than its owner; run: chmod 600 {path}")


def read(path: Path, longest: int) -> bytearray:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise BadRootKey(f"there is no root key file {path}; create one, or restore it from a backup") from None
    except OSError as error:
        raise BadRootKey(f"the root key file {path} cannot be opened: {error.strerror}") from error
    try:
        found = os.fstat(descriptor)
        refuse_unsafe(path, found)
        if found.st_size == 0:
            raise BadRootKey(f"{path} is empty; restore it from a backup")
        content = bytearray(min(found.st_size, longest + 1))
        if os.readv(descriptor, [content]) != len(content):
            raise BadRootKey(f"{path} changed while it was read; try again")
        return content
    finally:
        os.close(descriptor)


def write_new(path: Path, content: bytearray) -> None:
    """O_EXCL, mode 0600, file and directory synced.

    A root key lost in a crash is every sealed record lost.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise BadRootKey(f"{path} exists; a root key is never replaced") from None
    except OSError as error:
        raise BadRootKey(f"the root key file {path} cannot be created: {error.strerror}") from error
    try:
        # The umask may only have taken rights away; fchmod makes 0600 exact.
        os.fchmod(descriptor, 0o600)
        if os.write(descriptor, content) != len(content):
            raise OSError("short write")
        os.fsync(descriptor)
    except OSError as error:
        os.unlink(path)
        raise BadRootKey(f"the root key file {path} cannot be written: {error.strerror or error}") from error
    finally:
        os.close(descriptor)
    _sync(path.parent)


def next_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.next")


def offer_next(path: Path, content: bytearray) -> None:
    """Make `content` the successor of `path`, unless there is one already: never half of one, never another one."""
    written = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    write_new(written, content)
    try:
        with suppress(FileExistsError):
            os.link(written, next_of(path))
    except OSError as error:
        raise BadRootKey(f"the root key file {next_of(path)} cannot be written: {error.strerror or error}") from error
    finally:
        os.unlink(written)
    _sync(path.parent)


def promote_next(path: Path) -> None:
    """Give the successor the name of the key in use, and overwrite and remove the one there was.

    `path` names a key at every moment. The caller holds `alone`. A crash leaves what `remove_old` finishes.
    """
    old = _old_of(path)
    try:
        remove_old(path)
        os.link(path, old)
        _sync(path.parent)
        os.replace(next_of(path), path)
        _sync(path.parent)
    except OSError as error:
        raise BadRootKey(f"the root key file {path} cannot be replaced: {error.strerror or error}") from error
    remove_old(path)


def remove_old(path: Path) -> None:
    """Overwrite and remove the key that was replaced, if a crash left it. The caller holds `alone`.

    Overwriting reaches the blocks of the file on a disk that writes in place; what a copying file system, a flash
    translation layer or a snapshot keeps is beyond any program.
    """
    old = _old_of(path)
    if not old.exists():
        return
    try:
        if not old.samefile(path):  # else the crash was before the replacement, and this is the key in use
            with open(old, "r+b", buffering=0) as file:
                length = os.fstat(file.fileno()).st_size
                for filling in (os.urandom(length), bytes(length)):
                    os.pwrite(file.fileno(), filling, 0)
                    os.fsync(file.fileno())
        os.unlink(old)
        _sync(path.parent)
    except OSError as error:
        raise BadRootKey(f"the replaced root key {old} cannot be removed: {error.strerror or error}") from error


def has_old(path: Path) -> bool:
    return _old_of(path).exists()


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """One process at a time replaces the key; the lock is the folder's, and ends with the process."""
    with _locked(path.parent, fcntl.LOCK_EX):
        yield


@contextmanager
def undisturbed(path: Path) -> Iterator[None]:
    """Nobody replaces the key meanwhile: else one could be read that is being overwritten, or both be missed."""
    with _locked(path.parent, fcntl.LOCK_SH):
        yield


@contextmanager
def _locked(folder: Path, how: int) -> Iterator[None]:
    try:
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:  # without a folder there is no key: reading it says so
        yield
        return
    try:
        fcntl.flock(directory, how)
        yield
    finally:
        os.close(directory)


def _old_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.old")


def _sync(folder: Path) -> None:
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
