-- The guard's own things: its tables, archives, functions, triggers and schemas,
-- and PostgreSQL's catalogs, through which all of them could be reached.

-- case: delete the policies
-- as: app owner creator super
-- expect: refused ZG011
DELETE FROM fortress.policy;

-- case: change the mode of a policy
-- as: super
-- expect: refused ZG011
UPDATE fortress.policy SET mode = 'off';

-- case: raise a limit
-- as: super
-- expect: refused ZG011
UPDATE fortress.row_limit SET max_rows = 1000000;

-- case: raise a limit in a function and a CTE
-- as: super
-- expect: refused ZG011
DO $$BEGIN EXECUTE 'WITH x AS (UPDATE fortress.row_limit SET max_rows = 1000000 RETURNING 1) SELECT * FROM x'; END$$;

-- case: merge into the limits
-- as: super
-- expect: refused ZG011
MERGE INTO fortress.row_limit l USING (SELECT 1) x ON true WHEN MATCHED THEN DELETE;

-- case: invent an exemption
-- as: super
-- expect: refused ZG011
INSERT INTO fortress.exemption SELECT 1000, 'regress_app'::regrole, 'regress_app', role_system, NULL, '{delete}', NULL, NULL,
	'x', 'x', now(), NULL FROM fortress.exemption LIMIT 1;

-- case: invent a token
-- as: super
-- expect: refused ZG011
INSERT INTO fortress.token (id, hash, operations, valid_until, issued_by, issued_at)
	VALUES (1000, sha256('known'), '{delete}', 'infinity', 'x', now());

-- case: invent a token by COPY
-- as: super
-- expect: refused ZG011
COPY fortress.token (id, hash, operations, valid_until, issued_by, issued_at) FROM STDIN;
1000	\\x00	{delete}	infinity	x	2026-01-01
\.

-- case: tidy up the audit log
-- as: app owner creator super
-- expect: refused ZG011
DELETE FROM fortress.audit_log WHERE event = 'blocked';

-- case: rewrite the audit log
-- as: super
-- expect: refused ZG011
UPDATE fortress.audit_log SET session_role = 'somebody else' WHERE id = 1;

-- case: truncate the audit log
-- as: super
-- expect: refused ZG011
TRUNCATE fortress.audit_log;

-- case: drop the audit log
-- as: super
-- expect: denied 2BP01
DROP TABLE fortress.audit_log CASCADE;

-- case: add a column to the audit log
-- as: super
-- expect: refused ZG011
ALTER TABLE fortress.audit_log ADD COLUMN note text;

-- case: drop an index of the audit log
-- as: super
-- expect: refused ZG011
DROP INDEX fortress.audit_log_at_idx;

-- case: drop a constraint of the policies
-- as: super
-- expect: refused ZG011
ALTER TABLE fortress.policy DROP CONSTRAINT policy_pkey;

-- case: a trigger on the audit log
-- as: super
-- expect: refused ZG011
CREATE TRIGGER swallow BEFORE INSERT ON fortress.audit_log FOR EACH ROW EXECUTE FUNCTION shop.order_gone();

-- case: a rule on the policies
-- as: super
-- expect: refused ZG011
CREATE RULE swallow AS ON INSERT TO fortress.policy DO INSTEAD NOTHING;

-- case: row security on the policies
-- as: super
-- expect: refused ZG011
ALTER TABLE fortress.policy ENABLE ROW LEVEL SECURITY;

-- case: rename a table of the guard
-- as: super
-- expect: refused ZG011
ALTER TABLE fortress.policy RENAME TO police;

-- case: make a table of the guard unlogged
-- as: super
-- expect: refused ZG011
ALTER TABLE fortress.audit_log SET UNLOGGED;

-- case: give a table of the guard away
-- as: super
-- expect: refused ZG011
ALTER TABLE fortress.policy OWNER TO regress_app;

-- case: grant rights on a table of the guard
-- as: super
-- expect: refused ZG011
GRANT ALL ON fortress.policy TO regress_app;

-- case: grant rights on all tables of the guard
-- as: super
-- expect: refused ZG011
GRANT ALL ON ALL TABLES IN SCHEMA fortress TO regress_app;

-- case: grant a function of the guard
-- as: super
-- expect: refused ZG011
GRANT EXECUTE ON FUNCTION fortress.unprotect(regclass) TO PUBLIC;

-- case: grant all functions of the guard
-- as: super
-- expect: refused ZG011
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA fortress TO regress_app;

-- case: revoke the use of the guard's schema
-- as: super
-- expect: refused ZG011
REVOKE USAGE ON SCHEMA fortress FROM PUBLIC;

-- case: default privileges in the guard's schema
-- as: super
-- expect: refused ZG011
ALTER DEFAULT PRIVILEGES IN SCHEMA fortress_shadow GRANT ALL ON TABLES TO regress_app;

-- case: replace a function of the guard
-- as: super
-- expect: refused ZG011
CREATE OR REPLACE FUNCTION fortress.guard() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$;

-- case: alter a function of the guard
-- as: super
-- expect: refused ZG011
ALTER FUNCTION fortress.protect(regclass, text, bigint, bigint, boolean, text, name[]) SECURITY DEFINER;

-- case: rename a function of the guard
-- as: super
-- expect: refused ZG011
ALTER FUNCTION fortress.guard() RENAME TO guarded;

-- case: drop a function of the guard
-- as: super
-- expect: denied 2BP01
DROP FUNCTION fortress.lock();

-- case: give a function of the guard to another
-- as: super
-- expect: refused ZG011
ALTER ROUTINE fortress.unprotect(regclass) OWNER TO regress_app;

-- case: a function in the guard's schema
-- as: super
-- expect: refused ZG011
CREATE FUNCTION fortress.unprotect(text) RETURNS void LANGUAGE sql AS 'SELECT';

-- case: a table in the guard's schema
-- as: super
-- expect: refused ZG011
CREATE TABLE fortress.mine ();

-- case: a view in the archives' schema
-- as: super
-- expect: refused ZG011
CREATE VIEW fortress_shadow.mine AS SELECT 1;

-- case: a type in the guard's schema
-- as: super
-- expect: refused ZG011
CREATE TYPE fortress.mine AS ENUM ();

-- case: move a table into the guard's schema
-- as: super
-- expect: refused ZG011
ALTER TABLE shop.free_table SET SCHEMA fortress;

-- case: drop the guard's schema
-- as: super
-- expect: denied 2BP01
-- as: app owner creator
-- expect: denied
DROP SCHEMA fortress CASCADE;

-- case: drop the archives' schema
-- as: super
-- expect: denied 2BP01
DROP SCHEMA fortress_shadow CASCADE;

-- case: rename the guard's schema
-- as: super
-- expect: refused ZG011
ALTER SCHEMA fortress RENAME TO other;

-- case: rename the archives' schema
-- as: super
-- expect: refused ZG011
ALTER SCHEMA fortress_shadow RENAME TO other;

-- case: give the guard's schema to another
-- as: super
-- expect: refused ZG011
ALTER SCHEMA fortress OWNER TO regress_app;

-- case: drop the extension
-- as: app owner creator super
-- expect: refused ZG011
DROP EXTENSION fortress_guard CASCADE;

-- case: drop the extension, caught
-- as: super
-- expect: within 0
-- event: blocked
DO $$BEGIN DROP EXTENSION IF EXISTS fortress_guard CASCADE; EXCEPTION WHEN OTHERS THEN NULL; END$$;

-- case: take a function out of the extension
-- as: super
-- expect: refused ZG011
ALTER EXTENSION fortress_guard DROP FUNCTION fortress.guard();

-- case: put a table into the extension
-- as: super
-- expect: refused ZG011
ALTER EXTENSION fortress_guard ADD TABLE shop.free_table;

-- case: move the extension
-- as: super
-- expect: refused ZG011
ALTER EXTENSION fortress_guard SET SCHEMA public;

-- case: drop all that the guard's owner has
-- as: super
-- expect: refused ZG011
DROP OWNED BY postgres CASCADE;

-- case: delete archived rows
-- as: super
-- expect: refused ZG011
-- setup: DELETE FROM shop.account WHERE id <= 4;
SELECT format('DELETE FROM %s', fortress.shadow_of('shop.account')) \gexec

-- case: change archived rows
-- as: super
-- expect: refused ZG011
-- setup: DELETE FROM shop.account WHERE id <= 4;
SELECT format('UPDATE %s SET email = %L', fortress.shadow_of('shop.account'), 'x') \gexec

-- case: slip rows into an archive
-- as: super
-- expect: refused ZG011
-- setup: DELETE FROM shop.account WHERE id <= 4;
SELECT format('INSERT INTO %1$s SELECT * FROM %1$s', fortress.shadow_of('shop.account')) \gexec

-- case: copy rows into an archive
-- as: super
-- expect: refused ZG011
SELECT format('COPY %s FROM PROGRAM %L', fortress.shadow_of('shop.account'), 'true') \gexec

-- case: truncate an archive
-- as: super
-- expect: refused ZG011
SELECT format('TRUNCATE %s', fortress.shadow_of('shop.account')) \gexec

-- case: drop an archive
-- as: super
-- expect: refused ZG011
SELECT format('DROP TABLE %s', fortress.shadow_of('shop.account')) \gexec

-- case: drop a column of an archive
-- as: super
-- expect: refused ZG011
SELECT format('ALTER TABLE %s DROP COLUMN email', fortress.shadow_of('shop.account')) \gexec

-- case: empty an archive by changing a type
-- as: super
-- expect: refused ZG011
SELECT format('ALTER TABLE %s ALTER COLUMN email TYPE text USING NULL', fortress.shadow_of('shop.account')) \gexec

-- case: make an archive unlogged
-- as: super
-- expect: refused ZG011
SELECT format('ALTER TABLE %s SET UNLOGGED', fortress.shadow_of('shop.account')) \gexec

-- case: grant rights on an archive
-- as: super
-- expect: refused ZG011
SELECT format('GRANT ALL ON %s TO regress_app', fortress.shadow_of('shop.account')) \gexec

-- case: disable the trigger of a table in the catalog
-- as: super
-- expect: refused ZG011
-- as: app owner creator
-- expect: denied
SET allow_system_table_mods = on;
UPDATE pg_trigger SET tgenabled = 'D' WHERE tgname LIKE 'fortress%';

-- case: delete triggers from the catalog
-- as: super
-- expect: refused ZG011
SET allow_system_table_mods = on;
DELETE FROM pg_trigger WHERE tgname LIKE 'fortress%';

-- case: say in the catalog that there are no triggers
-- as: super
-- expect: refused ZG011
SET allow_system_table_mods = on;
UPDATE pg_class SET relhastriggers = false WHERE relname = 'listing';

-- case: rename a table in the catalog
-- as: super
-- expect: refused ZG011
SET allow_system_table_mods = on;
UPDATE pg_class SET relname = 'other' WHERE relname = 'listing';

-- case: empty a table by swapping its file in the catalog
-- as: super
-- expect: refused ZG011
SET allow_system_table_mods = on;
UPDATE pg_class SET relfilenode = (SELECT relfilenode FROM pg_class WHERE relname = 'free_extra') WHERE relname = 'account';

-- case: make a rule in the catalog
-- as: super
-- expect: refused ZG011
SET allow_system_table_mods = on;
UPDATE pg_rewrite SET ev_class = 'shop.account'::regclass WHERE rulename = 'v_rule_delete';

-- case: change the guard's function in the catalog
-- as: super
-- expect: refused ZG011
SET allow_system_table_mods = on;
UPDATE pg_proc SET prosrc = 'fg_lock' WHERE proname = 'guard';

-- case: drop a column in the catalog
-- as: super
-- expect: refused ZG011
SET allow_system_table_mods = on;
UPDATE pg_attribute SET attisdropped = true WHERE attrelid = 'shop.account'::regclass AND attname = 'email';

-- case: insert a policy of row security into the catalog
-- as: super
-- expect: refused ZG011
SET allow_system_table_mods = on;
INSERT INTO pg_policy SELECT 99999, 'hide', 'shop.account'::regclass, '*', true, '{0}', NULL, NULL;

-- case: catalog writes in a function
-- as: super
-- expect: refused ZG011
SET allow_system_table_mods = on;
DO $$BEGIN EXECUTE 'UPDATE pg_catalog.pg_trigger SET tgenabled = ''D'''; END$$;

-- case: catalog writes by a CTE, unread
-- as: super
-- expect: refused ZG011
SET allow_system_table_mods = on;
WITH x AS (DELETE FROM pg_trigger) SELECT 1;

-- case: catalog writes through a view
-- as: super
-- expect: refused ZG011
SET allow_system_table_mods = on;
BEGIN;
CREATE VIEW lever AS SELECT * FROM pg_trigger;
UPDATE lever SET tgenabled = 'D';
COMMIT;

-- case: catalog writes by COPY
-- as: super
-- expect: refused ZG011
SET allow_system_table_mods = on;
COPY pg_policy FROM STDIN;
\.

-- case: a trigger on a catalog
-- as: super
-- expect: refused ZG011
SET allow_system_table_mods = on;
CREATE TRIGGER swallow BEFORE INSERT ON pg_trigger FOR EACH ROW EXECUTE FUNCTION order_gone();

-- case: alter a catalog
-- as: super
-- expect: refused ZG011
SET allow_system_table_mods = on;
ALTER TABLE pg_trigger ALTER COLUMN tgenabled SET DEFAULT 'D';

-- case: a rule on a catalog
-- as: super
-- expect: refused ZG011
SET allow_system_table_mods = on;
CREATE RULE swallow AS ON DELETE TO pg_class DO INSTEAD NOTHING;

-- case: empty a catalog
-- as: super
-- expect: refused ZG011
SET allow_system_table_mods = on;
TRUNCATE pg_inherits;

-- case: empty a catalog of all databases, from one without the guard
-- as: super
-- expect: refused ZG011
-- in: attack_plain
-- event: log
SET allow_system_table_mods = on;
TRUNCATE pg_shseclabel;

-- case: copy into a catalog of all databases, from one without the guard
-- as: super
-- expect: refused ZG011
-- in: attack_plain
-- event: log
COPY pg_auth_members FROM PROGRAM 'true';

-- case: alter a catalog without the setting
-- as: app owner creator super
-- expect: denied
ALTER TABLE pg_trigger ALTER COLUMN tgenabled SET DEFAULT 'D';

-- case: replace a function of the server
-- as: super
-- expect: refused ZG011
-- as: app owner creator
-- expect: denied
CREATE OR REPLACE FUNCTION pg_catalog.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS $$SELECT '2000-01-01'::timestamptz$$;

-- case: a function that everybody finds first
-- as: super
-- expect: refused ZG011
CREATE FUNCTION pg_catalog.sha256(text) RETURNS bytea LANGUAGE sql AS $$SELECT ''::bytea$$;

-- case: rename a function of the server
-- as: super
-- expect: refused ZG011
ALTER FUNCTION pg_catalog.sha256(bytea) RENAME TO sha;

-- case: move a function to where everybody finds it first
-- as: super
-- expect: refused ZG011
-- setup: CREATE FUNCTION public.sha256(text) RETURNS bytea LANGUAGE sql AS 'SELECT NULL::bytea';
ALTER FUNCTION public.sha256(text) SET SCHEMA pg_catalog;

-- case: replace a view of the server
-- as: super
-- expect: refused ZG011
CREATE OR REPLACE VIEW pg_catalog.pg_user_mappings AS SELECT 1;

-- case: forget the extension in the catalog
-- as: super
-- expect: refused ZG011
SET allow_system_table_mods = on;
DELETE FROM pg_extension WHERE extname = 'fortress_guard';

-- case: forget an inheritance in the catalog
-- as: super
-- expect: refused ZG011
SET allow_system_table_mods = on;
DELETE FROM pg_inherits WHERE inhparent = 'shop.message'::regclass;

-- case: rename the schema in the catalog
-- as: super
-- expect: refused ZG011
SET allow_system_table_mods = on;
UPDATE pg_namespace SET nspname = 'other' WHERE nspname = 'fortress';

-- case: rename an enum's value in the catalog
-- as: super
-- expect: refused ZG011
SET allow_system_table_mods = on;
UPDATE pg_enum SET enumlabel = 'gone' WHERE enumlabel = 'new';

-- case: kill a policy below SQL
-- as: super
-- expect: refused ZG010
-- setup: CREATE EXTENSION pg_surgery; SELECT fortress.protect('shop.free_table', delete_rows => 5); SELECT heap_force_kill('fortress.policy', array_agg(ctid)) FROM fortress.policy WHERE relation = 'shop.free_table'::regclass;
-- check: SELECT count(*) = 60 FROM shop.free_table
\set ON_ERROR_STOP off
DELETE FROM free_table WHERE id > 0;
UPDATE free_table SET v = 'other';
TRUNCATE free_table;

-- case: let the triggers sleep
-- as: super
-- expect: refused ZG001
SET session_replication_role = replica;
DELETE FROM listing WHERE id > 0;

-- case: let the triggers sleep, a row at a time
-- as: super
-- expect: refused ZG001
SET session_replication_role = replica;
BEGIN;
SELECT format('DELETE FROM listing WHERE id = %s', i) FROM generate_series(1, 60) i \gexec
COMMIT;

-- case: let the triggers sleep, for a cascade
-- as: super
-- expect: refused ZG003
SET session_replication_role = replica;
DELETE FROM listing;

-- case: stop the counting
-- as: super
-- expect: refused ZG010
SET track_counts = off;
DELETE FROM listing WHERE id <= 2;

-- case: stop the counting within a function
-- as: super
-- expect: refused ZG010
BEGIN;
CREATE FUNCTION quiet() RETURNS void LANGUAGE sql SET track_counts = off AS 'DELETE FROM shop.listing WHERE id <= 20';
SELECT quiet();
COMMIT;

-- case: reset the counting within the transaction
-- as: super
-- expect: refused ZG001
BEGIN;
DELETE FROM listing WHERE id <= 4;
SELECT pg_stat_reset(), pg_stat_clear_snapshot(), pg_stat_force_next_flush();
DELETE FROM listing WHERE id BETWEEN 5 AND 9;
COMMIT;

-- case: switch the guard off
-- as: app owner creator super
-- expect: denied 55P02
SET fortress.enabled = off;

-- case: switch the guard off by a function's setting
-- as: super
-- expect: denied 55P02
CREATE FUNCTION off() RETURNS void LANGUAGE sql SET fortress.enabled = off AS 'DELETE FROM shop.listing';
SELECT off();

-- case: switch the guard off by set_config
-- as: app super
-- expect: denied 55P02
SELECT set_config('fortress.guard_superusers', 'off', true);

-- case: switch the guard off in the settings' view
-- as: super
-- expect: denied 55P02
UPDATE pg_settings SET setting = 'off' WHERE name = 'fortress.enabled';

-- case: switch the guard off by the connection's options
-- as: app owner super
-- expect: denied CONNECTION
-- options: -c fortress.enabled=off
DELETE FROM listing WHERE id > 0;

-- case: ignore the database by the connection's options
-- as: super
-- expect: denied CONNECTION
-- options: -c fortress.ignore_databases=*
DELETE FROM listing WHERE id > 0;

-- case: let the triggers sleep by the connection's options
-- as: super
-- expect: refused ZG001
-- as: app owner creator
-- expect: denied CONNECTION
-- options: -c session_replication_role=replica
DELETE FROM listing WHERE id > 0;

-- case: load the library once more
-- as: super
-- expect: refused ZG001
LOAD 'fortress_guard';
DELETE FROM listing WHERE id > 0;

-- case: call the guard's trigger function
-- as: super
-- expect: denied 39P01
SELECT fortress.guard();

-- case: a shadowing schema before the guard's names
-- as: app super
-- expect: refused ZG001
CREATE TEMP TABLE policy (relation regclass, mode text);
CREATE FUNCTION pg_temp.guard() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
SET search_path = pg_temp, shop, pg_catalog;
DELETE FROM shop.listing WHERE id > 0;

-- case: an operator that lies
-- as: super
-- expect: refused ZG001
BEGIN;
CREATE FUNCTION lie(bigint, bigint) RETURNS boolean LANGUAGE sql AS 'SELECT false';
CREATE OPERATOR shop.> (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = lie);
SET search_path = shop, pg_catalog;
DELETE FROM listing WHERE id > 0;
COMMIT;

-- case: unprotect without the right to
-- as: app owner creator
-- expect: denied
SELECT fortress.unprotect('listing');

-- case: weaken a policy as the table's owner
-- as: owner creator
-- expect: denied
SELECT fortress.set_mode('listing', 'off');

-- case: raise a limit as the table's owner
-- as: app owner creator
-- expect: denied
SELECT fortress.set_limit('listing', 'delete', 100000);

-- case: end the archive as the table's owner
-- as: owner creator
-- expect: denied
SELECT fortress.protect('listing', archive => 'none');

-- case: watch other columns as the table's owner
-- as: owner
-- expect: denied
SELECT fortress.protect('listing', columns => '{n}');

-- case: issue a token without the right to
-- as: app owner creator
-- expect: denied
SELECT fortress.issue_token();

-- case: exempt oneself without the right to
-- as: app owner creator
-- expect: denied
SELECT fortress.exempt('regress_owner');

-- case: read the secrets' hashes
-- as: app owner creator
-- expect: denied
SELECT hash FROM fortress.token;

-- case: read the archive of a table
-- as: app owner creator
-- expect: denied
SELECT format('SELECT * FROM %s', fortress.shadow_of('account')) \gexec

-- case: restore without the right to
-- as: app owner creator
-- expect: denied
SELECT * FROM fortress.restore('listing');

-- case: delete triggers from the catalog while the script of an extension runs
-- as: super
-- expect: refused ZG011
CREATE FUNCTION amid() RETURNS event_trigger LANGUAGE plpgsql AS
	$$BEGIN IF tg_tag = 'CREATE TYPE' THEN DELETE FROM pg_trigger WHERE tgname LIKE 'fortress%'; END IF; END$$;
CREATE EVENT TRIGGER amid ON ddl_command_end EXECUTE FUNCTION amid();
CREATE EXTENSION hstore;

-- case: put a function into pg_catalog while the script of an extension runs
-- as: super
-- expect: refused ZG011
CREATE FUNCTION amid() RETURNS event_trigger LANGUAGE plpgsql AS
	$$BEGIN IF tg_tag = 'CREATE TYPE' THEN CREATE FUNCTION pg_catalog.amid(int) RETURNS int LANGUAGE sql AS 'SELECT 1'; END IF; END$$;
CREATE EVENT TRIGGER amid ON ddl_command_end EXECUTE FUNCTION amid();
CREATE EXTENSION hstore;

-- case: give an archive to an extension, so that no dump has its rows
-- as: super
-- expect: refused ZG011
SELECT fortress.shadow_of('listing') AS archive \gset
BEGIN;
CREATE EXTENSION hstore;
ALTER EXTENSION hstore ADD TABLE :archive;
