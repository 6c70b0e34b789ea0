--
-- fortress.guard(): only the triggers that protect() makes can fire it, and a
-- row that moves to another partition is no deleted one.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fortress_guard;
\set VERBOSITY terse
\pset tuples_only on
\pset format unaligned
-- what is refused without permission, where a test needs it: in a transaction
\set permit 'SELECT fortress.unlock(fortress.issue_token(operations => ''{ddl}''));'
CREATE SCHEMA trig;
SET search_path = trig;

CREATE TABLE t (id int PRIMARY KEY);
INSERT INTO t SELECT generate_series(1, 10);
SELECT fortress.protect('t');
SELECT fortress.shadow_of('t') AS shadow \gset
-- a trigger of somebody's own with the guard's function
CREATE TRIGGER other AFTER DELETE ON t FOR EACH STATEMENT EXECUTE FUNCTION fortress.guard();
DELETE FROM t WHERE id = 1;
DROP TRIGGER other ON t;
CREATE TRIGGER other AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION fortress.guard();
INSERT INTO t VALUES (11);
DROP TRIGGER other ON t;
BEGIN; :permit CREATE TRIGGER fortress_guard_insert BEFORE INSERT ON t FOR EACH STATEMENT EXECUTE FUNCTION fortress.guard(); COMMIT;
INSERT INTO t VALUES (11);
DROP TRIGGER fortress_guard_insert ON t;
DELETE FROM t WHERE id = 1;
SELECT fg_op, id FROM :shadow;
SELECT fortress.guard();

-- a protected tree below a parent that is not protected: by row triggers
CREATE TABLE top (id int, region int, k int, v text) PARTITION BY LIST (region);
CREATE TABLE mid PARTITION OF top FOR VALUES IN (1) PARTITION BY LIST (k);
CREATE TABLE leaf_1 PARTITION OF mid FOR VALUES IN (1);
CREATE TABLE leaf_2 PARTITION OF mid FOR VALUES IN (2);
INSERT INTO top SELECT g, 1, 1 + g % 2, 'v' || g FROM generate_series(1, 20) g;
SELECT fortress.protect('mid', delete_rows => 5, update_rows => 5);
SELECT fortress.shadow_of('mid') AS shadow \gset
BEGIN;
DELETE FROM top WHERE id = 1;
DELETE FROM mid WHERE id = 2;
DELETE FROM leaf_1 WHERE id = 4;
UPDATE top SET k = 3 - k WHERE id BETWEEN 5 AND 7;
UPDATE mid SET v = 'x' WHERE id = 8;
SELECT fg_op, id, k, v FROM :shadow ORDER BY id;
ROLLBACK;
DELETE FROM top WHERE id <= 6;
DELETE FROM top WHERE id <= 5;

-- a table whose last child goes stays protected, and writable
CREATE TABLE parent (id int, v text);
CREATE TABLE child (more int) INHERITS (parent);
INSERT INTO parent SELECT g, 'p' FROM generate_series(1, 10) g;
INSERT INTO child SELECT g, 'c', g FROM generate_series(11, 20) g;
SELECT fortress.protect('parent', delete_rows => 3);
DELETE FROM parent WHERE id IN (1, 11);
BEGIN; :permit ALTER TABLE child NO INHERIT parent; COMMIT;
DELETE FROM parent WHERE id = 2;
DELETE FROM parent WHERE id <= 7;
SELECT fortress.shadow_of('parent') AS shadow \gset
SELECT fg_op, id, v FROM :shadow ORDER BY id;
SELECT fortress.protect('parent');
DELETE FROM parent WHERE id = 3;
SELECT fg_op, id, v FROM :shadow ORDER BY id;
SELECT count(*) FROM parent;

-- triggers without a policy refuse everything that takes rows, and verify_guard
-- says so; unprotect() takes them away, protect() puts a policy there again
CREATE TABLE plain (id int PRIMARY KEY, v text);
INSERT INTO plain SELECT g, 'v' FROM generate_series(1, 10) g;
SELECT fortress.protect('plain', archive => 'none');
BEGIN;
SELECT fortress.unlock(fortress.issue_token(operations => '{admin}'));
DELETE FROM fortress.row_limit WHERE relation IN ('t'::regclass, 'plain'::regclass, 'mid'::regclass);
DELETE FROM fortress.policy WHERE relation IN ('t'::regclass, 'plain'::regclass, 'mid'::regclass);
COMMIT;
\set VERBOSITY default
DELETE FROM t WHERE id = 2;
\set VERBOSITY terse
UPDATE t SET id = 100 WHERE id = 2;
TRUNCATE t;
DELETE FROM plain;
MERGE INTO plain USING (SELECT 1) s ON id = 2 WHEN MATCHED THEN DELETE;
INSERT INTO plain VALUES (2, 'new') ON CONFLICT (id) DO UPDATE SET v = 'new';
SET session_replication_role = replica;
DELETE FROM plain WHERE id = 2;
RESET session_replication_role;
DELETE FROM leaf_1 WHERE id = 10;
DELETE FROM top WHERE id = 10;
INSERT INTO t VALUES (20);
SELECT count(*) FROM t UNION ALL SELECT count(*) FROM plain UNION ALL SELECT count(*) FROM top;
SELECT piece, ok, fix FROM fortress.verify_guard() WHERE piece LIKE 'table trig.%' AND piece <> 'table trig.parent' ORDER BY piece COLLATE "C";
SELECT fortress.unprotect('plain');
SELECT fortress.unprotect('plain');
DELETE FROM plain WHERE id = 2;
SELECT fortress.protect('t'), fortress.protect('mid');
DELETE FROM t WHERE id = 2;
DELETE FROM leaf_1 WHERE id = 10;
SELECT piece, ok, fix FROM fortress.verify_guard() WHERE piece LIKE 'table trig.%' AND piece <> 'table trig.parent' ORDER BY piece COLLATE "C";

SELECT fortress.unprotect('t'), fortress.unprotect('mid'), fortress.unprotect('parent');
SET client_min_messages = error;
DROP SCHEMA trig CASCADE;
