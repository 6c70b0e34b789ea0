--
-- Events: what the audit log has of each, column by column
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fortress_guard;
\set VERBOSITY terse
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
\pset fieldsep '  '
\pset null '-'
CREATE ROLE regress_event_owner;
CREATE ROLE regress_event_app;
CREATE ROLE regress_event_admin IN ROLE fortress_admin;
CREATE SCHEMA event;
GRANT ALL ON SCHEMA event TO PUBLIC;
SET search_path = event, public;
SET application_name = 'the shop';

-- What has been recorded since it was called last, without what is never the
-- same.  These are checked: "ok" is true if they are as they have to be.
CREATE TABLE mark (id bigint, at timestamptz);
INSERT INTO mark VALUES (0, clock_timestamp());
CREATE FUNCTION events(OUT ok boolean, OUT has_xid boolean, OUT columns jsonb, OUT detail jsonb) RETURNS SETOF record
LANGUAGE plpgsql SECURITY DEFINER SET search_path = event, public, pg_temp AS
$$
BEGIN
	PERFORM FROM fortress.verify_audit();
	RETURN QUERY
		SELECT a.at BETWEEN m.at AND clock_timestamp() AND a.pid = pg_backend_pid() AND a.number > 0 AND a.journal IS NOT NULL
				AND length(a.hash) = 32 AND a.client_addr IS NOT DISTINCT FROM inet_client_addr()
				AND (a.detail ->> 'relid')::oid IS NOT DISTINCT FROM a.relation::oid,
			a.xid IS NOT NULL,
			replace(jsonb_strip_nulls(to_jsonb(a) - '{id,at,pid,xid,client_addr,hash,journal,number,detail}'::text[])::text,
				'"' || session_user || '"', '"me"')::jsonb,
			a.detail - 'relid'
		FROM fortress.audit_log a, mark m WHERE a.id > m.id ORDER BY a.id;
	UPDATE mark SET id = (SELECT coalesce(max(a.id), 0) FROM fortress.audit_log a), at = clock_timestamp();
END
$$;
SELECT count(*) >= 0 FROM events();

CREATE TABLE t (id int PRIMARY KEY, v text);
INSERT INTO t SELECT i, 'v' FROM generate_series(1, 200) i;
CREATE TABLE other (id int);
CREATE TABLE seen (id int PRIMARY KEY, v text);
INSERT INTO seen SELECT i, 'v' FROM generate_series(1, 200) i;
CREATE TABLE p (id int) PARTITION BY RANGE (id);
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100);
INSERT INTO p SELECT i FROM generate_series(1, 50) i;
CREATE TABLE "Odd ""table" (id int);
INSERT INTO "Odd ""table" VALUES (1);
ALTER TABLE t OWNER TO regress_event_owner;
GRANT ALL ON t, seen, other, p, p1, "Odd ""table" TO regress_event_app, regress_event_admin;

--
-- The policy
--
SELECT fortress.protect('t', delete_rows => 10, update_rows => 20);
SELECT * FROM events();
SELECT fortress.protect('seen', 'audit', delete_rows => 10, update_rows => 20, require_where => false, archive => 'delete', columns => '{v}');
SELECT fortress.protect('p', delete_rows => 10);
SELECT fortress.protect('"Odd ""table"');
SELECT fortress.set_limit('t', 'delete', 30, '1 hour', 'table');
SELECT fortress.set_limit('t', 'update', NULL, 'statement', 'client', 0.5);
SELECT fortress.drop_limit('t', 'delete', '1 hour', 'role');
SELECT fortress.set_mode('t', 'audit');
SELECT fortress.set_mode('t', 'block');
SELECT * FROM events();
-- what changes nothing is an event all the same, what fails is none
SELECT fortress.set_mode('t', 'block');
SELECT fortress.set_mode('t', 'blocked');
SELECT fortress.set_limit('t', 'insert', 1);
SELECT fortress.drop_limit('t', 'delete', '2 hours');
SET ROLE regress_event_owner;
SELECT fortress.set_limit('t', 'delete', 1000);
SELECT fortress.set_limit('t', 'delete', 9);
RESET ROLE;
SELECT * FROM events();

--
-- Refusals
--
SET ROLE regress_event_app;
DELETE FROM t;
UPDATE t SET v = 'w';
DELETE FROM t WHERE id <= 100;
UPDATE t SET v = 'w' WHERE id <= 100;
TRUNCATE t;
TRUNCATE other, t;
DELETE FROM p WHERE id < 40;
DELETE FROM p1 WHERE id < 40;
TRUNCATE p1;
DELETE FROM "Odd ""table";
SELECT * FROM events();
RESET ROLE;
DROP TABLE t;
DROP TABLE p1;
DROP OWNED BY regress_event_owner;
SELECT * FROM events();
-- other limits
SELECT fortress.set_limit('t', 'delete', 5, 'statement');
SELECT fortress.set_limit('t', 'update', 0);
SELECT fortress.set_limit('t', 'delete', 8, '1 hour', 'table');
SELECT count(*) FROM events();
SET ROLE regress_event_app;
DELETE FROM t WHERE id <= 6;
UPDATE t SET v = 'w' WHERE id = 1;
BEGIN;
DELETE FROM t WHERE id <= 5;
DELETE FROM t WHERE id <= 9;
ROLLBACK;
SELECT * FROM events();
RESET ROLE;
SELECT fortress.drop_limit('t', 'delete', 'statement');
SELECT fortress.drop_limit('t', 'delete', '1 hour', 'table');
SELECT count(*) FROM events();
-- in a transaction that has an id, it is in the event
BEGIN;
INSERT INTO other VALUES (1);
SELECT pg_current_xact_id() AS xid \gset
SAVEPOINT a;
DELETE FROM t;
ROLLBACK TO a;
COMMIT;
SELECT * FROM events();
SELECT xid = :'xid' AS same FROM fortress.audit_log ORDER BY id DESC LIMIT 1;
-- several relations in one statement, several errors in one block
WITH d AS (DELETE FROM t WHERE id > 0 RETURNING id) DELETE FROM p WHERE id > 0;
DO $$
BEGIN
	BEGIN DELETE FROM t; EXCEPTION WHEN SQLSTATE 'ZG003' THEN NULL; END;
	BEGIN UPDATE p SET id = 1; EXCEPTION WHEN SQLSTATE 'ZG003' THEN NULL; END;
END
$$;
SELECT * FROM events();
-- none: within limits, other errors, other tables
DELETE FROM t WHERE id <= 5;
DELETE FROM t WHERE no_such_column = 1;
DELETE FROM other;
BEGIN READ ONLY; DELETE FROM t; ROLLBACK;
SET ROLE regress_event_owner;
DELETE FROM seen;
RESET ROLE;
SELECT * FROM events();

--
-- Observed
--
SET ROLE regress_event_app;
BEGIN;
DELETE FROM seen WHERE id <= 15;
DELETE FROM seen WHERE id <= 30;
UPDATE seen SET v = 'w' WHERE id > 150;
DELETE FROM seen WHERE id <= 31;
COMMIT;
SELECT * FROM events();
DELETE FROM seen WHERE id <= 40;
UPDATE seen SET v = 'w' WHERE id > 150;
TRUNCATE seen;
SELECT * FROM events();
RESET ROLE;
SELECT fortress.protect('seen', require_where => true);
DELETE FROM seen;
SELECT * FROM events();

--
-- Permitted: by an exemption
--
SELECT fortress.exempt('regress_event_app', 't', reason => 'nightly job') AS exemption \gset
SELECT fortress.exempt('regress_event_app', NULL, '{truncate,ddl}', 1000, 'infinity') AS other_exemption \gset
SELECT ok, has_xid, columns, regexp_replace(detail::text, 'exemption \d+', 'exemption N') FROM events();
SET ROLE regress_event_app;
BEGIN;
DELETE FROM t WHERE id <= 100;
UPDATE t SET v = 'w';
COMMIT;
DELETE FROM t WHERE id = 101;
RESET ROLE;
SELECT ok, has_xid, columns, regexp_replace(detail::text, 'exemption \d+', 'exemption N') FROM events();
SET ROLE regress_event_app;
TRUNCATE t;
RESET ROLE;
SELECT fortress.revoke_exemption(:exemption), fortress.revoke_exemption(:other_exemption);
SELECT ok, has_xid, columns - 'query', regexp_replace(detail::text, 'exemption \d+', 'exemption N') FROM events();

--
-- Tokens
--
INSERT INTO t SELECT i, 'v' FROM generate_series(300, 499) i;
SET ROLE regress_event_admin;
CREATE TEMP TABLE secret AS SELECT 'once' AS name, fortress.issue_token(ARRAY['t'::regclass], reason => 'clean up') AS token;
INSERT INTO secret SELECT 'rows', fortress.issue_token(max_rows => 15, uses => NULL, for_role => 'regress_event_admin');
INSERT INTO secret SELECT 'late', fortress.issue_token(NULL, '{truncate,update}', valid_for => '1 microsecond');
INSERT INTO secret SELECT 'revoked', fortress.issue_token();
SELECT fortress.revoke_token((SELECT max(id) FROM fortress.tokens));
SELECT ok, has_xid, columns - 'query', regexp_replace(regexp_replace(detail::text, 'token \d+', 'token N'), 'until [-0-9]+ [0-9:.]+[-+:0-9]+', 'until TIME') FROM events();
BEGIN;
SELECT fortress.unlock(token) FROM secret WHERE name = 'once';
DELETE FROM t WHERE id < 400;
COMMIT;
SELECT ok, has_xid, columns, regexp_replace(detail::text, 'token \d+', 'token N') FROM events();
-- each reason for which one is refused
SELECT fortress.unlock(token) FROM secret WHERE name = 'once';
SELECT fortress.unlock(token) FROM secret WHERE name = 'late';
SELECT fortress.unlock(token) FROM secret WHERE name = 'revoked';
SELECT fortress.unlock('no token at all');
SELECT fortress.unlock('fgt1_' || repeat('0', 72));
SET SESSION AUTHORIZATION regress_event_app;
SELECT fortress.unlock('fgt1_000000000000000000000000000000000000000000000000000000000000000000000000');
RESET SESSION AUTHORIZATION;
BEGIN;
SET LOCAL fortress.token = 'fgt1_000000000000000000000000000000000000000000000000000000000000000000000000';
DELETE FROM t WHERE id > 0;
ROLLBACK;
SELECT ok, has_xid, columns, regexp_replace(detail::text, 'token \d+', 'token N') FROM events();
SELECT fortress.unlock(token) FROM secret WHERE name = 'rows';
SET ROLE regress_event_admin;
BEGIN;
SELECT fortress.unlock(token) FROM secret WHERE name = 'rows';
SELECT fortress.lock();
DELETE FROM t WHERE id < 420;
ROLLBACK;
BEGIN;
SELECT fortress.unlock(token) FROM secret WHERE name = 'rows';
DELETE FROM t WHERE id < 430;
ROLLBACK;
BEGIN;
SELECT fortress.unlock(token) FROM secret WHERE name = 'rows';
SELECT fortress.lock();
COMMIT;
SELECT fortress.lock();
RESET ROLE;
SELECT ok, has_xid, columns, regexp_replace(detail::text, 'token \d+', 'token N') FROM events();

--
-- Restored
--
SELECT * FROM fortress.restore('t', dry_run => true);
SELECT * FROM fortress.restore('t', filter => 'id BETWEEN 300 AND 309');
SELECT * FROM fortress.restore('t', filter => 'id BETWEEN 300 AND 309');
SELECT * FROM events();
BEGIN;
SELECT * FROM fortress.restore('t', filter => 'id BETWEEN 310 AND 319');
ROLLBACK;
SELECT * FROM events();

--
-- What clients choose: context, application name, text
--
SET fortress.context = '{"user": "anna", "from": "10.1.2.3"}';
DELETE FROM t;
SET fortress.context = E'quote " backslash \\ line\nbreak \x01 tab\t end';
SET application_name = E'quote " line\nbreak';
DELETE FROM t;
SET fortress.context = 'with fgt1_0123456789abcdef0123456789abcdef in it';
SET application_name = '';
DELETE FROM t;
SELECT * FROM events();
SET fortress.context = '';
-- long ones are cut, never within a character
SELECT set_config('fortress.context', 'x' || repeat(chr(8364), 5000), false) IS NOT NULL;
DELETE FROM t;
RESET fortress.context;
SELECT ok, octet_length(detail ->> 'context') BETWEEN 8190 AND 8192, detail ->> 'context' = 'x' || repeat(chr(8364), length(detail ->> 'context') - 1) FROM events();
SHOW fortress.audit_query_length;
\set ECHO none
SELECT format('DELETE FROM t WHERE %L <> %L', repeat('x', 2000), '') \gexec
SELECT format('DELETE FROM t WHERE %L <> %L', n || repeat(chr(8364), 1000), '') FROM unnest('{a,ab,abc}'::text[]) n \gexec
SELECT format('DELETE FROM t WHERE %L <> %L', repeat(chr(128512), 1000), '') \gexec
SELECT format('DELETE FROM t WHERE %L <> %L', repeat('x', 1024 - 28), '') \gexec
\set ECHO all
SELECT ok, octet_length(columns ->> 'query'), right(columns ->> 'query', 1) = ANY (ARRAY['x', chr(8364), chr(128512), '''']) FROM events();

--
-- Statements are recorded as they were sent, from wherever they are run
--
CREATE FUNCTION removes(name text) RETURNS void LANGUAGE plpgsql AS $$BEGIN EXECUTE 'DELETE FROM t'; END$$;
SELECT removes('a') /* why */ ;
PREPARE p1 AS DELETE FROM t WHERE id > $1;
EXECUTE p1(0);
SELECT 1 \; DELETE FROM t \; SELECT 2;
BEGIN;
DECLARE c CURSOR FOR SELECT removes('cursor');
FETCH c;
ROLLBACK;
EXPLAIN ANALYZE DELETE FROM t;
SELECT columns -> 'query' FROM events();

--
-- Names are those of then, relations those of now
--
CREATE TABLE changes (id int);
SELECT fortress.protect('changes', archive => 'none');
DELETE FROM changes;
ALTER TABLE changes RENAME TO changed;
BEGIN;
SELECT fortress.unlock(fortress.issue_token('{changes}', '{ddl}'));
ALTER TABLE changes RENAME TO changed;
COMMIT;
DELETE FROM changed;
SELECT columns -> 'relation', detail -> 'relation' FROM events();
SELECT fortress.unprotect('changed');
DROP TABLE changed;
SELECT ok, has_xid, columns - 'relation', detail FROM events();
SELECT count(*), count(DISTINCT a.relation::oid), bool_or(a.relation::text ~ '^[0-9]+$') FROM fortress.audit_log a WHERE a.detail ->> 'relation' IN ('event.changes', 'event.changed');

--
-- What ends a policy
--
SELECT fortress.unprotect('t'), fortress.unprotect('seen'), fortress.unprotect('p'), fortress.unprotect('"Odd ""table"');
SELECT columns ->> 'event', columns ->> 'relation', detail FROM events();
DROP TABLE secret;
RESET search_path;
DROP SCHEMA event CASCADE;
DROP ROLE regress_event_owner, regress_event_app, regress_event_admin;
SELECT ok FROM fortress.verify_audit();
