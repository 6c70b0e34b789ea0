-- Games with permission: exemptions, roles, tokens, and what a session keeps.

-- case: membership of an exempt role is not enough
-- as: app
-- expect: refused ZG001
DELETE FROM listing WHERE id > 0;

-- case: an exempt role does not pass it on to what a cascade does
-- as: app
-- expect: refused ZG001
-- setup: ALTER TABLE shop.free_agent OWNER TO regress_batch;
-- setup: ALTER TABLE shop.listing OWNER TO regress_batch;
-- setup: GRANT ALL ON shop.free_agent, shop.listing TO regress_app;
DELETE FROM free_agent WHERE id = 1;

-- case: an exemption is for its operations
-- as: batch
-- expect: refused ZG004
TRUNCATE listing;

-- case: an exemption is for its relation
-- as: batch
-- expect: refused ZG001
DELETE FROM account WHERE id > 0;

-- case: an exemption does not go on after RESET ROLE
-- as: app
-- expect: refused ZG001
SET ROLE regress_batch;
RESET ROLE;
DELETE FROM listing WHERE id > 0;

-- case: an exemption does not go on after the function
-- as: app
-- expect: refused ZG001 within 5
SELECT f_batch(1, 1);
DELETE FROM listing WHERE id > 1;

-- case: become a role that one is no member of
-- as: app owner
-- expect: denied
SET ROLE regress_nightly;

-- case: become another session user
-- as: app owner creator
-- expect: denied
SET SESSION AUTHORIZATION postgres;

-- case: a function of the exempt role that runs what it is given
-- as: app
-- expect: refused ZG001
-- setup: CREATE FUNCTION shop.run(text) RETURNS void LANGUAGE plpgsql AS $$BEGIN EXECUTE $1; END$$;
-- setup: ALTER FUNCTION shop.run(text) OWNER TO regress_batch;
SELECT run('DELETE FROM shop.listing WHERE id > 0');

-- case: a token that does not exist
-- as: app owner super
-- expect: refused ZG009
SELECT fortress.unlock('fgt1_' || repeat('00', 36));

-- case: a token that has expired
-- as: app super
-- token: valid_for => '1 millisecond'
-- expect: refused ZG009
SELECT pg_sleep(0.01);
SELECT fortress.unlock(:'token');

-- case: a token that has expired, by setting
-- as: app super
-- token: valid_for => '1 millisecond'
-- expect: refused ZG009
SELECT pg_sleep(0.01);
BEGIN;
SET LOCAL fortress.token = :'token';
DELETE FROM listing WHERE id > 0;
COMMIT;

-- case: a token that is no token
-- as: app
-- expect: denied 22023
SET fortress.token = 'anything';

-- case: a token for other operations
-- as: app super
-- token: operations => '{update}'
-- expect: refused ZG001
BEGIN;
SELECT fortress.unlock(:'token');
DELETE FROM listing WHERE id > 0;
COMMIT;

-- case: a token for another relation
-- as: app super
-- token: '{shop.sale}'
-- expect: refused ZG001
BEGIN;
SELECT fortress.unlock(:'token');
DELETE FROM listing WHERE id > 0;
COMMIT;

-- case: a token for another role
-- as: app owner super
-- token: for_role => 'regress_nightly'
-- expect: refused ZG009
BEGIN;
SELECT fortress.unlock(:'token');
DELETE FROM listing WHERE id > 0;
COMMIT;

-- case: a token for fewer rows
-- as: app super
-- token: max_rows => 10
-- expect: refused ZG001
BEGIN;
SELECT fortress.unlock(:'token');
DELETE FROM listing WHERE id > 0;
COMMIT;

-- case: a token for few rows, in pieces
-- as: app super
-- token: max_rows => 10
-- expect: refused ZG001
BEGIN;
SELECT fortress.unlock(:'token');
DELETE FROM listing WHERE id <= 9;
DELETE FROM listing WHERE id BETWEEN 10 AND 18;
COMMIT;

-- case: a token in another transaction than the one that it was redeemed in
-- as: app super
-- token: uses => 5
-- expect: refused ZG001
BEGIN;
SELECT fortress.unlock(:'token');
COMMIT;
DELETE FROM listing WHERE id > 0;

-- case: a token whose redemption was rolled back
-- as: app super
-- token: uses => 5
-- expect: refused ZG001
BEGIN;
SAVEPOINT s;
SELECT fortress.unlock(:'token');
ROLLBACK TO s;
DELETE FROM listing WHERE id > 0;
COMMIT;

-- case: a token after it was locked again
-- as: app super
-- token: uses => 5
-- expect: refused ZG001
BEGIN;
SELECT fortress.unlock(:'token');
SELECT fortress.lock();
DELETE FROM listing WHERE id > 0;
COMMIT;

-- case: a setting that a transaction before left behind
-- as: app super
-- token: uses => 5
-- expect: refused ZG001
SELECT set_config('fortress.token', :'token', false) IS NOT NULL;
SELECT 1;
DELETE FROM listing WHERE id > 0;

-- case: a token after DISCARD ALL
-- as: app
-- token: uses => 5
-- expect: refused ZG001
SET fortress.token = :'token';
DISCARD ALL;
DELETE FROM shop.listing WHERE id > 0;

-- case: a token for the session
-- as: app super
-- token: uses => 5
-- expect: denied 55000
SELECT fortress.unlock(:'token', 'session');

-- case: a token that is spent
-- as: app
-- token: '{shop.listing}'
-- expect: refused ZG009 within 10
-- event: permitted
BEGIN;
SELECT fortress.unlock(:'token');
DELETE FROM listing WHERE id <= 10;
COMMIT;
BEGIN;
SELECT fortress.unlock(:'token');
DELETE FROM listing WHERE id <= 20;
COMMIT;

-- case: one use by several sessions at once
-- as: app
-- token: '{shop.listing}'
-- sessions: 4
-- expect: refused ZG009 within 10
BEGIN;
SELECT fortress.unlock(:'token');
DELETE FROM listing WHERE id BETWEEN 1 + 10 * :session AND 10 + 10 * :session;
SELECT pg_sleep(0.3);
COMMIT;

-- case: a token kept in a role's settings
-- as: app super
-- token: uses => 5
-- expect: denied 22023
ALTER ROLE CURRENT_USER SET fortress.token = :'token';

-- case: a token kept in a function
-- as: app super
-- token: uses => 5
-- expect: denied 22023
CREATE FUNCTION carrier() RETURNS void LANGUAGE sql SET fortress.token = :'token' AS 'DELETE FROM shop.listing WHERE id > 0';
SELECT carrier();

-- case: a setting of one's own by the name of a permission
-- as: app super
-- expect: refused ZG001
SET fortress_guard.unlocked = on;
SET shop.token = 'x';
DELETE FROM listing WHERE id > 0;

-- case: a context that claims a permission
-- as: app super
-- expect: refused ZG001
SET fortress.context = '{"role": "fortress_admin", "token": "yes"}';
DELETE FROM listing WHERE id > 0;

