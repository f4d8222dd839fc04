"""Files of numbers, read piece by piece: what is taken from each line, and what is wrong with it."""

import json

import pytest

from sipcore.domain.number_file import MAX_LINE_BYTES, ListFormat, NumberFile


def read(text, file_format=ListFormat.CSV, *, pieces=7):
    data = text if isinstance(text, bytes) else text.encode()
    file = NumberFile(file_format)
    lines = [line for at in range(0, len(data), pieces) for line in file.feed(data[at : at + pieces])]
    return [*lines, *file.end()]


def numbers(text, **more):
    return [(line.number, line.reference) for line in read(text, **more)]


@pytest.mark.parametrize("pieces", [1, 3, 1000])
def test_a_header_names_the_columns_whatever_the_pieces_that_the_file_comes_in(pieces):
    text = "Name,Reference,Number\r\nAnn,c-1,+12025550123\r\nBob,,202 555-0124\r\n"
    assert numbers(text, pieces=pieces) == [("+12025550123", "c-1"), ("2025550124", None)]


def test_without_a_header_the_first_column_is_the_number_and_the_second_the_reference():
    assert numbers("+12025550123,c-1\n+12025550124\n") == [("+12025550123", "c-1"), ("+12025550124", None)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_cells_are_parted_as_the_first_line_has_them(delimiter):
    text = f"number{delimiter}reference\n+12025550123{delimiter}c-1\n"
    assert numbers(text) == [("+12025550123", "c-1")]


@pytest.mark.parametrize(
    "first", ["+12025550123,hello; world", '"+12025550123","a; b"', "+12025550123;a, b", "+12025550123\ta,b;c"]
)
def test_the_first_sign_outside_of_quotes_parts_the_cells(first):
    assert [number for number, _ in numbers(f"{first}\n")] == ["+12025550123"]


def test_quotes_a_byte_order_mark_and_a_last_line_without_an_end_are_understood():
    text = '\ufeffnumber,reference\n"+1 (202) 555.0123","a ""b"", c"'
    assert numbers(text) == [("+12025550123", 'a "b", c')]


def test_lines_are_counted_with_the_header_and_the_empty_ones():
    lines = read("number\n\n+12025550123\n   \n+12025550124\n")
    assert [line.line for line in lines] == [3, 5]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"+1\xff", "is not UTF-8"),
        (b'"+12025550123', "is no well-formed CSV: a quote is not closed, or stands in the wrong place"),
        (b",c-1", "has no number"),
        (b"+12025550123," + b"x" * 129, "its reference must be at most 128 printable characters"),
        (b"+12025550123,a\x07b", "its reference must be at most 128 printable characters"),
        (b"9" * (MAX_LINE_BYTES + 1), f"is longer than {MAX_LINE_BYTES} bytes"),
    ],
)
def test_a_bad_line_is_told_and_those_around_it_are_read(line, problem):
    before, bad, after = read(b"+12025550123\n" + line + b"\n+12025550124\n")
    assert (before.number, after.number) == ("+12025550123", "+12025550124")
    assert (bad.line, bad.problem) == (2, problem)
    assert bad.text.encode()[:2] == line.decode(errors="replace").encode()[:2]


def test_of_a_line_without_an_end_no_more_is_kept_than_the_longest_that_is_read():
    file = NumberFile(ListFormat.CSV)
    for _ in range(100):
        assert list(file.feed(b"9" * MAX_LINE_BYTES)) == []
    assert len(file._rest) == MAX_LINE_BYTES
    (line, good) = file.feed(b"\n+12025550123\n")
    assert (line.problem, good.number) == (f"is longer than {MAX_LINE_BYTES} bytes", "+12025550123")


def test_a_json_line_is_an_object_or_a_string():
    text = '{"number": "+12025550123", "reference": "c-1", "more": [1]}\n"+12025550124"\n'
    assert numbers(text, file_format=ListFormat.JSON_LINES) == [("+12025550123", "c-1"), ("+12025550124", None)]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "is no JSON"),
        ("[" * 1500, "is no JSON"),
        ("[1]", "must be a JSON object with `number`, or a string"),
        ('{"number": 12025550123}', "has no number: give it as a string"),
        ("{}", "has no number: give it as a string"),
        ('{"number": "+12025550123", "reference": 1}', "its reference must be a string"),
        (json.dumps({"number": "1", "reference": "x" * 129}), "its reference must be at most 128 printable characters"),
    ],
)
def test_a_bad_json_line_is_told(line, problem):
    (bad,) = read(line, ListFormat.JSON_LINES, pieces=2000)
    assert bad.problem == problem
