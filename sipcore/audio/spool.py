"""The folder through which the server and its workers pass audio files.

Workers run as another user than a server that was started by root: they read what the server made ready, and
write recordings where nobody else looks.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sipcore.domain.errors import StartUpError

_EVERYBODY_READS = 0o755
_OWNER_ONLY = 0o700


@dataclass(frozen=True, slots=True)
class Spool:
    """The two folders.

    Attributes:
        audio: what workers play; only the server writes there.
        recordings: what workers record; nobody else reads there.
        instead_of: the folder that was wanted, when workers cannot reach it; else None.
    """

    audio: Path
    recordings: Path
    instead_of: Path | None


def open_spool(preferred: Path, uid: int | None, gid: int | None) -> Spool:
    """Make the folders where they are missing.

    Args:
        preferred: where they shall be. When a folder above is closed to the workers, they are made in the system's
            folder for temporary files, under a name that belongs to `preferred` alone.
        uid: of the workers; None when they run as the user of this process.
        gid: their group, or None likewise.

    Raises:
        StartUpError: the folders cannot be made, or somebody else has the one for temporary files.
    """
    preferred = preferred.resolve()
    try:
        preferred.mkdir(mode=_EVERYBODY_READS, parents=True, exist_ok=True)
        if uid is None or _reachable(preferred, uid, gid):
            return _in(preferred, uid, gid, instead_of=None)
        return _in(_temporary(preferred, uid, gid), uid, gid, instead_of=preferred)
    except OSError as error:
        raise StartUpError(f"storage.spool: cannot make {error.filename or preferred}: {error.strerror}") from error


def _in(root: Path, uid: int | None, gid: int | None, *, instead_of: Path | None) -> Spool:
    spool = Spool(root / "audio", root / "recordings", instead_of)
    _make(spool.audio, _EVERYBODY_READS)
    _make(spool.recordings, _OWNER_ONLY, uid, gid)
    return spool


def _make(folder: Path, mode: int, uid: int | None = None, gid: int | None = None) -> None:
    """Make a folder, or give the one that is there its mode and owner; a symbolic link is an error."""
    folder.mkdir(mode=mode, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        os.fchmod(descriptor, mode)
        if uid is not None and gid is not None:
            os.fchown(descriptor, uid, gid)
    finally:
        os.close(descriptor)


def _reachable(folder: Path, uid: int, gid: int | None) -> bool:
    """Tell whether a user of one group only may pass through a folder and all that are above it."""
    return all(_lets_pass(above.stat(), uid, gid) for above in (folder, *folder.parents))


def _lets_pass(folder: os.stat_result, uid: int, gid: int | None) -> bool:
    if folder.st_uid == uid:
        return bool(folder.st_mode & stat.S_IXUSR)
    if folder.st_gid == gid:
        return bool(folder.st_mode & stat.S_IXGRP)
    return bool(folder.st_mode & stat.S_IXOTH)


def _temporary(preferred: Path, uid: int, gid: int | None) -> Path:
    """Return a folder for temporary files that is ours, and that nobody else can have put there or can replace."""
    above = Path(tempfile.gettempdir()).resolve()
    name = hashlib.sha256(os.fsencode(preferred)).hexdigest()[:16]
    folder = above / f"click2call-{os.geteuid()}-{name}"
    if not _reachable(above, uid, gid) or not _keeps_names(above, *above.parents):
        raise StartUpError(f"storage.spool: expected a folder that workers can reach; {preferred} and {above} are not")
    try:
        folder.mkdir(mode=_EVERYBODY_READS)
    except FileExistsError:
        there = folder.lstat()
        if not stat.S_ISDIR(there.st_mode) or there.st_uid != os.geteuid():
            raise StartUpError(f"storage.spool: somebody else has {folder}: remove it") from None
    _make(folder, _EVERYBODY_READS)
    return folder


def _keeps_names(*folders: Path) -> bool:
    """Tell whether nobody but root and this process's user can rename what others have in these folders."""
    return all(_is_safe(folder.stat(), (0, os.geteuid())) for folder in folders)


def _is_safe(folder: os.stat_result, owners: Iterable[int]) -> bool:
    writable = folder.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return folder.st_uid in owners and (not writable or bool(folder.st_mode & stat.S_ISVTX))
