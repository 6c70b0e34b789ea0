-- Protected schemas: whatever comes into being in one, or comes into it, is
-- guarded from that moment on.  The setup is the same for all: schema spare is
-- protected, and holds a table.

-- case: a new table in a protected schema, in the same transaction
-- as: owner creator super
-- expect: refused ZG001
-- setup: SELECT fortress.protect_schema('spare', delete_rows => 5, update_rows => 10);
BEGIN;
CREATE TABLE spare.fresh (id int);
INSERT INTO spare.fresh SELECT generate_series(1, 50);
DELETE FROM spare.fresh WHERE id > 0;
COMMIT;

-- case: a new table in a protected schema, in one function
-- as: owner super
-- expect: refused ZG001
-- setup: SELECT fortress.protect_schema('spare', delete_rows => 5, update_rows => 10);
DO $$
BEGIN
	CREATE TABLE spare.fresh AS SELECT generate_series(1, 50) AS id;
	FOR i IN 1..50 LOOP
		DELETE FROM spare.fresh WHERE id = i;
	END LOOP;
END $$;

-- case: a new table in a protected schema, truncated at once
-- as: owner super
-- expect: refused ZG004
-- setup: SELECT fortress.protect_schema('spare', delete_rows => 5, update_rows => 10);
BEGIN;
SELECT generate_series(1, 50) AS id INTO spare.fresh;
TRUNCATE spare.fresh;
COMMIT;

-- case: a new table in a protected schema, whatever makes it
-- as: owner creator super
-- expect: passes with effect
-- setup: SELECT fortress.protect_schema('spare', delete_rows => 5, update_rows => 10);
-- check: SELECT count(*) = 6 FROM fortress.policy WHERE relation::text LIKE 'spare.made%' AND mode = 'block'
-- check: SELECT count(*) = 18 FROM pg_trigger WHERE tgrelid::regclass::text LIKE 'spare.made%' AND tgname LIKE 'fortress_guard%' AND tgenabled = 'A'
CREATE TABLE spare.made_plainly (id int);
CREATE TABLE spare.made_like (LIKE free_table INCLUDING ALL);
CREATE TABLE spare.made_as AS SELECT * FROM free_table;
SELECT * INTO spare.made_into FROM free_table;
CREATE UNLOGGED TABLE spare.made_unlogged (id int);
DO $$BEGIN EXECUTE 'CREATE TABLE spare.made_by_code (id int)'; END$$;

-- case: a table of a new schema's elements
-- as: super
-- expect: refused ZG001
-- setup: SELECT fortress.protect_schema('spare', delete_rows => 5, update_rows => 10);
BEGIN;
SET LOCAL search_path = spare, shop;
CREATE TABLE fresh AS SELECT generate_series(1, 50) AS id;
DELETE FROM fresh WHERE id > 0;
COMMIT;

-- case: move a table into a protected schema, and empty it
-- as: owner super
-- expect: refused ZG001
-- setup: SELECT fortress.protect_schema('spare', delete_rows => 5, update_rows => 10);
BEGIN;
ALTER TABLE free_table SET SCHEMA spare;
DELETE FROM spare.free_table WHERE id > 0;
COMMIT;

-- case: a table that was moved into a protected schema
-- as: app owner creator super
-- expect: refused ZG001
-- setup: SELECT fortress.protect_schema('spare', delete_rows => 5, update_rows => 10);
-- setup: SET ROLE regress_owner; CREATE TABLE public.moved AS SELECT generate_series(1, 50) AS id; GRANT ALL ON public.moved TO PUBLIC; ALTER TABLE public.moved SET SCHEMA spare; RESET ROLE; GRANT USAGE ON SCHEMA spare TO PUBLIC;
DELETE FROM spare.moved WHERE id > 0;

-- case: move a table out of a protected schema
-- as: owner super
-- expect: refused ZG005
-- setup: SELECT fortress.protect_schema('spare', delete_rows => 5, update_rows => 10);
-- setup: SET ROLE regress_owner; CREATE TABLE spare.moved AS SELECT generate_series(1, 50) AS id; GRANT ALL ON spare.moved TO PUBLIC; RESET ROLE;
ALTER TABLE spare.moved SET SCHEMA public;

-- case: restore a table into a protected schema
-- as: super
-- expect: passes with effect
-- setup: SELECT fortress.protect_schema('spare', delete_rows => 5, update_rows => 10);
-- check: SELECT count(*) = 60 FROM spare.free_table
-- check: SELECT mode = 'block' FROM fortress.policy WHERE relation = 'spare.free_table'::regclass
-- command: pg_dump -t shop.free_table {db} | sed 's/shop\.free_table/spare.free_table/g' | psql -XAtq -v ON_ERROR_STOP=1 {db}

-- case: a table that was restored into a protected schema
-- as: app owner super
-- expect: refused ZG001
-- setup: SELECT fortress.protect_schema('spare', delete_rows => 5, update_rows => 10);
-- setup: CREATE TABLE spare.restored (id int); COPY spare.restored FROM PROGRAM 'seq 1 50'; ALTER TABLE spare.restored OWNER TO regress_owner;
-- setup: GRANT USAGE ON SCHEMA spare TO PUBLIC; GRANT ALL ON spare.restored TO PUBLIC;
DELETE FROM spare.restored WHERE id > 0;

-- case: give a table of a protected schema away
-- as: owner super
-- expect: refused ZG005
-- setup: SELECT fortress.protect_schema('spare', delete_rows => 5, update_rows => 10);
-- setup: SET ROLE regress_owner; CREATE TABLE spare.moved AS SELECT generate_series(1, 50) AS id; RESET ROLE; GRANT regress_other TO regress_owner; GRANT CREATE ON SCHEMA spare TO regress_other;
-- cleanup: REVOKE regress_other FROM regress_owner;
ALTER TABLE spare.moved OWNER TO regress_other;

-- case: undo the protection of a schema as its owner
-- as: owner creator
-- expect: denied
-- setup: SELECT fortress.protect_schema('spare', delete_rows => 5, update_rows => 10);
SELECT fortress.unprotect_schema('spare');

-- case: undo the protection of a schema by a side road
-- as: app owner creator super
-- expect: refused ZG011
-- setup: SELECT fortress.protect_schema('spare', delete_rows => 5, update_rows => 10);
DELETE FROM fortress.schema_policy;

-- case: drop a protected schema
-- as: owner super
-- expect: refused ZG005
-- setup: SELECT fortress.protect_schema('spare', delete_rows => 5, update_rows => 10);
-- setup: SET ROLE regress_owner; CREATE TABLE spare.moved AS SELECT generate_series(1, 50) AS id; GRANT ALL ON spare.moved TO PUBLIC; RESET ROLE;
DROP SCHEMA spare CASCADE;

-- case: rename a protected schema
-- as: owner super
-- expect: refused ZG005
-- setup: SELECT fortress.protect_schema('spare', delete_rows => 5, update_rows => 10);
-- setup: SET ROLE regress_owner; CREATE TABLE spare.moved AS SELECT generate_series(1, 50) AS id; GRANT ALL ON spare.moved TO PUBLIC; RESET ROLE; GRANT CREATE ON DATABASE attack_base TO regress_owner; DO $$BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO regress_owner', current_database()); END$$;
-- cleanup: REVOKE CREATE ON DATABASE attack_base FROM regress_owner;
ALTER SCHEMA spare RENAME TO other;

-- case: temporary tables are nobody's business
-- as: app owner super
-- expect: passes
-- setup: SELECT fortress.protect_schema('spare', delete_rows => 5, update_rows => 10);
CREATE TEMP TABLE fresh AS SELECT generate_series(1, 50) AS id;
DELETE FROM fresh;
TRUNCATE fresh;
DROP TABLE fresh;
