-- Archiving: shadow tables, their layout, and every row that leaves a table.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fortress_guard;
RESET client_min_messages;
CREATE SCHEMA shadow_test;
SET search_path = shadow_test, public;

-- ---------------------------------------------------------------------------
-- A shadow has the eight metadata columns and then those of the table
-- ---------------------------------------------------------------------------
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE TYPE pair AS (a integer, b text);
CREATE TABLE wide (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	flag boolean NOT NULL DEFAULT true,
	small smallint,
	gone_fixed double precision,
	amount numeric(12,2) CHECK (amount >= 0),
	code char(5),
	name varchar(40) COLLATE "C" NOT NULL,
	gone_text text,
	doubled bigint GENERATED ALWAYS AS (id * 2) STORED,
	doc jsonb,
	pos positive,
	feeling mood,
	both_of pair,
	tags text[],
	spot point,
	at timestamptz(3) DEFAULT now(),
	bits bit(3),
	address inet,
	big text,
	gone_last name
);
INSERT INTO wide (flag, small, gone_fixed, amount, code, name, gone_text, doc, pos, feeling, both_of, tags, spot, bits, address, big, gone_last)
SELECT i % 2 = 0, nullif(i % 7, 0), i, i * 1.25, 'c' || i, 'name ' || i, repeat('gone', i % 5),
	CASE WHEN i % 3 = 0 THEN jsonb_build_object('i', i) END, i, CASE i % 2 WHEN 0 THEN 'sad'::mood ELSE 'happy' END,
	ROW(i, 'x' || i)::pair, CASE WHEN i % 4 > 0 THEN ARRAY['a', i::text] END, point(i, -i),
	(i % 8)::bit(3), ('10.0.0.' || i % 250)::inet,
	CASE WHEN i % 10 = 0 THEN (SELECT string_agg(md5((i * 1000 + j)::text), '') FROM generate_series(1, 300) j) END, 'n' || i
FROM generate_series(1, 100) i;
ALTER TABLE wide ALTER COLUMN doc SET STORAGE MAIN;
ALTER TABLE wide DROP COLUMN gone_fixed, DROP COLUMN gone_text, DROP COLUMN gone_last;
INSERT INTO wide (name, flag, amount) SELECT 'later ' || i, false, i FROM generate_series(1, 20) i;
ALTER TABLE wide ADD COLUMN fast text NOT NULL DEFAULT 'added later', ADD COLUMN plain integer;

SELECT fortress.shadow_of('wide') IS NULL AS none_before;
SELECT fortress.protect('wide', delete_rows => 1000000, update_rows => 1000000, require_where => false);
SELECT fortress.set_limit('wide', 'delete', 1000000, '1 hour');
SELECT fortress.shadow_of('wide') AS shadow \gset
SELECT relname ~ '^wide_[0-9]+$' AS named, relnamespace::regnamespace AS schema, relreplident,
	(SELECT count(*) FROM pg_index WHERE indrelid = c.oid) AS indexes,
	relowner = (SELECT nspowner FROM pg_namespace WHERE nspname = 'fortress') AS owned
FROM pg_class c WHERE oid = :'shadow'::regclass;
-- every column in its place, of the same kind, nothing but metadata NOT NULL, no defaults
SELECT a.attnum, a.attname, a.atttypid::regtype, a.atttypmod, a.attcollation::regcollation AS collation, a.attstorage, a.attnotnull, a.atthasdef, a.attidentity, a.attgenerated
FROM pg_attribute a WHERE a.attrelid = :'shadow'::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum;
SELECT count(*) AS misplaced FROM pg_attribute b LEFT JOIN pg_attribute s ON s.attrelid = :'shadow'::regclass AND s.attnum = b.attnum + 8
WHERE b.attrelid = 'wide'::regclass AND b.attnum > 0
	AND (s.attlen, s.attalign, s.attbyval, s.attisdropped) IS DISTINCT FROM (b.attlen, b.attalign, b.attbyval, b.attisdropped);
-- readable by the guard's roles and nobody else
SELECT grantee::regrole, string_agg(privilege_type, ',' ORDER BY privilege_type) FROM pg_class c, aclexplode(c.relacl)
WHERE c.oid = :'shadow'::regclass AND grantee <> c.relowner GROUP BY 1 ORDER BY min(grantee::regrole::text);

-- protecting again changes nothing
SELECT md5(string_agg(a::text, '|' ORDER BY attnum)) AS layout FROM pg_attribute a WHERE attrelid = :'shadow'::regclass \gset
SELECT fortress.protect('wide');
SELECT md5(string_agg(a::text, '|' ORDER BY attnum)) = :'layout' AS unchanged FROM pg_attribute a WHERE attrelid = :'shadow'::regclass;

-- ---------------------------------------------------------------------------
-- Every value of every kind of row arrives
-- ---------------------------------------------------------------------------
CREATE TABLE before AS SELECT * FROM wide;
BEGIN;
SELECT pg_current_xact_id() AS xid \gset
DELETE FROM wide WHERE id = 7;				-- one row: the lean path
DELETE FROM wide WHERE id = 10;				-- with a TOASTed value
DELETE FROM wide WHERE id = 110;			-- older than the last ADD COLUMN
DELETE FROM wide WHERE id BETWEEN 20 AND 60;	-- many
UPDATE wide SET name = 'changed', big = NULL WHERE id BETWEEN 61 AND 70;
COMMIT;
SELECT fg_op, fg_how, fg_seq, fg_natts, count(*), bool_and(fg_xid = :'xid'::xid8) AS xid, bool_and(fg_actor = session_user::regrole) AS actor,
	bool_and(fg_relation = 'wide'::regclass) AS relation, bool_and(fg_at BETWEEN now() - interval '1 minute' AND clock_timestamp()) AS at
FROM :shadow GROUP BY fg_op, fg_how, fg_seq, fg_natts ORDER BY fg_seq;
SELECT string_agg(format('%I', attname), ', ' ORDER BY attnum) AS columns FROM pg_attribute
WHERE attrelid = 'wide'::regclass AND attnum > 0 AND NOT attisdropped \gset
SELECT count(*) AS differing FROM (SELECT :columns FROM :shadow) s JOIN before b USING (id) WHERE NOT (ROW(s.*)::text = ROW(b.*)::text);
SELECT count(*) AS archived, count(DISTINCT id) AS ids FROM :shadow;
-- with its own TOAST: nothing is left of the table's when that is emptied
SELECT length(big), md5(big) = (SELECT md5(big) FROM before WHERE id = 10) AS whole FROM :shadow WHERE id = 10;

-- batches: more rows than one batch holds, and rows larger than a batch
CREATE TABLE many (id integer PRIMARY KEY, filler text);
INSERT INTO many SELECT i, CASE WHEN i % 500 = 0 THEN repeat(md5(i::text), 3000) ELSE md5(i::text) END FROM generate_series(1, 10000) i;
SELECT fortress.protect('many', delete_rows => 1000000, require_where => false);
SELECT fortress.set_limit('many', 'delete', 1000000, '1 hour');
SELECT md5(string_agg(m::text, '|' ORDER BY id)) AS sum FROM many m \gset
DELETE FROM many;
SELECT fortress.shadow_of('many') AS shadow \gset
SELECT count(*), count(DISTINCT fg_seq) AS calls, md5(string_agg((id, filler)::text, '|' ORDER BY id)) = :'sum' AS whole FROM :shadow;

-- an index that somebody made on a shadow is kept up, by one row and by many
SET client_min_messages = warning;
BEGIN;
SELECT fortress.unlock(fortress.issue_token(operations => '{admin}')) \gset
CREATE INDEX ON :shadow (id);
CREATE INDEX ON :shadow (md5(filler));
COMMIT;
RESET client_min_messages;
INSERT INTO many SELECT i, repeat(md5(i::text), 100) FROM generate_series(20001, 20100) i;
DELETE FROM many WHERE id = 20001;
DELETE FROM many WHERE id > 20001;
SET enable_seqscan = off;
SELECT count(*), sum(id) FROM :shadow WHERE id BETWEEN 20001 AND 20100;
SELECT id FROM :shadow WHERE md5(filler) = md5(repeat(md5('20050'), 100));
RESET enable_seqscan;

-- what is rolled back is not archived
BEGIN;
INSERT INTO many VALUES (1, 'one'), (2, 'two');
SAVEPOINT a;
DELETE FROM many WHERE id = 1;
ROLLBACK TO a;
DELETE FROM many WHERE id = 2;
COMMIT;
SELECT id, filler, fg_seq FROM :shadow WHERE id < 10 AND filler IN ('one', 'two');

-- only what the policy says is archived
CREATE TABLE only_delete (id integer PRIMARY KEY, v text);
INSERT INTO only_delete VALUES (1, 'a'), (2, 'b');
SELECT fortress.protect('only_delete', archive => 'delete');
UPDATE only_delete SET v = 'c' WHERE id = 1;
DELETE FROM only_delete WHERE id = 1;
SELECT fortress.shadow_of('only_delete') AS shadow \gset
SELECT id, v, fg_op FROM :shadow;
CREATE TABLE without (id integer PRIMARY KEY);
INSERT INTO without VALUES (1);
SELECT fortress.protect('without', archive => 'none');
DELETE FROM without WHERE id = 1;
SELECT fortress.shadow_of('without') IS NULL AS none;

-- ---------------------------------------------------------------------------
-- Partitions: one shadow at the root, whatever the leaves look like
-- ---------------------------------------------------------------------------
CREATE TABLE part (id integer, region text, note text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE part_a PARTITION OF part FOR VALUES IN ('a');
CREATE TABLE part_b (note text, unwanted integer, region text NOT NULL, id integer NOT NULL);
ALTER TABLE part_b DROP COLUMN unwanted;
ALTER TABLE part ATTACH PARTITION part_b FOR VALUES IN ('b');
INSERT INTO part SELECT i, CASE WHEN i % 2 = 0 THEN 'a' ELSE 'b' END, 'note ' || i FROM generate_series(1, 20) i;
SELECT fortress.protect('part');
SELECT fortress.shadow_of('part') = fortress.shadow_of('part_a') AND fortress.shadow_of('part') = fortress.shadow_of('part_b') AS one_shadow;
SELECT fortress.shadow_of('part') AS shadow \gset
DELETE FROM part WHERE id IN (1, 2, 3);
DELETE FROM part_b WHERE id IN (5, 7);
DELETE FROM part_b WHERE id = 9;
DELETE FROM part_a WHERE id = 4;
UPDATE part SET region = 'a', note = 'moved' WHERE id = 11;
SELECT id, region, note, fg_op, fg_relation FROM :shadow ORDER BY id, fg_op;

-- ---------------------------------------------------------------------------
-- Columns come, go and change; the shadow follows and keeps old data
-- ---------------------------------------------------------------------------
CREATE TABLE drift (id integer PRIMARY KEY, a text, b integer, c varchar(5));
INSERT INTO drift SELECT i, 'a' || i, i, 'c' || i FROM generate_series(1, 20) i;
SELECT fortress.protect('drift', 'off');
SELECT fortress.shadow_of('drift') AS shadow \gset
SELECT fortress.set_mode('drift', 'block');
DELETE FROM drift WHERE id = 1;
SELECT fortress.set_mode('drift', 'off');
ALTER TABLE drift ADD COLUMN d date DEFAULT '2026-01-01';
ALTER TABLE drift RENAME COLUMN a TO first;
ALTER TABLE drift ALTER COLUMN c TYPE varchar(50);
SELECT fortress.protect('drift', 'block');
UPDATE drift SET c = 'a longer one' WHERE id = 2;
DELETE FROM drift WHERE id IN (2, 3);
SELECT id, first, b, c, d, fg_natts FROM :shadow ORDER BY id, fg_op;
SELECT fortress.set_mode('drift', 'off');
ALTER TABLE drift DROP COLUMN b;
ALTER TABLE drift ADD COLUMN b text DEFAULT 'new b';
ALTER TABLE drift ALTER COLUMN d TYPE timestamptz;
ALTER TABLE drift RENAME COLUMN first TO c_new;
ALTER TABLE drift RENAME COLUMN c TO first;
ALTER TABLE drift RENAME COLUMN c_new TO c;
SELECT fortress.protect('drift', 'block');
DELETE FROM drift WHERE id = 4;
ALTER TABLE drift ADD COLUMN e integer DEFAULT 5;
SELECT fortress.protect('drift');
DELETE FROM drift WHERE id IN (5, 6);
SELECT attnum, attname, atttypid::regtype, col_description(attrelid, attnum) FROM pg_attribute
WHERE attrelid = :'shadow'::regclass AND attnum > 8 AND NOT attisdropped ORDER BY attnum;
SELECT id, c, first, b, d AT TIME ZONE 'UTC' IS NOT NULL AS d, e, b_dropped_3, d_was_date FROM :shadow ORDER BY id, fg_op;
-- a second look finds nothing to do
SELECT md5(string_agg(a::text, '|' ORDER BY attnum)) AS layout FROM pg_attribute a WHERE attrelid = :'shadow'::regclass \gset
SELECT fortress.protect('drift');
SELECT md5(string_agg(a::text, '|' ORDER BY attnum)) = :'layout' AS unchanged FROM pg_attribute a WHERE attrelid = :'shadow'::regclass;

-- ---------------------------------------------------------------------------
-- What cannot be archived fails, and so does what would lose it
-- ---------------------------------------------------------------------------
\set VERBOSITY default
CREATE TABLE taken (id integer PRIMARY KEY, fg_op text);
SELECT fortress.protect('taken');
SELECT fortress.protect('taken', archive => 'none');
DO $$ BEGIN EXECUTE 'CREATE TABLE too_wide (' || (SELECT string_agg('c' || i || ' int2', ', ') FROM generate_series(1, 1593) i) || ')'; END $$;
SELECT fortress.protect('too_wide');
ALTER TABLE too_wide DROP COLUMN c1;
SELECT fortress.protect('too_wide');
DO $$ BEGIN EXECUTE 'CREATE TABLE as_wide (' || (SELECT string_agg('c' || i || ' int2', ', ') FROM generate_series(1, 1592) i) || ')'; END $$;
INSERT INTO as_wide (c1, c1592) VALUES (1, 2), (3, 4);
SELECT fortress.protect('as_wide');
DELETE FROM as_wide WHERE c1 = 1;
SELECT fortress.shadow_of('as_wide') AS shadow \gset
SELECT c1, c1592, c800 FROM :shadow;
-- a row that fills its page has no room for metadata
CREATE TABLE full_page (id integer PRIMARY KEY, v text);
ALTER TABLE full_page ALTER COLUMN v SET STORAGE PLAIN;
DO $$ BEGIN EXECUTE 'CREATE TABLE fixed_page (id integer PRIMARY KEY, ' || (SELECT string_agg('c' || i || ' uuid', ', ') FROM generate_series(1, 508) i) || ')'; END $$;
DO $$ BEGIN EXECUTE 'INSERT INTO fixed_page SELECT 1, ' || (SELECT string_agg('gen_random_uuid()', ', ') FROM generate_series(1, 508) i); END $$;
SELECT fortress.protect('fixed_page');
DELETE FROM fixed_page WHERE id = 1;
SELECT count(*) FROM fixed_page;
INSERT INTO full_page VALUES (1, repeat('x', 8100));
SELECT fortress.protect('full_page');
DELETE FROM full_page WHERE id = 1;
SELECT fortress.shadow_of('full_page') AS shadow \gset
SELECT id, length(v) FROM :shadow;
-- a column that the archive does not have
ALTER TABLE only_delete ADD COLUMN unknown integer;
SELECT fortress.shadow_of('only_delete') AS shadow \gset
BEGIN;
SELECT fortress.unlock(fortress.issue_token(operations => '{ddl}'));
ALTER TABLE only_delete RENAME COLUMN unknown TO hidden;
COMMIT;
SELECT fortress.protect('only_delete');
DELETE FROM only_delete WHERE id = 2;
SELECT id, v, hidden FROM :shadow WHERE id = 2;
INSERT INTO only_delete VALUES (3, 'c', 3);
\set VERBOSITY sqlstate
BEGIN;
SELECT fortress.unlock(fortress.issue_token(operations => '{admin}')) \gset
ALTER TABLE :shadow DROP COLUMN v;
DELETE FROM only_delete WHERE id = 3;
ROLLBACK;
BEGIN;
SELECT fortress.unlock(fortress.issue_token(operations => '{admin}')) \gset
DROP TABLE :shadow;
DELETE FROM only_delete WHERE id = 3;
ROLLBACK;
SELECT count(*) FROM only_delete;
CREATE TEMP TABLE passing (id integer);
SELECT fortress.protect('passing');
\set VERBOSITY terse

-- columns that came and went while the table was not protected
CREATE TABLE away (id integer PRIMARY KEY, a integer, b text);
INSERT INTO away SELECT g, g, 'b' || g FROM generate_series(1, 4) g;
SELECT fortress.protect('away');
DELETE FROM away WHERE id = 1;
SELECT fortress.unprotect('away');
ALTER TABLE away ADD COLUMN c text;
ALTER TABLE away DROP COLUMN c;
ALTER TABLE away ADD COLUMN d numeric DEFAULT 1.5;
ALTER TABLE away DROP COLUMN a;
ALTER TABLE away ADD COLUMN e boolean;
ALTER TABLE away DROP COLUMN e;
SELECT fortress.protect('away');
DELETE FROM away WHERE id = 2;
UPDATE away SET d = 7 WHERE id = 3;
SELECT * FROM fortress.restore('away');
SELECT * FROM away ORDER BY id;

-- default privileges do not open archives
CREATE ROLE regress_shadow_reader;
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO regress_shadow_reader, PUBLIC;
CREATE TABLE closed (id integer PRIMARY KEY);
SELECT fortress.protect('closed');
ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM regress_shadow_reader, PUBLIC;
SELECT has_table_privilege('regress_shadow_reader', 'closed', 'SELECT') AS readable;
SELECT coalesce(r.rolname, 'public') AS grantee, a.privilege_type
	FROM pg_class c CROSS JOIN aclexplode(c.relacl) a LEFT JOIN pg_roles r ON a.grantee = r.oid
	WHERE c.oid = fortress.shadow_of('closed') AND a.grantee <> c.relowner ORDER BY 1, 2;

-- clean up
SET client_min_messages = warning;
BEGIN;
SELECT fortress.unlock(fortress.issue_token(operations => '{admin}')) \gset
DO $$
DECLARE r record;
BEGIN
	FOR r IN SELECT c.oid::regclass AS relation, p.relation AS protected, s.shadow FROM pg_class c
		LEFT JOIN fortress.policy p ON p.relation = c.oid LEFT JOIN fortress.shadow s ON s.relation = c.oid
		WHERE c.relnamespace = 'shadow_test'::regnamespace AND (p.relation IS NOT NULL OR s.relation IS NOT NULL)
	LOOP
		IF r.protected IS NOT NULL THEN
			PERFORM fortress.unprotect(r.relation);
		END IF;
		IF r.shadow IS NOT NULL THEN
			EXECUTE format('DROP TABLE %s', r.shadow);
		END IF;
	END LOOP;
END $$;
COMMIT;
DROP SCHEMA shadow_test CASCADE;
DROP ROLE regress_shadow_reader;
