--
-- Commands that change a protected table without dropping it: refused on the
-- table, and the same command passes on one like it that is not protected.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fortress_guard;
\set VERBOSITY sqlstate
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
\pset fieldsep '  '

CREATE ROLE regress_guard_owner;
CREATE ROLE regress_guard_other;
CREATE ROLE regress_guard_app;
GRANT regress_guard_other TO regress_guard_owner;
CREATE SCHEMA guarding;
CREATE SCHEMA guarding_away;
GRANT ALL ON SCHEMA guarding, guarding_away TO PUBLIC;
DO $$BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO regress_guard_owner', current_database()); END$$;
SET search_path = guarding;

-- Two of everything: t... is protected, u... is not.
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE FUNCTION make(x text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	statement text;
BEGIN
	FOREACH statement IN ARRAY string_to_array($script$
		CREATE TYPE @mood AS ENUM ('good', 'bad');
		CREATE DOMAIN @feeling AS @mood;
		CREATE TYPE @inner AS (m @feeling, n int);
		CREATE TYPE @outer AS (i @inner[], k int);
		CREATE TYPE @row AS (id int, v text);
		CREATE TYPE @span AS RANGE (subtype = @mood);
		CREATE TABLE @kept (a int, b text);
		CREATE TABLE @ (id int PRIMARY KEY, small smallint, n int, v varchar(20), c char(10), num numeric(10, 2), doc text, at timestamptz, o @outer, k @kept, gone @mood);
		CREATE INDEX @_v ON @ (v);
		INSERT INTO @ SELECT i, i, i, 'v' || i, 'c', i, 'doc', '2026-01-01', NULL, NULL, 'good' FROM generate_series(1, 5) i;
		CREATE TABLE @ranged (s @span);
		CREATE TABLE @typed OF @row;
		CREATE TABLE @part (id int, k int, v text) PARTITION BY LIST (k);
		CREATE TABLE @part1 PARTITION OF @part FOR VALUES IN (1);
		CREATE TABLE @part2 PARTITION OF @part FOR VALUES IN (2) PARTITION BY LIST (k);
		CREATE TABLE @part2a PARTITION OF @part2 FOR VALUES IN (2);
		CREATE TABLE @parent (id int, v text);
		CREATE TABLE @child (extra int) INHERITS (@parent);
		CREATE TABLE @lone (id int, v text);
		CREATE TABLE @root (id int, v text);
		CREATE TABLE @leaf (extra int) INHERITS (@root);
		CREATE TABLE @rooted (id int, k int, v text) PARTITION BY LIST (k);
		CREATE TABLE @rooted1 PARTITION OF @rooted FOR VALUES IN (1);
		CREATE VIEW @view AS SELECT id FROM @;
		CREATE RULE old_rule AS ON INSERT TO @lone DO ALSO NOTIFY nobody;
		CREATE TRIGGER own AFTER INSERT ON @lone FOR EACH ROW EXECUTE FUNCTION nothing();
		CREATE POLICY old_policy ON @lone USING (true);
		CREATE SCHEMA guarding_@;
		CREATE TABLE guarding_@.inside (id int);
		ALTER SCHEMA guarding_@ OWNER TO regress_guard_owner
	$script$, ';') LOOP
		EXECUTE replace(statement, '@', x);
	END LOOP;
	FOR statement IN SELECT format('ALTER TABLE %s OWNER TO regress_guard_owner', oid::regclass) FROM pg_class
		WHERE relnamespace IN ('guarding'::regnamespace, ('guarding_' || x)::regnamespace) AND relkind IN ('r', 'p', 'v') AND relname ~ ('^' || x || '|^inside') LOOP
		EXECUTE statement;
	END LOOP;
	FOR statement IN SELECT format('ALTER TYPE %s OWNER TO regress_guard_owner', t.oid::regtype) FROM pg_type t LEFT JOIN pg_class c ON c.oid = typrelid
		WHERE typnamespace = 'guarding'::regnamespace AND typtype IN ('e', 'd', 'c', 'r') AND coalesce(relkind = 'c', true) AND typname ~ ('^' || x) LOOP
		EXECUTE statement;
	END LOOP;
END $$;
SELECT make('t'), make('u');
SELECT fortress.protect(r) FROM unnest('{t, tranged, ttyped, tpart, tparent, tlone, tleaf, trooted1, guarding_t.inside}'::regclass[]) r;

-- A role's statement on both: what would come of it.  Nothing stays.
CREATE FUNCTION try(who text, statement text, x text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('SET LOCAL ROLE %I', who);
	EXECUTE replace(statement, '@', x);
	RAISE EXCEPTION USING ERRCODE = 'ZZ000', MESSAGE = 'passed';
EXCEPTION WHEN OTHERS THEN
	RETURN CASE SQLSTATE WHEN 'ZZ000' THEN SQLERRM ELSE SQLSTATE END;
END $$;
CREATE FUNCTION twice(statement text) RETURNS text LANGUAGE sql AS $$
	SELECT format('owner %s, superuser %s, unprotected: %s %s', try('regress_guard_owner', statement, 't'), try(session_user, statement, 't'),
		try('regress_guard_owner', statement, 'u'), try(session_user, statement, 'u'))
$$;
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
SELECT complaint('ALTER TABLE t RENAME TO s');
SELECT complaint('ALTER TABLE tpart1 DISABLE TRIGGER ALL');
SELECT complaint('ALTER TABLE tpart DETACH PARTITION tpart2');
-- a fingerprint of all that is protected
CREATE TABLE fingerprint AS
	SELECT c.oid::regclass AS rel, md5(concat(c, (SELECT string_agg(a::text, ',' ORDER BY attnum) FROM pg_attribute a WHERE attrelid = c.oid),
		(SELECT string_agg(g::text, ',' ORDER BY oid) FROM pg_trigger g WHERE tgrelid = c.oid), (SELECT string_agg(r::text, ',' ORDER BY oid) FROM pg_rewrite r WHERE ev_class = c.oid),
		(SELECT string_agg(p::text, ',' ORDER BY oid) FROM pg_policy p WHERE polrelid = c.oid), (SELECT string_agg(i::text, ',' ORDER BY inhrelid, inhparent) FROM pg_inherits i WHERE inhrelid = c.oid))) AS print
	FROM pg_class c WHERE relnamespace::regnamespace::text ~ '^guarding' AND relname ~ '^(t|inside)';

--
-- Columns: types that change values, and those that do not
--
SELECT twice(statement), statement FROM (VALUES
	(1, 'ALTER TABLE @ ALTER n TYPE text'), (2, 'ALTER TABLE @ ALTER n TYPE smallint'), (3, 'ALTER TABLE @ ALTER n TYPE int USING n + 1'), (4, 'ALTER TABLE @ ALTER doc TYPE text USING ''x'''),
	(5, 'ALTER TABLE @ ALTER v TYPE varchar(10)'), (6, 'ALTER TABLE @ ALTER v TYPE varchar(30) USING upper(v)'), (7, 'ALTER TABLE @ ALTER num TYPE numeric(8, 2)'),
	(8, 'ALTER TABLE @ ALTER num TYPE numeric(12, 1)'), (9, 'ALTER TABLE @ ALTER c TYPE text'), (10, 'ALTER TABLE @ ALTER doc TYPE varchar(3)'),
	(11, 'ALTER TABLE @ ALTER at TYPE date'), (12, 'ALTER TABLE @ ADD COLUMN new int, ALTER n TYPE text'), (13, 'ALTER TABLE @ ALTER n TYPE bigint, ALTER small TYPE text'),
	(14, 'ALTER TABLE @part ALTER v TYPE varchar(3)'), (15, 'ALTER TABLE @parent ALTER v TYPE varchar(3)'), (16, 'ALTER TABLE @root ALTER v TYPE varchar(3)'),
	(17, 'ALTER TABLE @rooted ALTER v TYPE varchar(3)'), (18, 'ALTER FOREIGN TABLE @ ALTER v TYPE varchar(3)'), (19, 'DO $do$BEGIN ALTER TABLE @ ALTER n TYPE text; END$do$')
) s(n, statement) ORDER BY n;
SELECT twice(statement), statement FROM (VALUES
	(1, 'ALTER TABLE @ ALTER n TYPE bigint'), (2, 'ALTER TABLE @ ALTER small TYPE int'), (3, 'ALTER TABLE @ ALTER small TYPE bigint USING small'), (4, 'ALTER TABLE @ ALTER v TYPE varchar(40)'),
	(5, 'ALTER TABLE @ ALTER v TYPE varchar'), (6, 'ALTER TABLE @ ALTER v TYPE text'), (7, 'ALTER TABLE @ ALTER num TYPE numeric(12, 2)'), (8, 'ALTER TABLE @ ALTER num TYPE numeric'),
	(9, 'ALTER TABLE @ ALTER doc TYPE varchar'), (10, 'ALTER TABLE @ ALTER doc TYPE text COLLATE "C"'), (11, 'ALTER TABLE @part ALTER id TYPE bigint'), (12, 'ALTER TABLE @root ALTER id TYPE bigint'),
	(13, 'SET LOCAL timezone = ''UTC''; ALTER TABLE @ ALTER at TYPE timestamp'), (14, 'CREATE DOMAIN @short AS text; ALTER TABLE @ ALTER doc TYPE @short')
) s(n, statement) ORDER BY n;
-- columns that go, by themselves or with something else
SELECT twice(statement), statement FROM (VALUES
	(1, 'ALTER TABLE @ DROP COLUMN n'), (2, 'ALTER TABLE @ DROP COLUMN IF EXISTS n CASCADE'), (3, 'ALTER TABLE @part DROP COLUMN v'), (4, 'ALTER TABLE @parent DROP COLUMN v'),
	(5, 'ALTER TABLE @root DROP COLUMN v'), (6, 'ALTER TABLE @rooted DROP COLUMN v'), (7, 'DROP TYPE @mood CASCADE'), (8, 'DROP DOMAIN @feeling CASCADE'), (9, 'DROP TYPE @outer CASCADE'),
	(10, 'DROP TYPE @span CASCADE'), (11, 'DROP TABLE @kept CASCADE'), (12, 'ALTER TYPE @row DROP ATTRIBUTE v CASCADE'), (13, 'ALTER TABLE @child DROP COLUMN extra'),
	(14, 'ALTER TABLE @ DROP COLUMN nothing'), (15, 'ALTER TABLE @ DROP COLUMN IF EXISTS nothing')
) s(n, statement) ORDER BY n;
-- with a function that a generated column is made by, or the extension that a table belongs to
CREATE FUNCTION doubled(n int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 2 * n';
CREATE TABLE made (n int, d int GENERATED ALWAYS AS (doubled(n)) STORED);
SELECT try(session_user, 'DROP FUNCTION doubled CASCADE', '');
SELECT fortress.protect('made');
SELECT try(session_user, 'DROP FUNCTION doubled CASCADE', ''), try(session_user, 'DROP FUNCTION doubled', '');
CREATE TABLE member (n int);
CREATE EXTENSION hstore SCHEMA guarding_away;
ALTER EXTENSION hstore ADD TABLE member;
SELECT try(session_user, 'DROP EXTENSION hstore', '');
SELECT fortress.protect('member');
SELECT try(session_user, 'DROP EXTENSION hstore', ''), try(session_user, 'DROP EXTENSION hstore CASCADE', ''), try(session_user, 'ALTER EXTENSION hstore SET SCHEMA guarding', '');
ALTER EXTENSION hstore DROP TABLE member;
DROP EXTENSION hstore;
SELECT try(session_user, 'DROP OWNED BY regress_guard_owner', ''), try(session_user, 'DROP OWNED BY regress_guard_owner CASCADE', '');
-- what is inside of values
SELECT twice(statement), statement FROM (VALUES
	(1, 'ALTER TYPE @mood RENAME VALUE ''bad'' TO ''worse'''), (2, 'ALTER TYPE @inner DROP ATTRIBUTE n'), (3, 'ALTER TYPE @outer DROP ATTRIBUTE k'), (4, 'ALTER TABLE @kept DROP COLUMN b'),
	(5, 'ALTER TYPE @row ALTER ATTRIBUTE v TYPE varchar(2) CASCADE'), (6, 'ALTER TYPE @row RENAME ATTRIBUTE v TO w CASCADE'), (7, 'ALTER TYPE @inner RENAME ATTRIBUTE n TO nn'),
	(8, 'ALTER TYPE @mood ADD VALUE ''best'''), (9, 'ALTER TYPE @outer ADD ATTRIBUTE more int'), (10, 'ALTER TYPE @row ADD ATTRIBUTE more int CASCADE'), (11, 'ALTER TYPE @mood RENAME TO other_mood'),
	(12, 'ALTER TABLE @kept ADD COLUMN more int'), (13, 'ALTER DOMAIN @feeling SET DEFAULT ''good''')
) s(n, statement) ORDER BY n;

--
-- Names, schemas, owners
--
SELECT twice(statement), statement FROM (VALUES
	(1, 'ALTER TABLE @ RENAME TO other'), (2, 'ALTER TABLE IF EXISTS @ RENAME TO other'), (3, 'ALTER INDEX @ RENAME TO other'), (4, 'ALTER TABLE @ RENAME COLUMN n TO m'),
	(5, 'ALTER VIEW @ RENAME COLUMN n TO m'), (6, 'ALTER TABLE @part RENAME v TO w'), (7, 'ALTER TABLE @root RENAME v TO w'), (8, 'ALTER TABLE @rooted RENAME v TO w'), (9, 'ALTER TABLE @part1 RENAME TO other'),
	(10, 'ALTER TABLE @child RENAME TO other'), (11, 'ALTER TABLE @ SET SCHEMA guarding_away'), (12, 'ALTER TABLE @part2a SET SCHEMA guarding_away'), (13, 'ALTER TABLE IF EXISTS @ SET SCHEMA guarding_away'),
	(14, 'ALTER SCHEMA guarding_@ RENAME TO guarding_other'), (15, 'DROP SCHEMA guarding_@ CASCADE'), (16, 'ALTER TABLE @ OWNER TO regress_guard_other'), (17, 'ALTER TABLE @part1 OWNER TO regress_guard_other'),
	(18, 'ALTER TABLE @child OWNER TO regress_guard_other')
) s(n, statement) ORDER BY n;
SELECT try(session_user, 'REASSIGN OWNED BY regress_guard_owner TO regress_guard_other', ''), try(session_user, 'REASSIGN OWNED BY regress_guard_app TO regress_guard_other', '');
SELECT twice(statement), statement FROM (VALUES
	(1, 'ALTER INDEX @_v RENAME TO other'), (2, 'ALTER TABLE @ RENAME CONSTRAINT @_pkey TO other'), (3, 'ALTER TABLE @root RENAME TO other'), (4, 'ALTER TABLE @rooted SET SCHEMA guarding_away'),
	(5, 'ALTER VIEW @view RENAME TO other'), (6, 'ALTER VIEW @view SET SCHEMA guarding_away'), (7, 'ALTER TABLE @ OWNER TO regress_guard_owner'), (8, 'ALTER VIEW @view OWNER TO regress_guard_other'),
	(9, 'ALTER SCHEMA guarding_@ OWNER TO regress_guard_other'), (10, 'ALTER TABLE nowhere RENAME TO other'), (11, 'ALTER TABLE IF EXISTS nowhere SET SCHEMA guarding_away')
) s(n, statement) ORDER BY n;

--
-- Triggers, rules, row security
--
SELECT twice(statement), statement FROM (VALUES
	(1, 'ALTER TABLE @ DISABLE TRIGGER ALL'), (2, 'ALTER TABLE @ DISABLE TRIGGER USER'), (3, 'ALTER TABLE @ ENABLE TRIGGER USER'), (4, 'ALTER TABLE @ ENABLE TRIGGER ALL'), (5, 'ALTER TABLE @part DISABLE TRIGGER USER'),
	(6, 'ALTER TABLE @part2a DISABLE TRIGGER USER'), (7, 'ALTER TABLE @ DISABLE TRIGGER fortress_guard_update'), (8, 'ALTER TABLE @ ENABLE REPLICA TRIGGER fortress_guard_truncate'),
	(9, 'ALTER TABLE @ ENABLE TRIGGER fortress_guard_delete'), (10, 'ALTER TABLE @ ENABLE ALWAYS TRIGGER fortress_guard_delete'), (11, 'ALTER TABLE @lone DISABLE TRIGGER own'),
	(12, 'DROP TRIGGER fortress_guard_update ON @'), (13, 'DROP TRIGGER fortress_guard_truncate ON @part1'), (14, 'DROP TRIGGER own ON @lone'), (15, 'ALTER TRIGGER fortress_guard_update ON @ RENAME TO other'),
	(16, 'ALTER TRIGGER own ON @lone RENAME TO fortress_guard_update'), (17, 'ALTER TRIGGER own ON @lone RENAME TO other'), (18, 'ALTER TRIGGER fortress_guard_update ON @ DEPENDS ON EXTENSION plpgsql'),
	(19, 'CREATE TRIGGER b BEFORE DELETE ON @ FOR EACH ROW EXECUTE FUNCTION nothing()'), (20, 'CREATE TRIGGER b BEFORE TRUNCATE ON @ EXECUTE FUNCTION nothing()'),
	(21, 'CREATE OR REPLACE TRIGGER own BEFORE INSERT ON @lone FOR EACH ROW EXECUTE FUNCTION nothing()'), (22, 'CREATE TRIGGER b BEFORE UPDATE ON @part FOR EACH ROW EXECUTE FUNCTION nothing()'),
	(23, 'CREATE TRIGGER b BEFORE UPDATE ON @rooted FOR EACH ROW EXECUTE FUNCTION nothing()'), (24, 'CREATE TRIGGER b BEFORE UPDATE ON @root FOR EACH ROW EXECUTE FUNCTION nothing()'),
	(25, 'CREATE TRIGGER b AFTER UPDATE ON @rooted FOR EACH ROW EXECUTE FUNCTION nothing()'), (26, 'CREATE TRIGGER b AFTER DELETE ON @ FOR EACH ROW EXECUTE FUNCTION nothing()'),
	(27, 'CREATE OR REPLACE TRIGGER fortress_guard_delete AFTER DELETE ON @ FOR EACH STATEMENT EXECUTE FUNCTION nothing()'),
	(28, 'CREATE CONSTRAINT TRIGGER b AFTER UPDATE ON @ FOR EACH ROW EXECUTE FUNCTION nothing()'),
	(29, 'ALTER TABLE @ ENABLE TRIGGER fortress_guard_replica'), (30, 'ALTER TABLE @part1 ENABLE ALWAYS TRIGGER fortress_guard_replica'), (31, 'ALTER TABLE @ DISABLE TRIGGER fortress_guard_replica'),
	(32, 'ALTER TABLE @ ENABLE REPLICA TRIGGER fortress_guard_replica'), (33, 'DROP TRIGGER fortress_guard_replica ON @part1'), (34, 'ALTER TRIGGER fortress_guard_replica ON @ RENAME TO other'),
	(35, 'CREATE OR REPLACE TRIGGER fortress_guard_replica AFTER DELETE ON @ FOR EACH ROW EXECUTE FUNCTION nothing()')
) s(n, statement) ORDER BY n;
SELECT twice(statement), statement FROM (VALUES
	(1, 'CREATE RULE r AS ON DELETE TO @ DO INSTEAD NOTHING'), (2, 'CREATE RULE r AS ON INSERT TO @ DO ALSO NOTIFY nobody'), (3, 'CREATE OR REPLACE RULE old_rule AS ON INSERT TO @lone DO INSTEAD NOTHING'),
	(4, 'CREATE RULE "_RETURN" AS ON SELECT TO guarding_@.inside DO INSTEAD SELECT 1 AS id'), (5, 'ALTER TABLE @lone DISABLE RULE old_rule'), (6, 'ALTER TABLE @lone ENABLE ALWAYS RULE old_rule'),
	(7, 'ALTER TABLE @lone ENABLE REPLICA RULE old_rule'), (8, 'DROP RULE old_rule ON @lone'), (9, 'CREATE RULE r AS ON DELETE TO @view DO INSTEAD NOTHING'), (10, 'ALTER RULE old_rule ON @lone RENAME TO other'),
	(11, 'ALTER TABLE @ ENABLE ROW LEVEL SECURITY'), (12, 'ALTER TABLE @ DISABLE ROW LEVEL SECURITY'), (13, 'ALTER TABLE @ FORCE ROW LEVEL SECURITY'), (14, 'ALTER TABLE @ NO FORCE ROW LEVEL SECURITY'),
	(15, 'CREATE POLICY p ON @ USING (false)'), (16, 'CREATE POLICY p ON @part1 USING (false)'), (17, 'ALTER POLICY old_policy ON @lone USING (false)'), (18, 'ALTER POLICY old_policy ON @lone TO regress_guard_app'),
	(19, 'ALTER POLICY old_policy ON @lone RENAME TO other'), (20, 'DROP POLICY old_policy ON @lone'), (21, 'CREATE POLICY p ON @root USING (false)')
) s(n, statement) ORDER BY n;

--
-- Storage, replication, trees
--
SELECT twice(statement), statement FROM (VALUES
	(1, 'ALTER TABLE @ REPLICA IDENTITY NOTHING'), (2, 'ALTER TABLE @ REPLICA IDENTITY USING INDEX @_pkey'), (3, 'ALTER TABLE @lone SET UNLOGGED'), (4, 'ALTER TABLE ONLY @child SET UNLOGGED'),
	(5, 'ALTER TABLE @ SET ACCESS METHOD heap'), (6, 'ALTER TABLE @part DETACH PARTITION @part1'), (7, 'ALTER TABLE @part DETACH PARTITION @part2'), (8, 'ALTER TABLE @part2 DETACH PARTITION @part2a'),
	(9, 'ALTER TABLE IF EXISTS @part DETACH PARTITION @part1'), (10, 'ALTER TABLE @rooted DETACH PARTITION @rooted1'), (11, 'ALTER TABLE @child NO INHERIT @parent'), (12, 'ALTER TABLE @leaf NO INHERIT @root'),
	(13, 'ALTER TABLE @lone INHERIT @root'), (14, 'ALTER TABLE @lone INHERIT @parent'), (15, 'CREATE TABLE more () INHERITS (@parent)'), (16, 'CREATE TABLE more (id int, v text); ALTER TABLE more INHERIT @parent'),
	(17, 'CREATE TABLE more PARTITION OF @part FOR VALUES IN (3)'), (18, 'CREATE TABLE more (id int, k int, v text); ALTER TABLE @part ATTACH PARTITION more FOR VALUES IN (3)'),
	(21, 'CREATE TABLE more (id int, v text) PARTITION BY LIST (id); ALTER TABLE more ATTACH PARTITION @lone DEFAULT'),
	(19, 'ALTER TABLE @typed NOT OF'), (20, 'ALTER TABLE @lone OF @row')
) s(n, statement) ORDER BY n;
SELECT try(session_user, 'ALTER EXTENSION plpgsql ADD TABLE t', ''), try(session_user, 'ALTER EXTENSION plpgsql ADD TABLE u', '');
-- refused before its first transaction
ALTER TABLE tpart DETACH PARTITION tpart1 CONCURRENTLY;
SELECT count(*) FROM pg_inherits WHERE inhdetachpending;
ALTER TABLE upart DETACH PARTITION upart1 CONCURRENTLY;
-- a root that is not protected brings no trigger of its own to what it takes in
CREATE TABLE vetoing (LIKE trooted) PARTITION BY LIST (k);
CREATE TRIGGER veto BEFORE DELETE ON vetoing FOR EACH ROW EXECUTE FUNCTION nothing();
CREATE TABLE joining (LIKE trooted);
SELECT try(session_user, 'ALTER TABLE vetoing ATTACH PARTITION joining FOR VALUES IN (1)', '');
SELECT fortress.protect('joining');
SELECT try(session_user, 'ALTER TABLE vetoing ATTACH PARTITION joining FOR VALUES IN (1)', '');

--
-- What passes
--
SELECT twice(statement), statement FROM (VALUES
	(1, 'ALTER TABLE @ ADD COLUMN new float DEFAULT random()'), (2, 'ALTER TABLE @ ADD COLUMN new int GENERATED ALWAYS AS IDENTITY'), (3, 'ALTER TABLE @ ADD COLUMN new int GENERATED ALWAYS AS (n + 1) STORED'),
	(4, 'ALTER TABLE @ ALTER n SET DEFAULT 7'), (5, 'ALTER TABLE @ ALTER n DROP DEFAULT'), (6, 'ALTER TABLE @ ALTER n SET NOT NULL'), (7, 'ALTER TABLE @ ALTER id DROP NOT NULL'), (8, 'ALTER TABLE @ ADD CONSTRAINT x CHECK (n > 0) NOT VALID'),
	(9, 'ALTER TABLE @ ADD UNIQUE (n)'), (10, 'ALTER TABLE @ ADD FOREIGN KEY (n) REFERENCES @'), (11, 'ALTER TABLE @ DROP CONSTRAINT @_pkey'), (12, 'DROP INDEX @_v'), (13, 'CREATE INDEX ON @ (n)'),
	(14, 'ALTER TABLE @ ALTER v SET STATISTICS 10'), (15, 'ALTER TABLE @ ALTER v SET STORAGE MAIN'), (16, 'ALTER TABLE @ SET (fillfactor = 50)'), (17, 'ALTER TABLE @ RESET (fillfactor)'), (18, 'ALTER TABLE @ CLUSTER ON @_pkey'),
	(19, 'ALTER TABLE @ SET LOGGED'), (20, 'ALTER TABLE @ SET TABLESPACE pg_default'), (21, 'ALTER TABLE ALL IN TABLESPACE pg_default OWNED BY regress_guard_owner SET TABLESPACE pg_default'), (22, 'CLUSTER @ USING @_pkey'),
	(23, 'REINDEX TABLE @'), (24, 'ANALYZE @'), (25, 'COMMENT ON TABLE @ IS ''x'''), (26, 'GRANT SELECT ON @ TO regress_guard_app'), (27, 'REVOKE ALL ON @ FROM regress_guard_app'), (28, 'LOCK TABLE @'),
	(29, 'CREATE STATISTICS st ON n, v FROM @'), (30, 'CREATE MATERIALIZED VIEW mv AS SELECT id FROM @; REFRESH MATERIALIZED VIEW mv'), (31, 'EXPLAIN SELECT * FROM @'),
	(32, 'CREATE TABLE copy (LIKE @ INCLUDING ALL)'), (33, 'CREATE OR REPLACE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS ''BEGIN RETURN NULL; END'''),
	(34, 'CREATE TEMP TABLE @ (id int); ALTER TABLE @ ADD n int; ALTER TABLE @ DROP COLUMN n; ALTER TABLE @ DISABLE TRIGGER ALL; ALTER TABLE @ RENAME TO other')
) s(n, statement) ORDER BY n;
VACUUM FULL t;
REINDEX TABLE CONCURRENTLY t;
CREATE INDEX CONCURRENTLY t_n ON t (n);
DROP INDEX CONCURRENTLY t_n;

-- nothing has happened to what is protected
SELECT rel FROM fingerprint f JOIN pg_class c ON c.oid = f.rel
	WHERE rel <> 't'::regclass AND print <> md5(concat(c, (SELECT string_agg(a::text, ',' ORDER BY attnum) FROM pg_attribute a WHERE attrelid = c.oid),
		(SELECT string_agg(g::text, ',' ORDER BY oid) FROM pg_trigger g WHERE tgrelid = c.oid), (SELECT string_agg(r::text, ',' ORDER BY oid) FROM pg_rewrite r WHERE ev_class = c.oid),
		(SELECT string_agg(p::text, ',' ORDER BY oid) FROM pg_policy p WHERE polrelid = c.oid), (SELECT string_agg(i::text, ',' ORDER BY inhrelid, inhparent) FROM pg_inherits i WHERE inhrelid = c.oid)));

-- who has no right to a command is told so by the server
GRANT ALL ON ALL TABLES IN SCHEMA guarding TO regress_guard_app;
SELECT try('regress_guard_app', statement, 't'), statement FROM (VALUES (1, 'ALTER TABLE @ ENABLE ROW LEVEL SECURITY'), (2, 'ALTER TABLE @ ALTER n TYPE text'), (3, 'ALTER TABLE @part DETACH PARTITION @part1'),
	(4, 'ALTER TABLE @child NO INHERIT @parent'), (5, 'ALTER TABLE @ RENAME TO other'), (6, 'ALTER TABLE @ OWNER TO regress_guard_app'), (7, 'CREATE TRIGGER b BEFORE DELETE ON @ FOR EACH ROW EXECUTE FUNCTION nothing()'),
	(8, 'CREATE TRIGGER b AFTER DELETE ON @ FOR EACH ROW EXECUTE FUNCTION nothing()'), (9, 'ALTER TABLE @ DISABLE TRIGGER ALL')) s(n, statement) ORDER BY n;
REVOKE ALL ON ALL TABLES IN SCHEMA guarding FROM regress_guard_app;

--
-- A name that means something else when its turn comes: the server must find
-- what the guard has found, and what it reaches is asked for in any case
--
CREATE SCHEMA guarding_first;
CREATE TABLE guarding_first.t (id int);
CREATE FUNCTION swap() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('search_path', 'guarding', true);
END $$;
CREATE EVENT TRIGGER swap ON ddl_command_start WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION swap();
BEGIN;
SET LOCAL search_path = guarding_first, guarding;
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
SELECT oid::regclass FROM pg_class WHERE relrowsecurity AND relnamespace::regnamespace::text ~ '^guarding';
ROLLBACK;
BEGIN; SET LOCAL search_path = guarding_first, guarding; ALTER TABLE t RENAME TO s; ROLLBACK;
BEGIN; SET LOCAL search_path = guarding_first, guarding; ALTER TABLE t SET SCHEMA guarding_away; ROLLBACK;
BEGIN; SET LOCAL search_path = guarding_first, guarding; ALTER TABLE t DROP COLUMN n; ROLLBACK;
CREATE OR REPLACE FUNCTION swap() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
	IF to_regclass('guarding_first.decoy') IS NOT NULL AND to_regclass('guarding_first.real') IS NULL THEN
		CREATE TABLE guarding_first.real (id int, k int, v text) PARTITION BY LIST (k);
		ALTER TABLE guarding_first.real ATTACH PARTITION guarding.joining FOR VALUES IN (1);
		ALTER TABLE guarding_first.decoy RENAME TO done;
		ALTER TABLE guarding_first.real RENAME TO decoy;
		CREATE TABLE guarding_first.real ();
	END IF;
END $$;
CREATE TABLE guarding_first.decoy (id int, k int, v text);
ALTER TABLE guarding_first.decoy ALTER v TYPE varchar(1) USING 'x';
ALTER TABLE guarding_first.decoy RENAME v TO w;
SELECT to_regclass('guarding_first.real') IS NULL;
-- harmless, so that the swap takes place
ALTER TABLE guarding_first.decoy ADD COLUMN n int;
SELECT tableoid::regclass FROM guarding_first.decoy;
SELECT inhparent::regclass FROM pg_inherits WHERE inhrelid = 'joining'::regclass;
DROP EVENT TRIGGER swap;

-- nothing of others' runs within the guard's own work: its DDL fires no event triggers
CREATE SEQUENCE fired;
CREATE FUNCTION count_fired() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN PERFORM nextval(''guarding.fired''); END';
CREATE EVENT TRIGGER count_fired ON ddl_command_start WHEN TAG IN ('ALTER TABLE', 'CREATE TABLE', 'CREATE TRIGGER', 'COMMENT', 'GRANT') EXECUTE FUNCTION count_fired();
CREATE TABLE followed (id int);
SELECT fortress.protect('followed');
ALTER TABLE followed ADD COLUMN n int;
SELECT last_value FROM fired;
DROP EVENT TRIGGER count_fired;

--
-- The script of an extension passes on its own tables, and nothing else does
--
SELECT try(session_user, 'CREATE EXTENSION hstore SCHEMA guarding; ALTER EXTENSION hstore SET SCHEMA guarding_away; DROP EXTENSION hstore', '');

--
-- Modes and permission
--
SELECT fortress.set_mode('tlone', 'audit');
SELECT try(session_user, statement, ''), statement FROM (VALUES (1, 'ALTER TABLE tlone RENAME TO other'), (2, 'ALTER TABLE tlone ENABLE ROW LEVEL SECURITY'), (3, 'ALTER TABLE tlone DISABLE TRIGGER ALL'),
	(4, 'DROP TRIGGER fortress_guard_delete ON tlone')) s(n, statement) ORDER BY n;
SELECT fortress.set_mode('tlone', 'off');
SELECT try(session_user, statement, ''), statement FROM (VALUES (1, 'ALTER TABLE tlone RENAME TO other'), (2, 'ALTER TABLE tlone ENABLE ROW LEVEL SECURITY'), (3, 'ALTER TABLE tlone DISABLE TRIGGER ALL'),
	(4, 'DROP TRIGGER fortress_guard_delete ON tlone')) s(n, statement) ORDER BY n;
SELECT fortress.set_mode('tlone', 'block');
-- a permission is for its table and its operation
BEGIN;
SELECT fortress.unlock(fortress.issue_token('{t,tpart}', '{ddl}'));
SELECT try(session_user, statement, 't'), statement FROM (VALUES (1, 'ALTER TABLE @ RENAME TO other'), (2, 'ALTER TABLE @ ALTER n TYPE text'), (3, 'ALTER TABLE @ DISABLE TRIGGER ALL'), (4, 'ALTER TABLE @part DETACH PARTITION @part1'),
	(5, 'ALTER TABLE @part1 SET SCHEMA guarding_away'), (6, 'ALTER TABLE @lone RENAME TO other'), (7, 'DROP TRIGGER fortress_guard_delete ON @'), (8, 'TRUNCATE @'), (9, 'DROP TYPE @mood CASCADE'), (10, 'ALTER TABLE @child NO INHERIT @parent')) s(n, statement) ORDER BY n;
COMMIT;
BEGIN;
SELECT fortress.unlock(fortress.issue_token(operations => '{admin}'));
SELECT try(session_user, statement, 't'), statement FROM (VALUES (1, 'DROP TRIGGER fortress_guard_delete ON @'), (2, 'ALTER TRIGGER fortress_guard_delete ON @ RENAME TO other'), (3, 'ALTER TABLE @ RENAME TO other'), (4, 'ALTER TABLE @ DISABLE TRIGGER ALL')) s(n, statement) ORDER BY n;
ROLLBACK;
-- with it, the guard follows
SELECT fortress.exempt('regress_guard_owner', 't', '{ddl}') AS e1, fortress.exempt('regress_guard_owner', 'tpart', '{ddl}') AS e2 \gset
SET SESSION AUTHORIZATION regress_guard_owner;
ALTER TABLE t ALTER n TYPE text USING 'n' || n, DROP COLUMN num, OWNER TO regress_guard_other;
RESET SESSION AUTHORIZATION;
DELETE FROM t WHERE id = 1;
SELECT fortress.shadow_of('t')::text AS shadow \gset
SELECT fg_op, id, n, v FROM :shadow ORDER BY fg_at, id;
SET SESSION AUTHORIZATION regress_guard_owner;
ALTER TABLE tpart DETACH PARTITION tpart1 CONCURRENTLY;
DROP TABLE tpart2a;
RESET SESSION AUTHORIZATION;
SELECT relispartition, (SELECT count(*) FROM pg_trigger WHERE tgrelid = c.oid) FROM pg_class c WHERE oid = 'tpart1'::regclass;
ALTER TYPE trow RENAME ATTRIBUTE v TO w CASCADE;
BEGIN;
SELECT fortress.unlock(fortress.issue_token('{ttyped}', '{ddl}'));
ALTER TYPE trow RENAME ATTRIBUTE v TO w CASCADE;
COMMIT;
INSERT INTO ttyped VALUES (1, 'w');
DELETE FROM ttyped WHERE id = 1;
SELECT fortress.shadow_of('ttyped')::text AS shadow \gset
SELECT id, w FROM :shadow;
SELECT fortress.revoke_exemption(:e1), fortress.revoke_exemption(:e2);

-- the witness: refusals and what was let through, each once
CREATE TABLE last_event AS SELECT coalesce(max(id), 0) AS id FROM fortress.audit_log;
ALTER TABLE t RENAME COLUMN doc TO sheet;
ALTER TABLE t DISABLE TRIGGER fortress_guard_update;
DROP TRIGGER fortress_guard_update ON t;
SET ROLE regress_guard_app;
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
RESET ROLE;
BEGIN;
SELECT fortress.unlock(fortress.issue_token('{t}', '{ddl}'));
ALTER TABLE t REPLICA IDENTITY FULL;
ALTER TABLE t REPLICA IDENTITY DEFAULT;
COMMIT;
ALTER TABLE t ALTER n SET DEFAULT 'n';
DO $$
BEGIN
	FOR i IN 1..600 LOOP
		EXIT WHEN EXISTS (SELECT FROM fortress.audit_log WHERE event = 'permitted' AND query ~ 'REPLICA IDENTITY FULL' AND id > (SELECT id FROM last_event));
		PERFORM pg_sleep(0.05);
	END LOOP;
END $$;
SELECT event, operation, relation, query, regexp_replace(detail ->> 'message', '\d+', 'N'), detail ->> 'sqlstate' FROM fortress.audit_log
	WHERE id > (SELECT id FROM last_event) AND relation = 'guarding.t'::regclass AND event IN ('blocked', 'permitted', 'observed') AND query ~ '^ALTER TABLE t' ORDER BY id;
SELECT event, operation, detail ->> 'sqlstate' FROM fortress.audit_log WHERE id > (SELECT id FROM last_event) AND query ~ '^DROP TRIGGER';

SELECT fortress.unprotect(relation) FROM fortress.policy WHERE relation IN (SELECT oid FROM pg_class WHERE relnamespace::regnamespace::text ~ '^guarding');
SET client_min_messages = error;
BEGIN;
SELECT fortress.unlock(fortress.issue_token(operations => '{admin}'));
DROP SCHEMA guarding, guarding_away, guarding_t, guarding_u, guarding_first CASCADE;
COMMIT;
DO $$BEGIN EXECUTE format('REVOKE CREATE ON DATABASE %I FROM regress_guard_owner', current_database()); END$$;
DROP OWNED BY regress_guard_owner, regress_guard_other, regress_guard_app;
DROP ROLE regress_guard_owner, regress_guard_other, regress_guard_app;
