--
-- What CREATE EXTENSION makes, who may use it, and that no function goes
-- untested.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fortress_guard;
\set VERBOSITY terse
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on

CREATE TEMP VIEW functions AS
	SELECT p.oid, p.proname, p.oid::regprocedure AS function, p.prolang, p.proconfig, p.prosecdef
	FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
		JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
	WHERE e.extname = 'fortress_guard';
CREATE TEMP VIEW relations AS
	SELECT c.oid, c.relname, c.relkind
	FROM pg_class c JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
		JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
	WHERE e.extname = 'fortress_guard';

-- Which test is about which function.  Whoever adds a function adds a test, and
-- a line here.
CREATE TEMP TABLE tested (proname name, test text);
INSERT INTO tested VALUES
	('require_preload', 'extension'),
	('guard', 'admin'),
	('protect', 'admin'),
	('unprotect', 'admin'),
	('protect_schema', 'schema'),
	('unprotect_schema', 'schema'),
	('verify_guard', 'verify'),
	('set_mode', 'mode'),
	('set_limit', 'admin'),
	('drop_limit', 'admin'),
	('exempt', 'permission'),
	('revoke_exemption', 'permission'),
	('issue_token', 'permission'),
	('unlock', 'permission'),
	('lock', 'permission'),
	('allow_drop_database', 'self'),
	('revoke_token', 'permission'),
	('request_unlock', 'approval'),
	('approve_unlock', 'approval'),
	('reject_unlock', 'approval'),
	('unlock_request', 'approval'),
	('require_approval', 'approval'),
	('enroll_totp', 'totp'),
	('unlock_totp', 'totp'),
	('shadow_of', 'shadow'),
	('restore', 'restore'),
	('undrop', 'trash'),
	('undrop_as', 'trash'),
	('verify_audit', 'event'),
	('window_use', 'view'),
	('limit_rows', 'view'),
	('tree_of', 'view'),
	('archived_rows', 'view'),
	('archive_size', 'view'),
	('blocked_since', 'view'),
	('suggest_limits', 'view'),
	('undo', 'undo'),
	('preview_undo', 'undo'),
	('count_row', 'undo'),
	('running', 'undo'),
	('purge', 'purge');
SELECT 'forgotten: ' || proname FROM functions WHERE proname NOT IN (SELECT proname FROM tested);
SELECT 'gone: ' || proname FROM tested WHERE proname NOT IN (SELECT proname FROM functions);

-- the functions that PUBLIC may call, and those for a role
SELECT proname FROM functions WHERE has_function_privilege('public', oid, 'execute') ORDER BY proname;
SELECT f.proname, string_agg(grantee::regrole::text, ', ' ORDER BY grantee::regrole::text)
FROM functions f, pg_proc p, aclexplode(p.proacl) a
WHERE p.oid = f.oid AND a.grantee <> 0 AND a.grantee <> p.proowner GROUP BY f.proname ORDER BY f.proname;
-- all in one schema; none runs with the rights of its owner; none in an
-- interpreted language without a search_path of its own
SELECT function FROM functions WHERE function::text !~ '^fortress\.';
SELECT function FROM functions WHERE prosecdef;
SELECT function FROM functions f JOIN pg_language l ON l.oid = prolang WHERE lanname <> 'c' AND NOT coalesce(proconfig::text ~ 'search_path', false);
-- said in words what each is for
SELECT function FROM functions WHERE obj_description(oid, 'pg_proc') IS NULL;
SELECT relname FROM relations WHERE relkind IN ('r', 'v') AND obj_description(oid, 'pg_class') IS NULL;
-- tables that a dump must carry: all but the numbers of transactions, which mean nothing in another cluster
SELECT relname FROM relations WHERE relkind IN ('r', 'S') AND relname <> 'subtransaction' AND oid NOT IN (SELECT unnest(extconfig) FROM pg_extension WHERE extname = 'fortress_guard');
-- nobody but the owner can write them
SELECT r.relname, privilege_type, grantee::regrole FROM relations r, pg_class c, aclexplode(c.relacl) a
WHERE c.oid = r.oid AND a.grantee <> c.relowner AND a.privilege_type <> 'SELECT';
SELECT relname FROM relations WHERE relkind IN ('r', 'v', 'S') AND (has_table_privilege('public', oid, 'select') OR has_table_privilege('public', oid, 'insert,update,delete,truncate'));

-- the roles
SELECT rolname, rolcanlogin, rolsuper, rolcreaterole, rolbypassrls FROM pg_roles WHERE rolname LIKE 'fortress%' ORDER BY 1;
-- the schemas
SELECT has_schema_privilege('public', 'fortress', 'usage'), has_schema_privilege('public', 'fortress', 'create'),
	has_schema_privilege('public', 'fortress_shadow', 'usage'), has_schema_privilege('public', 'fortress_shadow', 'create');

-- preloaded: no complaint
SELECT fortress.require_preload();
-- a trigger function is nothing to be called, and does nothing on other tables
SELECT fortress.guard();
SET search_path = pg_temp;
CREATE TEMP TABLE bystander (id int);
CREATE TRIGGER g BEFORE DELETE ON bystander FOR EACH STATEMENT EXECUTE FUNCTION fortress.guard();
INSERT INTO bystander VALUES (1);
DELETE FROM bystander;
SELECT count(*) FROM bystander;
RESET search_path;

--
-- Another database: a role of the guard's that can log in stops CREATE
-- EXTENSION, and without the extension nothing is guarded
--
SELECT current_database() AS home \gset
CREATE DATABASE regress_fortress_extension TEMPLATE template0;
\c regress_fortress_extension
SET client_min_messages = warning;
\set VERBOSITY default
CREATE TABLE t (id int);
INSERT INTO t SELECT generate_series(1, 1000);
DELETE FROM t;
TRUNCATE t;
ALTER ROLE fortress_auditor LOGIN;
CREATE EXTENSION fortress_guard;
ALTER ROLE fortress_auditor NOLOGIN;
-- default privileges give nobody what the script does not
CREATE ROLE regress_extension_reader;
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC, regress_extension_reader;
ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO PUBLIC, regress_extension_reader;
ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO regress_extension_reader;
ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO regress_extension_reader;
CREATE EXTENSION fortress_guard;
SELECT o.name, a.grantee::regrole, a.privilege_type
	FROM (SELECT oid::regclass::text, relacl FROM pg_class WHERE relnamespace = 'fortress'::regnamespace
		UNION ALL SELECT oid::regprocedure::text, proacl FROM pg_proc WHERE pronamespace = 'fortress'::regnamespace
		UNION ALL SELECT nspname, nspacl FROM pg_namespace WHERE nspname LIKE 'fortress%') o (name, acl)
	CROSS JOIN aclexplode(o.acl) a
	WHERE a.grantee = 'regress_extension_reader'::regrole OR
		a.grantee = 0 AND a.privilege_type NOT IN ('EXECUTE', 'USAGE');
SELECT piece, detail FROM fortress.verify_guard() WHERE ok IS FALSE AND piece LIKE 'rights%';
DROP OWNED BY regress_extension_reader;
DROP ROLE regress_extension_reader;
ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM PUBLIC;
ALTER DEFAULT PRIVILEGES REVOKE ALL ON SEQUENCES FROM PUBLIC;
INSERT INTO t SELECT generate_series(1, 1000);
SELECT fortress.protect('t');
\set VERBOSITY sqlstate
DELETE FROM t WHERE id < 200;
\set VERBOSITY default
SELECT fortress.unprotect('t');
DELETE FROM t;
-- not twice
CREATE EXTENSION fortress_guard;
\c :home
DROP DATABASE regress_fortress_extension;
