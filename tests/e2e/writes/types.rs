//! Values of every kind arrive as they were.

use crate::shop::Shop;

const SCHEMA: &str = "
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN percentage AS int CHECK (VALUE BETWEEN 0 AND 100);
CREATE TYPE pair AS (a int, b text);
CREATE TABLE zoo (
    id int PRIMARY KEY, i2 int2, i8 int8, n numeric, f4 real, f8 float8, b bool, t text, c char(5), v varchar(9), by bytea,
    u uuid, d date, tm time, tmz timetz, ts timestamp, tsz timestamptz, iv interval, j json, jb jsonb, m mood,
    p percentage, pr pair, ai int[], at text[], ab bytea[], ip inet, net cidr, mac macaddr, r int4range, rt tstzrange,
    pt point, bits bit varying, x xml, tsv tsvector, money money, oid oid
);";

const ROWS: [&str; 3] = [
    "INSERT INTO zoo VALUES (1, -32768, 9223372036854775807, 12345678901234567890.123456789012345678901234567890, 0.1, 0.1,
        true, E'tab\\tnewline\\nback\\\\slash''quote\"', 'ab', 'varying', '\\x00ff5c27', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
        '2026-02-28', '23:59:59.999999', '12:00:00+05:30', '2026-01-02 03:04:05.678901', '2026-01-02 03:04:05.678901+02',
        '1 year 2 mons -3 days 04:05:06.7', '{\"b\": 1,  \"a\":[1.0, null]}', '{\"b\": 1, \"a\": [1.0, null]}', 'happy', 42,
        ROW(1, 'x, \"y\"'), '{1,NULL,3}', '{\"a,b\",NULL,\"\",\"NULL\"}', ARRAY['\\x00'::bytea], '10.0.0.1/8', '10.0.0.0/8',
        '08:00:2b:01:02:03', '[1,10)', '[2026-01-01,)', '(1.5,-2)', B'10110', '<a>&amp;</a>', 'fat:1A cat:2', '12.34', 4294967295)",
    "INSERT INTO zoo (id, n, f4, f8, d, ts, tsz, r, t, ai) VALUES (2, 'NaN', 'Infinity', '-Infinity', 'infinity', '-infinity',
        'infinity', 'empty', '', '{}')",
    "INSERT INTO zoo (id, n, f8, d, tsz, iv, ai) VALUES (3, 1e-20, 1e308, '4713-01-01 BC', '0001-01-01 00:00:00+00 BC',
        '-178000000 years', '[0:1]={7,8}')",
];

#[tokio::test]
async fn every_type_in_every_dual_phase() {
    let mut shop = Shop::of(
        "dual-write",
        SCHEMA,
        "[toggle.shop.table.zoo]\n",
        "INSERT INTO zoo (id) VALUES (0)",
    )
    .await;
    for (step, phase) in ["dual-write", "dual-read", "new-primary"]
        .iter()
        .enumerate()
    {
        shop.proxy.flip(phase).await;
        for row in ROWS {
            shop.run(
                &row.replacen("zoo VALUES (", &format!("zoo VALUES ({step}0"), 1)
                    .replacen(") VALUES (", &format!(") VALUES ({step}0"), 1),
            )
            .await;
        }
        shop.run("UPDATE zoo SET t = coalesce(t, '') || '!'").await;
        shop.stores.assert_equal(&["zoo"]).await;
    }
}

#[tokio::test]
async fn a_session_with_settings_of_its_own_does_not_change_what_is_carried() {
    let shop = Shop::of(
        "dual-write",
        SCHEMA,
        "[toggle.shop.table.zoo]\n",
        "INSERT INTO zoo (id) VALUES (0)",
    )
    .await;
    let client = shop.client().await;
    let settings = "SET datestyle = 'German, DMY'; SET timezone = 'Asia/Kathmandu'; SET intervalstyle = 'iso_8601'; \
                    SET bytea_output = 'escape'; SET extra_float_digits = -10; SET standard_conforming_strings = off; \
                    SET xmloption = 'document'; SET client_encoding = 'UTF8'";
    client.batch_execute(settings).await.unwrap();
    for row in [
        "(10, '03.02.2026', '3.2.2026 10:00', '1 day 2 hours', 0.1, 0.30000000000000004, '\\\\x00ff')",
    ] {
        let sql = format!("INSERT INTO zoo (id, d, tsz, iv, f4, f8, by) VALUES {row}");
        client.batch_execute(&sql).await.unwrap();
    }
    shop.stores.assert_equal(&["zoo"]).await;
    shop.stores
        .new
        .becomes("SELECT d = '2026-02-03' FROM zoo WHERE id = 10", "t")
        .await;
}
