-- Every road by which a row leaves a table ends in its archive, whatever the
-- values are.  A row trigger writes down what the server says is leaving; the
-- archive must hold the same rows, as often.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fortress_guard;
RESET client_min_messages;
CREATE SCHEMA archive_test;
SET search_path = archive_test, public;

CREATE TABLE seen (relation regclass, image jsonb);
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO archive_test.seen VALUES (coalesce(pg_partition_root(tg_relid), tg_relid), to_jsonb(old));
	RETURN NULL;
END $$;
-- protects a table so that only TRUNCATE and DDL need permission, and watches it
CREATE FUNCTION guard(VARIADIC tables text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE t regclass;
BEGIN
	FOREACH t IN ARRAY tables LOOP
		EXECUTE format('CREATE TRIGGER see AFTER DELETE OR UPDATE ON %s FOR EACH ROW EXECUTE FUNCTION archive_test.see()', t);
		PERFORM fortress.protect(t, delete_rows => 1000000, update_rows => 1000000, require_where => false);
		PERFORM fortress.set_limit(t, 'delete', 1000000, '1 hour');
	END LOOP;
END $$;
-- rows of an archive as the table would show them
CREATE FUNCTION archived(t regclass) RETURNS SETOF jsonb LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format('SELECT to_jsonb(s) - ''{fg_at,fg_xid,fg_actor,fg_relation,fg_seq,fg_natts,fg_op,fg_how}''::text[]
		FROM %s s WHERE fg_op <> ''k''', fortress.shadow_of(t));
END $$;
-- what was seen and what was archived since the last look: the same?
CREATE FUNCTION compare(VARIADIC tables text[]) RETURNS TABLE (relation text, rows bigint, lost bigint, invented bigint) LANGUAGE plpgsql AS $$
DECLARE t regclass;
BEGIN
	FOREACH t IN ARRAY tables LOOP
		relation := t;
		rows := (SELECT count(*) FROM seen WHERE seen.relation = t);
		lost := (SELECT count(*) FROM (SELECT image FROM seen WHERE seen.relation = t EXCEPT ALL SELECT archived(t)) x);
		invented := (SELECT count(*) FROM (SELECT archived(t) EXCEPT ALL SELECT image FROM seen WHERE seen.relation = t) x);
		RETURN NEXT;
	END LOOP;
END $$;
CREATE FUNCTION ops(t regclass) RETURNS text LANGUAGE plpgsql AS $$
DECLARE r text;
BEGIN
	EXECUTE format('SELECT string_agg(fg_op || n, '' '' ORDER BY fg_op) FROM (SELECT fg_op, count(*) AS n FROM %s WHERE fg_op <> ''k'' GROUP BY 1) x', fortress.shadow_of(t)) INTO r;
	RETURN r;
END $$;
CREATE FUNCTION image(t regclass) RETURNS text LANGUAGE plpgsql AS $$
DECLARE r text;
BEGIN
	EXECUTE format('SELECT md5(string_agg(to_jsonb(x)::text, ''|'' ORDER BY to_jsonb(x)::text)) FROM %s x', t) INTO r;
	RETURN coalesce(r, 'empty');
END $$;

-- ---------------------------------------------------------------------------
-- Cascades of foreign keys, of every kind
-- ---------------------------------------------------------------------------
CREATE TABLE root (id integer PRIMARY KEY, v text);
CREATE TABLE c_cascade (id integer PRIMARY KEY, root integer REFERENCES root ON DELETE CASCADE ON UPDATE CASCADE, v text);
CREATE TABLE c_null (id integer PRIMARY KEY, root integer REFERENCES root ON DELETE SET NULL ON UPDATE SET NULL);
CREATE TABLE c_default (id integer PRIMARY KEY, root integer DEFAULT 0 REFERENCES root ON DELETE SET DEFAULT ON UPDATE SET DEFAULT);
CREATE TABLE c_column (id integer PRIMARY KEY, a integer, root integer REFERENCES root ON DELETE SET NULL (root));
CREATE TABLE c_deferred (id integer PRIMARY KEY, root integer REFERENCES root ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE c_deep (id integer PRIMARY KEY, up integer REFERENCES c_cascade ON DELETE CASCADE);
CREATE TABLE c_part (id integer, root integer REFERENCES root ON DELETE CASCADE ON UPDATE CASCADE, PRIMARY KEY (id)) PARTITION BY HASH (id);
CREATE TABLE c_part_0 PARTITION OF c_part FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE c_part_1 PARTITION OF c_part FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE c_self (id integer PRIMARY KEY, up integer REFERENCES c_self ON DELETE CASCADE ON UPDATE CASCADE);
INSERT INTO root SELECT i, 'root ' || i FROM generate_series(0, 20) i;
INSERT INTO c_cascade SELECT i, i % 21, 'c' || i FROM generate_series(1, 60) i;
INSERT INTO c_null SELECT i, i % 21 FROM generate_series(1, 60) i;
INSERT INTO c_default SELECT i, i % 21 FROM generate_series(1, 60) i;
INSERT INTO c_column SELECT i, i, i % 21 FROM generate_series(1, 60) i;
INSERT INTO c_deferred SELECT i, i % 21 FROM generate_series(1, 60) i;
INSERT INTO c_deep SELECT i, 1 + i % 60 FROM generate_series(1, 120) i;
INSERT INTO c_part SELECT i, i % 21 FROM generate_series(1, 60) i;
INSERT INTO c_self SELECT i, nullif(i / 2, 0) FROM generate_series(1, 63) i;
SELECT guard('root', 'c_cascade', 'c_null', 'c_default', 'c_column', 'c_deferred', 'c_deep', 'c_part', 'c_self');
DELETE FROM root WHERE id = 5;
DELETE FROM root WHERE id BETWEEN 6 AND 10;
DELETE FROM c_column WHERE root = 11;
UPDATE root SET id = id + 100 WHERE id BETWEEN 11 AND 13 AND NOT EXISTS (SELECT FROM c_column c WHERE c.root = root.id) AND NOT EXISTS (SELECT FROM c_deferred c WHERE c.root = root.id);
DELETE FROM c_deferred WHERE root IN (12, 13);
DELETE FROM c_column WHERE root IN (12, 13);
UPDATE root SET id = id + 100, v = 'moved' WHERE id IN (12, 13);
DELETE FROM c_self WHERE id = 2;
UPDATE c_self SET id = 1000 WHERE id = 3;
SELECT * FROM compare('root', 'c_cascade', 'c_null', 'c_default', 'c_column', 'c_deferred', 'c_deep', 'c_part', 'c_self');
SELECT ops('c_null'), ops('c_default'), ops('c_column'), ops('c_part'), ops('c_self');
TRUNCATE seen;

-- ---------------------------------------------------------------------------
-- Statements: MERGE, ON CONFLICT, CTEs, cursors, views, rules, functions, joins
-- ---------------------------------------------------------------------------
CREATE TABLE way (id integer PRIMARY KEY, n integer, v text);
INSERT INTO way SELECT i, i, 'v' || i FROM generate_series(1, 200) i;
CREATE VIEW way_view AS SELECT id, v FROM way WHERE id < 1000;
CREATE VIEW way_rule AS SELECT id, v FROM way;
CREATE RULE del AS ON DELETE TO way_rule DO INSTEAD DELETE FROM way WHERE id = old.id;
CREATE VIEW way_instead AS SELECT id, v FROM way;
CREATE FUNCTION instead() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE archive_test.way SET v = new.v WHERE id = old.id; RETURN new; END $$;
CREATE TRIGGER instead INSTEAD OF UPDATE ON way_instead FOR EACH ROW EXECUTE FUNCTION instead();
CREATE FUNCTION wipe(i integer) RETURNS void LANGUAGE sql AS 'DELETE FROM archive_test.way WHERE id = i';
CREATE FUNCTION wipe_atomic(i integer) RETURNS void LANGUAGE sql BEGIN ATOMIC DELETE FROM way WHERE id = i; END;
SELECT guard('way');
MERGE INTO way USING generate_series(1, 12) i ON way.id = i
	WHEN MATCHED AND i % 3 = 0 THEN DELETE WHEN MATCHED AND i % 3 = 1 THEN UPDATE SET v = 'merged' WHEN MATCHED THEN DO NOTHING
	WHEN NOT MATCHED THEN INSERT VALUES (i, i, 'new');
INSERT INTO way SELECT i, i, 'upsert' FROM generate_series(11, 14) i ON CONFLICT (id) DO UPDATE SET v = excluded.v, n = way.n + 1 WHERE way.id <> 14;
INSERT INTO way VALUES (15, 0, 'nothing') ON CONFLICT DO NOTHING;
WITH d AS (DELETE FROM way WHERE id IN (20, 21) RETURNING *), u AS (UPDATE way SET v = 'cte' WHERE id IN (22, 23)) SELECT count(*) FROM d;
WITH d AS (DELETE FROM way WHERE id = 24) SELECT 1 AS unread;
COPY (DELETE FROM way WHERE id = 25 RETURNING id) TO STDOUT;
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM way WHERE id BETWEEN 26 AND 28 FOR UPDATE;
MOVE 2 IN c;
DELETE FROM way WHERE CURRENT OF c;
FETCH c;
UPDATE way SET v = 'cursor' WHERE CURRENT OF c;
COMMIT;
DELETE FROM way_view WHERE id = 29;
UPDATE way_view SET v = 'view' WHERE id = 30;
DELETE FROM way_rule WHERE id IN (31, 32);
UPDATE way_instead SET v = 'instead' WHERE id IN (33, 34);
SELECT wipe(35), wipe_atomic(36);
DO $$ BEGIN FOR i IN 37..40 LOOP DELETE FROM way WHERE id = i; END LOOP; EXECUTE 'UPDATE way SET v = $1 WHERE id = 41' USING 'executed'; END $$;
DELETE FROM way USING generate_series(42, 44) i, generate_series(1, 3) twice WHERE way.id = i;
UPDATE way SET v = 'joined' || i FROM generate_series(45, 47) i, generate_series(1, 3) twice WHERE way.id = i;
PREPARE gone AS DELETE FROM way WHERE id = $1;
EXECUTE gone(48);
SET plan_cache_mode = force_generic_plan;
EXECUTE gone(49);
RESET plan_cache_mode;
EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) DELETE FROM way WHERE id = 50;
BEGIN;
UPDATE way SET v = 'once' WHERE id = 51;
UPDATE way SET v = 'twice' WHERE id = 51;
SAVEPOINT s;
UPDATE way SET v = 'rolled back' WHERE id = 51;
DELETE FROM way WHERE id = 52;
ROLLBACK TO s;
DELETE FROM way WHERE id = 51;
INSERT INTO way VALUES (51, 51, 'again');
DELETE FROM way WHERE id = 51;
COMMIT;
DO $$
BEGIN
	BEGIN
		DELETE FROM way WHERE id = 53;
		RAISE division_by_zero;
	EXCEPTION WHEN division_by_zero THEN
		DELETE FROM way WHERE id = 54;
	END;
END $$;
CREATE PROCEDURE steps() LANGUAGE plpgsql AS $$ BEGIN DELETE FROM way WHERE id = 55; COMMIT; DELETE FROM way WHERE id = 56; ROLLBACK; DELETE FROM way WHERE id = 57; END $$;
CALL steps();
-- triggers of others: one that changes the row, one that keeps it, one that deletes more
CREATE TABLE triggered (id integer PRIMARY KEY, v text);
INSERT INTO triggered SELECT i, 'v' || i FROM generate_series(1, 30) i;
CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF old.id % 5 = 0 THEN RETURN NULL; END IF;
	IF tg_op = 'DELETE' THEN RETURN old; END IF;
	new.v := new.v || '!';
	RETURN new;
END $$;
CREATE FUNCTION neighbour() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM archive_test.triggered WHERE id = old.id + 1 AND old.id % 7 = 0; RETURN NULL; END $$;
CREATE TRIGGER meddle BEFORE DELETE OR UPDATE ON triggered FOR EACH ROW EXECUTE FUNCTION meddle();
CREATE TRIGGER neighbour AFTER DELETE ON triggered FOR EACH ROW EXECUTE FUNCTION neighbour();
SELECT guard('triggered');
UPDATE triggered SET v = 'new' WHERE id < 12;
DELETE FROM triggered WHERE id > 3 AND id % 3 <> 2;
SELECT * FROM compare('way', 'triggered');
SELECT ops('way'), ops('triggered'), (SELECT count(*) FROM way) AS way, (SELECT count(*) FROM triggered) AS triggered;
TRUNCATE seen;

-- ---------------------------------------------------------------------------
-- Partitions: root, leaf, between, from one to another
-- ---------------------------------------------------------------------------
CREATE TABLE part (id integer, region text, n integer, PRIMARY KEY (id, region, n)) PARTITION BY LIST (region);
CREATE TABLE part_a PARTITION OF part FOR VALUES IN ('a') PARTITION BY RANGE (n);
CREATE TABLE part_a_1 PARTITION OF part_a FOR VALUES FROM (0) TO (100);
CREATE TABLE part_a_2 (gone integer, n integer NOT NULL, region text NOT NULL, id integer NOT NULL);
ALTER TABLE part_a_2 DROP COLUMN gone;
ALTER TABLE part_a ATTACH PARTITION part_a_2 FOR VALUES FROM (100) TO (200);
CREATE TABLE part_rest PARTITION OF part DEFAULT;
INSERT INTO part SELECT i, CASE i % 3 WHEN 0 THEN 'a' WHEN 1 THEN 'b' ELSE 'c' END, i FROM generate_series(1, 199) i;
SELECT guard('part');
DELETE FROM part WHERE id <= 10;
DELETE FROM part_a WHERE id <= 20;
DELETE FROM part_a_2 WHERE id <= 120;
UPDATE part SET n = n + 90 WHERE region = 'a' AND n BETWEEN 20 AND 60;
UPDATE part_a SET n = n - 100 WHERE n > 150;
UPDATE part SET region = 'a' WHERE region = 'b' AND n < 60;
MERGE INTO part USING generate_series(100, 140) i ON part.id = i AND region = 'c'
	WHEN MATCHED AND i % 2 = 0 THEN DELETE WHEN MATCHED THEN UPDATE SET region = 'd';
INSERT INTO part SELECT id, region, n FROM part WHERE id > 180 ON CONFLICT (id, region, n) DO UPDATE SET n = part.n;
SELECT * FROM compare('part');
SELECT ops('part');
SELECT fortress.shadow_of('part') AS shadow \gset
SELECT fg_op, fg_relation, count(*) FROM :shadow WHERE fg_op <> 'k' GROUP BY 1, 2 ORDER BY 1, 2;
TRUNCATE seen;

-- ---------------------------------------------------------------------------
-- TRUNCATE with permission: of all tables that it empties, before it does
-- ---------------------------------------------------------------------------
CREATE TABLE t_top (id integer PRIMARY KEY, v text);
CREATE TABLE t_mid (id integer PRIMARY KEY, top integer REFERENCES t_top);
CREATE TABLE t_low (id serial, mid integer REFERENCES t_mid, big text) PARTITION BY RANGE (id);
CREATE TABLE t_low_1 PARTITION OF t_low FOR VALUES FROM (1) TO (50);
CREATE TABLE t_low_2 PARTITION OF t_low FOR VALUES FROM (50) TO (1000);
CREATE TABLE t_open (id integer PRIMARY KEY, top integer REFERENCES t_top);
CREATE TABLE t_parent (id integer);
CREATE TABLE t_child (more text) INHERITS (t_parent);
INSERT INTO t_top SELECT i, 'top' FROM generate_series(1, 10) i;
INSERT INTO t_mid SELECT i, 1 + i % 10 FROM generate_series(1, 20) i;
INSERT INTO t_low (mid, big) SELECT 1 + i % 20, (SELECT string_agg(md5((i * j)::text), '') FROM generate_series(1, CASE i % 9 WHEN 0 THEN 200 ELSE 1 END) j) FROM generate_series(1, 100) i;
INSERT INTO t_open SELECT i, i FROM generate_series(1, 10) i;
INSERT INTO t_parent VALUES (1);
INSERT INTO t_child VALUES (2, 'two');
SELECT guard('t_top', 't_mid', 't_low', 't_parent');
DO $$ DECLARE t regclass; BEGIN FOREACH t IN ARRAY '{t_top,t_mid,t_low}'::regclass[] LOOP EXECUTE format('INSERT INTO seen SELECT %L::regclass, to_jsonb(x) FROM %s x', t, t); END LOOP; END $$;
INSERT INTO seen SELECT 't_parent'::regclass, to_jsonb(x) FROM ONLY t_parent x;
INSERT INTO seen SELECT 't_child'::regclass, to_jsonb(x) FROM t_child x;
CREATE TABLE images AS SELECT t, image(t) AS was FROM unnest('{t_top,t_mid,t_low,t_parent}'::regclass[]) t;
SELECT fortress.issue_token('{t_top,t_mid,t_low,t_parent}', '{truncate}', uses => 3) AS token \gset
-- not of all of them: nothing happens to any
SELECT fortress.issue_token('{t_top,t_low}', '{truncate}') AS narrow \gset
BEGIN;
SELECT fortress.unlock(:'narrow');
TRUNCATE t_top CASCADE;
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
SELECT count(*) FROM t_top;
-- rolled back: nothing is archived
BEGIN;
SELECT fortress.unlock(:'token');
TRUNCATE t_top CASCADE;
SELECT ops('t_top'), ops('t_mid'), ops('t_low'), (SELECT count(*) FROM t_low), (SELECT count(*) FROM t_open);
ROLLBACK;
SELECT ops('t_top'), (SELECT count(*) FROM t_top);
BEGIN;
SELECT fortress.unlock(:'token');
TRUNCATE t_top RESTART IDENTITY CASCADE;
TRUNCATE t_parent;
COMMIT;
SELECT * FROM compare('t_top', 't_mid', 't_low', 't_parent', 't_child');
SELECT count(*) FROM t_low;
-- one transaction emptied them; one undo fills them again, and numbers go on behind
SELECT fortress.shadow_of('t_top') AS shadow \gset
SELECT DISTINCT fg_xid AS xid FROM :shadow \gset
SELECT * FROM fortress.undo(:'xid');
SELECT t, image(t) = was AS whole FROM images ORDER BY 1;
INSERT INTO t_low (mid) VALUES (1) RETURNING id;
DELETE FROM t_low WHERE id > 100;
-- a leaf alone, and what the transaction itself has changed before
BEGIN;
SELECT fortress.unlock(:'token');
DELETE FROM t_low WHERE id = 60;
INSERT INTO t_low (id, mid) VALUES (500, 1);
TRUNCATE t_low_2;
COMMIT;
SELECT fortress.shadow_of('t_low') AS low_shadow \gset
SELECT fg_op, fg_relation, count(*), count(*) FILTER (WHERE id = 500) AS own FROM :low_shadow WHERE fg_xid > :'xid'::xid8 GROUP BY 1, 2 ORDER BY 1, 2;
TRUNCATE seen;

-- ---------------------------------------------------------------------------
-- Values of every type, however they are stored
-- ---------------------------------------------------------------------------
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE DOMAIN list AS integer[] CHECK (cardinality(VALUE) < 10);
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE TYPE inner_pair AS (a integer, b text);
CREATE TYPE outer_pair AS (x inner_pair, y mood, z inner_pair[]);
CREATE DOMAIN checked_pair AS inner_pair CHECK ((VALUE).a > 0);
CREATE TYPE span AS RANGE (SUBTYPE = float8);
CREATE TABLE typed (
	gone_first integer,
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	by_default integer GENERATED BY DEFAULT AS IDENTITY,
	numbered serial,
	flag boolean,
	gone_middle text,
	tiny "char",
	small smallint,
	single real,
	exact numeric,
	exact_to numeric(20, 5),
	cash money,
	fixed char(7),
	sized varchar(2000),
	named name,
	long text,
	raw bytea,
	stored_plain text,
	stored_external text,
	stored_main text,
	stored_pglz text COMPRESSION pglz,
	stored_other text,
	uid uuid,
	d date,
	t time,
	tz timetz(2),
	ts timestamp,
	tstz timestamptz,
	gap interval,
	j json,
	jb jsonb,
	jp jsonpath,
	x xml,
	ints integer[],
	texts text[][],
	jbs jsonb[],
	pos positive,
	listed list,
	moods mood[],
	inside outer_pair,
	checked checked_pair,
	ir int4range,
	tr tstzmultirange,
	sr span,
	point point,
	poly polygon,
	ip inet,
	mac macaddr8,
	bits bit(5),
	vbits bit varying,
	words tsvector,
	asked tsquery,
	object oid,
	class regclass,
	lsn pg_lsn,
	doubled bigint GENERATED ALWAYS AS (id * 2) STORED,
	upper_long text GENERATED ALWAYS AS (upper(long)) STORED,
	gone_last jsonb
);
ALTER TABLE typed ALTER stored_plain SET STORAGE PLAIN, ALTER stored_external SET STORAGE EXTERNAL, ALTER stored_main SET STORAGE MAIN;
DO $$ BEGIN ALTER TABLE typed ALTER stored_other SET COMPRESSION lz4; EXCEPTION WHEN feature_not_supported THEN NULL; END $$;
CREATE FUNCTION noise(seed integer, length integer) RETURNS text LANGUAGE sql IMMUTABLE AS
	$$ SELECT string_agg(md5((seed * 1000 + i)::text), '') FROM generate_series(1, length / 32) i $$;
INSERT INTO typed (gone_first, flag, gone_middle, tiny, small, single, exact, exact_to, cash, fixed, sized, named, long, raw, stored_plain, stored_external, stored_main,
	stored_pglz, stored_other, uid, d, t, tz, ts, tstz, gap, j, jb, jp, ints, texts, jbs, pos, listed, moods, inside, checked, ir, tr, sr, point, poly,
	ip, mac, bits, vbits, words, asked, object, class, lsn, gone_last)
SELECT i, i % 2 = 0, repeat('x', i), chr(64 + i)::"char", -i, i / 3.0, ('1e' || i * 20)::numeric + 0.5, i / 7.0, i, 'f' || i, repeat('s', i * 20), 'name ' || i,
	CASE i % 4 WHEN 0 THEN NULL WHEN 1 THEN '' WHEN 2 THEN noise(i, 20000) ELSE repeat('compressible ', 3000) END,
	CASE i % 3 WHEN 0 THEN decode(noise(i, 40000), 'hex') ELSE '\x00ff'::bytea END, noise(i, 320), repeat('e', 9000), repeat('m', 5000),
	repeat('p', 50000), repeat('o' || i, 50000), md5(i::text)::uuid, date 'infinity', '24:00', '12:30+05:45', timestamp '0044-03-15 BC', timestamptz '2026-01-01 UTC' + i * interval '1 day',
	interval '1 year -2 days 3 seconds', '{"a": 1,  "a": 2}', jsonb_build_object('i', i, 'big', CASE i % 5 WHEN 0 THEN noise(i, 9000) END), '$.a[*] ? (@ > 1)',
	ARRAY[i, NULL, -i], ARRAY[['a', NULL], ['c', repeat('d', i * 500)]], ARRAY[jsonb 'null', '[1]'], i, ARRAY[i], '{sad,NULL,happy}',
	ROW(ROW(i, noise(i, 96))::inner_pair, 'sad'::mood, ARRAY[ROW(1, NULL)::inner_pair, NULL])::outer_pair, ROW(i, 'checked')::inner_pair, int4range(i, i + 5, '[]'), tstzmultirange(tstzrange('2026-01-01', NULL)),
	span(i, 'Infinity'), point(i, 'NaN'), '((0,0),(1,1),(2,0))', '2001:db8::1/64', '08:00:2b:01:02:03:04:05', (i % 32)::bit(5), repeat('10', i)::varbit,
	to_tsvector('simple', 'a fat cat ' || i), 'fat & (rat | cat)', i, 'pg_class', '16/B374D848', '{}'
FROM generate_series(1, 30) i;
DO $$ BEGIN UPDATE typed SET x = XMLPARSE(CONTENT '<a b="1">text &amp; more</a>'); EXCEPTION WHEN feature_not_supported THEN NULL; END $$;
ALTER TABLE typed DROP COLUMN gone_first, DROP COLUMN gone_middle, DROP COLUMN gone_last;
INSERT INTO typed (flag) SELECT NULL FROM generate_series(1, 5);
ALTER TABLE typed ADD COLUMN late text DEFAULT 'late', ADD COLUMN late_too inner_pair DEFAULT ROW(1, 'x');
INSERT INTO typed (late) SELECT 'own' FROM generate_series(1, 5);
SELECT guard('typed');
SELECT image('typed') AS good \gset
CREATE TABLE sizes AS SELECT id, pg_column_size(stored_pglz) AS a, pg_column_size(stored_other) AS b, length(raw) AS c FROM typed;
DELETE FROM typed WHERE id = 1;
DELETE FROM typed WHERE id = 33;
DELETE FROM typed WHERE id = 38;
DELETE FROM typed WHERE id <= 12;
UPDATE typed SET flag = false, long = 'short', inside = NULL, late = NULL WHERE id = 13;
UPDATE typed SET flag = false, long = 'short', inside = NULL, stored_pglz = NULL, raw = NULL, texts = '{}', late_too = NULL WHERE id > 13;
DELETE FROM typed WHERE id > 20;
SELECT * FROM compare('typed');
SELECT fortress.shadow_of('typed') AS shadow \gset
-- compressed values stay so, and nothing points into the table's own TOAST
SELECT count(*) FROM sizes JOIN :shadow s USING (id) WHERE fg_op = 'd' AND id <= 12 AND (pg_column_size(s.stored_pglz), pg_column_size(s.stored_other)) IS DISTINCT FROM (sizes.a, sizes.b);
BEGIN;
SELECT fortress.unlock(fortress.issue_token(operations => '{truncate}')) \gset
TRUNCATE typed;
SELECT count(*) FILTER (WHERE fg_op = 't') AS truncated, count(*) AS all, sum(length(stored_pglz)) FILTER (WHERE fg_op = 'd' AND id <= 12) AS pglz, sum(length(stored_other)) FILTER (WHERE fg_op = 'd' AND id <= 12) AS other,
	sum(length(raw)) FILTER (WHERE fg_op = 'd' AND id <= 12) = (SELECT sum(c) FROM sizes WHERE id <= 12) AS raw FROM :shadow;
ROLLBACK;
SELECT * FROM fortress.restore('typed', dry_run => true);
SELECT * FROM fortress.restore('typed');
SELECT image('typed') = :'good' AS whole;
SELECT * FROM fortress.restore('typed');
TRUNCATE seen;

-- ---------------------------------------------------------------------------
-- As wide as a shadow can be
-- ---------------------------------------------------------------------------
CREATE FUNCTION make_wide(name text, columns integer, type text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TABLE %I (', name) || (SELECT string_agg('c' || i || ' ' || type, ', ') FROM generate_series(1, columns) i) || ')';
END $$;
SELECT make_wide('full_width', 1592, 'bool');
ALTER TABLE full_width ADD PRIMARY KEY (c1);
-- so many columns that a row of them and the metadata still fit on a page, and its bitmap is as long as can be
DO $$ BEGIN EXECUTE 'INSERT INTO full_width SELECT ' || (SELECT string_agg(CASE WHEN i = 1 THEN 'b' WHEN i % 7 = 0 THEN 'NULL' ELSE (i % 2 = 0)::text END, ', ') FROM generate_series(1, 1592) i) || ' FROM (VALUES (true), (false)) v (b)'; END $$;
SELECT guard('full_width');
SELECT image('full_width') AS good \gset
DELETE FROM full_width WHERE c1;
UPDATE full_width SET c2 = NOT c2, c1592 = NULL;
SELECT * FROM compare('full_width');
SELECT * FROM fortress.restore('full_width');
SELECT image('full_width') = :'good' AS whole;
-- one more is refused, whoever comes first: the guard or the column; nothing is half done
\set VERBOSITY default
ALTER TABLE full_width ADD COLUMN c1593 bool;
\set VERBOSITY terse
SELECT count(*) FROM pg_attribute WHERE attrelid = 'full_width'::regclass AND attnum > 0;
DELETE FROM full_width WHERE c1;
SELECT * FROM fortress.restore('full_width');
SELECT make_wide('too_wide', 1593, 'bool');
SELECT fortress.protect('too_wide');
SELECT count(*) FROM fortress.policy WHERE relation = 'too_wide'::regclass;
SELECT fortress.protect('too_wide', archive => 'none');
-- a row that fills its page: where a value can be moved out of line it is, else the statement fails
SELECT make_wide('wide_text', 1500, 'text');
DO $$ BEGIN EXECUTE 'INSERT INTO wide_text (c1, c2, c1500) VALUES (''key'', repeat(''x'', 100000), ''end'')'; END $$;
DO $$ BEGIN EXECUTE 'INSERT INTO wide_text SELECT ' || (SELECT string_agg(CASE WHEN i < 240 THEN quote_literal(repeat(i::text || '-', 11)) ELSE 'NULL' END, ', ') FROM generate_series(1, 1500) i); END $$;
SELECT guard('wide_text');
DELETE FROM wide_text;
SELECT * FROM compare('wide_text');
SELECT count(*) FROM wide_text;
TRUNCATE seen;

-- clean up
SET client_min_messages = warning;
BEGIN;
SELECT fortress.unlock(fortress.issue_token(operations => '{admin}')) \gset
DO $$
DECLARE r record;
BEGIN
	FOR r IN SELECT c.oid::regclass AS relation, p.relation AS protected, s.shadow FROM pg_class c
		LEFT JOIN fortress.policy p ON p.relation = c.oid LEFT JOIN fortress.shadow s ON s.relation = c.oid
		WHERE c.relnamespace = 'archive_test'::regnamespace AND (p.relation IS NOT NULL OR s.relation IS NOT NULL)
	LOOP
		IF r.protected IS NOT NULL THEN
			PERFORM fortress.unprotect(r.relation);
		END IF;
		IF r.shadow IS NOT NULL THEN
			EXECUTE format('DROP TABLE %s', r.shadow);
		END IF;
	END LOOP;
END $$;
COMMIT;
DROP SCHEMA archive_test CASCADE;
