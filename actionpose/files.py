"""Files that are either whole or absent: write aside, flush to disk, rename."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from actionpose.errors import UserError

PARTIAL = ".partial"

HINTS = {
    errno.EACCES: "choose a folder you may write to",
    errno.EPERM: "choose a folder you may write to",
    errno.EROFS: "the file system is read-only: choose another folder",
    errno.ENOSPC: "the disk is full: free some space or choose another disk, then run the command again",
    errno.EDQUOT: "your disk quota is used up: free some space, then run the command again",
    errno.ENOTDIR: "a part of the path is a file, not a folder: choose another path",
    errno.EEXIST: "a part of the path is a file, not a folder: choose another path",
    errno.EISDIR: "there is a folder of that name: choose another path",
    errno.ENOENT: "check the path",
    errno.EFBIG: "a limit on the size of files is set (ulimit -f): raise it",
}
"""What went wrong with a file → the next move."""


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary sibling to write to; it becomes `path` only when the block succeeds.

    The temporary name keeps the suffix, so that writers which look at it (`np.save`) behave. The
    process id in it keeps two writers of the same file out of each other's way.

    Raises:
        UserError: the folder cannot be written to, the disk is full, or `path` is a device or a pipe, in whose place a
            file would come. Other errors of the block pass.
    """
    final = Path(path)
    aside = final.with_name(f".{final.stem}.{os.getpid()}{PARTIAL}{final.suffix}")
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        if final.exists() and not final.is_dir():
            require_file(final, "give a file to write")
        yield aside
        with open(aside, "rb") as handle:
            os.fsync(handle.fileno())
        os.replace(aside, final)
    except OSError as error:
        hint = HINTS.get(error.errno or 0)
        # The block may also fail on a file of its own; that is not about `final`.
        ours = error.filename is None or Path(os.fsdecode(error.filename)) in (final, aside, *final.parents)
        if hint is None or not ours:
            raise
        raise UserError(f"cannot write {final}: {error.strerror or error}", hint) from error
    finally:
        with suppress(OSError):  # where nothing could be written there is nothing to take away
            aside.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Replace the file's content in one step (UTF-8, newlines as given).

    Names of files that are not UTF-8 are spelled out, which JSON reads as the same names again.
    """
    with atomic_path(path) as aside:
        aside.write_bytes(text.encode("utf-8", "backslashreplace"))


_SPECIAL = {
    stat.S_ISFIFO: "a pipe",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
    stat.S_ISSOCK: "a socket",
    stat.S_ISDIR: "a folder",
}


def require_file(path: str | os.PathLike[str], hint: str = "check the path") -> os.stat_result:
    """Status of an ordinary file, links followed; asked before opening, since opening a pipe can wait forever.

    Raises:
        UserError: not there, not readable, or something else than a file.
    """
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL character
        hint = "check its permissions" if isinstance(error, PermissionError) else hint
        raise UserError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}", hint) from error
    for is_one, what in _SPECIAL.items():
        if is_one(status.st_mode):
            raise UserError(f"{path} is {what}, not a file", hint)
    return status


@contextmanager
def locked_beside(folder: Path, taken: UserError) -> Iterator[None]:
    """Hold a lock of that folder, in a file beside it; it goes with the process, however it ends.

    Where the file system knows no locks, there is none.

    Raises:
        UserError: `taken`, when another process holds it; nothing can be written there.
    """
    path = folder.with_name(f".{folder.name}.lock")
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = open(path, "w")  # noqa: SIM115 (closed by the block below)
        except OSError as error:
            hint = HINTS.get(error.errno or 0, "choose another folder")
            raise UserError(f"cannot write {folder}: {error.strerror}", hint) from error
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise taken from error
            except OSError:
                yield
                return
            if not _is_there(path, handle):
                continue  # its last holder took it away after it was opened here: locking it keeps nobody out
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return


def _is_there(path: Path, handle: IO[str]) -> bool:
    """Whether an open file is the one that stands at a path."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(handle.fileno()))
    except FileNotFoundError:
        return False


def sha256_file(path: str | os.PathLike[str]) -> str:
    """Return `sha256:<hex>` of the file, read in blocks."""
    with open(path, "rb") as handle:
        return "sha256:" + hashlib.file_digest(handle, "sha256").hexdigest()


@contextmanager
def atomic_folder(final: Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside `final`; it becomes `final`, in place of an older one, on success.

    Raises:
        UserError: nothing can be written there. Errors of the block pass, and leave `final` as it was.
    """
    aside = final.with_name(f".{final.name}.{os.getpid()}{PARTIAL}")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        aside.mkdir(parents=True)
    except OSError as error:
        hint = HINTS.get(error.errno or 0, "choose another folder")
        raise UserError(f"cannot write {final}: {error.strerror or error}", hint) from error
    try:
        yield aside
        publish_folder(aside, final)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def publish_folder(partial: Path, final: Path) -> None:
    """Make `partial` appear as `final` by rename; an older `final` is set aside first, then deleted.

    Between the two renames a reader finds no folder at all, never a mixture of old and new.

    Raises:
        FileNotFoundError: there is no `partial`; `final` is then left alone.
        UserError: `final` is a file, a pipe or a device, which no folder may replace.
    """
    if not partial.is_dir():
        raise FileNotFoundError(f"nothing to publish: {partial} is not a folder")
    if final.exists() and not final.is_dir():
        raise UserError(f"{final} is there already and is not a folder", "choose another path")
    old = final.with_name(f".{final.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if final.exists():
        os.replace(final, old)
    os.replace(partial, final)
    shutil.rmtree(old, ignore_errors=True)
