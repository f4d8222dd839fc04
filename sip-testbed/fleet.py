"""A whole fleet on loopback: trunk, edge, two nodes, two phones that register, and a customer behind the trunk."""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request
from contextlib import ExitStack, suppress
from pathlib import Path

from testbed.edge import Edge
from testbed.kamailio import Kamailio
from testbed.phone import Phone
from testbed.process import Child, wait_until

# Edge, nodes and trunk are told apart by their addresses.
EDGE, TRUNK, PHONES, CUSTOMERS = "127.0.0.40:25060", "127.0.0.43:25060", "127.0.0.44", "127.0.0.45"
NODES = ("127.0.0.41", "127.0.0.42")
HTTP_PORT = 18081
CUSTOMER, OUR_NUMBER = "+12025550142", "+12025550100"
TONES = {"acme-101": 440.0, "acme-102": 620.0, CUSTOMER: 880.0}
SECRET, CUSTOMER_PASSWORD = "phone-secret", "customerpass"
SETTINGS = f"""
[sip]
ports = "15060-15067"
rtp_ports = "20000-20255"
[edge]
address = "sip:{EDGE}"
nodes = ["{NODES[0]}:15060-15067", "{NODES[1]}:15060-15067"]
[trunks.main]
proxy = "sip:{TRUNK}"
registrar = "sip:{TRUNK}"
username = "trunkuser"
password = "trunkpass"
realm = "testbed"
[orgs.acme]
trunk = "main"
caller_id = "{OUR_NUMBER}"
users.alice.password = "s3cret"
extensions.101.secret = "{SECRET}"
extensions.102.secret = "{SECRET}"
ring_groups.600.members = ["101", "102"]
apps.echo = {{ number = "*43", kind = "echo" }}
inbound = {{ "{OUR_NUMBER}" = "600" }}
"""


def run_fleet(directory: Path) -> None:
    """Run it until Ctrl-C; settings, databases and logs are left in `directory`."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings = directory / "click2call.toml"
    settings.write_text(SETTINGS)
    trunk_host, edge_host = (where.partition(":")[0] for where in (TRUNK, EDGE))
    port = int(EDGE.partition(":")[2])
    with ExitStack() as stack:
        customer = stack.enter_context(
            Phone(CUSTOMER, host=CUSTOMERS, tone_hz=TONES[CUSTOMER], username="customer", password=CUSTOMER_PASSWORD)
        )
        hops = {OUR_NUMBER: EDGE, CUSTOMER: f"{customer.host}:{customer.port}"}
        users = {"trunkuser": "trunkpass", "customer": CUSTOMER_PASSWORD}
        stack.enter_context(Kamailio(users, host=trunk_host, port=port, next_hops=hops, workdir=directory / "trunk"))
        edge = stack.enter_context(Edge(settings, host=edge_host, port=port, workdir=directory / "edge"))
        children = [_start_node(stack, settings, index) for index in range(len(NODES))]
        for user in ("acme-101", "acme-102"):
            stack.enter_context(Phone(user, host=PHONES, tone_hz=TONES[user], registrar=edge.uri, password=SECRET))
        for node in NODES:
            edge.wait_active(node)
        _tell(directory, children)
        with suppress(EOFError, KeyboardInterrupt):
            while True:
                input("Enter: the customer calls, or hangs up; Ctrl-C: the end > ")
                if customer.active_calls():
                    customer.hang_up()
                else:
                    customer.call(f"sip:{OUR_NUMBER}@{TRUNK}")


def _start_node(stack: ExitStack, settings: Path, index: int) -> Child:
    folder, url = settings.with_name(f"node{index + 1}"), _url(index)
    own = {
        "CLICK2CALL__SIP__ADDRESS": NODES[index],
        "CLICK2CALL__SERVER__LISTEN": url.removeprefix("http://"),
        "CLICK2CALL__STORAGE__DATABASE": f"sqlite:///{folder}/records.db",
        "CLICK2CALL__STORAGE__RECORDINGS": f"{folder}/recordings",
        "CLICK2CALL__STORAGE__SPOOL": f"{folder}/spool",
    }
    folder.mkdir(exist_ok=True)
    command = [str(Path(sys.executable).parent / "click2call"), "serve", "--config", str(settings)]
    child = Child(command, folder / "server.log", environment=os.environ | own, death_signal="TERM")
    stack.callback(child.stop)
    wait_until(lambda: _is_ready(url), 30.0, f"node {index + 1} is not ready", alive=child.death)
    return child


def _url(index: int) -> str:
    return f"http://127.0.0.1:{HTTP_PORT + index}"


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def _tell(directory: Path, nodes: list[Child]) -> None:
    """Say what runs, and what can be done with it."""
    print(f"edge sip:{EDGE}, trunk sip:{TRUNK}; settings and logs are in {directory}")
    for user, hz in TONES.items():
        print(f"  phone {user} plays {hz:g} Hz")
    click = "/API/dialup.php?user=alice&pass=s3cret&org=acme&dial1=101&Response=yes&dial2="
    for index, node in enumerate(nodes):
        print(f"node {index + 1}, process {node.pid}:")
        print(f"  curl '{_url(index)}{click}102'")
        print(f"  curl '{_url(index)}{click}{CUSTOMER.replace('+', '%2B')}'")
    print(f"kill -9 {nodes[0].pid}: calls that come in go to the other node\n", flush=True)
