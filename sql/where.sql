--
-- What counts as a condition of DELETE and UPDATE, and what does not.
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

CREATE ROLE regress_where_app;
CREATE SCHEMA cond;
GRANT USAGE ON SCHEMA cond TO PUBLIC;
SET search_path = cond;

-- Protected without any limit, so that only the condition decides.
CREATE TABLE t (id int PRIMARY KEY, k int, v text);
CREATE TABLE o (id int, r int);
CREATE TABLE r (id int);
CREATE TABLE plain (LIKE t);
INSERT INTO t SELECT i, i % 5, 'v' || i FROM generate_series(1, 200) i;
INSERT INTO o SELECT i, i FROM generate_series(1, 3) i;
INSERT INTO r SELECT i FROM generate_series(1, 3) i;
INSERT INTO plain TABLE t;
CREATE INDEX ON t (k);
ANALYZE t, o, r;
SELECT fortress.protect('t');
SELECT fortress.drop_limit('t', 'delete'), fortress.drop_limit('t', 'update'), fortress.drop_limit('t', 'delete', '1 hour');

-- What would come of a statement.  Nothing stays.
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

CREATE FUNCTION always_sql() RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE FUNCTION always_immutable() RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN true; END';
CREATE FUNCTION always_stable() RETURNS boolean LANGUAGE plpgsql STABLE AS 'BEGIN RETURN true; END';
CREATE FUNCTION low(n int) RETURNS boolean LANGUAGE plpgsql STABLE AS 'BEGIN RETURN n <= 10; END';

--
-- Everything that a refusal says
--
\set VERBOSITY default
DELETE FROM t;
UPDATE t SET k = 0;
\set VERBOSITY sqlstate
CREATE FUNCTION fields(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	s text;
	t text;
BEGIN
	EXECUTE statement;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS s = SCHEMA_NAME, t = TABLE_NAME;
	RETURN concat_ws(', ', SQLSTATE, s, t);
END $$;
SELECT fields('DELETE FROM t');

--
-- No condition on the rows of the table: refused
--
SELECT try(statement), statement FROM (VALUES
	(1, 'DELETE FROM t'),
	(2, 'DELETE FROM ONLY t'),
	(3, 'UPDATE t SET k = 0'),
	(4, 'DELETE FROM t RETURNING *'),
	(5, 'DELETE FROM t WHERE true'),
	(6, 'DELETE FROM t WHERE 1 = 1'),
	(7, 'UPDATE t SET k = 0 WHERE NOT false'),
	(8, 'DELETE FROM t WHERE id = 1 OR true'),
	(9, 'DELETE FROM t WHERE coalesce(true, id = 1)'),
	(10, 'DELETE FROM t WHERE CASE WHEN 2 > 1 THEN true ELSE id = 1 END'),
	(11, $$DELETE FROM t WHERE 'a' LIKE '%'$$),
	(12, 'DELETE FROM t WHERE always_sql()'),
	(13, 'DELETE FROM t WHERE always_immutable()'),
	(14, 'DELETE FROM t WHERE always_stable()'),
	(15, $$DELETE FROM t WHERE now() > '2000-01-01'$$),
	(16, 'DELETE FROM t WHERE (SELECT true)'),
	(17, 'DELETE FROM t WHERE EXISTS (SELECT FROM o)'),
	(18, 'DELETE FROM t WHERE 0 < (SELECT count(*) FROM o)'),
	(19, $$DELETE FROM t WHERE current_setting('server_version_num')::int > 0$$),
	(20, 'DELETE FROM t USING o'),
	(21, 'DELETE FROM t USING o WHERE o.id = 1'),
	(22, 'DELETE FROM t USING o WHERE o.id = o.r'),
	(23, 'DELETE FROM t USING o JOIN r ON o.r = r.id'),
	(24, 'DELETE FROM t USING o LEFT JOIN r ON o.r = r.id WHERE r.id IS NOT NULL'),
	(25, 'DELETE FROM t USING t AS t2 WHERE t2.id = 1'),
	(26, 'DELETE FROM t USING generate_series(1, 3) g WHERE g = 1'),
	(27, 'DELETE FROM t USING (SELECT 1 AS id LIMIT 1) s WHERE s.id = 1'),
	(28, 'UPDATE t SET k = o.r FROM o'),
	(29, 'UPDATE t SET k = o.r FROM o WHERE o.id = 1'),
	(30, 'UPDATE t SET k = (SELECT max(id) FROM o WHERE o.id = t.id)'),
	(31, 'WITH d AS (DELETE FROM t RETURNING id) SELECT count(*) FROM d'),
	(32, 'WITH d AS (DELETE FROM t) SELECT 1'),
	(33, 'WITH d AS (DELETE FROM t WHERE id = 1) UPDATE t SET k = 0'),
	(34, 'WITH d AS (UPDATE t SET k = 0) DELETE FROM t WHERE id = 1'),
	(35, 'WITH w AS (SELECT 1) DELETE FROM t WHERE EXISTS (SELECT FROM w)')
) s(n, statement) ORDER BY n;

--
-- A condition, however weak: passes
--
SELECT try(statement), statement FROM (VALUES
	(1, 'DELETE FROM t WHERE id = 1'),
	(2, 'DELETE FROM t WHERE id > 0'),
	(3, 'DELETE FROM t WHERE k = 1'),
	(4, 'DELETE FROM t WHERE k = 1 OR id = 2'),
	(5, $$DELETE FROM t WHERE v LIKE 'v1%'$$),
	(6, 'DELETE FROM t WHERE low(id)'),
	(7, 'DELETE FROM t WHERE NOT (id > 10)'),
	(8, $$DELETE FROM t WHERE ctid = '(0,1)'$$),
	(9, $$DELETE FROM t WHERE ctid >= '(0,0)' AND ctid < '(0,6)'$$),
	(10, 'DELETE FROM t WHERE ctid IN (SELECT ctid FROM t LIMIT 7)'),
	(11, 'DELETE FROM t WHERE id = (SELECT max(id) FROM o)'),
	(12, 'DELETE FROM t WHERE id IN (SELECT id FROM o)'),
	(13, 'DELETE FROM t WHERE id NOT IN (SELECT id FROM o)'),
	(14, 'DELETE FROM t WHERE EXISTS (SELECT FROM o WHERE o.id = t.id)'),
	(15, 'DELETE FROM t WHERE NOT EXISTS (SELECT FROM o WHERE o.id = t.id)'),
	(16, 'DELETE FROM t WHERE id = ANY (ARRAY[1, 2, 3, 4])'),
	(17, 'DELETE FROM t USING o WHERE o.id = t.id'),
	(18, 'DELETE FROM t USING o WHERE o.id < t.id AND o.r = 3'),
	(19, 'DELETE FROM t USING o WHERE t.id = 1'),
	(20, 'DELETE FROM t USING o JOIN r ON o.r = r.id WHERE r.id = t.k'),
	(21, 'DELETE FROM t USING t AS t2 WHERE t2.id = t.k'),
	(22, 'DELETE FROM t USING generate_series(1, 3) g WHERE t.id = g'),
	(23, 'UPDATE t SET k = o.r FROM o WHERE o.id = t.id'),
	(24, 'UPDATE t SET k = 0 WHERE id BETWEEN 1 AND 10'),
	(25, 'DELETE FROM t WHERE false'),
	(26, 'DELETE FROM t WHERE id = 1 AND now() > $$2000-01-01$$'),
	(27, 'DELETE FROM t WHERE random() < 2'),
	(28, 'WITH w AS (SELECT id FROM o) DELETE FROM t WHERE id IN (SELECT id FROM w)'),
	(29, 'WITH d AS (DELETE FROM o RETURNING id) DELETE FROM t USING d WHERE d.id = t.id'),
	(30, 'WITH d AS (DELETE FROM t WHERE id = 1 RETURNING id) SELECT count(*) FROM d'),
	-- not judged, though every row is concerned
	(31, 'MERGE INTO t USING o ON true WHEN MATCHED AND o.id = 99 THEN DELETE'),
	(32, 'MERGE INTO t USING (SELECT DISTINCT 1 FROM o) s ON true WHEN MATCHED THEN UPDATE SET k = 0'),
	(33, 'INSERT INTO t SELECT * FROM t ON CONFLICT (id) DO UPDATE SET k = 0'),
	-- not protected
	(34, 'DELETE FROM plain'),
	(35, 'UPDATE plain SET k = 0'),
	(36, 'WITH d AS (DELETE FROM plain) DELETE FROM t WHERE id = 1'),
	(37, 'DELETE FROM plain USING t')
) s(n, statement) ORDER BY n;

-- whatever the plan looks like
SET enable_hashjoin = off;
SELECT try('DELETE FROM t USING o WHERE o.id = t.id'), try('DELETE FROM t WHERE id IN (SELECT id FROM o)'), try('DELETE FROM t USING o'), try('DELETE FROM t USING o WHERE o.id = 1');
SET enable_nestloop = off;
SELECT try('DELETE FROM t USING o WHERE o.id = t.id'), try('DELETE FROM t WHERE id IN (SELECT id FROM o)'), try('DELETE FROM t USING o'), try('DELETE FROM t USING o WHERE o.id = 1');
SET enable_mergejoin = off;
SET enable_nestloop = on;
SET enable_indexscan = off;
SET enable_bitmapscan = off;
SELECT try('DELETE FROM t USING o WHERE o.id = t.id'), try('DELETE FROM t WHERE k = 1'), try('DELETE FROM t USING o'), try('DELETE FROM t USING o WHERE o.id = 1');
RESET enable_bitmapscan;
SET enable_seqscan = off;
SELECT try('DELETE FROM t USING o WHERE o.id = t.id'), try('DELETE FROM t WHERE k = 1'), try('DELETE FROM t'), try('DELETE FROM t WHERE 1 = 1');
RESET enable_indexscan;
RESET enable_hashjoin;
RESET enable_mergejoin;
SELECT try('DELETE FROM t WHERE k = 1'), try('DELETE FROM t WHERE k > 0 AND v > $$v$$'), try('DELETE FROM t'), try('DELETE FROM t WHERE 1 = 1');
RESET enable_seqscan;

--
-- Parameters, in plans of their own and in generic ones
--
PREPARE bare(boolean) AS DELETE FROM t WHERE $1;
PREPARE same(int) AS DELETE FROM t WHERE $1 = 1;
PREPARE by_id(int) AS DELETE FROM t WHERE id = $1;
PREPARE by_ids(int[]) AS DELETE FROM t WHERE id = ANY ($1);
PREPARE either(boolean, int) AS DELETE FROM t WHERE $1 OR id = $2;
EXECUTE bare(true);
EXECUTE same(1);
BEGIN; EXECUTE by_id(1); EXECUTE by_ids('{2,3}'); EXECUTE either(false, 4); EXECUTE bare(false); SELECT count(*) FROM t; ROLLBACK;
EXECUTE either(true, 4);
SET plan_cache_mode = force_generic_plan;
EXECUTE bare(true);
EXECUTE same(1);
BEGIN; EXECUTE by_id(1); EXECUTE by_ids('{2,3}'); EXECUTE either(false, 4); SELECT count(*) FROM t; ROLLBACK;
RESET plan_cache_mode;

--
-- Functions, cursors, rules
--
CREATE FUNCTION wipe_plpgsql(sure boolean) RETURNS void LANGUAGE plpgsql AS 'BEGIN DELETE FROM cond.t WHERE sure; END';
CREATE FUNCTION wipe_sql() RETURNS void LANGUAGE sql AS 'DELETE FROM cond.t';
CREATE FUNCTION wipe_atomic() RETURNS void BEGIN ATOMIC DELETE FROM cond.t WHERE true; END;
CREATE FUNCTION wipe_definer() RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$BEGIN EXECUTE 'DELETE FROM cond.t'; END$$;
SELECT wipe_plpgsql(true);
SELECT wipe_sql();
SELECT wipe_atomic();
SELECT wipe_definer();
DO 'BEGIN UPDATE cond.t SET k = 0; END';
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM t ORDER BY id FOR UPDATE;
FETCH c;
DELETE FROM t WHERE CURRENT OF c;
SELECT count(*) FROM t;
ROLLBACK;
EXPLAIN (COSTS OFF) DELETE FROM t;
EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) DELETE FROM t;

-- before any row is touched
CREATE SEQUENCE touched;
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM nextval(''cond.touched''); RETURN old; END';
BEGIN; :permit CREATE TRIGGER touch BEFORE DELETE ON t FOR EACH ROW EXECUTE FUNCTION touch(); COMMIT;
WITH d AS (DELETE FROM t WHERE id = 1), e AS (DELETE FROM t) SELECT 1;
DELETE FROM t;
SELECT is_called FROM touched;
DROP TRIGGER touch ON t;

--
-- A view's own condition counts, and so does that of row security
--
CREATE VIEW low_ones AS SELECT * FROM t WHERE id <= 10;
CREATE VIEW everything AS SELECT * FROM t;
CREATE VIEW sure AS SELECT * FROM t WHERE true;
CREATE VIEW barrier WITH (security_barrier) AS SELECT * FROM t WHERE low(id);
CREATE VIEW open_barrier WITH (security_barrier) AS SELECT * FROM t;
CREATE VIEW ruled AS SELECT * FROM t;
CREATE RULE d AS ON DELETE TO ruled DO INSTEAD DELETE FROM t WHERE id = old.id;
SELECT try(statement), statement FROM (VALUES
	(1, 'DELETE FROM low_ones'), (2, 'UPDATE low_ones SET k = 0'), (3, 'DELETE FROM barrier'), (4, 'DELETE FROM open_barrier WHERE id = 1'),
	(5, 'DELETE FROM everything WHERE id = 1'), (6, 'DELETE FROM ruled WHERE id = 1'),
	(7, 'DELETE FROM everything'), (8, 'UPDATE everything SET k = 0'), (9, 'DELETE FROM sure'), (10, 'DELETE FROM open_barrier'),
	(11, 'DELETE FROM everything WHERE 1 = 1')
) s(n, statement) ORDER BY n;

CREATE TABLE secured (id int PRIMARY KEY, who text);
INSERT INTO secured SELECT i, CASE WHEN i <= 5 THEN 'regress_where_app' ELSE 'other' END FROM generate_series(1, 50) i;
ALTER TABLE secured ENABLE ROW LEVEL SECURITY;
GRANT ALL ON secured TO regress_where_app;
CREATE POLICY own ON secured USING (who = current_user);
SELECT fortress.protect('secured');
SET ROLE regress_where_app;
BEGIN; DELETE FROM secured; ROLLBACK;
BEGIN; UPDATE secured SET id = -id; ROLLBACK;
RESET ROLE;
-- the owner and superusers have no such condition
DELETE FROM secured;
BEGIN; :permit DROP POLICY own ON secured; CREATE POLICY everybody ON secured USING (true); COMMIT;
SET ROLE regress_where_app;
DELETE FROM secured;
DELETE FROM secured WHERE id = 50;
RESET ROLE;

--
-- Partitions and children: each scan needs one
--
CREATE TABLE pt (id int, k int) PARTITION BY LIST (k);
CREATE TABLE pt1 PARTITION OF pt FOR VALUES IN (1);
CREATE TABLE pt2 PARTITION OF pt FOR VALUES IN (2);
INSERT INTO pt SELECT i, 1 + i % 2 FROM generate_series(1, 20) i;
SELECT fortress.protect('pt');
CREATE TABLE parent (id int);
CREATE TABLE child (extra int) INHERITS (parent);
INSERT INTO parent SELECT generate_series(1, 10);
INSERT INTO child SELECT i, i FROM generate_series(11, 20) i;
SELECT fortress.protect('parent');
SELECT try(statement), statement FROM (VALUES
	(1, 'DELETE FROM pt'), (2, 'DELETE FROM pt1'), (3, 'UPDATE pt SET id = 0'), (4, 'DELETE FROM pt USING o WHERE o.id = 1'),
	(5, 'DELETE FROM pt WHERE k = 1'), (6, 'DELETE FROM pt WHERE id > 0'), (7, 'DELETE FROM pt1 WHERE id > 0'), (8, 'DELETE FROM pt WHERE k = 3'),
	(9, 'DELETE FROM pt USING o WHERE o.id = pt.id'),
	(10, 'DELETE FROM parent'), (11, 'DELETE FROM ONLY parent'), (12, 'DELETE FROM child'), (13, 'DELETE FROM parent WHERE id > 0'),
	(14, 'DELETE FROM child WHERE extra > 0'), (15, 'DELETE FROM parent USING o WHERE o.id = parent.id')
) s(n, statement) ORDER BY n;

--
-- Policies that ask for none
--
SELECT fortress.protect('plain', delete_rows => 1000, require_where => false);
SELECT try('DELETE FROM plain'), try('UPDATE plain SET k = 0 WHERE true');
SELECT fortress.drop_limit('plain', 'delete', '1 hour');
SELECT try('DELETE FROM plain'), try('UPDATE plain SET k = 0 WHERE true');
SELECT fortress.protect('plain', require_where => true);
SELECT try('DELETE FROM plain'), try('UPDATE plain SET k = 0 WHERE true');
-- guarded columns only
SELECT fortress.protect('plain', columns => '{v}');
SELECT try('UPDATE plain SET k = 0'), try('UPDATE plain SET k = 0, v = v'), try('UPDATE plain SET v = $$x$$'), try('DELETE FROM plain');

--
-- With permission, and in audit mode
--
SELECT fortress.exempt('regress_where_app', 't', '{delete}') AS exemption \gset
GRANT ALL ON t TO regress_where_app;
SET ROLE regress_where_app;
SELECT try('DELETE FROM t'), try('UPDATE t SET k = 0');
RESET ROLE;
SELECT fortress.revoke_exemption(:exemption);
SET ROLE regress_where_app;
SELECT try('DELETE FROM t');
RESET ROLE;
SELECT fortress.set_mode('t', 'audit');
SELECT try('DELETE FROM t'), try('UPDATE t SET k = 0');
SELECT fortress.set_mode('t', 'block');
SELECT try('DELETE FROM t'), try('UPDATE t SET k = 0');

SELECT count(*) FROM t;
SELECT fortress.unprotect(relation) FROM fortress.policy WHERE relation IN ('t'::regclass, 'secured', 'pt', 'parent', 'plain');
SET client_min_messages = error;
DROP SCHEMA cond CASCADE;
DROP ROLE regress_where_app;
