--
-- Policies that guard some columns only: a row counts if the stored value of
-- one of them differs in the end.
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

CREATE SCHEMA change;
SET search_path = change;
CREATE TABLE t (id int PRIMARY KEY, v text, n int, amount numeric, doubled int GENERATED ALWAYS AS (n * 2) STORED, big text);
INSERT INTO t (id, v, n, amount, big) SELECT i, 'v' || i, i, i,
	(SELECT string_agg(md5((i * 1000 + j)::text), '') FROM generate_series(1, 200) j) FROM generate_series(1, 100) i;
SELECT fortress.protect('t', delete_rows => 10, update_rows => 10, columns => '{v}');
SELECT fortress.drop_limit('t', 'delete', '1 hour');

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

SELECT format('SELECT try(%L)', statement) FROM (VALUES
	(1, 'UPDATE t SET n = 0 WHERE id > 0'),
	(2, 'UPDATE t SET n = 0'),
	(3, 'UPDATE t SET id = id, v = v, n = n + 1, big = big WHERE id > 0'),
	(4, $$UPDATE t SET v = 'v' || id WHERE id > 0$$),
	(5, 'UPDATE t SET v = upper(v) WHERE id <= 10'),
	(6, 'UPDATE t SET v = upper(v) WHERE id <= 11'),
	(7, 'UPDATE t SET v = CASE WHEN id <= 10 THEN NULL ELSE v END WHERE id > 0'),
	(8, 'UPDATE t SET v = CASE WHEN id <= 11 THEN NULL ELSE v END WHERE id > 0'),
	(9, 'UPDATE t SET v = CASE WHEN id > 90 THEN $$$$ ELSE v END WHERE id > 0'),
	(10, 'UPDATE t SET v = CASE WHEN id > 89 THEN $$$$ ELSE v END WHERE id > 0'),
	-- what it counts in the end are single rows: of two CTEs, too
	(11, $$WITH a AS (UPDATE t SET v = 'a' WHERE id <= 5), b AS (UPDATE t SET v = 'b' WHERE id BETWEEN 6 AND 10) SELECT 1$$),
	(12, $$WITH a AS (UPDATE t SET v = 'a' WHERE id <= 5), b AS (UPDATE t SET v = 'b' WHERE id BETWEEN 6 AND 11) SELECT 1$$),
	(13, $$WITH a AS (UPDATE t SET n = 0 WHERE id <= 50), b AS (UPDATE t SET v = 'b' WHERE id BETWEEN 91 AND 100) SELECT 1$$),
	-- deletes are not concerned
	(14, 'DELETE FROM t WHERE id <= 10'),
	(15, 'DELETE FROM t WHERE id <= 11'),
	(16, 'UPDATE t SET v = g::text FROM generate_series(1, 30) g WHERE id = g % 10 + 1'),
	(17, 'UPDATE t SET v = g::text FROM generate_series(1, 33) g WHERE id = g % 11 + 1'),
	(18, 'UPDATE t SET n = g FROM generate_series(1, 300) g WHERE id = g % 100 + 1')
) s(n, statement) ORDER BY n \gexec

-- each version by itself, there and back again as well
BEGIN;
UPDATE t SET v = 'x' WHERE id <= 5;
UPDATE t SET v = 'v' || id WHERE id <= 5;
UPDATE t SET n = 0 WHERE id > 0;
UPDATE t SET v = 'x' WHERE id = 1;
ROLLBACK;
-- savepoints
BEGIN;
SAVEPOINT a;
UPDATE t SET v = 'x' WHERE id <= 10;
ROLLBACK TO a;
UPDATE t SET v = 'x' WHERE id BETWEEN 11 AND 20;
SELECT count(*) FROM t WHERE v = 'x';
UPDATE t SET v = 'x' WHERE id = 21;
ROLLBACK;

-- long values that are stored out of line: changed, set to themselves, set to
-- a copy of themselves
SELECT fortress.protect('t', columns => '{big}');
SELECT format('SELECT try(%L)', statement) FROM (VALUES
	(1, 'UPDATE t SET n = 0, v = NULL WHERE id > 0'),
	(2, 'UPDATE t SET big = big WHERE id > 0'),
	(3, $$UPDATE t SET big = left(big, 100) || substr(big, 101) WHERE id > 0$$),
	(4, $$UPDATE t SET big = big || 'x' WHERE id <= 10$$),
	(5, $$UPDATE t SET big = big || 'x' WHERE id <= 11$$)
) s(n, statement) ORDER BY n \gexec

-- a generated column changes with what it is made of
SELECT fortress.protect('t', columns => '{doubled,amount}');
SELECT columns FROM fortress.policy WHERE relation = 't'::regclass;
SELECT format('SELECT try(%L)', statement) FROM (VALUES
	(1, 'UPDATE t SET v = NULL WHERE id > 0'),
	(2, 'UPDATE t SET n = n WHERE id > 0'),
	(3, 'UPDATE t SET n = 0 WHERE id <= 10'),
	(4, 'UPDATE t SET n = 0 WHERE id <= 11'),
	(5, 'UPDATE t SET amount = 0 WHERE id <= 5 OR id > 95'),
	(6, 'UPDATE t SET amount = 0 WHERE id <= 5 OR id > 94'),
	(7, 'UPDATE t SET amount = amount + 0 WHERE id > 0')
) s(n, statement) ORDER BY n \gexec
SELECT fortress.protect('t', columns => '{v}');

-- triggers have the last word
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN new.v := coalesce(new.v, $$$$) || $$!$$; RETURN new; END';
CREATE FUNCTION undo() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN new.v := old.v; RETURN new; END';
CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN CASE WHEN old.id <= 10 THEN new END; END';
BEGIN; :permit CREATE TRIGGER z BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION stamp(); COMMIT;
SELECT try('UPDATE t SET n = 0 WHERE id <= 10'), try('UPDATE t SET n = 0 WHERE id <= 11');
BEGIN; :permit CREATE OR REPLACE TRIGGER z BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION undo(); COMMIT;
SELECT try('UPDATE t SET v = $$x$$ WHERE id > 0');
BEGIN; :permit CREATE OR REPLACE TRIGGER z BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION skip(); COMMIT;
SELECT try('UPDATE t SET v = $$x$$ WHERE id > 0');
DROP TRIGGER z ON t;

-- ON CONFLICT and MERGE
SELECT format('SELECT try(%L)', statement) FROM (VALUES
	(1, $$INSERT INTO t (id, v) SELECT i, 'v' || i FROM generate_series(1, 120) i ON CONFLICT (id) DO UPDATE SET v = excluded.v, n = 0$$),
	(2, $$INSERT INTO t (id, v) SELECT i, 'w' FROM generate_series(1, 10) i ON CONFLICT (id) DO UPDATE SET v = excluded.v, n = 0$$),
	(3, $$INSERT INTO t (id, v) SELECT i, 'w' FROM generate_series(1, 11) i ON CONFLICT (id) DO UPDATE SET v = excluded.v, n = 0$$),
	(4, $$INSERT INTO t (id, v) SELECT i, 'w' FROM generate_series(91, 120) i ON CONFLICT (id) DO UPDATE SET v = excluded.v$$),
	(5, $$INSERT INTO t (id, v) SELECT i, 'w' FROM generate_series(90, 120) i ON CONFLICT (id) DO UPDATE SET v = excluded.v$$),
	(6, $$INSERT INTO t (id, v) SELECT i, 'w' FROM generate_series(1, 120) i ON CONFLICT (id) DO UPDATE SET v = excluded.v WHERE t.id > 90$$),
	(7, $$INSERT INTO t (id, v) SELECT i, CASE WHEN i <= 10 THEN 'w' ELSE 'v' || i END FROM generate_series(1, 120) i ON CONFLICT (id) DO UPDATE SET v = excluded.v$$),
	(8, $$INSERT INTO t (id, v) SELECT i, CASE WHEN i <= 11 THEN 'w' ELSE 'v' || i END FROM generate_series(1, 120) i ON CONFLICT (id) DO UPDATE SET v = excluded.v$$),
	(9, $$MERGE INTO t USING generate_series(1, 100) g ON id = g WHEN MATCHED THEN UPDATE SET v = 'v' || g, n = 0$$),
	(10, $$MERGE INTO t USING generate_series(1, 10) g ON id = g WHEN MATCHED THEN UPDATE SET v = 'w'$$),
	(11, $$MERGE INTO t USING generate_series(1, 11) g ON id = g WHEN MATCHED THEN UPDATE SET v = 'w'$$),
	(12, $$MERGE INTO t USING generate_series(1, 120) g ON id = g WHEN MATCHED AND g <= 10 THEN UPDATE SET v = 'w' WHEN MATCHED AND g <= 20 THEN DELETE WHEN MATCHED THEN UPDATE SET n = 0 WHEN NOT MATCHED THEN INSERT (id, v) VALUES (g, 'v')$$),
	(13, $$MERGE INTO t USING generate_series(1, 120) g ON id = g WHEN MATCHED AND g <= 11 THEN UPDATE SET v = 'w' WHEN MATCHED AND g <= 20 THEN DELETE WHEN MATCHED THEN UPDATE SET n = 0$$)
) s(n, statement) ORDER BY n \gexec

-- columns that came and went since
BEGIN; :permit ALTER TABLE t ADD COLUMN late text DEFAULT 'late', DROP COLUMN amount; COMMIT;
SELECT fortress.protect('t', columns => '{late}');
SELECT try('UPDATE t SET n = 0, late = $$late$$ WHERE id > 0'), try('UPDATE t SET late = NULL WHERE id <= 10'), try('UPDATE t SET late = NULL WHERE id <= 11');

-- from the given columns back to all of them: only by a new policy
SELECT fortress.unprotect('t');
SELECT fortress.protect('t', update_rows => 10);
SELECT try('UPDATE t SET n = n WHERE id <= 10'), try('UPDATE t SET n = n WHERE id <= 11');

--
-- Partitions: other layouts, and rows that move
--
CREATE TABLE pt (id int, k int, v text, n int, PRIMARY KEY (id, k)) PARTITION BY LIST (k);
CREATE TABLE pt1 PARTITION OF pt FOR VALUES IN (1);
CREATE TABLE pt2 (gone text, v text, n int, k int NOT NULL, id int NOT NULL);
ALTER TABLE pt2 DROP COLUMN gone;
ALTER TABLE pt ATTACH PARTITION pt2 FOR VALUES IN (2);
INSERT INTO pt SELECT i, 1 + i % 2, 'v' || i, i FROM generate_series(1, 100) i;
SELECT fortress.protect('pt', update_rows => 10, columns => '{v}');
SELECT format('SELECT try(%L)', statement) FROM (VALUES
	(1, 'UPDATE pt SET n = 0 WHERE id > 0'),
	(2, 'UPDATE pt SET v = v, n = 0 WHERE id > 0'),
	(3, 'UPDATE pt SET v = $$x$$ WHERE id <= 10'),
	(4, 'UPDATE pt SET v = $$x$$ WHERE id <= 11'),
	(5, 'UPDATE pt1 SET v = $$x$$ WHERE id <= 20'),
	(6, 'UPDATE pt1 SET v = $$x$$ WHERE id <= 22'),
	(7, 'UPDATE pt2 SET v = $$x$$ WHERE id <= 19'),
	(8, 'UPDATE pt2 SET v = $$x$$ WHERE id <= 21'),
	(9, 'UPDATE pt SET k = 2 WHERE k = 1'),
	(10, 'UPDATE pt SET k = 1, v = v WHERE k = 2'),
	(11, 'UPDATE pt SET k = 3 - k, n = 0 WHERE id > 0'),
	(12, 'UPDATE pt SET k = 2, v = $$x$$ WHERE k = 1 AND id <= 20'),
	(13, 'UPDATE pt SET k = 2, v = $$x$$ WHERE k = 1 AND id <= 22'),
	(14, 'UPDATE pt SET k = 1, v = CASE WHEN id <= 19 THEN $$x$$ ELSE v END WHERE k = 2'),
	(15, 'UPDATE pt SET k = 1, v = CASE WHEN id <= 21 THEN $$x$$ ELSE v END WHERE k = 2'),
	(16, 'UPDATE pt SET k = 3 - k, v = CASE WHEN id <= 10 THEN $$x$$ ELSE v END WHERE id > 0'),
	(17, 'UPDATE pt SET k = 3 - k, v = CASE WHEN id <= 11 THEN $$x$$ ELSE v END WHERE id > 0'),
	(18, 'MERGE INTO pt USING generate_series(1, 100) g ON id = g WHEN MATCHED THEN UPDATE SET k = 3 - k, v = CASE WHEN g <= 10 THEN $$x$$ ELSE v END'),
	(19, 'MERGE INTO pt USING generate_series(1, 100) g ON id = g WHEN MATCHED THEN UPDATE SET k = 3 - k, v = CASE WHEN g <= 11 THEN $$x$$ ELSE v END'),
	(20, 'MERGE INTO pt USING generate_series(1, 100) g ON id = g WHEN MATCHED THEN UPDATE SET n = 0, v = CASE WHEN g <= 10 THEN $$x$$ ELSE v END'),
	(21, 'MERGE INTO pt USING generate_series(1, 100) g ON id = g WHEN MATCHED THEN UPDATE SET n = 0, v = CASE WHEN g <= 11 THEN $$x$$ ELSE v END'),
	-- ON CONFLICT: in the root's layout exact; a partition with a layout of its
	-- own may count one row too many, never one too few
	(22, 'INSERT INTO pt SELECT id, k, v, 0 FROM pt WHERE k = 1 ON CONFLICT (id, k) DO UPDATE SET v = excluded.v, n = 0'),
	(23, 'INSERT INTO pt SELECT id, k, $$x$$, 0 FROM pt WHERE k = 1 AND id <= 20 ON CONFLICT (id, k) DO UPDATE SET v = excluded.v'),
	(24, 'INSERT INTO pt SELECT id, k, $$x$$, 0 FROM pt WHERE k = 1 AND id <= 22 ON CONFLICT (id, k) DO UPDATE SET v = excluded.v'),
	(25, 'INSERT INTO pt SELECT id, k, $$x$$, 0 FROM pt WHERE k = 2 AND id <= 19 ON CONFLICT (id, k) DO UPDATE SET v = excluded.v'),
	(26, 'INSERT INTO pt SELECT id, k, $$x$$, 0 FROM pt WHERE k = 2 AND id <= 21 ON CONFLICT (id, k) DO UPDATE SET v = excluded.v'),
	(27, 'INSERT INTO pt SELECT id, k, $$x$$, 0 FROM pt WHERE id <= 10 ON CONFLICT (id, k) DO UPDATE SET v = excluded.v'),
	(28, 'INSERT INTO pt SELECT id, k, $$x$$, 0 FROM pt WHERE id <= 11 ON CONFLICT (id, k) DO UPDATE SET v = excluded.v'),
	(29, 'INSERT INTO pt SELECT id, k, $$x$$, 0 FROM pt WHERE id <= 11 ORDER BY k ON CONFLICT (id, k) DO UPDATE SET v = excluded.v'),
	(30, 'INSERT INTO pt SELECT id, k, v, 0 FROM pt ON CONFLICT (id, k) DO UPDATE SET v = excluded.v, n = 0'),
	(31, 'INSERT INTO pt SELECT i, 1 + i % 2, $$x$$, 0 FROM generate_series(91, 200) i ON CONFLICT (id, k) DO UPDATE SET v = excluded.v'),
	(32, 'INSERT INTO pt SELECT i, 1 + i % 2, $$x$$, 0 FROM generate_series(90, 200) i ON CONFLICT (id, k) DO UPDATE SET v = excluded.v'),
	(33, 'INSERT INTO pt2 SELECT v, 0, k, id FROM pt2 ON CONFLICT (id, k) DO UPDATE SET v = excluded.v, n = 0'),
	(34, 'INSERT INTO pt2 SELECT $$x$$, 0, k, id FROM pt2 WHERE id <= 19 ON CONFLICT (id, k) DO UPDATE SET v = excluded.v, n = 0'),
	(35, 'INSERT INTO pt2 SELECT $$x$$, 0, k, id FROM pt2 WHERE id <= 21 ON CONFLICT (id, k) DO UPDATE SET v = excluded.v, n = 0')
) s(n, statement) ORDER BY n \gexec
SELECT count(*), count(*) FILTER (WHERE v = 'v' || id AND n = id) FROM pt;

--
-- Several policies over one row, each with columns of its own
--
CREATE TABLE parent (id int, a int, b int);
CREATE TABLE child (c int) INHERITS (parent);
INSERT INTO child SELECT i, i, i, i FROM generate_series(1, 50) i;
SELECT fortress.protect('parent', update_rows => 10, columns => '{a}');
SELECT fortress.protect('child', update_rows => 5, columns => '{b,c}');
SELECT format('SELECT try(%L)', statement) FROM (VALUES
	(1, 'UPDATE child SET id = -id WHERE id > 0'),
	(2, 'UPDATE parent SET a = 0 WHERE id <= 10'),
	(3, 'UPDATE parent SET a = 0 WHERE id <= 11'),
	(4, 'UPDATE parent SET b = 0 WHERE id <= 5'),
	(5, 'UPDATE parent SET b = 0 WHERE id <= 6'),
	(6, 'UPDATE child SET c = 0 WHERE id <= 5'),
	(7, 'UPDATE child SET c = 0 WHERE id <= 6'),
	(8, 'UPDATE child SET a = 0, c = CASE WHEN id <= 5 THEN 0 ELSE c END WHERE id <= 10'),
	(9, 'UPDATE child SET a = 0, c = CASE WHEN id <= 5 THEN 0 ELSE c END WHERE id <= 11'),
	(10, 'UPDATE child SET a = 0, b = 0 WHERE id <= 6')
) s(n, statement) ORDER BY n \gexec

SELECT fortress.unprotect(relation) FROM fortress.policy WHERE relation IN ('t'::regclass, 'pt', 'parent', 'child');
SET client_min_messages = error;
DROP SCHEMA change CASCADE;
