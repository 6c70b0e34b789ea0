--
-- Counting and limits on every road by which rows leave a table or change.
--
-- Each road is tried twice: with as many rows as the limit allows, which must
-- pass, and with one more, which must not.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fortress_guard;
\set VERBOSITY sqlstate
\set SHOW_CONTEXT never
\pset tuples_only on
\pset format unaligned
-- what is refused without permission, where a test needs it: in a transaction
\set permit 'SELECT fortress.unlock(fortress.issue_token(operations => ''{ddl,admin}''));'

CREATE ROLE regress_exec_app;
CREATE ROLE regress_exec_other;
GRANT regress_exec_other TO regress_exec_app;
CREATE SCHEMA exec;
GRANT ALL ON SCHEMA exec TO PUBLIC;
SET search_path = exec;

CREATE TABLE listing (id int PRIMARY KEY, v text, n int);
INSERT INTO listing SELECT i, 'v' || i, i FROM generate_series(1, 100) i;
CREATE TABLE plain (LIKE listing INCLUDING ALL);
INSERT INTO plain SELECT * FROM listing;
GRANT ALL ON listing, plain TO PUBLIC;
SELECT fortress.protect('listing', delete_rows => 10, update_rows => 10);
SELECT fortress.drop_limit('listing', 'delete', '1 hour');
-- how many rows there are, and how many are as they were
CREATE VIEW state AS SELECT count(*) AS rows, count(*) FILTER (WHERE v = 'v' || id AND n = id) AS untouched FROM listing;

-- Everything that a refusal says.
CREATE FUNCTION complaint(statement text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	d text;
	h text;
	s text;
	t text;
BEGIN
	EXECUTE statement;
	RETURN NEXT 'no complaint';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT, s = SCHEMA_NAME, t = TABLE_NAME;
	RETURN NEXT SQLSTATE || ' ' || SQLERRM;
	RETURN NEXT 'detail: ' || d;
	RETURN NEXT 'hint: ' || h;
	RETURN NEXT 'table: ' || s || ', ' || t;
END $$;

--
-- Plain statements
--
BEGIN; DELETE FROM listing WHERE id <= 10; TABLE state; ROLLBACK;
DELETE FROM listing WHERE id <= 11;
BEGIN; UPDATE listing SET n = 0 WHERE id <= 10; TABLE state; ROLLBACK;
UPDATE listing SET n = 0 WHERE id <= 11;
SELECT complaint('DELETE FROM listing WHERE id <= 11');
SELECT complaint('UPDATE listing SET n = 0 WHERE id <= 11');
TABLE state;

-- an unprotected table is nobody's business
BEGIN; DELETE FROM plain; SELECT count(*) FROM plain; ROLLBACK;

-- the statements of a transaction add up, deletes and updates by themselves
BEGIN; DELETE FROM listing WHERE id <= 6; DELETE FROM listing WHERE id <= 10; UPDATE listing SET n = 0 WHERE id BETWEEN 21 AND 30; TABLE state; ROLLBACK;
BEGIN; DELETE FROM listing WHERE id <= 6; DELETE FROM listing WHERE id <= 11; ROLLBACK;
BEGIN; UPDATE listing SET n = 0 WHERE id = 1; UPDATE listing SET n = 0 WHERE id BETWEEN 2 AND 11; ROLLBACK;
-- and the next transaction begins anew
BEGIN; DELETE FROM listing WHERE id <= 10; ROLLBACK;
BEGIN; DELETE FROM listing WHERE id <= 10; TABLE state; ROLLBACK;

-- a row is counted each time that a version of it is overwritten
BEGIN; UPDATE listing SET n = 0 WHERE id <= 5; UPDATE listing SET n = 1 WHERE id <= 5; TABLE state; ROLLBACK;
BEGIN; UPDATE listing SET n = 0 WHERE id <= 5; UPDATE listing SET n = 1 WHERE id <= 6; ROLLBACK;
-- but once where a join finds it several times
BEGIN; UPDATE listing SET n = 0 FROM generate_series(1, 50) g WHERE id = g % 10 + 1; TABLE state; ROLLBACK;
UPDATE listing SET n = 0 FROM generate_series(1, 50) g WHERE id = g % 11 + 1;
BEGIN; DELETE FROM listing USING generate_series(1, 50) g WHERE id = g % 10 + 1; TABLE state; ROLLBACK;
DELETE FROM listing USING generate_series(1, 50) g WHERE id = g % 11 + 1;

-- rows that a BEFORE trigger keeps do not count, those that it deletes do
CREATE FUNCTION keep_even() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN CASE WHEN old.id % 2 = 1 THEN old END; END';
BEGIN; :permit CREATE TRIGGER keep_even BEFORE DELETE ON listing FOR EACH ROW EXECUTE FUNCTION keep_even(); COMMIT;
BEGIN; DELETE FROM listing WHERE id <= 20; TABLE state; ROLLBACK;
DELETE FROM listing WHERE id <= 21;
DROP TRIGGER keep_even ON listing;
CREATE FUNCTION take_neighbour() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM exec.listing WHERE id = old.id + 50;
	RETURN old;
END $$;
BEGIN; :permit CREATE TRIGGER take_neighbour BEFORE DELETE ON listing FOR EACH ROW EXECUTE FUNCTION take_neighbour(); COMMIT;
BEGIN; DELETE FROM listing WHERE id <= 5; TABLE state; ROLLBACK;
DELETE FROM listing WHERE id <= 6;
DROP TRIGGER take_neighbour ON listing;
CREATE TRIGGER take_neighbour AFTER DELETE ON listing FOR EACH ROW EXECUTE FUNCTION take_neighbour();
BEGIN; DELETE FROM listing WHERE id IN (1, 2, 3, 4, 50); TABLE state; ROLLBACK;
DELETE FROM listing WHERE id <= 6;
DROP TRIGGER take_neighbour ON listing;

-- stopped at the first row too many, not when all the work is done
CREATE SEQUENCE visited;
DELETE FROM listing WHERE nextval('visited') > 0;
SELECT last_value FROM visited;

--
-- Writable CTEs, read or unread
--
BEGIN; WITH d AS (DELETE FROM listing WHERE id <= 10 RETURNING *) SELECT count(*) FROM d; TABLE state; ROLLBACK;
WITH d AS (DELETE FROM listing WHERE id <= 11 RETURNING *) SELECT count(*) FROM d;
BEGIN; WITH d AS (DELETE FROM listing WHERE id <= 10) SELECT 'unread'; TABLE state; ROLLBACK;
WITH d AS (DELETE FROM listing WHERE id <= 11) SELECT 'unread';
BEGIN; WITH d AS (DELETE FROM listing WHERE id <= 10 RETURNING id) SELECT id FROM d LIMIT 1; TABLE state; ROLLBACK;
WITH d AS (DELETE FROM listing WHERE id <= 11 RETURNING id) SELECT id FROM d LIMIT 1;
-- two on one table
BEGIN; WITH d AS (DELETE FROM listing WHERE id <= 5), e AS (DELETE FROM listing WHERE id BETWEEN 6 AND 10) SELECT 'both'; TABLE state; ROLLBACK;
WITH d AS (DELETE FROM listing WHERE id <= 5), e AS (DELETE FROM listing WHERE id BETWEEN 6 AND 11) SELECT 'both';
BEGIN; WITH d AS (DELETE FROM listing WHERE id <= 5 RETURNING id) DELETE FROM listing WHERE id IN (SELECT id + 50 FROM d); TABLE state; ROLLBACK;
WITH d AS (DELETE FROM listing WHERE id <= 6 RETURNING id) DELETE FROM listing WHERE id IN (SELECT id + 50 FROM d);
BEGIN; WITH d AS (DELETE FROM listing WHERE id <= 10 RETURNING id), u AS (UPDATE listing SET n = 0 WHERE id IN (SELECT id + 50 FROM d) RETURNING 1) SELECT count(*) FROM u; TABLE state; ROLLBACK;
WITH d AS (DELETE FROM listing WHERE id <= 10 RETURNING id), u AS (UPDATE listing SET n = 0 WHERE id BETWEEN 51 AND 61 RETURNING 1) SELECT count(*) FROM u;
-- in other statements
BEGIN; WITH d AS (DELETE FROM listing WHERE id <= 10 RETURNING id) INSERT INTO plain SELECT id + 1000 FROM d; TABLE state; ROLLBACK;
WITH d AS (DELETE FROM listing WHERE id <= 11 RETURNING id) INSERT INTO plain SELECT id + 1000 FROM d;
WITH d AS (DELETE FROM listing WHERE id <= 11 RETURNING id) UPDATE plain SET n = 0 FROM d WHERE d.id = plain.id;

--
-- MERGE
--
BEGIN; MERGE INTO listing USING generate_series(1, 10) g ON id = g WHEN MATCHED THEN DELETE; TABLE state; ROLLBACK;
MERGE INTO listing USING generate_series(1, 11) g ON id = g WHEN MATCHED THEN DELETE;
BEGIN; MERGE INTO listing USING generate_series(1, 10) g ON id = g WHEN MATCHED THEN UPDATE SET n = 0; TABLE state; ROLLBACK;
MERGE INTO listing USING generate_series(1, 11) g ON id = g WHEN MATCHED THEN UPDATE SET n = 0;
BEGIN;
MERGE INTO listing USING generate_series(1, 120) g ON id = g
	WHEN MATCHED AND g <= 10 THEN DELETE WHEN MATCHED AND g <= 20 THEN UPDATE SET n = 0
	WHEN MATCHED THEN DO NOTHING WHEN NOT MATCHED THEN INSERT VALUES (g, 'v' || g, g);
TABLE state;
ROLLBACK;
MERGE INTO listing USING generate_series(1, 120) g ON id = g
	WHEN MATCHED AND g <= 10 THEN DELETE WHEN MATCHED AND g <= 21 THEN UPDATE SET n = 0
	WHEN NOT MATCHED THEN INSERT VALUES (g, 'v' || g, g);

--
-- ON CONFLICT
--
BEGIN; INSERT INTO listing SELECT i, 'new', 0 FROM generate_series(91, 130) i ON CONFLICT (id) DO UPDATE SET n = 0; TABLE state; ROLLBACK;
INSERT INTO listing SELECT i, 'new', 0 FROM generate_series(90, 130) i ON CONFLICT (id) DO UPDATE SET n = 0;
BEGIN; INSERT INTO listing SELECT i, 'new', 0 FROM generate_series(1, 130) i ON CONFLICT (id) DO UPDATE SET n = 0 WHERE listing.id <= 10; TABLE state; ROLLBACK;
BEGIN; INSERT INTO listing SELECT i, 'new', 0 FROM generate_series(1, 130) i ON CONFLICT (id) DO NOTHING; TABLE state; ROLLBACK;
-- plain INSERT has no limit
BEGIN; INSERT INTO listing SELECT i FROM generate_series(101, 2000) i; TABLE state; ROLLBACK;

--
-- Views
--
CREATE VIEW cheap AS SELECT * FROM listing WHERE id <= 50;
CREATE VIEW ruled AS SELECT * FROM listing;
CREATE RULE remove AS ON DELETE TO ruled DO INSTEAD DELETE FROM listing WHERE id = old.id;
CREATE VIEW instead AS SELECT * FROM listing;
CREATE FUNCTION remove() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN DELETE FROM exec.listing WHERE id = old.id; RETURN old; END';
CREATE TRIGGER remove INSTEAD OF DELETE ON instead FOR EACH ROW EXECUTE FUNCTION remove();
BEGIN; DELETE FROM cheap WHERE id > 40; TABLE state; ROLLBACK;
DELETE FROM cheap WHERE id > 39;
BEGIN; UPDATE cheap SET n = 0 WHERE id > 40; TABLE state; ROLLBACK;
UPDATE cheap SET n = 0 WHERE id > 39;
BEGIN; DELETE FROM ruled WHERE id > 90; TABLE state; ROLLBACK;
DELETE FROM ruled WHERE id > 89;
BEGIN; DELETE FROM instead WHERE id > 90; TABLE state; ROLLBACK;
DELETE FROM instead WHERE id > 89;
-- a rule that adds a DELETE to what happens on another table
CREATE RULE also AS ON UPDATE TO plain DO ALSO DELETE FROM listing WHERE id = old.id;
BEGIN; UPDATE plain SET n = 0 WHERE id <= 10; TABLE state; ROLLBACK;
UPDATE plain SET n = 0 WHERE id <= 11;
DROP RULE also ON plain;

--
-- Functions and procedures
--
CREATE FUNCTION wipe_sql(upto int) RETURNS bigint LANGUAGE sql AS 'DELETE FROM exec.listing WHERE id <= upto; SELECT count(*) FROM exec.listing';
CREATE FUNCTION wipe_atomic(upto int) RETURNS void BEGIN ATOMIC DELETE FROM exec.listing WHERE id <= upto; END;
CREATE FUNCTION wipe_loop(upto int) RETURNS void LANGUAGE plpgsql AS 'BEGIN FOR i IN 1..upto LOOP DELETE FROM exec.listing WHERE id = i; END LOOP; END';
CREATE FUNCTION wipe_definer(upto int) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN DELETE FROM exec.listing WHERE id <= upto; END';
CREATE FUNCTION wipe_execute(upto int) RETURNS void LANGUAGE plpgsql AS $$BEGIN EXECUTE 'DELETE FROM exec.listing WHERE id <= $1' USING upto; END$$;
CREATE FUNCTION wipe_cursor(upto int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	c CURSOR FOR SELECT * FROM exec.listing ORDER BY id FOR UPDATE;
BEGIN
	FOR r IN c LOOP
		EXIT WHEN r.id > upto;
		DELETE FROM exec.listing WHERE CURRENT OF c;
	END LOOP;
END $$;
CREATE FUNCTION wipe_returning(upto int) RETURNS SETOF int LANGUAGE sql AS 'DELETE FROM exec.listing WHERE id <= upto RETURNING id';
CREATE PROCEDURE wipe_procedure(upto int) LANGUAGE plpgsql AS 'BEGIN PERFORM exec.wipe_loop(upto); END';
BEGIN; SELECT wipe_sql(10); TABLE state; ROLLBACK;
SELECT wipe_sql(11);
BEGIN; SELECT wipe_atomic(10); TABLE state; ROLLBACK;
SELECT wipe_atomic(11);
BEGIN; SELECT wipe_loop(10); TABLE state; ROLLBACK;
SELECT wipe_loop(11);
BEGIN; SELECT wipe_definer(10); TABLE state; ROLLBACK;
SELECT wipe_definer(11);
BEGIN; SELECT wipe_execute(10); TABLE state; ROLLBACK;
SELECT wipe_execute(11);
BEGIN; SELECT wipe_cursor(10); TABLE state; ROLLBACK;
SELECT wipe_cursor(11);
BEGIN; SELECT count(*) FROM wipe_returning(10); TABLE state; ROLLBACK;
SELECT count(*) FROM wipe_returning(11);
BEGIN; SELECT wipe_returning(11) LIMIT 1; ROLLBACK;
BEGIN; CALL wipe_procedure(10); TABLE state; ROLLBACK;
CALL wipe_procedure(11);
BEGIN; DO 'BEGIN DELETE FROM exec.listing WHERE id <= 10; END'; TABLE state; ROLLBACK;
DO 'BEGIN DELETE FROM exec.listing WHERE id <= 11; END';
-- called for each row of a query, and for a default
BEGIN; SELECT count(wipe_sql(g)) FROM generate_series(1, 10) g; TABLE state; ROLLBACK;
SELECT count(wipe_sql(g)) FROM generate_series(1, 11) g;
CREATE TABLE bait (id bigint DEFAULT wipe_sql(11));
INSERT INTO bait DEFAULT VALUES;
ALTER TABLE bait ALTER id SET DEFAULT wipe_sql(10);
BEGIN; INSERT INTO bait DEFAULT VALUES; TABLE state; ROLLBACK;
-- as the condition of a DELETE on the same table
BEGIN; DELETE FROM listing WHERE id = 100 AND wipe_sql(9) > 0; TABLE state; ROLLBACK;
DELETE FROM listing WHERE id = 100 AND wipe_sql(10) > 0;

-- a procedure that commits: each transaction by itself, only windows add up
CREATE TABLE slow (id int PRIMARY KEY);
INSERT INTO slow SELECT generate_series(1, 100);
SELECT fortress.protect('slow', delete_rows => 3);
SELECT fortress.set_limit('slow', 'delete', 10, '1 hour');
CREATE PROCEDURE wipe_committing(lowest int, highest int) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN lowest..highest LOOP
		DELETE FROM exec.slow WHERE id = i;
		COMMIT;
	END LOOP;
END $$;
CALL wipe_committing(1, 7);
SELECT count(*) FROM slow;
CALL wipe_committing(8, 14);
SELECT count(*) FROM slow;

--
-- Prepared statements, generic plans, cursors, EXPLAIN, COPY, CREATE TABLE AS
--
PREPARE remove(int) AS DELETE FROM listing WHERE id <= $1;
BEGIN; EXECUTE remove(10); TABLE state; ROLLBACK;
EXECUTE remove(11);
SET plan_cache_mode = force_generic_plan;
BEGIN; EXECUTE remove(10); TABLE state; ROLLBACK;
EXECUTE remove(11);
RESET plan_cache_mode;
-- a plan made before the table was protected
PREPARE remove_plain(int) AS DELETE FROM plain WHERE id <= $1;
SET plan_cache_mode = force_generic_plan;
BEGIN; EXECUTE remove_plain(50); ROLLBACK;
BEGIN; SELECT fortress.protect('plain', delete_rows => 10); EXECUTE remove_plain(50); ROLLBACK;
BEGIN; EXECUTE remove_plain(50); SELECT count(*) FROM plain; ROLLBACK;
RESET plan_cache_mode;

BEGIN;
DECLARE c CURSOR FOR SELECT * FROM listing ORDER BY id FOR UPDATE;
FETCH c;
DELETE FROM listing WHERE CURRENT OF c;
FETCH c;
UPDATE listing SET n = 0 WHERE CURRENT OF c;
TABLE state;
ROLLBACK;
BEGIN;
DELETE FROM listing WHERE id > 90;
DECLARE c CURSOR FOR SELECT * FROM listing ORDER BY id FOR UPDATE;
FETCH c;
DELETE FROM listing WHERE CURRENT OF c;
ROLLBACK;

EXPLAIN (COSTS OFF) DELETE FROM listing;
BEGIN; EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) DELETE FROM listing WHERE id > 90 AND n > 0; TABLE state; ROLLBACK;
EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) DELETE FROM listing WHERE id > 89;
EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) DELETE FROM listing;

BEGIN; COPY (DELETE FROM listing WHERE id > 97 RETURNING id) TO STDOUT; TABLE state; ROLLBACK;
COPY (DELETE FROM listing WHERE id > 89 RETURNING id) TO STDOUT;
BEGIN; CREATE TABLE haul AS WITH d AS (DELETE FROM listing WHERE id > 90 RETURNING id) SELECT * FROM d; TABLE state; ROLLBACK;
CREATE TABLE haul AS WITH d AS (DELETE FROM listing WHERE id > 89 RETURNING id) SELECT * FROM d;
WITH d AS (DELETE FROM listing WHERE id > 89 RETURNING id) SELECT * INTO haul FROM d;

-- deferred triggers, at commit
CREATE FUNCTION remove_later() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN DELETE FROM exec.listing WHERE id <= new.id; RETURN NULL; END';
CREATE TABLE later (id int);
CREATE CONSTRAINT TRIGGER remove_later AFTER INSERT ON later DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION remove_later();
BEGIN; INSERT INTO later VALUES (10); SET CONSTRAINTS ALL IMMEDIATE; TABLE state; ROLLBACK;
BEGIN; INSERT INTO later VALUES (11); TABLE state; COMMIT;
TABLE state;
BEGIN; DELETE FROM listing WHERE id > 99; INSERT INTO later SELECT generate_series(1, 10); COMMIT;
SELECT count(*) FROM later;

--
-- Savepoints and caught errors
--
BEGIN; SAVEPOINT a; DELETE FROM listing WHERE id <= 10; ROLLBACK TO a; DELETE FROM listing WHERE id > 90; TABLE state; ROLLBACK;
BEGIN; SAVEPOINT a; DELETE FROM listing WHERE id <= 5; RELEASE a; DELETE FROM listing WHERE id > 94; ROLLBACK;
BEGIN; SAVEPOINT a; DELETE FROM listing WHERE id <= 5; SAVEPOINT b; DELETE FROM listing WHERE id <= 10; ROLLBACK TO b; DELETE FROM listing WHERE id > 95; TABLE state; ROLLBACK;
BEGIN; SAVEPOINT a; DELETE FROM listing WHERE id <= 5; SAVEPOINT b; DELETE FROM listing WHERE id <= 10; RELEASE b; ROLLBACK TO a; DELETE FROM listing WHERE id > 90; TABLE state; ROLLBACK;
-- after a refusal what the refused statement counted stays charged
BEGIN;
DELETE FROM listing WHERE id <= 4;
SAVEPOINT a;
DELETE FROM listing WHERE id <= 11;
ROLLBACK TO a;
DELETE FROM listing WHERE id = 5;
ROLLBACK TO a;
UPDATE listing SET n = 0 WHERE id = 6;
TABLE state;
ROLLBACK;
BEGIN; DELETE FROM listing WHERE id <= 10; TABLE state; ROLLBACK;
-- even where the savepoint before the refusal is undone as well
BEGIN;
SAVEPOINT a;
SAVEPOINT b;
DELETE FROM listing WHERE id <= 11;
ROLLBACK TO a;
DELETE FROM listing WHERE id = 5;
ROLLBACK;
-- an error of another kind charges nothing
BEGIN;
SAVEPOINT a;
DELETE FROM listing WHERE id <= 10 AND 1 / (10 - id) >= 0;
ROLLBACK TO a;
DELETE FROM listing WHERE id <= 10;
TABLE state;
ROLLBACK;
-- a loop that swallows errors gets no further than the limit
CREATE FUNCTION swallow(step int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	refused int := 0;
BEGIN
	FOR i IN 0..9 LOOP
		BEGIN
			DELETE FROM exec.listing WHERE id BETWEEN i * step + 1 AND (i + 1) * step;
		EXCEPTION WHEN SQLSTATE 'ZG001' THEN
			refused := refused + 1;
		END;
	END LOOP;
	RETURN format('%s refused, %s left', refused, (SELECT count(*) FROM exec.listing));
END $$;
BEGIN; SELECT swallow(1); ROLLBACK;
BEGIN; SELECT swallow(4); ROLLBACK;
BEGIN; SELECT swallow(10); ROLLBACK;

--
-- Limits per statement, per transaction, within an interval; by whom
--
CREATE TABLE spare (id int PRIMARY KEY, n int);
INSERT INTO spare SELECT i FROM generate_series(1, 1000) i;
GRANT ALL ON spare TO PUBLIC;
SELECT fortress.protect('spare', delete_rows => 10);
SELECT fortress.drop_limit('spare', 'delete', '1 hour');
SELECT fortress.set_limit('spare', 'delete', 4, 'statement');
BEGIN; DELETE FROM spare WHERE id <= 4; DELETE FROM spare WHERE id <= 8; DELETE FROM spare WHERE id <= 10; ROLLBACK;
DELETE FROM spare WHERE id <= 5;
BEGIN; DELETE FROM spare WHERE id <= 4; DELETE FROM spare WHERE id <= 8; DELETE FROM spare WHERE id <= 11; ROLLBACK;
SELECT complaint('DELETE FROM spare WHERE id <= 5');
-- all nodes of a statement together
WITH d AS (DELETE FROM spare WHERE id <= 2) DELETE FROM spare WHERE id BETWEEN 11 AND 13;
BEGIN; WITH d AS (DELETE FROM spare WHERE id <= 2) DELETE FROM spare WHERE id BETWEEN 11 AND 12; ROLLBACK;
-- 0: none without permission
SELECT fortress.set_limit('spare', 'delete', 0, 'statement');
SELECT complaint('DELETE FROM spare WHERE id = 1');
BEGIN; DELETE FROM spare WHERE id > 1000; ROLLBACK;
SELECT fortress.drop_limit('spare', 'delete', 'statement');
SELECT fortress.drop_limit('spare', 'delete');
BEGIN; DELETE FROM spare WHERE id <= 999; SELECT count(*) FROM spare; ROLLBACK;

-- a window: over transactions, by session user whatever role is set
SELECT fortress.set_limit('spare', 'delete', 10, '1 day');
SET SESSION AUTHORIZATION regress_exec_app;
DELETE FROM spare WHERE id <= 6;
DELETE FROM spare WHERE id <= 11;
SET ROLE regress_exec_other;
DELETE FROM spare WHERE id <= 11;
RESET ROLE;
BEGIN; DELETE FROM spare WHERE id <= 10; ROLLBACK;
DELETE FROM spare WHERE id <= 9;
DELETE FROM spare WHERE id <= 10;
BEGIN; SELECT complaint('DELETE FROM spare WHERE id = 11'); ROLLBACK;
UPDATE spare SET n = 1 WHERE id = 11;
SET SESSION AUTHORIZATION regress_exec_other;
DELETE FROM spare WHERE id BETWEEN 11 AND 20;
DELETE FROM spare WHERE id = 21;
RESET SESSION AUTHORIZATION;
SELECT count(*) FROM spare;
-- by client address: here all of us together
SELECT fortress.drop_limit('spare', 'delete', '24 hours');
SELECT fortress.set_limit('spare', 'delete', 5, '2 hours', 'client');
SET SESSION AUTHORIZATION regress_exec_app;
DELETE FROM spare WHERE id BETWEEN 21 AND 23;
SET SESSION AUTHORIZATION regress_exec_other;
DELETE FROM spare WHERE id BETWEEN 24 AND 26;
BEGIN; SELECT complaint('DELETE FROM spare WHERE id BETWEEN 24 AND 26'); ROLLBACK;
DELETE FROM spare WHERE id BETWEEN 24 AND 25;
RESET SESSION AUTHORIZATION;
-- by table
SELECT fortress.drop_limit('spare', 'delete', '2 hours', 'client');
SELECT fortress.set_limit('spare', 'delete', 5, '2 hours', 'table');
SET SESSION AUTHORIZATION regress_exec_app;
DELETE FROM spare WHERE id BETWEEN 31 AND 33;
SET SESSION AUTHORIZATION regress_exec_other;
DELETE FROM spare WHERE id BETWEEN 34 AND 36;
BEGIN; SELECT complaint('DELETE FROM spare WHERE id BETWEEN 34 AND 36'); ROLLBACK;
DELETE FROM spare WHERE id BETWEEN 34 AND 35;
RESET SESSION AUTHORIZATION;
-- several limits: each must hold
SELECT fortress.set_limit('spare', 'update', 5, '1 hour');
SELECT fortress.set_limit('spare', 'update', 8, '1 hour', 'table');
SET SESSION AUTHORIZATION regress_exec_app;
UPDATE spare SET n = 2 WHERE id BETWEEN 101 AND 105;
UPDATE spare SET n = 2 WHERE id = 106;
SET SESSION AUTHORIZATION regress_exec_other;
UPDATE spare SET n = 2 WHERE id BETWEEN 106 AND 109;
UPDATE spare SET n = 2 WHERE id BETWEEN 106 AND 108;
RESET SESSION AUTHORIZATION;
SELECT count(*) FROM spare WHERE n = 2;
-- a window slides
SELECT fortress.set_limit('spare', 'delete', 100, '2 hours', 'table');
SELECT fortress.set_limit('spare', 'delete', 3, '1 second', 'table');
DELETE FROM spare WHERE id = 201;
SELECT pg_sleep(0.7);
DELETE FROM spare WHERE id IN (202, 203);
SELECT pg_sleep(0.5);
SELECT coalesce(max(used), 0) <= 2 AS the_first_has_expired FROM fortress.window_use('spare') WHERE per = '00:00:01';
SELECT pg_sleep(1.5);
SELECT count(*) FROM fortress.window_use('spare') WHERE per = '00:00:01';
DELETE FROM spare WHERE id BETWEEN 204 AND 206;
-- what was refused and swallowed counts toward windows until the transaction ends
SELECT fortress.set_limit('spare', 'delete', 10, '3 hours', 'table');
SELECT fortress.drop_limit('spare', 'delete', '1 second', 'table');
SELECT fortress.drop_limit('spare', 'delete', '2 hours', 'table');
BEGIN;
SAVEPOINT a;
DELETE FROM spare WHERE id BETWEEN 301 AND 311;
ROLLBACK TO a;
DELETE FROM spare WHERE id = 301;
ROLLBACK;
DELETE FROM spare WHERE id BETWEEN 301 AND 310;
DELETE FROM spare WHERE id = 311;

-- a part of the table instead of a number
CREATE TABLE part_of (id int PRIMARY KEY) WITH (autovacuum_enabled = off);
INSERT INTO part_of SELECT generate_series(1, 300);
SELECT fortress.protect('part_of');
SELECT fortress.drop_limit('part_of', 'delete', '1 hour');
SELECT fortress.set_limit('part_of', 'delete', NULL, max_fraction => 0.02);
-- its size is unknown: the default limit of 100 rows
BEGIN; DELETE FROM part_of WHERE id <= 100; SELECT count(*) FROM part_of; ROLLBACK;
DELETE FROM part_of WHERE id <= 101;
ANALYZE part_of;
BEGIN; DELETE FROM part_of WHERE id <= 6; SELECT count(*) FROM part_of; ROLLBACK;
DELETE FROM part_of WHERE id <= 7;
SELECT complaint('DELETE FROM part_of WHERE id <= 7');
SELECT fortress.set_limit('part_of', 'delete', NULL, max_fraction => 0);
DELETE FROM part_of WHERE id = 1;
SELECT fortress.set_limit('part_of', 'delete', NULL, max_fraction => 1);
BEGIN; DELETE FROM part_of WHERE id <= 300; SELECT count(*) FROM part_of; ROLLBACK;

-- protect() alone: 100 deleted and 1000 updated rows per transaction, 100
-- deleted rows per hour
CREATE TABLE standard (id int PRIMARY KEY, n int);
INSERT INTO standard SELECT i FROM generate_series(1, 2000) i;
GRANT ALL ON standard TO PUBLIC;
SELECT fortress.protect('standard');
SET SESSION AUTHORIZATION regress_exec_app;
UPDATE standard SET n = 0 WHERE id <= 1000;
UPDATE standard SET n = 0 WHERE id <= 1001;
UPDATE standard SET n = 0 WHERE id BETWEEN 1001 AND 2000;
DELETE FROM standard WHERE id <= 101;
DELETE FROM standard WHERE id <= 60;
DELETE FROM standard WHERE id <= 101;
DELETE FROM standard WHERE id <= 100;
DELETE FROM standard WHERE id = 101;
RESET SESSION AUTHORIZATION;
SELECT count(*), count(n) FROM standard;

--
-- What is permitted uses up no window; what is unprotected counts nowhere
--
SELECT fortress.exempt('regress_exec_other', 'standard') AS exemption \gset
SET SESSION AUTHORIZATION regress_exec_other;
DELETE FROM standard WHERE id <= 300;
DELETE FROM standard WHERE id <= 450;
RESET SESSION AUTHORIZATION;
SELECT fortress.revoke_exemption(:exemption);
SET SESSION AUTHORIZATION regress_exec_other;
DELETE FROM standard WHERE id <= 551;
DELETE FROM standard WHERE id <= 550;
DELETE FROM standard WHERE id = 551;
RESET SESSION AUTHORIZATION;
SELECT count(*) FROM standard;

--
-- The guard is blind without the server's counters, or without its triggers
--
SET track_counts = off;
SELECT complaint('DELETE FROM listing WHERE id = 1');
SELECT complaint('UPDATE listing SET n = 0 WHERE id = 1');
DELETE FROM later WHERE id = 1;
RESET track_counts;
-- which takes permission to remove
ALTER TABLE listing DISABLE TRIGGER fortress_guard_delete;
DROP TRIGGER fortress_guard_update ON listing;
BEGIN;
:permit
ALTER TABLE listing DISABLE TRIGGER fortress_guard_delete;
SELECT complaint('DELETE FROM listing WHERE id = 1');
DELETE FROM listing WHERE id = 1;
ROLLBACK;
BEGIN; :permit ALTER TABLE listing ENABLE TRIGGER fortress_guard_delete; DELETE FROM listing WHERE id = 1; ROLLBACK;
BEGIN; :permit ALTER TABLE listing ENABLE ALWAYS TRIGGER fortress_guard_replica; DELETE FROM listing WHERE id = 1; ROLLBACK;
BEGIN; :permit DROP TRIGGER fortress_guard_replica ON listing; DELETE FROM listing WHERE id = 1; ROLLBACK;
BEGIN; :permit DROP TRIGGER fortress_guard_update ON listing; UPDATE listing SET n = 0 WHERE id = 1; ROLLBACK;
-- protect() puts them back
BEGIN;
:permit
DROP TRIGGER fortress_guard_update ON listing;
SELECT fortress.protect('listing');
UPDATE listing SET n = 0 WHERE id = 1;
TABLE state;
ROLLBACK;
-- a role that fires no triggers is still guarded, and archived
BEGIN; SET LOCAL session_replication_role = replica; DELETE FROM listing WHERE id <= 10; TABLE state; ROLLBACK;
BEGIN; SET LOCAL session_replication_role = replica; DELETE FROM listing WHERE id <= 11; ROLLBACK;

--
-- What a refused statement had counted is charged until its transaction ends,
-- and not an hour longer: those rows have not gone
--
CREATE TABLE charged (id int PRIMARY KEY);
INSERT INTO charged SELECT generate_series(1, 20);
SELECT fortress.protect('charged', delete_rows => 5);
SELECT fortress.set_limit('charged', 'delete', 10, '1 hour');
BEGIN;
DELETE FROM charged WHERE id = 1;
SAVEPOINT s;
DELETE FROM charged WHERE id <= 20;
ROLLBACK TO s;
DELETE FROM charged WHERE id = 2;
ROLLBACK TO s;
COMMIT;
DELETE FROM charged WHERE id BETWEEN 2 AND 6;
DELETE FROM charged WHERE id BETWEEN 7 AND 10;
DELETE FROM charged WHERE id = 11;
SELECT count(*) FROM charged;
SELECT fortress.unprotect('charged');

TABLE state;
SELECT fortress.unprotect(relation) FROM fortress.policy WHERE relation IN ('listing'::regclass, 'slow', 'spare', 'part_of', 'standard');
SET client_min_messages = error;
DROP SCHEMA exec CASCADE;
DROP ROLE regress_exec_app, regress_exec_other;
