"""The arrows of the house: api → service → domain; sip, store, audio and config → domain.

Only the composition root, `api/main.py`, knows all rooms. `.importlinter` says the same to `lint-imports`; here the
reason of a failure is one line, and the domain's clock is looked for as well.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOUSES = ("sipcore", "api", "config")
COMPOSITION_ROOT = "api.main"
ARROWS = {
    "sipcore.domain": set(),
    "sipcore.service": {"sipcore.domain"},
    "sipcore.sip": {"sipcore.domain"},
    "sipcore.store": {"sipcore.domain"},
    "sipcore.audio": {"sipcore.domain"},
    "config": {"sipcore.domain"},
    "api": {"sipcore.domain", "sipcore.service"},
}
"""Which other rooms a room may import."""
OWNERS = {
    "pjsua2": "sipcore.sip",
    **dict.fromkeys(("sqlalchemy", "alembic"), "sipcore.store"),
    "tornado": "api",
    **dict.fromkeys(("espeakng_loader", "numpy", "soundfile", "soxr"), "sipcore.audio"),
}
"""Libraries that one room alone may import."""
IMPURE = {
    *("asyncio", "concurrent", "multiprocessing", "queue", "sched", "select", "selectors", "signal", "socket"),
    *("ssl", "subprocess", "threading", "time"),
}
"""Modules of the standard library that wait, listen or read a clock."""
CLOCKS = {"now", "today", "utcnow"}


def modules(root: Path) -> Iterator[tuple[str, Path]]:
    """Every module of the house: its dotted name and its file."""
    for house in HOUSES:
        for path in sorted((root / house).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imports(name: str, path: Path) -> Iterator[str]:
    """Every module that a module imports, wherever in it; `from a import b` counts as `a` and as `a.b`."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def room(module: str) -> str | None:
    """The room that a module stands in, or None for a library and for the bare `sipcore` package."""
    return next((room for room in ARROWS if module == room or module.startswith(f"{room}.")), None)


def forbidden_arrows(root: Path) -> list[str]:
    """Every import that goes another way than the arrows."""
    found = []
    for name, path in modules(root):
        here = room(name)
        if here is None or name == COMPOSITION_ROOT:
            continue
        for target in imports(name, path):
            there = room(target)
            library = target.partition(".")[0]
            if there not in {None, here, *ARROWS[here]} or OWNERS.get(library, here) != here:
                found.append(f"{name} -> {target}")
    return sorted(set(found))


def impurities(root: Path) -> list[str]:
    """Everything in the domain that is no pure Python: a library, a module that waits, a clock that is read."""
    found = []
    for name, path in modules(root):
        if room(name) != "sipcore.domain":
            continue
        for target in imports(name, path):
            top = target.partition(".")[0]
            if top in IMPURE or (top != "sipcore" and top not in sys.stdlib_module_names):
                found.append(f"{name} imports {top}")
        tree = ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path)))
        read = [node for node in tree if isinstance(node, ast.Attribute) and node.attr in CLOCKS]
        found.extend(f"{name} reads a clock: {ast.unparse(node)}" for node in read)
    return sorted(set(found))


def strangers(folder: Path) -> list[str]:
    """Everything that the domain's tests import and that is no part of it: other rooms, loops, clocks, sockets."""
    own = {path.stem for path in folder.glob("*.py")} | {"pytest", "hypothesis"}
    found = []
    for path in sorted(folder.glob("*.py")):
        for target in imports(path.stem, path):
            top = target.partition(".")[0]
            at_home = room(target) == "sipcore.domain" or top in own
            if not at_home and (top in IMPURE or top not in sys.stdlib_module_names):
                found.append(f"{path.name} imports {target}")
    return sorted(set(found))


def test_the_domains_tests_need_the_domain_alone() -> None:
    assert strangers(ROOT / "tests/domain") == []


@pytest.mark.parametrize(
    "line", ["import asyncio", "from sipcore.service import port", "import time", "import tornado"]
)
def test_a_test_of_the_domain_that_needs_more_is_found(tmp_path: Path, line: str) -> None:
    (tmp_path / "test_call.py").write_text(f"import re\nimport pytest\nfrom sipcore.domain import call\n{line}\n")
    assert strangers(tmp_path) != []


def test_imports_run_one_way() -> None:
    assert forbidden_arrows(ROOT) == []


def test_import_linter_agrees() -> None:
    lint_imports = Path(sys.executable).parent / "lint-imports"
    run = subprocess.run([lint_imports, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout


def test_the_domain_is_pure() -> None:
    assert impurities(ROOT) == []


def test_the_walk_sees_the_house() -> None:
    seen = {room(name) for name, _ in modules(ROOT)}
    assert seen >= set(ARROWS)


def write(root: Path, module: str, source: str) -> None:
    path = root.joinpath(*module.split(".")).with_suffix(".py")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source, encoding="utf-8")


@pytest.mark.parametrize(
    ("module", "source", "arrow"),
    [
        ("sipcore.domain.call", "import sipcore.service.port", "sipcore.domain.call -> sipcore.service.port"),
        ("sipcore.domain.call", "def f():\n    from config import model", "sipcore.domain.call -> config.model"),
        ("sipcore.service.engine", "from sipcore import store", "sipcore.service.engine -> sipcore.store"),
        ("sipcore.service.engine", "from ..sip import pool", "sipcore.service.engine -> sipcore.sip.pool"),
        ("sipcore.service.engine", "import tornado.web", "sipcore.service.engine -> tornado.web"),
        ("sipcore.sip.pool", "from sipcore.service.port import SipPort", "sipcore.sip.pool -> sipcore.service.port"),
        ("sipcore.sip.pool", "from sipcore.store.records import x", "sipcore.sip.pool -> sipcore.store.records"),
        ("sipcore.store.records", "import api.main", "sipcore.store.records -> api.main"),
        ("sipcore.audio.library", "import config.model", "sipcore.audio.library -> config.model"),
        ("sipcore.sip.worker", "import numpy as np", "sipcore.sip.worker -> numpy"),
        ("config.loader", "from sipcore.sip import pool", "config.loader -> sipcore.sip.pool"),
        ("api.handlers.dialup", "from sipcore.store import records", "api.handlers.dialup -> sipcore.store.records"),
        ("api.handlers.dialup", "import config.model", "api.handlers.dialup -> config.model"),
        ("api.cli", "import pjsua2", "api.cli -> pjsua2"),
    ],
)
def test_a_forbidden_arrow_is_found(tmp_path: Path, module: str, source: str, arrow: str) -> None:
    write(tmp_path, module, source)
    assert arrow in forbidden_arrows(tmp_path)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("sipcore.domain.call", "from sipcore.domain.causes import Outcome\nfrom . import events"),
        ("sipcore.service.engine", "import asyncio\nfrom sipcore.domain.call import Call"),
        ("sipcore.sip.pool", "import pjsua2\nfrom ..domain import events"),
        ("sipcore.store.records", "import sqlalchemy\nfrom sipcore.domain.record import CallRecord"),
        ("config.loader", "from sipcore.domain.directory import Directory"),
        ("api.handlers.dialup", "import tornado.web\nfrom sipcore.service.calls import Calls"),
        ("api.main", "import config.loader\nfrom sipcore.sip import pool\nfrom sipcore.store import records"),
    ],
)
def test_an_arrow_of_the_design_is_let_through(tmp_path: Path, module: str, source: str) -> None:
    write(tmp_path, module, source)
    assert forbidden_arrows(tmp_path) == []


@pytest.mark.parametrize(
    ("source", "impurity"),
    [
        ("import asyncio", "imports asyncio"),
        ("from threading import Lock", "imports threading"),
        ("def f():\n    import time", "imports time"),
        ("import socket as s", "imports socket"),
        ("import phonenumbers", "imports phonenumbers"),
        ("from datetime import datetime, UTC\nt = datetime.now(UTC)", "reads a clock: datetime.now"),
        ("import datetime\nt = datetime.date.today()", "reads a clock: datetime.date.today"),
    ],
)
def test_an_impure_domain_is_found(tmp_path: Path, source: str, impurity: str) -> None:
    write(tmp_path, "sipcore.domain.call", source)
    assert impurities(tmp_path) == [f"sipcore.domain.call {impurity}"]


def test_no_two_test_files_have_one_name() -> None:
    names = Counter(path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py")
    assert [name for name, count in names.items() if count > 1] == []
