"""Psycopg 3 against a proxy in the last phase: python3 psycopg3.py CONNINFO.

Asserts everything by itself; the last line it prints is "psycopg: all served".
"""

import datetime as dt
import sys
import threading
import uuid
from decimal import Decimal

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.enum import EnumInfo, register_enum
from psycopg.types.json import Jsonb

CONNINFO = sys.argv[1]

EAST = dt.timezone(dt.timedelta(hours=5, minutes=30))

# Columns of "things" with a value of each type; "code" and "feeling" apart.
VALUES = {
    "flag": True,
    "small": -7,
    "whole": 70_000,
    "big": 2**40,
    "double": 0.1,
    "price": Decimal("1234567.80"),
    "label": "ünï'\\ \"quoted\"",
    "raw": bytes(range(256)),
    "token": uuid.UUID("01234567-89ab-cdef-0123-456789abcdef"),
    "day": dt.date(2024, 2, 29),
    "clock": dt.time(23, 59, 59, 999_999),
    "moment": dt.datetime(2024, 2, 29, 12, 30, 0, 1),
    "instant": dt.datetime(2024, 2, 29, 12, 30, 0, 1, tzinfo=EAST),
    "span": dt.timedelta(days=3, seconds=4, microseconds=5),
    "numbers": [1, None, -3],
    "words": ["a", "b,c", 'd"e', "", None],
}
DOCUMENT = {"deep": [1, 2.5, None, {"x": "y"}], "empty": {}, "true": True}


def connect(**options):
    return psycopg.connect(CONNINFO, **options)


def refused(expected, run):
    """The error of `run`, whose SQLSTATE has to be this one."""
    try:
        run()
    except psycopg.Error as error:
        assert error.sqlstate == expected, (error.sqlstate, expected, error)
        return error
    raise AssertionError(f"{expected} was expected")


def insert_all(connection, code, binary):
    """Every type as a parameter in the driver's own way; gives the row as it reads back."""
    names = ["code", *VALUES, "doc", "feeling"]
    kind = sql.SQL("%b" if binary else "%s")
    # The driver knows no Python type for an enum's values but text.
    marks = [kind] * (len(names) - 1) + [sql.SQL("%s")]
    statement = sql.SQL("INSERT INTO things ({}) VALUES ({}) RETURNING id").format(
        sql.SQL(", ").join(map(sql.Identifier, names)), sql.SQL(", ").join(marks)
    )
    parameters = [code, *VALUES.values(), Jsonb(DOCUMENT), "happy"]
    with connection.cursor(binary=binary, row_factory=dict_row) as cursor:
        key = cursor.execute(statement, parameters).fetchone()["id"]
        return cursor.execute("SELECT * FROM things WHERE id = %s", [key]).fetchone()


def types():
    with connect(autocommit=True) as connection:
        for binary in (False, True):
            row = insert_all(connection, f"python {binary}", binary)
            for name, value in VALUES.items():
                assert row[name] == value, (binary, name, row[name], value)
            # The binary form of an enum, which the driver does not know, is its bytes.
            assert row["doc"] == DOCUMENT and row["feeling"] in ("happy", b"happy"), row
            assert row["single"] is None
            # Each type in a predicate as well; a double is compared as one.
            for name, value in VALUES.items():
                # An array of small numbers is one of int2 to the driver, and PostgreSQL compares it with no other.
                value = "{1,NULL,-3}" if name == "numbers" else value
                find = sql.SQL("SELECT count(*) FROM things WHERE {} = %s AND code LIKE 'python%%'")
                found = connection.execute(find.format(sql.Identifier(name)), [value], binary=binary)
                assert found.fetchone()[0] >= 1, (binary, name)
        nulls = "INSERT INTO things (code, flag, doc, words) VALUES (%s, %s, %s, %s) RETURNING flag, doc, words"
        assert connection.execute(nulls, ["nulls", None, None, None]).fetchone() == (None, None, None)
        path = "SELECT doc->'deep'->3->>'x', doc->>'true', numbers[3], %s = ANY(words) FROM things WHERE code = %s"
        assert connection.execute(path, ["b,c", "python True"]).fetchone() == ("y", "true", -3, True)
        names = [column.name for column in connection.execute("SELECT id, code FROM things LIMIT 0").description]
        assert names == ["id", "code"]


def enums():
    with connect() as connection:
        info = EnumInfo.fetch(connection, "mood")
        assert list(info.labels) == ["sad", "fine", "happy"], info.labels
        register_enum(info, connection)
        moods = connection.execute("SELECT DISTINCT feeling FROM things WHERE feeling IS NOT NULL ORDER BY 1")
        assert [row[0].name for row in moods] == ["fine", "happy"]


def time_zones():
    with connect() as connection:
        connection.execute("SET TIME ZONE 'Asia/Kolkata'")
        read = "SELECT instant, instant::text FROM things WHERE code = 'python True'"
        instant, text = connection.execute(read).fetchone()
        assert instant == VALUES["instant"] and instant.utcoffset() == EAST.utcoffset(None), instant
        assert text == "2024-02-29 12:30:00.000001+05:30", text
        connection.execute("SET TIME ZONE 'UTC'")
        assert connection.execute(read).fetchone()[1] == "2024-02-29 07:00:00.000001+00"


def prepared():
    """The fifth and later executions are of a statement that the server keeps."""
    with connect(prepare_threshold=3) as connection:
        for number in range(1, 11):
            row = connection.execute("SELECT whole FROM things WHERE code = %s", [f"seed {number}"])
            assert row.fetchone() == (number,)
        at_once = connection.execute("SELECT id FROM things WHERE code = %s", ["seed 3"], prepare=True)
        assert at_once.fetchone() == (3,)
        many = [(f"many {number}", number) for number in range(100)]
        with connection.cursor() as cursor:
            cursor.executemany("INSERT INTO things (code, whole) VALUES (%s, %s)", many)
            assert cursor.rowcount == 100
            update = "UPDATE things SET big = %s WHERE code = %s RETURNING big"
            cursor.executemany(update, [(7, "many 1"), (8, "many 2")], returning=True)
            assert cursor.fetchone() == (7,) and cursor.nextset() and cursor.fetchone() == (8,)
    with connect() as connection:
        assert connection.execute("SELECT count(*), sum(whole) FROM things WHERE code LIKE 'many %'").fetchone() == (100, 4950)


def pipelines():
    with connect(autocommit=True) as connection:
        with connection.pipeline():
            cursors = [connection.execute("SELECT code FROM things WHERE id = %s", [key]) for key in range(1, 21)]
            assert [cursor.fetchone()[0] for cursor in cursors] == [f"seed {key}" for key in range(1, 21)]

        def broken():
            with connection.pipeline() as pipeline:
                connection.execute("UPDATE counters SET value = 99 WHERE name = 'piped'")
                connection.execute("SELECT 1 / 0")
                connection.execute("UPDATE counters SET value = 98 WHERE name = 'piped'")
                pipeline.sync()

        connection.execute("INSERT INTO counters VALUES ('piped', 1)")
        refused("22012", broken)
        # What stands before one Sync is one transaction.
        assert connection.execute("SELECT value FROM counters WHERE name = 'piped'").fetchone() == (1,)


def transactions():
    with connect() as connection:
        with connection.transaction():
            connection.execute("INSERT INTO counters VALUES ('outer', 1)")
            try:
                with connection.transaction():
                    connection.execute("UPDATE counters SET value = 2 WHERE name = 'outer'")
                    connection.execute("INSERT INTO counters VALUES ('outer', 3)")
            except psycopg.errors.UniqueViolation as error:
                assert error.diag.constraint_name == "counters_pkey", error.diag.constraint_name
            with connection.transaction("named"):
                connection.execute("UPDATE counters SET value = value + 10 WHERE name = 'outer'")
            with connection.transaction(force_rollback=True):
                connection.execute("DELETE FROM counters")
        assert connection.execute("SELECT value FROM counters WHERE name = 'outer'").fetchone() == (11,)
        connection.rollback()
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        assert connection.execute("SHOW transaction_isolation").fetchone() == ("repeatable read",)
        connection.rollback()
        connection.isolation_level, connection.read_only = None, True
        refused("25006", lambda: connection.execute("DELETE FROM counters"))
        connection.rollback()
    try:
        with connect() as connection:
            connection.execute("DELETE FROM counters")
            raise LookupError
    except LookupError:
        pass
    with connect() as connection:
        assert connection.execute("SELECT count(*) > 0 FROM counters").fetchone() == (True,)


def writes():
    with connect(autocommit=True) as connection:
        statement = "INSERT INTO counters VALUES (%s, %s) ON CONFLICT (name) DO UPDATE SET value = counters.value + EXCLUDED.value RETURNING value"
        assert connection.execute(statement, ["upsert", 5]).fetchone() == (5,)
        assert connection.execute(statement, ["upsert", 6]).fetchone() == (11,)
        quiet = connection.execute("INSERT INTO counters VALUES ('upsert', 1) ON CONFLICT DO NOTHING RETURNING 1")
        assert quiet.rowcount == 0 and quiet.fetchone() is None
        changed = connection.execute("UPDATE things SET whole = whole + 1000 WHERE code LIKE 'many %' AND whole < 10 RETURNING id, whole")
        assert changed.rowcount == 10 and sorted(row[1] for row in changed) == list(range(1000, 1010))
        gone = connection.execute("DELETE FROM things WHERE code = ANY(%s)", [["many 50", "many 51", "nobody"]])
        assert gone.rowcount == 2 and gone.statusmessage == "DELETE 2"
        error = refused("23505", lambda: connection.execute("INSERT INTO things (code) VALUES ('seed 1')"))
        assert error.diag.constraint_name == "things_code_key", error.diag.constraint_name
        assert error.diag.table_name == "things" and error.diag.schema_name == "public"
        assert error.diag.message_detail == "Key (code)=(seed 1) already exists.", error.diag.message_detail
        error = refused("23502", lambda: connection.execute("INSERT INTO things (code) VALUES (NULL)"))
        assert error.diag.column_name == "code", error.diag.column_name
        refused("22P02", lambda: connection.execute("SELECT 'x'::int"))
        refused("22003", lambda: connection.execute("UPDATE things SET small = 40000 WHERE id = 1"))
        refused("42601", lambda: connection.execute("SELEC 1"))
        refused("42P01", lambda: connection.execute("SELECT * FROM nowhere"))
        refused("42703", lambda: connection.execute("SELECT nothing FROM things"))


def pages():
    with connect() as connection:
        seen = []
        for page in range(6):
            rows = connection.execute("SELECT id FROM things WHERE id <= 50 ORDER BY id DESC LIMIT %s OFFSET %s", [10, page * 10])
            seen += [row[0] for row in rows]
        assert seen == list(range(50, 0, -1)), seen
        with connection.cursor(name="portal") as cursor:
            cursor.itersize = 7
            cursor.execute("SELECT id FROM things WHERE id <= %s ORDER BY id", [50])
            assert [row[0] for row in cursor] == list(range(1, 51))
        with connection.cursor(name="jumps", scrollable=True) as cursor:
            cursor.execute("SELECT id FROM things WHERE id <= 50 ORDER BY id")
            cursor.scroll(40)
            assert cursor.fetchmany(2) == [(41,), (42,)]
            cursor.scroll(0, mode="absolute")
            assert cursor.fetchone() == (1,)
        streamed = connection.cursor().stream("SELECT id FROM things WHERE id <= 50 ORDER BY id")
        assert [row[0] for row in streamed] == list(range(1, 51))


def copies():
    """COPY is served, or refused before anything happened."""
    with connect(autocommit=True) as connection:
        try:
            with connection.cursor().copy("COPY (SELECT id FROM things WHERE id <= 3 ORDER BY id) TO STDOUT") as copy:
                assert list(copy.rows()) == [("1",), ("2",), ("3",)]
        except psycopg.errors.FeatureNotSupported:
            pass
        assert connection.execute("SELECT 1").fetchone() == (1,)


def pool():
    """Five connections count in one row."""
    failures = []

    def work():
        try:
            with connect(autocommit=True) as connection:
                for _ in range(20):
                    connection.execute("UPDATE counters SET value = value + 1 WHERE name = 'pool'")
        except psycopg.Error as error:
            failures.append(error)

    with connect(autocommit=True) as connection:
        connection.execute("INSERT INTO counters VALUES ('pool', 0)")
        threads = [threading.Thread(target=work) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures, failures
        assert connection.execute("SELECT value FROM counters WHERE name = 'pool'").fetchone() == (100,)


def passwords():
    try:
        connect(password="wrong")
    except psycopg.OperationalError as error:
        assert "password authentication failed for user" in str(error), error
        return
    raise AssertionError("a wrong password was let in")


def clean():
    """Takes back what an earlier run left."""
    with connect() as connection:
        connection.execute("DELETE FROM things WHERE code NOT LIKE 'seed %'")
        connection.execute("DELETE FROM counters")
        connection.execute("INSERT INTO counters VALUES ('kept', 0)")


PARTS = (clean, passwords, types, enums, time_zones, prepared, pipelines, transactions, writes, pages, copies, pool)

for part in PARTS:
    part()
print("psycopg: all served")
