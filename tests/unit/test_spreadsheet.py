"""CSV cells: what a spreadsheet would calculate is defused, and everything else is read back as it was."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.spreadsheet import csv_text, safe_text


def read(text):
    return list(csv.reader(io.StringIO(text, newline="")))


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1+cmd|' /C calc'!A0", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "\uff1d1", "+", "+1 ", "+1\n"],
)
def test_what_a_spreadsheet_would_calculate_gets_an_apostrophe(text):
    assert read(csv_text([[text]])) == [["'" + text]]


@pytest.mark.parametrize("text", ["+12025550123", "101", "*43", "#9", "a=b", "'", "", "3c26e0a1@10.0.0.1"])
def test_numbers_and_plain_texts_stay(text):
    assert safe_text(text) == text


def test_numbers_of_ours_and_nothing_are_written_plainly():
    assert csv_text([["id", "mos"], ["a,b", -4.5], [None, 7]]) == 'id,mos\r\n"a,b",-4.5\r\n,7\r\n'


@given(st.lists(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=4), max_size=4))
def test_any_text_is_read_back_as_it_was_made_safe(rows):
    # A line of one empty cell is written as "" and read as such.
    assert read(csv_text(rows)) == [[safe_text(cell) for cell in row] for row in rows]
