--
-- Two pairs of eyes: request_unlock, approve_unlock, reject_unlock,
-- unlock_request, require_approval.
--
-- Who logged in matters here, so the sessions are real ones: \c, not SET SESSION
-- AUTHORIZATION.  Numbers of requests depend on what ran before: they are kept in
-- variables of psql and never printed.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fortress_guard;
\set VERBOSITY terse
\set SHOW_CONTEXT never
SELECT session_user AS super \gset

CREATE ROLE regress_appr_agent LOGIN;
CREATE ROLE regress_appr_twin LOGIN IN ROLE regress_appr_agent;
CREATE ROLE regress_appr_anna LOGIN IN ROLE fortress_admin;
CREATE ROLE regress_appr_bert LOGIN IN ROLE fortress_admin;
CREATE ROLE regress_appr_dora LOGIN NOINHERIT IN ROLE fortress_admin;
CREATE ROLE regress_appr_leads;
CREATE ROLE regress_appr_carl LOGIN IN ROLE regress_appr_leads;
CREATE ROLE regress_appr_nobody LOGIN;
CREATE ROLE regress_appr_super LOGIN SUPERUSER;
CREATE SCHEMA appr;
GRANT ALL ON SCHEMA appr TO PUBLIC;
CREATE TABLE appr.listing (id int PRIMARY KEY, price int, note text);
CREATE TABLE appr.salary (id int PRIMARY KEY, price int);
CREATE TABLE appr.visit (id int, at date) PARTITION BY RANGE (at);
CREATE TABLE appr.visit_1 PARTITION OF appr.visit FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE appr.visit_2 PARTITION OF appr.visit FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
INSERT INTO appr.listing SELECT i, i FROM generate_series(1, 400) i;
INSERT INTO appr.salary SELECT i, i FROM generate_series(1, 40) i;
INSERT INTO appr.visit SELECT i, '2024-12-01'::date + i FROM generate_series(1, 60) i;
ANALYZE appr.listing, appr.salary, appr.visit_1, appr.visit_2;
GRANT SELECT, DELETE, TRUNCATE ON appr.listing, appr.salary, appr.visit TO regress_appr_agent;
GRANT SELECT, UPDATE (price) ON appr.listing TO regress_appr_agent;
GRANT SELECT, DELETE ON appr.listing TO regress_appr_anna, regress_appr_bert, regress_appr_super;
SELECT fortress.protect('appr.listing', delete_rows => 3, update_rows => 3, archive => 'none');
SELECT fortress.protect('appr.salary', delete_rows => 3, update_rows => 3, archive => 'none');
SELECT fortress.protect('appr.visit', delete_rows => 3, archive => 'none');

-- What would come of a statement: its rows, or the SQLSTATE.  Nothing stays.
CREATE FUNCTION appr.try(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
BEGIN
	EXECUTE statement;
	GET DIAGNOSTICS n = ROW_COUNT;
	RAISE EXCEPTION USING ERRCODE = 'ZZ000', MESSAGE = n || ' rows';
EXCEPTION WHEN OTHERS THEN
	RETURN CASE SQLSTATE WHEN 'ZZ000' THEN SQLERRM ELSE SQLSTATE END;
END $$;

-- The message, detail and hint of a failing statement, numbers and times masked.
CREATE FUNCTION appr.complaint(statement text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	d text;
	h text;
BEGIN
	EXECUTE statement;
	RETURN NEXT 'no complaint';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT;
	RETURN NEXT SQLSTATE || ' ' || regexp_replace(SQLERRM, '(request|token) \d+', '\1 N');
	RETURN NEXT regexp_replace(d, 'until \d{4}-\d\d-\d\d .*', 'until TIME.');
	RETURN NEXT regexp_replace(h, '_unlock\(\d+\)', '_unlock(N)');
END $$;
CREATE FUNCTION appr.approve_unlock(request bigint) RETURNS text LANGUAGE sql
	AS $$ SELECT array_to_string(ARRAY(SELECT appr.complaint(format('SELECT fortress.approve_unlock(%s)', request)) LIMIT 1), '') $$;

--
-- Asking
--
\c - regress_appr_agent
SELECT fortress.request_unlock('{appr.listing}', '{delete}', 100, 'listings of a closed branch') AS r \gset
-- pending: nothing is open yet
SELECT appr.complaint(format('SELECT fortress.unlock_request(%s)', :r));
SELECT appr.try('DELETE FROM appr.listing WHERE id > 390');

-- who may ask: whoever may write all the tables
SELECT fortress.request_unlock('{appr.listing}', '{update}', 10, 'one column is enough') > 0 AS asked;
SELECT fortress.request_unlock('{appr.listing}', '{truncate}', 10, 'x') > 0 AS asked;
SELECT fortress.request_unlock('{appr.salary}', '{update}', 10, 'x');
SELECT fortress.request_unlock('{appr.listing,appr.salary}', '{delete,update}', 10, 'x');
SELECT fortress.request_unlock('{appr.listing}', '{ddl}', 10, 'x');
SELECT fortress.request_unlock(NULL, '{delete}', 10, 'x');
SELECT fortress.request_unlock(NULL, '{admin}', 10, 'x');
SELECT fortress.request_unlock('{appr.listing}', '{admin}', 10, 'x');
-- arguments
SELECT fortress.request_unlock('{}', '{delete}', 10, 'x');
SELECT fortress.request_unlock('{NULL}', '{delete}', 10, 'x');
SELECT fortress.request_unlock('{appr.visit_1}', '{delete}', 10, 'x');
SELECT fortress.request_unlock('{appr.listing}', '{}', 10, 'x');
SELECT fortress.request_unlock('{appr.listing}', NULL, 10, 'x');
SELECT fortress.request_unlock('{appr.listing}', '{insert}', 10, 'x');
SELECT fortress.request_unlock('{appr.listing}', '{delete}', -1, 'x');
SELECT fortress.request_unlock('{appr.listing}', '{delete}', 10, NULL);
SELECT fortress.request_unlock('{appr.listing}', '{delete}', 10, E' \n');
SELECT fortress.request_unlock('{appr.listing}', '{delete}', 10, repeat('x', 5000));
SELECT fortress.request_unlock('{appr.listing}', '{delete}', 10, 'x', '0');
SELECT fortress.request_unlock('{appr.listing}', '{delete}', 10, 'x', NULL);
SELECT fortress.unlock_request(NULL);
BEGIN READ ONLY;
SELECT fortress.request_unlock('{appr.listing}', '{delete}', 10, 'x');
ROLLBACK;
-- nobody floods those who decide
SELECT count(fortress.request_unlock('{appr.listing}', '{delete}', 10, 'flood')) AS flood FROM generate_series(1, 97);
SELECT appr.complaint($$SELECT fortress.request_unlock('{appr.listing}', '{delete}', 10, 'one too many')$$);
-- what is asked for in a function is asked for by who logged in
CREATE FUNCTION appr.ask() RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS $$SELECT fortress.request_unlock('{appr.listing}', '{delete}', 10, 'by a function')$$;
CREATE FUNCTION appr.use(request bigint, statement text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS $$BEGIN PERFORM fortress.unlock_request(request); RETURN appr.try(statement); END$$;
\c - regress_appr_nobody
SELECT fortress.request_unlock('{appr.listing}', '{delete}', 10, 'x');
SELECT appr.ask() AS r2 \gset
-- a request that is rolled back was never made
BEGIN;
SELECT appr.ask() > 0 AS asked;
ROLLBACK;
\c - regress_appr_agent
SELECT appr.try(format('SELECT fortress.unlock_request(%s)', :r2));
-- reading and deciding is not for everybody
SELECT count(*) FROM fortress.requests;
SELECT count(*) FROM fortress.request;
SELECT fortress.approve_unlock(:r);
SELECT fortress.reject_unlock(:r, 'x');
SELECT fortress.require_approval('appr.listing', '{delete}');

--
-- What is seen of it
--
\c - regress_appr_anna
SELECT count(fortress.reject_unlock(id, 'flood')) AS flood FROM fortress.requests WHERE reason = 'flood';
SELECT state, relations, operations, max_rows, estimated_rows, reason, requested_by, requester_login, actual_role, valid_for, decided_by, valid_until IS NULL AS no_end
FROM fortress.requests WHERE id = :r;
SELECT operations, state, max_rows, estimated_rows FROM fortress.requests WHERE requested_by = 'regress_appr_agent' AND reason <> 'flood' ORDER BY id;
\c - regress_appr_agent
SELECT fortress.request_unlock('{appr.visit,appr.listing}', '{delete}', NULL, 'estimate') AS r2 \gset
SET application_name = 'agent 7'; SET fortress.context = '{"user": "eve"}';
SELECT fortress.request_unlock('{appr.visit}', '{delete}', NULL, 'estimate') AS r3 \gset
\c - :super
SELECT relations, max_rows, estimated_rows, application_name, context FROM fortress.requests WHERE id = :r3;
SELECT relations, max_rows, estimated_rows FROM fortress.requests WHERE id = :r2;
SELECT fortress.request_unlock(NULL, '{delete}', NULL, 'everything') AS r4 \gset
SELECT fortress.request_unlock(NULL, '{admin}', NULL, 'the guard') AS r5 \gset
SELECT relations, estimated_rows >= 500 AS estimate FROM fortress.requests WHERE id IN (:r4, :r5) ORDER BY id;

--
-- Who decides: another person
--
SELECT fortress.request_unlock('{appr.listing}', '{delete}', 100, 'mine') AS own \gset
SELECT appr.complaint(format('SELECT fortress.approve_unlock(%s)', :own));
-- not by another name of the same login
SET ROLE regress_appr_anna;
SELECT appr.approve_unlock(:own);
RESET ROLE;
SET SESSION AUTHORIZATION regress_appr_anna;
SELECT appr.approve_unlock(:own);
RESET SESSION AUTHORIZATION;
-- nor for what another name of the same login has asked for
SET SESSION AUTHORIZATION regress_appr_agent;
SELECT fortress.request_unlock('{appr.listing}', '{delete}', 100, 'by the name of the agent') AS named \gset
RESET SESSION AUTHORIZATION;
SELECT appr.approve_unlock(:named);
SET SESSION AUTHORIZATION regress_appr_bert;
SELECT appr.approve_unlock(:named);
RESET SESSION AUTHORIZATION;
SELECT requested_by, requester_login = :'super' AS login FROM fortress.requests WHERE id = :named;

-- the requester, who is an administrator, and what he lets others run
\c - regress_appr_anna
SELECT fortress.request_unlock('{appr.listing}', '{delete}', 100, 'mine') AS annas \gset
SELECT appr.complaint(format('SELECT fortress.approve_unlock(%s)', :annas));
SET ROLE fortress_admin;
SELECT appr.approve_unlock(:annas);
RESET ROLE;
CREATE FUNCTION appr.trap(request bigint) RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS 'SELECT appr.approve_unlock(request)';
SELECT appr.trap(:annas);
CREATE FUNCTION appr.bait(request bigint) RETURNS text LANGUAGE sql AS 'SELECT appr.approve_unlock(request)';
CREATE VIEW appr.lure AS SELECT appr.bait(id) FROM fortress.requests r WHERE r.reason = 'mine' AND r.requested_by = 'regress_appr_anna';
GRANT SELECT ON appr.lure TO PUBLIC;
\c - regress_appr_bert
SELECT appr.trap(:annas);
-- nor one that runs as whoever meets it
SELECT appr.bait(:annas);
SELECT * FROM appr.lure;
CREATE FUNCTION appr.favour(request bigint) RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS 'SELECT appr.approve_unlock(request)';
\c - regress_appr_anna
-- a function of another administrator's does not make her another person
SELECT appr.favour(:annas);
-- nor does a superuser's for somebody who is none
\c - regress_appr_super
CREATE FUNCTION appr.mighty(request bigint) RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS 'SELECT appr.approve_unlock(request)';
\c - regress_appr_nobody
SELECT appr.approve_unlock(:r), appr.mighty(:r);
\c - regress_appr_agent
SELECT appr.mighty(:r), appr.favour(:r);
-- a member of the requester is no administrator either
\c - regress_appr_twin
SELECT appr.approve_unlock(:r), appr.favour(:r);
-- an administrator who does not inherit says so
\c - regress_appr_dora
SELECT fortress.approve_unlock(:annas);
SET ROLE fortress_admin;
SELECT appr.approve_unlock(:annas);

-- another administrator, or a superuser
\c - regress_appr_bert
SELECT fortress.approve_unlock(:r);
SELECT appr.complaint(format('SELECT fortress.approve_unlock(%s)', :r)) AS twice;
SELECT state, decided_by, decided_login, decided_at <= now() AS decided, valid_until - decided_at < interval '1 hour 1 minute' AS an_hour FROM fortress.requests WHERE id = :r;
SELECT fortress.approve_unlock(-1);
SELECT fortress.approve_unlock(NULL);
SELECT fortress.reject_unlock(-1, 'x');
SELECT fortress.reject_unlock(:own, NULL);
SELECT fortress.reject_unlock(:own, '');
\c - regress_appr_super
SELECT fortress.approve_unlock(:own), fortress.approve_unlock(:named);
SELECT requested_by, requester_login, actual_role FROM fortress.requests WHERE reason = 'by a function';
SELECT id AS r2 FROM fortress.requests WHERE reason = 'by a function' \gset
SELECT fortress.approve_unlock(:r2);
\c - regress_appr_agent
SELECT appr.complaint(format('SELECT appr.use(%s, %L)', :r2, 'DELETE FROM appr.listing WHERE id > 391'));
\c - regress_appr_nobody
SELECT appr.use(:r2, 'DELETE FROM appr.listing WHERE id > 391');
SELECT appr.complaint(format('SELECT appr.use(%s, %L)', :r2, 'DELETE FROM appr.listing WHERE id > 391'));

--
-- Using it
--
\c - regress_appr_super
-- by nobody else
SELECT appr.complaint(format('SELECT fortress.unlock_request(%s)', :r));
\c - regress_appr_twin
SELECT appr.complaint(format('SELECT fortress.unlock_request(%s)', :r));
SET ROLE regress_appr_agent;
SELECT appr.try(format('SELECT fortress.unlock_request(%s)', :r));
\c - regress_appr_agent
SELECT appr.complaint('SELECT fortress.unlock_request(-1)');
-- within its bounds, in the transaction only, given back by a rollback
BEGIN;
SELECT fortress.unlock_request(:r);
DELETE FROM appr.listing WHERE id > 390;
SELECT appr.try('DELETE FROM appr.listing WHERE id > 300') AS exactly, appr.try('DELETE FROM appr.listing WHERE id > 299') AS one_more,
	appr.try('DELETE FROM appr.salary WHERE id > 30') AS other_table, appr.try('UPDATE appr.listing SET price = 0 WHERE id > 380') AS other_operation,
	appr.try('TRUNCATE appr.listing') AS truncate;
-- once more, after lock() as well
SELECT fortress.unlock_request(:r);
SELECT fortress.lock();
SELECT appr.try('DELETE FROM appr.listing WHERE id > 350') AS locked;
SELECT fortress.unlock_request(:r);
SELECT appr.try('DELETE FROM appr.listing WHERE id > 350') AS unlocked;
ROLLBACK;
SELECT appr.try('DELETE FROM appr.listing WHERE id > 390');
BEGIN;
SAVEPOINT a;
SELECT fortress.unlock_request(:r);
ROLLBACK TO a;
SELECT appr.try('DELETE FROM appr.listing WHERE id > 390') AS rolled_back;
SELECT fortress.unlock_request(:r);
DELETE FROM appr.listing WHERE id > 390;
COMMIT;
BEGIN READ ONLY;
SELECT fortress.unlock_request(:r);
ROLLBACK;
-- once
SELECT appr.complaint(format('SELECT fortress.unlock_request(%s)', :r)) AS once;
\c - regress_appr_bert
SELECT state, used_at IS NOT NULL AS used FROM fortress.requests WHERE id = :r;
SELECT t.origin, t.operations, t.max_rows, t.uses, t.for_role, t.reason, t.used, t.rows_used, t.active
FROM fortress.tokens t JOIN fortress.requests r ON r.token = t.id AND t.request = r.id WHERE r.id = :r;
SELECT appr.complaint(format('SELECT fortress.reject_unlock(%s, %L)', :r, 'too late'));

-- rejected, with the reason
\c - regress_appr_agent
SELECT fortress.request_unlock('{appr.listing}', '{delete}', 100, 'please') AS r \gset
SELECT fortress.request_unlock('{appr.listing}', '{delete}', 100, 'please', '1 microsecond') AS short \gset
\c - regress_appr_bert
SELECT fortress.reject_unlock(:r, 'the branch is open again');
SELECT appr.complaint(format('SELECT fortress.approve_unlock(%s)', :r));
SELECT appr.complaint(format('SELECT fortress.reject_unlock(%s, %L)', :r, 'again'));
SELECT fortress.approve_unlock(:short);
SELECT pg_sleep(0.01);
SELECT state, why FROM fortress.requests WHERE id IN (:r, :short) ORDER BY id;
SELECT appr.complaint(format('SELECT fortress.reject_unlock(%s, %L)', :short, 'too late'));
\c - regress_appr_agent
SELECT appr.complaint(format('SELECT fortress.unlock_request(%s)', :r)) AS rejected;
SELECT appr.complaint(format('SELECT fortress.unlock_request(%s)', :short)) AS expired;
-- an approved one, before it is used; by who asked too
SELECT fortress.request_unlock('{appr.listing}', '{delete}', 100, 'please') AS r \gset
\c - regress_appr_bert
SELECT fortress.approve_unlock(:r);
SELECT fortress.reject_unlock(:r, 'changed my mind');
\c - regress_appr_anna
SELECT fortress.reject_unlock(:annas, 'not needed');
SELECT state, decided_by, why FROM fortress.requests WHERE id IN (:r, :annas) ORDER BY id;
SELECT appr.try(format('SELECT fortress.unlock_request(%s)', :annas));

--
-- The only way: require_approval
--
\c - :super
SELECT fortress.exempt('regress_appr_agent', 'appr.listing', '{delete,update}') AS exemption \gset
SELECT fortress.issue_token('{appr.listing,appr.salary}', '{delete,update,truncate}', uses => NULL) AS secret \gset
-- nothing changes for other operations and tables
SELECT fortress.require_approval('appr.listing', '{delete,truncate}');
SELECT relation, operations, approvers_name, set_by = session_user AS set_by FROM fortress.approval_rule;
\c - regress_appr_agent
BEGIN;
SELECT fortress.unlock(:'secret');
SELECT appr.try('DELETE FROM appr.listing WHERE id > 388') AS within_limits,
	appr.try('DELETE FROM appr.listing WHERE id > 350') AS delete, appr.try('TRUNCATE appr.listing') AS truncate,
	appr.try('UPDATE appr.listing SET price = 0 WHERE id > 350') AS update, appr.try('DELETE FROM appr.salary WHERE id > 30') AS other_table;
SELECT appr.complaint('DELETE FROM appr.listing WHERE id > 350');
SELECT appr.complaint('TRUNCATE appr.listing');
ROLLBACK;
-- nor by the setting, good or bad
BEGIN;
SELECT set_config('fortress.token', :'secret', true) = '' AS not_shown;
SELECT appr.try('DELETE FROM appr.listing WHERE id > 350') AS setting;
ROLLBACK;
SELECT fortress.request_unlock('{appr.listing}', '{delete}', 50, 'as the rule wants it') AS r \gset
\c - regress_appr_bert
SELECT fortress.approve_unlock(:r);
\c - regress_appr_agent
BEGIN;
SELECT fortress.unlock_request(:r);
SELECT appr.try('DELETE FROM appr.listing WHERE id > 350') AS approved;
SELECT appr.try('DELETE FROM appr.listing WHERE id > 300') AS too_many;
ROLLBACK;

-- approvers of its own: they, and not the administrators
\c - :super
SELECT fortress.require_approval('appr.salary', '{delete}', 'regress_appr_leads');
-- what they need they have by it
SELECT count(*) FROM fortress.verify_guard() WHERE NOT ok AND piece ~ '^rights|^label';
\c - regress_appr_agent
SELECT fortress.request_unlock('{appr.salary}', '{delete}', 50, 'one') AS one \gset
SELECT fortress.request_unlock('{appr.salary,appr.listing}', '{delete}', 50, 'both') AS both \gset
SELECT fortress.request_unlock('{appr.salary}', '{truncate}', 50, 'no rule') AS other \gset
\c - regress_appr_anna
SELECT fortress.request_unlock(NULL, '{delete}', 50, 'all') AS all \gset
\c - regress_appr_bert
SELECT appr.complaint(format('SELECT fortress.approve_unlock(%s)', :one));
SELECT appr.approve_unlock(:both) AS both, appr.approve_unlock(:all) AS all, appr.approve_unlock(:other) AS other;
\c - regress_appr_carl
SELECT reason, state FROM fortress.requests WHERE id IN (:one, :both, :all) ORDER BY id;
SELECT appr.approve_unlock(:one) AS one, appr.approve_unlock(:both) AS both, appr.approve_unlock(:all) AS all;
SELECT fortress.require_approval('appr.salary', '{}');
\c - regress_appr_agent
BEGIN;
SELECT fortress.unlock_request(:one);
SELECT appr.try('DELETE FROM appr.salary WHERE id > 20') AS approved;
ROLLBACK;
-- administrators can stop it all the same
\c - regress_appr_bert
SELECT fortress.reject_unlock(:one, 'no'), fortress.reject_unlock(:both, 'no');
-- and superusers do anything but what they have asked for themselves
\c - regress_appr_super
SELECT fortress.approve_unlock(:all);

-- a role that approves is out of reach
\c - :super
GRANT regress_appr_leads TO regress_appr_nobody;
ALTER ROLE regress_appr_leads LOGIN;
DROP ROLE regress_appr_leads;
-- it is replaced, and ends; so do the rights
SELECT fortress.require_approval('appr.salary', '{delete,update}');
SELECT relation, operations, approvers_name FROM fortress.approval_rule ORDER BY relation::text;
SELECT fortress.require_approval('appr.salary', '{}');
SELECT fortress.require_approval('appr.salary', '{}');
SELECT relation, operations, approvers_name FROM fortress.approval_rule;
SELECT count(*) FROM fortress.verify_guard() WHERE NOT ok AND piece ~ '^rights|^label';
\c - regress_appr_carl
SELECT fortress.approve_unlock(:one);

-- arguments
\c - :super
SELECT fortress.require_approval('appr.listing', '{admin}');
SELECT fortress.require_approval('appr.listing', NULL);
SELECT fortress.require_approval('appr.listing', '{insert}');
SELECT fortress.require_approval('appr.visit_1', '{delete}');
SELECT fortress.require_approval(0, '{delete}');
SELECT fortress.require_approval('appr.listing', '{delete}', '-');
SELECT fortress.require_approval('fortress.requests', '{delete}');

-- every protected table; the table's own rule goes first for what it names
SELECT fortress.require_approval(NULL, '{delete,update}', 'regress_appr_leads');
\c - regress_appr_agent
BEGIN;
SELECT fortress.unlock(:'secret');
SELECT appr.try('DELETE FROM appr.salary WHERE id > 20') AS all, appr.try('UPDATE appr.listing SET price = 0 WHERE id > 350') AS all;
ROLLBACK;
SELECT fortress.request_unlock('{appr.listing}', '{delete}', 50, 'own rule') AS own \gset
SELECT fortress.request_unlock('{appr.listing}', '{update}', 50, 'rule of all') AS other \gset
SELECT fortress.request_unlock('{appr.salary}', '{delete}', 50, 'rule of all') AS third \gset
\c - regress_appr_bert
SELECT appr.approve_unlock(:own) AS own, appr.approve_unlock(:other) AS other, appr.approve_unlock(:third) AS third;
\c - regress_appr_carl
SELECT appr.approve_unlock(:own) AS own, appr.approve_unlock(:other) AS other, appr.approve_unlock(:third) AS third;
\c - :super
SELECT fortress.require_approval(NULL, '{}');
-- the rule of a table goes with it
CREATE TABLE appr.short (id int);
SELECT fortress.require_approval('appr.short', '{delete}', 'regress_appr_leads');
DROP TABLE appr.short;
SELECT relation, operations FROM fortress.approval_rule;
SELECT count(*) FROM fortress.verify_guard() WHERE NOT ok AND piece ~ '^rights|^label';
SELECT fortress.require_approval('appr.listing', '{}');
SELECT fortress.revoke_exemption(:exemption);

--
-- Changing the guard itself
--
SELECT fortress.issue_token(operations => '{admin}', uses => NULL) AS admin \gset
SELECT fortress.protect_schema('appr', mode => 'block') AS protected;
SELECT fortress.require_approval(NULL, '{admin}');
CREATE TEMP TABLE work (n int, statement text);
INSERT INTO work VALUES
	(1, $$SELECT fortress.unprotect('appr.listing')$$),
	(2, $$SELECT fortress.set_mode('appr.listing', 'audit')$$),
	(3, $$SELECT fortress.protect('appr.listing', delete_rows => 1000)$$),
	(4, $$SELECT fortress.protect('appr.listing', require_where => false)$$),
	(5, $$SELECT fortress.protect('appr.listing', columns => '{price}')$$),
	(6, $$SELECT fortress.set_limit('appr.listing', 'delete', 1000)$$),
	(7, $$SELECT fortress.drop_limit('appr.listing', 'delete')$$),
	(8, $$SELECT fortress.exempt('regress_appr_agent')$$),
	(9, $$SELECT fortress.issue_token()$$),
	(10, $$SELECT fortress.require_approval(NULL, '{}')$$),
	(11, $$SELECT fortress.require_approval('appr.listing', '{}')$$),
	(12, $$SELECT fortress.protect_schema('appr', mode => 'off')$$),
	(13, $$SELECT fortress.protect_schema('appr', delete_rows => 100000)$$),
	(14, $$SELECT fortress.unprotect_schema('appr')$$),
	(15, $$SELECT fortress.allow_drop_database()$$),
	(16, $$DELETE FROM fortress.policy$$),
	(17, $$ALTER TABLE appr.listing DISABLE TRIGGER fortress_guard_delete$$),
	(18, $$GRANT fortress_admin TO regress_appr_nobody$$);
SELECT n, appr.try(statement) FROM work ORDER BY n;
SELECT appr.complaint(statement) FROM work WHERE n IN (1, 9) ORDER BY n;
SELECT appr.complaint(statement) FROM work WHERE n IN (17) ORDER BY n;
-- a token is no way any more
BEGIN;
SELECT fortress.unlock(:'admin');
SELECT n, appr.try(statement) FROM work WHERE n IN (1, 16, 17) ORDER BY n;
ROLLBACK;
-- making it stricter, and taking permission, go on
BEGIN;
SELECT fortress.protect('appr.listing', delete_rows => 2), fortress.set_mode('appr.visit', 'block'), fortress.set_limit('appr.listing', 'delete', 1);
SELECT fortress.protect_schema('appr', delete_rows => 2) AS stricter;
SELECT fortress.revoke_token(max(id)) FROM fortress.tokens;
ROLLBACK;
-- with approval it goes
SELECT fortress.request_unlock(NULL, '{admin}', NULL, 'rules are to end') AS r \gset
\c - regress_appr_bert
SELECT fortress.approve_unlock(:r);
\c - :super
BEGIN;
SELECT fortress.unlock_request(:r);
SELECT appr.try($$SELECT fortress.unprotect('appr.listing')$$) AS unprotect, appr.try('SELECT fortress.issue_token()') AS issue_token,
	appr.try($$SELECT fortress.set_mode('appr.listing', 'off')$$) AS set_mode, appr.try('DELETE FROM fortress.policy WHERE false') AS side_road,
	appr.try('DELETE FROM appr.listing WHERE id > 300') AS rows;
SELECT fortress.require_approval(NULL, '{}');
COMMIT;
BEGIN;
SELECT fortress.unlock(:'admin');
SELECT appr.try($$SELECT fortress.unprotect('appr.listing')$$);
ROLLBACK;

--
-- Everything is told
--
SELECT ok FROM fortress.verify_audit();
SELECT event, relation, max_rows, replace(regexp_replace(regexp_replace(detail ->> 'message', '(request|about) \d+', '\1 N', 'g'), 'until .*', 'until TIME'), :'super', 'SUPER') AS message, detail ->> 'sqlstate' AS sqlstate
FROM fortress.audit_log WHERE event ~ '^approval_' AND session_role ~ '^regress_appr_' AND detail ->> 'message' !~ 'flood' ORDER BY id;
SELECT regexp_replace(detail ->> 'message', '\d+', 'N', 'g') AS message, count(*)
FROM fortress.audit_log WHERE event = 'token_used' AND session_role ~ '^regress_appr_' GROUP BY 1 ORDER BY 1;
SELECT regexp_replace(detail ->> 'message', '\d+', 'N', 'g') AS message, session_role, count(*)
FROM fortress.audit_log WHERE event = 'token_refused' AND session_role ~ '^regress_appr_' GROUP BY 1, 2 ORDER BY 1, 2;

--
-- Clean up
--
SELECT fortress.unprotect('appr.listing'), fortress.unprotect('appr.salary'), fortress.unprotect('appr.visit');
SELECT fortress.unprotect_schema('appr');
SET client_min_messages = error;
DROP SCHEMA appr CASCADE;
DROP ROLE regress_appr_agent, regress_appr_twin, regress_appr_anna, regress_appr_bert, regress_appr_dora, regress_appr_leads, regress_appr_carl, regress_appr_nobody, regress_appr_super;
