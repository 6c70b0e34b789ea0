--
-- Partitions that have a policy of their own below a table that has one, too: each
-- row is archived once, and comes back once
--
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fortress_guard;
CREATE SCHEMA apart;
SET search_path = apart, public;
CREATE TABLE t (id int, k int, v text) PARTITION BY LIST (k);

-- what a statement archives, where; and whether undo brings back exactly what there was
CREATE FUNCTION archived(x xid8) RETURNS TABLE (shadow text, op text, ids int[]) LANGUAGE plpgsql AS $$
DECLARE r record;
BEGIN
	FOR r IN SELECT DISTINCT fortress.shadow_of(relid) AS shadow FROM pg_partition_tree('t') WHERE fortress.shadow_of(relid) IS NOT NULL LOOP
		RETURN QUERY EXECUTE format('SELECT regexp_replace(%1$L, ''.*\.(\w+)_\d+'', ''\1''), fg_op::text, array_agg(id ORDER BY id) '
									'FROM %1$s WHERE fg_xid = %2$L GROUP BY 2', r.shadow, x);
	END LOOP;
END $$;
CREATE FUNCTION content() RETURNS text LANGUAGE sql AS 'SELECT md5(string_agg(t::text, $$,$$ ORDER BY t::text)) FROM t';
CREATE PROCEDURE try(INOUT statement text, OUT archive text, OUT undone boolean) LANGUAGE plpgsql AS $$
DECLARE before text := content(); x xid8;
BEGIN
	x := pg_current_xact_id();
	EXECUTE statement;
	COMMIT;
	SELECT string_agg(format('%s %s %s', a.shadow, a.op, a.ids), '; ' ORDER BY a.shadow COLLATE "C", a.op) FROM archived(x) a INTO archive;
	PERFORM fortress.undo(x);
	undone := content() = before;
	COMMIT;
END $$;

-- One came with its policy, another had one before the table above; their columns stand in another order
CREATE TABLE one (gone int, v text, k int NOT NULL, id int NOT NULL);
ALTER TABLE one DROP gone;
SELECT fortress.protect('one', archive => 'delete,update');
CREATE TABLE two PARTITION OF t FOR VALUES IN (2);
CREATE TABLE three PARTITION OF t FOR VALUES IN (3);
SELECT fortress.protect('three', archive => 'delete');
CREATE TABLE rest PARTITION OF t DEFAULT;
SELECT fortress.protect('rest', archive => 'delete,update');
SELECT fortress.protect('t', archive => 'delete,update');
ALTER TABLE t ATTACH PARTITION one FOR VALUES IN (1);
INSERT INTO t SELECT i, 1 + i % 4, 'v' || i FROM generate_series(1, 40) i;

-- without a key, a row that came twice would stay
CALL try('DELETE FROM t WHERE id <= 8', NULL, NULL);
CALL try('DELETE FROM one WHERE id <= 8', NULL, NULL);
CALL try('DELETE FROM two WHERE id <= 8', NULL, NULL);
CALL try('DELETE FROM three WHERE id <= 8', NULL, NULL);
CALL try('WITH d AS (DELETE FROM t WHERE id <= 3 RETURNING id), e AS (DELETE FROM t WHERE id BETWEEN 4 AND 6 RETURNING id) DELETE FROM t WHERE id BETWEEN 7 AND 9', NULL, NULL);
CALL try('TRUNCATE t', NULL, NULL);
SELECT content() IS NULL AS refused;
SELECT fortress.exempt(current_user::regrole, r, operations => '{truncate}', reason => 'apart') IS NOT NULL AS exempt FROM unnest('{t,one,three,rest}'::regclass[]) r;
CALL try('TRUNCATE t', NULL, NULL);

-- with one, updates come back, too: of values, of keys, to another partition and from there, by INSERT and MERGE
ALTER TABLE t ADD PRIMARY KEY (id, k);
CALL try('UPDATE t SET v = v || ''x'' WHERE id <= 8', NULL, NULL);
CALL try('UPDATE one SET v = v || ''x'' WHERE id <= 8', NULL, NULL);
CALL try('UPDATE three SET v = v || ''x'' WHERE id <= 8', NULL, NULL);
CALL try('UPDATE t SET id = id + 100 WHERE id <= 4', NULL, NULL);
-- a row that moved is not looked for in another partition's archive: refused, and nothing is changed
CALL try('UPDATE t SET k = 3 - k WHERE id <= 8 AND k IN (1, 2)', NULL, NULL);
CALL try('UPDATE t SET k = 1 + k % 5 WHERE id <= 5', NULL, NULL);
CALL try('INSERT INTO t SELECT id, k, ''new'' FROM t WHERE id <= 8 ON CONFLICT (id, k) DO UPDATE SET v = excluded.v', NULL, NULL);
CALL try('MERGE INTO t USING generate_series(1, 8) g ON id = g WHEN MATCHED AND g % 2 = 0 THEN DELETE WHEN MATCHED THEN UPDATE SET v = ''merged''', NULL, NULL);
CALL try('MERGE INTO t USING generate_series(1, 8) g ON id = g WHEN MATCHED THEN UPDATE SET k = 1 + k % 4', NULL, NULL);

-- restore() looks into both archives, and asks each once
BEGIN;
DELETE FROM t WHERE id <= 8;
SELECT pg_current_xact_id() AS x \gset
COMMIT;
SELECT relation, operation, rows, conflicts FROM fortress.restore('t', xid => :'x', dry_run => true) ORDER BY 1;
SELECT relation, operation, rows, conflicts FROM fortress.restore('one', xid => :'x');
SELECT relation, operation, rows, conflicts FROM fortress.restore('t', xid => :'x', on_conflict => 'skip') ORDER BY 1;
SELECT count(*), count(DISTINCT id) FROM t;

-- a policy that is off, or archives nothing, leaves it to the one above
SELECT fortress.set_mode('one', 'off');
SELECT fortress.protect('rest', archive => 'none');
CALL try('DELETE FROM t WHERE id <= 8', NULL, NULL);
CALL try('DELETE FROM one WHERE id <= 8', NULL, NULL);
CALL try('UPDATE t SET v = v || ''y'' WHERE id <= 8', NULL, NULL);
SELECT fortress.set_mode('one', 'block');

-- cascades name the table that refers
CREATE TABLE parent (id int PRIMARY KEY);
INSERT INTO parent SELECT generate_series(1, 40);
ALTER TABLE t ADD FOREIGN KEY (id) REFERENCES parent ON DELETE CASCADE;
BEGIN;
DELETE FROM parent WHERE id <= 4;
SELECT pg_current_xact_id() AS x \gset
COMMIT;
SELECT * FROM archived(:'x') ORDER BY shadow COLLATE "C";
INSERT INTO parent SELECT generate_series(1, 4);
SELECT relation, operation, rows FROM fortress.undo(:'x') ORDER BY 1;
SELECT count(*), count(DISTINCT id) FROM t;

-- only given columns: old and new rows go in step
SELECT fortress.protect('t', columns => '{v}', update_rows => 100);
CALL try('UPDATE t SET v = v || ''z'' WHERE id <= 8', NULL, NULL);

-- a partition of a partition, by hash
CREATE TABLE four (LIKE t) PARTITION BY HASH (id);
CREATE TABLE four_0 PARTITION OF four FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE four_1 PARTITION OF four FOR VALUES WITH (MODULUS 2, REMAINDER 1);
SELECT fortress.protect('four_1', archive => 'delete');
SELECT fortress.protect('four', archive => 'delete');
ALTER TABLE t ATTACH PARTITION four FOR VALUES IN (40);
INSERT INTO parent SELECT generate_series(401, 410);
INSERT INTO t SELECT i, 40, 'h' FROM generate_series(401, 410) i;
CALL try('DELETE FROM t WHERE id > 400 OR id <= 4', NULL, NULL);
CALL try('DELETE FROM four WHERE id > 400', NULL, NULL);
SELECT piece, detail FROM fortress.verify_guard() WHERE NOT ok AND piece <> 'setting fsync';

SELECT count(fortress.revoke_exemption(id)::text) AS revoked FROM fortress.exemptions WHERE reason = 'apart' AND active;
SELECT fortress.unprotect(r) FROM unnest('{four_1,four,one,three,rest,t}'::regclass[]) r;
DROP SCHEMA apart CASCADE;
