--
-- verify_guard: each piece is broken, must be found with what mends it, and is
-- mended by that.
--
-- In a database of its own: what other tests leave behind is not this one's.
--
SELECT current_database() AS home \gset
CREATE DATABASE regress_fortress_verify TEMPLATE template0;
\c regress_fortress_verify
SET client_min_messages = warning;
CREATE EXTENSION fortress_guard;
\set VERBOSITY terse
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
-- permission for DDL and for changing the guard, for one transaction
\set unlock 'DO $$BEGIN PERFORM fortress.unlock(fortress.issue_token(operations => ''{admin,ddl,delete}'')); END$$;'

-- what is not well, and what mends it; tests may run without fsync
CREATE VIEW wrong AS
	SELECT v.piece, v.ok, v.detail, v.fix FROM fortress.verify_guard() WITH ORDINALITY v (piece, ok, detail, fix, n)
	WHERE v.ok IS NOT TRUE AND v.piece <> 'setting fsync' ORDER BY v.n;
-- without numbers, and whoever runs the tests
CREATE VIEW found AS
	SELECT CASE WHEN w.ok IS NULL THEN 'not known: ' ELSE '' END || regexp_replace(w.piece, '_\d+', '_N') AS piece,
		regexp_replace(w.detail, '_\d+', '_N') AS detail,
		replace(regexp_replace(w.fix, '_\d+', '_N', 'g'), ' OWNER TO ' || quote_ident(current_user), ' OWNER TO CURRENT_USER') AS fix
	FROM wrong w;
\set mend 'DO $$DECLARE f text; BEGIN FOREACH f IN ARRAY ARRAY(SELECT w.fix FROM wrong w WHERE w.fix ~ '';$'') LOOP EXECUTE f; END LOOP; END$$;'

--
-- Nothing is wrong
--
SELECT piece, ok, CASE WHEN piece LIKE 'role %' OR piece = 'launcher' OR piece LIKE 'preload at%' THEN NULL ELSE detail END, fix
FROM fortress.verify_guard() WHERE piece <> 'setting fsync';
CREATE ROLE regress_ver_owner;
CREATE ROLE regress_ver_app;
BEGIN;
:unlock
CREATE ROLE regress_ver_auditor IN ROLE fortress_auditor;
COMMIT;
CREATE TABLE orders (id int PRIMARY KEY, v text);
ALTER TABLE orders OWNER TO regress_ver_owner;
INSERT INTO orders SELECT i, 'v' FROM generate_series(1, 50) i;
CREATE TABLE parts (id int, v text) PARTITION BY RANGE (id);
CREATE TABLE parts_a PARTITION OF parts FOR VALUES FROM (0) TO (100);
CREATE TABLE parts_b PARTITION OF parts FOR VALUES FROM (100) TO (200);
SELECT fortress.protect('orders'), fortress.protect('parts', 'audit', archive => 'delete');
DELETE FROM orders WHERE id = 1;
CREATE SCHEMA safe;
CREATE TABLE safe.t (id int);
SELECT fortress.protect_schema('safe');
SELECT fortress.exempt('regress_ver_app', 'orders') AS exemption \gset
TABLE found;
SELECT piece, ok, detail FROM fortress.verify_guard() WHERE piece ~ 'table|protected' ORDER BY piece;
-- whoever may call it sees the same
SELECT count(*) AS pieces FROM fortress.verify_guard() \gset
SET SESSION AUTHORIZATION regress_ver_auditor;
SELECT count(*) = :pieces, bool_and(ok OR piece = 'setting fsync') FROM fortress.verify_guard();
SELECT count(*) = :pieces FROM fortress.verify_guard();
SET SESSION AUTHORIZATION regress_ver_app;
SELECT count(*) FROM fortress.verify_guard();
RESET SESSION AUTHORIZATION;

--
-- Triggers and archives of protected tables
--
BEGIN;
:unlock
ALTER TABLE orders DISABLE TRIGGER fortress_guard_delete;
TABLE found;
:mend
TABLE found;
ALTER TABLE orders ENABLE REPLICA TRIGGER fortress_guard_update;
ALTER TABLE parts_b DISABLE TRIGGER ALL;
DROP TRIGGER fortress_guard_truncate ON parts_a;
TABLE found;
:mend
TABLE found;
DO $$BEGIN EXECUTE 'ALTER TABLE ' || fortress.shadow_of('orders') || ' RENAME v TO w'; END$$;
TABLE found;
:mend
TABLE found;
DO $$BEGIN EXECUTE 'DROP TABLE ' || fortress.shadow_of('parts'); END$$;
TABLE found;
:mend
TABLE found;
SELECT fortress.shadow_of('orders') AS shadow \gset
ALTER TABLE :shadow OWNER TO regress_ver_owner, REPLICA IDENTITY DEFAULT, FORCE ROW LEVEL SECURITY, SET UNLOGGED;
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER away BEFORE INSERT ON :shadow FOR EACH ROW EXECUTE FUNCTION nothing();
CREATE RULE away AS ON DELETE TO :shadow DO ALSO NOTHING;
GRANT SELECT, INSERT ON :shadow TO regress_ver_app;
TABLE found;
:mend
TABLE found;
ROLLBACK;
TABLE found;

--
-- Policies, exemptions and schemas that mean nothing any more
--
BEGIN;
:unlock
INSERT INTO fortress.policy (relation, mode, require_where, archive) VALUES (4000000000, 'block', true, 'none');
INSERT INTO fortress.row_limit VALUES (4000000000, 'delete', 'transaction', 'role', 1, NULL);
INSERT INTO fortress.shadow VALUES (4000000001, 4000000002);
UPDATE fortress.exemption SET role_oid = 4000000003, role_name = 'gone', relation = 4000000004 WHERE id = :exemption;
UPDATE fortress.schema_policy SET schema_oid = 4000000005, schema_name = 'gone';
CREATE TABLE safe.unseen (id int);
TABLE found;
:mend
TABLE found;
SELECT count(*) FROM fortress.policy WHERE relation = 4000000000::oid;
SELECT ended_at IS NOT NULL FROM fortress.exemptions WHERE id = :exemption;
ROLLBACK;
BEGIN;
:unlock
SELECT fortress.unprotect('safe.t');
UPDATE fortress.schema_policy SET schema_name = 'before';
TABLE found;
:mend
TABLE found;
ROLLBACK;

-- what the cluster's other databases know of this one
BEGIN;
:unlock
DELETE FROM pg_shseclabel WHERE provider = 'fortress_guard' AND objoid IN
	((SELECT oid FROM pg_database WHERE datname = current_database()), 'regress_ver_app'::regrole);
TABLE found;
:mend
COMMIT;
TABLE found;

--
-- Schemas, functions, relations
--
BEGIN;
:unlock
ALTER SCHEMA fortress_shadow OWNER TO regress_ver_owner;
ALTER FUNCTION fortress.lock() OWNER TO regress_ver_owner;
ALTER TABLE fortress.shadow OWNER TO regress_ver_owner;
TABLE found;
:mend
TABLE found;
ALTER FUNCTION fortress.lock() SECURITY DEFINER SET search_path = public;
CREATE FUNCTION fortress.lock(int) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION fortress.helper() RETURNS int LANGUAGE sql AS 'SELECT 1';
ALTER EXTENSION fortress_guard DROP FUNCTION fortress.set_mode(regclass, text);
TABLE found;
:mend
TABLE found;
ROLLBACK;
BEGIN;
:unlock
CREATE OR REPLACE FUNCTION fortress.lock() RETURNS void LANGUAGE c AS '$libdir/fortress_guard', 'fg_require_preload';
ALTER EXTENSION fortress_guard DROP FUNCTION fortress.revoke_token(bigint);
DROP FUNCTION fortress.revoke_token(bigint);
TABLE found;
-- these fixes are for people: the commands of the extension's script
CREATE OR REPLACE FUNCTION fortress.lock() RETURNS void LANGUAGE c AS '$libdir/fortress_guard', 'fg_lock';
CREATE FUNCTION fortress.revoke_token(id bigint) RETURNS void LANGUAGE c AS '$libdir/fortress_guard', 'fg_revoke_token';
REVOKE ALL ON FUNCTION fortress.revoke_token(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fortress.revoke_token(bigint) TO fortress_admin;
ALTER EXTENSION fortress_guard ADD FUNCTION fortress.revoke_token(bigint);
TABLE found;
ROLLBACK;
BEGIN;
:unlock
CREATE TABLE fortress.extra (id int);
CREATE VIEW fortress.extra_view AS SELECT 1;
ALTER EXTENSION fortress_guard DROP VIEW fortress.offenders;
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER away BEFORE INSERT ON fortress.audit_log FOR EACH ROW EXECUTE FUNCTION nothing();
CREATE RULE away AS ON INSERT TO fortress.policy DO INSTEAD NOTHING;
ALTER TABLE fortress.token ENABLE ROW LEVEL SECURITY;
TABLE found;
:mend
TABLE found;
ROLLBACK;
-- half of it is damaged: the rest is still looked at
BEGIN;
:unlock
ALTER TABLE fortress.exemption DROP COLUMN role_system;
ALTER TABLE parts_a DISABLE TRIGGER ALL;
ALTER ROLE fortress_auditor LOGIN;
TABLE found;
ROLLBACK;
BEGIN;
:unlock
ALTER TABLE fortress.policy DROP CONSTRAINT policy_pkey;
TABLE found;
ROLLBACK;
BEGIN;
:unlock
ALTER EXTENSION fortress_guard DROP TABLE fortress.schema_policy;
DROP TABLE fortress.schema_policy;
TABLE found;
ROLLBACK;
BEGIN;
:unlock
ALTER EXTENSION fortress_guard DROP SCHEMA fortress;
TABLE found;
:mend
TABLE found;
ROLLBACK;

--
-- Rights
--
BEGIN;
:unlock
GRANT EXECUTE ON FUNCTION fortress.verify_guard() TO PUBLIC;
GRANT INSERT ON fortress.policy TO regress_ver_app WITH GRANT OPTION;
GRANT SELECT ON fortress.token TO regress_ver_app;
GRANT SELECT ON fortress.policy TO fortress_auditor WITH GRANT OPTION;
GRANT UPDATE (mode) ON fortress.policy TO regress_ver_app, PUBLIC;
GRANT CREATE ON SCHEMA fortress_shadow TO regress_ver_app;
REVOKE EXECUTE ON FUNCTION fortress.unlock(text, text) FROM PUBLIC;
REVOKE USAGE ON SCHEMA fortress FROM PUBLIC;
REVOKE SELECT ON fortress.audit_log FROM fortress_auditor;
ALTER DEFAULT PRIVILEGES IN SCHEMA fortress_shadow GRANT SELECT ON TABLES TO regress_ver_app;
SELECT piece, regexp_replace(detail, '^\S+ gives', 'WE give'), regexp_replace(fix, 'FOR ROLE \S+', 'FOR ROLE ...') FROM found;
:mend
TABLE found;
ROLLBACK;

--
-- Roles
--
BEGIN;
:unlock
ALTER ROLE fortress_admin LOGIN;
ALTER ROLE fortress_operator CREATEROLE BYPASSRLS;
GRANT fortress_admin TO regress_ver_owner;
GRANT regress_ver_owner TO regress_ver_app;
TABLE found;
:mend
TABLE found;
SELECT detail ~ 'regress_ver_app, regress_ver_owner' FROM fortress.verify_guard() WHERE piece = 'role fortress_admin';
ROLLBACK;
BEGIN;
:unlock
ALTER ROLE fortress_operator RENAME TO regress_ver_renamed;
TABLE found;
:mend
TABLE found;
ROLLBACK;

--
-- Settings
--
BEGIN;
:unlock
ALTER ROLE regress_ver_app SET track_counts = off;
ALTER ROLE regress_ver_app IN DATABASE regress_fortress_verify SET track_counts = 'no';
ALTER ROLE regress_ver_app IN DATABASE template1 SET track_counts = off;
ALTER DATABASE regress_fortress_verify SET session_replication_role = replica;
ALTER ROLE ALL SET session_replication_role = 'Replica';
SET session_replication_role = replica;
SET allow_system_table_mods = on;
TABLE found;
:mend
TABLE found;
ROLLBACK;
SET track_counts = off;
TABLE found;
RESET track_counts;
-- the twins: what does not weaken anything
BEGIN;
:unlock
ALTER ROLE regress_ver_app SET track_counts = on;
ALTER ROLE regress_ver_app SET session_replication_role = local;
ALTER ROLE regress_ver_app SET work_mem = '1MB';
TABLE found;
ROLLBACK;

--
-- The audit log
--
SELECT ok FROM fortress.verify_audit();
BEGIN;
:unlock
UPDATE fortress.audit_log SET hash = '\x00' WHERE id = (SELECT max(id) FROM fortress.audit_log);
SELECT regexp_replace(piece, '\d+', 'N'), regexp_replace(detail, '\d+', 'N'), fix FROM found;
ROLLBACK;
TABLE found;

SELECT fortress.unprotect_schema('safe');
SELECT fortress.unprotect('orders'), fortress.unprotect('parts');
SELECT fortress.revoke_exemption(:exemption);
\c :home
DROP DATABASE regress_fortress_verify;
DROP ROLE regress_ver_owner, regress_ver_app, regress_ver_auditor;
