--
-- block, audit and off.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fortress_guard;
\set VERBOSITY sqlstate
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
\pset fieldsep '  '

CREATE SCHEMA mode;
SET search_path = mode;
CREATE TABLE t (id int PRIMARY KEY, v text);
INSERT INTO t SELECT i, 'v' || i FROM generate_series(1, 100) i;
SELECT fortress.protect('t', delete_rows => 5, update_rows => 5);
SELECT fortress.set_limit('t', 'delete', 20, '1 hour');
SELECT fortress.shadow_of('t')::text AS shadow \gset

-- What would come of a statement, and how much of it was archived.  Nothing stays.
CREATE FUNCTION try(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
BEGIN
	EXECUTE statement;
	IF to_regclass('mode.t') IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'ZZ000', MESSAGE = 'passed, dropped';
	END IF;
	EXECUTE 'SELECT count(*) FROM ' || fortress.shadow_of('mode.t') INTO n;
	RAISE EXCEPTION USING ERRCODE = 'ZZ000', MESSAGE = 'passed, ' || n || ' archived';
EXCEPTION WHEN OTHERS THEN
	RETURN CASE SQLSTATE WHEN 'ZZ000' THEN SQLERRM ELSE SQLSTATE END;
END $$;
-- each statement in a transaction of its own
CREATE TABLE roads (n int, statement text);
INSERT INTO roads VALUES (1, 'DELETE FROM t WHERE id <= 5'), (2, 'DELETE FROM t WHERE id <= 6'), (3, 'DELETE FROM t WHERE id <= 30'), (4, 'DELETE FROM t'),
	(5, 'UPDATE t SET v = NULL WHERE id <= 5'), (6, 'UPDATE t SET v = NULL WHERE id <= 6'), (7, 'UPDATE t SET v = NULL'),
	(8, 'TRUNCATE t'), (9, 'DROP TABLE t'), (10, 'MERGE INTO t USING generate_series(1, 6) g ON id = g WHEN MATCHED THEN DELETE');
\set try_all 'SELECT format($$BEGIN%s SELECT try(%L)%s ROLLBACK$$, chr(59), statement, chr(59)) FROM roads ORDER BY n'

-- block is the first call's default
SELECT mode FROM fortress.policy WHERE relation = 't'::regclass;
:try_all \gexec

-- audit lets pass and archives
SELECT fortress.set_mode('t', 'audit');
SELECT mode FROM fortress.policy WHERE relation = 't'::regclass;
:try_all \gexec
-- it goes on counting: what passed is in the window when the mode changes
DELETE FROM t WHERE id <= 30;
SELECT count(*) FROM t;
SELECT count(*) FROM :shadow;
SELECT fortress.set_mode('t', 'block');
DELETE FROM t WHERE id = 31;
SELECT fortress.set_limit('t', 'delete', 33, '1 hour');
DELETE FROM t WHERE id BETWEEN 31 AND 33;
DELETE FROM t WHERE id = 34;

-- off is no guard, no archive and no count
SELECT fortress.set_mode('t', 'off');
:try_all \gexec
DELETE FROM t WHERE id <= 50;
SELECT fortress.set_mode('t', 'block');
SELECT count(*) FROM :shadow;
SELECT fortress.set_limit('t', 'delete', 34, '1 hour');
DELETE FROM t WHERE id BETWEEN 51 AND 52;
DELETE FROM t WHERE id = 51;
SELECT count(*) FROM t;

-- in the middle of a transaction the next statement has the new mode
BEGIN;
SELECT fortress.set_mode('t', 'audit');
UPDATE t SET v = NULL WHERE id > 0;
SAVEPOINT a;
SELECT fortress.set_mode('t', 'block');
UPDATE t SET v = NULL WHERE id = 60;
ROLLBACK TO a;
UPDATE t SET v = NULL WHERE id = 60;
SELECT count(*) FROM t WHERE v IS NULL;
ROLLBACK;
UPDATE t SET v = NULL WHERE id > 0;
BEGIN;
UPDATE t SET v = NULL WHERE id BETWEEN 60 AND 64;
SELECT fortress.set_mode('t', 'off');
UPDATE t SET v = NULL WHERE id > 0;
SELECT fortress.set_mode('t', 'block');
UPDATE t SET v = NULL WHERE id = 60;
ROLLBACK;

-- protect() takes it as well, and keeps it where it is not given
SELECT fortress.protect('t', mode => 'audit');
SELECT fortress.protect('t', delete_rows => 6);
SELECT mode FROM fortress.policy WHERE relation = 't'::regclass;
SELECT fortress.protect('t', mode => 'block');
SELECT mode FROM fortress.policy WHERE relation = 't'::regclass;
-- what is dropped in mode audit or off needs no policy any more
SELECT fortress.set_mode('t', 'off');
DROP TABLE t;
SELECT count(*) FROM fortress.policy p WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = p.relation);
SET client_min_messages = error;
DROP SCHEMA mode CASCADE;
