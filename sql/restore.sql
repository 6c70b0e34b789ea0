-- Undo: fortress.restore() puts archived rows back.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fortress_guard;
RESET client_min_messages;
CREATE SCHEMA restore_test;
SET search_path = restore_test, public;
CREATE ROLE regress_restore_operator IN ROLE fortress_operator;
CREATE ROLE regress_restore_nobody;
GRANT USAGE ON SCHEMA restore_test TO regress_restore_operator, regress_restore_nobody;

-- protects a table without limits that would matter here
CREATE FUNCTION protect_freely(t regclass, archive text DEFAULT 'delete,update') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM fortress.protect(t, delete_rows => 1000000, update_rows => 1000000, require_where => false, archive => archive);
	PERFORM fortress.set_limit(t, 'delete', 1000000, '1 hour');
END $$;
CREATE FUNCTION image(t regclass) RETURNS text LANGUAGE plpgsql AS $$
DECLARE r text;
BEGIN
	EXECUTE format('SELECT md5(string_agg(x::text, ''|'' ORDER BY x::text)) FROM %s x', t) INTO r;
	RETURN r;
END $$;

-- ---------------------------------------------------------------------------
-- Deletes and updates go back, by time and by transaction; twice is harmless
-- ---------------------------------------------------------------------------
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE TABLE item (
	gone integer,
	id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	name varchar(40) NOT NULL,
	price numeric(10,2),
	taxed numeric GENERATED ALWAYS AS (price * 1.2) STORED,
	n positive,
	feeling mood,
	doc json,
	spot point,
	tags text[],
	"odd ""name" text,
	big text
);
ALTER TABLE item DROP COLUMN gone;
INSERT INTO item (name, price, n, feeling, doc, spot, tags, "odd ""name", big)
SELECT 'item ' || i, i * 1.5, i, 'happy', json_build_object('i', i), point(i, i), ARRAY['a', NULL, i::text],
	nullif(i % 3, 0), CASE WHEN i % 10 = 0 THEN (SELECT string_agg(md5((i * 1000 + j)::text), '') FROM generate_series(1, 300) j) END
FROM generate_series(1, 100) i;
SELECT protect_freely('item');
SELECT image('item') AS good \gset
SELECT clock_timestamp() AS t0 \gset

DELETE FROM item WHERE id <= 30;
UPDATE item SET name = 'hijacked', price = 0, doc = '{}', spot = NULL, big = NULL WHERE id > 50;
UPDATE item SET name = 'hijacked twice' WHERE id > 90;
DELETE FROM item WHERE id > 95;
SELECT count(*), image('item') = :'good' AS whole FROM item;

SELECT * FROM fortress.restore('item', since => :'t0', dry_run => true);
SELECT count(*), image('item') = :'good' AS whole FROM item;
SELECT * FROM fortress.restore('item', since => :'t0');
SELECT count(*), image('item') = :'good' AS whole FROM item;
SELECT * FROM fortress.restore('item', since => :'t0');
SELECT count(*), image('item') = :'good' AS whole FROM item;
-- the restore itself was archived, by the role and as what it was
SELECT fortress.shadow_of('item') AS shadow \gset
SELECT fg_op, fg_how, count(*), count(DISTINCT fg_xid) AS xids FROM :shadow GROUP BY 1, 2 ORDER BY 1, 2;

-- ... so that it can be undone
SELECT fg_xid AS xid FROM :shadow WHERE fg_how = 'r' LIMIT 1 \gset
SELECT * FROM fortress.restore('item', xid => :'xid');
SELECT count(*), count(*) FILTER (WHERE name LIKE 'hijacked%') AS hijacked FROM item;
SELECT * FROM fortress.restore('item', since => :'t0');
SELECT count(*), image('item') = :'good' AS whole FROM item;

-- a time in the middle: what was before it stays
SELECT clock_timestamp() AS t1 \gset
UPDATE item SET name = 'first' WHERE id IN (1, 2);
SELECT clock_timestamp() AS t2 \gset
DELETE FROM item WHERE id = 1;
SELECT clock_timestamp() AS t3 \gset
SELECT * FROM fortress.restore('item', since => :'t2', until => :'t3');
SELECT id, name FROM item WHERE id IN (1, 2) ORDER BY id;
SELECT * FROM fortress.restore('item', since => :'t1', until => :'t2', dry_run => true);	-- 1 was removed and put back since
SELECT * FROM fortress.restore('item', since => :'t1', until => :'t2', on_conflict => 'overwrite');
SELECT count(*), image('item') = :'good' AS whole FROM item;
SELECT * FROM fortress.restore('item', since => 'infinity');
SELECT * FROM fortress.restore('item', xid => '1');

-- a filter over the archive's columns; the caller's search path holds in it
CREATE FUNCTION is_even(i integer) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT i % 2 = 0';
SELECT clock_timestamp() AS t4 \gset
DELETE FROM item WHERE id BETWEEN 10 AND 19;
SELECT * FROM fortress.restore('item', :'t4', filter => 'is_even(id) AND fg_op = ''d'' -- even ones');
SELECT count(*) FROM item;
SELECT * FROM fortress.restore('item', :'t4', filter => 'id IN (SELECT i FROM generate_series(11, 13) i)');
SELECT * FROM fortress.restore('item', :'t4', filter => '"odd ""name" IS NULL');
SELECT * FROM fortress.restore('item', :'t4');
SELECT count(*), image('item') = :'good' AS whole FROM item;

-- ---------------------------------------------------------------------------
-- Conflicts
-- ---------------------------------------------------------------------------
CREATE TABLE doc (id integer PRIMARY KEY, v text);
INSERT INTO doc SELECT i, 'good' FROM generate_series(1, 10) i;
SELECT protect_freely('doc');
SELECT fortress.shadow_of('doc') AS shadow \gset
BEGIN;
SELECT pg_current_xact_id() AS attack \gset
DELETE FROM doc WHERE id <= 4;
UPDATE doc SET v = 'bad' WHERE id > 4;
COMMIT;
INSERT INTO doc VALUES (1, 'new'), (2, 'good');		-- 1 created since; 2 as it was
UPDATE doc SET v = 'newer' WHERE id = 5;			-- changed since
UPDATE doc SET v = 'good' WHERE id = 6;				-- mended by hand
DELETE FROM doc WHERE id = 7;						-- removed since
\set VERBOSITY default
SELECT * FROM fortress.restore('doc', xid => :'attack');
\echo :LAST_ERROR_SQLSTATE
\set VERBOSITY terse
SELECT * FROM fortress.restore('doc', xid => :'attack', dry_run => true);
BEGIN;
SELECT * FROM fortress.restore('doc', xid => :'attack', on_conflict => 'skip', dry_run => true);
SELECT * FROM fortress.restore('doc', xid => :'attack', on_conflict => 'skip');
SELECT string_agg(id || ' ' || v, ', ' ORDER BY id) FROM doc;
SELECT * FROM fortress.restore('doc', xid => :'attack', on_conflict => 'skip');
ROLLBACK;
SELECT * FROM fortress.restore('doc', xid => :'attack', on_conflict => 'overwrite', dry_run => true);
SELECT * FROM fortress.restore('doc', xid => :'attack', on_conflict => 'overwrite');
SELECT string_agg(id || ' ' || v, ', ' ORDER BY id) FROM doc;
SELECT * FROM fortress.restore('doc', xid => :'attack', on_conflict => 'overwrite');

-- another unique constraint in the way: an error, or with skip a conflict
CREATE TABLE mail (id integer PRIMARY KEY, address text UNIQUE);
INSERT INTO mail VALUES (1, 'a'), (2, 'b');
SELECT protect_freely('mail');
DELETE FROM mail;
INSERT INTO mail VALUES (3, 'a');
SELECT * FROM fortress.restore('mail');
SELECT * FROM fortress.restore('mail', on_conflict => 'skip');
SELECT * FROM mail ORDER BY id;

-- a trigger that keeps a row out: nothing half done
CREATE TABLE kept (id integer PRIMARY KEY, v text);
INSERT INTO kept SELECT i, 'v' FROM generate_series(1, 5) i;
CREATE FUNCTION keep_out() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF new.id = 3 THEN RETURN NULL; END IF; RETURN new; END $$;
CREATE TRIGGER keep_out BEFORE INSERT ON kept FOR EACH ROW EXECUTE FUNCTION keep_out();
SELECT protect_freely('kept');
DELETE FROM kept;
SELECT * FROM fortress.restore('kept');
\echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM kept;

-- ---------------------------------------------------------------------------
-- Keys of several columns and other equalities; foreign keys; sequences
-- ---------------------------------------------------------------------------
CREATE TABLE tree (a text, b numeric, parent_a text, parent_b numeric, PRIMARY KEY (b, a),
	FOREIGN KEY (parent_b, parent_a) REFERENCES tree (b, a));
INSERT INTO tree VALUES ('r', 1.0, NULL, NULL), ('c', 1.00, 'r', 1), ('g', 2, 'c', 1), ('self', 3, 'self', 3);
SELECT protect_freely('tree');
SELECT image('tree') AS good \gset
DELETE FROM tree;
SELECT * FROM fortress.restore('tree');
SELECT image('tree') = :'good' AS whole;
UPDATE tree SET parent_a = NULL WHERE a IN ('g', 'c');
SELECT * FROM fortress.restore('tree');
SELECT image('tree') = :'good' AS whole;

CREATE TABLE numbered (id serial PRIMARY KEY, other bigint GENERATED BY DEFAULT AS IDENTITY (INCREMENT -1 MAXVALUE 0 MINVALUE -1000 START -1), v text);
INSERT INTO numbered (v) SELECT i::text FROM generate_series(1, 5) i;
SELECT protect_freely('numbered');
DELETE FROM numbered;
ALTER SEQUENCE numbered_id_seq RESTART;
ALTER TABLE numbered ALTER COLUMN other RESTART;
SELECT * FROM fortress.restore('numbered');
INSERT INTO numbered (v) VALUES ('next') RETURNING id, other;
SELECT setval('numbered_id_seq', 100);
DELETE FROM numbered WHERE id = 5;
SELECT * FROM fortress.restore('numbered', filter => 'id = 5');
INSERT INTO numbered (v) VALUES ('next') RETURNING id;

-- ---------------------------------------------------------------------------
-- Columns that came, went or changed since
-- ---------------------------------------------------------------------------
CREATE TABLE drift (id integer PRIMARY KEY, a text, b integer, c varchar(5));
INSERT INTO drift SELECT i, 'a' || i, i, 'c' || i FROM generate_series(1, 9) i;
SELECT protect_freely('drift');
DELETE FROM drift WHERE id = 1;
UPDATE drift SET a = 'bad' WHERE id = 2;
SELECT fortress.set_mode('drift', 'off');
ALTER TABLE drift ADD COLUMN d text DEFAULT 'default d';
ALTER TABLE drift RENAME COLUMN a TO first;
SELECT fortress.set_mode('drift', 'block');
SELECT fortress.protect('drift');
DELETE FROM drift WHERE id = 3;
UPDATE drift SET d = 'own d' WHERE id = 2;
SELECT * FROM fortress.restore('drift', on_conflict => 'overwrite');
SELECT * FROM drift WHERE id <= 3 ORDER BY id;
SELECT * FROM fortress.restore('drift');
UPDATE drift SET first = 'bad', d = 'kept d' WHERE id = 4;
SELECT fortress.set_mode('drift', 'off');
ALTER TABLE drift DROP COLUMN b;
ALTER TABLE drift ALTER COLUMN c TYPE varchar(20);
ALTER TABLE drift ADD COLUMN e integer DEFAULT 7;
SELECT fortress.set_mode('drift', 'block');
SELECT fortress.protect('drift');
DELETE FROM drift WHERE id = 5;
SELECT * FROM fortress.restore('drift', filter => 'id IN (4, 5)');
SELECT * FROM drift WHERE id IN (4, 5) ORDER BY id;

-- another type, also of the key: old images are converted
CREATE TABLE retyped (id integer PRIMARY KEY, v varchar(10) NOT NULL, w text);
INSERT INTO retyped SELECT i, i, i FROM generate_series(1, 6) i;
SELECT protect_freely('retyped');
DELETE FROM retyped WHERE id = 1;
UPDATE retyped SET w = 'bad' WHERE id = 2;
SELECT fortress.set_mode('retyped', 'off');
ALTER TABLE retyped ALTER COLUMN id TYPE bigint, ALTER COLUMN v TYPE integer USING v::integer;
SELECT fortress.set_mode('retyped', 'block');
SELECT fortress.protect('retyped');
DELETE FROM retyped WHERE id = 3;
SELECT fortress.set_mode('retyped', 'off');
ALTER TABLE retyped ALTER COLUMN v TYPE point USING point(v, v), ALTER COLUMN w TYPE varchar COLLATE "C";
SELECT fortress.set_mode('retyped', 'block');
SELECT fortress.protect('retyped');
DELETE FROM retyped WHERE id = 4;
UPDATE retyped SET w = 'worse' WHERE id = 2;
SELECT * FROM fortress.restore('retyped', filter => 'id <= 1');		-- 1 is no point
SELECT * FROM fortress.restore('retyped', filter => 'id >= 4');
SELECT fortress.set_mode('retyped', 'off');
ALTER TABLE retyped ALTER COLUMN v TYPE text USING v[0]::text;
SELECT fortress.set_mode('retyped', 'block');
SELECT fortress.protect('retyped');
SELECT * FROM fortress.restore('retyped', on_conflict => 'skip');	-- 4 was put back as '(4,4)'
SELECT * FROM retyped ORDER BY id;

-- ---------------------------------------------------------------------------
-- Partitions and inheritance
-- ---------------------------------------------------------------------------
CREATE TABLE part (id integer, region text, note text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE part_a PARTITION OF part FOR VALUES IN ('a');
CREATE TABLE part_b (note text, unwanted integer, region text NOT NULL, id integer NOT NULL);
ALTER TABLE part_b DROP COLUMN unwanted;
ALTER TABLE part ATTACH PARTITION part_b FOR VALUES IN ('b');
INSERT INTO part SELECT i, CASE WHEN i % 2 = 0 THEN 'a' ELSE 'b' END, 'note ' || i FROM generate_series(1, 20) i;
SELECT protect_freely('part');
SELECT image('part') AS good \gset
DELETE FROM part WHERE id <= 10;
UPDATE part_b SET note = 'bad';
SELECT * FROM fortress.restore('part_b');
SELECT count(*) FILTER (WHERE region = 'a') AS a, count(*) FILTER (WHERE region = 'b') AS b FROM part;
SELECT * FROM fortress.restore('part');
SELECT image('part') = :'good' AS whole;

CREATE TABLE parent (id integer PRIMARY KEY, v text);
CREATE TABLE child (more text, PRIMARY KEY (id)) INHERITS (parent);
INSERT INTO parent VALUES (1, 'p');
INSERT INTO child VALUES (2, 'c', 'more'), (3, 'c', 'more');
SELECT protect_freely('parent');
UPDATE parent SET v = 'bad';
DELETE FROM parent WHERE id = 2;
SELECT * FROM fortress.restore('parent');
SELECT tableoid::regclass, p.* FROM parent p ORDER BY id;
SELECT * FROM child ORDER BY id;

-- ---------------------------------------------------------------------------
-- Without a primary key
-- ---------------------------------------------------------------------------
CREATE TABLE heap (v text, doc json);
INSERT INTO heap VALUES ('one', '{}'), ('two', NULL), ('two', NULL), ('three', '[]');
SELECT protect_freely('heap');
DELETE FROM heap;
INSERT INTO heap VALUES ('two', NULL);
SELECT * FROM fortress.restore('heap');
SELECT * FROM heap ORDER BY v;
SELECT * FROM fortress.restore('heap');
UPDATE heap SET v = 'bad' WHERE v = 'one';
\set VERBOSITY default
SELECT * FROM fortress.restore('heap');
\set VERBOSITY terse
SELECT * FROM fortress.restore('heap', filter => $$fg_op <> 'u'$$);
CREATE TABLE by_identity (id integer NOT NULL, v text);
CREATE UNIQUE INDEX by_identity_id ON by_identity (id);
ALTER TABLE by_identity REPLICA IDENTITY USING INDEX by_identity_id;
INSERT INTO by_identity VALUES (1, 'good');
SELECT protect_freely('by_identity');
UPDATE by_identity SET v = 'bad';
SELECT * FROM fortress.restore('by_identity');
SELECT * FROM by_identity;

-- ---------------------------------------------------------------------------
-- TRUNCATE with permission
-- ---------------------------------------------------------------------------
CREATE TABLE emptied (id integer PRIMARY KEY, v text);
INSERT INTO emptied SELECT i, repeat('v', i) FROM generate_series(1, 3000) i;
SELECT protect_freely('emptied');
SELECT image('emptied') AS good \gset
SELECT fortress.issue_token('{emptied}', '{truncate}') AS token \gset
BEGIN;
SELECT fortress.unlock(:'token');
TRUNCATE emptied;
COMMIT;
SELECT count(*) FROM emptied;
SELECT * FROM fortress.restore('emptied');
SELECT image('emptied') = :'good' AS whole;

-- ---------------------------------------------------------------------------
-- The guard does not stand in its own way
-- ---------------------------------------------------------------------------
CREATE TABLE tight (id integer PRIMARY KEY, v text);
INSERT INTO tight SELECT i, 'good' FROM generate_series(1, 1000) i;
SELECT fortress.protect('tight', delete_rows => 5, update_rows => 5);
SELECT fortress.exempt('regress_restore_operator', 'tight') AS exemption \gset
GRANT SELECT, INSERT, UPDATE ON tight TO regress_restore_operator;
SET ROLE regress_restore_operator;
UPDATE tight SET v = 'bad' WHERE id > 0;
RESET ROLE;
SELECT fortress.revoke_exemption(:exemption);
SET ROLE regress_restore_operator;
SELECT * FROM fortress.restore('tight');
-- and afterwards it stands where it stood
UPDATE tight SET v = 'bad' WHERE id <= 6;
RESET ROLE;
SELECT count(*) FROM tight WHERE v = 'good';

-- ---------------------------------------------------------------------------
-- Rights: the caller's own
-- ---------------------------------------------------------------------------
SET ROLE regress_restore_nobody;
SELECT * FROM fortress.restore('restore_test.tight');
RESET ROLE;
SELECT protect_freely('doc');
DELETE FROM doc;
SET ROLE regress_restore_operator;
SELECT * FROM fortress.restore('doc', on_conflict => 'overwrite');
RESET ROLE;
GRANT SELECT ON doc TO regress_restore_operator;
SET ROLE regress_restore_operator;
SELECT * FROM fortress.restore('doc', on_conflict => 'overwrite', dry_run => true);
SELECT * FROM fortress.restore('doc', on_conflict => 'overwrite');
RESET ROLE;
GRANT INSERT, UPDATE ON doc TO regress_restore_operator;
SET ROLE regress_restore_operator;
SELECT * FROM fortress.restore('doc', on_conflict => 'overwrite');
RESET ROLE;
SELECT fortress.shadow_of('tight') IS NOT NULL AS found, fortress.shadow_of('pg_class') IS NULL AS none;

-- ---------------------------------------------------------------------------
-- Arguments
-- ---------------------------------------------------------------------------
\set VERBOSITY sqlstate
SELECT * FROM fortress.restore(NULL);
SELECT * FROM fortress.restore('doc', on_conflict => NULL);
SELECT * FROM fortress.restore('doc', on_conflict => 'ignore');
CREATE TABLE unknown (id integer);
SELECT * FROM fortress.restore('unknown');
CREATE VIEW a_view AS SELECT 1;
SELECT * FROM fortress.restore('a_view');
BEGIN READ ONLY;
SELECT * FROM fortress.restore('doc');
ROLLBACK;
SELECT * FROM fortress.restore('doc', filter => 'true) OR (true');
SELECT * FROM fortress.restore('doc', filter => 'true; DROP TABLE doc');
SELECT * FROM fortress.restore('doc', filter => 'true UNION SELECT 1');
SELECT * FROM fortress.restore('doc', filter => 'true FROM doc');
SELECT * FROM fortress.restore('doc', filter => 'true, true');
SELECT * FROM fortress.restore('doc', filter => 'true AS x');
SELECT * FROM fortress.restore('doc', filter => '*');
SELECT * FROM fortress.restore('doc', filter => 'true /* open');
SELECT * FROM fortress.restore('doc', filter => '');
SELECT * FROM fortress.restore('doc', filter => 'id = $3');
SELECT * FROM fortress.restore('doc', filter => 'id');
SELECT * FROM fortress.restore('doc', filter => 'nosuch = 1');
SELECT * FROM fortress.restore('doc', filter => 'count(*) > 1');
SELECT * FROM fortress.restore('doc', filter => 'true LIMIT 1');
SELECT * FROM fortress.restore('doc', filter => 'true WHERE true');
\set VERBOSITY default
SELECT * FROM fortress.restore('doc', filter => 'id = = 1');
\set VERBOSITY terse

-- what the filter, or a trigger of the table, calls is nobody's restore
CREATE TABLE reach (id int PRIMARY KEY, v int);
INSERT INTO reach SELECT g, 0 FROM generate_series(1, 100) g;
SELECT fortress.protect('reach', delete_rows => 5);
DELETE FROM reach WHERE id = 1;
CREATE SEQUENCE calls;
CREATE FUNCTION second_call_deletes() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	IF nextval('restore_test.calls') = 2 THEN
		DELETE FROM restore_test.reach WHERE id > 1;
	END IF;
	RETURN true;
END $$;
SELECT * FROM fortress.restore('reach', filter => 'restore_test.second_call_deletes()');
CREATE FUNCTION delete_more() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM restore_test.reach WHERE id > 1;
	RETURN NULL;
END $$;
CREATE TRIGGER more AFTER INSERT ON reach FOR EACH STATEMENT EXECUTE FUNCTION delete_more();
SELECT * FROM fortress.restore('reach');
DROP TRIGGER more ON reach;
SELECT count(*) FROM reach;
SELECT * FROM fortress.restore('reach');
SELECT count(*) FROM reach;

-- clean up
SET client_min_messages = warning;
BEGIN;
SELECT fortress.unlock(fortress.issue_token(operations => '{admin}')) \gset
DO $$
DECLARE r record;
BEGIN
	FOR r IN SELECT c.oid::regclass AS relation, p.relation AS protected, s.shadow FROM pg_class c
		LEFT JOIN fortress.policy p ON p.relation = c.oid LEFT JOIN fortress.shadow s ON s.relation = c.oid
		WHERE c.relnamespace = 'restore_test'::regnamespace AND (p.relation IS NOT NULL OR s.relation IS NOT NULL)
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
DROP SCHEMA restore_test CASCADE;
DROP ROLE regress_restore_operator, regress_restore_nobody;
