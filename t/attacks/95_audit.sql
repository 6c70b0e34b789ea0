-- Mode audit: what would be refused passes and is observed, rows are archived all
-- the same, and the guard still guards itself.

-- case: audit mode: more rows than the limits
-- as: app owner creator super
-- expect: passes with effect
-- event: observed
-- setup: SELECT fortress.set_mode('shop.account', 'audit');
-- check: SELECT count(*) = 0 FROM account
-- check: SELECT (xpath('/row/c/text()', query_to_xml(format('SELECT count(*) AS c FROM %s', fortress.shadow_of('account')), false, true, '')))[1]::text = '30'
DELETE FROM account WHERE id > 0;

-- case: audit mode: without a condition
-- as: app super
-- expect: passes with effect
-- event: observed
-- setup: SELECT fortress.set_mode('shop.account', 'audit');
-- check: SELECT count(*) = 30 FROM account WHERE email = 'x'
-- check: SELECT (xpath('/row/c/text()', query_to_xml(format('SELECT count(*) AS c FROM %s', fortress.shadow_of('account')), false, true, '')))[1]::text = '30'
UPDATE account SET email = 'x';

-- case: audit mode: a row at a time
-- as: app
-- expect: passes with effect
-- event: observed
-- setup: SELECT fortress.set_mode('shop.account', 'audit');
-- check: SELECT (xpath('/row/c/text()', query_to_xml(format('SELECT count(*) AS c FROM %s', fortress.shadow_of('account')), false, true, '')))[1]::text = '30'
BEGIN;
SELECT format('DELETE FROM account WHERE id = %s', i) FROM generate_series(1, 30) i \gexec
COMMIT;

-- case: audit mode: within the limits
-- as: app owner creator super
-- expect: within 5
-- setup: SELECT fortress.set_mode('shop.account', 'audit');
DELETE FROM account WHERE id <= 5;

-- case: audit mode: truncate
-- as: app owner super
-- expect: passes with effect
-- event: observed
-- setup: SELECT fortress.set_mode('shop.account', 'audit');
-- check: SELECT count(*) = 0 FROM account
-- check: SELECT (xpath('/row/c/text()', query_to_xml(format('SELECT count(*) AS c FROM %s', fortress.shadow_of('account')), false, true, '')))[1]::text = '30'
TRUNCATE account;

-- case: audit mode: rename a column, hide rows, disable a trigger that is not the guard's
-- as: owner super
-- expect: passes with effect
-- event: observed
-- setup: SELECT fortress.set_mode('shop.account', 'audit');
-- check: SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'account'::regclass AND attname = 'mail')
ALTER TABLE account RENAME COLUMN email TO mail;
ALTER TABLE account ENABLE ROW LEVEL SECURITY;
CREATE POLICY nothing ON account USING (false);

-- case: audit mode: drop
-- as: owner super
-- expect: passes with effect
-- event: observed
-- setup: SELECT fortress.set_mode('shop.account', 'audit');
-- check: SELECT to_regclass('shop.account') IS NULL
-- check: SELECT (xpath('/row/c/text()', query_to_xml(format('SELECT count(*) AS c FROM %s', oid::regclass), false, true, '')))[1]::text = '30' FROM pg_class WHERE relnamespace = 'fortress_trash'::regnamespace AND relname LIKE 'account%' AND relkind = 'r'
DROP TABLE account;

-- case: audit mode: rolled back, nothing has happened
-- as: app
-- expect: within 0
-- setup: SELECT fortress.set_mode('shop.account', 'audit');
BEGIN;
DELETE FROM account;
ROLLBACK;

-- case: audit mode: let the triggers sleep
-- as: super
-- expect: passes with effect
-- event: observed
-- setup: SELECT fortress.set_mode('shop.account', 'audit');
-- check: SELECT (xpath('/row/c/text()', query_to_xml(format('SELECT count(*) AS c FROM %s', fortress.shadow_of('account')), false, true, '')))[1]::text = '30'
SET session_replication_role = replica;
DELETE FROM account;

-- case: audit mode: switch the guard's triggers off first
-- as: owner super
-- expect: refused ZG010
-- setup: SELECT fortress.set_mode('shop.account', 'audit');
BEGIN;
ALTER TABLE account DISABLE TRIGGER ALL;
DELETE FROM account;
COMMIT;

-- case: audit mode: drop the guard's trigger
-- as: owner super
-- expect: refused ZG011
-- setup: SELECT fortress.set_mode('shop.account', 'audit');
DROP TRIGGER fortress_guard_delete ON account;

-- case: audit mode: delete the policy
-- as: app owner creator super
-- expect: refused ZG011
-- setup: SELECT fortress.set_mode('shop.account', 'audit');
DELETE FROM fortress.policy;

-- case: audit mode: delete archived rows
-- as: super
-- expect: refused ZG011
-- setup: SELECT fortress.set_mode('shop.account', 'audit'); DELETE FROM shop.account WHERE id <= 4;
SELECT format('DELETE FROM %s', fortress.shadow_of('shop.account')) \gexec

-- case: audit mode: another table, in mode block, in the same transaction
-- as: app owner super
-- expect: refused ZG001
-- setup: SELECT fortress.set_mode('shop.message', 'audit');
BEGIN;
DELETE FROM message WHERE id > 0;
DELETE FROM sale_2023 WHERE id > 0;
COMMIT;

-- case: from audit to off, as the owner
-- as: owner
-- expect: denied
-- setup: SELECT fortress.set_mode('shop.account', 'audit');
SELECT fortress.set_mode('account', 'off');

-- case: from audit to block, as the owner
-- as: owner
-- expect: refused ZG001
-- setup: SELECT fortress.set_mode('shop.account', 'audit');
BEGIN;
SELECT fortress.set_mode('account', 'block');
DELETE FROM account WHERE id > 0;
COMMIT;
