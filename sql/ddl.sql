--
-- TRUNCATE and DROP, in all their forms, and what must go on working.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fortress_guard;
\set VERBOSITY sqlstate
\set SHOW_CONTEXT never
\pset format unaligned
-- what is refused without permission, where a test needs it: in a transaction
\set permit 'SELECT fortress.unlock(fortress.issue_token(operations => ''{ddl,admin}''));'
\pset tuples_only on
\pset fieldsep '  '

CREATE ROLE regress_ddl_owner;
CREATE ROLE regress_ddl_app;
CREATE SCHEMA ddl;
CREATE SCHEMA ddl_other;
GRANT ALL ON SCHEMA ddl, ddl_other TO PUBLIC;
SET search_path = ddl;

CREATE TABLE t (id int PRIMARY KEY, v text);
CREATE TABLE ref (id int PRIMARY KEY, t int REFERENCES t);
CREATE TABLE plain (id int PRIMARY KEY, v text);
CREATE TABLE pt (id int, k int, v text) PARTITION BY LIST (k);
CREATE TABLE pt1 PARTITION OF pt FOR VALUES IN (1);
CREATE TABLE pt2 PARTITION OF pt FOR VALUES IN (2) PARTITION BY LIST (k);
CREATE TABLE pt2a PARTITION OF pt2 FOR VALUES IN (2);
CREATE TABLE parent (id int);
CREATE TABLE child (extra int) INHERITS (parent);
CREATE TABLE ddl_other.moved (id int PRIMARY KEY);
INSERT INTO t SELECT i, 'v' || i FROM generate_series(1, 50) i;
INSERT INTO ref SELECT i, i FROM generate_series(1, 20) i;
INSERT INTO plain SELECT i, 'v' || i FROM generate_series(1, 50) i;
INSERT INTO pt SELECT i, 1 + i % 2, 'v' || i FROM generate_series(1, 50) i;
INSERT INTO parent SELECT generate_series(1, 10);
INSERT INTO child SELECT i, i FROM generate_series(11, 30) i;
INSERT INTO ddl_other.moved SELECT generate_series(1, 10);
SELECT fortress.protect('t'), fortress.protect('pt'), fortress.protect('parent'), fortress.protect('ddl_other.moved');

-- What would come of a statement.  Nothing stays.
CREATE FUNCTION try(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
	RAISE EXCEPTION USING ERRCODE = 'ZZ000', MESSAGE = 'passed';
EXCEPTION WHEN OTHERS THEN
	RETURN CASE SQLSTATE WHEN 'ZZ000' THEN SQLERRM ELSE SQLSTATE END;
END $$;
-- Everything that a refusal says.
CREATE FUNCTION complaint(statement text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	d text;
	h text;
	s text;
	t text;
BEGIN
	EXECUTE statement;
	RETURN NEXT 'no complaint';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT, s = SCHEMA_NAME, t = TABLE_NAME;
	RETURN NEXT SQLSTATE || ' ' || SQLERRM;
	RETURN NEXT 'detail: ' || d;
	RETURN NEXT 'hint: ' || regexp_replace(h, 'xemption \d+', 'xemption N');
	RETURN NEXT 'table: ' || s || ', ' || t;
END $$;

--
-- TRUNCATE
--
SELECT complaint('TRUNCATE ddl_other.moved');
SELECT complaint('TRUNCATE pt1');
SELECT try(statement), statement FROM (VALUES
	(1, 'TRUNCATE t, ref'), (2, 'TRUNCATE t CASCADE'), (3, 'TRUNCATE ONLY parent'), (4, 'TRUNCATE plain, t CASCADE'), (5, 'TRUNCATE t, ref RESTART IDENTITY'),
	(6, 'TRUNCATE pt'), (7, 'TRUNCATE pt1'), (8, 'TRUNCATE pt2'), (9, 'TRUNCATE pt2a'), (10, 'TRUNCATE parent'), (11, 'TRUNCATE child'),
	(12, 'DO $do$BEGIN TRUNCATE ddl.pt1; END$do$'), (13, 'SET LOCAL session_replication_role = replica; TRUNCATE child'),
	(14, 'TRUNCATE t'),
	(15, 'TRUNCATE plain'), (16, 'TRUNCATE ref')
) s(n, statement) ORDER BY n;
-- by the cascade from an unprotected table
CREATE TABLE up (id int PRIMARY KEY);
CREATE TABLE down (id int PRIMARY KEY, up int REFERENCES up);
INSERT INTO up VALUES (1);
INSERT INTO down VALUES (1, 1);
SELECT fortress.protect('down');
SELECT try('TRUNCATE up CASCADE'), try('TRUNCATE up, down'), try('TRUNCATE down');
-- a table made in the same transaction, and one whose triggers somebody removed, which needs permission itself
BEGIN; CREATE TABLE fresh (id int); INSERT INTO fresh VALUES (1); SELECT fortress.protect('fresh'); TRUNCATE fresh; ROLLBACK;
BEGIN; DROP TRIGGER fortress_guard_truncate ON down; ROLLBACK;
BEGIN; :permit DROP TRIGGER fortress_guard_truncate ON down; SELECT fortress.lock(); TRUNCATE down; ROLLBACK;

--
-- DROP
--
SELECT complaint('DROP TABLE t CASCADE');
SELECT complaint('DROP TABLE pt2a');
SELECT try(statement), statement FROM (VALUES
	(1, 'DROP TABLE ddl_other.moved'), (2, 'DROP TABLE IF EXISTS t CASCADE'), (3, 'DROP TABLE plain, down'), (4, 'DROP TABLE pt'), (5, 'DROP TABLE pt1'),
	(6, 'DROP TABLE pt2'), (7, 'DROP TABLE child'), (8, 'DROP TABLE parent CASCADE'), (9, 'DROP SCHEMA ddl_other CASCADE'),
	(10, 'DROP SCHEMA ddl_other'), (11, 'DROP TABLE up'), (12, 'DO $do$BEGIN DROP TABLE ddl.child; END$do$'),
	(13, 'DROP TABLE up CASCADE'), (14, 'DROP TABLE plain'), (15, 'DROP TABLE ref'), (16, 'DROP TABLE plain, ref')
) s(n, statement) ORDER BY n;
-- what belongs to somebody
CREATE TABLE owned (id int);
INSERT INTO owned VALUES (1);
ALTER TABLE owned OWNER TO regress_ddl_owner;
CREATE TABLE owned_plain (id int);
ALTER TABLE owned_plain OWNER TO regress_ddl_owner;
SELECT fortress.protect('owned');
SELECT try('DROP OWNED BY regress_ddl_owner'), try('DROP OWNED BY regress_ddl_owner CASCADE');
SET SESSION AUTHORIZATION regress_ddl_owner;
SELECT try('DROP TABLE ddl.owned'), try('TRUNCATE ddl.owned'), try('DROP TABLE ddl.owned_plain');
RESET SESSION AUTHORIZATION;
SELECT try('REASSIGN OWNED BY regress_ddl_owner TO regress_ddl_app');
-- by the type that it is of
CREATE TYPE shape AS (a int, b text);
CREATE TABLE typed OF shape;
INSERT INTO typed VALUES (1, 'x');
SELECT fortress.protect('typed');
SELECT try('DROP TYPE shape CASCADE'), try('DROP TABLE typed');

-- nothing has happened
SELECT (SELECT count(*) FROM t), (SELECT count(*) FROM pt), (SELECT count(*) FROM parent), (SELECT count(*) FROM ddl_other.moved), (SELECT count(*) FROM down), (SELECT count(*) FROM owned), (SELECT count(*) FROM typed);

--
-- What must go on working
--
VACUUM FULL t;
VACUUM (FREEZE, ANALYZE) pt;
CLUSTER t USING t_pkey;
REINDEX TABLE t;
REINDEX TABLE CONCURRENTLY t;
ANALYZE t;
CREATE INDEX ON t (v);
CREATE INDEX CONCURRENTLY t_v2 ON t (v, id);
DROP INDEX t_v2;
ALTER TABLE t ADD COLUMN extra int DEFAULT 7;
ALTER TABLE t ADD COLUMN rewritten float DEFAULT random();
ALTER TABLE t ALTER COLUMN extra SET DEFAULT 8;
ALTER TABLE t ALTER COLUMN v SET NOT NULL;
ALTER TABLE t ADD CONSTRAINT positive CHECK (id > 0);
ALTER TABLE t DROP CONSTRAINT positive;
ALTER TABLE t SET (fillfactor = 80);
ALTER TABLE t ALTER COLUMN v SET STATISTICS 10;
COMMENT ON TABLE t IS 'still here';
CREATE VIEW tv AS SELECT * FROM t;
DROP VIEW tv;
CREATE MATERIALIZED VIEW tm AS SELECT * FROM t;
REFRESH MATERIALIZED VIEW tm;
DROP MATERIALIZED VIEW tm;
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER nothing AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION nothing();
DROP TRIGGER nothing ON t;
CREATE STATISTICS ts ON id, v FROM t;
DROP STATISTICS ts;
GRANT SELECT, DELETE ON t TO regress_ddl_app;
REVOKE DELETE ON t FROM regress_ddl_app;
CREATE TABLE pt3 PARTITION OF pt FOR VALUES IN (3);
BEGIN; LOCK TABLE t; COPY t (id, v) FROM STDIN;
101	v101
\.
SELECT count(*) FROM t; ROLLBACK;
-- and the guard with it
DELETE FROM t WHERE id > 40 AND extra = 7;
SELECT count(*) FROM t;
SELECT fortress.shadow_of('t')::text AS shadow \gset
SELECT count(*), min(extra), max(v) FROM :shadow;
SELECT try('TRUNCATE t CASCADE'), try('DELETE FROM t');
-- a table that is not protected can be anything
CREATE TABLE junk (id int, v text);
ALTER TABLE junk RENAME v TO w;
ALTER TABLE junk DROP COLUMN w;
ALTER TABLE junk ALTER id TYPE bigint;
ALTER TABLE junk RENAME TO rubbish;
TRUNCATE rubbish;
DROP TABLE rubbish;
CREATE TEMP TABLE short (id int) ON COMMIT DELETE ROWS;
BEGIN; INSERT INTO short VALUES (1); COMMIT;
DROP TABLE short;
BEGIN; CREATE TABLE gone (id int); TRUNCATE gone; DROP TABLE gone; COMMIT;

--
-- With permission: TRUNCATE archives first, DROP moves to the trash (trash.sql)
--
SELECT fortress.exempt('regress_ddl_app', 't', '{truncate}') AS a, fortress.exempt('regress_ddl_app', 'pt', '{truncate,ddl}') AS b,
	fortress.exempt('regress_ddl_app', 'typed', '{ddl}') AS c, fortress.exempt('regress_ddl_app', 'parent', '{truncate}', max_rows => 25) AS d \gset
GRANT ALL ON ALL TABLES IN SCHEMA ddl TO regress_ddl_app;
SET ROLE regress_ddl_app;
SELECT try('TRUNCATE pt'), try('TRUNCATE pt2'), try('TRUNCATE ddl.down'), try('TRUNCATE t, ref'), try('DELETE FROM pt');
-- rows count where the permission is bounded
SELECT try('TRUNCATE child'), try('TRUNCATE ONLY parent');
SELECT complaint('TRUNCATE parent');
RESET ROLE;
BEGIN;
SET LOCAL ROLE regress_ddl_app;
TRUNCATE t, ref;
RESET ROLE;
SELECT count(*) FROM t;
SELECT fg_op, count(*) FROM :shadow GROUP BY 1 ORDER BY 1;
ROLLBACK;
BEGIN;
SET LOCAL ROLE regress_ddl_app;
TRUNCATE pt1;
RESET ROLE;
SELECT fortress.shadow_of('pt')::text AS pt_shadow \gset
SELECT fg_op, count(*), count(DISTINCT id) FROM :pt_shadow GROUP BY 1;
-- counting goes on after it
INSERT INTO pt SELECT i, 1, 'v' FROM generate_series(1, 200) i;
DELETE FROM pt WHERE id <= 40;
DELETE FROM pt WHERE id <= 101;
ROLLBACK;
-- by a token
SELECT fortress.issue_token('{t,ddl.typed}', '{truncate,ddl}', uses => 2) AS secret \gset
BEGIN;
SELECT fortress.unlock(:'secret');
TRUNCATE t CASCADE;
SELECT count(*) FROM t;
SELECT fg_op, count(*) FROM :shadow GROUP BY 1 ORDER BY 1;
SELECT try('TRUNCATE pt');
ROLLBACK;
SELECT fortress.shadow_of('typed')::text AS typed_shadow \gset
BEGIN;
SELECT fortress.unlock(:'secret');
DROP TABLE typed;
COMMIT;
SELECT count(*) FROM :typed_shadow;
SELECT relation AS in_trash FROM fortress.trash WHERE table_name = 'typed' \gset
SELECT * FROM :in_trash;
SELECT count(*) FROM fortress.policy p WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = p.relation);
-- a table of the same name that is made afterwards is another one
CREATE TABLE typed (id int);
SELECT try('TRUNCATE typed');
-- partitions with permission, and the rest of the tree goes on
SET ROLE regress_ddl_app;
SELECT try('DROP TABLE ddl.pt2a');
RESET ROLE;
BEGIN; :permit ALTER TABLE pt1 OWNER TO regress_ddl_app; COMMIT;
SET ROLE regress_ddl_app;
DROP TABLE ddl.pt1;
RESET ROLE;
SELECT fg_op, count(*) FROM :pt_shadow GROUP BY 1;
SELECT relation AS in_trash FROM fortress.trash WHERE table_name = 'pt1' \gset
SELECT count(*) FROM :in_trash;
SELECT try('TRUNCATE pt'), try('DELETE FROM pt'), try('DROP TABLE pt2');
-- what was moved and then rolled back is moved again
SELECT fortress.exempt('regress_ddl_owner', 'owned', '{ddl}') AS e \gset
SELECT fortress.shadow_of('owned')::text AS owned_shadow \gset
BEGIN;
SET LOCAL ROLE regress_ddl_owner;
SAVEPOINT a;
DROP TABLE owned;
ROLLBACK TO a;
DROP TABLE owned;
COMMIT;
SELECT count(*) FROM :owned_shadow;
SELECT relation AS in_trash FROM fortress.trash WHERE table_name = 'owned' \gset
SELECT * FROM :in_trash;
SELECT fortress.revoke_exemption(:a), fortress.revoke_exemption(:b), fortress.revoke_exemption(:c), fortress.revoke_exemption(:d), fortress.revoke_exemption(:e);

--
-- Modes
--
SELECT fortress.set_mode('down', 'audit');
SELECT fortress.shadow_of('down')::text AS down_shadow \gset
SELECT try('TRUNCATE down'), try('TRUNCATE up CASCADE'), try('DROP TABLE down'), try('DROP TABLE plain, down');
BEGIN; TRUNCATE down; SELECT fg_op, id, up FROM :down_shadow; ROLLBACK;
BEGIN; DROP TABLE down; SELECT relation AS in_trash FROM fortress.trash WHERE table_name = 'down' \gset
SELECT * FROM :in_trash; SELECT count(*) FROM :down_shadow; ROLLBACK;
SELECT fortress.set_mode('down', 'off');
BEGIN; TRUNCATE down; SELECT count(*) FROM :down_shadow; ROLLBACK;
SELECT try('TRUNCATE up CASCADE'), try('DROP TABLE down');
SELECT fortress.set_mode('down', 'block');
SELECT try('TRUNCATE up CASCADE'), try('DROP TABLE down');

--
-- What the guard follows: a new partition, though another table of its name is
-- found first; the columns of a typed table
--
CREATE TABLE named (id int, k int) PARTITION BY LIST (k);
SELECT fortress.protect('named', delete_rows => 2);
CREATE TEMP TABLE named_1 (id int);
CREATE TABLE named_1 PARTITION OF named FOR VALUES IN (1);
INSERT INTO named SELECT g, 1 FROM generate_series(1, 5) g;
SELECT try('DELETE FROM ddl.named_1 WHERE id <= 2'), try('DELETE FROM ddl.named_1 WHERE id <= 3');
DROP TABLE pg_temp.named_1;
CREATE TYPE typed_row AS (id int, v text);
CREATE TABLE of_type OF typed_row;
INSERT INTO of_type VALUES (1, 'a'), (2, 'b');
SELECT fortress.protect('of_type', delete_rows => 2);
ALTER TYPE typed_row ADD ATTRIBUTE more int CASCADE;
UPDATE of_type SET more = 7 WHERE id = 1;
BEGIN;
DELETE FROM of_type WHERE id = 1;
SELECT fortress.shadow_of('of_type')::text AS of_type_shadow \gset
SELECT fg_op, id, v, more FROM :of_type_shadow WHERE fg_op = 'd';
ROLLBACK;
SELECT fortress.unprotect('named'), fortress.unprotect('of_type');

-- columns come from a parent that is not protected itself
CREATE TABLE elder (id int);
CREATE TABLE younger (own text) INHERITS (elder);
INSERT INTO younger VALUES (1, 'one'), (2, 'two');
SELECT fortress.protect('younger');
ALTER TABLE elder ADD COLUMN late int DEFAULT 5;
ALTER TABLE elder RENAME COLUMN id TO key;
BEGIN; :permit ALTER TABLE elder RENAME COLUMN id TO key; COMMIT;
DELETE FROM elder WHERE key = 1;
SELECT fortress.shadow_of('younger')::text AS younger_shadow \gset
SELECT fg_op, key, own, late FROM :younger_shadow;
SELECT fortress.unprotect('younger');

--
-- An archive keeps its columns, whoever owns their types
--
CREATE TABLE moody (id int PRIMARY KEY);
ALTER TABLE moody OWNER TO regress_ddl_owner;
GRANT CREATE, USAGE ON SCHEMA ddl TO regress_ddl_owner;
SET ROLE regress_ddl_owner;
CREATE TYPE mood AS ENUM ('good', 'bad');
ALTER TABLE moody ADD COLUMN now mood;
INSERT INTO moody VALUES (1, 'bad'), (2, 'good');
SELECT fortress.protect('moody');
DELETE FROM moody WHERE id = 1;
DROP TYPE mood CASCADE;
RESET ROLE;
SELECT fortress.shadow_of('moody')::text AS moody_shadow \gset
SELECT id, now FROM :moody_shadow;
SELECT fortress.unprotect('moody');

SELECT fortress.unprotect(relation) FROM fortress.policy WHERE relation IN ('t'::regclass, 'pt', 'parent', 'ddl_other.moved', 'down');
SELECT try('TRUNCATE pt'), try('DROP TABLE parent CASCADE'), try('DROP SCHEMA ddl_other CASCADE');
SET client_min_messages = error;
SELECT fortress.unprotect(relation) FROM fortress.policy WHERE relation::text ~ '^fortress_trash';
BEGIN; :permit DROP SCHEMA ddl, ddl_other CASCADE; COMMIT;
DROP OWNED BY regress_ddl_owner, regress_ddl_app;
DROP ROLE regress_ddl_owner, regress_ddl_app;
