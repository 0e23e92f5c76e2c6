"""Placeholders in queries: they become text inside of quotes, whatever they stand for."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthchecks.promql import fill, raise_if_unfit, used

VALUES = {"slot": ["green"], "service": ["shop"], "instances": ["10.0.0.1:80", "10.0.0.2:80"]}


@pytest.mark.parametrize(
    ("query", "filled"),
    [
        ('x{slot="{slot}",job="{service}-{slot}"}', 'x{slot="green",job="shop-green"}'),
        ("x{slot='{slot}'}", "x{slot='green'}"),
        ('x{slot=~"{slot}|none"}', 'x{slot=~"(?:green)|none"}'),
        ('x{i !~ "{instances}"}', 'x{i !~ "(?:10\\\\.0\\\\.0\\\\.1:80|10\\\\.0\\\\.0\\\\.2:80)"}'),
        ('x{a="\\"{slot}"}', 'x{a="\\"green"}'),
        ('x{a=`b"c`, slot="{slot}"} # it\'s {slot}\n + 1', 'x{a=`b"c`, slot="green"} \n + 1'),
        ("sum by (slot) (x{})", "sum by (slot) (x{})"),
    ],
)
def test_placeholders_are_filled_in(query: str, filled: str) -> None:
    """Otherwise the query is about another side, or about nothing."""
    raise_if_unfit(query)
    assert fill(query, VALUES) == filled


@pytest.mark.parametrize(
    "query",
    [
        "x{slot={slot}}",
        "{service}",
        "x{a=`{slot}`}",
        'x{a="{instances}"}',
        'x{a="b',
        "x{a='b\"}",
        "",
        " ",
        "\0",
        "x" * 5000,
    ],
)
def test_unsafe_queries_are_refused(query: str) -> None:
    """Otherwise a placeholder becomes part of the query instead of a label's value."""
    with pytest.raises(ValueError):
        raise_if_unfit(query)


def test_used_names_the_placeholders() -> None:
    """Otherwise instances are asked for where nobody needs them, or are not where somebody does."""
    assert used('x{a="{slot}", b=~"{instances}"}') == {"slot", "instances"}
    assert used("x{slot='a'}") == set()


@given(st.text(max_size=40), st.sampled_from(['"', "'"]))
def test_no_value_ends_its_string(value: str, quote: str) -> None:
    """Otherwise the name of a service could ask for something else."""
    filled = fill(f"x{{a={quote}{{service}}{quote}}} + 1", {**VALUES, "service": [value]})
    inside = filled.removeprefix(f"x{{a={quote}").removesuffix(f"{quote}}} + 1")
    assert filled == f"x{{a={quote}{inside}{quote}}} + 1"
    assert re.fullmatch(rf"(?:[^\\\n{quote}]|\\.)*", inside)


@given(st.text(max_size=80))
def test_any_text_is_filled_or_refused(query: str) -> None:
    """Otherwise an odd query crashes the check."""
    try:
        raise_if_unfit(query)
    except ValueError:
        return
    fill(query, VALUES)
