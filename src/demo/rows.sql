-- Some years of business: 600 customers, 3000 orders, 6000 items, 1800 payments. Ids come out of the sequences, from 1 on.
INSERT INTO customers (email, name, tier, profile, created_at)
SELECT format('customer%s@example.org', n), (ARRAY['Ada', 'Grace', 'Zoë', '明', 'Søren'])[1 + n % 5] || ' ' || n,
       (enum_range(NULL::tier))[1 + n % 3],
       jsonb_build_object('newsletter', n % 4 = 0, 'tags', jsonb_build_array('t' || n % 7, n % 11)),
       timestamptz '2021-01-01 00:00+00' + n * interval '43 hours 7 minutes 11.123456 seconds'
FROM generate_series(1, 600) AS n ORDER BY n;

INSERT INTO orders (customer_id, status, total, note, shipping, placed_at, updated_at)
SELECT 1 + (n * 37) % 600, (enum_range(NULL::order_status))[1 + n % 4], (n * 731 % 90000) / 100.0 + 1,
       CASE n % 3 WHEN 0 THEN NULL WHEN 1 THEN '' ELSE 'leave at the door 🎁 №' || n END,
       CASE WHEN n % 2 = 0 THEN jsonb_build_object('city', 'Århus', 'zip', lpad(n::text, 5, '0')) END,
       placed, placed + n % 90 * interval '1 hour'
FROM (SELECT n, timestamptz '2022-01-01 00:00+00' + n * interval '8 hours 3.000001 seconds' AS placed FROM generate_series(1, 3000) AS n) AS days
ORDER BY n;

INSERT INTO order_items (order_id, line, sku, quantity, price)
SELECT n, line, format('SKU-%s-%s', n % 97, line), 1 + (n + line) % 5, (n * 13 % 5000) / 100.0 + line
FROM generate_series(1, 3000) AS n, generate_series(1, 2) AS line;

INSERT INTO payments (order_id, method, amount, paid_at)
SELECT id, (ARRAY['card', 'transfer', 'cash'])[1 + id % 3], total, updated_at + interval '1 minute'
FROM orders WHERE id % 5 < 3;

ANALYZE;
