--
-- The trash: what DROP does with permission, and fortress.undrop().
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fortress_guard;
SET lc_messages = 'C';
\set VERBOSITY terse
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
CREATE SCHEMA trash;
SET search_path = trash;
CREATE ROLE regress_trash_owner LOGIN;
CREATE ROLE regress_trash_app LOGIN;
CREATE ROLE regress_trash_operator LOGIN;
GRANT fortress_operator TO regress_trash_operator;
GRANT USAGE, CREATE ON SCHEMA trash TO regress_trash_owner;
GRANT USAGE ON SCHEMA trash TO regress_trash_app, regress_trash_operator;

-- :permit gives whatever comes in the same transaction permission
\set permit 'SELECT fortress.unlock(fortress.issue_token(operations => ''{ddl,admin}''));'
-- what drops last: its number in the trash
CREATE FUNCTION latest(table_name name) RETURNS bigint LANGUAGE sql AS
	'SELECT max(id) FROM fortress.trash t WHERE t.schema_name IN (''trash'', ''trash_other'') AND t.table_name = latest.table_name';
CREATE FUNCTION latest_of(table_name name) RETURNS bigint LANGUAGE sql AS
	'SELECT max(id) FROM fortress.trash t WHERE t.table_name = latest_of.table_name';
-- what lies there of ours: other tests leave something, too
CREATE VIEW here AS SELECT * FROM fortress.trash WHERE schema_name IN ('trash', 'trash_other');
-- What psql's \d would show of a table, and its rights; nothing that depends on oids.
CREATE FUNCTION picture(relid regclass) RETURNS SETOF text LANGUAGE sql SET search_path = pg_catalog AS $$
	SELECT format('table %s of %s, kind %s', relid, relowner::regrole, relkind) FROM pg_class WHERE oid = relid
	UNION ALL SELECT * FROM (SELECT format('column %s %s%s%s%s', attname, format_type(atttypid, atttypmod), ' default ' || pg_get_expr(adbin, adrelid),
		CASE WHEN attnotnull THEN ' not null' END, ' generated ' || nullif(attgenerated::text || attidentity::text, ''))
		FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum WHERE attrelid = relid AND attnum > 0 AND NOT attisdropped ORDER BY attnum) c
	UNION ALL SELECT * FROM (SELECT format('index %s', pg_get_indexdef(indexrelid)) FROM pg_index WHERE indrelid = relid ORDER BY 1) i
	UNION ALL SELECT * FROM (SELECT format('constraint %s %s%s', conname, pg_get_constraintdef(oid), CASE WHEN NOT convalidated THEN ' (unvalidated)' END)
		FROM pg_constraint WHERE conrelid = relid ORDER BY 1) k
	UNION ALL SELECT * FROM (SELECT format('referenced by %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
		FROM pg_constraint WHERE confrelid = relid AND conparentid = 0 ORDER BY 1) f
	UNION ALL SELECT * FROM (SELECT format('trigger %s %s', tgenabled, pg_get_triggerdef(oid)) FROM pg_trigger WHERE tgrelid = relid AND NOT tgisinternal ORDER BY 1) t
	UNION ALL SELECT * FROM (SELECT format('policy %s %s', polname, pg_get_expr(polqual, polrelid)) FROM pg_policy WHERE polrelid = relid ORDER BY 1) p
	UNION ALL SELECT * FROM (SELECT format('statistics %s', pg_get_statisticsobjdef(oid)) FROM pg_statistic_ext WHERE stxrelid = relid ORDER BY 1) s
	UNION ALL SELECT * FROM (SELECT format('sequence %s of %s', objid::regclass, relowner::regrole) FROM pg_depend JOIN pg_class ON pg_class.oid = objid
		WHERE classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass AND refobjid = relid AND relkind = 'S' ORDER BY 1) q
	UNION ALL SELECT * FROM (SELECT format('right of %s: %s%s', grantee::regrole, privilege_type, CASE WHEN is_grantable THEN ' with grant option' END)
		FROM pg_class, aclexplode(relacl) WHERE oid = relid AND grantee <> relowner ORDER BY 1) g
	UNION ALL SELECT * FROM (SELECT format('right of %s on %s: %s', grantee::regrole, attname, privilege_type)
		FROM pg_attribute, aclexplode(attacl) WHERE attrelid = relid ORDER BY 1) h
	UNION ALL SELECT * FROM (SELECT format('comment %s %s', objsubid, description) FROM pg_description WHERE classoid = 'pg_class'::regclass AND objoid = relid ORDER BY 1) d
	UNION ALL SELECT format('guarded: %s, archive %s', mode, archive) FROM fortress.policy WHERE relation = relid
$$;

--
-- A table with all that one can have, and all that others can have of it
--
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE TABLE town (id int PRIMARY KEY, name text);
INSERT INTO town SELECT i, 't' || i FROM generate_series(1, 5) i;
CREATE TABLE listing (
	id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	number serial,
	town int NOT NULL CONSTRAINT listing_town REFERENCES town,
	parent int CONSTRAINT listing_parent REFERENCES listing,
	price numeric DEFAULT 7 CONSTRAINT listing_price CHECK (price > 0),
	twice numeric GENERATED ALWAYS AS (price * 2) STORED,
	feels mood DEFAULT 'good',
	long text,
	UNIQUE (number)
);
CREATE INDEX listing_lower ON listing (lower(long)) WHERE price > 1;
CREATE STATISTICS listing_stats ON town, price FROM listing;
COMMENT ON TABLE listing IS 'what is for sale';
COMMENT ON COLUMN listing.price IS 'in cents';
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER touch AFTER INSERT ON listing FOR EACH ROW WHEN (NEW.price > 1) EXECUTE FUNCTION touch();
CREATE TRIGGER still AFTER UPDATE ON listing FOR EACH ROW EXECUTE FUNCTION touch();
ALTER TABLE listing DISABLE TRIGGER still;
ALTER TABLE listing OWNER TO regress_trash_owner;
GRANT SELECT, INSERT ON listing TO regress_trash_app;
GRANT SELECT ON listing TO PUBLIC;
GRANT UPDATE (price) ON listing TO regress_trash_app;
GRANT USAGE ON SEQUENCE listing_number_seq TO regress_trash_app;
CREATE POLICY seen ON listing FOR SELECT TO regress_trash_app USING (price > 1);
ALTER TABLE listing ENABLE ROW LEVEL SECURITY;
INSERT INTO listing (town, parent, price, long) SELECT 1 + i % 5, nullif(i / 2, 0), i, repeat('long ', i) FROM generate_series(1, 300) i;
GRANT REFERENCES ON listing, town TO regress_trash_owner;
CREATE TABLE photo (id int PRIMARY KEY, listing int CONSTRAINT photo_listing REFERENCES listing ON DELETE CASCADE);
INSERT INTO photo SELECT i, i FROM generate_series(1, 20) i;
CREATE VIEW dear WITH (security_barrier = true) AS SELECT id, price FROM listing WHERE price > 100;
GRANT SELECT ON dear TO regress_trash_app;
COMMENT ON VIEW dear IS 'the dear ones';
CREATE VIEW dearest AS SELECT * FROM dear WHERE price > 250;
CREATE MATERIALIZED VIEW per_town AS SELECT town, count(*) FROM listing GROUP BY town;
CREATE INDEX per_town_town ON per_town (town);
CREATE RULE looked AS ON INSERT TO photo DO ALSO SELECT count(*) FROM listing;
SET client_min_messages = error;
CREATE PUBLICATION regress_trash FOR TABLE listing (id, price, town) WHERE (price > 1) WITH (publish = 'insert');
SET client_min_messages = warning;
SELECT fortress.protect('listing');
DELETE FROM listing WHERE id = 300;
CREATE TABLE before AS SELECT * FROM picture('listing');
CREATE TABLE rows_before AS SELECT * FROM listing;
GRANT SELECT ON rows_before TO PUBLIC;

-- refused without permission, and by the server without CASCADE
DROP TABLE listing CASCADE;
BEGIN; :permit DROP TABLE listing; ROLLBACK;
SELECT count(*) FROM here;
-- what is rolled back leaves nothing behind
BEGIN; :permit DROP TABLE listing CASCADE; SELECT count(*) FROM here; ROLLBACK;
SELECT count(*) FROM here;
SELECT * FROM picture('listing') EXCEPT SELECT * FROM before;
BEGIN; :permit SAVEPOINT a; DROP TABLE listing CASCADE; ROLLBACK TO a; SELECT count(*) FROM dearest; DROP TABLE listing CASCADE; COMMIT;
-- gone, as after a DROP
SELECT to_regclass('listing'), to_regclass('dear'), to_regclass('dearest'), to_regclass('per_town'), to_regclass('listing_number_seq'), to_regclass('listing_pkey');
INSERT INTO photo VALUES (1000, 1000);
DELETE FROM photo WHERE id = 1000;
DELETE FROM town WHERE id = 5;
SELECT conname FROM pg_constraint WHERE conrelid IN ('photo'::regclass, 'town'::regclass) ORDER BY 1;
SELECT count(*) FROM pg_publication_rel r JOIN pg_publication p ON p.oid = prpubid WHERE pubname = 'regress_trash';
INSERT INTO town VALUES (5, 't5');
-- what lies there, and who sees it
SELECT relation = to_regclass('fortress_trash.' || quote_ident(trash_name)) AS there, t.schema_name, t.table_name, t.dropped_by = session_user AS mine, tables, size > 0 AS size, expires_at - t.dropped_at AS keeps
FROM here t JOIN fortress.trash_table USING (id) ORDER BY id;
SELECT relation AS lies FROM fortress.trash WHERE id = latest('listing') \gset
SELECT count(*) FROM fortress.status WHERE relation = :'lies'::regclass;
SET ROLE regress_trash_owner;
SELECT count(*) FROM :lies;
SELECT fortress.undrop(1);
SET ROLE regress_trash_app;
SELECT count(*) FROM :lies;
\set VERBOSITY sqlstate
SET ROLE regress_trash_operator;
SELECT count(*) FROM :lies;
DELETE FROM :lies;
RESET ROLE;
-- guarded as all that is the guard's
DELETE FROM :lies WHERE id = 1;
DROP TABLE :lies;
ALTER TABLE :lies RENAME TO mine;
DROP SCHEMA fortress_trash CASCADE;
DROP TYPE mood CASCADE;
DROP FUNCTION touch CASCADE;
ALTER TYPE mood ADD VALUE 'so so';
\set VERBOSITY terse
-- back, by an operator
SET ROLE regress_trash_operator;
SELECT fortress.undrop(trash.latest('listing'));
RESET ROLE;
SELECT '-', * FROM before EXCEPT SELECT '-', * FROM picture('listing');
SELECT '+', * FROM picture('listing') EXCEPT SELECT '+', * FROM before;
SELECT count(*) FROM (TABLE listing EXCEPT TABLE rows_before) x;
SELECT count(*) FROM listing;
SELECT count(*) FROM dearest;
SELECT reloptions, obj_description(oid), has_table_privilege('regress_trash_app', oid, 'select') FROM pg_class WHERE oid = 'dear'::regclass;
REFRESH MATERIALIZED VIEW per_town;
SELECT count(*), (SELECT count(*) FROM pg_index WHERE indrelid = 'per_town'::regclass) FROM per_town;
SELECT pg_get_ruledef(oid) FROM pg_rewrite WHERE ev_class = 'photo'::regclass AND rulename = 'looked';
SELECT pubname, attnames, rowfilter FROM pg_publication_tables WHERE pubname = 'regress_trash';
SELECT count(*) FROM here;
-- the archive is that of the table again
SELECT rows FROM fortress.restore('listing') WHERE operation = 'delete';
DELETE FROM listing WHERE id > 0;
SELECT fortress.undrop(1000000);
SELECT fortress.undrop(NULL);
-- the foreign key counts again
INSERT INTO photo VALUES (1000, 1000);
SELECT ok FROM fortress.verify_audit();
SELECT event, operation, detail ->> 'relation' AS name FROM fortress.audit_log WHERE event IN ('trashed', 'undropped') AND relation = 'listing'::regclass ORDER BY id;

--
-- Names: twice the same, 63 bytes, taken, a schema that is gone
--
CREATE TABLE "Twice" (id int PRIMARY KEY, n int);
SELECT fortress.protect('"Twice"');
INSERT INTO "Twice" VALUES (1, 1);
BEGIN; :permit DROP TABLE "Twice"; COMMIT;
CREATE TABLE "Twice" (id int PRIMARY KEY, n int);
SELECT fortress.protect('"Twice"');
INSERT INTO "Twice" VALUES (2, 2);
BEGIN; :permit DROP TABLE "Twice"; COMMIT;
CREATE TABLE "Twice" (id int);
SELECT fortress.undrop(latest('Twice'));
ALTER TABLE "Twice" RENAME TO twice_taken;
CREATE TABLE taken (id int CONSTRAINT "Twice_pkey" PRIMARY KEY);
SELECT fortress.undrop(latest('Twice'));
DROP TABLE taken;
SELECT fortress.undrop(latest('Twice'));
TABLE "Twice";
ALTER TABLE "Twice" RENAME TO other;
BEGIN; :permit ALTER TABLE "Twice" RENAME TO second; COMMIT;
SELECT fortress.undrop(latest('Twice'));
ALTER INDEX "Twice_pkey" RENAME TO second_pkey;
SELECT fortress.undrop(latest('Twice'));
TABLE "Twice";
INSERT INTO "Twice" VALUES (1, 1);
SELECT (repeat('n', 62) || '1') AS long_name \gset
CREATE TABLE :long_name (id serial PRIMARY KEY, n int UNIQUE);
SELECT fortress.protect(:'long_name');
CREATE TABLE long_before AS SELECT * FROM picture(:'long_name');
BEGIN; :permit DROP TABLE :long_name; COMMIT;
SELECT max(octet_length(trash_name)) <= 63 FROM fortress.trash_piece;
SELECT fortress.undrop(latest(:'long_name'));
SELECT '-', * FROM long_before EXCEPT SELECT '-', * FROM picture(:'long_name');

--
-- A schema with types, functions and sequences of its own, dropped whole
--
CREATE SCHEMA trash_other;
SET search_path = trash_other;
CREATE TYPE colour AS ENUM ('red', 'green');
CREATE DOMAIN shade AS colour CHECK (VALUE <> 'green');
CREATE TYPE pair AS (a int, b shade);
CREATE FUNCTION seven() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 7';
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
ALTER FUNCTION note OWNER TO regress_trash_owner;
CREATE TABLE item (id int PRIMARY KEY, c colour DEFAULT 'red', cs colour[], s shade, p pair, n int DEFAULT seven() CHECK (n < seven() + 100));
CREATE INDEX item_seven ON item ((n + seven()));
CREATE TRIGGER note AFTER UPDATE ON item FOR EACH ROW EXECUTE FUNCTION note();
CREATE TABLE sub (id int PRIMARY KEY, item int REFERENCES item);
CREATE VIEW items AS SELECT id, c FROM item;
INSERT INTO item VALUES (1, 'red', '{red,green}', 'red', (1, 'red'));
INSERT INTO sub VALUES (1, 1);
CREATE TABLE trash.abroad (id int PRIMARY KEY, c colour DEFAULT 'red');
SET search_path = trash;
SELECT fortress.protect('trash_other.item'), fortress.protect('trash_other.sub');
CREATE TABLE item_before AS SELECT * FROM picture('trash_other.item');
DROP SCHEMA trash_other CASCADE;
BEGIN; :permit DROP SCHEMA trash_other CASCADE; COMMIT;
SELECT to_regnamespace('trash_other');
SELECT schema_name, table_name FROM here WHERE schema_name = 'trash_other' ORDER BY table_name;
SELECT fortress.undrop(latest('item'));
CREATE SCHEMA trash_other;
SELECT fortress.undrop(latest('item'));
SELECT fortress.undrop(latest('sub'));
SELECT '-', * FROM item_before EXCEPT SELECT '-', * FROM picture('trash_other.item');
SELECT '+', * FROM picture('trash_other.item') EXCEPT SELECT '+', * FROM item_before;
TABLE trash_other.item;
SELECT * FROM trash_other.items, trash_other.sub;
SELECT proowner::regrole FROM pg_proc WHERE oid = 'trash_other.note'::regproc;
SELECT c FROM abroad;

--
-- Trees
--
CREATE TABLE root (id int, k int, v text, PRIMARY KEY (id, k)) PARTITION BY LIST (k);
CREATE TABLE root1 PARTITION OF root FOR VALUES IN (1);
CREATE TABLE root2 PARTITION OF root FOR VALUES IN (2) PARTITION BY RANGE (id);
CREATE TABLE root2a PARTITION OF root2 FOR VALUES FROM (0) TO (1000);
CREATE TABLE root3 PARTITION OF root DEFAULT;
ALTER TABLE root ADD COLUMN town int CONSTRAINT root_town REFERENCES town;
CREATE TRIGGER touch AFTER INSERT ON root FOR EACH ROW EXECUTE FUNCTION touch();
CREATE INDEX root_v ON root (v);
CREATE TABLE branch (id int, root int, k int, CONSTRAINT branch_root FOREIGN KEY (root, k) REFERENCES root);
INSERT INTO root SELECT i, i % 4, 'v', 1 + i % 5 FROM generate_series(1, 40) i;
INSERT INTO branch VALUES (1, 4, 0);
SELECT fortress.protect('root');
CREATE TABLE tree_before AS SELECT p.relid, x FROM pg_partition_tree('root') p, picture(p.relid) x;
-- one partition, of which a foreign key of the whole tree knows
BEGIN; :permit DROP TABLE root1; ROLLBACK;
BEGIN; :permit DROP TABLE root1 CASCADE; COMMIT;
SELECT count(*) FROM root;
SELECT conname FROM pg_constraint WHERE conrelid = 'branch'::regclass;
SELECT tgname FROM pg_trigger WHERE tgrelid = (SELECT relation FROM fortress.trash WHERE id = latest('root1')) AND NOT tgisinternal;
SELECT fortress.undrop(latest('root1'));
SELECT count(*) FROM root;
SELECT '-', relid, x FROM tree_before EXCEPT SELECT '-', p.relid, x FROM pg_partition_tree('root') p, picture(p.relid) x;
SELECT '+', p.relid, x FROM pg_partition_tree('root') p, picture(p.relid) x EXCEPT SELECT '+', relid, x FROM tree_before;
-- what is in its way: another partition
BEGIN; :permit DROP TABLE root2; COMMIT;
BEGIN; :permit DROP TABLE root2 CASCADE; COMMIT;
CREATE TABLE root2b PARTITION OF root FOR VALUES IN (2);
SELECT fortress.undrop(latest('root2'));
SELECT count(*), (SELECT count(*) FROM root2) FROM root;
SELECT mode, archive FROM fortress.policy WHERE relation = 'root2'::regclass;
SELECT count(*) FROM fortress.row_limit WHERE relation = 'root2'::regclass;
DELETE FROM root2;
-- the whole
BEGIN; :permit DROP TABLE root CASCADE; COMMIT;
SELECT tables FROM here WHERE table_name = 'root';
INSERT INTO branch VALUES (2, 2, 2);
SELECT fortress.undrop(latest('root'));
SELECT count(*) FROM root;
DELETE FROM branch WHERE id = 2;
-- inheritance
CREATE TABLE parent (id int);
CREATE TABLE child (extra int) INHERITS (parent);
INSERT INTO child VALUES (1, 2);
SELECT fortress.protect('parent');
BEGIN; :permit DROP TABLE child; COMMIT;
SELECT count(*) FROM parent;
SELECT fortress.undrop(latest('child'));
BEGIN; :permit DROP TABLE parent CASCADE; COMMIT;
SELECT fortress.undrop(latest('parent'));
SELECT tableoid::regclass, * FROM parent;
DELETE FROM child;

--
-- Other ways to drop, and other things that are dropped with it
--
-- by its type, by its owner, from a function, among others
CREATE TYPE shape AS (a int, b text);
CREATE TABLE typed OF shape (PRIMARY KEY (a));
INSERT INTO typed VALUES (1, 'x');
SELECT fortress.protect('typed');
BEGIN; :permit DROP TYPE shape CASCADE; COMMIT;
SELECT fortress.undrop(latest('typed'));
TABLE typed;
CREATE TABLE owned (id int);
ALTER TABLE owned OWNER TO regress_trash_owner;
INSERT INTO owned VALUES (1);
SELECT fortress.protect('owned');
CREATE ROLE regress_trash_gone;
CREATE TABLE gone (id int);
INSERT INTO gone VALUES (1);
ALTER TABLE gone OWNER TO regress_trash_gone;
GRANT SELECT ON gone TO regress_trash_gone, regress_trash_app;
SELECT fortress.protect('gone');
BEGIN; :permit DROP OWNED BY regress_trash_gone; DO $$BEGIN DROP TABLE IF EXISTS trash.owned, trash.nothing; END$$; COMMIT;
DROP ROLE regress_trash_gone;
SELECT fortress.undrop(latest('gone')), fortress.undrop(latest('owned'));
SELECT relname, relowner = session_user::regrole AS mine, has_table_privilege('regress_trash_app', oid, 'select') FROM pg_class WHERE oid IN ('gone'::regclass, 'owned'::regclass) ORDER BY 1;
TABLE gone; TABLE owned;
CREATE TABLE plain (id int PRIMARY KEY);
CREATE TABLE refers (id int REFERENCES plain);
CREATE TABLE one (id int PRIMARY KEY, two int);
CREATE TABLE two (id int PRIMARY KEY, one int CONSTRAINT two_one REFERENCES one);
ALTER TABLE one ADD CONSTRAINT one_two FOREIGN KEY (two) REFERENCES two;
INSERT INTO one VALUES (1); INSERT INTO two VALUES (1, 1); UPDATE one SET two = 1;
SELECT fortress.protect('one'), fortress.protect('two');
BEGIN; :permit DROP TABLE one, plain, two; ROLLBACK;
BEGIN; :permit DROP TABLE one, plain, two CASCADE; COMMIT;
SELECT to_regclass('plain'), to_regclass('one'), (SELECT count(*) FROM pg_constraint WHERE conrelid = 'refers'::regclass);
SELECT fortress.undrop(latest('one'));
SELECT fortress.undrop(latest('two'));
SELECT conrelid::regclass, conname, convalidated FROM pg_constraint WHERE conrelid IN ('one'::regclass, 'two'::regclass) AND contype = 'f' ORDER BY 1;
-- event triggers fire once, and see no table that was moved
CREATE FUNCTION tell() RETURNS event_trigger LANGUAGE plpgsql AS $$
DECLARE r record;
BEGIN
	RAISE WARNING '% %', tg_event, tg_tag;
	IF tg_event = 'sql_drop' THEN
		FOR r IN SELECT object_identity FROM pg_event_trigger_dropped_objects() WHERE object_type = 'table' LOOP RAISE WARNING 'dropped %', r.object_identity; END LOOP;
	END IF;
END $$;
CREATE EVENT TRIGGER regress_trash_start ON ddl_command_start EXECUTE FUNCTION tell();
CREATE EVENT TRIGGER regress_trash_drop ON sql_drop EXECUTE FUNCTION tell();
BEGIN; :permit DROP TABLE typed, refers; ROLLBACK;
DROP EVENT TRIGGER regress_trash_start;
DROP EVENT TRIGGER regress_trash_drop;
-- prepared, by a function with a saved plan, twice
CREATE FUNCTION drop_typed() RETURNS void LANGUAGE plpgsql AS 'BEGIN DROP TABLE IF EXISTS trash.typed; END';
BEGIN; :permit SELECT drop_typed(); SELECT fortress.undrop(latest('typed')); SELECT drop_typed(); SELECT count(*) FROM here WHERE table_name = 'typed'; ROLLBACK;

--
-- Modes
--
SELECT fortress.set_mode('typed', 'audit');
DROP TABLE typed;
SELECT fortress.undrop(latest('typed'));
SELECT ok FROM fortress.verify_audit();
SELECT event, relation = 'typed'::regclass AS same FROM fortress.audit_log WHERE relation = 'typed'::regclass AND event IN ('observed', 'trashed', 'undropped') ORDER BY id DESC LIMIT 3;
SELECT fortress.set_mode('typed', 'off');
DROP TABLE typed;
SELECT count(*) FROM here WHERE table_name = 'typed';
SELECT count(*) FROM fortress.policy p WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = p.relation);

--
-- Another name, another schema, a schema that has another name by now
--
CREATE SCHEMA trash_home;
CREATE TABLE trash_home.house (id serial PRIMARY KEY, other int CONSTRAINT house_other REFERENCES trash_home.house, n int);
CREATE INDEX house_n ON trash_home.house (n);
CREATE VIEW trash_home.houses AS SELECT id FROM trash_home.house;
INSERT INTO trash_home.house (n) VALUES (1), (2);
SELECT fortress.protect('trash_home.house');
-- what lies in the trash keeps its policy
BEGIN; :permit DROP TABLE trash_home.house CASCADE; COMMIT;
SELECT id AS house, relation AS lies FROM fortress.trash WHERE table_name = 'house' \gset
\set VERBOSITY sqlstate
SELECT fortress.protect(:'lies');
SELECT fortress.set_mode(:'lies', 'off');
SELECT fortress.set_limit(:'lies', 'delete', 5);
SELECT fortress.drop_limit(:'lies', 'delete');
\set VERBOSITY terse
SELECT fortress.purge('0', :'lies');
-- the schema is called otherwise, and another one as that was
ALTER SCHEMA trash_home RENAME TO trash_moved;
CREATE SCHEMA trash_home;
BEGIN; SELECT fortress.undrop(:house); SELECT * FROM trash_moved.houses; SELECT to_regclass('trash_home.house'); ROLLBACK;
-- the name is taken, those of its index and its sequence too
CREATE TABLE trash_moved.house (id int CONSTRAINT house_pkey PRIMARY KEY);
CREATE SEQUENCE trash_moved.house_id_seq;
CREATE VIEW trash_moved.house_n AS SELECT 1;
SELECT fortress.undrop(:house);
SET client_min_messages = notice;
BEGIN;
SELECT fortress.undrop_as(:house, 'old house');
SELECT relname, relkind FROM pg_class WHERE relnamespace = 'trash_moved'::regnamespace ORDER BY 1;
SELECT pg_get_viewdef('trash_moved.houses');
SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'house_other';
INSERT INTO trash_moved."old house" (n) VALUES (3) RETURNING *;
SELECT count(*) FROM trash_moved.house;
ROLLBACK;
-- elsewhere
BEGIN;
SELECT fortress.undrop_as(:house, new_schema => 'trash_home');
SELECT relnamespace::regnamespace, relname, relkind FROM pg_class WHERE relnamespace::regnamespace::text ~ '^trash_(home|moved)' ORDER BY 1, 2;
ROLLBACK;
SET client_min_messages = warning;
DROP VIEW trash_moved.house_n;
-- gone altogether
DROP SCHEMA trash_moved, trash_home CASCADE;
CREATE SCHEMA trash_elsewhere;
SELECT fortress.undrop(:house);
GRANT USAGE ON SCHEMA trash_elsewhere TO regress_trash_operator;
SET ROLE regress_trash_operator;
SELECT fortress.undrop_as(:house, 'mine', 'trash_elsewhere');
SELECT fortress.undrop_as(:house, 'mine', 'fortress');
RESET ROLE;
SELECT fortress.undrop_as(:house, 'mine', 'fortress_shadow');
SELECT fortress.undrop_as(:house, 'mine', 'pg_catalog');
SELECT fortress.undrop_as(:house, '');
SELECT fortress.undrop_as(NULL);
SELECT fortress.undrop_as(:house, 'mine', 'trash_elsewhere');
SELECT * FROM trash_elsewhere.houses;
SELECT fortress.restore('trash_elsewhere.mine', dry_run => true);
SELECT nspname FROM pg_namespace WHERE nspname ~ 'aside|^trash_' ORDER BY nspname;
SELECT to_regprocedure('fortress.undrop(bigint)') IS NOT NULL;

--
-- Traps: who brings a table back must not lend its rights to others
--
CREATE SCHEMA trash_trap;
GRANT USAGE, CREATE ON SCHEMA trash_trap TO regress_trash_app;
CREATE FUNCTION trash_trap.note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE FUNCTION trash_trap.secret() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';
REVOKE ALL ON FUNCTION trash_trap.secret() FROM PUBLIC;
CREATE TABLE trash_trap.bait (id int DEFAULT trash_trap.secret(), twice int GENERATED ALWAYS AS (id * 2) STORED, v text);
CREATE TRIGGER note AFTER INSERT ON trash_trap.bait FOR EACH ROW EXECUTE FUNCTION trash_trap.note();
INSERT INTO trash_trap.bait (v) VALUES ('x');
SELECT fortress.protect('trash_trap.bait');
BEGIN; :permit DROP SCHEMA trash_trap CASCADE; COMMIT;
CREATE SCHEMA trash_trap;
GRANT USAGE, CREATE ON SCHEMA trash_trap TO regress_trash_app;
SET ROLE regress_trash_app;
CREATE FUNCTION trash_trap.note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
RESET ROLE;
SELECT fortress.undrop(latest_of('bait'));
ALTER FUNCTION trash_trap.note OWNER TO SESSION_USER;
SELECT fortress.undrop(latest_of('bait'));
SELECT has_function_privilege('public', 'trash_trap.secret()', 'execute'), tgname FROM pg_trigger WHERE tgrelid = 'trash_trap.bait'::regclass AND tgname = 'note';
INSERT INTO trash_trap.bait (v) VALUES ('y');
TABLE trash_trap.bait;
-- what a check calls is not chosen by who brings the table back
CREATE FUNCTION trash_trap.helper(int) RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE FUNCTION trash_trap.checks(int) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RETURN helper($1); END';
CREATE FUNCTION trash.helper(int) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RAISE WARNING ''% runs as %'', $1, current_user; RETURN true; END';
SET search_path = trash_trap;
CREATE TABLE trash_trap.checked (id int CHECK (trash_trap.checks(id)));
SET search_path = trash;
INSERT INTO trash_trap.bait (v) VALUES ('z');
ALTER TABLE trash_trap.checked OWNER TO regress_trash_owner;
INSERT INTO trash_trap.checked VALUES (1);
SELECT fortress.protect('trash_trap.checked');
BEGIN; :permit DROP SCHEMA trash_trap CASCADE; COMMIT;
CREATE SCHEMA trash_trap;
GRANT USAGE ON SCHEMA trash_trap TO regress_trash_owner;
SELECT fortress.undrop(latest_of('checked'));
-- nobody else gets rights by default
ALTER DEFAULT PRIVILEGES IN SCHEMA fortress_trash GRANT ALL ON TABLES TO regress_trash_app;
SELECT has_table_privilege('regress_trash_app', relation, 'select') FROM fortress.trash WHERE id = latest_of('bait');
-- a value that a function computed stays where the function does not
CREATE FUNCTION trash_trap.thrice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 3';
CREATE TABLE trash_trap.computed (id int, three int GENERATED ALWAYS AS (trash_trap.thrice(id)) STORED, n int DEFAULT 1);
CREATE SEQUENCE trash_trap.free;
CREATE TABLE trash_trap.counted (id int DEFAULT nextval('trash_trap.free'), v int);
CREATE TABLE trash_trap.counted_too (id int DEFAULT nextval('trash_trap.free'), v int);
GRANT USAGE ON SEQUENCE trash_trap.free TO regress_trash_app;
INSERT INTO trash_trap.computed VALUES (5);
INSERT INTO trash_trap.counted (v) VALUES (1), (2);
SELECT fortress.protect(r) FROM unnest('{trash_trap.computed,trash_trap.counted,trash_trap.counted_too}'::regclass[]) r;
BEGIN; :permit DROP SCHEMA trash_trap CASCADE; COMMIT;
CREATE SCHEMA trash_trap;
\set VERBOSITY default
SELECT fortress.undrop(latest_of('computed'));
\set VERBOSITY terse
TABLE trash_trap.computed;
SELECT fortress.undrop(latest_of('counted')), fortress.undrop(latest_of('counted_too'));
INSERT INTO trash_trap.counted (v) VALUES (3) RETURNING *;
INSERT INTO trash_trap.counted_too (v) VALUES (4) RETURNING *;
SELECT relacl IS NOT NULL AS granted, has_sequence_privilege('regress_trash_app', oid, 'usage') FROM pg_class WHERE oid = 'trash_trap.free'::regclass;
-- what is only named by what was dropped later
CREATE TABLE first_out (id int PRIMARY KEY);
CREATE TABLE last_out (id int PRIMARY KEY, first_out int CONSTRAINT to_first REFERENCES first_out);
SELECT fortress.protect('first_out'), fortress.protect('last_out');
BEGIN; :permit DROP TABLE last_out; COMMIT;
BEGIN; :permit DROP TABLE first_out; COMMIT;
SET client_min_messages = notice;
SELECT fortress.undrop(latest('last_out'));
SELECT fortress.undrop(latest('first_out'));
SET client_min_messages = warning;
SELECT conname, convalidated FROM pg_constraint WHERE confrelid = 'first_out'::regclass;

-- there and back and there again in one transaction, and in a block that fails
BEGIN; :permit DROP TABLE last_out, first_out; SELECT fortress.undrop(latest('first_out')), fortress.undrop(latest('last_out')); DROP TABLE last_out, first_out; COMMIT;
SELECT count(*) FROM here WHERE table_name ~ '_out$';
DO $$
BEGIN
	PERFORM fortress.undrop(latest('first_out'));
	RAISE EXCEPTION 'no';
EXCEPTION WHEN OTHERS THEN
	NULL;
END $$;
SELECT to_regclass('first_out');
BEGIN READ ONLY; SELECT fortress.undrop(latest('first_out')); ROLLBACK;
SELECT fortress.undrop(latest('first_out')), fortress.undrop(latest('last_out'));
SELECT conname, convalidated FROM pg_constraint WHERE confrelid = 'first_out'::regclass;
-- the owner has another name by now, and somebody else his
CREATE ROLE regress_trash_one;
BEGIN; :permit ALTER TABLE last_out OWNER TO regress_trash_one; DROP TABLE last_out; COMMIT;
ALTER ROLE regress_trash_one RENAME TO regress_trash_two;
CREATE ROLE regress_trash_one;
SET client_min_messages = error;
SELECT fortress.undrop(latest('last_out'));
SET client_min_messages = warning;
SELECT relowner::regrole FROM pg_class WHERE oid = 'last_out'::regclass;
BEGIN; :permit ALTER TABLE last_out OWNER TO SESSION_USER; COMMIT;
DROP ROLE regress_trash_one, regress_trash_two;

-- functions of its own rows, which its parts call
CREATE TABLE parcel (id int PRIMARY KEY, area int CHECK (area > 0));
CREATE FUNCTION parcel_ok(parcel) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1.area < 100';
CREATE FUNCTION parcels() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT count(*)::int FROM parcel; END;
CREATE FUNCTION parcel_note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
ALTER TABLE parcel ADD CONSTRAINT parcel_valid CHECK (parcel_ok(parcel)), ALTER id SET DEFAULT parcels();
CREATE POLICY parcel_seen ON parcel USING (parcel_ok(parcel));
CREATE INDEX parcel_fine ON parcel (parcel_ok(parcel));
CREATE TRIGGER parcel_new AFTER INSERT ON parcel FOR EACH ROW WHEN (parcel_ok(NEW)) EXECUTE FUNCTION parcel_note();
INSERT INTO parcel VALUES (7, 5);
SELECT fortress.protect('parcel');
SELECT array_agg(p) AS parcel FROM picture('parcel') p \gset
BEGIN; :permit DROP TABLE parcel CASCADE; COMMIT;
SELECT proname FROM pg_proc WHERE proname ~ '^parcel';
SELECT fortress.undrop(latest('parcel'));
SELECT p FROM picture('parcel') p WHERE p <> ALL (:'parcel');
SELECT count(*), :'parcel'::text[] <@ array_agg(p) FROM picture('parcel') p;

-- roles that others are by now get nothing of what was theirs
CREATE ROLE regress_trash_one;
CREATE TABLE field (id int PRIMARY KEY, n int);
CREATE VIEW fields AS SELECT * FROM field;
CREATE VIEW fields_of_one AS SELECT * FROM field;
GRANT SELECT ON field TO regress_trash_one, regress_trash_app;
GRANT UPDATE (n) ON field TO regress_trash_one;
GRANT SELECT ON fields TO regress_trash_one;
ALTER VIEW fields_of_one OWNER TO regress_trash_one;
CREATE POLICY field_town ON town TO regress_trash_one USING (EXISTS (SELECT FROM field));
SELECT fortress.protect('field');
BEGIN; :permit DROP TABLE field CASCADE; COMMIT;
DROP ROLE regress_trash_one;
CREATE ROLE regress_trash_one;
SELECT fortress.undrop(latest('field'));
SELECT p FROM picture('field') p WHERE p ~ '^right';
SELECT count(*) FROM pg_shdepend WHERE refobjid = 'regress_trash_one'::regrole;
DROP VIEW fields;
DROP ROLE regress_trash_one;

-- values of users' types are read by nobody but the owner of what they are in
CREATE FUNCTION trash.told(int) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	RAISE WARNING 'checked as %', current_user;
	RETURN true;
END $$;
CREATE TABLE ground (id int PRIMARY KEY);
ALTER TABLE ground OWNER TO regress_trash_owner;
SET client_min_messages = error;
SET ROLE regress_trash_owner;
CREATE DOMAIN "told ""me" AS int CHECK (trash.told(VALUE));
CREATE DOMAIN pg_temp.told_here AS int CHECK (trash.told(VALUE));
CREATE TYPE told AS (t "told ""me");
CREATE TABLE beside (id int PRIMARY KEY);
CREATE VIEW grounds AS SELECT id, '{1}'::"told ""me"[] AS told, '{2}'::told_here[] AS told_here FROM ground;
CREATE VIEW grounds_too AS SELECT id, '(3)'::told AS told FROM grounds;
CREATE FUNCTION on_ground(ground, told[] DEFAULT '{(4)}') RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE RULE ground_rule AS ON INSERT TO beside DO ALSO SELECT '{5}'::"told ""me"[] FROM ground;
CREATE POLICY ground_policy ON beside USING ('{6}'::"told ""me"[] IS NOT NULL AND EXISTS (SELECT FROM ground));
CREATE TYPE "Told" AS ENUM ('yes');
CREATE VIEW ground_yes AS SELECT id, 'yes'::"Told" AS told, '{yes}'::"Told"[] AS tolds FROM ground;
SELECT fortress.protect('ground');
RESET ROLE;
-- one who could not make it again
ALTER VIEW ground_yes OWNER TO regress_trash_app;
BEGIN; :permit DROP TABLE ground CASCADE; COMMIT;
SET client_min_messages = warning;
SELECT fortress.undrop(latest('ground'));
SELECT relname, relowner::regrole FROM pg_class WHERE relname ~ '^ground' AND relkind = 'v' ORDER BY 1;
SELECT polname FROM pg_policy WHERE polname = 'ground_policy' UNION ALL SELECT rulename FROM pg_rewrite WHERE rulename = 'ground_rule'
UNION ALL SELECT proname FROM pg_proc WHERE proname = 'on_ground';
DROP VIEW grounds CASCADE;
DROP DOMAIN pg_temp.told_here;

-- a child that is in no publication, though its parent is
CREATE TABLE elder (id int PRIMARY KEY);
SET client_min_messages = error;
CREATE PUBLICATION regress_trash_elder FOR TABLE elder;
SET client_min_messages = warning;
CREATE TABLE younger () INHERITS (elder);
SELECT fortress.protect('elder');
BEGIN; :permit DROP TABLE elder CASCADE; COMMIT;
SELECT fortress.undrop(latest('elder'));
SELECT tablename FROM pg_publication_tables WHERE pubname = 'regress_trash_elder';
DROP PUBLICATION regress_trash_elder;

-- a child of what is not protected
CREATE TABLE uncle (name text);
CREATE TABLE nephew (extra int, CHECK (extra > 0)) INHERITS (elder, uncle);
CREATE TABLE single (extra int) INHERITS (uncle);
SELECT fortress.protect('single');
BEGIN; :permit DROP TABLE nephew, single; COMMIT;
SELECT fortress.undrop(latest('nephew')), fortress.undrop(latest('single'));
SELECT inhrelid::regclass, inhparent::regclass FROM pg_inherits WHERE inhparent IN ('elder'::regclass, 'uncle'::regclass) ORDER BY 1, 2;
CREATE TABLE stranger (name text);
ALTER TABLE single INHERIT stranger;

-- two that go together, and of which one has the other's sequence, in any order
CREATE TABLE giver (id serial PRIMARY KEY);
CREATE TABLE borrower (id int PRIMARY KEY DEFAULT nextval('giver_id_seq'));
SELECT fortress.protect('giver'), fortress.protect('borrower');
BEGIN; :permit DROP TABLE borrower, giver; COMMIT;
SELECT fortress.undrop(latest('giver'));
SELECT pg_get_serial_sequence('giver', 'id'), pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = 'giver'::regclass;
SELECT fortress.undrop(latest('borrower'));
SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = 'borrower'::regclass;
BEGIN; :permit DROP TABLE borrower, giver; COMMIT;
SELECT fortress.undrop(latest('borrower'));
SELECT fortress.undrop(latest('giver'));
INSERT INTO giver DEFAULT VALUES;
INSERT INTO borrower DEFAULT VALUES RETURNING id;

-- statistics on a function that goes with the table, and triggers that a partition fires in another way
CREATE TABLE hall (id int PRIMARY KEY, town int REFERENCES town) PARTITION BY RANGE (id);
CREATE TABLE hall_low PARTITION OF hall FOR VALUES FROM (0) TO (10) PARTITION BY RANGE (id);
CREATE TABLE hall_lowest PARTITION OF hall_low FOR VALUES FROM (0) TO (5);
CREATE SCHEMA trash_hall;
CREATE FUNCTION trash_hall.size(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION trash_hall.open() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER "Open" BEFORE INSERT ON hall FOR EACH ROW EXECUTE FUNCTION trash_hall.open();
ALTER TABLE hall_lowest DISABLE TRIGGER "Open";
CREATE STATISTICS hall_size ON (trash_hall.size(id)), town FROM hall_lowest;
ALTER STATISTICS hall_size SET STATISTICS 7;
ALTER STATISTICS hall_size OWNER TO regress_trash_app;
COMMENT ON STATISTICS hall_size IS 'how large';
CREATE VIEW hall_parts AS
	SELECT tgrelid::regclass::text AS relation, tgname::text AS name, tgenabled::text AS how FROM pg_trigger WHERE tgname = 'Open'
	UNION ALL SELECT conrelid::regclass::text, conname, 'foreign key' FROM pg_constraint WHERE contype = 'f' AND conrelid::regclass::text ~ 'hall'
	UNION ALL SELECT stxrelid::regclass::text, pg_get_statisticsobjdef(oid), format('%s %s %s', stxowner::regrole, stxstattarget, obj_description(oid, 'pg_statistic_ext'))
		FROM pg_statistic_ext WHERE stxname = 'hall_size' ORDER BY 1, 2;
SELECT * FROM hall_parts;
SELECT fortress.protect('hall'), fortress.protect('town');
BEGIN; :permit DROP TABLE hall_low; COMMIT;
SELECT fortress.undrop(latest('hall_low'));
SELECT * FROM hall_parts;
-- a foreign key of the whole, which goes because of the other table
BEGIN; :permit DROP TABLE town, hall_low CASCADE; COMMIT;
SELECT fortress.undrop(latest('town'));
SELECT fortress.undrop(latest('hall_low'));
SELECT * FROM hall_parts;
BEGIN;
:permit
ALTER TABLE hall SET SCHEMA trash_hall;
ALTER TABLE hall_low SET SCHEMA trash_hall;
ALTER TABLE hall_lowest SET SCHEMA trash_hall;
COMMIT;
BEGIN; :permit DROP SCHEMA trash_hall CASCADE; COMMIT;
CREATE SCHEMA trash_hall;
SELECT fortress.undrop(latest_of('hall'));
SELECT * FROM hall_parts;
DROP VIEW hall_parts;

--
-- The trash as the guard's own: with an admin token it can be emptied
--
BEGIN; :permit DROP TABLE one CASCADE; COMMIT;
SELECT relation AS lies FROM here WHERE table_name = 'one' \gset
BEGIN;
SELECT fortress.unlock(fortress.issue_token(operations => '{admin}'));
DROP TABLE :lies;
COMMIT;
SELECT relation FROM here WHERE table_name = 'one';
SELECT count(*) FROM fortress.policy p WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = p.relation);
\set VERBOSITY sqlstate
SELECT fortress.undrop(latest('one'));
\set VERBOSITY terse
SELECT piece, detail FROM fortress.verify_guard() WHERE NOT ok AND detail ~ 'trash';

-- clean up
SET client_min_messages = error;
SELECT count(fortress.unprotect(relation)) > 0 FROM fortress.policy;
DROP PUBLICATION regress_trash;
BEGIN; SELECT fortress.unlock(fortress.issue_token(operations => '{admin}')); DROP SCHEMA trash, trash_other, trash_elsewhere, trash_trap, trash_hall CASCADE; COMMIT;
DROP OWNED BY regress_trash_owner, regress_trash_app, regress_trash_operator;
DROP ROLE regress_trash_owner, regress_trash_app, regress_trash_operator;
