INSERT INTO people (name, nick, code, age, height, score, active, feeling, mail, born, boss) VALUES
    ('Ada', 'ada', 'A1', 36, 1.65, 99.5, true, 'happy', 'ada@x.org', '1815-12-10', NULL),
    ('Bob', 'bob', 'B1', 41, 1.8, 12.25, true, 'ok', NULL, '1980-02-29', 1),
    ('Cleo', NULL, 'C1', NULL, NULL, NULL, false, 'sad', 'cleo@x.org', NULL, 1),
    ('Dan', 'dan', NULL, 19, 1.75, -3.5, true, NULL, NULL, '2005-06-15', 2),
    ('Émile', 'emile', 'É', 61, 1.7, 'NaN', false, 'happy', 'e@y.net', '1963-12-31', 2),
    ('O''Neil "x" \', 'o''n', '', 0, 'Infinity', '-Infinity', true, 'sad', '@', 'infinity', 3),
    ('', NULL, 'ZZZZ', -1, 0, -0.0, true, 'ok', NULL, '-infinity', NULL);
INSERT INTO accounts (owner, balance, currency, opened) VALUES
    (1, 1000.50, 'EUR', '2024-01-15 10:00:00+00'),
    (1, 20.00, 'USD', '2024-03-31 01:30:00+00'),
    (2, 0, 'EUR', '2024-10-27 00:30:00+00'),
    (4, -50.25, 'EUR', '2023-12-31 23:30:00+00'),
    (5, 99999.99, 'CHF', '2020-02-29 12:00:00+00');
INSERT INTO movements (account, line, amount, note) VALUES
    (1, 1, 500.25, 'first'), (1, 2, 500.25, NULL), (2, 1, 20, 'usd'), (3, 1, 10, 'in'), (3, 2, -10, 'out'),
    (4, 1, -50.25, '100%_sure'), (5, 1, 99999.99, 'a\b');
INSERT INTO products (sku, title, price, weight, stock, tags, sizes, attributes, share, added) VALUES
    ('A-1', 'Apple', 0.5, 0.182, 100, '{fruit,red}', '{1,2,3}', '{"color": "red", "n": 1, "deep": {"a": [1, 2, {"b": null}]}}', 10, '2024-01-01 00:00:00'),
    ('B-2', 'Book', 12.90, 1.50, 7, '{}', NULL, '{"pages": 300, "color": null}', 20, '2024-05-17 08:00:00.5'),
    ('C-3', 'Chair', 89, 7.250, 0, '{furniture,"a b",NULL}', '{10,20}', '[1, "two", 3.0]', 30, NULL),
    ('D-4', 'Desk', 250.00, NULL, 3, NULL, '{}', NULL, 40, '2024-12-31 23:59:59.999999'),
    ('E-5', 'Egg', NULL, 0.0600, 12, '{food,"x,y","q\"t"}', '{5}', '{"color": "white", "tags": ["a", "b"]}', 0, '1999-12-31 00:00:00');
