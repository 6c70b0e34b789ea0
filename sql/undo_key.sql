-- Updates that change keys: restore() and undo() find the row that is meant.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fortress_guard;
\pset format unaligned
\pset tuples_only on
CREATE SCHEMA undo_key;
SET search_path = undo_key, public;
CREATE FUNCTION protect_freely(t regclass) RETURNS void LANGUAGE sql AS $$
	SELECT fortress.protect(t, delete_rows => 10000, update_rows => 10000, require_where => false);
$$;

-- a key that others refer to, and follow
CREATE TABLE p (id int PRIMARY KEY, v text, z int);
CREATE TABLE c (pid int REFERENCES p ON UPDATE CASCADE ON DELETE CASCADE, n int, PRIMARY KEY (pid,n));
INSERT INTO p SELECT i,'v'||i,i FROM generate_series(1,10) i; INSERT INTO c SELECT i,j FROM generate_series(1,10) i, generate_series(1,2) j;
SELECT protect_freely('p'), protect_freely('c');
SELECT md5(string_agg(p::text,'|' order by id)) AS gp from p \gset
SELECT md5(string_agg(c::text,'|' order by pid,n)) AS gc from c \gset
BEGIN; SELECT pg_current_xact_id() AS x \gset
UPDATE p SET id = id + 100, v = 'bad' WHERE id > 5;
UPDATE p SET v = 'worse' WHERE id > 107;
DELETE FROM p WHERE id = 110;
UPDATE p SET z = 0;
COMMIT;
SELECT fortress.shadow_of('p') AS shadow \gset
SELECT fg_op, count(*) FROM :shadow GROUP BY 1 ORDER BY 1;
SELECT * FROM fortress.undo(:'x', dry_run => true);
SELECT * FROM fortress.undo(:'x');
SELECT md5(string_agg(p::text,'|' order by id)) = :'gp' from p;
SELECT md5(string_agg(c::text,'|' order by pid,n)) = :'gc' from c;
SELECT * FROM fortress.undo(:'x');
SELECT clock_timestamp() AS t0 \gset
UPDATE p SET id = -id;
UPDATE p SET v = 'x' WHERE id = -3;
SELECT * FROM fortress.restore('p', since => :'t0');
SELECT md5(string_agg(p::text,'|' order by id)) = :'gp' from p;
SELECT * FROM fortress.restore('p', since => :'t0');
SELECT md5(string_agg(c::text,'|' order by pid,n)) = :'gc' from c;
-- somebody touched it since
BEGIN; SELECT pg_current_xact_id() AS x \gset
UPDATE p SET id = 77 WHERE id = 7; COMMIT;
UPDATE p SET v = 'mine' WHERE id = 77;
SELECT * FROM fortress.restore('p', xid => :'x');
SELECT * FROM fortress.restore('p', xid => :'x', on_conflict => 'skip');
SELECT * FROM fortress.restore('p', xid => :'x', on_conflict => 'overwrite');
SELECT md5(string_agg(p::text,'|' order by id)) = :'gp' from p;
-- another row stands there
BEGIN; SELECT pg_current_xact_id() AS x \gset
UPDATE p SET id = 77 WHERE id = 7; INSERT INTO p VALUES (7,'new'); COMMIT;
SELECT * FROM fortress.restore('p', xid => :'x', dry_run => true);
-- partitions
CREATE TABLE q (id int, r text, v text, PRIMARY KEY (id, r)) PARTITION BY LIST (r);
CREATE TABLE qa PARTITION OF q FOR VALUES IN ('a');
CREATE TABLE qb (v text, r text NOT NULL, dropme int, id int NOT NULL); ALTER TABLE qb DROP COLUMN dropme;
ALTER TABLE q ATTACH PARTITION qb FOR VALUES IN ('b');
INSERT INTO q SELECT i, 'a', 'v' FROM generate_series(1,5) i;
SELECT protect_freely('q');
BEGIN; SELECT pg_current_xact_id() AS x \gset
UPDATE q SET r = 'b', v = 'moved' WHERE id < 4; UPDATE q SET v='again' WHERE id=2; COMMIT;
SELECT tableoid::regclass, * FROM q ORDER BY id;
SELECT * FROM fortress.undo(:'x');
SELECT tableoid::regclass, * FROM q ORDER BY id;
-- swap, deferrable
CREATE TABLE sw (id int PRIMARY KEY DEFERRABLE, v text); INSERT INTO sw VALUES (1,'a'),(2,'b'),(3,'c');
SELECT protect_freely('sw');
BEGIN; SELECT pg_current_xact_id() AS x \gset
UPDATE sw SET id = id % 3 + 1; COMMIT;
SELECT * FROM sw ORDER BY id;
SELECT * FROM fortress.undo(:'x');
SELECT * FROM sw ORDER BY id;
-- on conflict
BEGIN; SELECT pg_current_xact_id() AS x \gset
INSERT INTO p VALUES (3,'') ON CONFLICT (id) DO UPDATE SET id = 33; COMMIT;
SELECT * FROM fortress.undo(:'x');
SELECT * FROM p WHERE id IN (3,33);
-- inheritance (row triggers)
CREATE TABLE par (id int PRIMARY KEY, v text); CREATE TABLE chi (w int, PRIMARY KEY(id)) INHERITS (par); INSERT INTO chi VALUES (1,'a',1),(2,'b',2);
SELECT protect_freely('par');
BEGIN; SELECT pg_current_xact_id() AS x \gset
UPDATE par SET id = id + 10; COMMIT;
SELECT * FROM fortress.undo(:'x'); SELECT * FROM chi;

-- a trigger of somebody's that wants the new rows too, and a node that sets no key of the same table
CREATE TABLE twice (id int PRIMARY KEY, v text);
INSERT INTO twice SELECT i, 'v' FROM generate_series(1, 6) i;
CREATE FUNCTION count_new() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE WARNING '% new rows', (SELECT count(*) FROM fresh);
	RETURN NULL;
END $$;
CREATE TRIGGER count_new AFTER UPDATE ON twice REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION count_new();
SELECT protect_freely('twice');
BEGIN;
SELECT pg_current_xact_id() AS x \gset
WITH a AS (UPDATE twice SET v = 'x' WHERE id < 3 RETURNING 1), b AS (UPDATE twice SET id = id + 10 WHERE id > 4 RETURNING 1)
SELECT (SELECT count(*) FROM a), (SELECT count(*) FROM b);
COMMIT;
SELECT * FROM fortress.undo(:'x');
SELECT * FROM twice ORDER BY id;

-- several keys, one after the other
CREATE TABLE w (id int PRIMARY KEY, v text);
INSERT INTO w SELECT i, 'v' || i FROM generate_series(1, 9) i;
CREATE TABLE was AS TABLE w;
-- (used further down)
CREATE FUNCTION set_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.id := NEW.id + 1000;
	RETURN NEW;
END $$;
CREATE TRIGGER set_key BEFORE UPDATE ON w FOR EACH ROW WHEN (NEW.v = 'bad') EXECUTE FUNCTION set_key();
SELECT protect_freely('w');
CREATE FUNCTION same() RETURNS boolean LANGUAGE sql AS $$
	SELECT NOT EXISTS ((TABLE w EXCEPT TABLE was) UNION ALL (TABLE was EXCEPT TABLE w));
$$;
BEGIN;
SELECT pg_current_xact_id() AS x \gset
UPDATE w SET id = 20 WHERE id = 1;
UPDATE w SET id = 21, v = 'q' WHERE id = 20;
UPDATE w SET id = 22 WHERE id = 21;
UPDATE w SET v = 'w' WHERE id = 22;
UPDATE w SET id = 30 WHERE id = 2;
DELETE FROM w WHERE id = 30;
COMMIT;
SELECT * FROM fortress.undo(:'x', dry_run => true);
SELECT * FROM fortress.undo(:'x');
SELECT same();
SELECT * FROM fortress.undo(:'x');
-- two rows change places by way of a third key: nothing has to move
BEGIN;
SELECT pg_current_xact_id() AS x \gset
UPDATE w SET id = 99 WHERE id = 1;
UPDATE w SET id = 1 WHERE id = 2;
UPDATE w SET id = 2 WHERE id = 99;
COMMIT;
SELECT * FROM fortress.undo(:'x');
SELECT same();
-- all move up by one, and some are gone then
BEGIN;
SELECT pg_current_xact_id() AS x \gset
UPDATE w SET id = -id;
UPDATE w SET id = 1 - id;
DELETE FROM w WHERE id IN (3, 5, 10);
UPDATE w SET v = 'z' WHERE id > 3;
COMMIT;
SELECT * FROM fortress.undo(:'x');
SELECT same();
-- the same by time
SELECT clock_timestamp() AS t0 \gset
UPDATE w SET id = -id;
UPDATE w SET id = 1 - id;
DELETE FROM w WHERE id IN (3, 5, 10);
UPDATE w SET v = 'z' WHERE id > 3;
SELECT * FROM fortress.restore('w', since => :'t0');
SELECT same();
-- up to a moment: touched since or not
SELECT clock_timestamp() AS t0 \gset
UPDATE w SET id = 50 WHERE id = 1;
UPDATE w SET id = 51 WHERE id = 50;
SELECT clock_timestamp() AS t1 \gset
SELECT * FROM fortress.restore('w', since => :'t0', until => :'t1', dry_run => true);
UPDATE w SET v = 'since' WHERE id = 51;
SELECT * FROM fortress.restore('w', since => :'t0', until => :'t1');
SELECT * FROM fortress.restore('w', since => :'t0', until => :'t1', on_conflict => 'overwrite');
SELECT same();
-- somebody has the key now; then nobody
BEGIN;
SELECT pg_current_xact_id() AS x \gset
UPDATE w SET id = 77 WHERE id = 7;
COMMIT;
INSERT INTO w VALUES (7, 'other');
SELECT * FROM fortress.undo(:'x');
DELETE FROM w WHERE id = 7;
SELECT * FROM fortress.undo(:'x');
SELECT same();
-- somebody removed what had moved
BEGIN;
SELECT pg_current_xact_id() AS x \gset
UPDATE w SET id = 77 WHERE id = 7;
UPDATE w SET id = 78 WHERE id = 77;
COMMIT;
DELETE FROM w WHERE id = 78;
SELECT * FROM fortress.undo(:'x');
SELECT * FROM fortress.undo(:'x', 'overwrite');
SELECT same();

-- MERGE
BEGIN;
SELECT pg_current_xact_id() AS x \gset
MERGE INTO w USING generate_series(1, 5) g ON w.id = g WHEN MATCHED AND g = 2 THEN DELETE WHEN MATCHED THEN UPDATE SET id = id + 100, v = 'm';
MERGE INTO w USING generate_series(101, 105) g ON w.id = g WHEN MATCHED AND g = 103 THEN DELETE
	WHEN MATCHED THEN UPDATE SET id = -id WHEN NOT MATCHED THEN INSERT VALUES (g, 'new');
DELETE FROM w WHERE v = 'new';
COMMIT;
SELECT * FROM fortress.undo(:'x');
SELECT same();

-- MERGE on partitions of two layouts
CREATE TABLE was_q AS TABLE q;
BEGIN;
SELECT pg_current_xact_id() AS x \gset
MERGE INTO q USING (SELECT id AS i FROM q) s ON q.id = s.i WHEN MATCHED AND i = 1 THEN DELETE
	WHEN MATCHED AND i < 4 THEN UPDATE SET id = id + 100, r = 'b', v = 'm' WHEN MATCHED THEN UPDATE SET id = -id;
UPDATE q SET r = CASE r WHEN 'a' THEN 'b' ELSE 'a' END;
DELETE FROM q WHERE id = 103;
COMMIT;
SELECT * FROM q ORDER BY id;
SELECT * FROM fortress.undo(:'x');
SELECT count(*) FROM ((TABLE q EXCEPT TABLE was_q) UNION ALL (TABLE was_q EXCEPT TABLE q)) d;

-- a trigger of somebody's sets the key, for one row and for several
BEGIN;
SELECT pg_current_xact_id() AS x \gset
UPDATE w SET v = 'bad' WHERE id = 1;
UPDATE w SET v = 'bad' WHERE id BETWEEN 3 AND 5;
UPDATE w SET v = 'fine' WHERE id IN (1003, 7);
UPDATE w SET v = 'fine' WHERE id = 8;
COMMIT;
SELECT * FROM fortress.undo(:'x');
SELECT same();

-- a key that is generated
CREATE TABLE gen (a int, k int GENERATED ALWAYS AS (a * 2) STORED PRIMARY KEY, v text);
INSERT INTO gen (a, v) SELECT i, 'v' FROM generate_series(1, 5) i;
SELECT protect_freely('gen');
BEGIN;
SELECT pg_current_xact_id() AS x \gset
UPDATE gen SET a = a + 100, v = 'b' WHERE a < 4;
DELETE FROM gen WHERE a = 5;
COMMIT;
SELECT * FROM fortress.undo(:'x');
SELECT * FROM gen ORDER BY a;

-- changed at commit by a deferred trigger, and cascades of that
CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE p SET id = id + 50 WHERE id = NEW.id;
	RETURN NULL;
END $$;
CREATE TABLE cue (id int);
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON cue DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION late();
SELECT md5(string_agg(p::text, '|' ORDER BY id)) AS gp FROM p \gset
SELECT md5(string_agg(c::text, '|' ORDER BY pid, n)) AS gc FROM c \gset
BEGIN;
SELECT pg_current_xact_id() AS x \gset
INSERT INTO cue VALUES (1), (2), (51);
COMMIT;
SELECT id FROM p WHERE id > 50 ORDER BY id;
SELECT * FROM fortress.undo(:'x');
SELECT md5(string_agg(p::text, '|' ORDER BY id)) = :'gp' FROM p;
SELECT md5(string_agg(c::text, '|' ORDER BY pid, n)) = :'gc' FROM c;

-- clean up
BEGIN;
SELECT fortress.unlock(fortress.issue_token(operations => '{admin}')) \gset
DO $$
DECLARE r record;
BEGIN
	FOR r IN SELECT c.oid::regclass AS relation, s.shadow FROM pg_class c
		JOIN fortress.policy p ON p.relation = c.oid LEFT JOIN fortress.shadow s ON s.relation = c.oid
		WHERE c.relnamespace = 'undo_key'::regnamespace
	LOOP
		PERFORM fortress.unprotect(r.relation);
		EXECUTE format('DROP TABLE %s', r.shadow);
	END LOOP;
END $$;
COMMIT;
DROP SCHEMA undo_key CASCADE;
