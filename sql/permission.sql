--
-- Permission: exemptions of roles, tokens, unlock and lock.
--
-- Secrets are random: they are kept in variables of psql and never printed.
-- Numbers of tokens and exemptions depend on what ran before: the same.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fortress_guard;
\set VERBOSITY terse
\set SHOW_CONTEXT never

CREATE ROLE regress_perm_admin IN ROLE fortress_admin;
CREATE ROLE regress_perm_app;
CREATE ROLE regress_perm_member IN ROLE regress_perm_app;
CREATE ROLE regress_perm_other;
CREATE SCHEMA perm;
GRANT ALL ON SCHEMA perm TO PUBLIC;
SET search_path = perm;

CREATE TABLE listing (id int PRIMARY KEY, price int);
CREATE TABLE enquiry (id int PRIMARY KEY, price int);
CREATE TABLE plain (id int PRIMARY KEY, price int);
INSERT INTO listing SELECT i, i FROM generate_series(1, 40) i;
INSERT INTO enquiry SELECT i, i FROM generate_series(1, 40) i;
GRANT ALL ON listing, enquiry, plain TO PUBLIC;
SELECT fortress.protect('listing', delete_rows => 3, update_rows => 3, archive => 'none');
SELECT fortress.protect('enquiry', delete_rows => 3, update_rows => 3, archive => 'none');

-- What would come of a statement: its rows, or the SQLSTATE.  Nothing stays.
CREATE FUNCTION try(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
BEGIN
	EXECUTE statement;
	GET DIAGNOSTICS n = ROW_COUNT;
	RAISE EXCEPTION USING ERRCODE = 'ZZ000', MESSAGE = n || ' rows';
EXCEPTION WHEN OTHERS THEN
	RETURN CASE SQLSTATE WHEN 'ZZ000' THEN SQLERRM ELSE SQLSTATE END;
END $$;

-- The same, run as the application's role and as another one.
CREATE FUNCTION try_as_app(statement text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER
	SET search_path = perm AS 'BEGIN RETURN try(statement); END';
ALTER FUNCTION try_as_app(text) OWNER TO regress_perm_app;
CREATE FUNCTION try_as_other(statement text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER
	SET search_path = perm AS 'BEGIN RETURN try(statement); END';
ALTER FUNCTION try_as_other(text) OWNER TO regress_perm_other;

-- The message, detail and hint of a failing statement, numbers and times masked.
CREATE FUNCTION complaint(statement text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	d text;
	h text;
BEGIN
	EXECUTE statement;
	RETURN NEXT 'no complaint';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT;
	RETURN NEXT SQLSTATE || ' ' || regexp_replace(SQLERRM, '(token|exemption) \d+', '\1 N');
	RETURN NEXT regexp_replace(regexp_replace(d, '\d{4}-\d\d-\d\d .*', 'TIME.'), '\d+', 'N');
	RETURN NEXT h;
END $$;

\set five 'DELETE FROM listing WHERE id <= 5'
\set five_enquiries 'DELETE FROM enquiry WHERE id <= 5'
\set five_updates 'UPDATE listing SET price = 0 WHERE id <= 5'

--
-- Without permission: within limits or not, superusers too
--
SELECT try('DELETE FROM listing WHERE id <= 3'), try(:'five'), try(:'five_updates');

--
-- Exemptions
--
SET SESSION AUTHORIZATION regress_perm_other;
SELECT fortress.exempt('regress_perm_other');				-- not for everybody
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION regress_perm_admin;
SELECT fortress.exempt('regress_perm_app', 'listing', reason => 'nightly clean-up') AS exemption \gset
RESET SESSION AUTHORIZATION;
SELECT role, relation, operations, max_rows, valid_until, reason, granted_by, ended_at, active
FROM fortress.exemptions WHERE id = :exemption;

-- exactly this role: by login, by SET ROLE, in a function that it owns
SET SESSION AUTHORIZATION regress_perm_app;
SELECT try(:'five') AS login, try(:'five_updates') AS update,
	try(:'five_enquiries') AS other_table, try('TRUNCATE listing') AS other_operation,
	try_as_other(:'five') AS function_of_other_role;
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION regress_perm_member;
SELECT try(:'five') AS membership, try_as_app(:'five') AS function_of_role;
SET ROLE regress_perm_app;
SELECT try(:'five') AS set_role;
RESET ROLE;
RESET SESSION AUTHORIZATION;
SELECT try(:'five') AS superuser;

-- revoking counts from the next statement on
SELECT fortress.revoke_exemption(:exemption);
SELECT try_as_app(:'five') AS revoked;
SELECT complaint(format('SELECT fortress.revoke_exemption(%s)', :exemption));
SELECT active, ended_at IS NOT NULL AS ended FROM fortress.exemptions WHERE id = :exemption;

-- undone by rollback, like everything else
BEGIN;
SELECT fortress.exempt('regress_perm_app') > 0 AS granted;
SELECT try_as_app(:'five'), try_as_app(:'five_enquiries');
ROLLBACK;
SELECT try_as_app(:'five');

-- max_rows is for each transaction, and follows savepoints
SELECT fortress.exempt('regress_perm_app', 'listing', '{delete}', max_rows => 8) AS exemption \gset
SELECT try_as_app('DELETE FROM listing WHERE id <= 8') AS all_of_it,
	try_as_app('DELETE FROM listing WHERE id <= 9') AS too_many, try_as_app(:'five_updates') AS not_for_update;
BEGIN;
SET LOCAL ROLE regress_perm_app;
SAVEPOINT a;
DELETE FROM listing WHERE id <= 5;
ROLLBACK TO a;
DELETE FROM listing WHERE id <= 5;
SELECT try('DELETE FROM listing WHERE id BETWEEN 6 AND 9');
ROLLBACK;
SELECT complaint('SET LOCAL ROLE regress_perm_app; DELETE FROM listing WHERE id <= 9');
SELECT fortress.revoke_exemption(:exemption);

-- expiry
SELECT fortress.exempt('regress_perm_app', valid_until => clock_timestamp() - interval '1 second') AS gone,
	fortress.exempt('regress_perm_other', valid_until => clock_timestamp() + interval '1 hour') AS good \gset
SELECT try_as_app(:'five') AS expired, try_as_other(:'five') AS good;
SELECT role, active FROM fortress.exemptions WHERE id IN (:gone, :good) ORDER BY id;
SELECT fortress.revoke_exemption(:good);

-- a role that was made again is another role
CREATE ROLE regress_perm_again;
SELECT fortress.exempt('regress_perm_again') AS exemption \gset
BEGIN;
SELECT fortress.unlock(fortress.issue_token(operations => '{admin}')) \gset
ALTER ROLE regress_perm_again RENAME TO regress_perm_again2;
COMMIT;
SET ROLE regress_perm_again2;
SELECT try(:'five') AS renamed;
RESET ROLE;
BEGIN;
SELECT fortress.unlock(fortress.issue_token(operations => '{admin}')) \gset
DROP ROLE regress_perm_again2;
COMMIT;
CREATE ROLE regress_perm_again;
SET ROLE regress_perm_again;
SELECT try(:'five') AS made_again;
RESET ROLE;
SELECT fortress.revoke_exemption(:exemption);
DROP ROLE regress_perm_again;

-- arguments
SELECT fortress.exempt(NULL);
SELECT fortress.exempt('-');
SELECT fortress.exempt('regress_perm_app', operations => NULL);
SELECT fortress.exempt('regress_perm_app', operations => '{}');
SELECT fortress.exempt('regress_perm_app', operations => '{delete,NULL}');
SELECT fortress.exempt('regress_perm_app', operations => '{insert}');
SELECT fortress.exempt('regress_perm_app', max_rows => -1);
SELECT fortress.exempt('regress_perm_app', 'pg_catalog.pg_views');
SELECT fortress.revoke_exemption(NULL);

-- a permission is for the table that has the policy
CREATE TABLE part (id int) PARTITION BY RANGE (id);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (100);
SELECT fortress.protect('part', archive => 'none');
SELECT complaint($$SELECT fortress.exempt('regress_perm_app', 'part_1')$$);
SELECT complaint($$SELECT fortress.issue_token('{listing,part_1}')$$);
BEGIN;
SELECT fortress.exempt('regress_perm_app', 'part') > 0 AS root, fortress.exempt('regress_perm_app', 'plain') > 0 AS not_yet_protected;
ROLLBACK;

--
-- Tokens
--
SET SESSION AUTHORIZATION regress_perm_other;
SELECT fortress.issue_token();								-- not for everybody
SELECT fortress.revoke_token(1);
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION regress_perm_admin;
SELECT fortress.issue_token('{listing}', max_rows => 20, uses => 3, reason => 'merged agencies') AS secret \gset
RESET SESSION AUTHORIZATION;
SELECT max(id) AS token FROM fortress.token \gset
SELECT :'secret' ~ '^fgt1_[0-9a-f]{72}$' AS form,
	hash = sha256(:'secret'::bytea) AS hashed, t::text LIKE '%' || :'secret' || '%' AS readable
FROM fortress.token t WHERE id = :token;
SELECT relations, operations, max_rows, uses, for_role, reason, issued_by, used, rows_used, active
FROM fortress.tokens WHERE id = :token;

-- for the transaction, for anybody who has it, on its relations and operations
SET SESSION AUTHORIZATION regress_perm_other;
BEGIN;
SELECT fortress.unlock(:'secret');
SELECT try(:'five') AS ok, try(:'five_updates') AS update_ok, try(:'five_enquiries') AS other_table,
	try('TRUNCATE listing') AS other_operation, try('DELETE FROM listing') AS too_many;
ROLLBACK;
SELECT try(:'five') AS after_rollback;
BEGIN;
SELECT fortress.unlock(:'secret');
COMMIT;
SELECT try(:'five') AS after_commit;
RESET SESSION AUTHORIZATION;
SELECT used, rows_used, active FROM fortress.tokens WHERE id = :token;

-- twice in a transaction is one use; lock() ends it; both follow savepoints
BEGIN;
SELECT fortress.unlock(:'secret');
SELECT fortress.unlock(:'secret', 'transaction');
SELECT try(:'five') AS unlocked;
SAVEPOINT a;
SELECT fortress.lock();
SELECT try(:'five') AS locked;
ROLLBACK TO a;
SELECT try(:'five') AS reopened;
SELECT fortress.lock();
SELECT try(:'five') AS locked;
SAVEPOINT b;
SELECT fortress.unlock(:'secret');
SELECT try(:'five') AS unlocked;
ROLLBACK TO b;
SELECT try(:'five') AS locked;
SELECT fortress.unlock(:'secret');
-- rows count over the token's life, less what was rolled back
SAVEPOINT c;
DELETE FROM listing WHERE id <= 20;
ROLLBACK TO c;
DELETE FROM listing WHERE id <= 12;
SELECT try('DELETE FROM listing WHERE id BETWEEN 21 AND 29') AS nine, try('DELETE FROM listing WHERE id BETWEEN 21 AND 28') AS eight;
COMMIT;
SELECT used, rows_used, active FROM fortress.tokens WHERE id = :token;
BEGIN;
SAVEPOINT a;
SELECT fortress.unlock(:'secret');
ROLLBACK TO a;
SELECT try('DELETE FROM listing WHERE id BETWEEN 21 AND 28') AS undone;
SELECT fortress.unlock(:'secret');
SELECT try('DELETE FROM listing WHERE id BETWEEN 21 AND 29') AS nine, try('DELETE FROM listing WHERE id BETWEEN 21 AND 28') AS eight;
DELETE FROM listing WHERE id BETWEEN 21 AND 28;
COMMIT;
SELECT used, rows_used, active FROM fortress.tokens WHERE id = :token;
SELECT complaint(format('SELECT fortress.unlock(%L)', :'secret')) AS used_up;
SELECT count(*) AS left_over FROM listing;

-- a rollback gives the only use back
SELECT fortress.issue_token() AS secret \gset
BEGIN;
SELECT fortress.unlock(:'secret');
ROLLBACK;
BEGIN;
SELECT fortress.unlock(:'secret');
SELECT try('DELETE FROM listing') AS listing, try('DELETE FROM enquiry') AS enquiry;
COMMIT;
SELECT fortress.unlock(:'secret');

-- operations
SELECT fortress.issue_token('{listing}', '{truncate}') AS secret \gset
BEGIN;
SELECT fortress.unlock(:'secret');
SELECT try('TRUNCATE listing') AS truncate, try('DELETE FROM listing WHERE id > 30') AS delete;
ROLLBACK;

-- for_role: sessions of that role, by SET ROLE, or what runs as it
SELECT fortress.issue_token(for_role => 'regress_perm_app') AS secret \gset
SELECT complaint(format('SELECT fortress.unlock(%L)', :'secret'));
SET SESSION AUTHORIZATION regress_perm_member;
SELECT fortress.unlock(:'secret');
BEGIN;
SET LOCAL ROLE regress_perm_app;
SELECT fortress.unlock(:'secret');
SELECT try('DELETE FROM listing WHERE id > 30') AS set_role;
RESET ROLE;
SELECT try('DELETE FROM listing WHERE id > 30') AS member, try_as_app('DELETE FROM listing WHERE id > 30') AS runs_as_it;
ROLLBACK;
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION regress_perm_app;
BEGIN;
SELECT fortress.unlock(:'secret');
SELECT try('DELETE FROM listing WHERE id > 30') AS session, try_as_other('DELETE FROM listing WHERE id > 30') AS in_function;
ROLLBACK;
RESET SESSION AUTHORIZATION;

-- expired and revoked; revoking counts at once
SELECT fortress.issue_token(valid_for => '1 microsecond') AS secret \gset
SELECT complaint(format('SELECT fortress.unlock(%L)', :'secret')) AS expired;
SELECT fortress.issue_token() AS secret \gset
SELECT max(id) AS token FROM fortress.token \gset
BEGIN;
SELECT fortress.unlock(:'secret');
SELECT try('DELETE FROM listing WHERE id > 30') AS unlocked;
SAVEPOINT a;
SELECT fortress.revoke_token(:token);
SELECT try('DELETE FROM listing WHERE id > 30') AS revoked;
ROLLBACK TO a;
SELECT try('DELETE FROM listing WHERE id > 30') AS unlocked;
ROLLBACK;
SELECT fortress.revoke_token(:token);
SELECT complaint(format('SELECT fortress.unlock(%L)', :'secret')) AS revoked;
SELECT complaint(format('SELECT fortress.revoke_token(%s)', :token));
SELECT active, revoked_at IS NOT NULL AS revoked FROM fortress.tokens WHERE id = :token;

-- a token that nobody knows says nothing more
SELECT complaint(format('SELECT fortress.unlock(%L)', 'fgt1_' || repeat('0', 72)));
SELECT complaint($$SELECT fortress.unlock('')$$);

-- scopes, and where nothing can be written
SELECT fortress.issue_token(uses => NULL) AS secret \gset
SELECT complaint(format('SELECT fortress.unlock(%L, %L)', :'secret', 'session'));
SELECT fortress.unlock(:'secret', 'forever');
SELECT fortress.unlock(:'secret', NULL);
SELECT fortress.unlock(NULL);
BEGIN READ ONLY;
SELECT fortress.unlock(:'secret');
ROLLBACK;
-- any number of uses
BEGIN; SELECT fortress.unlock(:'secret'); COMMIT;
BEGIN; SELECT fortress.unlock(:'secret'); COMMIT;
SELECT used, active FROM fortress.tokens ORDER BY id DESC LIMIT 1;

-- in a REPEATABLE READ transaction what counts is what is true now
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT 1 AS snapshot;
SELECT fortress.unlock(:'secret');
SELECT try('DELETE FROM listing WHERE id > 30');
COMMIT;

-- arguments
SELECT fortress.issue_token('{}');
SELECT fortress.issue_token('{NULL}');
SELECT fortress.issue_token('{pg_catalog.pg_views}');
SELECT fortress.issue_token(operations => NULL);
SELECT fortress.issue_token(operations => '{}');
SELECT fortress.issue_token(operations => '{insert}');
SELECT fortress.issue_token(max_rows => -1);
SELECT fortress.issue_token(valid_for => NULL);
SELECT fortress.issue_token(valid_for => '0');
SELECT fortress.issue_token(valid_for => '-1 hour');
SELECT fortress.issue_token(uses => 0);
SELECT fortress.issue_token(for_role => '-');
SELECT fortress.revoke_token(NULL);
SELECT fortress.revoke_token(-1);

--
-- The setting fortress.token
--
SELECT fortress.issue_token('{listing}', uses => 2) AS secret \gset
SELECT max(id) AS token FROM fortress.token \gset

-- format only; never shown back, neither whole nor in a complaint
SET fortress.token = 'open sesame';
SET fortress.token = :'secret';
SHOW fortress.token;
SELECT current_setting('fortress.token') AS current_setting,
	(SELECT count(*) FROM pg_settings WHERE setting LIKE 'fgt1%' OR reset_val LIKE 'fgt1%') AS in_pg_settings;
-- set in an earlier transaction: stale
SELECT try('DELETE FROM listing WHERE id > 30') AS stale;

-- set in this one: redeemed by the first statement that needs it, and only then
BEGIN;
SET LOCAL fortress.token = :'secret';
SELECT try('DELETE FROM listing WHERE id > 38') AS within_limits, try(:'five_enquiries') AS other_table;
COMMIT;
SELECT used, rows_used FROM fortress.tokens WHERE id = :token;
BEGIN;
SET LOCAL fortress.token = :'secret';
DELETE FROM listing WHERE id > 34;
SELECT try('DELETE FROM listing WHERE id > 28') AS still_open;
COMMIT;
SELECT used, rows_used FROM fortress.tokens WHERE id = :token;
SELECT try('DELETE FROM listing WHERE id > 28') AS afterwards;

-- lock() closes it too, until a rollback
BEGIN;
SET LOCAL fortress.token = :'secret';
SAVEPOINT a;
SELECT fortress.lock();
SELECT try('DELETE FROM listing WHERE id > 28') AS locked;
ROLLBACK TO a;
SELECT try('DELETE FROM listing WHERE id > 28') AS unlocked;
ROLLBACK;

-- a bad one refuses the statement that needs it, and no other
BEGIN;
SELECT set_config('fortress.token', :'secret', true) = '' AS not_shown;
SELECT fortress.revoke_token(:token);
SELECT try('DELETE FROM listing WHERE id > 33') AS within_limits, try('DELETE FROM listing WHERE id > 28') AS over;
ROLLBACK;

-- it can't be stored
ALTER ROLE regress_perm_app SET fortress.token = :'secret';
CREATE FUNCTION carrier() RETURNS void LANGUAGE sql SET fortress.token = 'fgt1_' AS '';
RESET fortress.token;

--
-- Clean up
--
SELECT fortress.unprotect('listing'), fortress.unprotect('enquiry'), fortress.unprotect('part');
SET client_min_messages = error;
DROP SCHEMA perm CASCADE;
DROP ROLE regress_perm_admin, regress_perm_app, regress_perm_member, regress_perm_other;
