"""Names and queries of a user's, made safe to stand in GoogleSQL."""

import re

from sqlglot import tokenize
from sqlglot.errors import SqlglotError
from sqlglot.tokens import TokenType

_PROJECT = r"(?P<project>[a-z0-9.:-]+)\."
_TABLE = re.compile(rf"(?:{_PROJECT})?(?P<dataset>\w+)\.(?P<table>[\w -]+\*?)")


class Unsafe(ValueError):
    """A name or query that cannot stand in a statement; the message says why."""


def quoted(name: str) -> str:
    """Any column's name as a GoogleSQL identifier."""
    escaped = name.replace("\\", "\\\\").replace("`", "\\`").replace("\r", "\\r")
    return f"`{escaped}`".replace("\n", "\\n")


def table(name: str) -> str:
    """`dataset.table` or `project.dataset.table` as a GoogleSQL relation; else Unsafe."""
    if not _TABLE.fullmatch(name):
        raise Unsafe(f"{name!r} is no table: write project.dataset.table")
    return f"`{name}`"


def relation(catalogue: str) -> str:
    """A table or a query, whichever it is."""
    return subquery(catalogue) if is_query(catalogue) else table(catalogue)


def is_query(catalogue: str) -> bool:
    """Whether it is rather a query than a table."""
    return bool(re.match(r"\s*(SELECT|WITH)\b", catalogue, re.IGNORECASE))


def subquery(text: str) -> str:
    """One SELECT as a GoogleSQL relation; Unsafe for anything that would reach beyond it."""
    try:
        tokens = tokenize(text, read="bigquery")
        if tokens and tokens[-1].token_type == TokenType.SEMICOLON:
            text = text[: tokens.pop().start]
    except SqlglotError as error:
        raise Unsafe(f"the query does not parse: {error}") from error
    if not tokens or tokens[0].token_type not in (TokenType.SELECT, TokenType.WITH):
        raise Unsafe("a query has to begin with SELECT or WITH")
    depth = 0
    for token in tokens:
        depth += (token.token_type == TokenType.L_PAREN) - (token.token_type == TokenType.R_PAREN)
        if depth < 0 or token.token_type == TokenType.SEMICOLON:
            raise Unsafe("the query has to be one statement, without a semicolon")
    if depth:
        raise Unsafe("the query has an open bracket")
    return f"(\n{text}\n)"  # a comment at its end must not hide the bracket
