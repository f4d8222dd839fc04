import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.lines import LineIndex

# Whole values; some span lines, some hold what looks like the end of a value, a comment, a key or a table.
VALUES = [
    "1",
    "1979-05-27T07:32:00Z",
    '"a # b = c"',
    "'[x]'",
    '"]\\""',
    '"""\nx = 1\n[t]\n# no comment\n"""',
    "'''\n\"\"\"\n]\n'''",
    '"""a\\\n  b"""',
    '[\n  1, # ]\n  "]",\n\n  """\n]""",\n]',
    "[[1], [\n2\n]]",
    "{ a = 1, b.c = '}' }",
    '[{ a = """\n""" }]',
    "[]",
]
NOISE = ["", "   ", "\t# comment", "# [t9]", "# k = '''"]
KEY_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from('"\\.#[]= \n\t'), max_size=5)


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, dict[tuple[str, ...], int]]:
    """Draw a TOML file, and the line of every key and table header in it."""
    lines: list[str] = []
    expected: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number in range(draw(st.integers(1, 12))):
        lines += draw(st.lists(st.sampled_from(NOISE), max_size=3))
        # The number makes each key a new one, the text makes it an awkward one.
        keys = tuple(f"{number}{text}" for text in draw(st.lists(KEY_TEXT, min_size=1, max_size=3)))
        source = " . ".join(json.dumps(key, ensure_ascii=False) for key in keys)
        if draw(st.booleans()):
            table = keys
            source, path = f"  [ {source} ]  # header", keys
        else:
            source, path = f"{source} = {draw(st.sampled_from(VALUES))}", table + keys
        expected[path] = len(lines) + 1
        lines += source.split("\n")
    return draw(st.sampled_from(["\n", "\r\n"])).join(lines), expected


@given(documents())
def test_the_index_names_the_line_of_every_key(document):
    text, expected = document
    index = LineIndex(text)
    assert {path: index.line_of(path) for path in expected} == expected


def test_keys_inside_inline_tables_and_arrays_have_the_line_of_the_key_that_holds_them():
    index = LineIndex('\n[orgs.acme]\nusers = { alice = { password = "x" } }\ncaller_ids = [\n "1",\n "2",\n]\n')
    assert index.line_of(("orgs", "acme", "users", "alice", "password")) == 3
    assert index.line_of(("orgs", "acme", "caller_ids", 1)) == 4


def test_a_key_that_is_not_there_has_the_line_of_the_table_around_it():
    index = LineIndex("[orgs.acme.users.alice]\n[trunks.main]\n")
    assert index.line_of(("trunks", "main", "proxy")) == 2
    assert index.line_of(("orgs", "acme", "country")) == 1
    assert index.line_of(("server", "listen")) is None
    assert index.line_of(()) is None


def test_a_header_wins_over_an_earlier_mention_of_its_table():
    index = LineIndex("[orgs.acme.users.alice]\n\n[orgs.acme]\n[orgs]\n")
    assert index.line_of(("orgs", "acme")) == 3
    assert index.line_of(("orgs",)) == 4


def test_entries_of_an_array_of_tables_have_lines_of_their_own():
    index = LineIndex("[[a]]\nk = 1\n[a.b]\nk = 1\n[[a]]\nk = 1\n[a.b]\nk = 1\n")
    paths = [("a", n, *rest) for n in (0, 1) for rest in ((), ("k",), ("b",), ("b", "k"))]
    assert [index.line_of(path) for path in paths] == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.timeout(5)
def test_a_long_array_is_indexed_in_reasonable_time():
    text = "numbers = [\n" + ' "+12025550100",\n' * 20_000 + "]\nafter = 1\n"
    assert LineIndex(text).line_of(("after",)) == 20_003
