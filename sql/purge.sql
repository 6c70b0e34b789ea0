-- fortress.purge(): archived rows go for good.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fortress_guard;
RESET client_min_messages;
CREATE SCHEMA purge_test;
SET search_path = purge_test, public;
CREATE ROLE regress_purge_admin IN ROLE fortress_admin;
CREATE ROLE regress_purge_operator IN ROLE fortress_operator;
GRANT USAGE ON SCHEMA purge_test TO regress_purge_admin, regress_purge_operator;

CREATE TABLE t (id integer PRIMARY KEY, v text);
ALTER TABLE t ALTER v SET STORAGE EXTERNAL;
INSERT INTO t SELECT i, repeat(i::text, 2000) FROM generate_series(1, 50) i;
SELECT fortress.protect('t', delete_rows => 1000, update_rows => 1000);
CREATE TABLE part (id integer PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (1) TO (100);
INSERT INTO part SELECT i, 'v' FROM generate_series(1, 20) i;
SELECT fortress.protect('part');
DELETE FROM t WHERE id <= 20;
UPDATE t SET v = 'new' WHERE id > 40;
DELETE FROM part WHERE id <= 5;
SELECT fortress.shadow_of('t') AS shadow \gset
SELECT fortress.shadow_of('part') AS part_shadow \gset

-- nothing is old enough for the setting
SELECT fortress.purge();
SELECT fortress.purge('1 hour', 't');
SELECT fortress.purge('0', 't', 'id = 1 OR id = 2 -- two of them');
SELECT fortress.purge('0', 't', $$fg_op = 'u'$$);
SELECT fg_op, count(*), sum(length(v)) > 1000 AS whole FROM :shadow GROUP BY 1;
SELECT * FROM fortress.restore('t', filter => 'id <= 10');
SELECT count(*) FROM t;
-- what the transaction itself has archived stays
BEGIN;
DELETE FROM t WHERE id BETWEEN 3 AND 10;
SELECT fortress.purge('0', 't');
SELECT fortress.purge('360 days -1 year', 't');
SELECT count(*) FROM :shadow;
COMMIT;
SELECT fortress.purge('0', 't');
-- rolled back, nothing is gone
BEGIN;
SELECT fortress.purge('0');
ROLLBACK;
SELECT count(*) FROM :part_shadow;
SELECT fortress.purge('0', 'part', 'id = 1');
SELECT fortress.purge('0', 'part_1');
SELECT fortress.purge('0');
SELECT count(*) FROM :part_shadow;

-- for administrators
SET ROLE regress_purge_operator;
SELECT fortress.purge('0', 't');
SET ROLE regress_purge_admin;
SELECT fortress.purge('0', 't');
RESET ROLE;
DELETE FROM t WHERE id = 30;
SET ROLE regress_purge_admin;
SELECT fortress.purge('0', 't', 'id = 30');
RESET ROLE;
-- with a second person, where that is asked for
BEGIN;
SELECT fortress.require_approval(NULL, '{admin}', 'regress_purge_operator');
SELECT fortress.purge('0', 't');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
DO $$
BEGIN
	FOR i IN 1..500 LOOP
		EXIT WHEN EXISTS (SELECT FROM fortress.audit_log WHERE event = 'purged' AND relation = 'purge_test.t'::regclass AND rows = 1);
		PERFORM pg_sleep(0.02);
	END LOOP;
END $$;
SELECT event, relation, rows FROM fortress.audit_log WHERE event = 'purged' AND relation = 'purge_test.t'::regclass ORDER BY id;

-- arguments
CREATE TABLE bare (id integer);
SELECT fortress.purge('0', 'bare');
SELECT fortress.purge('-1 day');
SELECT fortress.purge('0', 't', 'true) OR (true');
SELECT fortress.purge('0', 't', 'nosuch = 1');
SELECT fortress.purge('0', 't', 'true; DROP TABLE t');
BEGIN READ ONLY;
SELECT fortress.purge('0');
ROLLBACK;

-- clean up
SET client_min_messages = warning;
BEGIN;
SELECT fortress.unlock(fortress.issue_token(operations => '{admin}')) \gset
SELECT fortress.unprotect('t'), fortress.unprotect('part') \gset
DROP TABLE :shadow, :part_shadow;
COMMIT;
DROP SCHEMA purge_test CASCADE;
DROP ROLE regress_purge_admin, regress_purge_operator;
