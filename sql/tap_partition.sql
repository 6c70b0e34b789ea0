-- A DELETE or UPDATE of a partitioned table archives its rows while it runs, too, from partition to partition.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fortress_guard;
RESET client_min_messages;
CREATE SCHEMA tap_partition;
SET search_path = tap_partition, public;

-- Two alike: partitions in several layouts and of several levels.  A trigger of somebody's keeps statements on the second one from archiving.
CREATE FUNCTION as_it_is() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE FUNCTION make(p text, by_trigger boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TABLE %1$s (id int PRIMARY KEY, n int, t text, big text, gone int, d numeric) PARTITION BY RANGE (id);
		CREATE TABLE %1$s_1 PARTITION OF %1$s FOR VALUES FROM (0) TO (100) WITH (fillfactor = 50);
		CREATE TABLE %1$s_2 (d numeric, big text, id int NOT NULL, t text, gone int, n int);
		ALTER TABLE %1$s ATTACH PARTITION %1$s_2 FOR VALUES FROM (100) TO (200);
		CREATE TABLE %1$s_3 (x1 text, id int NOT NULL, n int, x2 int, t text, big text, gone int, d numeric);
		ALTER TABLE %1$s_3 DROP COLUMN x1, DROP COLUMN x2;
		ALTER TABLE %1$s ATTACH PARTITION %1$s_3 FOR VALUES FROM (200) TO (300);
		CREATE TABLE %1$s_4 PARTITION OF %1$s FOR VALUES FROM (300) TO (500) PARTITION BY HASH (id);
		CREATE TABLE %1$s_4a PARTITION OF %1$s_4 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
		CREATE TABLE %1$s_4b (n int, id int NOT NULL, t text, big text, gone int, d numeric);
		ALTER TABLE %1$s_4 ATTACH PARTITION %1$s_4b FOR VALUES WITH (MODULUS 2, REMAINDER 1);
		CREATE TABLE %1$s_5 PARTITION OF %1$s DEFAULT', p);
	EXECUTE format('INSERT INTO %s SELECT i, i %% 10, nullif(repeat(''x'', i %% 30), ''''), CASE WHEN i %% 50 = 0 THEN '
		'(SELECT string_agg(md5((i * 1000 + j)::text), '''') FROM generate_series(1, 300) j) END, i, i / 3.0 FROM generate_series(0, 699) i', p);
	-- rows older than a column with a default
	EXECUTE format('ALTER TABLE %s DROP COLUMN gone, ADD COLUMN later text DEFAULT ''later'', ADD COLUMN twice int GENERATED ALWAYS AS (n * 2) STORED', p);
	EXECUTE format('INSERT INTO %s SELECT i, i %% 10, ''new'', NULL, i / 3.0, ''now'' FROM generate_series(700, 799) i', p);
	IF by_trigger THEN
		EXECUTE format('CREATE TRIGGER plain BEFORE DELETE OR UPDATE ON %s FOR EACH ROW EXECUTE FUNCTION as_it_is()', p);
	END IF;
	PERFORM fortress.protect(p::regclass, delete_rows => 1000000, update_rows => 1000000, require_where => false);
	PERFORM fortress.set_limit(p::regclass, 'delete', 1000000, '1 hour');
END $$;
SELECT make('a', false), make('b', true);
-- and what the first one lost, seen by somebody else
CREATE TABLE witnessed (lost a);
CREATE FUNCTION witness() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO tap_partition.witnessed VALUES (OLD);
	RETURN NULL;
END $$;
CREATE TRIGGER witness AFTER DELETE OR UPDATE ON a FOR EACH ROW EXECUTE FUNCTION witness();

CREATE FUNCTION way(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	found_it text := 'statement';
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) ' || statement LOOP
		IF line LIKE 'Trigger fortress_guard%' THEN
			found_it := 'trigger';
		END IF;
	END LOOP;
	RETURN found_it;
END $$;
BEGIN;
SELECT way('DELETE FROM a WHERE id = 1') AS one, way('DELETE FROM a WHERE id < 150') AS some, way('DELETE FROM a') AS everything;
ROLLBACK;
BEGIN;
SELECT way('UPDATE a SET n = 0 WHERE id = 200') AS one_update, way('UPDATE a SET n = 0') AS updates, way('UPDATE a_4 SET n = 0') AS subtree,
	way('DELETE FROM a USING generate_series(50, 650, 50) g WHERE id = g') AS joined, way('DELETE FROM b WHERE id = 1') AS other,
	way('UPDATE a SET id = id + 1000 WHERE id = 401') AS moves,
	way('MERGE INTO a USING (VALUES (420)) v(i) ON id = i WHEN MATCHED THEN DELETE') AS merged,
	way('INSERT INTO a (id) VALUES (5) ON CONFLICT (id) DO UPDATE SET n = 1') AS conflict;
ROLLBACK;

-- The same statements for both, and what the archives hold then
CREATE FUNCTION each_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	rows bigint[];
	n bigint;
	name text;
BEGIN
	FOREACH name IN ARRAY '{a,b}'::text[] LOOP
		EXECUTE replace(statement, '@', name);
		GET DIAGNOSTICS n = ROW_COUNT;
		rows := rows || n;
	END LOOP;
	RETURN CASE WHEN rows[1] = rows[2] THEN rows[1]::text ELSE rows::text END;
END $$;
SELECT fortress.shadow_of('a') AS sa, fortress.shadow_of('b') AS sb \gset
CREATE VIEW archived_a AS SELECT fg_op, fg_how, fg_natts, fg_actor, replace(fg_relation::text, 'a', 'b') AS named, id, n, t, big, d, twice, later FROM :sa;
CREATE VIEW archived_b AS SELECT fg_op, fg_how, fg_natts, fg_actor, fg_relation::text AS named, id, n, t, big, d, twice, later FROM :sb;
CREATE VIEW difference AS
	(SELECT 'a' AS only_in, * FROM archived_a EXCEPT ALL SELECT 'a', * FROM archived_b) UNION ALL
	(SELECT 'b', * FROM archived_b EXCEPT ALL SELECT 'b', * FROM archived_a) UNION ALL
	(SELECT 'witnessed', NULL, NULL, NULL, NULL, NULL, id, n, t, big, d, twice, later FROM
		(SELECT id, n, t, big, d, twice, later FROM archived_a WHERE fg_op <> 'k' EXCEPT ALL
		 SELECT (lost).id, (lost).n, (lost).t, (lost).big, (lost).d, (lost).twice, (lost).later FROM witnessed) x);
CREATE VIEW verdict AS SELECT (SELECT count(*) FROM archived_a) AS rows, (SELECT count(*) FROM witnessed) AS witnessed, (SELECT count(*) FROM difference) AS differences;
SELECT each_of('DELETE FROM @ WHERE id = 1');
SELECT each_of('DELETE FROM @ WHERE id = -1');
SELECT each_of('DELETE FROM @ WHERE id IN (99, 100)');
SELECT each_of('UPDATE @ SET n = n + 1 WHERE id = 250');
SELECT each_of('UPDATE @ SET n = n + 1 WHERE n IN (3, 4)');
SELECT each_of('UPDATE @ SET t = repeat(''y'', 300), big = NULL WHERE id BETWEEN 50 AND 450');
SELECT each_of('DELETE FROM @ WHERE id % 7 = 0');
SELECT each_of('DELETE FROM @_4 WHERE id % 7 = 1');
SELECT each_of('UPDATE @_2 SET n = 0 WHERE id % 7 = 1');
SELECT * FROM verdict;
-- joins go to and fro between partitions, and find a row several times
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SELECT each_of('DELETE FROM @ USING (SELECT (i * 7919) % 800 AS k FROM generate_series(1, 200) i) r WHERE id = k');
SELECT each_of('UPDATE @ SET n = i FROM (VALUES (10, 1), (410, 1), (10, 1), (110, 2), (410, 1)) v(k, i) WHERE id = k');
RESET enable_hashjoin;
RESET enable_mergejoin;
SELECT each_of('DELETE FROM @ USING (VALUES (12), (212), (12), (512), (512)) v(i) WHERE id = i');
-- moved to other partitions, on condition of one that is not there any more
SELECT each_of('UPDATE @ SET id = id + 1000, n = 7 WHERE id % 90 = 5');
SELECT each_of('UPDATE @ SET n = 8 WHERE id > 1000');
SELECT * FROM verdict;

-- Rows of this transaction, changed again, in savepoints
SELECT each_of('INSERT INTO @ (id, n, t) SELECT i, 1, ''again'' FROM generate_series(0, 799) i ON CONFLICT DO NOTHING');
BEGIN;
SELECT each_of('INSERT INTO @ (id, n, t) SELECT i, 1, ''own'' FROM generate_series(800, 830) i');
SELECT each_of('UPDATE @ SET n = 2 WHERE id BETWEEN 90 AND 110 OR id > 810');
SAVEPOINT one;
SELECT each_of('UPDATE @ SET n = 3 WHERE id BETWEEN 80 AND 320');
SELECT each_of('DELETE FROM @ WHERE id % 5 = 0');
ROLLBACK TO one;
SELECT * FROM verdict;
SAVEPOINT two;
SELECT count(*) FROM (SELECT FROM a WHERE id BETWEEN 95 AND 105 FOR UPDATE) l;
SELECT count(*) FROM (SELECT FROM b WHERE id BETWEEN 95 AND 105 FOR UPDATE) l;
SELECT each_of('UPDATE @ SET n = 4 WHERE id BETWEEN 90 AND 110');
RELEASE two;
SELECT each_of('DELETE FROM @ WHERE id BETWEEN 85 AND 115 OR id > 805');
COMMIT;
SELECT * FROM verdict;
SELECT fg_how, count(*) FROM archived_a GROUP BY 1 ORDER BY 1;
-- one statement: one place in the order, whatever the partitions
BEGIN;
DELETE FROM a WHERE id % 50 = 6;
SELECT count(DISTINCT fg_seq) AS statements, count(DISTINCT fg_at) AS times, count(*) AS rows FROM :sa WHERE fg_xid = pg_current_xact_id();
ROLLBACK;
-- it comes back
SELECT sum(hashtext(a::text)) AS was FROM a \gset
BEGIN;
DELETE FROM a WHERE id % 3 = 0;
UPDATE a SET n = -n, t = NULL WHERE id % 3 = 1;
SELECT pg_current_xact_id() AS xid \gset
COMMIT;
SELECT relation, operation, rows, conflicts FROM fortress.undo(:'xid') ORDER BY 1, 2;
SELECT sum(hashtext(a::text)) = :'was' AS whole FROM a;

-- Functions that change other partitions, the same one, and roll back, while the statement runs
CREATE FUNCTION meddle(key int) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM a WHERE id = key + 300;
	UPDATE a SET n = -1 WHERE id = key + 10;
	BEGIN
		UPDATE a SET n = -2 WHERE id BETWEEN key + 310 AND key + 340;
		DELETE FROM a_4 WHERE id > 450;
		RAISE 'no';
	EXCEPTION WHEN raise_exception THEN
		RETURN true;
	END;
END $$;
BEGIN;
DELETE FROM a WHERE id IN (120, 121, 220, 221, 222) AND meddle(id);
UPDATE a SET n = 5 WHERE id IN (20, 620, 21, 621, 622) RETURNING meddle(id);
SELECT fg_op, count(DISTINCT fg_seq) AS statements, array_agg(id || ':' || n ORDER BY id, fg_seq) FROM :sa WHERE fg_xid = pg_current_xact_id() GROUP BY 1 ORDER BY 1;
ROLLBACK;
-- stopped by the caller; plans for any key
DO $$
DECLARE
	got int;
BEGIN
	EXECUTE 'DELETE FROM a WHERE id BETWEEN 295 AND 305 RETURNING id' INTO got;
	FOR got IN DELETE FROM a WHERE id BETWEEN 495 AND 505 RETURNING id LOOP
		NULL;
	END LOOP;
END $$;
SELECT count(*) AS missing FROM generate_series(295, 505) i WHERE NOT EXISTS (SELECT FROM a WHERE id = i) AND NOT EXISTS (SELECT FROM :sa WHERE id = i AND fg_op = 'd');
SET plan_cache_mode = force_generic_plan;
PREPARE by_key(int) AS DELETE FROM a WHERE id = $1;
PREPARE by_range(int, int) AS UPDATE a SET n = 6 WHERE id BETWEEN $1 AND $2;
BEGIN;
EXECUTE by_key(398);
EXECUTE by_key(398);
EXECUTE by_key(30);
EXECUTE by_range(31, 33);
EXECUTE by_range(198, 202);
SELECT fg_op, fg_seq, array_agg(id ORDER BY id) FROM :sa WHERE fg_xid = pg_current_xact_id() GROUP BY 1, 2 ORDER BY 2;
SELECT way('EXECUTE by_key(31)') AS one, way('EXECUTE by_range(198, 203)') AS several;
ROLLBACK;
RESET plan_cache_mode;
-- CTEs
BEGIN;
SELECT way('WITH d AS (DELETE FROM a WHERE id % 100 = 33 RETURNING id) SELECT FROM d LIMIT 1') AS some, way('WITH d AS (UPDATE a SET n = 0 WHERE id % 100 = 34) SELECT 1') AS unread,
	way('WITH d AS (DELETE FROM a_2 WHERE id = 135), e AS (DELETE FROM a_3 WHERE id = 235) SELECT 1') AS two;
SELECT fg_op, array_agg(id ORDER BY id) FROM :sa WHERE fg_xid = pg_current_xact_id() GROUP BY 1 ORDER BY 1;
ROLLBACK;

-- by cursors, and after errors that were caught
CREATE FUNCTION fetch_one(low int, high int) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	rows refcursor;
	got int;
BEGIN
	OPEN rows FOR WITH d AS (DELETE FROM a WHERE id BETWEEN low AND high RETURNING id) SELECT id FROM d;
	FETCH rows INTO got;
	CLOSE rows;
	RETURN got BETWEEN low AND high;
END $$;
BEGIN;
SELECT fetch_one(196, 203);
DO $$
BEGIN
	BEGIN
		DELETE FROM a WHERE id BETWEEN 90 AND 250 AND 1 / (248 - id) IS NOT NULL;
	EXCEPTION WHEN division_by_zero THEN
		NULL;
	END;
	BEGIN
		WITH d AS (DELETE FROM a WHERE id BETWEEN 90 AND 250 RETURNING id) INSERT INTO witnessed (lost) SELECT NULL FROM d WHERE 1 / (248 - id) IS NOT NULL;
	EXCEPTION WHEN division_by_zero THEN
		NULL;
	END;
	DELETE FROM a WHERE id BETWEEN 115 AND 118;
END $$;
DECLARE places CURSOR FOR SELECT FROM a WHERE id % 200 = 39 ORDER BY id FOR UPDATE;
MOVE places;
DELETE FROM a WHERE CURRENT OF places;
MOVE places;
UPDATE a SET n = 0 WHERE CURRENT OF places;
SELECT fg_op, array_agg(id ORDER BY id) FROM :sa WHERE fg_xid = pg_current_xact_id() GROUP BY 1 ORDER BY 1;
SELECT array_agg(i) AS gone FROM generate_series(30, 250) i WHERE NOT EXISTS (SELECT FROM a WHERE id = i) AND EXISTS (SELECT FROM :sa WHERE id = i AND fg_xid = pg_current_xact_id());
ROLLBACK;

-- Where a partition is less plain, the trigger archives the whole statement
BEGIN;
SELECT fortress.unlock(fortress.issue_token('{a}', '{ddl}'));
CREATE TRIGGER own BEFORE DELETE ON a_3 FOR EACH ROW EXECUTE FUNCTION as_it_is();
SELECT way('DELETE FROM a WHERE id IN (36, 236)') AS both, way('DELETE FROM a WHERE id IN (37, 137)') AS without, way('UPDATE a SET n = 0 WHERE id IN (38, 238)') AS updates;
SELECT fg_op, array_agg(id ORDER BY id) FROM :sa WHERE fg_xid = pg_current_xact_id() GROUP BY 1 ORDER BY 1;
ROLLBACK;
-- of its own policy, the row triggers that it has then
CREATE TABLE c (id int, n int) PARTITION BY RANGE (id);
CREATE TABLE c_1 PARTITION OF c FOR VALUES FROM (0) TO (100);
CREATE TABLE c_2 PARTITION OF c FOR VALUES FROM (100) TO (200);
CREATE TABLE c_3 PARTITION OF c FOR VALUES FROM (200) TO (300);
INSERT INTO c SELECT i, i FROM generate_series(0, 299) i;
SELECT fortress.protect('c_2', archive => 'delete'), fortress.protect('c_3', archive => 'none');
SELECT fortress.shadow_of('c_2') AS sc2 \gset
BEGIN;
DELETE FROM c WHERE id IN (10, 110, 111, 210);
UPDATE c SET n = 0 WHERE id IN (11, 112, 211);
SELECT fg_op, array_agg(id ORDER BY id) FROM :sc2 GROUP BY 1;
ROLLBACK;
-- the limit of a tree counts the rows of all partitions
CREATE TABLE e (id int, n int) PARTITION BY RANGE (id);
CREATE TABLE e_1 PARTITION OF e FOR VALUES FROM (0) TO (100);
CREATE TABLE e_2 PARTITION OF e FOR VALUES FROM (100) TO (200);
INSERT INTO e SELECT i, i FROM generate_series(0, 199) i;
SELECT fortress.protect('e', delete_rows => 20, update_rows => 20);
SELECT fortress.shadow_of('e') AS se \gset
UPDATE e SET n = 1 WHERE id BETWEEN 90 AND 109;
\set VERBOSITY sqlstate
UPDATE e SET n = 2 WHERE id BETWEEN 90 AND 110;
DELETE FROM e WHERE id BETWEEN 90 AND 110;
WITH d AS (DELETE FROM e WHERE id BETWEEN 90 AND 110 RETURNING id) SELECT id FROM d LIMIT 1;
\set VERBOSITY terse
SELECT fg_op, count(*), (SELECT count(*) FROM e WHERE n <> 2) AS left FROM :se GROUP BY 1;

-- What it can't keep whole it refuses, and nothing happens
DO $$ BEGIN EXECUTE 'CREATE TABLE tight (id integer PRIMARY KEY, ' || (SELECT string_agg('c' || i || ' uuid', ', ') FROM generate_series(1, 508) i) || ') PARTITION BY RANGE (id)'; END $$;
CREATE TABLE tight_1 PARTITION OF tight FOR VALUES FROM (0) TO (10);
CREATE TABLE tight_2 PARTITION OF tight FOR VALUES FROM (10) TO (20);
INSERT INTO tight (id) SELECT i FROM generate_series(1, 15) i;
DO $$ BEGIN EXECUTE 'INSERT INTO tight SELECT 16, ' || (SELECT string_agg('gen_random_uuid()', ', ') FROM generate_series(1, 508) i); END $$;
SELECT fortress.protect('tight');
\set VERBOSITY sqlstate
DELETE FROM tight WHERE id > 5;
\set VERBOSITY terse
DELETE FROM tight WHERE id BETWEEN 5 AND 12;
SELECT count(*), bool_or(id = 16) AS there FROM tight;

SET client_min_messages = warning;
SELECT fortress.unprotect(t) FROM unnest('{a,b,c_2,c_3,e,tight}'::regclass[]) t;
DROP SCHEMA tap_partition CASCADE;
