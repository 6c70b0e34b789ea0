-- ALTER and its kin: what changes content, hides, renames away or unguards.

-- case: rename the table
-- as: owner creator super
-- expect: refused ZG005
-- as: app
-- expect: denied
ALTER TABLE account RENAME TO elsewhere;

-- case: rename the table as if it were a view
-- as: owner super
-- expect: denied 42809
ALTER VIEW account RENAME TO elsewhere;

-- case: rename the table as if it were an index
-- as: owner super
-- expect: refused ZG005
ALTER INDEX account RENAME TO elsewhere;

-- case: rename a partition
-- as: owner super
-- expect: refused ZG005
ALTER TABLE sale_2023 RENAME TO elsewhere;

-- case: rename a column
-- as: owner creator super
-- expect: refused ZG005
-- as: app
-- expect: denied
ALTER TABLE account RENAME COLUMN email TO mail;

-- case: rename a column of a root
-- as: owner super
-- expect: refused ZG005
ALTER TABLE sale RENAME v TO w;

-- case: rename an attribute of the type that a table is made from
-- as: owner super
-- expect: refused ZG005
ALTER TYPE pin RENAME ATTRIBUTE note TO text CASCADE;

-- case: move to another schema
-- as: owner creator super
-- expect: refused ZG005
-- as: app
-- expect: denied
ALTER TABLE account SET SCHEMA spare;

-- case: move to another schema as if it were a view
-- as: owner super
-- expect: denied 42809
ALTER VIEW account SET SCHEMA spare;

-- case: rename the schema
-- as: super
-- expect: refused ZG005
-- as: owner creator
-- expect: denied
ALTER SCHEMA shop RENAME TO shut;

-- case: give the schema to another
-- as: super
-- expect: passes with effect
-- probe: no
ALTER SCHEMA spare OWNER TO regress_app;

-- case: give the table to another
-- as: super
-- expect: refused ZG005
ALTER TABLE account OWNER TO regress_app;

-- case: give the table to another that one is a member of
-- as: creator
-- expect: refused ZG005
ALTER TABLE account OWNER TO regress_creator;

-- case: reassign all that the owner has
-- as: super
-- expect: refused ZG005
REASSIGN OWNED BY regress_owner TO regress_app;

-- case: reassign all that one's role has
-- as: creator
-- expect: refused ZG005
REASSIGN OWNED BY regress_owner TO regress_creator;

-- case: disable all triggers
-- as: super
-- expect: refused ZG005
ALTER TABLE account DISABLE TRIGGER ALL;

-- case: disable the user's triggers
-- as: owner creator super
-- expect: refused ZG005
-- as: app
-- expect: denied
ALTER TABLE account DISABLE TRIGGER USER;

-- case: disable the guard's trigger
-- as: owner creator super
-- expect: refused ZG005|ZG011
ALTER TABLE account DISABLE TRIGGER fortress_guard_truncate;

-- case: disable the guard's trigger of a partition
-- as: owner super
-- expect: refused ZG005|ZG011
ALTER TABLE sale_2024_a DISABLE TRIGGER fortress_guard_delete;

-- case: make the guard's trigger fire for replicas only
-- as: owner super
-- expect: refused ZG005|ZG011
ALTER TABLE account ENABLE REPLICA TRIGGER fortress_guard_delete;

-- case: make the guard's trigger fire in the ordinary way only
-- as: owner super
-- expect: refused ZG005|ZG011
ALTER TABLE account ENABLE TRIGGER fortress_guard_delete;

-- case: disable the guard's triggers of a whole tree
-- as: owner super
-- expect: refused ZG005
ALTER TABLE sale DISABLE TRIGGER USER;

-- case: drop the guard's trigger
-- as: owner creator super
-- expect: refused ZG005|ZG011
-- as: app
-- expect: denied
DROP TRIGGER fortress_guard_delete ON account;

-- case: drop the guard's trigger function
-- as: super
-- expect: denied 2BP01
DROP FUNCTION fortress.guard() CASCADE;

-- case: rename the guard's trigger
-- as: owner super
-- expect: refused ZG005|ZG011
ALTER TRIGGER fortress_guard_delete ON account RENAME TO other;

-- case: replace the guard's trigger
-- as: owner super
-- expect: refused ZG005|ZG011
CREATE OR REPLACE TRIGGER fortress_guard_delete AFTER DELETE ON account REFERENCING OLD TABLE AS fortress_old
	FOR EACH STATEMENT EXECUTE FUNCTION order_gone();

-- case: make the guard's trigger part of an extension
-- as: super
-- expect: refused ZG005|ZG011
ALTER TRIGGER fortress_guard_delete ON account DEPENDS ON EXTENSION plpgsql;

-- case: disable a rule
-- as: owner super
-- expect: refused ZG005
ALTER TABLE account DISABLE RULE anything;

-- case: enable row security
-- as: owner creator super
-- expect: refused ZG005
-- as: app
-- expect: denied
ALTER TABLE account ENABLE ROW LEVEL SECURITY;

-- case: force row security
-- as: owner super
-- expect: refused ZG005
ALTER TABLE account FORCE ROW LEVEL SECURITY;

-- case: disable row security
-- as: owner super
-- expect: refused ZG005
ALTER TABLE account DISABLE ROW LEVEL SECURITY;

-- case: create a policy of row security
-- as: owner creator super
-- expect: refused ZG005
CREATE POLICY hide ON account USING (false);

-- case: change a policy of row security
-- as: owner super
-- expect: refused ZG005
-- setup: CREATE POLICY seen ON shop.account USING (true);
ALTER POLICY seen ON account USING (false);

-- case: drop a policy of row security
-- as: owner super
-- expect: refused ZG005
-- setup: CREATE POLICY seen ON shop.account USING (true);
DROP POLICY seen ON account;

-- case: create a rule that swallows
-- as: owner creator super
-- expect: refused ZG005
-- as: app
-- expect: denied
CREATE RULE swallow AS ON DELETE TO account DO INSTEAD NOTHING;

-- case: create a rule that does more
-- as: owner super
-- expect: refused ZG005
CREATE RULE more AS ON INSERT TO account DO ALSO DELETE FROM listing WHERE id > 0;

-- case: create a rule that makes a view of an emptied table
-- as: owner super
-- expect: denied 55000
CREATE RULE "_RETURN" AS ON SELECT TO account DO INSTEAD SELECT 1 AS id, ''::text AS email, 0 AS seen;

-- case: create a BEFORE trigger that vetoes
-- as: owner creator super
-- expect: refused ZG005
CREATE TRIGGER aaa BEFORE DELETE ON account FOR EACH ROW EXECUTE FUNCTION order_gone();

-- case: create a BEFORE trigger with the application's right
-- as: app
-- expect: refused ZG005
CREATE TRIGGER aaa BEFORE UPDATE ON listing FOR EACH ROW EXECUTE FUNCTION order_gone();

-- case: create a BEFORE statement trigger
-- as: owner super
-- expect: refused ZG005
CREATE TRIGGER aaa BEFORE INSERT OR UPDATE ON account FOR EACH STATEMENT EXECUTE FUNCTION order_gone();

-- case: create a BEFORE trigger on a partition
-- as: owner super
-- expect: refused ZG005
CREATE TRIGGER aaa BEFORE UPDATE ON sale_2023 FOR EACH ROW EXECUTE FUNCTION order_gone();

-- case: change a column's type to something else
-- as: owner creator super
-- expect: refused ZG005
-- as: app
-- expect: denied
ALTER TABLE account ALTER COLUMN email TYPE int USING 0;

-- case: change a column's content by USING
-- as: owner creator super
-- expect: refused ZG005
ALTER TABLE account ALTER COLUMN email TYPE text USING 'gone';

-- case: make a column narrower
-- as: owner super
-- expect: refused ZG005
ALTER TABLE viewing ALTER COLUMN code TYPE varchar(1) USING substr(code, 1, 1);

-- case: take digits off a column
-- as: owner super
-- expect: refused ZG005
ALTER TABLE viewing ALTER COLUMN cost TYPE numeric(10, 0);

-- case: change the type of a column of a root
-- as: owner super
-- expect: refused ZG005
ALTER TABLE sale ALTER COLUMN v TYPE text USING '';

-- case: change a type that rows are made of
-- as: owner super
-- expect: refused ZG005
ALTER TYPE pin ALTER ATTRIBUTE note TYPE varchar(4) CASCADE;

-- case: harmless and harmful in one command
-- as: owner super
-- expect: refused ZG005
ALTER TABLE account ADD COLUMN extra int, ALTER COLUMN email TYPE int USING 0, ALTER COLUMN seen SET DEFAULT 3;

-- case: rename an enum's value
-- as: owner creator super
-- expect: refused ZG005
-- as: app
-- expect: denied
ALTER TYPE state RENAME VALUE 'new' TO 'sold out';

-- case: drop an attribute of a composite type in a column
-- as: owner creator super
-- expect: refused ZG005
ALTER TYPE wrapped DROP ATTRIBUTE n;

-- case: drop an attribute of a type within that type
-- as: owner super
-- expect: refused ZG005
ALTER TYPE address DROP ATTRIBUTE street;

-- case: drop an attribute of the type that a table is made from
-- as: owner super
-- expect: refused ZG005
ALTER TYPE pin DROP ATTRIBUTE note CASCADE;

-- case: replica identity
-- as: owner creator super
-- expect: refused ZG005
-- as: app
-- expect: denied
ALTER TABLE account REPLICA IDENTITY NOTHING;

-- case: make it unlogged
-- as: owner creator super
-- expect: refused ZG005
-- as: app
-- expect: denied
ALTER TABLE account SET UNLOGGED;

-- case: give it another access method
-- as: super
-- expect: refused ZG005
-- setup: CREATE ACCESS METHOD heap_again TYPE TABLE HANDLER heap_tableam_handler;
ALTER TABLE account SET ACCESS METHOD heap_again;

-- case: refuse in a caught block does not let it happen
-- as: owner super
-- expect: within 0
-- event: blocked
DO $$BEGIN ALTER TABLE shop.account RENAME TO elsewhere; EXCEPTION WHEN OTHERS THEN NULL; END$$;

-- case: by a function with a superuser's rights
-- as: app owner
-- expect: refused ZG005
-- setup: CREATE FUNCTION shop.hider() RETURNS void SECURITY DEFINER LANGUAGE plpgsql AS
-- setup: $$BEGIN ALTER TABLE shop.account ENABLE ROW LEVEL SECURITY; END$$;
-- setup: ALTER FUNCTION shop.hider() OWNER TO regress_super;
SELECT hider();

-- case: restart sequences of the guard's
-- as: super
-- expect: refused ZG011
ALTER SEQUENCE fortress.token_id_seq RESTART WITH 1000;

-- case: put a temporary child under the table, which nobody could write then
-- as: owner super
-- expect: denied 0A000
CREATE TEMP TABLE below () INHERITS (shop.message);

-- case: take an attribute out of values that only an archive keeps
-- as: owner super
-- expect: refused ZG011
-- setup: DELETE FROM shop.listing WHERE id = 60; SELECT fortress.unprotect('shop.listing');
-- probe: viewing
ALTER TYPE address DROP ATTRIBUTE street;

-- case: rename a value of an enum that only an archive keeps
-- as: owner super
-- expect: refused ZG011
-- setup: DELETE FROM shop.listing WHERE id = 60; SELECT fortress.unprotect('shop.listing');
-- probe: viewing
ALTER TYPE state RENAME VALUE 'new' TO 'old';
