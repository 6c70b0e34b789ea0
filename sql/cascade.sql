--
-- Foreign keys: what a cascade deletes or changes counts for the policy of the
-- table where it happens, in the statement that set it off.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fortress_guard;
\set VERBOSITY sqlstate
\set SHOW_CONTEXT never
\pset format unaligned
-- what is refused without permission, where a test needs it: in a transaction
\set permit 'SELECT fortress.unlock(fortress.issue_token(operations => ''{ddl}''));'
\pset tuples_only on
\pset fieldsep '  '

CREATE ROLE regress_casc_app;
CREATE ROLE regress_casc_owner;
CREATE SCHEMA casc;
GRANT ALL ON SCHEMA casc TO PUBLIC;
SET search_path = casc;

-- 20 owners with 5 properties each, with 2 images each.  Of the parent's rows
-- any number may go.
CREATE TABLE owner (id int PRIMARY KEY, v text);
CREATE TABLE property (id int PRIMARY KEY, owner int REFERENCES owner ON DELETE CASCADE ON UPDATE CASCADE, v text);
CREATE TABLE image (id int PRIMARY KEY, property int REFERENCES property ON DELETE CASCADE, v text);
INSERT INTO owner SELECT i, 'v' FROM generate_series(1, 20) i;
INSERT INTO property SELECT i, 1 + (i - 1) / 5, 'v' FROM generate_series(1, 100) i;
INSERT INTO image SELECT i, 1 + (i - 1) / 2, 'v' FROM generate_series(1, 200) i;
GRANT ALL ON owner, property, image TO PUBLIC;
CREATE VIEW state AS SELECT (SELECT count(*) FROM owner) AS owners, (SELECT count(*) FROM property) AS properties, (SELECT count(*) FROM image) AS images;

-- an unprotected parent over a protected child
SELECT fortress.protect('property', delete_rows => 10, update_rows => 10);
SELECT fortress.drop_limit('property', 'delete', '1 hour');
BEGIN; DELETE FROM owner WHERE id <= 2; TABLE state; ROLLBACK;
DELETE FROM owner WHERE id <= 3;
DELETE FROM owner;
BEGIN; UPDATE owner SET id = id + 100 WHERE id <= 2; TABLE state; ROLLBACK;
UPDATE owner SET id = id + 100 WHERE id <= 3;
BEGIN; UPDATE owner SET v = 'x'; TABLE state; ROLLBACK;
-- the refusal names the child
CREATE FUNCTION complaint(statement text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	d text;
	s text;
	t text;
BEGIN
	EXECUTE statement;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL, s = SCHEMA_NAME, t = TABLE_NAME;
	RETURN NEXT SQLSTATE || ' ' || SQLERRM;
	RETURN NEXT d;
	RETURN NEXT s || ', ' || t;
END $$;
SELECT complaint('DELETE FROM owner WHERE id <= 3');
-- a cascade and statements of its own add up
BEGIN; DELETE FROM owner WHERE id = 1; DELETE FROM property WHERE id BETWEEN 6 AND 10; TABLE state; DELETE FROM property WHERE id = 11; ROLLBACK;
BEGIN; DELETE FROM property WHERE id BETWEEN 6 AND 11; DELETE FROM owner WHERE id = 1; ROLLBACK;
-- savepoints give back what a cascade took, refusals keep it
BEGIN; SAVEPOINT a; DELETE FROM owner WHERE id <= 2; ROLLBACK TO a; DELETE FROM owner WHERE id BETWEEN 3 AND 4; TABLE state; ROLLBACK;
BEGIN; SAVEPOINT a; DELETE FROM owner WHERE id <= 3; ROLLBACK TO a; DELETE FROM property WHERE id = 50; ROLLBACK;

-- per statement: all the cascades of a statement together
SELECT fortress.set_limit('property', 'delete', 7, 'statement');
BEGIN; DELETE FROM owner WHERE id = 1; DELETE FROM owner WHERE id = 2; TABLE state; ROLLBACK;
DELETE FROM owner WHERE id <= 2;
WITH d AS (DELETE FROM owner WHERE id = 1) DELETE FROM property WHERE id IN (6, 7, 8);
BEGIN; WITH d AS (DELETE FROM owner WHERE id = 1) DELETE FROM property WHERE id IN (6, 7); TABLE state; ROLLBACK;
SELECT fortress.drop_limit('property', 'delete', 'statement');

-- two floors down, and all three protected
SELECT fortress.protect('image', delete_rows => 15);
BEGIN; DELETE FROM owner WHERE id = 1; TABLE state; ROLLBACK;
DELETE FROM owner WHERE id <= 2;
SELECT fortress.protect('owner', delete_rows => 1);
BEGIN; DELETE FROM owner WHERE id = 1; TABLE state; ROLLBACK;
BEGIN; DELETE FROM owner WHERE id = 1; DELETE FROM property WHERE id BETWEEN 6 AND 8; ROLLBACK;
BEGIN; DELETE FROM owner WHERE id = 1; DELETE FROM owner WHERE id = 2; ROLLBACK;
-- archived in every table
BEGIN;
DELETE FROM owner WHERE id = 1;
SELECT fortress.shadow_of('owner')::text AS a, fortress.shadow_of('property')::text AS b, fortress.shadow_of('image')::text AS c \gset
SELECT (SELECT count(*) FROM :a), (SELECT count(*) FROM :b), (SELECT count(*) FROM :c);
ROLLBACK;
SELECT fortress.unprotect('owner'), fortress.unprotect('image');

-- a cascade has a condition: require_where does not concern it
BEGIN; DELETE FROM owner WHERE id = 1; ROLLBACK;

-- SET NULL and SET DEFAULT are updates of the child
CREATE TABLE note (id int PRIMARY KEY, owner int REFERENCES owner ON DELETE SET NULL, property int DEFAULT 1 REFERENCES property ON DELETE SET DEFAULT, v text);
INSERT INTO note SELECT i, 18, 100, 'v' FROM generate_series(1, 50) i;
UPDATE note SET owner = 19 WHERE id <= 12;
UPDATE note SET property = 99 WHERE id <= 12;
SELECT fortress.protect('note', delete_rows => 0, update_rows => 12);
BEGIN; DELETE FROM property WHERE id = 99; SELECT count(*) FROM note WHERE property = 1; DELETE FROM owner WHERE id = 19; ROLLBACK;
BEGIN; DELETE FROM owner WHERE id = 19; SELECT count(*) FROM note WHERE owner IS NULL; ROLLBACK;
DELETE FROM owner WHERE id = 18;
DELETE FROM property WHERE id = 100;
-- with guarded columns, only if it is one of them
SELECT fortress.unprotect('note');
SELECT fortress.protect('note', update_rows => 12, columns => '{v,property}');
BEGIN; DELETE FROM owner WHERE id = 18; SELECT count(*) FROM note WHERE owner IS NULL; ROLLBACK;
DELETE FROM property WHERE id = 100;
BEGIN; DELETE FROM property WHERE id = 99; SELECT count(*) FROM note WHERE property = 1; ROLLBACK;
SELECT fortress.unprotect('note');

-- a deferrable constraint: its check waits for the commit, its cascade does not
CREATE TABLE lazy (id int PRIMARY KEY, owner int REFERENCES owner ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED);
INSERT INTO lazy SELECT i, 11 + (i - 1) / 5 FROM generate_series(1, 50) i;
DELETE FROM note WHERE id > 0;
SELECT fortress.protect('lazy', delete_rows => 8);
SELECT fortress.protect('property', delete_rows => 100);
BEGIN; DELETE FROM owner WHERE id = 11; SELECT count(*) FROM lazy; ROLLBACK;
BEGIN; DELETE FROM owner WHERE id IN (11, 12); ROLLBACK;
BEGIN; DELETE FROM owner WHERE id = 11; DELETE FROM owner WHERE id = 12; COMMIT;
SELECT count(*) FROM lazy;
BEGIN; DELETE FROM owner WHERE id = 11; COMMIT;
SELECT count(*) FROM lazy;
SELECT fortress.protect('property', delete_rows => 10);

-- a table that refers to itself
CREATE TABLE tree (id int PRIMARY KEY, parent int REFERENCES tree ON DELETE CASCADE);
INSERT INTO tree SELECT i, nullif(i / 2, 0) FROM generate_series(1, 63) i;
SELECT fortress.protect('tree', delete_rows => 15);
BEGIN; DELETE FROM tree WHERE id = 4; SELECT count(*) FROM tree; ROLLBACK;
DELETE FROM tree WHERE id = 2;
DELETE FROM tree WHERE id IN (4, 40);
BEGIN; DELETE FROM tree WHERE id IN (4, 16); SELECT count(*) FROM tree; ROLLBACK;

-- through partitions, and from a partitioned parent
CREATE TABLE pparent (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE pparent1 PARTITION OF pparent FOR VALUES FROM (0) TO (10);
CREATE TABLE pparent2 PARTITION OF pparent FOR VALUES FROM (10) TO (100);
CREATE TABLE pchild (id int, parent int REFERENCES pparent ON DELETE CASCADE) PARTITION BY LIST (parent);
CREATE TABLE pchild1 PARTITION OF pchild FOR VALUES IN (1, 11);
CREATE TABLE pchild2 PARTITION OF pchild DEFAULT;
INSERT INTO pparent SELECT generate_series(1, 20);
INSERT INTO pchild SELECT i, 1 + i % 20 FROM generate_series(1, 200) i;
SELECT fortress.protect('pchild', delete_rows => 20);
BEGIN; DELETE FROM pparent WHERE id IN (1, 12); SELECT count(*) FROM pchild; ROLLBACK;
DELETE FROM pparent WHERE id IN (1, 11, 12);
DELETE FROM pparent1 WHERE id IN (1, 2, 3);
SELECT count(*) FROM pchild;
-- from a CTE that nobody reads: it comes to a partition, and the triggers of that, when its statement finishes
CREATE TABLE routed (id int, part int, PRIMARY KEY (part, id)) PARTITION BY LIST (part);
CREATE TABLE routed_1 PARTITION OF routed (UNIQUE (id)) FOR VALUES IN (1);
CREATE TABLE renamed (id int REFERENCES routed_1 (id) ON UPDATE CASCADE, n int);
INSERT INTO routed SELECT i, 1 FROM generate_series(1, 3) i;
INSERT INTO renamed SELECT i % 3 + 1, i FROM generate_series(0, 11) i;
SELECT fortress.protect('renamed');
SELECT fortress.set_limit('renamed', 'update', 5, 'statement');
BEGIN;
WITH x AS (INSERT INTO routed VALUES (1, 1) ON CONFLICT (part, id) DO UPDATE SET id = 101) SELECT 1;
WITH x AS (INSERT INTO routed VALUES (2, 1) ON CONFLICT (part, id) DO UPDATE SET id = 102) SELECT 1;
COMMIT;
WITH x AS (INSERT INTO routed VALUES (101, 1), (102, 1) ON CONFLICT (part, id) DO UPDATE SET id = excluded.id + 100) SELECT 1;
SELECT id, count(*) FROM renamed GROUP BY id ORDER BY id;

--
-- Who: permission is the outermost statement's role's, not that of the owner
-- of the table as whom the server runs the cascade
--
ALTER TABLE owner OWNER TO regress_casc_owner;
BEGIN; :permit ALTER TABLE property OWNER TO regress_casc_owner; COMMIT;
GRANT ALL ON owner, property TO regress_casc_app;
SELECT fortress.exempt('regress_casc_owner') AS exemption \gset
SET SESSION AUTHORIZATION regress_casc_app;
DELETE FROM owner WHERE id <= 3;
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION regress_casc_owner;
BEGIN; DELETE FROM owner WHERE id <= 3; SELECT count(*) FROM property; ROLLBACK;
RESET SESSION AUTHORIZATION;
SELECT fortress.revoke_exemption(:exemption);
SELECT fortress.exempt('regress_casc_app') AS exemption \gset
SET SESSION AUTHORIZATION regress_casc_app;
BEGIN; DELETE FROM owner WHERE id <= 3; SELECT count(*) FROM property; ROLLBACK;
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION regress_casc_owner;
DELETE FROM owner WHERE id <= 3;
RESET SESSION AUTHORIZATION;
-- also where the constraint is deferrable
GRANT ALL ON lazy TO PUBLIC;
BEGIN; :permit ALTER TABLE lazy OWNER TO regress_casc_owner; COMMIT;
SET SESSION AUTHORIZATION regress_casc_app;
BEGIN; DELETE FROM owner WHERE id IN (12, 13); SELECT count(*) FROM lazy; ROLLBACK;
RESET SESSION AUTHORIZATION;
SELECT fortress.revoke_exemption(:exemption);
SELECT fortress.exempt('regress_casc_owner') AS exemption \gset
SET SESSION AUTHORIZATION regress_casc_app;
DELETE FROM owner WHERE id IN (12, 13);
RESET SESSION AUTHORIZATION;
SELECT fortress.revoke_exemption(:exemption);
-- a trigger of the child's that a cascade fires gains nothing either
CREATE TABLE safe (id int PRIMARY KEY);
INSERT INTO safe SELECT generate_series(1, 50);
ALTER TABLE safe OWNER TO regress_casc_owner;
GRANT ALL ON safe TO PUBLIC;
SELECT fortress.protect('safe', delete_rows => 5);
CREATE FUNCTION empty_safe() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN DELETE FROM casc.safe WHERE id <= 30; RETURN NULL; END';
CREATE TRIGGER empty_safe AFTER DELETE ON property FOR EACH STATEMENT EXECUTE FUNCTION empty_safe();
SELECT fortress.exempt('regress_casc_owner', 'safe') AS exemption \gset
SET SESSION AUTHORIZATION regress_casc_app;
DELETE FROM owner WHERE id = 1;
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION regress_casc_owner;
BEGIN; DELETE FROM owner WHERE id = 1; SELECT count(*) FROM safe; ROLLBACK;
RESET SESSION AUTHORIZATION;
SELECT fortress.revoke_exemption(:exemption);

SELECT fortress.unprotect(relation) FROM fortress.policy WHERE relation IN ('property'::regclass, 'lazy', 'tree', 'pchild', 'safe', 'renamed');
SET client_min_messages = error;
DROP SCHEMA casc CASCADE;
DROP ROLE regress_casc_app, regress_casc_owner;
