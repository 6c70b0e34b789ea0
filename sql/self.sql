--
-- The guard guards itself: its objects, its roles, the catalogs and the
-- settings that it stands on.  Every attack is tried as a superuser, as the
-- owner of a protected table and as a role that may create roles, and passes
-- with an admin token; beside them is what must pass without one.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fortress_guard;
\set VERBOSITY terse
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
\pset fieldsep '  '
\set token 'SELECT fortress.unlock(fortress.issue_token(operations => \'{admin}\')) \\gset'
SELECT current_database() AS home \gset

CREATE SCHEMA self;
GRANT ALL ON SCHEMA self TO PUBLIC;
SET search_path = self;

-- The outcome of a command, which is undone if it passes.
CREATE FUNCTION try(command text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	BEGIN
		EXECUTE command;
	EXCEPTION WHEN OTHERS THEN
		RETURN SQLSTATE;
	END;
	RAISE EXCEPTION 'undo' USING ERRCODE = 'XX999';
EXCEPTION WHEN SQLSTATE 'XX999' THEN
	RETURN 'passes';
END $$;

-- what other tests may have left
SELECT fortress.unprotect(relation) FROM fortress.policy;

--
-- As long as nothing is protected in the whole cluster, superusers are free to
-- name the guard's people; others are not
--
CREATE ROLE regress_self_creator CREATEROLE;
CREATE ROLE regress_self_owner;
CREATE ROLE regress_self_member;
CREATE ROLE regress_self_exempt;
CREATE ROLE regress_self_plain;
SELECT count(*) FROM pg_shseclabel WHERE provider = 'fortress_guard' AND label LIKE 'protected%';
SELECT try('ALTER ROLE fortress_admin NOINHERIT'), try('GRANT fortress_operator TO regress_self_plain');
GRANT fortress_admin TO regress_self_member;
SET ROLE regress_self_creator;
SELECT try('GRANT fortress_admin TO regress_self_plain'), try('ALTER ROLE regress_self_member PASSWORD ''x''');
RESET ROLE;
-- what loads a dump passes as well, and nothing more
BEGIN;
CREATE TABLE fortress_shadow.self_archive (id int);
ALTER TABLE fortress_shadow.self_archive ALTER id SET STORAGE PLAIN, REPLICA IDENTITY FULL;
TRUNCATE fortress_shadow.self_archive;
INSERT INTO fortress_shadow.self_archive VALUES (1);
COPY fortress_shadow.self_archive FROM stdin;
2
\.
CREATE INDEX ON fortress_shadow.self_archive (id);
GRANT SELECT ON fortress_shadow.self_archive TO regress_self_plain;
REVOKE EXECUTE ON FUNCTION fortress.lock() FROM PUBLIC;
INSERT INTO fortress.policy VALUES ('fortress_shadow.self_archive', 'block', true, 'none');
ROLLBACK;
BEGIN;
CREATE TABLE fortress_shadow.self_archive (id int);
CREATE TABLE self.bystander (id int);
INSERT INTO fortress_shadow.self_archive VALUES (1);
SELECT try('ALTER TABLE fortress_shadow.self_archive DROP COLUMN id'), try('TRUNCATE fortress_shadow.self_archive'),
	try('UPDATE fortress_shadow.self_archive SET id = 2'), try('DELETE FROM fortress.policy'),
	try('DROP TABLE fortress_shadow.self_archive'), try('ALTER TABLE fortress.policy ADD x int'),
	try('CREATE TABLE fortress.x (i int)'), try('DROP EXTENSION fortress_guard'),
	try('UPDATE pg_trigger SET tgname = tgname');
SET ROLE regress_self_owner;
SELECT try('GRANT SELECT ON fortress.policy TO regress_self_plain'), try('INSERT INTO fortress.policy VALUES (''self.bystander'', ''off'', true, ''none'')'),
	try('CREATE TABLE fortress_shadow.x (i int)');
RESET ROLE;
ROLLBACK;

--
-- Something is protected
--
CREATE TABLE t (id int PRIMARY KEY, v text);
ALTER TABLE t OWNER TO regress_self_owner;
CREATE TABLE plain (id int PRIMARY KEY, v text);
ALTER TABLE plain OWNER TO regress_self_owner;
INSERT INTO t SELECT i, 'v' FROM generate_series(1, 20) i;
SELECT fortress.protect('t');
DELETE FROM t WHERE id = 1;
SELECT label FROM pg_shseclabel WHERE provider = 'fortress_guard' AND classoid = 'pg_database'::regclass AND objoid = (SELECT oid FROM pg_database WHERE datname = current_database());
SELECT fortress.exempt('regress_self_exempt', 't') AS exemption \gset
SELECT fortress.shadow_of('t') AS shadow, oid AS db FROM pg_database WHERE datname = current_database() \gset
SELECT label = 'exempt in ' || :'db' FROM pg_shseclabel WHERE provider = 'fortress_guard' AND objoid = 'regress_self_exempt'::regrole;

CREATE TABLE attacks (id serial, command text);
CREATE TABLE outcomes (id int, who text, outcome text);
GRANT SELECT ON attacks TO PUBLIC;
GRANT INSERT ON outcomes TO PUBLIC;
INSERT INTO attacks (command)
	-- rows of its tables, by whatever road
	SELECT unnest(ARRAY[
	'DELETE FROM fortress.policy',
	'UPDATE fortress.policy SET mode = ''off''',
	'INSERT INTO fortress.exemption SELECT * FROM fortress.exemption',
	'MERGE INTO fortress.row_limit l USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE',
	'WITH d AS (DELETE FROM fortress.audit_log RETURNING 1) SELECT count(*) FROM d',
	'EXPLAIN ANALYZE DELETE FROM fortress.token',
	'DO $x$ BEGIN UPDATE fortress.token SET uses = 1000; END $x$',
	'DELETE FROM ' || :'shadow',
	'UPDATE ' || :'shadow' || ' SET v = ''forged''',
	'TRUNCATE fortress.audit_log',
	'TRUNCATE ' || :'shadow',
	-- its objects
	'DROP EXTENSION fortress_guard CASCADE',
	'ALTER EXTENSION fortress_guard UPDATE',
	'ALTER EXTENSION fortress_guard DROP FUNCTION fortress.guard()',
	'ALTER EXTENSION fortress_guard SET SCHEMA public',
	'DROP TABLE ' || :'shadow',
	'ALTER TABLE ' || :'shadow' || ' DROP COLUMN v',
	'ALTER TABLE ' || :'shadow' || ' RENAME TO gone',
	'ALTER TABLE ' || :'shadow' || ' SET SCHEMA public',
	'ALTER TABLE ' || :'shadow' || ' OWNER TO regress_self_owner',
	'CREATE INDEX ON ' || :'shadow' || ' (fg_at)',
	'ALTER TABLE fortress.policy ADD COLUMN x int',
	'ALTER TABLE fortress.policy DISABLE TRIGGER ALL',
	'ALTER TABLE fortress.policy ENABLE ROW LEVEL SECURITY',
	'ALTER TABLE fortress.policy ALTER mode SET DEFAULT ''off''',
	'ALTER TABLE fortress.policy DROP CONSTRAINT policy_pkey',
	'ALTER TABLE fortress.policy RENAME COLUMN mode TO m',
	'ALTER TABLE fortress.policy INHERIT self.plain',
	'ALTER TABLE self.plain INHERIT fortress.policy',
	'CREATE TABLE heir () INHERITS (fortress.policy)',
	'CREATE POLICY p ON fortress.policy',
	'CREATE RULE r AS ON DELETE TO fortress.policy DO INSTEAD NOTHING',
	'CREATE TRIGGER x BEFORE INSERT ON fortress.audit_log EXECUTE FUNCTION fortress.guard()',
	'CREATE STATISTICS s ON mode, archive FROM fortress.policy',
	'CREATE INDEX ON fortress.policy (mode)',
	'DROP INDEX fortress.audit_log_at_idx',
	'ALTER INDEX fortress.audit_log_at_idx RENAME TO x',
	'ALTER SEQUENCE fortress.token_id_seq RESTART',
	'CREATE OR REPLACE VIEW fortress.tokens AS SELECT 1 AS one',
	'ALTER VIEW fortress.tokens SET (security_barrier)',
	'ALTER VIEW fortress.tokens RENAME TO x',
	'DROP VIEW fortress.tokens',
	'CREATE TABLE fortress.mine (id int)',
	'CREATE TABLE fortress_shadow.mine (id int)',
	'CREATE TABLE fortress.mine AS SELECT 1 AS one',
	'CREATE TYPE fortress.mine AS ENUM (''a'')',
	'CREATE DOMAIN fortress.mine AS int',
	'CREATE FUNCTION fortress.protect(text) RETURNS int LANGUAGE sql AS ''SELECT 1''',
	'CREATE OR REPLACE FUNCTION fortress.guard() RETURNS trigger LANGUAGE plpgsql AS ''BEGIN RETURN NULL; END''',
	'ALTER FUNCTION fortress.guard() RENAME TO mine',
	'ALTER FUNCTION fortress.guard() SET SCHEMA public',
	'ALTER FUNCTION fortress.guard() OWNER TO regress_self_owner',
	'ALTER FUNCTION fortress.guard() SECURITY DEFINER',
	'ALTER FUNCTION fortress.guard() SET work_mem = ''1MB''',
	'ALTER FUNCTION fortress.guard() DEPENDS ON EXTENSION plpgsql',
	'DROP FUNCTION fortress.guard()',
	'ALTER SCHEMA fortress RENAME TO f',
	'ALTER SCHEMA fortress_shadow OWNER TO regress_self_owner',
	'ALTER TABLE self.plain SET SCHEMA fortress_shadow',
	'ALTER FUNCTION self.try(text) SET SCHEMA fortress',
	'DROP OWNED BY ' || quote_ident(session_user),
	'REASSIGN OWNED BY ' || quote_ident(session_user) || ' TO regress_self_owner',
	-- rights
	'GRANT UPDATE ON fortress.policy TO regress_self_owner',
	'GRANT ALL ON ALL TABLES IN SCHEMA fortress TO regress_self_owner',
	'GRANT ALL ON SCHEMA fortress TO regress_self_owner',
	'GRANT USAGE ON SEQUENCE fortress.token_id_seq TO regress_self_owner',
	'GRANT EXECUTE ON FUNCTION fortress.issue_token TO PUBLIC',
	'GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA fortress TO PUBLIC',
	'REVOKE EXECUTE ON FUNCTION fortress.unlock(text, text) FROM PUBLIC',
	'REVOKE SELECT ON fortress.audit_log FROM fortress_auditor',
	'ALTER DEFAULT PRIVILEGES IN SCHEMA fortress_shadow GRANT ALL ON TABLES TO PUBLIC',
	-- its triggers
	'DROP TRIGGER fortress_guard_delete ON self.t',
	'ALTER TRIGGER fortress_guard_delete ON self.t RENAME TO x',
	'ALTER TRIGGER fortress_guard_delete ON self.t DEPENDS ON EXTENSION plpgsql',
	'CREATE OR REPLACE TRIGGER fortress_guard_delete AFTER INSERT ON self.t EXECUTE FUNCTION fortress.guard()',
	-- catalogs
	'DELETE FROM pg_trigger WHERE tgname LIKE ''fortress%''',
	'UPDATE pg_trigger SET tgenabled = ''D''',
	'UPDATE pg_proc SET prosrc = ''''',
	'UPDATE pg_class SET relhastriggers = false',
	'UPDATE pg_attribute SET attisdropped = true WHERE attrelid = ''self.t''::regclass',
	'INSERT INTO pg_rewrite SELECT * FROM pg_rewrite',
	'DELETE FROM pg_policy',
	'DELETE FROM pg_depend',
	'DELETE FROM pg_extension',
	'UPDATE pg_namespace SET nspname = nspname',
	'UPDATE pg_index SET indisvalid = false',
	'DELETE FROM pg_inherits',
	'DELETE FROM pg_shseclabel',
	'UPDATE pg_database SET datname = datname',
	'UPDATE pg_database SET datallowconn = true, dattablespace = 1663',
	'UPDATE pg_authid SET rolsuper = true',
	'DELETE FROM pg_auth_members',
	'INSERT INTO pg_db_role_setting VALUES (0, 0, ''{a=b}'')',
	-- roles
	'GRANT fortress_admin TO regress_self_plain',
	'GRANT fortress_operator TO CURRENT_USER',
	'REVOKE fortress_admin FROM regress_self_member',
	'GRANT regress_self_plain TO fortress_auditor',
	'ALTER GROUP fortress_admin ADD USER regress_self_plain',
	'ALTER ROLE fortress_admin LOGIN PASSWORD ''x''',
	'ALTER ROLE fortress_admin SET work_mem = ''1MB''',
	'ALTER ROLE fortress_admin IN DATABASE ' || quote_ident(current_database()) || ' RESET ALL',
	'ALTER ROLE fortress_admin RENAME TO x',
	'DROP ROLE fortress_auditor',
	'DROP OWNED BY fortress_auditor',
	'REASSIGN OWNED BY fortress_admin TO regress_self_owner',
	'CREATE ROLE regress_self_new IN ROLE fortress_admin',
	'CREATE ROLE regress_self_new IN GROUP regress_self_exempt',
	'CREATE ROLE regress_self_new ROLE regress_self_exempt',
	'CREATE ROLE regress_self_new ADMIN fortress_operator',
	'GRANT regress_self_exempt TO SESSION_USER',
	'GRANT regress_self_exempt TO regress_self_plain WITH ADMIN OPTION',
	'ALTER ROLE regress_self_exempt LOGIN',
	'ALTER ROLE regress_self_exempt RENAME TO regress_self_x',
	'DROP ROLE regress_self_exempt',
	-- labels
	'SECURITY LABEL FOR fortress_guard ON ROLE regress_self_exempt IS NULL',
	'SECURITY LABEL FOR fortress_guard ON DATABASE ' || quote_ident(current_database()) || ' IS NULL']);

INSERT INTO outcomes SELECT id, 'superuser', try(command) FROM attacks;
SET ROLE regress_self_owner;
INSERT INTO outcomes SELECT id, 'owner', try(command) FROM attacks;
SET ROLE regress_self_creator;
INSERT INTO outcomes SELECT id, 'creator', try(command) FROM attacks;
RESET ROLE;
BEGIN;
:token
INSERT INTO outcomes SELECT id, 'admin', try(command) FROM attacks;
COMMIT;
SELECT command, max(outcome) FILTER (WHERE who = 'superuser') AS superuser, max(outcome) FILTER (WHERE who = 'owner') AS owner,
	max(outcome) FILTER (WHERE who = 'creator') AS creator, max(outcome) FILTER (WHERE who = 'admin') AS admin
FROM (SELECT id, replace(replace(replace(command, :'shadow', 'SHADOW'), session_user, 'ME'), current_database(), 'HERE') AS command FROM attacks) a
	JOIN outcomes o USING (id) GROUP BY id, command ORDER BY id;
-- what does not end as it should, but for another reason than the guard
SELECT who, command FROM outcomes JOIN attacks USING (id) WHERE (outcome = 'passes') <> (who = 'admin') AND outcome NOT IN ('ZG011', '42501', '2BP01');

-- members of the guard's roles, for those who may create roles: neither theirs
-- to give away nor to log in as
DELETE FROM outcomes;
DELETE FROM attacks;
INSERT INTO attacks (command) SELECT unnest(ARRAY[
	'GRANT regress_self_member TO regress_self_creator',
	'CREATE ROLE regress_self_new IN ROLE regress_self_member',
	'ALTER ROLE regress_self_member PASSWORD ''x''',
	'ALTER ROLE regress_self_member SET search_path = evil',
	'ALTER ROLE regress_self_member RENAME TO regress_self_x',
	'DROP ROLE regress_self_member']);
SET ROLE regress_self_creator;
INSERT INTO outcomes SELECT id, 'creator', try(command) FROM attacks;
SET ROLE regress_self_member;
INSERT INTO outcomes SELECT id, 'member', try(command) FROM attacks;
RESET ROLE;
INSERT INTO outcomes SELECT id, 'superuser', try(command) FROM attacks;
SELECT command, string_agg(who || ' ' || outcome, '  ' ORDER BY who) FROM attacks JOIN outcomes USING (id) GROUP BY id, command ORDER BY id;

-- roles of the server's own that lead past SQL, to those who may create roles
-- but were not given them
DELETE FROM outcomes;
DELETE FROM attacks;
CREATE ROLE regress_self_files ROLE regress_self_plain;
GRANT pg_write_server_files TO regress_self_files;
CREATE ROLE regress_self_entitled CREATEROLE;
GRANT pg_execute_server_program, pg_write_server_files, pg_read_server_files TO regress_self_entitled WITH ADMIN OPTION;
INSERT INTO attacks (command) SELECT unnest(ARRAY[
	'GRANT pg_execute_server_program TO CURRENT_USER',
	'GRANT pg_write_server_files TO regress_self_owner',
	'GRANT pg_read_server_files TO regress_self_owner',
	'ALTER GROUP pg_write_server_files ADD USER regress_self_owner',
	'CREATE ROLE regress_self_new IN ROLE pg_monitor, pg_execute_server_program',
	'GRANT regress_self_files TO regress_self_owner',
	'ALTER ROLE regress_self_files PASSWORD ''x''',
	'ALTER ROLE regress_self_plain SET search_path = evil',
	'REVOKE pg_write_server_files FROM regress_self_files',
	'DROP ROLE regress_self_files',
	'GRANT pg_monitor, pg_read_all_data, pg_write_all_data, pg_signal_backend TO regress_self_owner']);
SET ROLE regress_self_owner;
INSERT INTO outcomes SELECT id, 'owner', try(command) FROM attacks;
SET ROLE regress_self_creator;
INSERT INTO outcomes SELECT id, 'creator', try(command) FROM attacks;
SET ROLE regress_self_entitled;
INSERT INTO outcomes SELECT id, 'entitled', try(command) FROM attacks;
RESET ROLE;
INSERT INTO outcomes SELECT id, 'superuser', try(command) FROM attacks;
BEGIN;
:token
SET LOCAL ROLE regress_self_creator;
INSERT INTO outcomes SELECT id, 'admin', try(command) FROM attacks;
COMMIT;
SELECT command, string_agg(who || ' ' || outcome, '  ' ORDER BY who) FROM attacks JOIN outcomes USING (id) GROUP BY id, command ORDER BY id;
SELECT try('GRANT pg_execute_server_program TO regress_self_plain');
SET ROLE regress_self_creator;
\set VERBOSITY default
GRANT regress_self_files TO regress_self_owner;
\set VERBOSITY terse
RESET ROLE;
DROP ROLE regress_self_files, regress_self_entitled;

-- what is not the guard's business
DELETE FROM outcomes;
DELETE FROM attacks;
INSERT INTO attacks (command) SELECT unnest(ARRAY[
	'SELECT * FROM fortress.policy FOR UPDATE',
	'SELECT count(*) FROM pg_trigger, fortress.audit_log',
	'EXPLAIN DELETE FROM fortress.policy',
	'LOCK TABLE fortress.policy, pg_class',
	'COMMENT ON TABLE fortress.policy IS ''x''',
	'ANALYZE fortress.policy',
	'REINDEX TABLE fortress.policy',
	'CLUSTER fortress.policy USING policy_pkey',
	'ALTER TABLE ALL IN TABLESPACE pg_default SET TABLESPACE pg_default',
	'CREATE VIEW v AS SELECT * FROM fortress.policy',
	'CREATE TABLE copied (LIKE fortress.policy INCLUDING ALL)',
	'CREATE EXTENSION pgcrypto',
	'CREATE TABLE other (id int); ALTER TABLE other ADD x int; CREATE INDEX ON other (x); DROP TABLE other',
	'CREATE TEMP TABLE other (id int PRIMARY KEY); DROP TABLE other',
	'CREATE SCHEMA f CREATE TABLE x (i int) CREATE VIEW y AS SELECT * FROM x; DROP SCHEMA f CASCADE',
	'UPDATE pg_description SET description = description',
	'UPDATE pg_statistic SET stanullfrac = stanullfrac',
	'UPDATE pg_database SET datallowconn = datallowconn, datconnlimit = datconnlimit',
	'UPDATE pg_settings SET setting = ''5MB'' WHERE name = ''work_mem''',
	'GRANT SELECT ON self.t TO PUBLIC',
	'GRANT SELECT ON self.plain TO fortress_admin',
	'ALTER DEFAULT PRIVILEGES IN SCHEMA self GRANT SELECT ON TABLES TO PUBLIC',
	'CREATE ROLE regress_self_new IN ROLE regress_self_plain ROLE regress_self_owner',
	'GRANT regress_self_plain TO regress_self_owner',
	'ALTER ROLE regress_self_plain LOGIN CREATEDB',
	'ALTER ROLE ALL SET work_mem = ''4MB''',
	'ALTER ROLE regress_self_plain RENAME TO regress_self_x',
	'DROP ROLE regress_self_plain',
	'SECURITY LABEL FOR fortress_guard ON ROLE regress_self_plain IS ''exempt in 1''']);
INSERT INTO outcomes SELECT id, 'superuser', try(command) FROM attacks;
SELECT command, outcome FROM attacks JOIN outcomes USING (id) ORDER BY id;
-- commands that stand alone
VACUUM FULL fortress.policy;
REINDEX TABLE CONCURRENTLY fortress.policy;
COPY (SELECT count(*) FROM fortress.policy WHERE relation = 't'::regclass) TO stdout;
-- a label from somewhere else does nothing
SECURITY LABEL FOR fortress_guard ON ROLE regress_self_plain IS 'exempt in 1';
SELECT count(*) FROM pg_shseclabel WHERE provider = 'fortress_guard' AND objoid = 'regress_self_plain'::regrole;
SECURITY LABEL FOR fortress_guard ON TABLE t IS 'x';
-- views of other people don't help, nor functions of theirs
CREATE VIEW window_on AS SELECT * FROM fortress.policy;
GRANT ALL ON window_on TO regress_self_owner;
CREATE FUNCTION lever() RETURNS void LANGUAGE sql SECURITY DEFINER AS $$ UPDATE pg_trigger SET tgenabled = 'D' $$;
SET ROLE regress_self_owner;
DELETE FROM window_on;
SELECT lever();
RESET ROLE;
DROP FUNCTION lever();

--
-- PostgreSQL's own, with and without allow_system_table_mods
--
DELETE FROM outcomes;
DELETE FROM attacks;
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1';
INSERT INTO attacks (command) SELECT unnest(ARRAY[
	-- PostgreSQL itself would not survive this one
	'CREATE TRIGGER x BEFORE INSERT ON pg_trigger FOR EACH ROW EXECUTE FUNCTION self.nothing()',
	'CREATE RULE r AS ON DELETE TO pg_class DO INSTEAD NOTHING',
	'CREATE POLICY p ON pg_policy',
	'CREATE INDEX ON pg_class (relkind)',
	'CREATE STATISTICS s ON relname, relkind FROM pg_class',
	'ALTER TABLE pg_trigger ALTER tgenabled SET DEFAULT ''D''',
	'ALTER TABLE pg_trigger RENAME COLUMN tgenabled TO x',
	'ALTER TABLE pg_trigger RENAME TO x',
	'ALTER TABLE pg_trigger SET SCHEMA self',
	'ALTER TABLE pg_trigger OWNER TO regress_self_owner',
	'ALTER INDEX pg_class_oid_index RENAME TO x',
	'DROP TABLE pg_trigger',
	'DROP INDEX pg_class_relname_nsp_index',
	'DROP VIEW pg_user_mappings',
	'TRUNCATE pg_inherits',
	'TRUNCATE pg_authid',
	'CREATE TABLE heir () INHERITS (pg_class)',
	'CREATE TABLE pg_catalog.mine (id int)',
	'CREATE OR REPLACE VIEW pg_catalog.pg_user_mappings AS SELECT 1 AS one',
	'CREATE OR REPLACE FUNCTION pg_catalog.now() RETURNS timestamptz LANGUAGE sql AS ''SELECT NULL::timestamptz''',
	'CREATE FUNCTION pg_catalog.mine() RETURNS int LANGUAGE sql AS ''SELECT 1''',
	'CREATE OPERATOR pg_catalog.=== (LEFTARG = oid, RIGHTARG = oid, FUNCTION = oideq)',
	'CREATE TYPE pg_catalog.mine AS ENUM ()',
	'ALTER FUNCTION pg_catalog.now() RENAME TO x',
	'ALTER FUNCTION pg_catalog.now() SECURITY DEFINER',
	'ALTER FUNCTION self.one() SET SCHEMA pg_catalog',
	'ALTER OPERATOR FAMILY pg_catalog.integer_ops USING btree RENAME TO x',
	'ALTER SCHEMA pg_catalog RENAME TO x']);
INSERT INTO outcomes SELECT id, 'plain', try(command) FROM attacks;
SET allow_system_table_mods = on;
INSERT INTO outcomes SELECT id, 'with it', try(command) FROM attacks;
SET ROLE regress_self_creator;
INSERT INTO outcomes SELECT id, 'creator', try(command) FROM attacks;
RESET ROLE;
BEGIN;
:token
INSERT INTO outcomes SELECT id, 'admin', try(command) FROM attacks WHERE command ~ '^(ALTER TABLE.*DEFAULT|CREATE OR REPLACE|CREATE [FOT])' AND command !~ 'TRIGGER';
COMMIT;
RESET allow_system_table_mods;
SELECT command, string_agg(who || ' ' || outcome, '  ' ORDER BY who COLLATE "C") FROM attacks JOIN outcomes USING (id) GROUP BY id, command ORDER BY id;
-- what may be done with them
DELETE FROM outcomes;
DELETE FROM attacks;
INSERT INTO attacks (command) SELECT unnest(ARRAY[
	'GRANT SELECT ON pg_authid TO regress_self_plain',
	'REVOKE EXECUTE ON FUNCTION pg_catalog.now() FROM PUBLIC',
	'COMMENT ON FUNCTION pg_catalog.now() IS ''x''',
	'SELECT pg_import_system_collations(''pg_catalog'')',
	'CREATE EXTENSION adminpack; DROP EXTENSION adminpack',
	'ANALYZE pg_class',
	'SELECT lo_unlink(lo_from_bytea(0, ''x''))']);
INSERT INTO outcomes SELECT id, 'superuser', try(command) FROM attacks;
SELECT command, outcome FROM attacks JOIN outcomes USING (id) ORDER BY id;

--
-- COPY, which nothing can be tried in
--
COPY fortress.policy FROM '/dev/null';
COPY pg_trigger FROM '/dev/null';
COPY pg_authid FROM '/dev/null';
COPY pg_largeobject FROM '/dev/null';
BEGIN;
:token
COPY fortress.policy FROM stdin;
\.
ROLLBACK;

--
-- Settings: those of the guard are for the configuration file, and what would
-- switch it off from outside is asked for
--
ALTER SYSTEM SET fortress.enabled = off;
ALTER DATABASE :"home" SET fortress.enabled = off;
ALTER ROLE regress_self_plain SET fortress.guard_superusers = off;
ALTER FUNCTION try(text) SET fortress.enabled = off;
\set VERBOSITY default
ALTER SYSTEM SET shared_preload_libraries = '';
\set VERBOSITY terse
ALTER SYSTEM SET shared_preload_libraries = 'auto_explain', '/elsewhere/fortress_guard';
ALTER SYSTEM SET shared_preload_libraries = 'auto_explain', 'fortress_guard';
ALTER SYSTEM RESET shared_preload_libraries;
ALTER SYSTEM RESET ALL;
ALTER SYSTEM SET Track_Counts = no;
ALTER SYSTEM SET track_counts = on;
ALTER SYSTEM RESET track_counts;
ALTER SYSTEM SET allow_system_table_mods = on;
ALTER SYSTEM SET dynamic_library_path = '/elsewhere';
ALTER SYSTEM SET work_mem = '5MB';
ALTER SYSTEM RESET work_mem;

--
-- An exemption for admin is as good as a token; the words of a refusal; the log
--
SELECT fortress.exempt('regress_self_creator', operations => '{admin}') AS admin \gset
SET ROLE regress_self_creator;
SELECT try('GRANT fortress_auditor TO regress_self_plain'), try('ALTER ROLE regress_self_exempt LOGIN');
RESET ROLE;
SELECT fortress.revoke_exemption(:admin);
\set VERBOSITY default
DROP FUNCTION fortress.guard();
GRANT regress_self_exempt TO regress_self_plain;
UPDATE pg_trigger SET tgenabled = 'D';
\set VERBOSITY terse
SELECT ok FROM fortress.verify_audit();
SELECT event, operation, relation, session_role = session_user, actual_role = session_user, detail ->> 'message', detail ->> 'sqlstate'
FROM fortress.audit_log WHERE event = 'blocked' ORDER BY id DESC LIMIT 3;
BEGIN;
:token
GRANT fortress_auditor TO regress_self_plain;
REVOKE fortress_auditor FROM regress_self_plain;
ALTER FUNCTION fortress.guard() COST 1;
COMMIT;
SELECT ok FROM fortress.verify_audit();
SELECT event, operation, relation, rows, detail ->> 'message' ~ '^token [0-9]+$', xid IS NOT NULL FROM fortress.audit_log WHERE event = 'permitted' ORDER BY id DESC LIMIT 1;

-- the end of the exemption is the end of the label
SELECT fortress.revoke_exemption(:exemption);
SELECT count(*) FROM pg_shseclabel WHERE provider = 'fortress_guard' AND objoid = 'regress_self_exempt'::regrole;
SELECT try('ALTER ROLE regress_self_exempt LOGIN');
SELECT fortress.exempt('regress_self_exempt', 't', valid_until => clock_timestamp() + interval '10 milliseconds') AS exemption \gset
SELECT pg_sleep(1.5);
SELECT try('ALTER ROLE regress_self_exempt LOGIN');
-- it is the role's, not the name's
SELECT fortress.exempt('regress_self_exempt', 't') AS exemption \gset
BEGIN;
:token
DROP ROLE regress_self_exempt;
COMMIT;
CREATE ROLE regress_self_exempt;
SELECT try('ALTER ROLE regress_self_exempt LOGIN');
-- rolled back, nothing was said
BEGIN;
SELECT fortress.exempt('regress_self_exempt', 't') > 0;
ROLLBACK;
SELECT count(*) FROM pg_shseclabel WHERE provider = 'fortress_guard' AND objoid = 'regress_self_exempt'::regrole;

-- in mode off the guard still guards itself
SELECT fortress.set_mode('t', 'off');
SELECT try('DELETE FROM fortress.policy'), try('DROP TRIGGER fortress_guard_delete ON t'), try('GRANT fortress_admin TO regress_self_plain');

--
-- DROP DATABASE: t/007_self.pl has the rest
--
SELECT fortress.allow_drop_database(NULL);
SELECT fortress.allow_drop_database('0');
SET ROLE regress_self_owner;
SELECT fortress.allow_drop_database();
RESET ROLE;
BEGIN;
SELECT fortress.allow_drop_database('1 hour');
SELECT label ~ '^protected, may be dropped until [0-9]+$' FROM pg_shseclabel WHERE provider = 'fortress_guard' AND objoid = :db;
ROLLBACK;

-- the last policy goes, and the label with it
SELECT fortress.unprotect('t');
SELECT count(*) FROM fortress.policy;
SELECT count(*) FROM pg_shseclabel WHERE provider = 'fortress_guard' AND objoid = :db;
SELECT fortress.protect('t');
SET client_min_messages = error;
BEGIN;
SELECT fortress.unlock(fortress.issue_token(operations => '{admin,ddl}')) \gset
DROP TABLE t;
COMMIT;
-- it is in the trash, and counts as long as it has a policy
SELECT fortress.unprotect(relation) FROM fortress.policy;
SELECT count(*) FROM pg_shseclabel WHERE provider = 'fortress_guard' AND objoid = :db;
SELECT fortress.allow_drop_database();

-- clean up
BEGIN;
:token
DROP TABLE :shadow;
COMMIT;
REVOKE fortress_admin FROM regress_self_member;
ALTER SYSTEM RESET shared_preload_libraries;
DROP SCHEMA self CASCADE;
DROP ROLE regress_self_creator, regress_self_owner, regress_self_member, regress_self_exempt, regress_self_plain;
