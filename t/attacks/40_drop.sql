-- TRUNCATE and DROP, in all their forms, by whatever object they begin at.

-- case: truncate
-- as: app owner creator super
-- expect: refused ZG004
TRUNCATE listing;

-- case: truncate with cascade, from the table that it hangs on
-- as: app owner creator super
-- expect: refused ZG004
TRUNCATE free_agent CASCADE;

-- case: truncate among others
-- as: app super
-- expect: refused ZG004
TRUNCATE free_table, account RESTART IDENTITY CASCADE;

-- case: truncate in a function, caught
-- as: app owner super
-- expect: within 0
-- event: blocked
DO $$BEGIN EXECUTE 'TRUNCATE shop.account'; EXCEPTION WHEN OTHERS THEN NULL; END$$;

-- case: truncate under session_replication_role
-- as: super
-- expect: refused ZG004
SET session_replication_role = replica;
TRUNCATE account;

-- case: truncate after a truncate of the same transaction that was rolled back
-- as: app super
-- expect: refused ZG004
\set ON_ERROR_STOP off
BEGIN;
SAVEPOINT s;
TRUNCATE account;
ROLLBACK TO s;
TRUNCATE account;
COMMIT;

-- case: drop table
-- as: owner creator super
-- expect: refused ZG005
-- as: app
-- expect: denied
DROP TABLE account;

-- case: drop table if exists, cascade, with others
-- as: owner creator super
-- expect: refused ZG005
DROP TABLE IF EXISTS free_table, listing, no_such_table CASCADE;

-- case: drop table in an anonymous block, caught
-- as: owner super
-- expect: within 0
-- event: blocked
DO $$BEGIN DROP TABLE shop.account; EXCEPTION WHEN OTHERS THEN NULL; END$$;

-- case: drop table as another kind of thing
-- as: owner super
-- expect: denied 42809
DROP VIEW account;

-- case: drop schema
-- as: owner creator super
-- expect: refused ZG005|ZG011
DROP SCHEMA shop CASCADE;

-- case: drop schema among others
-- as: owner super
-- expect: refused ZG005|ZG011
DROP SCHEMA spare, shop CASCADE;

-- case: drop owned
-- as: owner creator super
-- expect: refused ZG005|ZG011
DROP OWNED BY regress_owner CASCADE;

-- case: drop owned by the current role
-- as: owner
-- expect: refused ZG005|ZG011
DROP OWNED BY CURRENT_USER CASCADE;

-- case: drop a column
-- as: owner creator super
-- expect: refused ZG005
-- as: app
-- expect: denied
ALTER TABLE listing DROP COLUMN doc CASCADE;

-- case: drop a column of one that is watched by columns
-- as: owner super
-- expect: refused ZG005
ALTER TABLE account DROP COLUMN IF EXISTS seen CASCADE;

-- case: drop a column of a root
-- as: owner super
-- expect: refused ZG005
ALTER TABLE sale DROP COLUMN v;

-- case: drop a column of a parent only
-- as: owner super
-- expect: refused ZG005
ALTER TABLE ONLY message DROP COLUMN body;

-- case: drop the type of a column
-- as: owner creator super
-- expect: refused ZG005|ZG011
DROP TYPE state CASCADE;

-- case: drop the type within the type of a column
-- as: owner super
-- expect: refused ZG005|ZG011
DROP TYPE address CASCADE;

-- case: drop the domain of a column
-- as: owner creator super
-- expect: refused ZG005|ZG011
DROP DOMAIN shown_state CASCADE;

-- case: drop the type that a table is made from
-- as: owner creator super
-- expect: refused ZG005|ZG011
DROP TYPE pin CASCADE;

-- case: drop an extension whose type a column has
-- as: super
-- expect: refused ZG005|ZG011
-- setup: CREATE EXTENSION citext SCHEMA public; ALTER TABLE shop.account ADD COLUMN soft public.citext;
DROP EXTENSION citext CASCADE;

-- case: make the table part of an extension, and drop that
-- as: super
-- expect: refused ZG005
-- setup: CREATE EXTENSION citext SCHEMA public;
BEGIN;
ALTER EXTENSION citext ADD TABLE shop.account;
DROP EXTENSION citext;
COMMIT;

-- case: drop a function that a generated column needs
-- as: owner super
-- expect: refused ZG005
-- setup: CREATE FUNCTION shop.twice(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 * 2';
-- setup: ALTER FUNCTION shop.twice(int) OWNER TO regress_owner;
-- setup: ALTER TABLE shop.account ADD COLUMN double int GENERATED ALWAYS AS (shop.twice(seen)) STORED;
DROP FUNCTION twice(int) CASCADE;

-- case: drop a collation that a column has
-- as: owner super
-- expect: refused ZG005|ZG011
-- setup: CREATE COLLATION shop.sorted (LOCALE = 'C');
-- setup: ALTER COLLATION shop.sorted OWNER TO regress_owner;
-- setup: ALTER TABLE shop.account ADD COLUMN named text COLLATE shop.sorted;
DROP COLLATION sorted CASCADE;

-- case: drop a table under session_replication_role
-- as: super
-- expect: refused ZG005
SET session_replication_role = replica;
DROP TABLE account;

-- case: drop a table with catalog changes allowed
-- as: super
-- expect: refused ZG005
SET allow_system_table_mods = on;
DROP TABLE account;

-- case: drop and make anew in one transaction
-- as: owner super
-- expect: refused ZG005
BEGIN;
CREATE TABLE account_new (LIKE account INCLUDING ALL);
DROP TABLE account;
ALTER TABLE account_new RENAME TO account;
COMMIT;

-- case: swap by renaming, and drop the old
-- as: owner super
-- expect: refused ZG005
BEGIN;
CREATE TABLE account_new (LIKE account INCLUDING ALL);
ALTER TABLE account RENAME TO account_old;
ALTER TABLE account_new RENAME TO account;
DROP TABLE account_old;
COMMIT;

-- case: drop in a function with its owner's rights
-- as: app owner super
-- expect: refused ZG005
-- setup: CREATE FUNCTION shop.dropper() RETURNS void SECURITY DEFINER LANGUAGE plpgsql AS $$BEGIN DROP TABLE shop.account; END$$;
-- setup: ALTER FUNCTION shop.dropper() OWNER TO regress_super;
SELECT dropper();

-- case: drop in an event trigger
-- as: super
-- expect: refused ZG005
BEGIN;
CREATE FUNCTION on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN DROP TABLE IF EXISTS shop.account; END$$;
CREATE EVENT TRIGGER lever ON ddl_command_start WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION on_ddl();
CREATE TABLE any_table ();
COMMIT;
