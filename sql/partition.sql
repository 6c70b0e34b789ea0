--
-- Partitioned tables and inheritance: one policy for the whole tree, whichever
-- of its tables a statement names.
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

CREATE SCHEMA part;
SET search_path = part;

-- What would come of a statement.  Nothing stays, but what a refused statement
-- has counted: that is charged until the transaction ends, so that each of the
-- following has a transaction of its own.
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

-- The guard's triggers on a table, and its shadow.
CREATE FUNCTION pieces(rel regclass) RETURNS text LANGUAGE sql AS $$
	SELECT rel || ': ' || coalesce(string_agg(substr(tgname, 16) || CASE WHEN tgtype & 1 = 1 THEN ' row' ELSE '' END, ', ' ORDER BY tgname), 'nothing')
		|| CASE WHEN fortress.shadow_of(rel) IS NULL THEN '' ELSE '; shadow' END
	FROM pg_trigger WHERE tgrelid = rel AND tgname LIKE 'fortress_guard%' AND tgenabled = 'A'
$$;

--
-- A tree of three floors with partitions of other layouts
--
CREATE TABLE pt (id int, k int, v text, PRIMARY KEY (id, k)) PARTITION BY LIST (k);
CREATE TABLE pt1 PARTITION OF pt FOR VALUES IN (1);
CREATE TABLE pt2 (v text, gone int, k int NOT NULL, id int NOT NULL);
ALTER TABLE pt2 DROP COLUMN gone;
ALTER TABLE pt ATTACH PARTITION pt2 FOR VALUES IN (2);
CREATE TABLE pt34 PARTITION OF pt FOR VALUES IN (3, 4) PARTITION BY LIST (k);
CREATE TABLE pt3 PARTITION OF pt34 FOR VALUES IN (3);
CREATE TABLE pt4 (k int NOT NULL, v text, id int NOT NULL);
ALTER TABLE pt34 ATTACH PARTITION pt4 FOR VALUES IN (4);
INSERT INTO pt SELECT i, 1 + i % 4, 'v' || i FROM generate_series(1, 200) i;
SELECT fortress.protect('pt', delete_rows => 10, update_rows => 10);
SELECT fortress.drop_limit('pt', 'delete', '1 hour');
SELECT pieces(relid) FROM pg_partition_tree('pt') ORDER BY relid::text COLLATE "C";

SELECT format('SELECT try(%L)', statement) FROM (VALUES
	-- by the root, by a leaf, by what is between
	(1, 'DELETE FROM pt WHERE id <= 10'),
	(2, 'DELETE FROM pt WHERE id <= 11'),
	(3, 'DELETE FROM pt1 WHERE id <= 40'),
	(4, 'DELETE FROM pt1 WHERE id <= 44'),
	(5, 'DELETE FROM pt2 WHERE id <= 40'),
	(6, 'DELETE FROM pt2 WHERE id <= 44'),
	(7, 'DELETE FROM pt34 WHERE id <= 19'),
	(8, 'DELETE FROM pt34 WHERE id <= 22'),
	(9, 'DELETE FROM pt4 WHERE id <= 40'),
	(10, 'DELETE FROM pt4 WHERE id <= 44'),
	(11, 'UPDATE pt SET v = NULL WHERE id <= 10'),
	(12, 'UPDATE pt SET v = NULL WHERE id <= 11'),
	(13, 'UPDATE pt34 SET v = NULL WHERE id <= 19'),
	(14, 'UPDATE pt34 SET v = NULL WHERE id <= 22'),
	(15, 'UPDATE pt4 SET v = NULL WHERE id <= 40'),
	(16, 'UPDATE pt4 SET v = NULL WHERE id <= 44'),
	-- a row that moves is one update and no delete
	(17, 'UPDATE pt SET k = 1 + k % 4 WHERE id <= 10'),
	(18, 'UPDATE pt SET k = 1 + k % 4 WHERE id <= 11'),
	(19, 'UPDATE pt34 SET k = 7 - k WHERE id <= 19'),
	(20, 'UPDATE pt34 SET k = 7 - k WHERE id <= 22'),
	(21, 'UPDATE pt SET k = CASE WHEN id <= 5 THEN 1 + k % 4 ELSE k END WHERE id <= 10'),
	(22, 'UPDATE pt SET k = CASE WHEN id <= 5 THEN 1 + k % 4 ELSE k END WHERE id <= 11'),
	(23, 'WITH u AS (UPDATE pt SET k = 1 + k % 4 WHERE id <= 10) DELETE FROM pt WHERE id BETWEEN 21 AND 30'),
	(24, 'WITH u AS (UPDATE pt SET k = 1 + k % 4 WHERE id <= 10) DELETE FROM pt WHERE id BETWEEN 21 AND 31'),
	(25, 'WITH u AS (UPDATE pt SET k = 1 + k % 4 WHERE id <= 11) DELETE FROM pt WHERE id BETWEEN 21 AND 30'),
	(26, 'WITH d AS (DELETE FROM pt1 WHERE id <= 20), e AS (DELETE FROM pt2 WHERE id <= 20) SELECT 1'),
	(27, 'WITH d AS (DELETE FROM pt1 WHERE id <= 20), e AS (DELETE FROM pt WHERE k = 2 AND id <= 24) SELECT 1'),
	-- MERGE and ON CONFLICT, with moves
	(28, 'MERGE INTO pt USING generate_series(1, 10) g ON id = g WHEN MATCHED THEN DELETE'),
	(29, 'MERGE INTO pt USING generate_series(1, 11) g ON id = g WHEN MATCHED THEN DELETE'),
	(30, 'MERGE INTO pt USING generate_series(1, 10) g ON id = g WHEN MATCHED THEN UPDATE SET k = 1 + k % 4'),
	(31, 'MERGE INTO pt USING generate_series(1, 11) g ON id = g WHEN MATCHED THEN UPDATE SET k = 1 + k % 4'),
	(32, 'MERGE INTO pt USING generate_series(1, 20) g ON id = g WHEN MATCHED AND g <= 10 THEN DELETE WHEN MATCHED THEN UPDATE SET k = 1 + k % 4'),
	(33, 'MERGE INTO pt USING generate_series(1, 21) g ON id = g WHEN MATCHED AND g <= 10 THEN DELETE WHEN MATCHED THEN UPDATE SET k = 1 + k % 4'),
	(34, 'MERGE INTO pt1 USING generate_series(1, 40) g ON id = g WHEN MATCHED THEN DELETE'),
	(35, 'MERGE INTO pt1 USING generate_series(1, 44) g ON id = g WHEN MATCHED THEN DELETE'),
	(36, 'INSERT INTO pt SELECT id, k, $$new$$ FROM pt WHERE id <= 10 ON CONFLICT (id, k) DO UPDATE SET v = excluded.v'),
	(37, 'INSERT INTO pt SELECT id, k, $$new$$ FROM pt WHERE id <= 11 ON CONFLICT (id, k) DO UPDATE SET v = excluded.v'),
	(38, 'INSERT INTO pt34 SELECT id, k, $$new$$ FROM pt34 WHERE id <= 19 ON CONFLICT (id, k) DO UPDATE SET v = excluded.v'),
	(39, 'INSERT INTO pt34 SELECT id, k, $$new$$ FROM pt34 WHERE id <= 22 ON CONFLICT (id, k) DO UPDATE SET v = excluded.v'),
	(40, 'INSERT INTO pt4 SELECT k, $$new$$, id FROM pt4 WHERE id <= 40 ON CONFLICT (id, k) DO UPDATE SET v = excluded.v'),
	(41, 'INSERT INTO pt4 SELECT k, $$new$$, id FROM pt4 WHERE id <= 44 ON CONFLICT (id, k) DO UPDATE SET v = excluded.v')
) s(n, statement) ORDER BY n \gexec

-- in one transaction all roads into the tree add up
BEGIN;
DELETE FROM pt1 WHERE id <= 12;
DELETE FROM pt2 WHERE id <= 12;
DELETE FROM pt34 WHERE id <= 7;
DELETE FROM pt WHERE id = 100;
ROLLBACK;
-- a refusal speaks of the table that has the policy
CREATE FUNCTION complaint(statement text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	s text;
	t text;
BEGIN
	EXECUTE statement;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS s = SCHEMA_NAME, t = TABLE_NAME;
	RETURN NEXT SQLSTATE || ' ' || SQLERRM;
	RETURN NEXT s || ', ' || t;
END $$;
SELECT complaint('DELETE FROM pt4 WHERE id <= 44');

-- archived once, wherever the row was, and with its values
BEGIN;
DELETE FROM pt WHERE id BETWEEN 1 AND 4;
DELETE FROM pt2 WHERE id = 5;
DELETE FROM pt34 WHERE id BETWEEN 6 AND 7;
UPDATE pt SET k = 1 + k % 4 WHERE id BETWEEN 8 AND 12;
UPDATE pt4 SET v = NULL WHERE id = 15;
SELECT fortress.shadow_of('pt')::text AS shadow, fortress.shadow_of('pt4') = fortress.shadow_of('pt') AS same \gset
\echo :same
SELECT fg_op, id, k, v FROM :shadow ORDER BY id;
ROLLBACK;

-- permission is for the tree
CREATE ROLE regress_part_app;
GRANT ALL ON SCHEMA part TO regress_part_app;
GRANT ALL ON ALL TABLES IN SCHEMA part TO regress_part_app;
SELECT fortress.exempt('regress_part_app', 'pt') AS exemption \gset
SET ROLE regress_part_app;
SELECT try('DELETE FROM pt'), try('DELETE FROM pt1'), try('DELETE FROM pt34'), try('UPDATE pt4 SET v = NULL');
RESET ROLE;
SELECT fortress.revoke_exemption(:exemption);
SET ROLE regress_part_app;
SELECT try('DELETE FROM pt'), try('DELETE FROM pt1'), try('DELETE FROM pt34'), try('UPDATE pt4 SET v = NULL');
RESET ROLE;

-- what is asked of a leaf: it has no policy of its own
\set VERBOSITY default
SELECT fortress.protect('pt1');
SELECT fortress.set_mode('pt1', 'audit');
SELECT fortress.unprotect('pt4');
\set VERBOSITY sqlstate

--
-- New partitions, ATTACH, DETACH
--
CREATE TABLE pt5 PARTITION OF pt FOR VALUES IN (5);
INSERT INTO pt5 SELECT i, 5, 'v' || i FROM generate_series(1001, 1050) i;
CREATE TABLE pt6 (v text, id int NOT NULL, k int NOT NULL);
INSERT INTO pt6 SELECT 'v' || i, i, 6 FROM generate_series(2001, 2050) i;
SELECT try('DELETE FROM pt6'), pieces('pt6');
ALTER TABLE pt ATTACH PARTITION pt6 FOR VALUES IN (6);
CREATE TABLE pt7 (k int NOT NULL, id int NOT NULL, v text) PARTITION BY RANGE (id);
CREATE TABLE pt7_low PARTITION OF pt7 FOR VALUES FROM (0) TO (4000);
CREATE TABLE pt7_high PARTITION OF pt7 FOR VALUES FROM (4000) TO (5000);
INSERT INTO pt7 SELECT 7, i, 'v' || i FROM generate_series(3001, 3050) i;
ALTER TABLE pt ATTACH PARTITION pt7 FOR VALUES IN (7);
SELECT pieces(relid) FROM pg_partition_tree('pt') WHERE relid::text ~ '[5-7]' ORDER BY relid::text COLLATE "C";
SELECT format('SELECT try(%L)', statement) FROM (VALUES
	(1, 'DELETE FROM pt5 WHERE id <= 1010'), (2, 'DELETE FROM pt5 WHERE id <= 1011'), (3, 'DELETE FROM pt5'),
	(4, 'DELETE FROM pt6 WHERE id <= 2010'), (5, 'DELETE FROM pt6 WHERE id <= 2011'), (6, 'TRUNCATE pt6'), (7, 'DROP TABLE pt6'),
	(8, 'DELETE FROM pt7_low WHERE id <= 3010'), (9, 'DELETE FROM pt7_low WHERE id <= 3011'), (10, 'DELETE FROM pt7 WHERE id <= 3011'),
	(11, 'DELETE FROM pt WHERE id IN (1, 2, 3, 4, 5, 1001, 1002, 2001, 2002, 3001)'), (12, 'DELETE FROM pt WHERE id IN (1, 2, 3, 4, 5, 1001, 1002, 2001, 2002, 3001, 3002)')
) s(n, statement) ORDER BY n \gexec
-- a detached partition is a table of its own again, without a policy: it takes permission to make one
ALTER TABLE pt DETACH PARTITION pt6;
BEGIN; :permit ALTER TABLE pt DETACH PARTITION pt6; ALTER TABLE pt DETACH PARTITION pt7; COMMIT;
SELECT pieces('pt6'), pieces('pt7'), pieces('pt7_low');
SELECT try('DELETE FROM pt6'), try('DELETE FROM pt7'), try('DELETE FROM pt7_low WHERE id > 0'), try('DELETE FROM pt5');
-- a table with a policy of its own keeps it when it is attached: both count
SELECT fortress.protect('pt6', delete_rows => 3);
ALTER TABLE pt ATTACH PARTITION pt6 FOR VALUES IN (6);
SELECT format('SELECT try(%L)', statement) FROM (VALUES
	(1, 'DELETE FROM pt6 WHERE id <= 2003'), (2, 'DELETE FROM pt6 WHERE id <= 2004'), (3, 'DELETE FROM pt WHERE id BETWEEN 2001 AND 2003'), (4, 'DELETE FROM pt WHERE id BETWEEN 2001 AND 2004'),
	(5, 'DELETE FROM pt WHERE id <= 7 OR id BETWEEN 2001 AND 2003'), (6, 'DELETE FROM pt WHERE id <= 8 OR id BETWEEN 2001 AND 2003')
) s(n, statement) ORDER BY n \gexec
BEGIN; :permit ALTER TABLE pt DETACH PARTITION pt6; COMMIT;
SELECT try('DELETE FROM pt6 WHERE id <= 2003'), try('DELETE FROM pt6 WHERE id <= 2004');
SELECT fortress.unprotect('pt6');
SELECT pieces('pt6'), try('DELETE FROM pt6');
-- an unprotected tree over a protected partition
CREATE TABLE other (id int, k int, v text) PARTITION BY LIST (k);
CREATE TABLE other1 PARTITION OF other FOR VALUES IN (1);
CREATE TABLE other2 PARTITION OF other FOR VALUES IN (2);
INSERT INTO other SELECT i, 1 + i % 2, 'v' || i FROM generate_series(1, 100) i;
ALTER TABLE other1 ADD PRIMARY KEY (id);
ALTER TABLE other2 ADD PRIMARY KEY (id);
SELECT fortress.protect('other1', delete_rows => 5, update_rows => 5);
SELECT pieces(relid) FROM pg_partition_tree('other') ORDER BY relid::text COLLATE "C";
SELECT format('SELECT try(%L)', statement) FROM (VALUES
	(1, 'DELETE FROM other2'), (2, 'DELETE FROM other1 WHERE id <= 10'), (3, 'DELETE FROM other1 WHERE id <= 12'),
	(4, 'DELETE FROM other WHERE id <= 10'), (5, 'DELETE FROM other WHERE id <= 12'), (6, 'DELETE FROM other'),
	(7, 'UPDATE other SET k = 2 WHERE k = 1 AND id <= 10'), (8, 'UPDATE other SET k = 2 WHERE k = 1 AND id <= 12'), (9, 'UPDATE other SET k = 1 WHERE k = 2'),
	(10, 'TRUNCATE other2'), (11, 'TRUNCATE other'), (12, 'DROP TABLE other')
) s(n, statement) ORDER BY n \gexec
BEGIN;
DELETE FROM other WHERE id <= 10;
UPDATE other SET k = 2 WHERE k = 1 AND id <= 16;
SELECT fortress.shadow_of('other1')::text AS shadow, fortress.shadow_of('other') IS NULL AS none \gset
\echo :none
SELECT fg_op, id, k, v FROM :shadow ORDER BY id;
ROLLBACK;

--
-- Inheritance, from either end
--
CREATE TABLE parent (id int, v text);
CREATE TABLE child (extra int) INHERITS (parent);
CREATE TABLE grandchild (more int) INHERITS (child);
INSERT INTO parent SELECT i, 'v' || i FROM generate_series(1, 10) i;
INSERT INTO child SELECT i, 'v' || i, i FROM generate_series(11, 30) i;
INSERT INTO grandchild SELECT i, 'v' || i, i, i FROM generate_series(31, 50) i;
SELECT fortress.protect('parent', delete_rows => 10, update_rows => 10);
SELECT fortress.drop_limit('parent', 'delete', '1 hour');
SELECT pieces('parent'), pieces('child'), pieces('grandchild');
SELECT format('SELECT try(%L)', statement) FROM (VALUES
	(1, 'DELETE FROM parent WHERE id <= 10'), (2, 'DELETE FROM parent WHERE id <= 11'),
	(3, 'DELETE FROM child WHERE id BETWEEN 26 AND 35'), (4, 'DELETE FROM child WHERE id BETWEEN 26 AND 36'),
	(5, 'DELETE FROM ONLY child WHERE id <= 20'), (6, 'DELETE FROM ONLY child WHERE id <= 21'),
	(7, 'DELETE FROM grandchild WHERE more <= 40'), (8, 'DELETE FROM grandchild WHERE more <= 41'),
	(9, 'UPDATE parent SET v = NULL WHERE id BETWEEN 26 AND 35'), (10, 'UPDATE parent SET v = NULL WHERE id BETWEEN 26 AND 36'),
	(11, 'UPDATE grandchild SET more = 0 WHERE more <= 40'), (12, 'UPDATE grandchild SET more = 0 WHERE more <= 41'),
	(13, 'TRUNCATE grandchild'), (14, 'DROP TABLE grandchild'), (15, 'DROP TABLE parent CASCADE')
) s(n, statement) ORDER BY n \gexec
-- every column is archived, also those that the named table does not have
BEGIN;
DELETE FROM parent WHERE id IN (10, 20, 40);
SELECT fortress.shadow_of('parent')::text AS a, fortress.shadow_of('child')::text AS b, fortress.shadow_of('grandchild')::text AS c \gset
SELECT fg_op, id, v FROM :a;
SELECT fg_op, id, v, extra FROM :b;
SELECT fg_op, id, v, extra, more FROM :c;
ROLLBACK;
-- from below: the child has a policy of its own as well
SELECT fortress.protect('child', delete_rows => 4);
SELECT format('SELECT try(%L)', statement) FROM (VALUES
	(1, 'DELETE FROM parent WHERE id BETWEEN 5 AND 14'), (2, 'DELETE FROM parent WHERE id BETWEEN 4 AND 14'), (3, 'DELETE FROM parent WHERE id BETWEEN 7 AND 15'),
	(4, 'DELETE FROM grandchild WHERE more <= 34'), (5, 'DELETE FROM grandchild WHERE more <= 35')
) s(n, statement) ORDER BY n \gexec
-- a child that comes and goes
CREATE TABLE newborn () INHERITS (parent);
INSERT INTO newborn SELECT i, 'v' || i FROM generate_series(101, 150) i;
SELECT pieces('newborn'), try('DELETE FROM newborn WHERE id <= 110'), try('DELETE FROM newborn WHERE id <= 111');
ALTER TABLE newborn NO INHERIT parent;
BEGIN; :permit ALTER TABLE newborn NO INHERIT parent; COMMIT;
SELECT pieces('newborn'), try('DELETE FROM newborn');
ALTER TABLE newborn INHERIT parent;
SELECT pieces('newborn'), try('DELETE FROM newborn WHERE id <= 110'), try('DELETE FROM newborn WHERE id <= 111');
-- a table that becomes a parent
CREATE TABLE lone (id int, v text);
INSERT INTO lone SELECT i, 'v' || i FROM generate_series(1, 20) i;
SELECT fortress.protect('lone', delete_rows => 5);
SELECT pieces('lone');
CREATE TABLE lone_child (extra text) INHERITS (lone);
INSERT INTO lone_child SELECT i, 'v' || i, 'x' FROM generate_series(21, 40) i;
SELECT pieces('lone'), pieces('lone_child');
SELECT try('DELETE FROM lone WHERE id BETWEEN 19 AND 23'), try('DELETE FROM lone WHERE id BETWEEN 19 AND 24'), try('DELETE FROM lone_child WHERE id <= 26');

SELECT fortress.unprotect(relation) FROM fortress.policy WHERE relation IN ('pt'::regclass, 'other1', 'parent', 'child', 'lone');
SELECT pieces(c.oid) FROM pg_class c WHERE relnamespace = 'part'::regnamespace AND relkind IN ('r', 'p') ORDER BY c.oid::regclass::text COLLATE "C";
SET client_min_messages = error;
DROP SCHEMA part CASCADE;
DROP ROLE regress_part_app;
