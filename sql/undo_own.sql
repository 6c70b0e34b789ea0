-- fortress.undo(): what the undone transaction itself had put in, also inside savepoints.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fortress_guard;
\pset format unaligned
\pset tuples_only on
CREATE SCHEMA undo_own;
SET search_path = undo_own, public;
CREATE FUNCTION protect_freely(t regclass) RETURNS void LANGUAGE sql AS $$
	SELECT fortress.protect(t, delete_rows => 10000, update_rows => 10000, require_where => false);
	SELECT fortress.set_limit(t, 'delete', 10000, '1 hour');
$$;
CREATE TABLE p (id int PRIMARY KEY, v text);
INSERT INTO p SELECT i, 'v' || i FROM generate_series(1, 9) i;
CREATE TABLE was AS TABLE p;
SELECT protect_freely('p');
SELECT fortress.shadow_of('p') AS shadow \gset
CREATE FUNCTION same() RETURNS boolean LANGUAGE sql AS $$
	SELECT NOT EXISTS ((TABLE p EXCEPT TABLE was) UNION ALL (TABLE was EXCEPT TABLE p));
$$;

-- ---------------------------------------------------------------------------
-- What a savepoint put in place was put there by the transaction
-- ---------------------------------------------------------------------------
BEGIN;
SELECT pg_current_xact_id() AS x \gset
SAVEPOINT a;
DELETE FROM p WHERE id = 1;
INSERT INTO p VALUES (1, 'new');
RELEASE a;
SAVEPOINT a;
DELETE FROM p WHERE id = 2;
SAVEPOINT b;
INSERT INTO p VALUES (2, 'new');
RELEASE b;
RELEASE a;
DO $$
BEGIN
	DELETE FROM p WHERE id = 3;
	BEGIN
		INSERT INTO p VALUES (3, 'new');
		BEGIN
			DELETE FROM p WHERE id = 4;
			INSERT INTO p VALUES (4, 'new'), (5, 'in the way');
		EXCEPTION WHEN unique_violation THEN
			UPDATE p SET id = 33, v = 'moved' WHERE id = 6;
		END;
	EXCEPTION WHEN no_data_found THEN
		NULL;
	END;
END $$;
SAVEPOINT c;
DELETE FROM p;
ROLLBACK TO c;
COMMIT;
SELECT cardinality(children), at <= clock_timestamp() FROM fortress.subtransaction WHERE xid = :'x';
SELECT key, action FROM fortress.preview_undo(:'x');
SELECT * FROM fortress.undo(:'x');
SELECT same();
-- what somebody else put there in a savepoint was not
BEGIN;
SELECT pg_current_xact_id() AS x \gset
SAVEPOINT a;
DELETE FROM p WHERE id = 1;
COMMIT;
BEGIN;
SAVEPOINT a;
INSERT INTO p VALUES (1, 'new');
COMMIT;
SELECT * FROM fortress.undo(:'x');
SELECT * FROM fortress.undo(:'x', 'overwrite');
SELECT same();
-- nothing is kept of transactions without savepoints, or without archived rows
SELECT count(*) AS before FROM fortress.subtransaction \gset
BEGIN;
DELETE FROM p WHERE id = 1;
ROLLBACK;
BEGIN;
SAVEPOINT a;
INSERT INTO p VALUES (10, 'new');
COMMIT;
DELETE FROM p WHERE id = 10;
SELECT count(*) - :before FROM fortress.subtransaction;
-- undone while it runs
BEGIN;
SELECT pg_current_xact_id() AS x \gset
SAVEPOINT a;
DELETE FROM p WHERE id = 1;
INSERT INTO p VALUES (1, 'new');
RELEASE a;
SELECT * FROM fortress.undo(:'x');
COMMIT;
SELECT same();
-- they go with the archives
SELECT fortress.unlock(fortress.issue_token(operations => '{admin}')) \gset
SELECT count(*) > 0 FROM fortress.subtransaction;
SELECT fortress.purge('0', 'p') > 0;
SELECT count(*) > 0 FROM fortress.subtransaction;
SELECT fortress.purge('0') >= 0;
SELECT count(*) FROM fortress.subtransaction;
SELECT fortress.lock();

-- ---------------------------------------------------------------------------
-- What it put in and took out again was not there before
-- ---------------------------------------------------------------------------
BEGIN;
SELECT pg_current_xact_id() AS x \gset
INSERT INTO p SELECT i, 'new' FROM generate_series(20, 25) i;
UPDATE p SET v = 'u' WHERE id IN (3, 21, 22);
SAVEPOINT a;
DELETE FROM p WHERE id = 22;
RELEASE a;
UPDATE p SET v = v || '!' WHERE id > 20;
UPDATE p SET id = id + 100 WHERE id IN (23, 4);
DELETE FROM p WHERE id = 104;
DELETE FROM p WHERE id > 20 OR id = 5;
DELETE FROM p WHERE id = 6;
INSERT INTO p VALUES (6, 'new');
DELETE FROM p WHERE id = 6;
DELETE FROM p WHERE id = 20;
COMMIT;
SELECT fg_op, fg_how, id, v FROM :shadow WHERE fg_xid = :'x' ORDER BY fg_at, fg_seq, id;
SELECT * FROM fortress.undo(:'x', dry_run => true);
SELECT * FROM fortress.undo(:'x');
SELECT same();
-- restore() by transaction knows it too; by time, a delete is a delete
SELECT clock_timestamp() AS t0 \gset
BEGIN;
SELECT pg_current_xact_id() AS x \gset
INSERT INTO p VALUES (20, 'new');
DELETE FROM p WHERE id = 20;
COMMIT;
SELECT * FROM fortress.restore('p', xid => :'x');
SELECT * FROM fortress.restore('p', since => :'t0');
DELETE FROM p WHERE id = 20;
-- MERGE, ON CONFLICT, one query with several nodes, a function that runs in one
BEGIN;
SELECT pg_current_xact_id() AS x \gset
INSERT INTO p VALUES (20, 'new'), (21, 'new'), (22, 'new');
MERGE INTO p USING generate_series(1, 21) g ON p.id = g WHEN MATCHED AND g IN (2, 20) THEN DELETE WHEN MATCHED AND g > 7 THEN UPDATE SET v = 'm';
INSERT INTO p VALUES (21, 'b'), (1, 'c'), (22, 'd') ON CONFLICT (id) DO UPDATE SET v = 'conflict';
WITH a AS (DELETE FROM p WHERE id = 21 RETURNING 1), b AS (UPDATE p SET v = 'b' WHERE id IN (3, 22) RETURNING 1), c AS (DELETE FROM p WHERE id = 4 RETURNING 1)
SELECT (SELECT count(*) FROM a), (SELECT count(*) FROM b), (SELECT count(*) FROM c);
CREATE FUNCTION touch() RETURNS int LANGUAGE sql AS $$ DELETE FROM p WHERE id = 22 RETURNING id $$;
UPDATE p SET v = v || '?' WHERE id IN (5, 6) AND coalesce(touch(), 0) >= 0;
COMMIT;
SELECT * FROM fortress.undo(:'x');
SELECT same();
-- a trigger of somebody's that changes the same table while the rows are told
CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM p WHERE id = OLD.id + 20;
	RETURN NULL;
END $$;
CREATE TRIGGER a_again AFTER DELETE ON p FOR EACH ROW WHEN (OLD.id < 10) EXECUTE FUNCTION again();
BEGIN;
SELECT pg_current_xact_id() AS x \gset
INSERT INTO p SELECT i, 'new' FROM generate_series(20, 29) i;
DELETE FROM p WHERE id < 4 OR id IN (20, 28);
DELETE FROM p WHERE id > 20;
COMMIT;
SELECT fg_how, count(*) FROM :shadow WHERE fg_xid = :'x' GROUP BY 1 ORDER BY 1;
SELECT * FROM fortress.undo(:'x');
SELECT same();
DROP TRIGGER a_again ON p;
-- a table that was written anew in the transaction looks as if all of it were new; so no row of it counts as such
BEGIN;
SELECT pg_current_xact_id() AS x \gset
INSERT INTO p VALUES (20, 'new');
ALTER TABLE p ALTER id TYPE bigint;
DELETE FROM p WHERE id IN (1, 20);
COMMIT;
SELECT * FROM fortress.undo(:'x');
DELETE FROM p WHERE id = 20;
SELECT same();
-- an error does away with what was noted
BEGIN;
SELECT pg_current_xact_id() AS x \gset
INSERT INTO p VALUES (20, 'new'), (21, 'new');
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
CREATE TRIGGER z_fail AFTER DELETE ON p FOR EACH ROW WHEN (OLD.id = 21) EXECUTE FUNCTION fail();
COMMIT;
BEGIN;
SELECT pg_current_xact_id() AS x \gset
DELETE FROM p WHERE id = 20;
INSERT INTO p VALUES (20, 'newer'), (22, 'new');
SAVEPOINT a;
DELETE FROM p WHERE id IN (1, 20, 21);
ROLLBACK TO a;
DELETE FROM p WHERE id IN (1, 20, 22);
COMMIT;
SELECT * FROM fortress.undo(:'x');
DROP TRIGGER z_fail ON p;
DELETE FROM p WHERE id IN (20, 21);
SELECT same();
-- what TRUNCATE takes
BEGIN;
SELECT pg_current_xact_id() AS x \gset
INSERT INTO p VALUES (20, 'new');
SELECT fortress.unlock(fortress.issue_token(operations => '{truncate}')) \gset
TRUNCATE p;
COMMIT;
SELECT * FROM fortress.undo(:'x');
SELECT same();

-- without a key
CREATE TABLE k (v text);
INSERT INTO k VALUES ('a'), ('a'), ('b');
SELECT protect_freely('k');
BEGIN;
SELECT pg_current_xact_id() AS x \gset
INSERT INTO k VALUES ('a'), ('new');
DELETE FROM k;
COMMIT;
SELECT * FROM fortress.undo(:'x');
SELECT * FROM k ORDER BY v;

-- partitions: a row that was moved there looks inserted, and is not
CREATE TABLE q (id int, r text, v text, PRIMARY KEY (id, r)) PARTITION BY LIST (r);
CREATE TABLE qa PARTITION OF q FOR VALUES IN ('a');
CREATE TABLE qb (v text, r text NOT NULL, dropped int, id int NOT NULL);
ALTER TABLE qb DROP COLUMN dropped;
ALTER TABLE q ATTACH PARTITION qb FOR VALUES IN ('b');
INSERT INTO q SELECT i, 'a', 'v' FROM generate_series(1, 3) i;
INSERT INTO q SELECT i, 'b', 'v' FROM generate_series(11, 13) i;
CREATE TABLE was_q AS TABLE q;
CREATE VIEW differ AS (TABLE q EXCEPT TABLE was_q) UNION ALL (TABLE was_q EXCEPT TABLE q);
SELECT protect_freely('q');
BEGIN;
SELECT pg_current_xact_id() AS x \gset
INSERT INTO q VALUES (30, 'a', 'new'), (31, 'b', 'new');
UPDATE q SET r = CASE r WHEN 'a' THEN 'b' ELSE 'a' END WHERE id IN (1, 2, 11, 30, 31);
UPDATE q SET v = 'w';
UPDATE qb SET v = 'leaf' WHERE id = 30;
INSERT INTO q VALUES (32, 'b', 'new');
WITH a AS (DELETE FROM qb WHERE id = 32 RETURNING 1) DELETE FROM q WHERE id IN (30, 31, 1, 11);
COMMIT;
SELECT * FROM fortress.undo(:'x');
-- under two names at once, nothing is known of row 32
TABLE differ;
DELETE FROM q WHERE id = 32;
-- updates are not archived, so what was moved and deleted is told from nothing, and comes back as it was deleted
SELECT fortress.unlock(fortress.issue_token(operations => '{admin}'), 'transaction') \gset
SELECT fortress.protect('q', archive => 'delete');
BEGIN;
SELECT pg_current_xact_id() AS x \gset
UPDATE q SET r = 'b' WHERE id = 1;
DELETE FROM q WHERE id IN (1, 2);
COMMIT;
SELECT * FROM fortress.undo(:'x');
TABLE differ;
UPDATE q SET r = 'a' WHERE id = 1;
-- nor if they are archived from the middle of the transaction on
BEGIN;
SELECT pg_current_xact_id() AS x \gset
UPDATE q SET r = 'b' WHERE id = 1;
SELECT fortress.protect('q', archive => 'delete,update');
DELETE FROM q WHERE id = 1;
COMMIT;
SELECT * FROM fortress.undo(:'x');
UPDATE q SET r = 'a' WHERE id = 1;
TABLE differ;
-- or if the tree became protected in it
CREATE TABLE root (id int, r text, v text, PRIMARY KEY (id, r, v)) PARTITION BY LIST (v);
CREATE TABLE tree (LIKE root INCLUDING INDEXES) PARTITION BY LIST (r);
CREATE TABLE tree_a PARTITION OF tree FOR VALUES IN ('a');
CREATE TABLE tree_b PARTITION OF tree FOR VALUES IN ('b');
INSERT INTO tree VALUES (1, 'a', 'v'), (2, 'a', 'v');
SELECT protect_freely('root');
BEGIN;
SELECT pg_current_xact_id() AS x \gset
UPDATE tree SET r = 'b' WHERE id = 1;
ALTER TABLE root ATTACH PARTITION tree FOR VALUES IN ('v');
DELETE FROM root WHERE id = 1;
COMMIT;
SELECT * FROM fortress.undo(:'x');
SELECT * FROM root ORDER BY id;

-- cascades, also to partitions
CREATE TABLE m (id int PRIMARY KEY);
CREATE TABLE ch (mid int REFERENCES m ON DELETE CASCADE ON UPDATE CASCADE, n int, PRIMARY KEY (mid, n)) PARTITION BY LIST (n);
CREATE TABLE ch1 PARTITION OF ch FOR VALUES IN (1);
CREATE TABLE ch2 PARTITION OF ch DEFAULT;
INSERT INTO m SELECT generate_series(1, 5);
INSERT INTO ch SELECT i, j FROM generate_series(1, 3) i, generate_series(1, 2) j;
SELECT protect_freely('m'), protect_freely('ch');
CREATE TABLE was_ch AS TABLE ch;
BEGIN;
SELECT pg_current_xact_id() AS x \gset
INSERT INTO ch VALUES (1, 5), (2, 6), (4, 7);
INSERT INTO m VALUES (9);
INSERT INTO ch VALUES (9, 9);
UPDATE m SET id = id + 10 WHERE id < 3;
DELETE FROM m WHERE id IN (11, 12, 4, 9);
COMMIT;
SELECT * FROM fortress.undo(:'x');
SELECT count(*) FROM ((TABLE ch EXCEPT TABLE was_ch) UNION ALL (TABLE was_ch EXCEPT TABLE ch)) d;
SELECT * FROM m ORDER BY id;

-- inheritance, where each row is archived by itself
CREATE TABLE par (id int PRIMARY KEY, v text);
CREATE TABLE chi (w int, PRIMARY KEY (id)) INHERITS (par);
INSERT INTO chi VALUES (1, 'a', 1), (2, 'b', 2);
SELECT protect_freely('par');
BEGIN;
SELECT pg_current_xact_id() AS x \gset
INSERT INTO chi VALUES (3, 'new', 3), (4, 'new', 4);
UPDATE par SET v = 'bad', id = id + 10;
DELETE FROM par WHERE id > 11;
COMMIT;
SELECT * FROM fortress.undo(:'x');
SELECT * FROM chi ORDER BY id;

-- clean up
BEGIN;
SELECT fortress.unlock(fortress.issue_token(operations => '{admin}')) \gset
DO $$
DECLARE r record;
BEGIN
	FOR r IN SELECT c.oid::regclass AS relation, s.shadow, p.relation IS NOT NULL AS protected FROM pg_class c
		JOIN fortress.shadow s ON s.relation = c.oid LEFT JOIN fortress.policy p ON p.relation = c.oid
		WHERE c.relnamespace = 'undo_own'::regnamespace
	LOOP
		IF r.protected THEN
			PERFORM fortress.unprotect(r.relation);
		END IF;
		EXECUTE format('DROP TABLE %s', r.shadow);
	END LOOP;
END $$;
COMMIT;
DROP SCHEMA undo_own CASCADE;
