SELECT * FROM pgbench_accounts WHERE aid <= 10000 ORDER BY aid;
