-- Index entries of a restore, put in page by page: each index finds the rows
-- that the table has, wherever between the others they belong.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fortress_guard;
CREATE SCHEMA restore_entries_test;
SET search_path = restore_entries_test, public;

CREATE TABLE page (
	id bigint PRIMARY KEY,
	few integer,
	code text UNIQUE,
	maybe text,
	one integer,
	long text,
	place point
);
CREATE INDEX page_few ON page (few);
CREATE INDEX page_few_single ON page ((-few)) WITH (deduplicate_items = off);
CREATE INDEX page_code_down ON page (code DESC, few);
CREATE UNIQUE INDEX page_maybe ON page (maybe);
CREATE UNIQUE INDEX page_maybe_id ON page (maybe NULLS FIRST, id DESC) INCLUDE (few);
CREATE UNIQUE INDEX page_one ON page (one) NULLS NOT DISTINCT;
CREATE INDEX page_part ON page ((few % 7), lower(code) COLLATE "C") WHERE few % 2 = 0;
CREATE INDEX page_long ON page (long);
CREATE INDEX page_place ON page USING gist (place);
CREATE INDEX page_code_hash ON page USING hash (code);
-- the last rows have keys that are large, each more than an eighth of a page
INSERT INTO page SELECT i, i % 20, md5(i::text), CASE WHEN i % 3 > 0 THEN (i * 7919 % 5003)::text || 'm' || i END,
	CASE WHEN i > 1 THEN -i END,
	CASE WHEN i % 10 < 9 THEN NULL WHEN i < 4800 THEN repeat('s', 30) ELSE (SELECT string_agg(md5((i * 1000 + k)::text), '') FROM generate_series(1, 50) k) END,
	point(i % 71, i % 73)
	FROM generate_series(1, 5000) i;
SELECT fortress.protect('page', delete_rows => 1000000, update_rows => 1000000, require_where => false),
	fortress.set_limit('page', 'delete', 1000000, '1 hour');
ANALYZE page;

CREATE FUNCTION same_by_index(index text, keys text, condition text) RETURNS text LANGUAGE plpgsql SET enable_sort = off SET jit = off AS $$
DECLARE
	query text := format('SELECT md5(array_agg(x.id)::text) FROM (SELECT id FROM page WHERE %s ORDER BY %s, ctid OFFSET 0) x', condition, keys);
	by_table text;
	by_index text;
	plan json;
BEGIN
	PERFORM set_config('enable_indexscan', 'off', true), set_config('enable_bitmapscan', 'off', true), set_config('enable_indexonlyscan', 'off', true);
	EXECUTE query INTO by_table;
	PERFORM set_config('enable_indexscan', 'on', true), set_config('enable_seqscan', 'off', true);
	query := replace(query, ', ctid', '');
	EXECUTE 'EXPLAIN (FORMAT JSON) ' || query INTO plan;
	EXECUTE query INTO by_index;
	PERFORM set_config('enable_seqscan', 'on', true);
	IF plan::text NOT LIKE '%"Index Name": "' || index || '"%' OR plan::text LIKE '%"Sort"%' THEN
		RETURN 'not used: ' || plan;
	END IF;
	RETURN CASE WHEN by_table = by_index THEN 'same' ELSE 'other rows' END;
END $$;
-- what is not as it was; nothing, if all is well
CREATE TABLE before AS SELECT count(*) AS n, md5(string_agg(page::text, '|' ORDER BY id)) AS rows FROM page;
CREATE VIEW wrong AS
	SELECT 'rows' AS what, 'others' AS how FROM page HAVING (count(*), md5(string_agg(page::text, '|' ORDER BY id))) IS DISTINCT FROM (SELECT b FROM before b)
	UNION ALL
	SELECT i, x FROM (VALUES ('page_pkey', 'id', 'true'), ('page_few', 'few', 'true'), ('page_few_single', '(-few)', 'true'), ('page_code_down', 'code DESC, few', 'true'),
		('page_maybe', 'maybe', 'true'), ('page_maybe_id', 'maybe NULLS FIRST, id DESC', 'true'), ('page_one', 'one', 'true'),
		('page_part', '(few % 7), lower(code) COLLATE "C"', 'few % 2 = 0'), ('page_long', 'long', 'true')) v (i, keys, condition),
		same_by_index(i, keys, condition) x WHERE x <> 'same';
SELECT * FROM wrong;

-- all, into indexes that are empty
DELETE FROM page;
VACUUM page;
SELECT operation, rows, conflicts FROM fortress.restore('page');
SELECT * FROM wrong;
-- into indexes that still have the old entries
SELECT fortress.purge('0', 'page');
DELETE FROM page;
SELECT operation, rows, conflicts FROM fortress.restore('page');
SELECT * FROM wrong;
-- the first, the last, those in the middle, single ones between others
SELECT fortress.purge('0', 'page');
DELETE FROM page WHERE id <= 1700;
VACUUM page;
SELECT operation, rows, conflicts FROM fortress.restore('page');
SELECT * FROM wrong;
SELECT fortress.purge('0', 'page');
DELETE FROM page WHERE id > 3000;
VACUUM page;
SELECT operation, rows, conflicts FROM fortress.restore('page');
SELECT * FROM wrong;
SELECT fortress.purge('0', 'page');
DELETE FROM page WHERE id BETWEEN 1001 AND 4321;
VACUUM page;
SELECT operation, rows, conflicts FROM fortress.restore('page');
SELECT * FROM wrong;
SELECT fortress.purge('0', 'page');
DELETE FROM page WHERE id % 13 = 0 OR id % 1000 < 100;
VACUUM page;
SELECT operation, rows, conflicts FROM fortress.restore('page');
SELECT * FROM wrong;
-- in an order that is nobody's
SELECT fortress.purge('0', 'page');
DO $$
BEGIN
	FOR part IN 0..9 LOOP
		DELETE FROM page WHERE id % 10 = (part * 7) % 10;
	END LOOP;
END $$;
VACUUM page;
SELECT operation, rows, conflicts FROM fortress.restore('page');
SELECT * FROM wrong;

-- what was put in meanwhile stands where a row was: the same key, the same value elsewhere, a NULL that is as any other
SELECT fortress.purge('0', 'page');
DELETE FROM page;
VACUUM page;
\set VERBOSITY sqlstate
BEGIN;
INSERT INTO page (id, one) VALUES (2500, 100);
SELECT * FROM fortress.restore('page');
ROLLBACK;
BEGIN;
INSERT INTO page (id, one, code) VALUES (9999, 100, md5('2500'));
SELECT * FROM fortress.restore('page');
ROLLBACK;
BEGIN;
INSERT INTO page (id, one, maybe) SELECT 9999, 100, (2501 * 7919 % 5003)::text || 'm2501';
SELECT * FROM fortress.restore('page');
ROLLBACK;
BEGIN;
INSERT INTO page (id) VALUES (9999);
SELECT * FROM fortress.restore('page');
ROLLBACK;
-- and does not if it is gone again, or is no other's
BEGIN;
SAVEPOINT s;
INSERT INTO page (id, one) VALUES (2500, 100);
ROLLBACK TO s;
INSERT INTO page (id, one) VALUES (9999, 100);
SELECT operation, rows, conflicts FROM fortress.restore('page');
SELECT count(*) FROM page;
ROLLBACK;
\set VERBOSITY terse
SELECT operation, rows, conflicts FROM fortress.restore('page');
SELECT * FROM wrong;

-- twice the same value in what comes back, by an index that is new
SELECT fortress.purge('0', 'page');
DELETE FROM page WHERE few = 7 OR few = 8;
CREATE UNIQUE INDEX page_new ON page ((CASE id WHEN 1008 THEN 1007 ELSE id END)) WHERE few IN (7, 8);
\set VERBOSITY sqlstate
SELECT * FROM fortress.restore('page');
DROP INDEX page_new;
\set VERBOSITY terse
SELECT operation, rows, conflicts FROM fortress.restore('page');
SELECT * FROM wrong;

-- of an archive with much else in it only the part is read in which the images lie
DELETE FROM page WHERE id BETWEEN 101 AND 900;
BEGIN;
SELECT pg_current_xact_id() AS x \gset
DELETE FROM page WHERE id BETWEEN 1001 AND 1100;
SAVEPOINT s;
DELETE FROM page WHERE id BETWEEN 1101 AND 1200;
COMMIT;
SELECT clock_timestamp() AS then \gset
BEGIN;
SELECT pg_current_xact_id() AS y \gset
UPDATE page SET few = few + 1, long = 'new' WHERE id BETWEEN 1301 AND 1303;
DELETE FROM page WHERE id IN (1304, 4999);
COMMIT;
SELECT clock_timestamp() AS until \gset
DELETE FROM page WHERE id BETWEEN 2001 AND 2900;
SELECT operation, rows, conflicts FROM fortress.restore('page', xid => :'x', dry_run => true);
SELECT operation, rows, conflicts FROM fortress.restore('page', xid => :'x', filter => 'id % 2 = 0');
SELECT operation, rows, conflicts FROM fortress.restore('page', xid => :'x');
SELECT operation, rows, conflicts FROM fortress.restore('page', xid => :'x');
SELECT operation, rows, conflicts FROM fortress.restore('page', since => :'then', until => :'until', dry_run => true) ORDER BY 1;
SELECT operation, rows, conflicts FROM fortress.undo(:'y') ORDER BY 1;
SELECT count(*), count(*) FILTER (WHERE long = 'new') AS new, count(*) FILTER (WHERE id BETWEEN 1001 AND 1400) AS back FROM page;
SELECT operation, rows, conflicts FROM fortress.restore('page', since => :'until', filter => 'fg_op = ''d''');
-- in the transaction itself, which goes on writing
BEGIN;
DELETE FROM page WHERE id BETWEEN 3001 AND 3100;
SELECT operation, rows, conflicts FROM fortress.restore('page', xid => pg_current_xact_id());
DELETE FROM page WHERE id BETWEEN 3051 AND 3150;
SELECT operation, rows, conflicts FROM fortress.restore('page', xid => pg_current_xact_id());
COMMIT;
SELECT operation, rows, conflicts FROM fortress.restore('page', until => :'then');
SELECT * FROM wrong;

BEGIN;
SELECT FROM fortress.unlock(fortress.issue_token(operations => '{ddl,admin}'));
SELECT fortress.unprotect('page');
DO $$ BEGIN EXECUTE format('DROP TABLE %s', fortress.shadow_of('page')); END $$;
DROP SCHEMA restore_entries_test CASCADE;
COMMIT;
