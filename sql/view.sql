--
-- The views of the witness (status, activity, offenders), suggest_limits, and
-- what they are made of.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fortress_guard;
\set VERBOSITY terse
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
\pset fieldsep '  '
\pset null '-'
SET timezone = 'UTC';
BEGIN;
SELECT fortress.unlock(fortress.issue_token(operations => '{admin}')) \gset
CREATE ROLE regress_view_auditor LOGIN IN ROLE fortress_auditor;
COMMIT;
CREATE ROLE regress_view_nobody LOGIN;
CREATE SCHEMA view;
GRANT USAGE ON SCHEMA view TO PUBLIC;
SET search_path = view;

--
-- The guard's own events are not what is tested here, so the log is written by
-- hand, and in one snapshot nothing else comes in between
--
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT fortress.unlock(fortress.issue_token(operations => '{admin}')) \gset
CREATE TABLE t (id int PRIMARY KEY, v text);
INSERT INTO t SELECT i, 'v' || i FROM generate_series(1, 1000) i;
CREATE TABLE p (id int, v text) PARTITION BY RANGE (id);
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100);
CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (100) TO (200) PARTITION BY RANGE (id);
CREATE TABLE p21 PARTITION OF p2 FOR VALUES FROM (100) TO (200);
CREATE TABLE quiet (id int);
SELECT fortress.protect('t', mode => 'audit', delete_rows => 100, update_rows => 50, columns => '{v}');
SELECT fortress.set_limit('t', 'delete', 40, '30 minutes', 'table');
SELECT fortress.set_limit('t', 'delete', 500, '1 day', 'client');
SELECT fortress.set_limit('t', 'update', NULL, 'statement', 'role', 0.5);
SELECT fortress.set_limit('t', 'update', NULL, '90 seconds', 'role', 0.25);
SELECT fortress.protect('p', delete_rows => 10, archive => 'delete');
SELECT fortress.protect('quiet', archive => 'none');
SELECT fortress.drop_limit('quiet', 'delete'), fortress.drop_limit('quiet', 'delete', '1 hour'), fortress.drop_limit('quiet', 'update');
DELETE FROM t WHERE id <= 60;
DELETE FROM p WHERE id < 0;
ANALYZE t;

CREATE TEMP SEQUENCE ids START 9000000000000000000;
CREATE FUNCTION pg_temp.event(ago interval, event text, operation text, relation regclass, rows bigint,
	who name DEFAULT 'regress_view_a', addr inet DEFAULT '192.0.2.1', app text DEFAULT 'shop', times bigint DEFAULT NULL) RETURNS void
LANGUAGE sql AS $$
	INSERT INTO fortress.audit_log (id, at, event, operation, relation, rows, session_role, actual_role, client_addr,
		application_name, pid, detail, hash)
	VALUES (nextval('pg_temp.ids'), now() - ago, event, operation, relation, rows, who, who, addr, app, 1,
		jsonb_strip_nulls(jsonb_build_object('message', 'by hand', 'times', times)), '\x00') $$;

-- windows: of all, of one table
SELECT relation, operation, per, "by", replace(who, session_user, 'me'), used FROM fortress.window_use() WHERE relation IN ('t'::regclass, 'p'::regclass, 'quiet'::regclass) ORDER BY per COLLATE "C";
SELECT count(*) FROM fortress.window_use('t');
SELECT count(*) FROM fortress.window_use('quiet');
SAVEPOINT a;
DELETE FROM t WHERE id <= 65;
SELECT used FROM fortress.window_use('t') WHERE "by" = 'table';
ROLLBACK TO a;
SELECT used FROM fortress.window_use('t') WHERE "by" = 'table';

-- limits as rows
SELECT per, "by", fortress.limit_rows(relation, operation, per, "by") FROM fortress.row_limit WHERE relation = 't'::regclass ORDER BY operation, per COLLATE "C";
SELECT fortress.limit_rows('t', 'update', 'PT90S', 'role');
SELECT fortress.limit_rows('t', 'update', 'statement', 'client');
SELECT fortress.limit_rows('t', 'update', NULL, 'client');
SELECT fortress.tree_of('p'), fortress.tree_of('p2'), fortress.tree_of('t'), fortress.tree_of(NULL);

-- status, before anything happened
SELECT relation, mode, require_where, archive, columns FROM fortress.status WHERE relation IN ('t'::regclass, 'p'::regclass, 'quiet'::regclass) ORDER BY relation::text;
SELECT l ->> 'operation', l ->> 'per', l ->> 'by', l ->> 'max_rows', l ->> 'max_fraction' FROM fortress.status, jsonb_array_elements(limits) l WHERE relation = 't'::regclass;
SELECT l ->> 'operation', l ->> 'per', l ->> 'by', l ->> 'used', l ->> 'max_rows' FROM fortress.status, jsonb_array_elements(window_use) l WHERE relation = 't'::regclass;
SELECT limits, window_use FROM fortress.status WHERE relation = 'quiet'::regclass;
SELECT relation, archived_rows, shadow_size > 0, blocked_24h, last_event, last_event_at FROM fortress.status WHERE relation IN ('t'::regclass, 'p'::regclass, 'quiet'::regclass) ORDER BY relation::text;

-- what happened to a partition happened to its table
SELECT pg_temp.event('23 hours', 'blocked', 'delete', 't', 200), pg_temp.event('25 hours', 'blocked', 'delete', 't', 200),
	pg_temp.event('2 hours', 'blocked', 'delete', 't', 300, times => 4), pg_temp.event('3 hours', 'permitted', 'delete', 't', 300),
	pg_temp.event('5 hours', 'blocked', 'delete', 'p', 11), pg_temp.event('4 hours', 'blocked', 'truncate', 'p21', NULL),
	pg_temp.event('6 hours', 'policy_changed', NULL, 'p1', NULL);
SELECT relation, blocked_24h, last_event, now() - last_event_at FROM fortress.status WHERE relation IN ('t'::regclass, 'p'::regclass, 'quiet'::regclass) ORDER BY relation::text;
SELECT fortress.blocked_since('t', now() - interval '26 hours'), fortress.blocked_since('t', now()), fortress.blocked_since('t', NULL);
-- of two events at one moment the later one is the last
SELECT pg_temp.event('2 hours', 'observed', 'delete', 't', 300);
SELECT last_event FROM fortress.status WHERE relation = 't'::regclass;
-- what is not asked for is not worked out
EXPLAIN (COSTS OFF) SELECT relation, mode FROM fortress.status;

-- activity, in hours that began 4 and 3 hours before this one
SELECT pg_temp.event(now() - (date_trunc('hour', now()) - interval '4 hours') - offs, event, op, rel, rows, who, times => times)
FROM (VALUES (interval '0', 'blocked', 'delete', 'quiet'::regclass, 10, 'regress_view_a', NULL),
	('10 minutes', 'blocked', 'delete', 'quiet', 20, 'regress_view_b', 3), ('20 minutes', 'blocked', 'delete', 'quiet', 5, 'regress_view_a', NULL),
	('59 minutes 59.999999 seconds', 'blocked', 'update', 'quiet', NULL, 'regress_view_a', NULL),
	('60 minutes', 'blocked', 'delete', 'quiet', 7, 'regress_view_a', NULL),
	('61 minutes', 'token_used', NULL, 'quiet', NULL, NULL, 2)) v (offs, event, op, rel, rows, who, times);
SELECT date_trunc('hour', now()) - hour, event, operation, relation, events, rows, roles FROM fortress.activity WHERE relation = 'quiet'::regclass ORDER BY hour, event, operation;
SELECT sum(events) FROM fortress.activity WHERE relation = 'quiet'::regclass AND hour >= date_trunc('hour', now()) - interval '3 hours';
SELECT sum(events) FROM fortress.activity WHERE relation = 'quiet'::regclass AND hour = date_trunc('hour', now()) - interval '4 hours' AND event = 'blocked';
-- every event is in exactly one hour
SELECT (SELECT sum(events) FROM fortress.activity) = (SELECT sum(coalesce((detail ->> 'times')::bigint, 1)) FROM fortress.audit_log);
-- newest first by itself
SELECT bool_and(hour <= before) FROM (SELECT hour, lag(hour) OVER () AS before FROM fortress.activity) x;

-- offenders: a local socket has no address, and is one group
SELECT pg_temp.event('2 hours', 'blocked', 'delete', 't', 5, 'regress_view_c', NULL), pg_temp.event('1 hour', 'observed', 'delete', 'p', 6, 'regress_view_c', NULL, times => 2),
	pg_temp.event('3 hours', 'token_refused', NULL, NULL, NULL, 'regress_view_c', NULL), pg_temp.event('3 hours', 'permitted', 'delete', 't', 1000, 'regress_view_c', NULL),
	pg_temp.event('4 hours', 'token_refused', NULL, NULL, NULL, 'regress_view_c', '192.0.2.9', NULL), pg_temp.event('4 hours', 'blocked', 'ddl', 't', NULL, 'regress_view_c', '192.0.2.9', 'psql');
SELECT session_role, client_addr, application_name, blocked, observed, token_refused, rows, relations, now() - first_at, now() - last_at
FROM fortress.offenders WHERE session_role = 'regress_view_c' ORDER BY client_addr, application_name;

--
-- suggest_limits
--
CREATE TABLE s (id int);
SELECT fortress.protect('s', mode => 'audit', delete_rows => 100, update_rows => 50);
SELECT fortress.set_limit('s', 'delete', 40, '30 minutes', 'table');
SELECT fortress.set_limit('s', 'delete', 500, '1 day', 'client');
SELECT fortress.set_limit('s', 'update', 0, 'statement', 'role');
SELECT operation, per, "by", current_rows, seen_rows, suggested_rows FROM fortress.suggest_limits('s');
SELECT count(*) FROM fortress.suggest_limits('quiet');
SAVEPOINT a;
-- what was blocked or permitted, another operation, another table, nothing, too long ago: not seen
SELECT pg_temp.event('1 hour', 'blocked', 'delete', 's', 5000), pg_temp.event('1 hour', 'permitted', 'delete', 's', 5000), pg_temp.event('1 hour', 'observed', 'truncate', 's', 5000),
	pg_temp.event('1 hour', 'observed', 'delete', 'p', 5000), pg_temp.event('1 hour', 'observed', 'delete', 's', 0), pg_temp.event('1 hour', 'observed', 'delete', 's', NULL),
	pg_temp.event('8 days', 'observed', 'delete', 's', 5000);
SELECT DISTINCT seen_rows, current_rows = suggested_rows FROM fortress.suggest_limits('s');
SELECT operation, per, seen_rows, suggested_rows FROM fortress.suggest_limits('s', '9 days');
SELECT operation, per, seen_rows, suggested_rows FROM fortress.suggest_limits('s', NULL) WHERE seen_rows > 0;
ROLLBACK TO a;
-- a role in an hour, everybody in half an hour, a client in a day; a window is late by a thirtieth
SELECT pg_temp.event(ago, 'observed', 'delete', 's', rows, who, addr, times => times)
FROM (VALUES (interval '100 minutes', 200, 'regress_view_a', '192.0.2.1'::inet, NULL), ('95 minutes', 100, 'regress_view_b', '192.0.2.1', 2),
	('69.5 minutes', 400, 'regress_view_b', '192.0.2.2', NULL), ('41 minutes', 300, 'regress_view_a', '192.0.2.2', NULL),
	('39 minutes', 200, 'regress_view_a', NULL, NULL), ('37 minutes', 100, 'regress_view_a', NULL, NULL)) v (ago, rows, who, addr, times);
SELECT per, "by", current_rows, seen_rows, suggested_rows FROM fortress.suggest_limits('s') WHERE operation = 'delete';
SELECT per, seen_rows, suggested_rows FROM fortress.suggest_limits('s', '40 minutes 50 seconds') WHERE operation = 'delete';
ROLLBACK TO a;
-- this machine is one client, and so is an IPv6 network of 64 bits
SELECT pg_temp.event('10 minutes', 'observed', 'delete', 's', 200, addr => addr)
FROM unnest('{2001:db8::1,2001:db8::ffff:1,2001:db8:0:1::1,::ffff:192.0.2.1,::ffff:192.0.2.2}'::inet[]) addr;
SELECT seen_rows FROM fortress.suggest_limits('s') WHERE "by" = 'client';
SELECT pg_temp.event('10 minutes', 'observed', 'delete', 's', 100, addr => addr)
FROM unnest('{NULL,127.0.0.1,127.9.9.9,::1,::ffff:127.0.0.1}'::inet[]) addr;
SELECT seen_rows FROM fortress.suggest_limits('s') WHERE "by" = 'client';
ROLLBACK TO a;
-- two significant digits, upwards, and no end
CREATE FUNCTION pg_temp.suggested(rows bigint) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_temp.event('10 minutes', 'observed', 'update', 's', rows);
	RETURN (SELECT suggested_rows FROM fortress.suggest_limits('s') WHERE per = 'statement');
END $$;
SELECT rows, pg_temp.suggested(rows) FROM unnest('{1,8,10,82,83,84,417,833,834,99999,9223372036854775807}'::bigint[]) rows;
ROLLBACK;

-- the commands can be run as they are, and leave alone what need not change
CREATE TABLE "odd 'name" (id int);
SELECT fortress.protect('"odd ''name"', delete_rows => 10);
SELECT fortress.set_limit('"odd ''name"', 'update', NULL, '1 day', 'client', 0.5);
SELECT command FROM fortress.suggest_limits('"odd ''name"');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT fortress.unlock(fortress.issue_token(operations => '{admin}')) \gset
INSERT INTO fortress.audit_log (id, at, event, operation, relation, rows, detail, hash)
	SELECT 9000000000000000000, now(), 'observed', 'delete', '"odd ''name"'::regclass, 55, '{}', '\x00';
SELECT command FROM fortress.suggest_limits('"odd ''name"') \gexec
SELECT operation, per, "by", max_rows, max_fraction FROM fortress.row_limit WHERE relation = '"odd ''name"'::regclass ORDER BY operation, per COLLATE "C";
ROLLBACK;

-- errors
\set VERBOSITY default
CREATE TABLE u (id int, filler text) PARTITION BY RANGE (id);
CREATE TABLE u1 PARTITION OF u FOR VALUES FROM (0) TO (100000);
CREATE TABLE parent (id int);
CREATE TABLE child () INHERITS (parent);
SELECT fortress.suggest_limits(NULL);
SELECT fortress.suggest_limits('u');
SELECT fortress.protect('u', delete_rows => 100000), fortress.drop_limit('u', 'delete', '1 hour');
SELECT fortress.protect('parent');
SELECT fortress.suggest_limits('u1');
SELECT fortress.suggest_limits('u', '-1 hour');
SELECT fortress.suggest_limits('u', '0');
SELECT fortress.limit_rows('u', 'insert', 'statement', 'role');
SELECT fortress.limit_rows('u', 'delete', 'sometimes', 'role');
\set VERBOSITY terse

--
-- Archives: exact while small, those of children and partitions too
--
CREATE TEMP VIEW archives AS SELECT relation, archived_rows, shadow_size > 0 FROM fortress.status WHERE relation IN ('u'::regclass, 'parent'::regclass) ORDER BY relation::text;
INSERT INTO u SELECT i, NULL FROM generate_series(0, 99) i;
INSERT INTO parent SELECT generate_series(1, 20);
INSERT INTO child SELECT generate_series(1, 20);
SELECT * FROM archives;
DELETE FROM u WHERE id < 10;
DELETE FROM ONLY parent WHERE id <= 3;
DELETE FROM child WHERE id <= 2;
SELECT * FROM archives;
-- not those of others, nor what was rolled back
BEGIN;
DELETE FROM u WHERE id < 20;
SELECT archived_rows FROM archives WHERE relation = 'u'::regclass;
ROLLBACK;
SELECT archived_rows FROM archives WHERE relation = 'u'::regclass;
-- nobody waits for a lock
SELECT fortress.shadow_of('u')::text AS shadow \gset
BEGIN;
LOCK TABLE :shadow IN ACCESS EXCLUSIVE MODE;
PREPARE TRANSACTION 'regress_view';
SELECT * FROM archives;
SELECT fortress.archived_rows('u'), fortress.archive_size('u'), fortress.archived_rows('parent'), fortress.archived_rows(NULL);
ROLLBACK PREPARED 'regress_view';
SELECT * FROM archives;
-- a large archive is estimated
INSERT INTO u SELECT i, repeat('x', 1000) FROM generate_series(1000, 9999) i;
DELETE FROM u WHERE id >= 1000;
ANALYZE :shadow;
SELECT pg_relation_size(:'shadow') > 1000 * 8192, fortress.archived_rows('u') BETWEEN 9000 AND 9020, fortress.archive_size('u') >= pg_relation_size(:'shadow');

--
-- Who may look
--
SET SESSION AUTHORIZATION regress_view_auditor;
SELECT count(s::text) > 0 FROM fortress.status s;
SELECT count(a::text) >= 0 FROM fortress.activity a;
SELECT count(o::text) >= 0 FROM fortress.offenders o;
SELECT count(*) FROM fortress.suggest_limits('view.u');
SELECT count(*) > 0 FROM fortress.window_use();
SELECT fortress.tree_of('view.u');
SELECT fortress.archived_rows('view.parent'), fortress.archive_size('view.parent') > 0, fortress.limit_rows('view.u', 'delete', 'transaction', 'role');
SET SESSION AUTHORIZATION regress_view_nobody;
SELECT count(*) FROM fortress.status;
SELECT count(*) FROM fortress.activity;
SELECT count(*) FROM fortress.offenders;
SELECT fortress.suggest_limits('view.u');
SELECT fortress.window_use();
SELECT fortress.limit_rows('view.u', 'delete', 'transaction', 'role');
SELECT fortress.tree_of('view.u');
SELECT fortress.archived_rows('view.u');
SELECT fortress.archive_size('view.u');
SELECT fortress.blocked_since('view.u', now());
RESET SESSION AUTHORIZATION;
-- reading only
BEGIN READ ONLY;
SELECT count(s::text) > 0, (SELECT count(*) FROM fortress.suggest_limits('view.u')) FROM fortress.status s;
ROLLBACK;

SELECT fortress.set_mode('u', 'off'), fortress.set_mode('parent', 'off'), fortress.set_mode('"odd ''name"', 'off');
SET client_min_messages = error;
DROP SCHEMA view CASCADE;
DROP ROLE regress_view_auditor, regress_view_nobody;
