import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from sipcore.audio.spool import open_spool
from sipcore.domain.errors import StartUpError

WORKER = 65_534


@pytest.fixture
def given_away(monkeypatch):
    """Ids that folders were given to; only root may really do that."""
    given = []
    monkeypatch.setattr(os, "fchown", lambda descriptor, uid, gid: given.append((path_of(descriptor), uid, gid)))
    return given


@pytest.fixture
def temporary(monkeypatch):
    """A folder for temporary files that everybody reaches and nobody can rename things in."""
    folder = Path(tempfile.mkdtemp(prefix="spool-"))
    folder.chmod(0o1777)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    for path in sorted(folder.rglob("*"), reverse=True):
        path.unlink() if path.is_symlink() or path.is_file() else path.rmdir()
    folder.rmdir()


def path_of(descriptor: int) -> Path:
    return Path(f"/proc/self/fd/{descriptor}").readlink()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def closed(tmp_path):
    """A folder below one that only we may pass through, as a home folder is."""
    (tmp_path / "home").mkdir(mode=0o700)
    return tmp_path / "home" / "spool"


def test_a_reachable_folder_is_used(temporary, given_away):
    spool = open_spool(temporary / "var" / "spool", WORKER, WORKER)
    assert spool.instead_of is None
    assert spool.audio == temporary / "var" / "spool" / "audio"
    assert (mode(spool.audio), mode(spool.recordings)) == (0o755, 0o700)
    assert given_away == [(spool.recordings, WORKER, WORKER)]


def test_workers_of_the_same_user_reach_everything(closed, given_away):
    spool = open_spool(closed, None, None)
    assert spool.instead_of is None
    assert spool.recordings == closed / "recordings"
    assert given_away == []


@pytest.mark.usefixtures("given_away")
def test_folders_that_are_there_are_used_again_and_get_their_modes_back(temporary):
    first = open_spool(temporary / "spool", WORKER, WORKER)
    (first.audio / "kept.wav").touch()
    first.audio.chmod(0o777)
    first.recordings.chmod(0o755)
    assert open_spool(temporary / "spool", WORKER, WORKER) == first
    assert (mode(first.audio), mode(first.recordings)) == (0o755, 0o700)
    assert (first.audio / "kept.wav").exists()


@pytest.mark.usefixtures("given_away")
def test_a_folder_that_workers_cannot_reach_is_replaced_by_one_that_they_can(closed, temporary):
    spool = open_spool(closed, WORKER, WORKER)
    assert spool.instead_of == closed
    assert spool.audio.parent.parent == temporary
    assert mode(spool.audio.parent) == 0o755
    assert open_spool(closed, WORKER, WORKER) == spool
    assert open_spool(closed.with_name("other"), WORKER, WORKER).audio != spool.audio


@pytest.mark.parametrize(("bits", "reached"), [(0o710, True), (0o701, False), (0o700, False)])
@pytest.mark.usefixtures("given_away")
def test_a_group_that_workers_are_in_counts(temporary, bits, reached):
    above = temporary / "above"
    above.mkdir()
    above.chmod(bits)
    assert (open_spool(above / "spool", WORKER, above.stat().st_gid).instead_of is None) is reached


@pytest.mark.usefixtures("temporary")
def test_the_place_for_temporary_files_is_not_taken_from_somebody_else(closed, given_away, tmp_path):
    place = open_spool(closed, WORKER, WORKER).audio.parent
    (place / "audio").rmdir()
    (place / "recordings").rmdir()
    place.rmdir()
    place.symlink_to(tmp_path)
    with pytest.raises(StartUpError, match="somebody else has"):
        open_spool(closed, WORKER, WORKER)
    assert given_away == [(place / "recordings", WORKER, WORKER)]


@pytest.mark.usefixtures("given_away")
def test_a_link_in_place_of_a_folder_is_not_followed(temporary, tmp_path):
    spool = open_spool(temporary / "spool", WORKER, WORKER)
    spool.recordings.rmdir()
    spool.recordings.symlink_to(tmp_path)
    with pytest.raises(StartUpError, match=f"storage.spool: cannot make {spool.recordings}"):
        open_spool(temporary / "spool", WORKER, WORKER)


@pytest.mark.parametrize("bits", [0o700, 0o777])
@pytest.mark.usefixtures("given_away")
def test_a_place_for_temporary_files_that_is_closed_or_open_to_renaming_is_refused(closed, temporary, bits):
    temporary.chmod(bits)
    with pytest.raises(StartUpError, match=r"^storage\.spool: expected a folder that workers can reach"):
        open_spool(closed, WORKER, WORKER)


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StartUpError, match=r"^storage\.spool: cannot make .*/file/spool: Not a directory"):
        open_spool(tmp_path / "file" / "spool", None, None)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's workers run as somebody else")
@pytest.mark.usefixtures("temporary")
def test_a_worker_reads_audio_and_writes_recordings_and_nothing_else(closed):
    spool = open_spool(closed, WORKER, WORKER)
    (spool.audio / "a.wav").write_bytes(b"sound")
    program = (
        "import os, pathlib, sys\n"
        f"os.setgroups([]); os.setgid({WORKER}); os.setuid({WORKER})\n"
        "audio, recordings = map(pathlib.Path, sys.argv[1:])\n"
        "assert (audio / 'a.wav').read_bytes() == b'sound'\n"
        "(recordings / 'b.wav').write_bytes(b'heard')\n"
        "assert not os.access(audio, os.W_OK) and not os.access(audio.parent, os.W_OK)\n"
    )
    subprocess.run([sys.executable, "-c", program, spool.audio, spool.recordings], check=True)
    assert (spool.recordings / "b.wav").read_bytes() == b"heard"
