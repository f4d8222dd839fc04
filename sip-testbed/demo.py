"""`make run`: the server on its sample settings, two software phones, and one call between them.

Prints the API's reply and what each phone heard, then keeps serving until Ctrl-C.
"""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from testbed.phone import Phone
from testbed.process import TestbedError, wait_until

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "config" / "sample.toml"
BASE = "http://127.0.0.1:8080"
CLICK = f"{BASE}/API/dialup.php?user=alice&pass=s3cret&org=acme&dial1=101&dial2=102&Response=yes&showUID=yes"
TONES = {"101": 500.0, "102": 900.0}
TALK_SECONDS = 2.0


def is_up(server: subprocess.Popen[bytes]) -> bool:
    """Tell whether the server answers; end this program with its exit code when it has ended."""
    if server.poll() is not None:
        sys.exit(server.returncode or 1)
    try:
        with urllib.request.urlopen(f"{BASE}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def click(phones: list[Phone]) -> None:
    """Place one call through the API, let the phones talk, and print what came of it."""
    print(f"\nGET {CLICK}")
    with urllib.request.urlopen(CLICK, timeout=30) as answer:
        print(answer.read().decode(), end="\n\n")
    heard = {"101": TONES["102"], "102": TONES["101"]}
    for phone in phones:
        phone.wait_heard(heard[phone.extension], timeout=10)
    time.sleep(TALK_SECONDS)
    for phone in phones:
        hz = phone.heard_hz()
        print(f"phone {phone.extension} plays {TONES[phone.extension]:.0f} Hz and heard {hz or 0:.0f} Hz")
    phones[0].hang_up()
    phones[1].wait_for("ended", timeout=5)
    print("phone 101 hung up, and phone 102 was released", flush=True)


def main() -> int:
    """Run the demonstration; return the exit code."""
    print("starting the server and phones 101 and 102 ...", flush=True)
    command = [str(Path(sys.executable).parent / "click2call"), "serve", "--config", str(SAMPLE)]
    server = subprocess.Popen(command, cwd=ROOT)
    try:
        wait_until(lambda: is_up(server), timeout=30, what="the server did not become ready")
        with (
            Phone("101", port=25061, tone_hz=TONES["101"]) as first,
            Phone("102", port=25062, tone_hz=TONES["102"]) as second,
        ):
            click([first, second])
            print(f"\nServing until Ctrl-C. Try it yourself:\n  curl '{CLICK}'\n", flush=True)
            return server.wait()
    except TestbedError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0  # Ctrl-C is how it is meant to end
    finally:
        if server.poll() is None:
            server.terminate()
        server.wait()


if __name__ == "__main__":
    sys.exit(main())
