#!/usr/bin/env python3
"""Asks a PostgreSQL for the answers to expressions.txt and writes answers.txt beside it.

Usage: record.py <libpq connection string>, of a throwaway server with a database of encoding UTF8 and locale C.UTF-8.
"""
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
EVALUATE = r"""
SET client_min_messages = error;
CREATE OR REPLACE FUNCTION pg_temp.answer(expression text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE out text; message text; detail text; hint text;
BEGIN
    EXECUTE 'SELECT pg_typeof(x)::text || E''\t'' || CASE WHEN x IS NULL THEN ''\N'' ELSE format(''%s'', x) END FROM (SELECT '
        || expression || ') AS s(x)' INTO out;
    RETURN replace(out, E'\n', '\n');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN '!' || SQLSTATE || E'\t' || replace(concat_ws(E'\t', message, 'DETAIL ' || nullif(detail, ''), 'HINT ' || nullif(hint, '')), E'\n', '\n');
END $$;
"""

# Functions whose plain names are SQL syntax of their own.
SYNTAX = {"extract", "overlay", "position", "substring", "trim", "timestamp", "time", "interval", "numeric", "char", "bit"}


def literal(text):
    return "NULL" if text == r"\N" else "'" + text.replace("'", "''") + "'"


def value(kind, text):
    return literal(text) if kind == "unknown" else f"CAST({literal(text)} AS {kind})"


def pairs(fields):
    return [value(kind, text) for kind, text in zip(fields[::2], fields[1::2])]


def sql(fields):
    kind, rest = fields[0], fields[1:]
    if kind == "in":
        return f"CAST({literal(rest[1])} AS {rest[0]})"
    if kind == "cast":
        return f"CAST({value(rest[0], rest[1])} AS {rest[2]})"
    if kind == "op":
        left, right = pairs(rest[1:])
        return f"{left} {rest[0]} {right}"
    if kind == "un":
        return f"{rest[0]} {pairs(rest[1:])[0]}"
    if kind == "fn":
        name = f'pg_catalog."{rest[0]}"' if rest[0] in SYNTAX else rest[0]
        return f"{name}({', '.join(pairs(rest[1:]))})"
    rows = ", ".join(f"({i}, {value(rest[1], text)})" for i, text in enumerate(rest[2:]))
    rows = rows or f"(0, CAST(NULL AS {rest[1]}))"
    where = "" if rest[2:] else " WHERE false"
    return f"(SELECT {rest[0]}(v ORDER BY i) FROM (VALUES {rows}) AS r(i, v){where})"


script = [EVALUATE]
lines = []
for line in (HERE / "expressions.txt").read_text().splitlines():
    if not line or line.startswith("#"):
        continue
    fields = [field.replace("¦", "|") for field in line.split("|")]
    lines.append(line)
    if fields[0] == "zone":
        script.append(f"SET timezone = '{fields[1]}'; SELECT '';")
    else:
        script.append("SELECT pg_temp.answer(" + literal(sql(fields)) + ");")
run = subprocess.run(["psql", "-XAtq", sys.argv[1]], input="\n".join(script), capture_output=True, text=True, check=True)
answers = run.stdout.splitlines()
assert len(answers) == len(lines), (len(answers), len(lines), run.stderr[:2000])
(HERE / "answers.txt").write_text("".join(f"{line}\t{answer}\n" for line, answer in zip(lines, answers)))
