-- The short way of a restore: whatever it does, the statement of the long way
-- does as well.  Each case is run by both, from the same state.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fortress_guard;
RESET client_min_messages;
CREATE SCHEMA restore_direct_test;
SET search_path = restore_direct_test, public;
CREATE ROLE regress_direct_user IN ROLE fortress_operator;
GRANT USAGE ON SCHEMA restore_direct_test TO regress_direct_user;

CREATE FUNCTION protect_freely(t regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM fortress.protect(t, delete_rows => 1000000, update_rows => 1000000, require_where => false);
	PERFORM fortress.set_limit(t, 'delete', 1000000, '1 hour');
END $$;
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';

-- Everything in the tables, read by the table and by each index that can
CREATE FUNCTION content(tables regclass[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	t regclass;
	part text;
	again text;
	found text := '';
BEGIN
	FOREACH t IN ARRAY tables LOOP
		EXECUTE format('SELECT md5(string_agg(x::text, ''|'' ORDER BY x::text COLLATE "C")) FROM %s x', t) INTO part;
		PERFORM set_config('enable_seqscan', 'off', true);
		EXECUTE format('SELECT md5(string_agg(x::text, ''|'' ORDER BY x::text COLLATE "C")) FROM %s x WHERE id >= (SELECT min(id) FROM %1$s)', t) INTO again;
		PERFORM set_config('enable_seqscan', 'on', true);
		IF part IS DISTINCT FROM again THEN
			RAISE 'table and index of % differ', t;
		END IF;
		found := found || ' ' || coalesce(part, 'empty');
	END LOOP;
	RETURN found;
END $$;

-- Deletes the rows one by one, the highest id first
CREATE FUNCTION backwards(t regclass, condition text DEFAULT 'true') RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	key text;
	n bigint := 0;
BEGIN
	FOR key IN EXECUTE format('SELECT id::text FROM %s WHERE %s ORDER BY id DESC', t, condition) LOOP
		EXECUTE format('DELETE FROM %s WHERE id = %L', t, key);
		n := n + 1;
	END LOOP;
	RETURN n;
END $$;

-- What a call returns and leaves behind, undone again.  "slow": with a trigger
-- that the short way cannot go with.  "in_order": do the rows lie as the archive
-- has them, backwards?  By the long way they lie by key, or as a join left them.
CREATE FUNCTION outcome(tables regclass[], call text, slow boolean, OUT what text, OUT in_order boolean) LANGUAGE plpgsql AS $$
DECLARE
	t regclass;
	result text;
	state text;
	message text;
	detail text;
BEGIN
	IF slow THEN
		FOREACH t IN ARRAY tables LOOP
			EXECUTE format('CREATE TRIGGER slow AFTER INSERT ON %s FOR EACH STATEMENT EXECUTE FUNCTION nothing()', t);
		END LOOP;
	END IF;
	EXECUTE format('SELECT string_agg(r::text, '' '' ORDER BY r::text) FROM fortress.%s r', call) INTO result;
	SET CONSTRAINTS ALL IMMEDIATE;
	EXECUTE format('SELECT avg(CASE WHEN next[0] = here[0] AND next[1] > here[1] THEN 1 ELSE 0 END) > 0.8 FROM
		(SELECT t.ctid::text::point AS here, lead(t.ctid::text::point) OVER (PARTITION BY t.tableoid ORDER BY s.ctid) AS next
		FROM %s t JOIN (SELECT DISTINCT ON (id) id, ctid FROM %s ORDER BY id, fg_at DESC) s USING (id)) x WHERE next IS NOT NULL',
		tables[1], fortress.shadow_of(tables[1])) INTO in_order;
	RAISE EXCEPTION USING errcode = 'YY000', message = coalesce(result, 'nothing') || content(tables),
		detail = coalesce(in_order::text, '');
EXCEPTION WHEN others THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
	in_order := CASE WHEN state = 'YY000' THEN nullif(detail, '')::boolean END;
	what := CASE WHEN state = 'YY000' THEN message
		WHEN state LIKE 'ZG%' THEN state || ' ' || message || ' ' || detail
		ELSE state || ' ' || message END;		-- which row is the first to fail is not said
END $$;

-- Do both ways end alike?  "short": does the call take the short one by itself?
CREATE FUNCTION compared(tables regclass[], call text, OUT "same" boolean, OUT short boolean, OUT result text) LANGUAGE plpgsql AS $$
DECLARE
	direct record;
	long record;
BEGIN
	direct := outcome(tables, call, false);
	long := outcome(tables, call, true);
	"same" := direct.what = long.what;
	short := CASE WHEN long.in_order THEN NULL ELSE direct.in_order END;
	result := regexp_replace(direct.what, ' ([0-9a-f]{32}|empty)', '', 'g');
	IF NOT "same" THEN
		result := result || ' AND BY THE LONG WAY ' || regexp_replace(long.what, ' ([0-9a-f]{32}|empty)', '', 'g');
	END IF;
END $$;

-- ---------------------------------------------------------------------------
-- Types, generated and identity columns, a dropped one, all sorts of indexes
-- ---------------------------------------------------------------------------
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE TABLE item (
	gone integer,
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	name text NOT NULL,
	price numeric(10,2) CHECK (price >= 0),
	taxed numeric GENERATED ALWAYS AS (price * 1.2) STORED,
	n positive,
	feeling mood,
	tags text[],
	at timestamptz,
	big text,
	span int4range
);
ALTER TABLE item DROP COLUMN gone;
CREATE UNIQUE INDEX item_name ON item (lower(name)) WHERE n > 5;
CREATE INDEX item_price ON item (price, feeling) INCLUDE (name);
CREATE INDEX item_tags ON item USING gin (tags);
CREATE INDEX item_at ON item USING brin (at);
CREATE INDEX item_hash ON item USING hash (name);
ALTER TABLE item ADD CONSTRAINT item_span EXCLUDE USING gist (span WITH &&);
ALTER TABLE item ADD CONSTRAINT item_n UNIQUE (n) DEFERRABLE INITIALLY DEFERRED;
INSERT INTO item (name, price, n, feeling, tags, at, big, span)
SELECT 'Item ' || i, (hashint4(i) & 1023) / 7.0, nullif(i, 3), CASE i % 3 WHEN 0 THEN 'sad' WHEN 1 THEN 'happy' END::mood,
	CASE WHEN i % 4 > 0 THEN ARRAY['a', NULL, i::text] END, '2020-01-01'::timestamptz + i * '1 hour'::interval,
	CASE WHEN i % 50 = 0 THEN (SELECT string_agg(md5((i * 1000 + j)::text), '') FROM generate_series(1, 300) j) END,
	int4range(i * 10, i * 10 + 5)
FROM generate_series(1, 600) i;
SELECT protect_freely('item');
SELECT content('{item}') AS good \gset
SELECT backwards('item');
SELECT * FROM compared('{item}', 'restore(''item'')');
SELECT * FROM compared('{item}', 'restore(''item'', dry_run => true)');
SELECT * FROM compared('{item}', 'restore(''item'', on_conflict => ''overwrite'')');
SELECT * FROM compared('{item}', 'restore(''item'', on_conflict => ''skip'')');
SELECT * FROM compared('{item}', 'restore(''item'', filter => ''id % 7 = 3 OR id > 550'')');
SELECT * FROM compared('{item}', 'restore(''item'', filter => ''id IN (SELECT i * 5 FROM generate_series(1, 100) i)'')');
SELECT * FROM compared('{item}', 'restore(''item'', filter => ''id > 10 AND random() >= 0'')');
SELECT * FROM compared('{item}', 'restore(''item'', since => ''infinity'')');
SELECT * FROM compared('{item}', 'restore(''item'', xid => ''1'')');

-- conflicts
INSERT INTO item (id, name, n) OVERRIDING SYSTEM VALUE VALUES (7, 'somebody else''s', 100000);
SELECT * FROM compared('{item}', 'restore(''item'')');
SELECT * FROM compared('{item}', 'restore(''item'', on_conflict => ''overwrite'')');
SELECT * FROM compared('{item}', 'restore(''item'', on_conflict => ''skip'')');
SELECT * FROM compared('{item}', 'restore(''item'', filter => ''id > 100'')');
SELECT * FROM compared('{item}', 'restore(''item'', dry_run => true)');
DELETE FROM item;
-- other constraints: expression and predicate, deferrable, exclusion, check
SELECT * FROM compared('{item}', 'restore(''item'', filter => ''name <> $$somebody else''''s$$'')');
INSERT INTO item (name, n) VALUES ('item 500', 50000);
SELECT * FROM compared('{item}', 'restore(''item'', filter => ''id <= 600 AND n IS DISTINCT FROM 100000'')');
DELETE FROM item;
INSERT INTO item (name, n) VALUES ('third', 501);
SELECT * FROM compared('{item}', 'restore(''item'', filter => ''id <= 600 AND n IS DISTINCT FROM 100000'')');
DELETE FROM item;
INSERT INTO item (name, span) VALUES ('fourth', '[5000, 5001)');
SELECT * FROM compared('{item}', 'restore(''item'', filter => ''id <= 600 AND n IS DISTINCT FROM 100000'')');
DELETE FROM item;
ALTER TABLE item ADD CONSTRAINT low CHECK (n <= 599) NOT VALID;
SELECT * FROM compared('{item}', 'restore(''item'', filter => ''id <= 600 AND n IS DISTINCT FROM 100000'')');
ALTER TABLE item DROP CONSTRAINT low;

-- for good, and twice
SELECT * FROM fortress.restore('item', filter => 'id <= 600 AND n IS DISTINCT FROM 100000');
SELECT content('{item}') = :'good' AS whole;
SELECT * FROM compared('{item}', 'restore(''item'', filter => ''id <= 600 AND n IS DISTINCT FROM 100000'')');
-- deleted once more: two images of each row
UPDATE item SET price = 0 WHERE id < 10;
DELETE FROM item;
SELECT * FROM compared('{item}', 'restore(''item'', filter => ''id BETWEEN 10 AND 600 AND n IS DISTINCT FROM 100000'')');
SELECT * FROM compared('{item}', 'restore(''item'', filter => ''id <= 600 AND n IS DISTINCT FROM 100000'')');
SELECT * FROM compared('{item}', 'restore(''item'', filter => ''id BETWEEN 10 AND 600 AND n IS DISTINCT FROM 100000'', dry_run => true)');
-- a column more, which the images do not know
ALTER TABLE item ADD COLUMN young integer DEFAULT 5;
SELECT * FROM compared('{item}', 'restore(''item'', filter => ''id BETWEEN 10 AND 600 AND n IS DISTINCT FROM 100000'')');
-- the identity goes on behind what came back
SELECT setval('item_id_seq', 1);
SELECT * FROM fortress.restore('item', filter => 'id BETWEEN 10 AND 600 AND n IS DISTINCT FROM 100000');
INSERT INTO item (name) VALUES ('next') RETURNING id;
DELETE FROM item;
INSERT INTO item (name) SELECT 'young' || i FROM generate_series(1, 3) i;
DELETE FROM item WHERE name = 'young1';
SELECT backwards('item');
SELECT setval('item_id_seq', 1);
SELECT * FROM compared('{item}', 'restore(''item'', filter => ''name LIKE $$young_$$'')');
SELECT last_value FROM item_id_seq;

-- ---------------------------------------------------------------------------
-- Keys of other kinds; images of several operations
-- ---------------------------------------------------------------------------
CREATE TABLE pair (id text COLLATE "C", k uuid, v text, PRIMARY KEY (k, id));
INSERT INTO pair SELECT md5(i::text), md5((i / 3)::text)::uuid, i FROM generate_series(1, 500) i;
SELECT protect_freely('pair');
SELECT backwards('pair', 'v::integer > 250');
BEGIN;
SELECT fortress.unlock(fortress.issue_token(operations => '{truncate}'));
TRUNCATE pair;
COMMIT;
SELECT * FROM compared('{pair}', 'restore(''pair'')');
SELECT * FROM compared('{pair}', 'restore(''pair'', filter => ''fg_op = $$t$$'')');
INSERT INTO pair SELECT md5(i::text), md5((i / 3)::text)::uuid, 'new' || i FROM generate_series(1, 500) i;
DELETE FROM pair;
SELECT * FROM compared('{pair}', 'restore(''pair'')');
SELECT * FROM compared('{pair}', 'restore(''pair'', filter => ''fg_op = $$d$$'')');

-- nothing but a key; columns in another order
CREATE TABLE tag (id integer, b integer, PRIMARY KEY (b, id));
INSERT INTO tag SELECT i, 10 - i FROM generate_series(1, 9) i;
SELECT protect_freely('tag');
SELECT backwards('tag');
SELECT * FROM compared('{tag}', 'restore(''tag'')');

-- rows made of bytes: with NULLs, values that lie apart or are compressed, and columns that were added
CREATE TABLE bytes (id integer PRIMARY KEY, a text, b numeric(8,2), c bytea, d char(3), e boolean, f text[], g smallint, h name);
ALTER TABLE bytes ALTER c SET STORAGE EXTERNAL;
INSERT INTO bytes SELECT i, CASE i % 3 WHEN 0 THEN repeat('long ', i * 1000) WHEN 1 THEN 'short' END, nullif(i % 5, 2) * 1.5,
	CASE WHEN i % 4 = 1 THEN decode(repeat('00ff', i * 500), 'hex') END, nullif(i, 3), i % 2 = 0,
	CASE WHEN i % 2 = 0 THEN ARRAY['x', NULL] END, i, 'n' || i FROM generate_series(1, 30) i;
ALTER TABLE bytes ADD COLUMN j integer DEFAULT 7, ADD COLUMN k text;
UPDATE bytes SET k = 'k' WHERE id > 20;
SELECT protect_freely('bytes');
SELECT content('{bytes}') AS good \gset
SELECT backwards('bytes');
SELECT * FROM compared('{bytes}', 'restore(''bytes'')');
SELECT * FROM fortress.restore('bytes');
SELECT content('{bytes}') = :'good' AS whole;
-- the shadow has a column more than the table
SELECT clock_timestamp() AS then \gset
BEGIN;
SELECT fortress.unlock(fortress.issue_token(operations => '{ddl}'));
ALTER TABLE bytes ALTER j TYPE bigint;
COMMIT;
SELECT backwards('bytes');
SELECT * FROM compared('{bytes}', format('restore(''bytes'', since => %L)', :'then'));

-- a key that was none when the row went
CREATE TABLE loose (id integer, v text);
INSERT INTO loose VALUES (1, 'one'), (NULL, 'none'), (2, 'two');
SELECT protect_freely('loose');
DELETE FROM loose;
ALTER TABLE loose ADD PRIMARY KEY (id);
SELECT * FROM compared('{loose}', 'restore(''loose'')');
SELECT * FROM compared('{loose}', 'restore(''loose'', filter => ''id > 0'')');

-- ---------------------------------------------------------------------------
-- Foreign keys, also from one table to another and back
-- ---------------------------------------------------------------------------
CREATE TABLE boss (id integer PRIMARY KEY, best integer, above integer REFERENCES boss ON DELETE CASCADE);
CREATE TABLE worker (id integer PRIMARY KEY, boss integer NOT NULL REFERENCES boss ON DELETE CASCADE);
ALTER TABLE boss ADD FOREIGN KEY (best) REFERENCES worker ON DELETE CASCADE;
INSERT INTO boss SELECT i, NULL, nullif(i - 1, 0) FROM generate_series(1, 10) i;
INSERT INTO worker SELECT i, 1 + i % 10 FROM generate_series(1, 100) i;
UPDATE boss SET best = id * 10 - 1;
SELECT protect_freely('boss'), protect_freely('worker');
SELECT content('{boss, worker}') AS good \gset
BEGIN;
SELECT pg_current_xact_id() AS attack \gset
SELECT backwards('boss');
COMMIT;
SELECT * FROM compared('{worker}', 'restore(''worker'')');
SELECT * FROM compared('{boss}', 'restore(''boss'')');
SELECT * FROM compared('{boss, worker}', format('undo(%L)', :'attack'));
SELECT * FROM fortress.undo(:'attack', dry_run => true);
SELECT * FROM fortress.undo(:'attack');
SELECT content('{boss, worker}') = :'good' AS whole;
-- what was put back can be taken away again, and that be undone; an update among it takes the long way
BEGIN;
SELECT pg_current_xact_id() AS attack \gset
UPDATE worker SET boss = 1 WHERE id = 4;
SELECT backwards('worker');
COMMIT;
SELECT * FROM compared('{boss, worker}', format('undo(%L)', :'attack'));
SELECT * FROM fortress.undo(:'attack');
SELECT content('{boss, worker}') = :'good' AS whole;

-- a check that stands for others: of rows with the same value, and of no NULL
CREATE TABLE town (a text, b integer, PRIMARY KEY (a, b));
INSERT INTO town SELECT 'town' || i, i FROM generate_series(1, 5) i;
INSERT INTO town VALUES (repeat('a very long name ', 20), 6);
CREATE TABLE house (id integer PRIMARY KEY, a text, b integer, beside integer REFERENCES house,
	FOREIGN KEY (a, b) REFERENCES town MATCH FULL);
INSERT INTO house SELECT i, t.a, t.b, 1 FROM generate_series(1, 60) i JOIN town t ON t.b = i % 7;
INSERT INTO house VALUES (100, NULL, NULL, NULL), (101, NULL, NULL, NULL);
SELECT protect_freely('house');
SELECT backwards('house');
SELECT * FROM compared('{house}', 'restore(''house'')');
DELETE FROM town WHERE b = 6;
SELECT * FROM compared('{house}', 'restore(''house'')');
SELECT * FROM compared('{house}', 'restore(''house'', filter => ''b IS DISTINCT FROM 6'')');
DELETE FROM town WHERE b = 3;
SELECT * FROM compared('{house}', 'restore(''house'', filter => ''b IS DISTINCT FROM 6'')');
SELECT * FROM compared('{house}', 'restore(''house'', filter => ''b NOT IN (3, 6) OR b IS NULL'')');
SELECT * FROM compared('{house}', 'restore(''house'', filter => ''b NOT IN (3, 6) AND id > 1'')');
-- what rows refer to that were not checked themselves cannot go either
BEGIN;
SELECT * FROM fortress.restore('house', filter => 'b NOT IN (3, 6) OR b IS NULL');
DELETE FROM town WHERE b = 2;
ROLLBACK;
-- none stands for others where a trigger may remove the row that is checked
CREATE FUNCTION remove_first() RETURNS trigger LANGUAGE plpgsql AS
	'BEGIN DELETE FROM restore_direct_test.house WHERE id = (SELECT max(id) FROM restore_direct_test.house WHERE b = 3); RETURN NULL; END';
CREATE TRIGGER a_first AFTER INSERT ON house FOR EACH ROW WHEN (NEW.id = 1) EXECUTE FUNCTION remove_first();
SELECT * FROM compared('{house}', 'restore(''house'', filter => ''b IS DISTINCT FROM 6'')');
DROP TRIGGER a_first ON house;

-- ---------------------------------------------------------------------------
-- Partitions
-- ---------------------------------------------------------------------------
CREATE TABLE log (id integer, at date NOT NULL, msg text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE log1 PARTITION OF log FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE log2 (msg text, away integer, at date NOT NULL, id integer NOT NULL) PARTITION BY HASH (id);
ALTER TABLE log2 DROP COLUMN away;
CREATE TABLE log20 PARTITION OF log2 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE log21 PARTITION OF log2 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
ALTER TABLE log ATTACH PARTITION log2 FOR VALUES FROM ('2021-01-01') TO ('2022-01-01');
CREATE TABLE log3 PARTITION OF log DEFAULT;
CREATE INDEX log_msg ON log (msg);
INSERT INTO log SELECT i, '2020-01-01'::date + i, md5(i::text) FROM generate_series(1, 1000) i;
SELECT protect_freely('log');
SELECT content('{log}') AS good \gset
SELECT backwards('log');
SELECT * FROM compared('{log}', 'restore(''log'')');
SELECT * FROM compared('{log}', 'restore(''log'', dry_run => true)');
SELECT * FROM compared('{log1}', 'restore(''log1'')');
SELECT * FROM compared('{log20}', 'restore(''log20'')');
SELECT * FROM fortress.restore('log2');
SELECT * FROM compared('{log}', 'restore(''log'')');
SELECT * FROM compared('{log}', 'restore(''log'', filter => ''at < $$2020-07-01$$'')');
SELECT * FROM fortress.restore('log');
SELECT content('{log}') = :'good' AS whole;

-- more partitions than get sorts
CREATE TABLE many (id integer PRIMARY KEY, v integer) PARTITION BY HASH (id);
CREATE INDEX ON many (v);
DO $$
BEGIN
	FOR i IN 0..69 LOOP
		EXECUTE format('CREATE TABLE many%s PARTITION OF many FOR VALUES WITH (MODULUS 70, REMAINDER %1$s)', i);
	END LOOP;
END $$;
INSERT INTO many SELECT i, hashint4(i) FROM generate_series(1, 1000) i;
SELECT protect_freely('many');
SELECT content('{many}') AS good \gset
SELECT backwards('many');
SELECT * FROM compared('{many}', 'restore(''many'')');
SELECT * FROM fortress.restore('many');
SELECT content('{many}') = :'good' AS whole;

-- ---------------------------------------------------------------------------
-- Triggers and rules
-- ---------------------------------------------------------------------------
CREATE TABLE trig (id integer PRIMARY KEY, v text);
CREATE TABLE seen (id integer, v text, n bigint);
INSERT INTO trig SELECT i, i FROM generate_series(1, 20) i;
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS
	'BEGIN INSERT INTO seen SELECT NEW.id, NEW.v, count(*) FROM trig; RETURN NULL; END';
CREATE TRIGGER see AFTER INSERT ON trig FOR EACH ROW WHEN (NEW.id % 2 = 0) EXECUTE FUNCTION see();
SELECT protect_freely('trig');
SELECT backwards('trig');
SELECT * FROM compared('{trig}', 'restore(''trig'')');
SELECT * FROM fortress.restore('trig');
SELECT count(*), count(DISTINCT id), min(n) FROM seen;		-- each saw all rows
TRUNCATE seen;
SELECT clock_timestamp() AS then \gset
DELETE FROM trig;
CREATE RULE also AS ON INSERT TO seen DO ALSO NOTIFY regress_seen;
SELECT * FROM fortress.restore('trig', since => :'then');
SELECT count(*) FROM seen;

-- a trigger for each row that gets all of them
CREATE TABLE counted (id integer PRIMARY KEY, v text);
CREATE TABLE counts (n bigint);
INSERT INTO counted SELECT i, i FROM generate_series(1, 20) i;
CREATE FUNCTION count_new() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO counts SELECT count(*) FROM new_rows; RETURN NULL; END';
CREATE TRIGGER count_new AFTER INSERT ON counted REFERENCING NEW TABLE AS new_rows FOR EACH ROW EXECUTE FUNCTION count_new();
SELECT protect_freely('counted');
SELECT backwards('counted', 'id <= 5');
SELECT * FROM fortress.restore('counted');
SELECT count(*), n FROM counts GROUP BY n;

-- rules of the table itself would make something else of the rows
CREATE TABLE ruled (id integer PRIMARY KEY, v text);
CREATE TABLE ruled_other (a text, b text, c text);
INSERT INTO ruled SELECT i, i FROM generate_series(1, 20) i;
CREATE RULE elsewhere AS ON INSERT TO ruled DO INSTEAD INSERT INTO ruled_other VALUES (NEW.id, NEW.v, 'elsewhere');
SELECT protect_freely('ruled');
DELETE FROM ruled;
\set VERBOSITY default
SELECT * FROM fortress.restore('ruled');
\set VERBOSITY terse
SELECT * FROM fortress.restore('ruled', dry_run => true);
SELECT * FROM fortress.restore('ruled', on_conflict => 'skip');
SELECT fortress.shadow_of('ruled') AS shadow \gset
SELECT DISTINCT fg_xid AS ruled_xid FROM :shadow \gset
SELECT * FROM fortress.undo(:'ruled_xid');
SELECT action, count(*) FROM fortress.preview_undo(:'ruled_xid') GROUP BY action;	-- writes nothing
BEGIN;
SET LOCAL session_replication_role = replica;		-- there it does not fire
SELECT * FROM fortress.restore('ruled');
ROLLBACK;
BEGIN;
SELECT fortress.unlock(fortress.issue_token('{ruled}', '{ddl}'));
DROP RULE elsewhere ON ruled;
CREATE RULE also AS ON INSERT TO ruled DO ALSO INSERT INTO ruled_other VALUES (NEW.id);
COMMIT;
SELECT * FROM fortress.restore('ruled');
BEGIN;
SELECT fortress.unlock(fortress.issue_token('{ruled}', '{ddl}'));
ALTER TABLE ruled DISABLE RULE also;
CREATE RULE changed AS ON UPDATE TO ruled WHERE NEW.id > 1000 DO INSTEAD NOTHING;
COMMIT;
SELECT * FROM fortress.restore('ruled');
BEGIN;
SELECT fortress.unlock(fortress.issue_token('{ruled}', '{ddl}'));
ALTER TABLE ruled DISABLE RULE changed;
CREATE RULE deleted AS ON DELETE TO ruled DO ALSO NOTIFY regress_ruled;
COMMIT;
SELECT * FROM fortress.restore('ruled');
SELECT count(*), (SELECT count(*) FROM ruled_other) AS other FROM ruled;

-- a check that looks around is none for batches
CREATE TABLE looks (id integer PRIMARY KEY);
CREATE FUNCTION looks_around() RETURNS boolean LANGUAGE sql VOLATILE AS 'SELECT count(*) < 5 FROM restore_direct_test.looks';
ALTER TABLE looks ADD CHECK (looks_around());
INSERT INTO looks VALUES (1), (2), (3);
SELECT protect_freely('looks');
SELECT backwards('looks');
SELECT * FROM compared('{looks}', 'restore(''looks'')');

-- ---------------------------------------------------------------------------
-- Rights: the caller's, the same ones that the long way needs
-- ---------------------------------------------------------------------------
CREATE TABLE rights (id integer PRIMARY KEY, v text, w text);
INSERT INTO rights SELECT i, 'v' || i, 'w' FROM generate_series(1, 9) i;
SELECT protect_freely('rights');
SELECT backwards('rights');
CREATE FUNCTION as_user(call text, OUT short text, OUT long text) LANGUAGE plpgsql AS $$
BEGIN
	GRANT TRIGGER ON rights TO regress_direct_user;
	SET LOCAL ROLE regress_direct_user;
	short := (outcome('{rights}', call, false)).what;
	long := (outcome('{rights}', call, true)).what;
	RESET ROLE;
	short := regexp_replace(short, ' [0-9a-f]{32}', '');
	long := regexp_replace(long, ' [0-9a-f]{32}', '');
END $$;
SELECT * FROM as_user('restore(''rights'')');
GRANT SELECT ON rights TO regress_direct_user;
SELECT * FROM as_user('restore(''rights'')');
GRANT INSERT ON rights TO regress_direct_user;
SELECT * FROM as_user('restore(''rights'')');
GRANT UPDATE (v) ON rights TO regress_direct_user;
SELECT * FROM as_user('restore(''rights'')');
GRANT UPDATE (w) ON rights TO regress_direct_user;
SELECT * FROM as_user('restore(''rights'')');
REVOKE INSERT ON rights FROM regress_direct_user;
GRANT INSERT (id, v) ON rights TO regress_direct_user;
SELECT * FROM as_user('restore(''rights'')');
SELECT * FROM as_user('restore(''rights'', dry_run => true)');
GRANT INSERT (w) ON rights TO regress_direct_user;
SELECT * FROM as_user('restore(''rights'')');

CREATE TABLE secured (id integer PRIMARY KEY, v text);
ALTER TABLE secured ENABLE ROW LEVEL SECURITY;
CREATE POLICY low ON secured TO regress_direct_user USING (true) WITH CHECK (id < 9);
GRANT ALL ON secured TO regress_direct_user;
INSERT INTO secured SELECT i, 'v' || i FROM generate_series(1, 9) i;
SELECT protect_freely('secured');
SELECT backwards('secured');
SET ROLE regress_direct_user;
SELECT * FROM fortress.restore('secured');
SELECT * FROM fortress.restore('secured', filter => 'id < 9');
RESET ROLE;
SELECT count(*) FROM secured;

-- clean up
SET client_min_messages = warning;
BEGIN;
SELECT fortress.unlock(fortress.issue_token(operations => '{admin}')) \gset
DO $$
DECLARE r record;
BEGIN
	FOR r IN SELECT c.oid::regclass AS relation, p.relation AS protected, s.shadow FROM pg_class c
		LEFT JOIN fortress.policy p ON p.relation = c.oid LEFT JOIN fortress.shadow s ON s.relation = c.oid
		WHERE c.relnamespace = 'restore_direct_test'::regnamespace AND (p.relation IS NOT NULL OR s.relation IS NOT NULL)
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
DROP SCHEMA restore_direct_test CASCADE;
DROP OWNED BY regress_direct_user;
DROP ROLE regress_direct_user;
