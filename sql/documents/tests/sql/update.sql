UPDATE people SET age = 37 WHERE id = 1;
UPDATE people SET age = age + 1 WHERE id = 1 RETURNING id, age;
UPDATE people SET age = age + 1 WHERE id = 3 RETURNING age;
UPDATE people SET age = 1 WHERE id = 99 RETURNING *;
UPDATE people SET age = 1 WHERE id = 99;
-- as a set
UPDATE people SET name = upper(name), nick = nick || '_' WHERE nick IS NOT NULL AND id < 3 RETURNING name, nick;
UPDATE people SET age = 10, age = 11 WHERE id = 1;
UPDATE people SET nothing = 1;
UPDATE nobody SET a = 1;
UPDATE people SET age = name WHERE id = 1;
UPDATE people SET age = 'x' WHERE id = 1;
UPDATE people SET age = 2147483647 + 1 WHERE id = 1;
UPDATE people SET age = 2147483648 WHERE id = 1;
UPDATE people SET age = age / 0 WHERE id = 1;
UPDATE people SET name = NULL WHERE id = 1;
UPDATE people SET mail = 'nothing' WHERE id = 1;
UPDATE people SET mail = NULL WHERE id = 1 RETURNING mail;
-- as a set
UPDATE people SET feeling = 'sad' WHERE feeling = 'ok' RETURNING id;
UPDATE people SET feeling = DEFAULT, active = DEFAULT, age = DEFAULT WHERE id = 3 RETURNING feeling, active, age;
UPDATE people SET nick = 'dan' WHERE id = 1;
UPDATE people SET nick = 'dan' WHERE id = 4 RETURNING nick;
UPDATE people SET boss = 1000 WHERE id = 1;
UPDATE people SET boss = id WHERE id = 1 RETURNING boss;
UPDATE people SET boss = NULL WHERE id = 1 RETURNING boss;
UPDATE people SET code = 'abcdef' WHERE id = 1;
UPDATE people SET code = 'abcd  ' WHERE id = 1 RETURNING code;
UPDATE people SET nick = 'a much longer nick' WHERE id = 1;
UPDATE people SET (age, name) = (5, 'Five') WHERE id = 4 RETURNING age, name;
UPDATE people SET (age, name) = (5) WHERE id = 4;
UPDATE people SET (age, name) = ROW(6, 'Six') WHERE id = 4 RETURNING age, name;
UPDATE people AS p SET age = p.age * 2 WHERE p.id = 4 RETURNING p.age AS age2;
UPDATE people p SET age = 1 WHERE people.id = 4;
UPDATE people SET people.age = 1;
-- as a set
UPDATE people SET score = score + 1 WHERE id IN (1, 5, 6) RETURNING id, score;
UPDATE people SET score = NULL WHERE score = 'NaN' RETURNING id;
UPDATE people SET age = (SELECT max(age) FROM people) WHERE id = 7 RETURNING age;
UPDATE people SET age = (SELECT count(*) FROM accounts WHERE owner = people.id) WHERE id <= 3;
SELECT id, age FROM people ORDER BY id;
UPDATE people SET age = accounts.balance FROM accounts WHERE accounts.owner = people.id AND accounts.currency = 'CHF' RETURNING people.id, people.age, accounts.currency;
UPDATE people SET age = b.age + 1 FROM people b WHERE people.boss = b.id AND b.id = 2 RETURNING people.id, people.age, b.name;
UPDATE people SET age = 0 WHERE EXISTS (SELECT 1 FROM accounts a WHERE a.owner = people.id AND a.balance < 0) RETURNING id;
UPDATE people SET age = 77 WHERE id IN (SELECT owner FROM accounts WHERE currency = 'USD') RETURNING id, age;
-- as a set
UPDATE people SET active = NOT active RETURNING id, active;
UPDATE people SET age = 5 WHERE false;
UPDATE people SET age = 5 WHERE NULL;
UPDATE people SET name = name;
UPDATE accounts SET balance = balance * 1.005 WHERE id = 1 RETURNING balance;
UPDATE accounts SET balance = balance - 10000 WHERE id = 1;
UPDATE accounts SET id = 5 WHERE id = 1;
UPDATE accounts SET id = DEFAULT WHERE id = 5;
UPDATE accounts SET owner = 1, currency = 'USD' WHERE id = 1;
UPDATE accounts SET opened = opened + interval '1 month' WHERE id = 1 RETURNING opened;
UPDATE accounts SET opened = '2024-03-30 12:00' WHERE id = 1 RETURNING opened, opened + interval '1 day';
UPDATE movements SET amount = amount + 1 WHERE account = 1 RETURNING *;
UPDATE movements SET amount = 0 WHERE account = 1 AND line = 1;
UPDATE movements SET doubled = 5 WHERE account = 1;
UPDATE movements SET doubled = DEFAULT, amount = 3 WHERE account = 1 AND line = 1 RETURNING doubled;
UPDATE movements SET line = 9 WHERE account = 1 AND line = 1 RETURNING account, line, amount, note;
UPDATE movements SET line = 2 WHERE account = 1 AND line = 9;
UPDATE movements SET account = 2, line = 2 WHERE account = 1 AND line = 9 RETURNING account, line;
UPDATE movements SET account = 99 WHERE account = 2 AND line = 2;
SELECT * FROM movements ORDER BY account, line;
UPDATE people SET id = 50 WHERE id = 3;
UPDATE people SET id = 70 WHERE id = 7 RETURNING id;
UPDATE people SET id = 2 WHERE id = 70;
UPDATE products SET price = price * 1.1, stock = stock - 1 WHERE sku = 'A-1' RETURNING price, stock;
UPDATE products SET stock = stock - 1 WHERE sku = 'C-3' RETURNING stock;
UPDATE products SET tags = array_append(tags, 'new') WHERE sku = 'A-1' RETURNING tags;
UPDATE products SET tags = tags || '{x,y}'::text[], sizes = '{9}' WHERE sku = 'B-2' RETURNING tags, sizes;
UPDATE products SET attributes = attributes || '{"n": 2, "z": [1]}' WHERE sku = 'A-1' RETURNING attributes;
UPDATE products SET attributes = attributes - 'deep' WHERE sku = 'A-1' RETURNING attributes;
UPDATE products SET attributes = jsonb_set(attributes, '{color}', '"blue"') WHERE sku = 'A-1' RETURNING attributes ->> 'color';
UPDATE products SET attributes = NULL WHERE sku = 'A-1' RETURNING attributes IS NULL;
-- as a set
UPDATE products SET share = share + 1 WHERE share < 30 RETURNING sku, share;
UPDATE products SET share = share + 60 WHERE sku = 'D-4' RETURNING share;
UPDATE products SET share = share + 1 WHERE sku = 'D-4';
UPDATE products SET share = NULL WHERE sku = 'D-4';
UPDATE products SET title = '' WHERE sku = 'D-4';
UPDATE products SET sku = lower(sku) WHERE sku = 'D-4' RETURNING sku;
UPDATE products SET sku = 'A-1' WHERE sku = 'd-4';
-- as a set
UPDATE products SET added = added + interval '1 month 2 days 03:04:05' WHERE added IS NOT NULL RETURNING sku, added;
-- as a set
UPDATE products SET weight = weight / 3 WHERE weight IS NOT NULL RETURNING sku, weight;
UPDATE products SET stock = 5 WHERE stock > (SELECT avg(stock) FROM products) RETURNING sku;
-- as a set
WITH cheap AS (SELECT sku FROM products WHERE price < 20) UPDATE products SET stock = 1 FROM cheap WHERE products.sku = cheap.sku RETURNING products.sku;
UPDATE counters SET n = 1;
INSERT INTO counters SELECT n, n * 10 FROM generate_series(1, 5) AS n;
-- as a set
UPDATE counters SET n = n + 1 WHERE id BETWEEN 2 AND 4 RETURNING *;
UPDATE counters SET n = counters.n + o.n FROM counters o WHERE o.id = counters.id + 1;
-- as a set
SELECT * FROM counters;
UPDATE people z SET age = (SELECT z.age FROM accounts z LIMIT 1);
