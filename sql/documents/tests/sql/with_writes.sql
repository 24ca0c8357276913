INSERT INTO counters SELECT n, n * 10 FROM generate_series(1, 9) AS n;
-- each part sees what was there before the statement
-- as a set
WITH gone AS (DELETE FROM counters WHERE id > 7 RETURNING *) SELECT * FROM gone;
SELECT count(*) FROM counters;
WITH gone AS (DELETE FROM counters WHERE id = 7 RETURNING *) SELECT count(*), sum(n) FROM counters;
SELECT count(*), sum(n) FROM counters;
WITH up AS (UPDATE counters SET n = n + 1 WHERE id < 3 RETURNING id, n) SELECT c.id, c.n, up.n FROM counters c JOIN up ON up.id = c.id ORDER BY 1;
WITH made AS (INSERT INTO counters VALUES (20, 200), (21, 210) RETURNING id) SELECT (SELECT count(*) FROM made), count(*), max(id) FROM counters;
SELECT id, n FROM counters ORDER BY id;
-- one that nobody reads is run all the same, and once
WITH up AS (UPDATE counters SET n = 0 WHERE id = 1) SELECT n FROM counters WHERE id = 1;
WITH up AS (UPDATE counters SET n = n + 1 WHERE id = 1 RETURNING n) SELECT 1 WHERE false;
WITH up AS (UPDATE counters SET n = n + 1 WHERE id = 1 RETURNING n) SELECT n FROM up LIMIT 0;
WITH up AS (UPDATE counters SET n = n + 1 WHERE id = 1 RETURNING n) SELECT a.n, b.n, (SELECT max(n) FROM up) FROM up a, up b;
SELECT n FROM counters WHERE id = 1;
WITH a AS (DELETE FROM counters WHERE id = 20), b AS (DELETE FROM counters WHERE id = 21 RETURNING id) UPDATE counters SET n = 5 WHERE id = 2;
WITH a AS (INSERT INTO counters VALUES (30, 1)), b AS (INSERT INTO counters VALUES (31, 1)) DELETE FROM counters WHERE id >= 30;
SELECT id, n FROM counters WHERE id > 6 OR id = 2 ORDER BY id;
-- the tag is that of the statement itself
WITH moved AS (DELETE FROM counters WHERE id >= 30 RETURNING id, n) INSERT INTO counters SELECT id + 10, n + 1 FROM moved;
-- as a set
WITH moved AS (DELETE FROM counters WHERE id >= 40 RETURNING id, n) INSERT INTO counters SELECT id + 10, n + 1 FROM moved RETURNING *;
WITH made AS (INSERT INTO counters VALUES (60, 6), (61, 7) RETURNING *) UPDATE counters SET n = counters.n + made.n FROM made WHERE made.id = counters.id + 10;
WITH made AS (INSERT INTO counters VALUES (62, 6) RETURNING *) DELETE FROM counters USING made WHERE made.id = counters.id + 1 RETURNING counters.id;
SELECT id, n FROM counters WHERE id > 6 ORDER BY id;
WITH d AS (DELETE FROM counters WHERE id > 6) SELECT FROM counters WHERE id = 1;
WITH d AS (DELETE FROM counters WHERE id > 6 RETURNING id) VALUES ((SELECT count(*) FROM d), 'x');
-- as a set
WITH d AS (UPDATE counters SET n = n WHERE id < 3 RETURNING id) SELECT id FROM d UNION ALL SELECT id FROM counters WHERE id = 3;
-- a row that goes and comes again
WITH gone AS (DELETE FROM counters WHERE id = 3 RETURNING *) INSERT INTO counters SELECT id, n + 1 FROM gone RETURNING *;
WITH gone AS (DELETE FROM counters WHERE id = 3) INSERT INTO counters VALUES (3, 0);
WITH gone AS (DELETE FROM counters WHERE id IN (3, 4) RETURNING id), made AS (INSERT INTO counters SELECT id, 1 FROM gone) SELECT count(*) FROM gone;
SELECT id, n FROM counters ORDER BY id;
-- two changes of one row: the first takes place
WITH up AS (UPDATE counters SET n = 100 WHERE id = 1 RETURNING n) UPDATE counters SET n = 200 WHERE id = 1 RETURNING n;
SELECT n FROM counters WHERE id = 1;
WITH up AS (UPDATE counters SET n = 300 WHERE id = 1 RETURNING id) UPDATE counters SET n = 400 FROM up WHERE counters.id = up.id RETURNING counters.n;
SELECT n FROM counters WHERE id = 1;
WITH up AS (UPDATE counters SET n = 500 WHERE id = 1 RETURNING id) DELETE FROM counters USING up WHERE counters.id = up.id;
WITH gone AS (DELETE FROM counters WHERE id = 1 RETURNING id) UPDATE counters SET n = 600 FROM gone WHERE counters.id = gone.id;
SELECT id, n FROM counters ORDER BY id;
WITH a AS (UPDATE counters SET n = 1 WHERE id = 2), b AS (UPDATE counters SET n = 2 WHERE id = 2 RETURNING n) SELECT * FROM b;
WITH a AS (UPDATE counters SET n = 1 WHERE id = 3), b AS (UPDATE counters SET n = 2 WHERE id = 3), c AS (UPDATE counters SET n = 3 WHERE id = 3) SELECT 1;
WITH a AS (UPDATE counters SET n = 1 WHERE id = 4 RETURNING id), b AS (DELETE FROM counters USING a WHERE a.id = counters.id RETURNING counters.id) SELECT (SELECT count(*) FROM a), (SELECT count(*) FROM b);
SELECT id, n FROM counters ORDER BY id;
-- ON CONFLICT meets what other parts have made
WITH made AS (INSERT INTO counters VALUES (70, 1) RETURNING id) INSERT INTO counters SELECT id, 2 FROM made ON CONFLICT (id) DO UPDATE SET n = 3;
WITH up AS (UPDATE counters SET n = 1 WHERE id = 2 RETURNING id) INSERT INTO counters SELECT id, 2 FROM up ON CONFLICT (id) DO UPDATE SET n = 3;
WITH up AS (UPDATE counters SET n = 1 WHERE id = 2 RETURNING id) INSERT INTO counters SELECT id, 2 FROM up ON CONFLICT DO NOTHING;
WITH gone AS (DELETE FROM counters WHERE id = 2 RETURNING id) INSERT INTO counters SELECT id, 9 FROM gone ON CONFLICT (id) DO UPDATE SET n = 3 RETURNING n;
WITH up AS (INSERT INTO counters VALUES (2, 5), (80, 8) ON CONFLICT (id) DO UPDATE SET n = counters.n + EXCLUDED.n RETURNING id, n) SELECT * FROM up ORDER BY id;
INSERT INTO counters VALUES (5, 1), (5, 2) ON CONFLICT (id) DO UPDATE SET n = 3;
INSERT INTO counters VALUES (5, 1), (5, 2) ON CONFLICT (id) DO UPDATE SET n = 3 WHERE false;
INSERT INTO counters VALUES (5, 1), (6, 2), (81, 1) ON CONFLICT (id) DO UPDATE SET n = (SELECT count(*) + 1000 FROM counters WHERE n >= 1000) RETURNING n;
SELECT id, n FROM counters ORDER BY id;
-- duplicates
WITH made AS (INSERT INTO counters VALUES (90, 1) RETURNING id) INSERT INTO counters SELECT id, 2 FROM made;
WITH made AS (INSERT INTO counters VALUES (90, 1), (91, 1) RETURNING id) INSERT INTO counters SELECT id + 1, 2 FROM made;
WITH made AS (INSERT INTO counters VALUES (90, 1), (1, 1), (2, 2) RETURNING id) SELECT * FROM made;
SELECT count(*) FROM counters WHERE id >= 90;
-- what RETURNING asks is answered from before
UPDATE counters SET n = 7000 WHERE id > 5 RETURNING id, (SELECT count(*) FROM counters WHERE n = 7000);
DELETE FROM counters WHERE id > 80 RETURNING (SELECT count(*) FROM counters WHERE id > 80), (SELECT max(c.id) FROM counters c WHERE c.id >= counters.id);
INSERT INTO counters VALUES (95, 1) RETURNING (SELECT count(*) FROM counters WHERE id = 95);
-- parts read parts, and queries read both
WITH a AS (DELETE FROM counters WHERE id = 95 RETURNING n), b AS (INSERT INTO counters SELECT 96, n + 1 FROM a RETURNING n), c AS (SELECT n + 1 AS n FROM b) INSERT INTO counters SELECT 97, n FROM c RETURNING *;
WITH picked AS (SELECT id FROM counters WHERE id > 90 ORDER BY id LIMIT 1 FOR UPDATE), gone AS (DELETE FROM counters USING picked WHERE counters.id = picked.id RETURNING counters.*) SELECT * FROM gone;
WITH up AS (UPDATE counters SET n = n + 1 WHERE id = 97 RETURNING id, n) SELECT c.id, c.n FROM counters c WHERE c.id IN (SELECT id FROM up) AND c.n < (SELECT n FROM up);
WITH up AS (UPDATE counters SET n = n + 1 WHERE id = 97 RETURNING id) SELECT c.n FROM counters c, up WHERE c.id = up.id FOR UPDATE OF c;
WITH up AS (UPDATE counters SET n = -n WHERE id > 90 RETURNING id, n) SELECT c.id, c.n FROM counters c, up ORDER BY c.n DESC, c.id LIMIT 2;
WITH up AS (UPDATE counters SET n = -n WHERE id > 90 RETURNING id, n) SELECT count(*) FROM counters WHERE n < 0 AND EXISTS (SELECT 1 FROM up);
WITH up (a, b) AS (UPDATE counters SET n = 1 WHERE id = 97 RETURNING id, n) SELECT a, b, up.* FROM up;
WITH up (a) AS (UPDATE counters SET n = 1 WHERE id = 97 RETURNING id, n, 'x') SELECT * FROM up;
WITH up AS (UPDATE counters c SET n = o.n FROM counters o WHERE c.id = 97 AND o.id = 5 RETURNING c.*, o.id AS other) SELECT * FROM up;
WITH d AS (WITH few AS (SELECT id FROM counters WHERE id = 97) DELETE FROM counters USING few WHERE counters.id = few.id RETURNING counters.id) SELECT * FROM d;
WITH a AS (SELECT 1 AS x), i AS (INSERT INTO counters SELECT 98, x FROM a RETURNING n) SELECT a.x, i.n FROM a, i;
-- counters, defaults, generated columns
WITH made AS (INSERT INTO people (name, boss) VALUES ('New', 1), ('Newer', 1) RETURNING id, name, feeling) INSERT INTO accounts (owner, balance) SELECT id, 5 FROM made RETURNING id, owner, balance, currency;
-- as a set
WITH made AS (INSERT INTO accounts (owner, currency) SELECT id, 'CHF' FROM people WHERE name LIKE 'New%' RETURNING *) INSERT INTO movements (account, line, amount) SELECT id, 1, owner FROM made RETURNING amount, doubled;
WITH p AS (INSERT INTO people (id, name) VALUES (300, 'Parent') RETURNING id) INSERT INTO people (id, name, boss) SELECT 301, 'Child', id FROM p;
WITH child AS (INSERT INTO people (id, name, boss) VALUES (303, 'Child', 302)) INSERT INTO people (id, name) VALUES (302, 'Parent');
SELECT id, name, boss FROM people WHERE id >= 300 ORDER BY id;
-- foreign keys are looked at in the end
WITH child AS (DELETE FROM people WHERE id = 303) DELETE FROM people WHERE id = 302;
WITH parent AS (DELETE FROM people WHERE id = 300) DELETE FROM people WHERE id = 301;
SELECT count(*) FROM people WHERE id >= 300;
WITH d AS (DELETE FROM people WHERE id = 1) SELECT 1;
WITH a AS (INSERT INTO accounts (owner) VALUES (999) RETURNING id) SELECT * FROM a;
WITH d AS (DELETE FROM people WHERE name = 'Newer' RETURNING id) INSERT INTO accounts (owner, currency) SELECT id, 'USD' FROM d;
WITH d AS (DELETE FROM people WHERE name = 'Newer' RETURNING id) SELECT (SELECT count(*) FROM accounts a WHERE a.owner = d.id) FROM d;
SELECT count(*) FROM accounts a WHERE NOT EXISTS (SELECT 1 FROM people p WHERE p.id = a.owner);
SELECT count(*) FROM movements;
WITH d AS (DELETE FROM accounts WHERE owner = 1 RETURNING id, owner, currency) SELECT d.id, count(m.line), sum(m.amount) FROM d LEFT JOIN movements m ON m.account = d.id GROUP BY d.id ORDER BY 1;
SELECT count(*) FROM movements;
-- rules
WITH a AS (UPDATE accounts SET balance = balance - 1000 RETURNING id) SELECT count(*) FROM a;
WITH a AS (UPDATE products SET title = '' WHERE sku = 'A-1') SELECT 1;
WITH a AS (INSERT INTO counters (n) VALUES (1)) SELECT 1;
WITH a AS (UPDATE counters SET n = 1 / 0 WHERE id = 5) SELECT 1;
WITH a AS (UPDATE counters SET n = 1 WHERE id = 5 RETURNING n) SELECT 1 / (n - 1) FROM a;
SELECT n FROM counters WHERE id = 5;
-- what is wrong
WITH d AS (DELETE FROM counters) SELECT * FROM d;
WITH d AS (UPDATE counters SET n = 1) SELECT 1 FROM counters, d;
WITH d AS (INSERT INTO counters VALUES (500, 1)) INSERT INTO counters SELECT d.id FROM d;
WITH d (x) AS (DELETE FROM counters) SELECT 1;
WITH d (x, y, z) AS (DELETE FROM counters RETURNING *) SELECT 1;
WITH d AS (DELETE FROM counters RETURNING id), d AS (SELECT 1) SELECT 1;
WITH d AS (DELETE FROM nothing RETURNING *) SELECT 1;
WITH d AS (DELETE FROM counters WHERE nothing = 1 RETURNING *) SELECT 1;
WITH d AS (DELETE FROM counters RETURNING id) SELECT d.n FROM d;
WITH d AS (DELETE FROM counters RETURNING id) SELECT * FROM e;
WITH d AS (DELETE FROM counters USING e WHERE e.id = counters.id), e AS (SELECT 1 AS id) SELECT 1;
WITH d AS (DELETE FROM counters RETURNING id) DELETE FROM d;
WITH d AS (UPDATE counters SET n = 'x' RETURNING id) SELECT 1;
WITH d AS (INSERT INTO counters VALUES (1, 2, 3) RETURNING id) SELECT 1;
SELECT * FROM (WITH d AS (DELETE FROM counters RETURNING id) SELECT * FROM d) s;
SELECT (WITH d AS (DELETE FROM counters RETURNING id) SELECT count(*) FROM d);
INSERT INTO counters WITH d AS (DELETE FROM counters RETURNING *) SELECT * FROM d;
WITH a AS (WITH b AS (DELETE FROM counters RETURNING id) SELECT id FROM b) SELECT * FROM a;
WITH a AS (WITH b AS (DELETE FROM counters RETURNING id) UPDATE counters SET n = 1 FROM b WHERE b.id = counters.id) SELECT 1;
(WITH d AS (DELETE FROM counters RETURNING id) SELECT id FROM d) UNION ALL SELECT 1;
BEGIN; DECLARE c CURSOR FOR WITH d AS (DELETE FROM counters RETURNING id) SELECT id FROM d;
ROLLBACK;
BEGIN READ ONLY; WITH d AS (DELETE FROM counters RETURNING id) SELECT id FROM d;
ROLLBACK;
SELECT count(*) FROM counters;
-- in transactions
BEGIN;
WITH d AS (DELETE FROM counters WHERE id = 5 RETURNING *) INSERT INTO counters SELECT 600 + id, n FROM d RETURNING id;
SELECT count(*) FROM counters WHERE id IN (5, 605);
SAVEPOINT s;
WITH d AS (DELETE FROM counters WHERE id = 605 RETURNING *), u AS (UPDATE counters SET n = 0 WHERE id = 6 RETURNING *) SELECT (SELECT count(*) FROM d), (SELECT count(*) FROM u);
ROLLBACK TO s;
WITH d AS (UPDATE counters SET n = n + 1 WHERE id = 605 RETURNING id) INSERT INTO counters SELECT id, 1 FROM d;
ROLLBACK TO s;
WITH d AS (UPDATE counters SET n = 605 WHERE id = 605 RETURNING n) SELECT * FROM d;
COMMIT;
BEGIN;
WITH d AS (DELETE FROM counters) INSERT INTO jobs (state) VALUES ('all gone');
SELECT count(*) FROM counters;
ROLLBACK;
SELECT id, n FROM counters ORDER BY id;
SELECT count(*) FROM jobs;
BEGIN ISOLATION LEVEL REPEATABLE READ;
WITH j AS (INSERT INTO jobs (state) VALUES ('a'), ('b') RETURNING id) INSERT INTO counters SELECT 700 + id, 0 FROM j WHERE false;
SELECT state FROM jobs ORDER BY id;
COMMIT;
-- as a set
COPY (WITH d AS (DELETE FROM jobs RETURNING state) SELECT state FROM d) TO STDOUT;
SELECT count(*) FROM jobs;
PREPARE p (int) AS WITH u AS (UPDATE counters SET n = $1 WHERE id = 6 RETURNING n) SELECT n FROM u;
EXECUTE p (66);
DEALLOCATE p;
SELECT id, n FROM counters ORDER BY id;
