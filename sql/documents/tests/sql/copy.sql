-- Text.
COPY counters FROM STDIN;
< 1	10
< 2	20
SELECT * FROM counters ORDER BY id;
COPY counters (n, id) FROM STDIN;
< 30	3
COPY counters (id) FROM STDIN WHERE id > 4;
< 4
< 5
COPY people (name, nick, age, height, score, active, feeling, mail, born) FROM STDIN;
< Zoë\tTab	z	33	1.75	2.5	f	happy	z@x	2000-02-29
< back\\slash\nline	\N	\N	\N	\N	t	\N	\N	\N
< \x41\102\x4x	q\
< z	1	2	3	t	sad	a@b	1999-12-31
< \.
< this is no data any more
SELECT id, name, nick, code, age, height, score, active, feeling, mail, born FROM people ORDER BY id;
INSERT INTO people (name) VALUES ('next') RETURNING id;
COPY accounts (id, owner, balance) FROM STDIN;
< 899	3	1
< 900	1	1
COPY accounts (id, owner, balance, currency) FROM STDIN DELIMITER '|' NULL 'nil';
< 900|1|12.345|GBP
< 901|2|1|GBP
SELECT * FROM accounts WHERE id >= 900 ORDER BY id;
COPY movements FROM STDIN;
< 900	1	5.00	note
< 900	2	-5	\N
SELECT * FROM movements WHERE account = 900 ORDER BY line;
COPY counters FROM STDIN;
COPY counters FROM STDIN;
<x 37 09 31
SELECT * FROM counters WHERE id = 7;
COPY counters FROM STDIN;
<x 38 09 31 0d 0a 39 09 32 0d 0a
COPY counters FROM STDIN;
<x 31 30 09 31 0d 31 31 09 32 0d
SELECT count(*) FROM counters;
-- CSV.
COPY products (sku, title, price, tags, attributes) FROM STDIN (FORMAT csv, HEADER);
< anything at all
< C-1,"a ""quoted"", title",1.50,"{a,""b c""}","{""a"": [1, 2]}"
< C-2,"two
< lines",,,
< C-3,un"quo"ted,"",{},
COPY products (sku, title, price) FROM STDIN CSV;
< C-3,unquoted,7
< C-4,\.,8
< C-5,"\.",9
SELECT sku, title, price, tags, attributes, share FROM products WHERE sku LIKE 'C-%' ORDER BY sku;
COPY products (sku, title, tags) FROM STDIN (FORMAT csv, NULL 'x', FORCE_NOT_NULL (title), FORCE_NULL (tags), QUOTE '''', ESCAPE '\', DELIMITER ';');
< D-1;x;'x'
< D-2;'it\'s \n';x
SELECT sku, title, tags FROM products WHERE sku LIKE 'D-%' ORDER BY sku;
COPY counters FROM STDIN (FORMAT csv, HEADER match);
< id,n
< 50,1
COPY counters (n, id) FROM STDIN (FORMAT csv, HEADER match);
< id,n
< 51,1
COPY counters FROM STDIN (HEADER match);
< id
COPY counters FROM STDIN (FORMAT csv, HEADER match, NULL 'n');
< id,n
COPY counters FROM STDIN (FORMAT csv, HEADER false, FREEZE false, ENCODING 'utf8');
< 52,5
-- Binary.
COPY counters FROM STDIN (FORMAT binary);
<x 50 47 43 4f 50 59 0a ff 0d 0a 00 00 00 00 00 00 00 00 00
<x 00 02 00 00 00 04 00 00 00 3c 00 00 00 08 00 00 00 00 00 00 00 01
<x 00 02 00 00 00 04 00 00 00 3d 00 00 00 08 00 00 00 00 00 00 00 02 ff ff
COPY counters (id) FROM STDIN BINARY;
<x 50 47 43 4f 50 59 0a ff 0d 0a 00 00 00 00 00 00 00 00 00 00 01 00 00 00 04 00 00 00 3e
COPY counters FROM STDIN (FORMAT binary);
<x 50 47 43 4f 50 59 0a ff 0d 0b 00 00 00 00 00 00 00 00 00
COPY counters FROM STDIN (FORMAT binary);
<x 50 47 43 4f 50 59 0a ff 0d 0a 00 00 00 00 00 00 00 00 00
<x 00 02 00 00 00 04 00 00 00 70 00 00 00 08 00 00 00 00 00 00 00 01
<x 00 02 00 00 00 04 00 00 00 71 00 00 00 03 00 00 00
COPY counters FROM STDIN (FORMAT binary);
<x 50 47 43 4f 50 59 0a ff 0d 0a 00 00 00 00 00 00 00 00 00 00 03
COPY counters FROM STDIN (FORMAT binary);
<x 50 47 43 4f 50 59 0a ff 0d 0a 00 00 00 00 00 00 00 00 00 00 02 00 00 00 04 00
COPY counters FROM STDIN (FORMAT binary);
<x 50 47 43 4f 50 59
COPY counters FROM STDIN (FORMAT binary);
<x 50 47 43 4f 50 59 0a ff 0d 0a 00 00 02 00 00 00 00 00 00
COPY counters FROM STDIN (FORMAT binary);
<x 50 47 43 4f 50 59 0a ff 0d 0a 00 00 00 00 00 00 00 00 00 ff ff 00
SELECT * FROM counters WHERE id >= 50 ORDER BY id;
-- Data that makes no rows.
COPY counters FROM STDIN;
< 100	1
< 101
COPY counters FROM STDIN;
< 100	1	2
COPY counters FROM STDIN;
< 100	1
< 101	x1
COPY counters FROM STDIN;
< 100	\N
COPY counters FROM STDIN;
< \N	1
COPY counters FROM STDIN;
< 
COPY counters FROM STDIN;
< 9999999999999	1
COPY people (name, nick) FROM STDIN;
< a	012345678901
COPY people (name, mail) FROM STDIN;
< a	nowhere
COPY products (sku, title, share) FROM STDIN;
< E-1	t	\N
COPY products (sku, title, share) FROM STDIN;
< E-1	t	101
COPY people (name, feeling) FROM STDIN;
< a	angry
COPY products (sku, title) FROM STDIN;
< E-1	a title
< E-2	
COPY accounts (id, owner, balance) FROM STDIN;
< 910	1	-1000
COPY samples (id, c_text) FROM STDIN (FORMAT csv);
< 70,0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789äö0123456789
< 71,0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789äö0123456789,extra
COPY samples (id, c_uuid) FROM STDIN;
< 70	0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890
COPY counters FROM STDIN;
<x 31 30 30 09 31 0a 31 30 31 09 31 0d 0a
COPY counters FROM STDIN;
<x 31 30 30 09 31 0d 0a 31 30 31 09 31 0a
COPY counters FROM STDIN (FORMAT csv);
<x 31 30 30 2c 31 0a 31 30 31 2c 31 0d 0a
COPY counters FROM STDIN (FORMAT csv);
<x 31 30 30 2c 31 0d 0a 31 30 31 2c 31 0a
COPY counters FROM STDIN;
< 100	1
< \.x
COPY counters FROM STDIN;
<x 31 30 30 09 31 0d 0a 5c 2e 0a
COPY counters FROM STDIN;
<x 31 30 30 09 31 0a 5c 2e
COPY people (name) FROM STDIN;
< good
<x 62 ff 0a
COPY people (name) FROM STDIN;
<x 62 00 0a
COPY people (name) FROM STDIN;
< bad\377
COPY people (name, nick) FROM STDIN (FORMAT csv);
< "never ended,x
< second
COPY counters FROM STDIN;
< 100	1
< 101	2
<! the client has no more
COPY counters FROM STDIN;
<! nothing at all
SELECT count(*) FROM counters;
-- Rows that are refused.
COPY counters FROM STDIN;
< 200	1
< 1	1
< 201	1
COPY counters FROM STDIN;
< 200	1
< 200	2
COPY people (name, nick) FROM STDIN;
< a	same
< b	same
COPY counters FROM STDIN;
< 1	1
< 201	x
COPY accounts (id, owner, currency) FROM STDIN;
< 920	1	CHF
< 921	77777	CHF
< 922	88888	CHF
COPY movements (account, line, amount) FROM STDIN;
< 900	10	1
< 900	11	0
COPY people (id, name, boss) FROM STDIN;
< 500	child	501
< 501	parent	\N
< 502	own	502
COPY people (id, name, boss) FROM STDIN;
< 510	child	501
< 511	orphan	77777
< 512	orphan	66666
SELECT id, boss FROM people WHERE id >= 500 ORDER BY id;
-- What is asked wrongly.
COPY nothing FROM STDIN;
COPY counters (id, nothing) FROM STDIN;
COPY counters (id, id) FROM STDIN;
COPY movements (account, doubled) FROM STDIN;
COPY movements (doubled) TO STDOUT;
COPY counters FROM STDIN WHERE n;
COPY counters FROM STDIN WHERE nothing > 1;
COPY counters FROM STDIN (FORMAT other);
COPY counters FROM STDIN (FORMAT csv, FORMAT csv);
COPY counters FROM STDIN (SOMETHING 5);
COPY counters FROM STDIN (HEADER 5);
COPY counters FROM STDIN (FREEZE maybe);
COPY counters FROM STDIN (DELIMITER 'ab');
COPY counters FROM STDIN (DELIMITER 'a');
COPY counters FROM STDIN (DELIMITER E'\n');
COPY counters FROM STDIN (NULL E'a\n');
COPY counters FROM STDIN (NULL 'a|b', DELIMITER '|');
COPY counters FROM STDIN (FORMAT csv, NULL '"');
COPY counters FROM STDIN (FORMAT csv, DELIMITER '"');
COPY counters FROM STDIN (FORMAT csv, QUOTE 'ab');
COPY counters FROM STDIN (FORMAT csv, ESCAPE 'ab');
COPY counters FROM STDIN (QUOTE '"');
COPY counters FROM STDIN (ESCAPE '"');
COPY counters FROM STDIN (FORMAT binary, DELIMITER ',');
COPY counters FROM STDIN (FORMAT binary, NULL ',');
COPY counters FROM STDIN (FORMAT binary, HEADER);
COPY counters FROM STDIN (FORCE_NULL (id));
COPY counters FROM STDIN (FORCE_NOT_NULL (id));
COPY counters FROM STDIN (FORMAT csv, FORCE_QUOTE (id));
COPY counters TO STDOUT (FORMAT csv, FORCE_NULL (id));
COPY counters TO STDOUT (FORMAT csv, FORCE_NOT_NULL (id));
COPY counters TO STDOUT (FORCE_QUOTE (id));
COPY counters TO STDOUT (HEADER match);
COPY counters (id) FROM STDIN (FORMAT csv, FORCE_NULL (n));
COPY counters FROM STDIN (FORMAT csv, FORCE_NOT_NULL (nothing));
COPY counters FROM STDIN (FORMAT csv, FORCE_NOT_NULL id);
-- Out.
COPY (SELECT id, n FROM counters WHERE id < 4 ORDER BY id) TO STDOUT;
COPY (SELECT id, name, nick, active, feeling, born FROM people WHERE id < 500 ORDER BY id) TO STDOUT;
COPY (SELECT id, name, nick FROM people WHERE id < 500 ORDER BY id) TO STDOUT (FORMAT csv, HEADER, FORCE_QUOTE (nick));
COPY (SELECT sku, title, tags, attributes FROM products WHERE sku < 'E' COLLATE "C" ORDER BY sku COLLATE "C") TO STDOUT (FORMAT csv, NULL 'nil', FORCE_QUOTE *, DELIMITER ';');
COPY (SELECT '\.'::text AS one) TO STDOUT CSV;
COPY (SELECT '\.'::text AS one, ''::text, NULL::text) TO STDOUT CSV HEADER;
COPY (SELECT E'a\tb\\c\r'::text, '|'::text, NULL::int) TO STDOUT (DELIMITER '|', NULL 'x', HEADER);
COPY (SELECT id, n FROM counters WHERE id < 3 ORDER BY id) TO STDOUT (FORMAT binary);
COPY (SELECT 1 / 0) TO STDOUT;
-- as a set
COPY counters TO STDOUT;
-- as a set
COPY movements (note, account) TO STDOUT (FORMAT csv);
-- as a set
COPY movements TO STDOUT;
-- Transactions.
BEGIN;
COPY counters FROM STDIN;
< 300	1
SAVEPOINT a;
COPY counters FROM STDIN;
< 301	1
< 301	2
COPY counters FROM STDIN;
ROLLBACK TO a;
COPY counters FROM STDIN;
< 302	1
COMMIT;
BEGIN;
COPY counters FROM STDIN;
< 303	1
ROLLBACK;
SELECT id FROM counters WHERE id >= 300 ORDER BY id;
BEGIN READ ONLY;
COPY counters FROM STDIN;
ROLLBACK;
BEGIN READ ONLY;
COPY (SELECT 1) TO STDOUT;
COMMIT;
BEGIN ISOLATION LEVEL REPEATABLE READ;
COPY counters FROM STDIN;
< 304	1
COMMIT;
INSERT INTO counters VALUES (400, 1); COPY counters FROM STDIN; UPDATE counters SET n = n + 1 WHERE id >= 400;
< 401	1
INSERT INTO counters VALUES (402, 1); COPY counters FROM STDIN; SELECT 1;
< 403	x
SELECT * FROM counters WHERE id >= 300 ORDER BY id;
-- Binary rows that are wrong in more than one place, and arrays.
COPY counters FROM STDIN (FORMAT binary);
<x 5047434f50590aff0d0a000000000000000000000200000003000001fffffffe
COPY counters FROM STDIN (FORMAT binary);
<x 5047434f50590aff0d0a00000000000000000000020000000500000001010000000800
COPY counters FROM STDIN (FORMAT binary);
<x 5047434f50590aff0d0a0000000000000000000002fffffffffffffffe
COPY products (sku, title, sizes) FROM STDIN (FORMAT binary);
<x 5047434f50590aff0d0a0000000000000000000003000000027a7a000000027a7a0000001c00000001000000000000001700000001000000010000000900000001
COPY products (sku, title, sizes) FROM STDIN (FORMAT binary);
<x 5047434f50590aff0d0a0000000000000000000003000000027a7a000000027a7a000000180000000100000000000000170000000100000001fffffffe
COPY products (sku, title, sizes) FROM STDIN (FORMAT binary);
<x 5047434f50590aff0d0a0000000000000000000003000000027a7a000000027a7a0000001b000000010000000000000017000000010000000100000003000001
COPY products (sku, title, sizes) FROM STDIN (FORMAT binary);
<x 5047434f50590aff0d0a0000000000000000000003000000027a7a000000027a7a0000001d0000000100000000000000170000000100000001000000050000000101
COPY products (sku, title, sizes) FROM STDIN (FORMAT binary);
<x 5047434f50590aff0d0a0000000000000000000003000000027a7a000000027a7a0000001000000001000000000000001700000001
