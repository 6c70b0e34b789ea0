-- A plain DELETE or UPDATE archives its rows while it runs; where anything is less plain, the trigger does.  Both must keep the same rows.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fortress_guard;
RESET client_min_messages;
CREATE SCHEMA tap_test;
SET search_path = tap_test, public;

-- Tables of one kind: the trigger of somebody's on the second one keeps the statement itself from archiving.
CREATE FUNCTION as_it_is() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE FUNCTION make(name text, by_trigger boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TABLE %I (id int PRIMARY KEY, n int, t text, big text, twice int GENERATED ALWAYS AS (n * 2) STORED, gone text) WITH (fillfactor = 60)', name);
	EXECUTE format('INSERT INTO %I (id, n, t, big, gone) SELECT i, i %% 10, nullif(repeat(''x'', i %% 50), ''''), CASE WHEN i %% 100 = 0 THEN '
		'(SELECT string_agg(md5((i * 1000 + j)::text), '''') FROM generate_series(1, 300) j) END, ''gone'' FROM generate_series(1, 2000) i', name);
	EXECUTE format('ALTER TABLE %I DROP COLUMN gone, ADD COLUMN later text DEFAULT ''later''', name);
	IF by_trigger THEN
		EXECUTE format('CREATE TRIGGER plain BEFORE DELETE OR UPDATE ON %I FOR EACH ROW EXECUTE FUNCTION as_it_is()', name);
	END IF;
	PERFORM fortress.protect(name::regclass, delete_rows => 1000000, update_rows => 1000000, require_where => false);
	PERFORM fortress.set_limit(name::regclass, 'delete', 1000000, '1 hour');
END $$;
SELECT make('a', false), make('b', true);

-- Which way a statement goes: EXPLAIN shows the triggers that fired.
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
SELECT way('DELETE FROM a WHERE id = 1') AS one, way('DELETE FROM a WHERE id < 100') AS some,
	way('UPDATE a SET n = 0 WHERE id = 200') AS one_update, way('UPDATE a SET n = 0') AS updates,
	way('DELETE FROM a USING generate_series(300, 310) g WHERE id = g') AS joined,
	way('UPDATE a SET id = 5000 WHERE id = 401') AS key, way('WITH x AS (DELETE FROM a WHERE id = 410) UPDATE a SET n = 1 WHERE id = 411') AS two,
	way('MERGE INTO a USING (VALUES (420)) v(i) ON id = i WHEN MATCHED THEN DELETE') AS merged, way('DELETE FROM b WHERE id = 1') AS other;
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
CREATE VIEW archived_a AS SELECT fg_op, fg_natts, fg_actor, id, n, t, md5(big) AS big, twice, later FROM :sa;
CREATE VIEW archived_b AS SELECT fg_op, fg_natts, fg_actor, id, n, t, md5(big) AS big, twice, later FROM :sb;
CREATE VIEW difference AS
	(SELECT 'a' AS only_in, * FROM archived_a EXCEPT ALL SELECT 'a', * FROM archived_b) UNION ALL
	(SELECT 'b', * FROM archived_b EXCEPT ALL SELECT 'b', * FROM archived_a);
SELECT each_of('DELETE FROM @ WHERE id = 1');
SELECT each_of('DELETE FROM @ WHERE id = 100');
SELECT each_of('DELETE FROM @ WHERE id = -1');
SELECT each_of('UPDATE @ SET n = n + 1 WHERE id = 2');
SELECT each_of('UPDATE @ SET n = n + 1 WHERE n IN (3, 4)');
SELECT each_of('UPDATE @ SET t = repeat(''y'', 300), big = NULL WHERE id BETWEEN 150 AND 450');
SELECT each_of('DELETE FROM @ WHERE id BETWEEN 200 AND 300');
SELECT each_of('DELETE FROM @ USING (SELECT (i * 7919) % 1000 + 500 AS k FROM generate_series(1, 100) i) r WHERE id = k');
-- a join that finds a row several times
SELECT each_of('DELETE FROM @ USING (VALUES (400), (401), (400), (400), (402)) v(i) WHERE id = i');
SELECT each_of('UPDATE @ SET n = i FROM (VALUES (410, 1), (411, 1), (410, 2), (410, 1)) v(k, i) WHERE id = k');
SELECT each_of('UPDATE @ SET n = 1 FROM generate_series(1, 3), generate_series(420, 430) g WHERE id = g');
SELECT count(*) AS rows, (SELECT count(*) FROM difference) AS differences FROM archived_a;
-- each of them is marked as one statement of the transaction
BEGIN;
DELETE FROM a WHERE id = 1001;
UPDATE a SET n = 0 WHERE id BETWEEN 1002 AND 1400;
DELETE FROM a WHERE id BETWEEN 1002 AND 1300;
SELECT fg_seq, fg_op, fg_how, fg_relation, count(*), count(DISTINCT fg_at) AS times FROM :sa WHERE fg_xid = pg_current_xact_id() GROUP BY 1, 2, 3, 4 ORDER BY 1;
ROLLBACK;

-- Rows of this transaction, changed again, locked, in savepoints
SELECT each_of('INSERT INTO @ (id, n, t) SELECT i, 1, ''new'' FROM generate_series(3001, 3100) i');
BEGIN;
SELECT each_of('INSERT INTO @ (id, n, t) SELECT i, 1, ''own'' FROM generate_series(4001, 4100) i');
SELECT each_of('UPDATE @ SET n = 2 WHERE id BETWEEN 4001 AND 4050');
SAVEPOINT one;
SELECT each_of('UPDATE @ SET n = 3 WHERE id BETWEEN 3001 AND 4020');
SELECT each_of('DELETE FROM @ WHERE id BETWEEN 3090 AND 4010');
ROLLBACK TO one;
SELECT count(*) AS rows, (SELECT count(*) FROM difference) AS differences FROM archived_a;
SELECT count(*) FROM (SELECT FROM a WHERE id BETWEEN 3001 AND 3020 FOR KEY SHARE) l;
SELECT count(*) FROM (SELECT FROM b WHERE id BETWEEN 3001 AND 3020 FOR KEY SHARE) l;
SAVEPOINT two;
SELECT count(*) FROM (SELECT FROM a WHERE id BETWEEN 3001 AND 3010 FOR UPDATE) l;
SELECT count(*) FROM (SELECT FROM b WHERE id BETWEEN 3001 AND 3010 FOR UPDATE) l;
SELECT each_of('UPDATE @ SET n = 4 WHERE id BETWEEN 3001 AND 3015');
RELEASE two;
SELECT each_of('DELETE FROM @ WHERE id BETWEEN 3005 AND 4060');
COMMIT;
SELECT count(*) AS rows, (SELECT count(*) FROM difference) AS differences FROM archived_a;

-- Statements within the statement: what the node did is archived before what they make of it, and what they do once
CREATE FUNCTION again(key int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	UPDATE a SET n = n + 100 WHERE id = key;
	RETURN key;
END $$;
CREATE FUNCTION fail_after(key int) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	BEGIN
		UPDATE a SET n = -1 WHERE id = key;
		DELETE FROM a WHERE id > 1900;
		RAISE 'no';
	EXCEPTION WHEN raise_exception THEN
		RETURN true;
	END;
END $$;
CREATE FUNCTION delete_other(key int) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM a WHERE id = key;
	RETURN true;
END $$;
BEGIN;
UPDATE a SET n = 7 WHERE id BETWEEN 1500 AND 1503 RETURNING again(id), n;
SELECT way('UPDATE a SET n = 7 WHERE id BETWEEN 1500 AND 1503 RETURNING again(id)') AS way;
SELECT id, array_agg(n ORDER BY fg_at, fg_seq) AS first_to_last FROM :sa WHERE fg_xid = pg_current_xact_id() GROUP BY id ORDER BY id;
ROLLBACK;
BEGIN;
DELETE FROM a WHERE id BETWEEN 1500 AND 1560 AND fail_after(id + 100);
UPDATE a SET n = 1 WHERE id BETWEEN 1561 AND 1570 RETURNING fail_after(id) AND id = 0 AS f;
SELECT fg_op, count(*), count(DISTINCT id) AS rows, min(id), max(id), bool_or(n = -1) AS wrong FROM :sa WHERE fg_xid = pg_current_xact_id() GROUP BY 1 ORDER BY 1;
ROLLBACK;
BEGIN;
DELETE FROM a WHERE id BETWEEN 1500 AND 1520 AND delete_other(id + 100);
SELECT fg_op, count(*), count(DISTINCT id) AS rows, count(DISTINCT fg_seq) AS statements FROM :sa WHERE fg_xid = pg_current_xact_id() GROUP BY 1;
ROLLBACK;
-- the server refuses rows that somebody changed in between
BEGIN;
DELETE FROM a WHERE id BETWEEN 1500 AND 1520 AND delete_other(id + 1);
ROLLBACK;
-- a row found twice, and in between a function that changes another one: in a generated column, said to be immutable
CREATE TABLE sly (id int PRIMARY KEY, n int);
CREATE FUNCTION sly_work(key int, n int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	IF key < 10 AND n > 0 THEN
		UPDATE sly SET n = 0 WHERE id = key + 20;
		BEGIN
			UPDATE sly SET n = 0 WHERE id = key + 40;
			RAISE 'no';
		EXCEPTION WHEN raise_exception THEN
			RETURN n;
		END;
	END IF;
	RETURN n;
END $$;
CREATE FUNCTION sly(key int, n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN tap_test.sly_work(key, n); END';
INSERT INTO sly SELECT i, 0 FROM generate_series(1, 100) i;
ALTER TABLE sly ADD COLUMN g int GENERATED ALWAYS AS (sly(id, n)) STORED;
SELECT fortress.protect('sly', update_rows => 100);
BEGIN;
SELECT way('UPDATE sly SET n = 1 FROM (VALUES (1), (2), (1), (2), (1)) v(i) WHERE id = i') AS way;
SELECT fortress.shadow_of('sly') AS s \gset
SELECT fg_seq, array_agg(id ORDER BY id) FROM :s WHERE fg_xid = pg_current_xact_id() GROUP BY 1 ORDER BY 1;
ROLLBACK;

-- Stopped before its end by the caller, empty, in a function's loop, in SQL functions
DO $$
DECLARE
	got int;
BEGIN
	EXECUTE 'DELETE FROM a WHERE id BETWEEN 1600 AND 1700 RETURNING id' INTO got;
	FOR i IN 1701..1710 LOOP
		UPDATE a SET n = i WHERE id = i;
	END LOOP;
	FOR got IN DELETE FROM a WHERE id BETWEEN 1711 AND 1715 RETURNING id LOOP
		NULL;
	END LOOP;
END $$;
CREATE FUNCTION by_sql(key int) RETURNS SETOF int LANGUAGE sql AS 'DELETE FROM tap_test.a WHERE id BETWEEN key AND key + 5 RETURNING id';
SELECT by_sql(1716) LIMIT 2;
SELECT count(*) AS missing FROM generate_series(1600, 1721) i WHERE NOT EXISTS (SELECT FROM a WHERE id = i) AND NOT EXISTS (SELECT FROM :sa WHERE id = i AND fg_op = 'd');
SELECT count(*) AS twice FROM (SELECT FROM :sa WHERE fg_op = 'd' AND id BETWEEN 1600 AND 1721 GROUP BY id HAVING count(*) > 1) x;
-- CTEs, which the server may run to their end only when the statement finishes, and rules
CREATE TABLE other (id int);
BEGIN;
SELECT way('WITH d AS (DELETE FROM a WHERE id = 1725) SELECT 1') AS unread, way('WITH d AS (DELETE FROM a WHERE id BETWEEN 1726 AND 1728 RETURNING id) SELECT FROM d LIMIT 1') AS some,
	way('WITH d AS (UPDATE a SET n = 0 WHERE id BETWEEN 1729 AND 1731 RETURNING id) INSERT INTO other SELECT id FROM d LIMIT 1') AS into_other;
SELECT fg_op, array_agg(id ORDER BY id) FROM :sa WHERE fg_xid = pg_current_xact_id() GROUP BY 1 ORDER BY 1;
ROLLBACK;
CREATE RULE also AS ON INSERT TO other DO ALSO DELETE FROM a WHERE id = new.id;
BEGIN;
INSERT INTO other VALUES (1732), (1733);
SELECT fg_op, array_agg(id ORDER BY id) FROM :sa WHERE fg_xid = pg_current_xact_id() GROUP BY 1 ORDER BY 1;
ROLLBACK;
PREPARE by_key(int) AS DELETE FROM a WHERE id = $1;
EXECUTE by_key(1722);
EXECUTE by_key(1722);
EXECUTE by_key(1723);
SET plan_cache_mode = force_generic_plan;
EXECUTE by_key(1724);
SELECT id, count(*) FROM :sa WHERE id BETWEEN 1722 AND 1724 AND fg_op = 'd' GROUP BY id ORDER BY id;
RESET plan_cache_mode;

-- Triggers of somebody's fire, and see the rows archived; where they come after the statement, or want a table of its rows, the trigger archives
CREATE TABLE seen (what text, archived bigint);
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
BEGIN
	EXECUTE 'SELECT count(*) FROM ' || fortress.shadow_of('a') || ' WHERE fg_xid = pg_catalog.pg_current_xact_id()' INTO n;
	INSERT INTO seen VALUES (TG_NAME, n);
	RETURN NULL;
END $$;
CREATE TRIGGER after_row AFTER DELETE OR UPDATE ON a FOR EACH ROW EXECUTE FUNCTION see();
BEGIN;
SELECT way('DELETE FROM a WHERE id BETWEEN 1801 AND 1803');
SELECT what, archived, count(*) FROM seen GROUP BY 1, 2 ORDER BY 1, 2;
ROLLBACK;
CREATE TRIGGER after_statement AFTER DELETE ON a FOR EACH STATEMENT EXECUTE FUNCTION see();
BEGIN;
SELECT way('DELETE FROM a WHERE id BETWEEN 1801 AND 1803') AS deletes, way('UPDATE a SET n = 0 WHERE id BETWEEN 1804 AND 1805') AS updates;
SELECT what, archived, count(*) FROM seen GROUP BY 1, 2 ORDER BY 1, 2;
ROLLBACK;
DROP TRIGGER after_statement ON a;
CREATE TRIGGER with_table AFTER DELETE ON a REFERENCING OLD TABLE AS o FOR EACH STATEMENT EXECUTE FUNCTION see();
BEGIN;
SELECT way('DELETE FROM a WHERE id BETWEEN 1801 AND 1803') AS deletes, way('UPDATE a SET n = 0 WHERE id BETWEEN 1804 AND 1805') AS updates;
SELECT count(*) FROM :sa WHERE fg_xid = pg_current_xact_id();
ROLLBACK;
DROP TRIGGER with_table ON a;
DROP TRIGGER after_row ON a;

-- Foreign keys: the statement archives its own rows, the trigger those of the cascade
CREATE TABLE child (id int PRIMARY KEY, a int REFERENCES a ON DELETE CASCADE ON UPDATE CASCADE);
INSERT INTO child SELECT i, 1800 + i % 10 FROM generate_series(1, 50) i;
SELECT fortress.protect('child', delete_rows => 100);
BEGIN;
DELETE FROM a WHERE id BETWEEN 1801 AND 1803;
SELECT (SELECT count(*) FROM :sa WHERE fg_xid = pg_current_xact_id()) AS parents;
SELECT fortress.shadow_of('child') AS sc \gset
SELECT count(*) AS children FROM :sc WHERE fg_xid = pg_current_xact_id();
ROLLBACK;

-- that comes back to the same table
CREATE TABLE node (id int PRIMARY KEY, parent int REFERENCES node ON DELETE CASCADE, friend int REFERENCES node ON DELETE SET NULL);
INSERT INTO node SELECT i, nullif(i / 2, 0), CASE WHEN i > 1 THEN i - 1 END FROM generate_series(1, 60) i;
CREATE TABLE link (id int PRIMARY KEY, node int REFERENCES node ON DELETE CASCADE);
ALTER TABLE node ADD COLUMN link int REFERENCES link ON DELETE CASCADE;
INSERT INTO link SELECT i, i FROM generate_series(1, 60) i;
UPDATE node SET link = 3 WHERE id BETWEEN 50 AND 55;
SELECT fortress.protect('node', delete_rows => 100), fortress.protect('link', delete_rows => 100);
SELECT fortress.shadow_of('node') AS sn \gset
BEGIN;
DELETE FROM node WHERE id IN (3, 8, 17);
SELECT (SELECT count(*) FROM node) AS left, count(DISTINCT id) FILTER (WHERE fg_op = 'd') AS deleted, count(*) FILTER (WHERE fg_op = 'd') AS images,
	array_agg(DISTINCT id ORDER BY id) FILTER (WHERE fg_op = 'u') AS updated FROM :sn WHERE fg_xid = pg_current_xact_id();
SELECT pg_current_xact_id() AS xid \gset
COMMIT;
SELECT relation, operation, rows, conflicts FROM fortress.undo(:'xid') ORDER BY 1, 2;
SELECT count(*) AS nodes, count(parent) AS parents, count(friend) AS friends, count(link) AS links FROM node;

-- Partitions, by the leaf's name and by the root's; an archive with an index; limits
CREATE TABLE parted (id int, n int) PARTITION BY RANGE (id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (1) TO (100);
CREATE TABLE parted_2 (n int, id int);
ALTER TABLE parted ATTACH PARTITION parted_2 FOR VALUES FROM (100) TO (200);
INSERT INTO parted SELECT i, i FROM generate_series(1, 199) i;
SELECT fortress.protect('parted', delete_rows => 20, update_rows => 20);
SELECT fortress.shadow_of('parted') AS sp \gset
BEGIN;
SELECT way('DELETE FROM parted_2 WHERE id BETWEEN 101 AND 103') AS leaf, way('DELETE FROM parted WHERE id BETWEEN 99 AND 110') AS root, way('UPDATE parted_1 SET n = 0 WHERE id BETWEEN 1 AND 3') AS leaf_update;
SELECT fg_op, fg_relation, array_agg(id || ':' || n ORDER BY id) FROM :sp WHERE fg_xid = pg_current_xact_id() GROUP BY 1, 2 ORDER BY 1, 2;
ROLLBACK;
DELETE FROM parted_2 WHERE id > 0;
SELECT count(*) AS archived FROM :sp;
BEGIN;
SELECT fortress.unlock(fortress.issue_token(operations => '{admin}'));
CREATE INDEX sa_id ON :sa (id);
COMMIT;
DELETE FROM a WHERE id = 1850;
DELETE FROM a WHERE id BETWEEN 1851 AND 1999;
SET enable_seqscan = off;
SELECT count(*), count(DISTINCT id) FROM :sa WHERE id BETWEEN 1850 AND 1999 AND fg_op = 'd';
RESET enable_seqscan;

-- What it can't keep whole it refuses, and nothing happens
DO $$ BEGIN EXECUTE 'CREATE TABLE tight (id integer PRIMARY KEY, ' || (SELECT string_agg('c' || i || ' uuid', ', ') FROM generate_series(1, 508) i) || ')'; END $$;
DO $$ BEGIN EXECUTE 'INSERT INTO tight SELECT 1, ' || (SELECT string_agg('gen_random_uuid()', ', ') FROM generate_series(1, 508) i); END $$;
INSERT INTO tight VALUES (2);
SELECT fortress.protect('tight');
\set VERBOSITY sqlstate
DELETE FROM tight WHERE id = 1;
DELETE FROM tight WHERE id IN (1, 2);
DELETE FROM tight WHERE id = 2;
\set VERBOSITY terse
SELECT id FROM tight ORDER BY id;

SET client_min_messages = warning;
SELECT fortress.unprotect(t) FROM unnest('{a,b,sly,child,node,link,parted,tight}'::regclass[]) t;
DROP SCHEMA tap_test CASCADE;
