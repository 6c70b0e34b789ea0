-- fortress.undo(): what a transaction did to all protected tables.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fortress_guard;
RESET client_min_messages;
CREATE SCHEMA undo_test;
SET search_path = undo_test, public;
CREATE ROLE regress_undo_operator IN ROLE fortress_operator;
GRANT USAGE ON SCHEMA undo_test TO regress_undo_operator;
CREATE FUNCTION protect_freely(t regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM fortress.protect(t, delete_rows => 1000000, update_rows => 1000000, require_where => false);
	PERFORM fortress.set_limit(t, 'delete', 1000000, '1 hour');
END $$;

-- ---------------------------------------------------------------------------
-- Tables that refer to each other: in a line, in a cycle, to themselves
-- ---------------------------------------------------------------------------
CREATE TABLE customer (id integer PRIMARY KEY, name text, best_order integer);
CREATE TABLE orders (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer integer NOT NULL REFERENCES customer ON DELETE CASCADE, total integer);
ALTER TABLE customer ADD FOREIGN KEY (best_order) REFERENCES orders ON DELETE SET NULL;
CREATE TABLE line (orders integer REFERENCES orders ON DELETE CASCADE, pos integer, what text, PRIMARY KEY (orders, pos));
CREATE TABLE node (id integer PRIMARY KEY, parent integer NOT NULL REFERENCES node);
CREATE TABLE a (id integer PRIMARY KEY, b integer NOT NULL);
CREATE TABLE b (id integer PRIMARY KEY, a integer NOT NULL REFERENCES a);
ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b DEFERRABLE INITIALLY DEFERRED;
CREATE TABLE log (v text);
INSERT INTO customer SELECT i, 'customer ' || i FROM generate_series(1, 20) i;
INSERT INTO orders (customer, total) SELECT 1 + i % 20, i FROM generate_series(1, 100) i;
INSERT INTO line SELECT 1 + i % 100, i, 'thing ' || i FROM generate_series(1, 300) i;
UPDATE customer SET best_order = (SELECT min(id) FROM orders WHERE customer = customer.id);
INSERT INTO node VALUES (1, 1), (2, 1), (3, 2), (4, 4);
BEGIN;
INSERT INTO a SELECT i, i FROM generate_series(1, 10) i;
INSERT INTO b SELECT i, i FROM generate_series(1, 10) i;
COMMIT;
INSERT INTO log SELECT 'entry ' || i FROM generate_series(1, 5) i;
SELECT count(protect_freely(t)) FROM unnest('{customer,orders,line,node,a,b,log}'::regclass[]) t;
CREATE FUNCTION images() RETURNS text LANGUAGE plpgsql AS $$
DECLARE t text; one text; r text := '';
BEGIN
	FOREACH t IN ARRAY '{customer,orders,line,node,a,b,log}'::text[] LOOP
		EXECUTE format('SELECT md5(string_agg(x::text, ''|'' ORDER BY x::text)) FROM %s x', t) INTO one;
		r := r || ' ' || coalesce(one, '-');
	END LOOP;
	RETURN md5(r);
END $$;
SELECT images() AS good \gset

BEGIN;
SELECT pg_current_xact_id() AS attack \gset
DELETE FROM customer WHERE id % 2 = 0;
UPDATE orders SET total = 0;
UPDATE line SET what = NULL;
DELETE FROM line WHERE pos < 50;
DELETE FROM node;
ROLLBACK;
SELECT * FROM fortress.undo(:'attack');
SELECT images() = :'good' AS whole;
BEGIN;
SELECT pg_current_xact_id() AS attack \gset
DELETE FROM customer WHERE id % 2 = 1;
UPDATE orders SET total = 0;
UPDATE line SET what = NULL;
DELETE FROM line WHERE pos < 50;
DELETE FROM node;
DELETE FROM b;
DELETE FROM a;
DELETE FROM log;
COMMIT;
ALTER SEQUENCE orders_id_seq RESTART;
SELECT images() = :'good' AS whole;
SELECT * FROM fortress.undo(:'attack', dry_run => true);
SELECT images() = :'good' AS whole;
SELECT * FROM fortress.undo(:'attack');
SELECT images() = :'good' AS whole;
-- twice is harmless
SELECT * FROM fortress.undo(:'attack');
SELECT images() = :'good' AS whole;
INSERT INTO orders (customer, total) VALUES (1, 1) RETURNING id;
DELETE FROM orders WHERE id > 100;

-- an undo can be undone
BEGIN;
SELECT pg_current_xact_id() AS attack \gset
UPDATE a SET b = 1;
COMMIT;
SELECT images() AS bad \gset
BEGIN;
SELECT pg_current_xact_id() AS undo \gset
SELECT * FROM fortress.undo(:'attack');
COMMIT;
SELECT * FROM fortress.undo(:'undo');
SELECT images() = :'bad' AS as_it_was;
SELECT * FROM fortress.undo(:'attack', 'overwrite');
SELECT images() = :'good' AS whole;

-- what the transaction itself put in place of a row is no conflict; what others did is
BEGIN;
SELECT pg_current_xact_id() AS attack \gset
DELETE FROM node;
INSERT INTO node VALUES (1, 1), (2, 2);
UPDATE customer SET name = 'bad';
COMMIT;
UPDATE customer SET name = 'mended' WHERE id = 7;
\set VERBOSITY default
SELECT * FROM fortress.undo(:'attack');
\echo :LAST_ERROR_SQLSTATE
\set VERBOSITY terse
SELECT * FROM fortress.undo(:'attack', 'skip');
SELECT name FROM customer WHERE id IN (6, 7) ORDER BY id;
SELECT * FROM fortress.undo(:'attack', 'overwrite');
SELECT images() = :'good' AS whole;

-- a row whose partner is gone cannot come back without it: nothing is half done
BEGIN;
SELECT pg_current_xact_id() AS attack \gset
DELETE FROM line WHERE orders IN (SELECT id FROM orders WHERE customer = 3);
COMMIT;
BEGIN;
SELECT pg_current_xact_id() AS other \gset
DELETE FROM orders WHERE customer = 3;
COMMIT;
SELECT * FROM fortress.undo(:'attack', 'skip');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM fortress.undo(:'other');
SELECT * FROM fortress.undo(:'attack');
SELECT images() = :'good' AS whole;

-- rights are the caller's own; and what runs is shown
BEGIN;
SELECT pg_current_xact_id() AS attack \gset
DELETE FROM log;
DELETE FROM node WHERE id = 4;
COMMIT;
SET ROLE regress_undo_operator;
SELECT * FROM fortress.undo(:'attack');
RESET ROLE;
GRANT SELECT, INSERT, UPDATE ON log, node TO regress_undo_operator;
CREATE FUNCTION seen() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE r record;
BEGIN
	SELECT * INTO r FROM fortress.progress;
	RAISE WARNING '% of %: %, % rows', r.command, r.relation, r.phase, r.rows_total;
	RETURN NULL;
END $$;
CREATE TRIGGER seen AFTER INSERT ON log FOR EACH STATEMENT EXECUTE FUNCTION seen();
SET ROLE regress_undo_operator;
SELECT * FROM fortress.undo(:'attack');
RESET ROLE;
SELECT * FROM fortress.progress;
SELECT fortress.count_row(), count(*) FROM fortress.running();
SELECT images() = :'good' AS whole;

-- row by row
BEGIN;
SELECT pg_current_xact_id() AS attack \gset
INSERT INTO customer VALUES (100, 'new');
DELETE FROM customer WHERE id IN (100, 17, 18);
UPDATE customer SET name = 'bad' WHERE id IN (19, 20);
UPDATE node SET id = 30 WHERE id = 3;
DELETE FROM log WHERE v IN ('entry 1', 'entry 2');
COMMIT;
INSERT INTO customer VALUES (17, 'other');
UPDATE customer SET name = 'since' WHERE id = 20;
INSERT INTO log VALUES ('entry 1');
SELECT * FROM fortress.preview_undo(:'attack') WHERE relation <> 'orders'::regclass AND relation <> 'line'::regclass ORDER BY relation::text, key, wanted_row::text;
SELECT relation, action, reason, count(*) FROM fortress.preview_undo(:'attack') GROUP BY 1, 2, 3 ORDER BY relation::text, 2, 3;
SELECT relation, action, count(*) FROM fortress.preview_undo(:'attack', 'overwrite') WHERE relation = 'customer'::regclass GROUP BY 1, 2 ORDER BY 2;
SET ROLE regress_undo_operator;
SELECT * FROM fortress.preview_undo(:'attack');
RESET ROLE;
SELECT * FROM fortress.undo(:'attack', 'overwrite');
SELECT images() = :'good' AS whole;
SELECT action, count(*) FROM fortress.preview_undo(:'attack') GROUP BY 1;
SELECT * FROM fortress.preview_undo('1');
SELECT * FROM fortress.preview_undo(NULL);
SELECT * FROM fortress.preview_undo('1', NULL);

-- ---------------------------------------------------------------------------
-- A unique value that the transaction gave to another row
-- ---------------------------------------------------------------------------
CREATE TABLE handle (id integer PRIMARY KEY, name text UNIQUE, v text);
INSERT INTO handle SELECT i, 'name ' || i, 'v' FROM generate_series(1, 6) i;
SELECT protect_freely('handle');
BEGIN;
SELECT pg_current_xact_id() AS xid \gset
DELETE FROM handle WHERE id <= 2;
UPDATE handle SET name = 'name ' || (id - 2) WHERE id <= 4;
COMMIT;
BEGIN;
SELECT * FROM fortress.undo(:'xid', 'skip');
SELECT id, name FROM handle ORDER BY id;
ROLLBACK;
SELECT * FROM fortress.undo(:'xid');
SELECT id, name FROM handle ORDER BY id;
-- exchanged values cannot go back one by one
BEGIN;
SELECT pg_current_xact_id() AS xid \gset
UPDATE handle SET name = 'aside' WHERE id = 1;
UPDATE handle SET name = 'name 1' WHERE id = 2;
UPDATE handle SET name = 'name 2' WHERE id = 1;
COMMIT;
SELECT * FROM fortress.undo(:'xid');
UPDATE handle SET name = 'aside ' || id WHERE id <= 2;
SELECT * FROM fortress.undo(:'xid', 'overwrite');
SELECT id, name FROM handle ORDER BY id;

-- the running transaction, from inside a savepoint
BEGIN;
DELETE FROM handle WHERE id = 1;
SAVEPOINT one;
INSERT INTO handle VALUES (1, 'name 1', 'new');
UPDATE handle SET v = 'new' WHERE id = 2;
RELEASE one;
SAVEPOINT two;
DELETE FROM handle WHERE id = 3;
SAVEPOINT three;
INSERT INTO handle VALUES (3, 'name 3', 'new');
SELECT * FROM fortress.undo(pg_current_xact_id());
SELECT * FROM handle ORDER BY id;
COMMIT;

-- arguments
SELECT * FROM fortress.undo('1');
SELECT * FROM fortress.undo(NULL);
SELECT * FROM fortress.undo('1', NULL);
SELECT * FROM fortress.undo('1', 'ignore');
BEGIN READ ONLY;
SELECT * FROM fortress.undo('1');
ROLLBACK;

-- clean up
SET client_min_messages = warning;
BEGIN;
SELECT fortress.unlock(fortress.issue_token(operations => '{admin}')) \gset
DO $$
DECLARE r record;
BEGIN
	FOR r IN SELECT c.oid::regclass AS relation, s.shadow FROM pg_class c
		JOIN fortress.policy p ON p.relation = c.oid LEFT JOIN fortress.shadow s ON s.relation = c.oid
		WHERE c.relnamespace = 'undo_test'::regnamespace
	LOOP
		PERFORM fortress.unprotect(r.relation);
		EXECUTE format('DROP TABLE %s', r.shadow);
	END LOOP;
END $$;
COMMIT;
DROP SCHEMA undo_test CASCADE;
DROP ROLE regress_undo_operator;
