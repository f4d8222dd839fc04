"""Where commands write octets to."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from api.client import ClientError


def write_octets(chunks: Iterable[bytes], output: str) -> None:
    """Write to a file, or to the standard output when it is called `-`. Whoever finds the file finds all of it.

    Raises:
        ClientError: the file cannot be written, or what comes breaks off.
    """
    if output == "-":
        sys.stdout.buffer.writelines(chunks)
        return
    path = Path(output)
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            file.writelines(chunks)
        part.replace(path)
    except OSError as error:
        raise ClientError(f"{path}: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
