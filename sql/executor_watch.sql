--
-- Nodes of one query that take turns, rows that MERGE moves, counters that are
-- switched off or come loose.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fortress_guard;
\set VERBOSITY sqlstate
\set SHOW_CONTEXT never
\pset tuples_only on
\pset format unaligned
CREATE SCHEMA watch;
SET search_path = watch;

CREATE TABLE target (id int PRIMARY KEY, n int DEFAULT 0);
CREATE TABLE mine (id int PRIMARY KEY, n int DEFAULT 0);
INSERT INTO target SELECT g FROM generate_series(1, 1000) g;
INSERT INTO mine SELECT g FROM generate_series(1, 1000) g;
SELECT fortress.protect('target', delete_rows => 10, update_rows => 10);
SELECT fortress.protect('mine', update_rows => 1000);

-- one node acts while the other has a row in hand: both are counted
CREATE PROCEDURE merge_and_update(rows int) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1..rows LOOP
		WITH b AS (UPDATE mine SET n = n + 1 WHERE id = i RETURNING id)
		MERGE INTO target USING (VALUES (i)) s(id) ON target.id = s.id
		WHEN MATCHED AND (SELECT id FROM b) IS NOT NULL THEN DELETE;
	END LOOP;
END $$;
BEGIN; CALL merge_and_update(10); ROLLBACK;
CALL merge_and_update(11);
CREATE PROCEDURE upsert_and_update(rows int) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1..rows LOOP
		WITH b AS (UPDATE mine SET n = n + 1 WHERE id = i RETURNING id)
		INSERT INTO target VALUES (i, 0) ON CONFLICT (id) DO UPDATE SET n = (SELECT id FROM b);
	END LOOP;
END $$;
BEGIN; CALL upsert_and_update(10); ROLLBACK;
CALL upsert_and_update(11);
-- the same on one table: a delete is a delete, whoever had the last turn
CREATE PROCEDURE merge_and_update_one(rows int) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1..rows LOOP
		WITH b AS (UPDATE target SET n = n WHERE id = 500 + i RETURNING id)
		MERGE INTO target USING (VALUES (i)) s(id) ON target.id = s.id
		WHEN MATCHED AND (SELECT id FROM b) IS NOT NULL THEN DELETE;
	END LOOP;
END $$;
BEGIN; CALL merge_and_update_one(10); ROLLBACK;
CALL merge_and_update_one(11);
SELECT count(*), sum(n) FROM target;

-- MERGE archives what it updates, deletes and moves
CREATE TABLE parted (id int, k int, v text, PRIMARY KEY (id, k)) PARTITION BY LIST (k);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
CREATE TABLE parted_2 (v text, gone int, k int NOT NULL, id int NOT NULL);
ALTER TABLE parted_2 DROP COLUMN gone;
ALTER TABLE parted ATTACH PARTITION parted_2 FOR VALUES IN (2);
INSERT INTO parted SELECT g, 1 + g % 2, 'v' || g FROM generate_series(1, 100) g;
SELECT fortress.protect('parted', delete_rows => 10, update_rows => 10);
SELECT fortress.shadow_of('parted') AS shadow \gset
BEGIN;
MERGE INTO parted USING generate_series(1, 8) g ON id = g
	WHEN MATCHED AND g <= 2 THEN DELETE
	WHEN MATCHED AND g <= 5 THEN UPDATE SET k = 3 - k, v = 'moved'
	WHEN MATCHED THEN UPDATE SET v = 'stayed';
SELECT fg_op, id, k, v FROM :shadow ORDER BY id;
SELECT id, k, v FROM parted WHERE id <= 8 ORDER BY id;
ROLLBACK;
-- and counts each as what it is
BEGIN;
MERGE INTO parted USING generate_series(1, 20) g ON id = g
	WHEN MATCHED AND g <= 10 THEN DELETE WHEN MATCHED THEN UPDATE SET k = 3 - k;
ROLLBACK;
MERGE INTO parted USING generate_series(1, 21) g ON id = g
	WHEN MATCHED AND g <= 10 THEN DELETE WHEN MATCHED THEN UPDATE SET k = 3 - k;
MERGE INTO parted USING generate_series(1, 21) g ON id = g
	WHEN MATCHED AND g <= 11 THEN DELETE WHEN MATCHED THEN UPDATE SET k = 3 - k;

-- the server's counters cannot be switched off under a running statement
CREATE FUNCTION switch() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('track_counts', 'off', true);
	RETURN true;
END $$;
DELETE FROM target WHERE id <= 5 AND switch();
SHOW track_counts;
SELECT switch();

-- and news of the table in mid-transaction does not make rows count twice
BEGIN;
DELETE FROM target WHERE id <= 6;
ANALYZE target;
DELETE FROM target WHERE id BETWEEN 7 AND 10;
SAVEPOINT s;
DELETE FROM target WHERE id = 11;
ROLLBACK TO s;
ROLLBACK;

-- A refusal ends the statement that has done too much, also where it calls something that writes rows itself and catches errors
CREATE TABLE plain (id int PRIMARY KEY, n int DEFAULT 0, k int DEFAULT 0);
CREATE TABLE by_trigger (LIKE plain INCLUDING ALL);
CREATE TABLE by_column (LIKE plain INCLUDING ALL);
INSERT INTO plain SELECT g FROM generate_series(1, 50) g;
INSERT INTO by_trigger TABLE plain;
INSERT INTO by_column TABLE plain;
CREATE FUNCTION as_it_is() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER as_it_is BEFORE DELETE OR UPDATE ON by_trigger FOR EACH ROW EXECUTE FUNCTION as_it_is();
SELECT fortress.protect(t, delete_rows => 10, update_rows => 10) FROM unnest('{plain,by_trigger,by_column}'::regclass[]) t;
SELECT fortress.protect('by_column', columns => '{n}');
-- writes rows of another table, and one that it takes back, of the same one or not
CREATE FUNCTION caught(t regclass, key int, keep boolean) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	UPDATE mine SET n = n + 1 WHERE id = key;
	BEGIN
		EXECUTE format('UPDATE %s SET k = k + 1 WHERE id = 50', t);
		RAISE 'no';
	EXCEPTION WHEN raise_exception THEN
		IF NOT keep THEN
			RAISE 'no';
		END IF;
	END;
	RETURN key;
EXCEPTION WHEN OTHERS THEN
	RETURN -key;
END $$;
CREATE FUNCTION outcome(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	n int;
BEGIN
	EXECUTE statement;
	GET DIAGNOSTICS n = ROW_COUNT;
	RETURN n;
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE;
END $$;
CREATE TABLE results (statement text, relation regclass, keep boolean, outcomes text);
CREATE PROCEDURE try(statement text) LANGUAGE plpgsql AS $$
DECLARE
	t regclass;
	keep boolean;
	outcomes text[];
	n int;
BEGIN
	FOREACH t IN ARRAY '{plain,by_trigger,by_column}'::regclass[] LOOP
		FOREACH keep IN ARRAY '{t,f}'::boolean[] LOOP
			outcomes := '{}';
			FOREACH n IN ARRAY '{10,11,30}'::int[] LOOP
				outcomes := outcomes || outcome(format(statement, t, n, format('caught(%L, i, %L)', t, keep)));
				ROLLBACK;
			END LOOP;
			INSERT INTO results VALUES (split_part(statement, ' ', 1), t, keep, outcomes::text);
			COMMIT;
		END LOOP;
	END LOOP;
END $$;
SELECT * FROM fortress.verify_audit() WHERE NOT ok;
SELECT max(id) AS last FROM fortress.audit_log \gset
CALL try('DELETE FROM %1$s t USING generate_series(1, 50) i WHERE t.id = i AND i <= %2$s RETURNING %3$s');
CALL try('UPDATE %1$s t SET n = 1 FROM generate_series(1, 50) i WHERE t.id = i AND i <= %2$s RETURNING %3$s');
CALL try('MERGE INTO %1$s t USING generate_series(1, %2$s) i ON t.id = i WHEN MATCHED AND %3$s <> 0 THEN UPDATE SET n = 1');
CALL try('INSERT INTO %1$s AS t SELECT i FROM generate_series(1, %2$s) i ON CONFLICT (id) DO UPDATE SET n = 1 RETURNING (SELECT %3$s FROM (SELECT t.id) x(i))');
CALL try('WITH b AS (UPDATE mine SET n = 1 WHERE id <= %2$s RETURNING id AS i) DELETE FROM %1$s t USING b WHERE t.id = b.i RETURNING %3$s');
SELECT * FROM results;
-- each refusal is one event, with as many rows as there were; where the update within counts, it is refused first
SELECT * FROM fortress.verify_audit() WHERE NOT ok;
SELECT event, operation, relation, rows, count(*) FROM fortress.audit_log WHERE id > :last GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4;

--
-- What was found to be under no policy is asked again when that changes: by this
-- session, taken back by a savepoint, and by becoming part of something else
--
CREATE TABLE unwatched (id int PRIMARY KEY, v int);
INSERT INTO unwatched SELECT generate_series(1, 40);
DELETE FROM unwatched WHERE id = 1;
DELETE FROM unwatched WHERE id BETWEEN 2 AND 9;
BEGIN;
SAVEPOINT s;
SELECT fortress.protect('unwatched', delete_rows => 2);
DELETE FROM unwatched WHERE id BETWEEN 10 AND 12;
ROLLBACK TO s;
DELETE FROM unwatched WHERE id BETWEEN 10 AND 12;
COMMIT;
CREATE TABLE above (id int PRIMARY KEY, v int) PARTITION BY RANGE (id);
SELECT fortress.protect('above', delete_rows => 2, archive => 'none');
DELETE FROM unwatched WHERE id = 13;
ALTER TABLE above ATTACH PARTITION unwatched FOR VALUES FROM (0) TO (100);
DELETE FROM unwatched WHERE id BETWEEN 14 AND 16;
DELETE FROM unwatched WHERE id = 14;
INSERT INTO unwatched VALUES (15, 1), (16, 1), (17, 1) ON CONFLICT (id) DO NOTHING;
UPDATE unwatched SET v = 2 WHERE id = 15;
SELECT fortress.unprotect('above');
DELETE FROM unwatched WHERE id BETWEEN 14 AND 16;
SELECT count(*) FROM unwatched;

--
-- Where the guard's triggers have nothing to do, others that come later fire all
-- the same, foreign keys among them
--
CREATE TABLE lean (id int PRIMARY KEY, v int);
INSERT INTO lean SELECT generate_series(1, 40), 0;
SELECT fortress.protect('lean', archive => 'none', delete_rows => 10);
DELETE FROM lean WHERE id = 1;
UPDATE lean SET v = 1 WHERE id = 2;
CREATE TABLE told (what text);
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO told VALUES (TG_LEVEL || ' ' || TG_OP);
	RETURN NULL;
END
$$;
CREATE TRIGGER tell AFTER DELETE OR UPDATE ON lean FOR EACH ROW EXECUTE FUNCTION tell();
DELETE FROM lean WHERE id = 2;
UPDATE lean SET v = 1 WHERE id = 3;
DROP TRIGGER tell ON lean;
DELETE FROM lean WHERE id = 3;
CREATE TRIGGER tell AFTER DELETE OR UPDATE ON lean FOR EACH STATEMENT EXECUTE FUNCTION tell();
DELETE FROM lean WHERE id = 4;
DROP TRIGGER tell ON lean;
DELETE FROM lean WHERE id = 5;
TABLE told;
CREATE TABLE leaf (id int REFERENCES lean ON DELETE CASCADE);
INSERT INTO leaf SELECT generate_series(6, 40);
DELETE FROM lean WHERE id = 6;
SELECT fortress.protect('leaf', archive => 'none', delete_rows => 3);
DELETE FROM lean WHERE id BETWEEN 7 AND 9;
DELETE FROM lean WHERE id BETWEEN 10 AND 13;
SELECT (SELECT count(*) FROM lean) AS lean, (SELECT count(*) FROM leaf) AS leaf;
MERGE INTO lean USING generate_series(39, 42) i ON id = i WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (i, 2);
SELECT (SELECT count(*) FROM lean) AS lean, (SELECT count(*) FROM leaf) AS leaf;
SELECT fortress.unprotect('lean'), fortress.unprotect('leaf');
-- also those that a function of the statement makes, and archives that it asks for
CREATE TABLE sudden (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE sudden_1 PARTITION OF sudden FOR VALUES FROM (1) TO (100);
INSERT INTO sudden SELECT generate_series(1, 9), 'as it was';
SELECT fortress.protect('sudden', archive => 'none');
CREATE FUNCTION all_of_a_sudden(command text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE command;
	RETURN 'changed';
END
$$;
TRUNCATE told;
BEGIN;
INSERT INTO sudden VALUES (1) ON CONFLICT (id) DO UPDATE SET v = all_of_a_sudden('CREATE TRIGGER tell AFTER UPDATE ON sudden_1 FOR EACH ROW EXECUTE FUNCTION tell()');
UPDATE sudden_1 SET v = 'changed' WHERE id = 2;
UPDATE sudden SET v = 'changed' WHERE id = 3;
TABLE told;
ROLLBACK;
BEGIN;
INSERT INTO sudden VALUES (1) ON CONFLICT (id) DO UPDATE SET v = all_of_a_sudden($$SELECT fortress.protect('sudden', archive => 'delete,update')$$);
UPDATE sudden_1 SET v = 'changed' WHERE id = 2;
DELETE FROM sudden_1 WHERE id = 3;
DELETE FROM sudden WHERE id = 4;
COMMIT;
SELECT fortress.shadow_of('sudden') AS shadow_of_sudden \gset
SELECT fg_op, id, v FROM :shadow_of_sudden ORDER BY fg_seq;
SELECT fortress.unprotect('sudden');

SELECT fortress.unprotect('target'), fortress.unprotect('mine'), fortress.unprotect('parted');
SELECT fortress.unprotect(t) FROM unnest('{plain,by_trigger,by_column}'::regclass[]) t;
SET client_min_messages = error;
DROP SCHEMA watch CASCADE;
