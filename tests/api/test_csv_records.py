"""Reading CSV: what RFC 4180 allows, and where it is wrong."""

import csv
import io

import pytest

from alchemist import errors
from alchemist.api import csv_records
from alchemist.api.csv_records import read_records
from tests.properties import given, st


def read(text):
    body = text if isinstance(text, bytes) else text.encode()
    return [(record.line, record.fields) for record in read_records(io.BytesIO(body))]


@pytest.mark.parametrize(
    ("text", "records"),
    [
        ("a,b\r\n1,2\r\n", [(1, ["a", "b"]), (2, ["1", "2"])]),
        ("a,b\n1,2", [(1, ["a", "b"]), (2, ["1", "2"])]),
        (',"",\n', [(1, [None, "", None])]),
        ('"x""y"\n', [(1, ['x"y'])]),
        ('"a,b","c\r\nd"\ne,f', [(1, ["a,b", "c\r\nd"]), (3, ["e", "f"])]),
        ("\ufeffa\n", [(1, ["a"])]),
        ('\ufeff"a"\n', [(1, ["a"])]),
        ("a\n\n\r\nb\n\n", [(1, ["a"]), (4, ["b"])]),
        (" a , b\n", [(1, [" a ", " b"])]),
        ("=1+1,-1,+1,@a\n", [(1, ["=1+1", "-1", "+1", "@a"])]),
        ("", []),
    ],
)
def test_fields_are_read(text, records):
    assert read(text) == records


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('a,b\n"c"d,e\n', {"line": 2, "column": 1}),
        ('a,b\nc,d"e"\n', {"line": 2, "column": 2}),
        ('a\n"b\nc\n', {"line": 2}),
        ("a,b\rc\n", {"line": 1, "column": 2}),
        (b"a\nb\n\xff\n", {"line": 3}),
        ("a\nb\0\n", {"line": 2}),
    ],
)
def test_wrong_syntax_is_400_with_its_line_and_column(text, place):
    with pytest.raises(errors.BadRequest) as caught:
        read(text)
    [detail] = caught.value.errors
    assert {name: detail[name] for name in ("line", "column") if name in detail} == place
    assert str(caught.value).startswith(f"Line {place['line']}")


def test_a_record_has_a_maximum_length(monkeypatch):
    monkeypatch.setattr(csv_records, "MAX_RECORD", 100)
    assert read('"' + 98 * "a" + '"') == [(1, [98 * "a"])]
    with pytest.raises(errors.BadRequest, match="too long"):
        read('a\n"' + 60 * "b\n")


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(st.lists(st.lists(TEXTS, min_size=2, max_size=2), max_size=5))
def test_what_the_csv_module_writes_is_read(rows):
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(rows)
    assert [fields for _, fields in read(text.getvalue())] == rows
