# A property: whatever a transaction deletes, updates and truncates in tables that
# refer to each other in every way, undo() brings back what was there before.
#
# Transactions made of random changes are put on a stack and undone from its top,
# at random; after each undo the tables must look as before the transaction.  The
# seed is fixed, so that a round that fails can be run again: FORTRESS_UNDO_SEED,
# FORTRESS_UNDO_ROUNDS (300).  As undo() leaves what the transaction inserted, such
# rows are deleted in it again, unless they took the key of one that it deleted.
#
# Each undo is announced by a dry run and row by row, which must agree with what it
# then does; sequences must be ahead of the rows that came back; and some undos are
# undone and done again.
#
# Also here, as it needs the configuration file: archives shrink by themselves.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $rounds = $ENV{FORTRESS_UNDO_ROUNDS} // 300;
my $seed = $ENV{FORTRESS_UNDO_SEED} // 0.42;

my $node = PostgreSQL::Test::Cluster->new('undo');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'fortress_guard'\nfortress.retention = 0\nmax_prepared_transactions = 1");
$node->start;

$node->safe_psql(
	'postgres', q{
	CREATE EXTENSION fortress_guard;
	CREATE TYPE pair AS (x integer, y text);
	CREATE TABLE region (id integer PRIMARY KEY, name text, spot point);
	CREATE TABLE customer (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, gone integer,
		region integer NOT NULL REFERENCES region ON DELETE CASCADE ON UPDATE CASCADE,
		referrer integer REFERENCES customer ON DELETE SET NULL, best_order integer, name varchar(40) UNIQUE);
	ALTER TABLE customer DROP COLUMN gone;
	CREATE TABLE orders (id serial PRIMARY KEY, customer integer NOT NULL REFERENCES customer ON DELETE CASCADE,
		total numeric(10,2), tax numeric GENERATED ALWAYS AS (total * 0.2) STORED);
	ALTER TABLE customer ADD FOREIGN KEY (best_order) REFERENCES orders ON DELETE SET NULL;
	CREATE TABLE product (id integer PRIMARY KEY, doc jsonb, big text);
	ALTER TABLE product ALTER big SET STORAGE EXTERNAL;
	CREATE TABLE line (orders integer REFERENCES orders ON DELETE CASCADE, pos integer,
		product integer REFERENCES product ON DELETE SET NULL, n integer CHECK (n > 0), PRIMARY KEY (orders, pos));
	CREATE TABLE visit (id integer, day date, customer integer REFERENCES customer ON DELETE CASCADE, page text,
		PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
	CREATE TABLE visit_1 PARTITION OF visit FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
	CREATE TABLE visit_2 (page text, customer integer, unwanted integer, day date NOT NULL, id integer NOT NULL);
	ALTER TABLE visit_2 DROP COLUMN unwanted;
	ALTER TABLE visit ATTACH PARTITION visit_2 FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
	CREATE TABLE node (id integer PRIMARY KEY, parent integer NOT NULL REFERENCES node ON DELETE CASCADE, v text);
	CREATE TABLE a (id integer PRIMARY KEY, b integer NOT NULL, v integer);
	CREATE TABLE b (id integer PRIMARY KEY, a integer NOT NULL REFERENCES a ON DELETE CASCADE, v integer);
	ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b ON DELETE CASCADE DEFERRABLE INITIALLY IMMEDIATE;
	CREATE TABLE note (v text, customer integer REFERENCES customer ON DELETE CASCADE);
	CREATE TABLE tag (name text PRIMARY KEY, words text[], span int4range, data bytea, two pair);
	CREATE TABLE choice (a integer REFERENCES a ON DELETE CASCADE, tag text REFERENCES tag ON DELETE CASCADE ON UPDATE CASCADE, v integer,
		PRIMARY KEY (a, tag));

	INSERT INTO region SELECT i, 'region ' || i, point(i, i) FROM generate_series(1, 6) i;
	INSERT INTO customer (region, name) SELECT 1 + i % 6, 'customer ' || i FROM generate_series(1, 40) i;
	UPDATE customer SET referrer = 1 + (id * 7) % 40;
	INSERT INTO orders (customer, total) SELECT 1 + i % 40, i FROM generate_series(1, 80) i;
	UPDATE customer SET best_order = (SELECT max(id) FROM orders WHERE customer = customer.id);
	INSERT INTO product SELECT i, jsonb_build_object('i', i), (SELECT string_agg(md5((i * 100 + j)::text), '')
		FROM generate_series(1, 100) j) FROM generate_series(1, 10) i;
	INSERT INTO line SELECT 1 + i % 80, i, 1 + i % 10, i FROM generate_series(1, 160) i;
	INSERT INTO visit SELECT i, '2026-01-01'::date + i % 59, 1 + i % 40, 'page ' || i FROM generate_series(1, 100) i;
	INSERT INTO node SELECT i, greatest(i / 2, 1), 'node' FROM generate_series(1, 40) i;
	BEGIN;
	SET CONSTRAINTS ALL DEFERRED;
	INSERT INTO a SELECT i, 1 + (i + 3) % 20, i FROM generate_series(1, 20) i;
	INSERT INTO b SELECT i, 1 + (i + 5) % 20, i FROM generate_series(1, 20) i;
	COMMIT;
	INSERT INTO note SELECT 'note ' || i, 1 + i % 40 FROM generate_series(1, 30) i;
	INSERT INTO tag SELECT 'tag ' || i, ARRAY['a', NULL, i::text], int4range(i, i * 2), decode(md5(i::text), 'hex'), ROW(i, 'y')::pair
		FROM generate_series(1, 12) i;
	INSERT INTO choice SELECT 1 + i % 20, 'tag ' || 1 + i / 20, i FROM generate_series(0, 100) i;

	CREATE VIEW tables AS SELECT unnest('{region,customer,orders,product,line,visit,node,a,b,note,tag,choice}'::text[]) AS name;
	DO $$
	DECLARE t text;
	BEGIN
		FOR t IN SELECT name FROM tables LOOP
			PERFORM fortress.protect(t::regclass, delete_rows => 100000000, update_rows => 100000000, require_where => false);
			PERFORM fortress.set_limit(t::regclass, 'delete', 100000000, '1 hour');
		END LOOP;
	END $$;

	-- what tables hold
	CREATE FUNCTION image(names text[] DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE t text; one text; r text := '';
	BEGIN
		FOR t IN SELECT name FROM tables WHERE names IS NULL OR name = ANY (names) LOOP
			EXECUTE format('SELECT md5(string_agg(x::text, chr(10) ORDER BY x::text)) FROM %I x', t) INTO one;
			r := r || ' ' || t || '=' || coalesce(one, '-');
		END LOOP;
		RETURN r;
	END $$;

	CREATE FUNCTION pick(n integer) RETURNS integer LANGUAGE sql VOLATILE AS 'SELECT floor(random() * n)::integer';

	-- numbers that nobody had before; rows with such a key were inserted by the running transaction
	CREATE SEQUENCE fresh START 1000000 INCREMENT 20;
	CREATE SEQUENCE other START 10000 INCREMENT 20;
	CREATE FUNCTION change_orders() RETURNS void LANGUAGE plpgsql AS $$
	DECLARE one integer;
	BEGIN
		INSERT INTO orders (customer, total) SELECT id, 0 FROM customer ORDER BY random() LIMIT 1 RETURNING id INTO one;
		IF one IS NOT NULL THEN
			UPDATE orders SET total = 1 WHERE id = one;
			INSERT INTO line VALUES (one, 1, NULL, 1), (one, 2, (SELECT min(id) FROM product), 2);
			DELETE FROM line WHERE orders = one AND pos = 1;
			DELETE FROM orders WHERE id = one;
		END IF;
	END $$;

	-- one random change
	CREATE FUNCTION change(kind integer) RETURNS void LANGUAGE plpgsql AS $$
	DECLARE p float := random() * random() * 0.5; lowest integer; highest integer; aside integer;
	BEGIN
		CASE kind
		WHEN 0 THEN DELETE FROM region WHERE random() < p;
		WHEN 1 THEN DELETE FROM customer WHERE random() < p;
		WHEN 2 THEN DELETE FROM orders WHERE random() < p;
		WHEN 3 THEN DELETE FROM line WHERE random() < p;
		WHEN 4 THEN DELETE FROM product WHERE random() < p;
		WHEN 5 THEN DELETE FROM visit WHERE random() < p;
		WHEN 6 THEN DELETE FROM node WHERE random() < p;
		WHEN 7 THEN DELETE FROM a WHERE random() < p;
		WHEN 8 THEN DELETE FROM note WHERE random() < p;
		WHEN 9 THEN DELETE FROM tag WHERE random() < p;
		WHEN 10 THEN UPDATE region SET name = name || '.', spot = NULL WHERE random() < p;
		WHEN 11 THEN UPDATE customer SET region = coalesce((SELECT min(id) FROM region), region),
				referrer = CASE WHEN random() < 0.5 THEN id END, name = md5(id::text || random()) WHERE random() < p;
		WHEN 12 THEN UPDATE orders SET total = pick(1000) WHERE random() < p;
		WHEN 13 THEN UPDATE line SET n = n + 1, product = (SELECT max(id) FROM product) WHERE random() < p;
		WHEN 14 THEN UPDATE product SET doc = doc || '{"bad": 1}', big = CASE WHEN random() < 0.5 THEN big || 'x' END WHERE random() < p;
		WHEN 15 THEN UPDATE visit SET page = 'bad' WHERE random() < p;
		WHEN 16 THEN UPDATE node SET parent = id, v = v || '!' WHERE random() < p;
		WHEN 17 THEN UPDATE a SET b = (SELECT min(id) FROM b), v = -1 WHERE random() < p AND EXISTS (SELECT FROM b);
		WHEN 18 THEN MERGE INTO tag USING (SELECT name AS n, random() AS r FROM tag) s ON name = s.n
				WHEN MATCHED AND r < p THEN DELETE WHEN MATCHED AND r < 2 * p THEN UPDATE SET words = NULL, data = '';
		WHEN 19 THEN INSERT INTO choice SELECT c.a, c.tag, 0 FROM choice c WHERE random() < p ON CONFLICT (a, tag) DO UPDATE SET v = -choice.v;
		WHEN 20 THEN
			PERFORM fortress.unlock(fortress.issue_token('{choice}', '{truncate}'));
			TRUNCATE choice;
		-- the same key with something else in it, and perhaps gone again
		WHEN 21 THEN
			DELETE FROM tag WHERE name = 'tag 3';
			IF FOUND THEN
				INSERT INTO tag VALUES ('tag 3', '{new}', NULL, NULL, ROW(-1, 'new'));
				DELETE FROM tag WHERE name = 'tag 3' AND random() < 0.3;
			END IF;
		WHEN 22 THEN
			DELETE FROM product WHERE id = 5;
			IF FOUND THEN
				INSERT INTO product VALUES (5, '{"new": 1}', 'x'), (nextval('fresh'), '{}', repeat('y', 5000));
			END IF;
		-- what was not there before: some of it is changed, some is gone at once
		WHEN 23 THEN
			INSERT INTO region SELECT nextval('fresh'), 'new' FROM generate_series(1, 3);
			UPDATE region SET name = 'newer' WHERE id > 1000000 AND random() < 0.5;
			UPDATE region SET id = nextval('fresh') WHERE id > 1000000 AND random() < 0.5;
			DELETE FROM region WHERE id > 1000000 AND random() < 0.5;
		WHEN 24 THEN
			INSERT INTO visit SELECT nextval('fresh'), '2026-01-01'::date + pick(59), (SELECT min(id) FROM customer), 'new' FROM generate_series(1, 4);
			UPDATE visit SET day = '2026-01-01'::date + pick(59), page = page || '?' WHERE id > 1000000 OR random() < p;
			DELETE FROM visit WHERE (id > 1000000 AND random() < 0.5) OR random() < p;
		WHEN 25 THEN PERFORM change_orders();
		WHEN 26 THEN
			INSERT INTO note SELECT 'new', (SELECT max(id) FROM customer) FROM generate_series(1, 3);
			DELETE FROM note WHERE v = 'new' OR random() < p;
		WHEN 27 THEN MERGE INTO visit v USING (SELECT id AS i, day AS d, random() AS r FROM visit) s ON v.id = i AND v.day = d
				WHEN MATCHED AND r < p / 2 THEN DELETE WHEN MATCHED AND r < p THEN UPDATE SET day = '2026-01-01'::date + pick(59), page = 'merged'
				WHEN MATCHED AND r < 2 * p THEN UPDATE SET page = 'merged';
		WHEN 28 THEN
			INSERT INTO node VALUES (nextval('fresh'), currval('fresh'), 'new');
			INSERT INTO node SELECT id, id, v FROM node WHERE random() < p ON CONFLICT (id) DO UPDATE SET v = node.v || '+', parent = node.id;
		-- other keys, also of rows that refer to them, and rows that go to another partition
		WHEN 29 THEN UPDATE region SET id = nextval('other'), name = CASE WHEN random() < 0.5 THEN 'moved' ELSE name END WHERE random() < 0.4 AND id < 1000000;
		WHEN 30 THEN UPDATE tag SET name = name || 'x' WHERE random() < 0.4 AND (two).y IS DISTINCT FROM 'new';
		WHEN 31 THEN UPDATE visit SET day = '2026-01-01'::date + pick(59), page = 'moved' WHERE random() < 0.2;
		-- all move up by one, or two change places
		WHEN 32 THEN
			UPDATE region SET id = -id;
			UPDATE region SET id = 1 - id;
		WHEN 33 THEN
			SELECT min(id), max(id) INTO lowest, highest FROM region WHERE id < 1000000;
			IF highest > lowest THEN
				aside := -nextval('fresh');
				UPDATE region SET id = aside WHERE id = lowest;
				UPDATE region SET id = lowest WHERE id = highest;
				UPDATE region SET id = lowest + 1 WHERE id = aside AND NOT EXISTS (SELECT FROM region WHERE id = lowest + 1);
			END IF;
		WHEN 34 THEN MERGE INTO node USING (SELECT id AS i, random() AS r FROM node l WHERE NOT EXISTS (SELECT FROM node m WHERE m.parent = l.id)) s ON id = i
				WHEN MATCHED AND r < p THEN DELETE WHEN MATCHED AND r < 0.4 THEN UPDATE SET id = CASE WHEN id < 1000000 THEN nextval('other') ELSE id END, v = 'm';
		END CASE;
	END $$;

	CREATE FUNCTION change_some(depth integer) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		FOR i IN 0..pick(4) LOOP
			IF random() < 0.3 AND depth < 4 THEN
				-- a savepoint that is rolled back, or released
				BEGIN
					PERFORM change_some(depth + 1);
					IF random() < 0.4 THEN
						RAISE EXCEPTION 'back';
					END IF;
				EXCEPTION WHEN raise_exception THEN
					NULL;
				END;
			ELSE
				PERFORM change(pick(35));
			END IF;
		END LOOP;
	END $$;

	CREATE FUNCTION change_fresh() RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		DELETE FROM region WHERE id >= 1000000;
		DELETE FROM product WHERE id >= 1000000;
		DELETE FROM visit WHERE id >= 1000000;
		DELETE FROM node WHERE id >= 1000000;
	END $$;

	-- undoes a transaction, as announced
	CREATE FUNCTION undo(id xid8, how text) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE told text; listed text; done text;
	BEGIN
		SELECT string_agg(concat_ws(' ', relation, operation, rows, conflicts), ', ') INTO told FROM fortress.undo(id, how, true);
		SELECT string_agg(x, ', ' ORDER BY x) INTO listed FROM (SELECT concat_ws(' ', relation, count(*)) x FROM fortress.preview_undo(id, how)
			WHERE action IN ('insert', 'update') GROUP BY relation) l;
		PERFORM setval('orders_id_seq', coalesce(max(o.id), 1)) FROM orders o;
		CREATE TEMP TABLE result ON COMMIT DROP AS SELECT * FROM fortress.undo(id, how);
		SELECT string_agg(concat_ws(' ', relation, operation, rows, conflicts), ', ') INTO done FROM result;
		IF done IS DISTINCT FROM told THEN
			RETURN format('announced %s, done %s', told, done);
		END IF;
		SELECT string_agg(x, ', ' ORDER BY x) INTO done FROM (SELECT concat_ws(' ', relation, sum(rows)) x FROM result GROUP BY relation HAVING sum(rows) > 0) d;
		IF done IS DISTINCT FROM listed THEN
			RETURN format('listed %s, done %s', listed, done);
		END IF;
		IF (SELECT max(o.id) FROM orders o) > (SELECT last_value FROM orders_id_seq) THEN
			RETURN 'sequence is behind';
		END IF;
		RETURN NULL;
	END $$;

	CREATE TABLE saved (depth integer PRIMARY KEY, xid xid8, image text);
	CREATE TABLE failed (round integer, depth integer, what text);

	CREATE PROCEDURE run(rounds integer) LANGUAGE plpgsql AS $$
	DECLARE level integer := 0; top saved; fresh boolean := false; before text := image(); wrong text; id xid8; again xid8; inserts boolean;
	BEGIN
		FOR round IN 1..rounds LOOP
			IF level = 0 OR (level < 4 AND random() < 0.45) THEN
				id := pg_current_xact_id();
				PERFORM change_some(0);
				PERFORM change_fresh();
				level := level + 1;
				INSERT INTO saved VALUES (level, id, before);
				fresh := true;
			ELSE
				SELECT * INTO top FROM saved s WHERE s.depth = level;
				again := pg_current_xact_id();
				inserts := EXISTS (SELECT FROM fortress.preview_undo(top.xid) WHERE action = 'insert' OR reason = 'was removed since');
				-- what nobody has touched since is undone without a conflict
				wrong := undo(top.xid, CASE WHEN fresh THEN 'error' ELSE 'overwrite' END);
				IF wrong IS NULL AND image() <> top.image THEN
					wrong := 'wanted' || top.image || ' found' || image();
				END IF;
				-- an undo that had nothing to insert can be undone in its turn, and done again
				IF wrong IS NULL AND NOT inserts THEN
					COMMIT;
					wrong := undo(again, 'error');
					IF wrong IS NULL AND image() <> before THEN
						wrong := 'undone: wanted' || before || ' found' || image();
					END IF;
					COMMIT;
					IF wrong IS NULL THEN
						wrong := undo(top.xid, 'overwrite');
					END IF;
					IF wrong IS NULL AND image() <> top.image THEN
						wrong := 'again: wanted' || top.image || ' found' || image();
					END IF;
				END IF;
				IF wrong IS NOT NULL THEN
					INSERT INTO failed VALUES (round, level, wrong || CASE WHEN fresh THEN ' fresh ' ELSE ' ' END || top.xid);
					EXIT;
				END IF;
				DELETE FROM saved s WHERE s.depth = level;
				level := level - 1;
				fresh := false;
			END IF;
			COMMIT;
			before := image();
		END LOOP;
	END $$;

	-- the same for restore() by time, over several transactions, table by table
	CREATE PROCEDURE run_restore(rounds integer) LANGUAGE plpgsql AS $$
	DECLARE kinds integer[] := '{0,4,6,9,10,14,16,18,21,29,30,32,33,34}';
		t text; before text; found text; moment timestamptz; told text; done text; n bigint;
	BEGIN
		FOR round IN 1..rounds LOOP
			before := image('{region,product,node,tag}');
			moment := clock_timestamp();
			COMMIT;
			FOR i IN 0..pick(6) LOOP
				FOR j IN 0..pick(3) LOOP
					PERFORM change(kinds[1 + pick(cardinality(kinds))]);
				END LOOP;
				COMMIT;
			END LOOP;
			FOREACH t IN ARRAY '{region,product,node,tag}'::text[] LOOP
				SELECT string_agg(r::text, ', ') INTO told FROM fortress.restore(t::regclass, since => moment, on_conflict => 'overwrite', dry_run => true) r;
				SELECT string_agg(r::text, ', ') INTO done FROM fortress.restore(t::regclass, since => moment, on_conflict => 'overwrite') r;
				-- what the first run archived is later than the bound, so that the second has the same to do, and finds it done
				SELECT coalesce(sum(rows), 0) INTO n FROM fortress.restore(t::regclass, since => moment, filter => 'fg_how <> $a$r$a$', on_conflict => 'overwrite');
				IF told IS DISTINCT FROM done OR n > 0 THEN
					INSERT INTO failed VALUES (round, 0, format('%s: announced %s, done %s, and then %s', t, told, done, n));
					COMMIT;
					RETURN;
				END IF;
			END LOOP;
			found := image('{region,product,node,tag}');
			IF found <> before THEN
				INSERT INTO failed VALUES (round, 0, moment || ' wanted' || before || ' found' || found);
				COMMIT;
				RETURN;
			END IF;
			COMMIT;
		END LOOP;
	END $$;
});

my $began = time;
my ($rc, $out, $err) = $node->psql('postgres', "SELECT setseed($seed); CALL run($rounds);");
is($rc, 0, "$rounds rounds ran with seed $seed");
is($err, '', 'without an error');
is($node->safe_psql('postgres', 'SELECT * FROM failed'), '', 'each undo brought back what was there before');
($rc, $out, $err) = $node->psql('postgres', "SELECT setseed($seed); CALL run_restore(greatest($rounds / 5, 5));");
is($err, '', 'what was changed over time is restored');
is($node->safe_psql('postgres', 'SELECT * FROM failed'), '', 'as it was, as announced, and once');
note "took " . (time - $began) . " s";
is($node->safe_psql('postgres', q{SELECT count(*) >= 1 FROM (SELECT fg_xid FROM fortress_shadow.} .
	$node->safe_psql('postgres', q{SELECT split_part(fortress.shadow_of('customer')::text, '.', 2)}) . q{ WHERE fg_how = 'r') s}),
	't', 'and what the undos overwrote was archived');

# What a prepared transaction did inside savepoints is its own, whoever commits it

$node->safe_psql(
	'postgres', q{
	CREATE TABLE prepared (id integer PRIMARY KEY, v text);
	INSERT INTO prepared SELECT i, 'good' FROM generate_series(1, 4) i;
	SELECT fortress.protect('prepared');
	BEGIN;
	SAVEPOINT a;
	DELETE FROM prepared WHERE id = 1;
	INSERT INTO prepared VALUES (1, 'bad');
	RELEASE a;
	SAVEPOINT a;
	INSERT INTO prepared VALUES (5, 'bad'), (6, 'bad');
	UPDATE prepared SET id = id + 10 WHERE id IN (2, 5);
	DELETE FROM prepared WHERE id IN (6, 15);
	RELEASE a;
	PREPARE TRANSACTION 'attack';
	COMMIT PREPARED 'attack';
});
is( $node->safe_psql(
		'postgres', q{SELECT operation, rows, conflicts FROM
			fortress.undo((SELECT DISTINCT fg_xid FROM fortress_shadow.} .
		  $node->safe_psql('postgres', q{SELECT split_part(fortress.shadow_of('prepared')::text, '.', 2)}) . '))'),
	"delete|1|0\nupdate|1|0",
	'a prepared transaction is undone without conflicts');
is($node->safe_psql('postgres', 'SELECT * FROM prepared ORDER BY id'), "1|good\n2|good\n3|good\n4|good", 'as it was');

# Archives that were loaded from another cluster may have numbers that transactions
# get here later.  They are told apart, whichever way they came.

my $file = $node->basedir . '/loaded';
$node->safe_psql(
	'postgres', qq{
	CREATE TABLE loaded (id integer PRIMARY KEY, v text);
	INSERT INTO loaded SELECT i, 'good' FROM generate_series(1, 5) i;
	SELECT fortress.protect('loaded');
	CREATE TABLE numbers (name text, xid xid8);
	-- one that only inserts
	BEGIN;
	INSERT INTO loaded VALUES (10, 'here');
	INSERT INTO numbers VALUES ('inserts', pg_current_xact_id());
	COMMIT;
	-- one that archives, also in a savepoint
	BEGIN;
	DELETE FROM loaded WHERE id = 1;
	SAVEPOINT a;
	UPDATE loaded SET id = 12, v = 'moved' WHERE id = 2;
	INSERT INTO loaded VALUES (1, 'here');
	INSERT INTO numbers VALUES ('archives', pg_current_xact_id());
	COMMIT;
});
my $shadow = $node->safe_psql('postgres', q{SELECT fortress.shadow_of('loaded')});
$node->safe_psql(
	'postgres', qq{
	COPY (SELECT fg_at - interval '1 year', n.xid, fg_actor, fg_relation, fg_seq, fg_natts, 'd', 's', 10, 'there'
		FROM $shadow, numbers n WHERE fg_op = 'd' AND n.name = 'inserts') TO '$file';
	BEGIN;
	SELECT fortress.unlock(fortress.issue_token(operations => '{admin}'));
	COPY $shadow FROM '$file';
	COMMIT;
});
my ($inserts, $archives) = map { $node->safe_psql('postgres', "SELECT xid FROM numbers WHERE name = '$_'") } qw(inserts archives);
is( $node->safe_psql('postgres', "SELECT action, reason FROM fortress.preview_undo('$inserts')"),
	'conflict|was created or changed since',
	'a row of a transaction with the number of one elsewhere is in conflict with that');
($rc, $out, $err) = $node->psql('postgres', "SELECT * FROM fortress.undo('$inserts')");
like($err, qr/1 row is in conflict/, 'and is not overwritten');
is($node->safe_psql('postgres', "SELECT rows FROM fortress.undo('$inserts', 'overwrite'); SELECT v FROM loaded WHERE id = 10"),
	"1\nthere", 'unless asked to');

is( $node->safe_psql('postgres', "SELECT key, action FROM fortress.preview_undo('$archives') ORDER BY key"),
	"(1)|update\n(2)|update",
	'what was archived here, in a savepoint too, is undone without conflicts');
$node->safe_psql(
	'postgres', qq{
	COPY (SELECT fg_at - interval '1 year', fg_xid, fg_actor, fg_relation, fg_seq, fg_natts, fg_op, fg_how, id + 2, 'there'
		FROM $shadow WHERE fg_xid = '$archives') TO '$file';
	BEGIN;
	SELECT fortress.unlock(fortress.issue_token(operations => '{admin}'));
	COPY $shadow FROM '$file';
	COMMIT;
});
foreach my $call ("undo('$archives')", "undo('$archives', 'overwrite', true)", "preview_undo('$archives')", "restore('loaded', xid => '$archives')")
{
	($rc, $out, $err) = $node->psql('postgres', "SELECT * FROM fortress.$call");
	like($err, qr/archived rows of two transactions have the number $archives/, "$call does not mix them");
}
is( $node->safe_psql('postgres', "SELECT operation, rows, conflicts FROM fortress.restore('loaded', xid => '$archives', since => now() - interval '1 day')"),
	"delete|1|0\nupdate|1|0", 'one of them can be chosen by time');
is($node->safe_psql('postgres', 'SELECT * FROM loaded ORDER BY id'), "1|good\n2|good\n3|good\n4|good\n5|good\n10|there", 'as it was');

# Nor are the ways mixed that their rows went from key to key

$node->safe_psql(
	'postgres', q{
	CREATE TABLE loaded_keys (id integer PRIMARY KEY, v text);
	INSERT INTO loaded_keys VALUES (1, 'here'), (3, 'stays'), (102, 'there');
	SELECT fortress.protect('loaded_keys');
	UPDATE loaded_keys SET id = 101 WHERE id = 1;
});
$shadow = $node->safe_psql('postgres', q{SELECT fortress.shadow_of('loaded_keys')});
$node->safe_psql(
	'postgres', qq{
	COPY (SELECT fg_at - interval '1 year', fg_xid, fg_actor, fg_relation, fg_seq, fg_natts, fg_op, fg_how, id + 1, 'there' FROM $shadow) TO '$file';
	BEGIN;
	SELECT fortress.unlock(fortress.issue_token(operations => '{admin}'));
	COPY $shadow FROM '$file';
	COMMIT;
});
is( $node->safe_psql('postgres', q{SELECT operation, rows, conflicts FROM fortress.restore('loaded_keys'); SELECT * FROM loaded_keys ORDER BY id}),
	"update|2|0\n1|here\n2|there\n3|stays", 'rows of both get their keys back');

# Archives shrink by themselves, once the setting says so

my $archived = q{SELECT sum(fortress.archived_rows(name::regclass)) FROM tables};
cmp_ok($node->safe_psql('postgres', $archived), '>', 0, 'archives are kept for good while fortress.retention is 0');
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM fortress.subtransaction'), '>', 0, 'and what is known of savepoints');
$node->append_conf('postgresql.conf', "fortress.retention = 1s");
$node->reload;
ok($node->poll_query_until('postgres', "SELECT ($archived) = 0"), 'and are emptied when it is a second');
ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM fortress.subtransaction"), 'and so is that');
ok( $node->poll_query_until('postgres',
		"SELECT count(*) > 0 AND bool_and(rows > 0) FROM fortress.audit_log WHERE event = 'purged'"),
	'which is recorded');
$node->stop;
is(scalar(() = slurp_file($node->logfile) =~ /PANIC|TRAP|terminated by signal/g), 0, 'and nothing crashed');

done_testing();
