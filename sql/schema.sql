--
-- protect_schema, unprotect_schema: the tables that are there, those that come,
-- those that go, and who may.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fortress_guard;
\set VERBOSITY terse
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
-- permission for DDL and for changing the guard, for one transaction
\set unlock 'DO $$BEGIN PERFORM fortress.unlock(fortress.issue_token(operations => ''{admin,ddl,delete}'')); END$$;'

BEGIN;
:unlock
CREATE ROLE regress_sch_admin IN ROLE fortress_admin;
COMMIT;
CREATE ROLE regress_sch_owner;
CREATE ROLE regress_sch_app;
CREATE SCHEMA sch AUTHORIZATION regress_sch_owner;
GRANT ALL ON SCHEMA sch TO regress_sch_app;
CREATE SCHEMA sch_other;
GRANT ALL ON SCHEMA sch_other TO PUBLIC;
CREATE SCHEMA sch_look;
GRANT ALL ON SCHEMA sch_look TO PUBLIC;
CREATE VIEW sch_look.policies AS
	SELECT p.relation, p.mode, p.require_where, p.archive, p.schema_policy IS NOT NULL AS by_schema,
		(SELECT string_agg(l.operation || ' ' || l.max_rows || ' per ' || l.per, ', ' ORDER BY l.operation, l.per COLLATE "C" DESC)
		 FROM fortress.row_limit l WHERE l.relation = p.relation) AS limits
	FROM fortress.policy p JOIN pg_class c ON c.oid = p.relation JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE n.nspname IN ('sch', 'sch_other', 'sch_renamed')
	ORDER BY p.relation::text COLLATE "C";
CREATE VIEW sch_look.schemas AS
	SELECT schema_oid::regnamespace, schema_name, mode, require_where, archive, delete_rows, update_rows, hourly_delete_rows, hourly_update_rows
	FROM fortress.schema_policy ORDER BY schema_name;
CREATE FUNCTION sch_look.guarded(relation regclass) RETURNS text LANGUAGE sql AS
$$ SELECT coalesce((SELECT mode FROM fortress.policy p WHERE p.relation = $1), 'none') || ', triggers: ' ||
	(SELECT count(*) FROM pg_trigger WHERE tgrelid = $1 AND tgfoid = 'fortress.guard'::regproc) $$;

--
-- The tables that are there
--
CREATE TABLE sch.one (id int PRIMARY KEY, v text);
INSERT INTO sch.one SELECT i, 'v' FROM generate_series(1, 500) i;
CREATE TABLE sch.own (id int);
SELECT fortress.protect('sch.own', 'audit', delete_rows => 7);
CREATE TABLE sch.root (id int) PARTITION BY RANGE (id);
CREATE TABLE sch.root_1 PARTITION OF sch.root FOR VALUES FROM (0) TO (100);
CREATE TABLE sch_other.root_2 PARTITION OF sch.root FOR VALUES FROM (100) TO (200);
CREATE TABLE sch.parent (id int);
CREATE TABLE sch.child () INHERITS (sch.parent);
CREATE UNLOGGED TABLE sch.unlogged (id int);
CREATE VIEW sch.a_view AS SELECT * FROM sch.one;
CREATE MATERIALIZED VIEW sch.a_matview AS SELECT * FROM sch.one;
CREATE SEQUENCE sch.a_sequence;
CREATE TYPE sch.a_type AS (id int, v text);
CREATE FOREIGN DATA WRAPPER regress_sch_fdw;
CREATE SERVER regress_sch_server FOREIGN DATA WRAPPER regress_sch_fdw;
CREATE FOREIGN TABLE sch.a_foreign (id int) SERVER regress_sch_server;
-- a partition of something that is not protected, in another schema
CREATE TABLE sch_other.free (id int) PARTITION BY RANGE (id);
CREATE TABLE sch.free_1 PARTITION OF sch_other.free FOR VALUES FROM (0) TO (100);

BEGIN; SELECT fortress.protect_schema('sch'); ROLLBACK;
TABLE sch_look.policies;
TABLE sch_look.schemas;
SELECT fortress.protect_schema('sch', delete_rows => 50);
TABLE sch_look.policies;
TABLE sch_look.schemas;
SELECT sch_look.guarded('sch.one'), sch_look.guarded('sch.root_1'), sch_look.guarded('sch_other.root_2'), sch_look.guarded('sch.child');
SELECT fortress.shadow_of('sch.one') IS NOT NULL, fortress.shadow_of('sch.own') IS NOT NULL;
\set VERBOSITY sqlstate
DELETE FROM sch.one;
DELETE FROM sch.one WHERE id <= 51;
TRUNCATE sch.unlogged;
DROP TABLE sch.unlogged;
DELETE FROM sch_other.root_2;
\set VERBOSITY terse
BEGIN; DELETE FROM sch.one WHERE id <= 50; ROLLBACK;

--
-- The tables that come: by whoever makes them, in the same transaction
--
SET SESSION AUTHORIZATION regress_sch_app;
CREATE TABLE sch.new (id int PRIMARY KEY, v text);
CREATE TABLE IF NOT EXISTS sch.new (id int);
CREATE TABLE sch.like_new (LIKE sch.new INCLUDING ALL);
CREATE TABLE sch.ctas AS SELECT i AS id FROM generate_series(1, 200) i;
SELECT i AS id INTO sch.select_into FROM generate_series(1, 200) i;
CREATE TABLE sch.typed OF sch.a_type;
CREATE UNLOGGED TABLE sch.new_unlogged (id int);
CREATE TABLE sch.new_root (id int) PARTITION BY LIST (id);
CREATE TABLE sch.new_leaf PARTITION OF sch.new_root FOR VALUES IN (1);
CREATE TABLE sch.new_child () INHERITS (sch.new);
DO $$ BEGIN EXECUTE 'CREATE TABLE sch.made_in_do (id int)'; END $$;
SET search_path = sch;
CREATE TABLE found_by_path (id int);
CREATE TEMP TABLE temporary (id int);
EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) CREATE TABLE explained AS SELECT 1 AS id;
EXPLAIN (COSTS OFF) CREATE TABLE only_explained AS SELECT 1 AS id;
RESET search_path;
CREATE VIEW sch.new_view AS SELECT 1;
CREATE TABLE sch_other.elsewhere (id int);
BEGIN;
CREATE TABLE sch.at_once AS SELECT i AS id FROM generate_series(1, 200) i;
\set VERBOSITY sqlstate
DELETE FROM sch.at_once WHERE id > 0;
\set VERBOSITY terse
ROLLBACK;
RESET SESSION AUTHORIZATION;
TABLE sch_look.policies;
SELECT sch_look.guarded('sch.new_leaf'), sch_look.guarded('sch.new_child'), sch_look.guarded('sch_other.elsewhere');
SELECT to_regclass('sch.at_once'), to_regclass('sch.only_explained');
\set VERBOSITY sqlstate
DELETE FROM sch.ctas WHERE id > 0;
DELETE FROM sch.select_into;
DROP TABLE sch.new_leaf;
\set VERBOSITY terse
-- a table that is moved in, with its partitions
CREATE TABLE sch_other.mover (id int) PARTITION BY LIST (id);
CREATE TABLE sch_other.mover_1 PARTITION OF sch_other.mover FOR VALUES IN (1);
ALTER TABLE sch_other.mover SET SCHEMA sch;
SELECT sch_look.guarded('sch.mover'), sch_look.guarded('sch_other.mover_1');
-- a partition that is taken out of its tree stays protected, by the schema
BEGIN;
:unlock
ALTER TABLE sch.new_root DETACH PARTITION sch.new_leaf;
COMMIT;
SELECT sch_look.guarded('sch.new_leaf');
-- what is not committed leaves nothing
BEGIN;
SAVEPOINT s;
CREATE TABLE sch.given_up (id int);
ROLLBACK TO s;
COMMIT;
SELECT count(*) FROM fortress.policy p WHERE NOT EXISTS (SELECT FROM pg_class WHERE oid = p.relation);

--
-- What the guard cannot protect: a warning, and the rest goes on
--
CREATE ACCESS METHOD regress_sch_heap TYPE TABLE HANDLER heap_tableam_handler;
CREATE TABLE sch.otherwise (id int) USING regress_sch_heap;
CREATE TABLE sch.reserved (id int, fg_at int);
\set VERBOSITY default
DO $$ BEGIN EXECUTE 'CREATE TABLE sch.wide (' || (SELECT string_agg('c' || i || ' bool', ', ') FROM generate_series(1, 1595) i) || ')'; END $$;
CREATE TABLE sch_other.wide_2 (LIKE sch.wide);
ALTER TABLE sch_other.wide_2 SET SCHEMA sch;
\set VERBOSITY terse
SELECT fortress.protect_schema('sch');
SELECT sch_look.guarded('sch.otherwise'), sch_look.guarded('sch.reserved'), sch_look.guarded('sch.wide');
SELECT detail, fix FROM fortress.verify_guard() WHERE piece = 'protected schema sch';
-- without archive columns and their names do not matter
SELECT fortress.protect('sch.reserved', archive => 'none');
DROP TABLE sch.otherwise, sch.wide, sch.wide_2;
SELECT ok, detail, fix FROM fortress.verify_guard() WHERE piece = 'protected schema sch';

--
-- Later calls change what the schema gave, and nothing else
--
SELECT fortress.protect_schema('sch', 'audit', update_rows => 9, require_where => false, archive => 'delete');
SELECT * FROM sch_look.policies WHERE relation IN ('sch.one'::regclass, 'sch.own'::regclass, 'sch.new'::regclass);
TABLE sch_look.schemas;
CREATE TABLE sch.later (id int);
SELECT * FROM sch_look.policies WHERE relation = 'sch.later'::regclass;
SELECT fortress.protect_schema('sch', 'block', 50, 1000, true, 'delete,update');
-- what is set for one table makes its policy its own, protect() with nothing to set does not
BEGIN;
:unlock
ALTER TABLE sch.new OWNER TO regress_sch_owner;
COMMIT;
SET SESSION AUTHORIZATION regress_sch_owner;
SELECT fortress.protect('sch.new');
RESET SESSION AUTHORIZATION;
SELECT by_schema FROM sch_look.policies WHERE relation = 'sch.new'::regclass;
SELECT fortress.set_limit('sch.new', 'delete', 3);
SELECT fortress.set_mode('sch.later', 'block');
SELECT fortress.drop_limit('sch.ctas', 'delete', '1 hour');
SELECT fortress.protect('sch.typed', columns => '{v}');
SELECT fortress.protect_schema('sch', delete_rows => 40);
SELECT * FROM sch_look.policies WHERE relation IN ('sch.one'::regclass, 'sch.new'::regclass, 'sch.later'::regclass, 'sch.ctas'::regclass, 'sch.typed'::regclass);
-- unprotect() takes one out, until the schema is protected anew
SELECT fortress.unprotect('sch.one');
SELECT sch_look.guarded('sch.one');
SELECT ok, detail, fix FROM fortress.verify_guard() WHERE piece = 'protected schema sch';
SELECT fortress.protect_schema('sch');
SELECT sch_look.guarded('sch.one');
SELECT ok, detail, fix FROM fortress.verify_guard() WHERE piece = 'protected schema sch';
-- damage is mended by the same call
BEGIN;
:unlock
ALTER TABLE sch.one DISABLE TRIGGER fortress_guard_delete;
SELECT detail, fix FROM fortress.verify_guard() WHERE piece = 'table sch.one';
SELECT fortress.protect_schema('sch');
SELECT ok FROM fortress.verify_guard() WHERE piece = 'table sch.one';
COMMIT;

--
-- Out of the schema, with permission: the policy goes along, and is its own
--
\set VERBOSITY sqlstate
ALTER TABLE sch.select_into SET SCHEMA sch_other;
\set VERBOSITY terse
BEGIN;
:unlock
ALTER TABLE sch.select_into SET SCHEMA sch_other;
COMMIT;
SELECT fortress.protect_schema('sch', delete_rows => 30);
SELECT * FROM sch_look.policies WHERE relation IN ('sch_other.select_into'::regclass, 'sch.one'::regclass);
-- the schema gets another name
\set VERBOSITY sqlstate
ALTER SCHEMA sch RENAME TO sch_renamed;
\set VERBOSITY terse
BEGIN;
:unlock
ALTER SCHEMA sch RENAME TO sch_renamed;
COMMIT;
TABLE sch_look.schemas;
CREATE TABLE sch_renamed.after_renaming (id int);
SELECT sch_look.guarded('sch_renamed.after_renaming');

--
-- The end of it: what the schema gave ends, what is a table's own does not
--
SELECT fortress.unprotect_schema('sch_renamed');
TABLE sch_look.policies;
TABLE sch_look.schemas;
SELECT sch_look.guarded('sch_renamed.one'), fortress.shadow_of('sch_renamed.one') IS NOT NULL;
CREATE TABLE sch_renamed.free_again (id int);
SELECT sch_look.guarded('sch_renamed.free_again');
DELETE FROM sch_renamed.one;
SELECT fortress.unprotect_schema('sch_renamed');
-- a schema that is dropped takes it along
CREATE SCHEMA sch_short;
SELECT fortress.protect_schema('sch_short');
CREATE TABLE sch_short.t (id int);
\set VERBOSITY sqlstate
DROP SCHEMA sch_short CASCADE;
\set VERBOSITY terse
BEGIN;
:unlock
ALTER TABLE sch_short.t SET SCHEMA sch_other;
COMMIT;
DROP SCHEMA sch_short;
TABLE sch_look.schemas;
SELECT relation, by_schema FROM sch_look.policies WHERE relation = 'sch_other.t'::regclass;
CREATE SCHEMA sch_short;
CREATE TABLE sch_short.t (id int);
SELECT sch_look.guarded('sch_short.t');

--
-- Who may, and arguments
--
SET SESSION AUTHORIZATION regress_sch_owner;
SELECT fortress.protect_schema('sch_renamed');
SELECT fortress.unprotect_schema('sch_renamed');
SET SESSION AUTHORIZATION regress_sch_admin;
SELECT fortress.protect_schema('sch_short', 'audit', 1, 2, false, 'none');
SELECT fortress.unprotect_schema('sch_short');
RESET SESSION AUTHORIZATION;
SELECT fortress.protect_schema(NULL);
SELECT fortress.protect_schema('nowhere');
SELECT fortress.protect_schema(0);
SELECT fortress.protect_schema('sch_short', 'strict');
SELECT fortress.protect_schema('sch_short', delete_rows => -1);
SELECT fortress.protect_schema('sch_short', update_rows => -1);
SELECT fortress.protect_schema('sch_short', archive => 'everything');
SELECT fortress.protect_schema('pg_catalog');
SELECT fortress.protect_schema('pg_toast');
SELECT fortress.protect_schema('information_schema');
SELECT fortress.protect_schema('fortress');
SELECT fortress.protect_schema('fortress_shadow');
\set VERBOSITY sqlstate
SELECT fortress.protect_schema(pg_my_temp_schema()::regnamespace) WHERE pg_my_temp_schema() <> 0;
\set VERBOSITY terse
SELECT fortress.unprotect_schema(NULL);
SELECT fortress.unprotect_schema('pg_catalog');
TABLE sch_look.schemas;
-- names that need quotes
CREATE SCHEMA "Odd one";
SELECT fortress.protect_schema('"Odd one"');
CREATE TABLE "Odd one"."T" (id int);
SELECT sch_look.guarded('"Odd one"."T"');
SELECT piece, ok FROM fortress.verify_guard() WHERE piece LIKE '%Odd one%' ORDER BY piece;
SELECT fortress.unprotect_schema('"Odd one"');

--
-- Events: one of each call, and one of each table
--
SELECT ok FROM fortress.verify_audit();
SELECT a.relation, CASE WHEN a.actual_role <> current_user THEN a.actual_role END, a.detail ->> 'message' FROM fortress.audit_log a
WHERE a.event = 'policy_changed' AND (a.detail ->> 'message' ~ 'schema' AND a.detail ->> 'message' !~ 'with schema'
	OR a.detail ->> 'relation' IN ('sch.one', 'sch.ctas', 'sch_renamed.one'))
	AND a.detail ->> 'message' ~ '(sch|sch_renamed|sch_short|"Odd one")\M|limit'
ORDER BY a.id;

SELECT count(fortress.unprotect(relation)) FROM sch_look.policies;
SET client_min_messages = error;
DROP TABLE temporary;
BEGIN;
:unlock
DROP SCHEMA sch_renamed, sch_other, sch_look, sch_short, "Odd one" CASCADE;
DROP SERVER regress_sch_server;
DROP FOREIGN DATA WRAPPER regress_sch_fdw;
DROP ACCESS METHOD regress_sch_heap CASCADE;
DROP ROLE regress_sch_owner, regress_sch_app, regress_sch_admin;
COMMIT;
