// node-postgres against a proxy in the last phase: node pg.cjs URL.
//
// Asserts everything by itself; the last line it prints is "pg: all served".

"use strict";

const assert = require("node:assert/strict");
const { Client, Pool, types } = require("pg");

const url = process.argv[2];

// Dates and timestamps as the server prints them: a Date would cut off the microseconds.
for (const oid of [1082, 1114, 1184]) types.setTypeParser(oid, (text) => text);

async function connected(run, config = {}) {
  const client = new Client({ connectionString: url, ...config });
  await client.connect();
  try {
    return await run(client);
  } finally {
    await client.end();
  }
}

/** The error of `run`, whose SQLSTATE has to be this one. */
async function refused(code, run) {
  const error = await run().then(
    () => assert.fail(`${code} was expected`),
    (error) => error,
  );
  assert.equal(error.code, code, error.message);
  return error;
}

/** Takes back what an earlier run left. */
async function clean() {
  await connected(async (client) => {
    // Several statements in one message are one transaction.
    const many = "DELETE FROM things WHERE code NOT LIKE 'seed %'; DELETE FROM counters; INSERT INTO counters VALUES ('kept', 0)";
    const results = await client.query(many);
    assert.deepEqual(results.map((one) => one.command), ["DELETE", "DELETE", "INSERT"]);
  });
}

async function passwords() {
  await refused("28P01", () => connected(() => {}, { connectionString: undefined, ...parsed(), password: "wrong" }));
}

function parsed() {
  const { hostname: host, port, username: user, pathname } = new URL(url);
  return { host, port: Number(port), user, database: pathname.slice(1) };
}

async function everyType() {
  const values = {
    flag: true,
    small: -7,
    whole: 70000,
    big: "1099511627776",
    single: 1.5,
    double: 0.1,
    price: "1234567.80",
    label: "ünï'\\ \"quoted\"",
    raw: Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)),
    token: "01234567-89ab-cdef-0123-456789abcdef",
    day: "2024-02-29",
    clock: "23:59:59.999999",
    moment: "2024-02-29 12:30:00.000001",
    instant: "2024-02-29 07:00:00.000001+00",
    doc: { deep: [1, 2.5, null, { x: "y" }], empty: {}, true: true },
    numbers: [1, null, -3],
    words: ["a", "b,c", 'd"e', "", null],
  };
  await connected(async (client) => {
    await client.query("SET TIME ZONE 'UTC'");
    const names = Object.keys(values);
    const marks = names.map((_, index) => `$${index + 2}`).join(", ");
    const text = `INSERT INTO things (code, ${names.join(", ")}, feeling) VALUES ($1, ${marks}, 'happy') RETURNING *`;
    const inserted = await client.query(text, ["node", ...Object.values(values)]);
    const read = await client.query("SELECT * FROM things WHERE id = $1", [inserted.rows[0].id]);
    assert.deepEqual(inserted.rows, read.rows);
    for (const [name, value] of Object.entries(values)) assert.deepEqual(read.rows[0][name], value, name);
    // The driver has no parser for an array of a type of the database's own, nor for the type itself: text.
    assert.equal(read.rows[0].feeling, "happy");
    for (const [name, value] of Object.entries(values)) {
      const asked = await client.query(`SELECT count(*)::int AS n FROM things WHERE ${name} = $1 AND code = 'node'`, [value]);
      assert.equal(asked.rows[0].n, 1, name);
    }
    const nulls = await client.query("INSERT INTO things (code, flag, doc, words) VALUES ($1, $2, $3, $4) RETURNING flag, doc, words", ["nulls", null, null, undefined]);
    assert.deepEqual(nulls.rows, [{ flag: null, doc: null, words: null }]);
    const inside = await client.query("SELECT doc->'deep'->3->>'x' AS x, numbers[3] AS n FROM things WHERE doc @> $1", [{ true: true }]);
    assert.deepEqual(inside.rows, [{ x: "y", n: -3 }]);
    const moods = await client.query("SELECT feeling, count(*) FROM things WHERE feeling IS NOT NULL GROUP BY feeling ORDER BY feeling DESC");
    assert.deepEqual(moods.rows.map((row) => row.feeling), ["happy", "fine"]);
    // A Date goes with the client's offset and comes back as the same moment.
    const at = new Date("2024-02-29T12:30:00.123Z");
    const moment = await client.query("UPDATE things SET instant = $1 WHERE code = 'node' RETURNING instant", [at]);
    assert.equal(moment.rows[0].instant, "2024-02-29 12:30:00.123+00");
  });
}

async function prepared() {
  await connected(async (client) => {
    for (let key = 1; key <= 10; key += 1) {
      const named = { name: "by key", text: "SELECT code FROM things WHERE id = $1", values: [key] };
      assert.deepEqual((await client.query(named)).rows, [{ code: `seed ${key}` }]);
    }
    const rows = await client.query({ text: "SELECT id, code FROM things WHERE id = ANY($1) ORDER BY id", values: [[3, 1]], rowMode: "array" });
    assert.deepEqual(rows.rows, [["1", "seed 1"], ["3", "seed 3"]]);
    assert.deepEqual(rows.fields.map((field) => [field.name, field.dataTypeID, field.columnID]), [["id", 20, 1], ["code", 1043, 2]]);
    // All sent before the first answer is back: the driver queues them.
    const asked = Array.from({ length: 20 }, (_, index) => client.query("SELECT whole FROM things WHERE id = $1", [index + 1]));
    assert.deepEqual((await Promise.all(asked)).map((one) => one.rows[0].whole), Array.from({ length: 20 }, (_, index) => index + 1));
  });
}

async function transactions() {
  await connected(async (client) => {
    await client.query("BEGIN");
    await client.query("INSERT INTO counters VALUES ('outer', $1)", [1]);
    await client.query("SAVEPOINT inner_one");
    await client.query("UPDATE counters SET value = 2 WHERE name = 'outer'");
    const error = await refused("23505", () => client.query("INSERT INTO counters VALUES ('outer', 3)"));
    assert.equal(error.constraint, "counters_pkey");
    assert.equal(error.table, "counters");
    await refused("25P02", () => client.query("SELECT 1"));
    await client.query("ROLLBACK TO inner_one");
    await client.query("UPDATE counters SET value = value + 10 WHERE name = 'outer'");
    await client.query("COMMIT");
    const kept = await client.query("SELECT value FROM counters WHERE name = 'outer'");
    assert.deepEqual(kept.rows, [{ value: "11" }]);
    await client.query("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY");
    await refused("25006", () => client.query("DELETE FROM counters"));
    await client.query("ROLLBACK");
    await refused("22012", () => client.query("DELETE FROM counters; SELECT 1 / 0"));
    assert.notEqual((await client.query("SELECT 1 FROM counters")).rowCount, 0);
  });
}

async function writes() {
  await connected(async (client) => {
    const upsert = "INSERT INTO counters VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = counters.value + EXCLUDED.value RETURNING value";
    assert.equal((await client.query(upsert, ["upsert", 5])).rows[0].value, "5");
    assert.equal((await client.query(upsert, ["upsert", 6])).rows[0].value, "11");
    const quiet = await client.query("INSERT INTO counters VALUES ('upsert', 1) ON CONFLICT DO NOTHING");
    assert.equal(quiet.rowCount, 0);
    const many = await client.query("INSERT INTO things (code, whole) SELECT 'many ' || n, n FROM generate_series(1, 40) n");
    assert.equal(many.rowCount, 40);
    const changed = await client.query("UPDATE things SET whole = whole * 2 WHERE code LIKE 'many %' AND whole <= $1 RETURNING whole", [10]);
    assert.deepEqual(changed.rows.map((row) => row.whole).sort((a, b) => a - b), [2, 4, 6, 8, 10, 12, 14, 16, 18, 20]);
    assert.equal((await client.query("DELETE FROM things WHERE code = ANY($1)", [["many 3", "many 4", "nobody"]])).rowCount, 2);
    const error = await refused("23505", () => client.query("INSERT INTO things (code) VALUES ($1)", ["seed 1"]));
    assert.deepEqual([error.constraint, error.table, error.schema], ["things_code_key", "things", "public"]);
    assert.equal(error.detail, "Key (code)=(seed 1) already exists.");
    assert.equal((await refused("23502", () => client.query("INSERT INTO things (code) VALUES (NULL)"))).column, "code");
    await refused("22P02", () => client.query("SELECT * FROM things WHERE id = $1", ["x"]));
    await refused("22001", () => client.query("UPDATE things SET code = $1 WHERE id = 1", ["x".repeat(21)]));
    await refused("42601", () => client.query("SELEC 1"));
    await refused("42P01", () => client.query("SELECT * FROM nowhere"));
  });
}

async function pages() {
  await connected(async (client) => {
    const seen = [];
    for (let page = 0; page < 6; page += 1) {
      const text = "SELECT id::int FROM things WHERE id <= 50 ORDER BY price DESC, id LIMIT $1 OFFSET $2";
      seen.push(...(await client.query(text, [10, page * 10])).rows.map((row) => row.id));
    }
    assert.deepEqual(seen, Array.from({ length: 50 }, (_, index) => 50 - index));
    await client.query("BEGIN");
    await client.query("DECLARE c CURSOR FOR SELECT id::int FROM things WHERE id <= 50 ORDER BY id");
    assert.deepEqual((await client.query("FETCH 2 FROM c")).rows, [{ id: 1 }, { id: 2 }]);
    await client.query("MOVE 40 IN c");
    assert.deepEqual((await client.query("FETCH NEXT FROM c")).rows, [{ id: 43 }]);
    await client.query("CLOSE c");
    await client.query("COMMIT");
  });
}

async function pool() {
  const clients = new Pool({ connectionString: url, max: 5 });
  await clients.query("INSERT INTO counters VALUES ('pool', 0)");
  const count = () => clients.query("UPDATE counters SET value = value + 1 WHERE name = $1", ["pool"]);
  await Promise.all(Array.from({ length: 100 }, count));
  const counted = await clients.query("SELECT value FROM counters WHERE name = 'pool'");
  await clients.end();
  assert.deepEqual(counted.rows, [{ value: "100" }]);
}

async function main() {
  for (const part of [clean, passwords, everyType, prepared, transactions, writes, pages, pool]) {
    await part();
  }
  console.log("pg: all served");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
