# Dumps of a database with protected tables, loaded in every way that pg_dump,
# pg_restore and psql know; and when a loaded database counts as protected.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('dump');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'fortress_guard'\nmax_prepared_transactions = 5\nautovacuum = off\n");
$node->start;

sub query
{
	my ($db, $sql) = @_;
	return $node->safe_psql($db, $sql);
}

# Runs SQL in a database; returns its SQLSTATE ('' if it passed).
sub attempt
{
	my ($db, $sql) = @_;
	my ($status, $out, $err) = $node->psql($db, "\\set VERBOSITY verbose\n$sql", on_error_stop => 1);
	my ($code) = $err =~ /(?:ERROR|FATAL):  ([0-9A-Z]{5}):/;
	return $code // ($status == 0 ? '' : 'unknown');
}

sub label
{
	my ($db) = @_;
	return query('postgres', "SELECT label FROM pg_shseclabel, pg_database WHERE provider = 'fortress_guard' AND objoid = oid AND datname = '$db'");
}

# The same within half a minute, or what it is then.
sub label_becomes
{
	my ($db, $wanted) = @_;
	$node->poll_query_until('postgres', "SELECT count(*) > 0 FROM pg_shseclabel, pg_database WHERE provider = 'fortress_guard' AND objoid = oid AND datname = '$db' AND label = '$wanted'");
	return label($db);
}

# Tables of all kinds, with what a dump makes after their policies are loaded
query('postgres', 'CREATE ROLE owner; CREATE ROLE job; CREATE DATABASE source');
query('source', q{
	CREATE EXTENSION fortress_guard;
	CREATE FUNCTION same() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
	CREATE TABLE agent (id int PRIMARY KEY, boss int REFERENCES agent);
	INSERT INTO agent SELECT i, 1 FROM generate_series(1, 20) i;
	CREATE TABLE listing (id int PRIMARY KEY, agent int REFERENCES agent ON DELETE CASCADE, v text);
	INSERT INTO listing SELECT i, 1 + i % 20, repeat('v', 3000) FROM generate_series(1, 1000) i;
	CREATE TRIGGER same BEFORE UPDATE ON listing FOR EACH ROW EXECUTE FUNCTION same();
	CREATE POLICY everything ON listing USING (true);
	ALTER TABLE listing ENABLE ROW LEVEL SECURITY;
	ALTER TABLE listing CLUSTER ON listing_pkey, REPLICA IDENTITY FULL, OWNER TO owner;
	CREATE TABLE sale (id int, day date, v int) PARTITION BY RANGE (day);
	CREATE TABLE sale_2023 PARTITION OF sale FOR VALUES FROM ('2023-01-01') TO ('2024-01-01');
	CREATE TABLE sale_2024 PARTITION OF sale FOR VALUES FROM ('2024-01-01') TO ('2025-01-01') PARTITION BY LIST (v);
	CREATE TABLE sale_2024_1 PARTITION OF sale_2024 FOR VALUES IN (1);
	CREATE TABLE sale_2024_2 PARTITION OF sale_2024 DEFAULT;
	ALTER TABLE sale ADD PRIMARY KEY (id, day, v);
	INSERT INTO sale SELECT i, '2023-06-01'::date + 366 * (i % 2), i % 3 FROM generate_series(1, 300) i;
	CREATE TABLE message (id int PRIMARY KEY, body text);
	CREATE TABLE old_message (extra int) INHERITS (message);
	INSERT INTO old_message SELECT i, 'body', i FROM generate_series(1, 200) i;
	CREATE TABLE open_log (k int, v int) PARTITION BY LIST (k);
	CREATE TABLE log_1 PARTITION OF open_log FOR VALUES IN (1);
	CREATE TABLE watched (id int PRIMARY KEY, v text);
	CREATE RULE said AS ON INSERT TO watched WHERE new.id < 0 DO INSTEAD NOTHING;
	CREATE TABLE plain (id int PRIMARY KEY);
	CREATE SCHEMA alpha;
	CREATE TABLE alpha.first (id int PRIMARY KEY);
	CREATE SCHEMA safe;
	CREATE TABLE safe.kept (id int PRIMARY KEY);
	INSERT INTO safe.kept SELECT generate_series(1, 50);
	SELECT fortress.protect(r) FROM unnest('{listing,sale,message,log_1}'::regclass[]) r;
	SELECT fortress.protect('agent', columns => '{boss}');
	SELECT fortress.protect('watched', 'audit', archive => 'none');
	SELECT fortress.protect('alpha.first', 'off');
	SELECT fortress.protect_schema('safe', delete_rows => 7);
	SELECT fortress.set_limit('sale', 'delete', 20, '1 day', 'table');
	SELECT fortress.exempt('job', 'sale');
	CREATE SCHEMA lost;
	GRANT USAGE ON SCHEMA lost TO owner;
	CREATE TYPE lost.mood AS ENUM ('good', 'bad');
	CREATE TABLE lost.item (id serial PRIMARY KEY, m lost.mood DEFAULT 'good', k int CHECK (k > 0));
	CREATE INDEX ON lost.item (m);
	CREATE STATISTICS lost.item_stats ON m, k FROM lost.item;
	CREATE TRIGGER same BEFORE UPDATE ON lost.item FOR EACH ROW EXECUTE FUNCTION same();
	CREATE POLICY everything ON lost.item USING (true);
	ALTER TABLE lost.item ENABLE ROW LEVEL SECURITY, OWNER TO owner;
	GRANT SELECT ON lost.item TO job;
	CREATE VIEW lost.good AS SELECT id FROM lost.item WHERE m = 'good';
	CREATE TABLE lost.tree (id int, item int REFERENCES lost.item) PARTITION BY LIST (id);
	CREATE TABLE lost.tree_1 PARTITION OF lost.tree FOR VALUES IN (1);
	CREATE TABLE lost.tree_2 PARTITION OF lost.tree DEFAULT;
	INSERT INTO lost.item (k) SELECT generate_series(1, 150);
	INSERT INTO lost.tree SELECT i, i FROM generate_series(1, 120) i;
	SELECT fortress.protect('lost.item'), fortress.protect('lost.tree');
	BEGIN;
	SELECT fortress.unlock(fortress.issue_token(operations => '{ddl}'));
	DROP SCHEMA lost CASCADE;
	COMMIT;
	CREATE SCHEMA lost;
	GRANT USAGE ON SCHEMA lost TO owner;
	DELETE FROM listing WHERE id <= 3;
	UPDATE sale SET v = 1 WHERE id <= 6;
	BEGIN;
	SELECT fortress.unlock(fortress.issue_token(operations => '{admin}'));
	GRANT SELECT ON fortress.status TO owner;
	GRANT SELECT ON ALL TABLES IN SCHEMA fortress_shadow TO owner;
	COMMIT;
	SELECT * FROM fortress.verify_audit();
});

# What must be the same in a loaded database.
my $state_sql = q{
	SELECT 'policy', relation::text, mode, require_where, archive, columns::text FROM fortress.policy
	UNION ALL SELECT 'limit', relation::text, operation, NULL, per || ' by ' || by, max_rows::text FROM fortress.row_limit
	UNION ALL SELECT 'trigger', tgrelid::regclass::text, tgname::text, tgenabled = 'A', tgtype::text, NULL FROM pg_trigger WHERE tgname ~ 'fortress|same'
	UNION ALL SELECT 'exemption', relation::text, role_name, NULL, NULL, NULL FROM fortress.exemption
	UNION ALL SELECT 'schema', schema_name::text, mode, NULL, NULL, NULL FROM fortress.schema_policy
	UNION ALL SELECT 'rights', relname::text, NULL, has_table_privilege('owner', oid, 'SELECT'), NULL, NULL FROM pg_class
		WHERE relnamespace IN ('fortress'::regnamespace, 'fortress_shadow'::regnamespace) AND relkind IN ('r', 'v')
	UNION ALL SELECT 'rule', tablename::text, rulename::text, NULL, NULL, NULL FROM pg_rules WHERE schemaname = 'public'
	UNION ALL SELECT 'security', tablename::text, policyname::text, NULL, NULL, NULL FROM pg_policies
	ORDER BY 1, 2, 3, 5, 6};
my $content_sql = q{SELECT format('SELECT %L, count(*) FROM ONLY %s', c.oid::regclass, c.oid::regclass) FROM pg_class c
	WHERE relkind = 'r' AND relnamespace::regnamespace::text IN ('public', 'alpha', 'safe', 'fortress_shadow', 'fortress_trash') ORDER BY relname, c.oid::regclass::text \gexec};

sub content
{
	my ($db) = @_;
	return query($db, $content_sql);
}

my $state = query('source', $state_sql);
my $content = content('source');
(my $hollow = $content) =~ s/\|\d+/|0/g;
like($state, qr/^trigger\|sale_2024_2\|fortress_guard_delete\|t/m, 'partitions have triggers');

# A database that has been loaded is as its source was, and guarded; it counts
# as protected when it has been used, not before.
sub is_loaded
{
	my ($db, $how) = @_;
	is(query($db, $state_sql), $state, "$how: all of the guard is there");
	is(content($db), $content, "$how: and all rows");
	is(label($db), 'loading', "$how: more may be loaded");
	is(query($db, q{SELECT piece FROM fortress.verify_guard() WHERE ok IS FALSE AND piece !~ '^(setting fsync|function |rights )'}),
		'label of the database', "$how: nothing is wrong but the label");
	is(attempt($db, 'INSERT INTO listing VALUES (5000, 1, NULL); INSERT INTO sale VALUES (5000, \'2024-01-01\', 7)'), '', "$how: rows come in");
	is(label($db), 'loading', "$how: which is no use yet");
	is(attempt($db, 'DELETE FROM listing WHERE id = 5000; DELETE FROM sale_2024_2 WHERE id = 5000'), '', "$how: and go");
	is(label($db), 'protected', "$how: which is");
	like(attempt($db, "DELETE FROM $_ WHERE id > 0"), qr/^ZG00[12]$/, "$how: DELETE FROM $_")
	  for qw(listing sale_2023 sale_2024_2 old_message safe.kept);
	is(attempt($db, 'UPDATE watched SET v = NULL'), '', "$how: one that is only watched");
	is(attempt($db, 'TRUNCATE sale'), 'ZG004', "$how: TRUNCATE");
	is(attempt($db, 'DROP TABLE sale_2024_1'), 'ZG005', "$how: DROP");
	is(attempt($db, 'CREATE TABLE safe.newer (id int); INSERT INTO safe.newer SELECT generate_series(1, 8); DELETE FROM safe.newer WHERE id > 0'),
		'ZG001', "$how: a new table in a protected schema");
	is(attempt($db, "COPY fortress.policy FROM stdin;\n\\.\n"), 'ZG011', "$how: loading is over");
	is(attempt($db, 'GRANT SELECT ON fortress.token TO owner'), 'ZG011', "$how: rights as well");
	is(attempt('postgres', "DROP DATABASE $db"), 'ZG005', "$how: the database stays");
	is(query($db, "SELECT sum(rows) FROM fortress.restore('listing', until => now() - interval '1 second', filter => 'id <= 3')"), '3', "$how: what was archived comes back");
	is(query($db, 'SELECT fortress.undrop(id) FROM fortress.trash ORDER BY table_name'), "lost.item\nlost.tree", "$how: and so does what was dropped");
	is(query($db, q{SELECT (SELECT count(*) FROM lost.good), (SELECT count(*) FROM lost.tree_2), relrowsecurity, relowner::regrole, has_table_privilege('job', oid, 'SELECT'),
		(SELECT count(*) FROM pg_constraint WHERE confrelid = c.oid AND conparentid = 0 AND convalidated) FROM pg_class c WHERE oid = 'lost.item'::regclass}),
		'150|119|t|owner|t|1', "$how: with all that it had");
	like(attempt($db, "DELETE FROM $_ WHERE id > 0"), qr/^ZG00[12]$/, "$how: DELETE FROM $_") for qw(lost.item lost.tree_2);
	return;
}

sub run_ok
{
	my ($command, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return $node->command_ok($command, $name);
}

sub new_database
{
	my ($db) = @_;
	query('postgres', "CREATE DATABASE $db TEMPLATE template0");
	return;
}

my $dir = $node->basedir;
run_ok([ 'pg_dump', '-Fc', '-f', "$dir/custom", 'source' ], 'pg_dump');
run_ok([ 'pg_dump', '-Fd', '-j', '2', '-f', "$dir/directory", 'source' ], 'pg_dump with two jobs');
run_ok([ 'pg_dump', '-f', "$dir/plain.sql", 'source' ], 'pg_dump as SQL');
run_ok([ 'pg_dump', '--inserts', '--rows-per-insert=100', '-f', "$dir/inserts.sql", 'source' ], 'pg_dump as INSERTs');
run_ok([ 'pg_dump', '--load-via-partition-root', '--clean', '--if-exists', '-f', "$dir/clean.sql", 'source' ], 'pg_dump with DROPs');
run_ok([ 'pg_dump', '-s', '-f', "$dir/schema.sql", 'source' ], 'pg_dump of definitions');
run_ok([ 'pg_dump', '-a', '--disable-triggers', '-f', "$dir/data.sql", 'source' ], 'pg_dump of data');
run_ok([ 'pg_dump', '-Fc', '-t', 'sale*', '-f', "$dir/sale", 'source' ], 'pg_dump of a partitioned table');
is(label('source'), 'protected', 'dumping changes nothing');

my @restore = qw(pg_restore --exit-on-error);
my @psql = qw(psql -X -q -o /dev/null -v ON_ERROR_STOP=1);
my @ways = (
	[ 'custom', 'one job', [ @restore, "$dir/custom" ] ],
	[ 'jobs', 'two jobs', [ @restore, '-j', '2', "$dir/directory" ] ],
	[ 'single', 'one transaction', [ @restore, '-1', "$dir/custom" ] ],
	[ 'clean', 'over nothing', [ @restore, '--clean', '--if-exists', "$dir/custom" ] ],
	[ 'plain', 'SQL', [ @psql, '-f', "$dir/plain.sql" ] ],
	[ 'inserts', 'INSERTs', [ @psql, '-f', "$dir/inserts.sql" ] ],
	[ 'cleansql', 'SQL over nothing', [ @psql, '-f', "$dir/clean.sql" ] ]);
for my $way (@ways)
{
	my ($db, $how, $command) = @$way;
	new_database("to_$db");
	run_ok([ @$command, '-d', "to_$db" ], "$how: it is loaded");
	is_loaded("to_$db", $how);
}

# Definitions and data apart
new_database('hollow');
run_ok([ @psql, '-d', 'hollow', '-f', "$dir/schema.sql" ], 'definitions alone are loaded');
is(content('hollow'), $hollow, 'without rows');
is(attempt('hollow', 'INSERT INTO plain VALUES (1); DELETE FROM plain'), '', 'what was not protected can be written');
is(attempt('hollow', 'INSERT INTO watched VALUES (1); DELETE FROM watched WHERE id = 1'), 'ZG010', 'what has the triggers and no policy cannot');
query('hollow', q{SELECT fortress.unprotect('watched'); DELETE FROM watched});
is(label('hollow'), '', 'nothing is protected there');
new_database('apart');
run_ok([ @psql, '-d', 'apart', '-f', "$dir/schema.sql" ], 'definitions are loaded');
run_ok([ @psql, '-d', 'apart', '-f', "$dir/data.sql" ], 'then data with --disable-triggers');
is(content('apart'), $content, 'all rows are there');
is(attempt('apart', 'DELETE FROM alpha.first WHERE id = 1'), '', 'mode off');
is(query('apart', q{SELECT fix FROM fortress.verify_guard() WHERE piece ~ '^table' AND ok IS NOT TRUE}), "SELECT fortress.protect('alpha.first');",
	'a schema that is loaded before fortress needs a hand');
query('apart', q{SELECT fix FROM fortress.verify_guard() WHERE piece ~ '^table' AND ok IS NOT TRUE \gexec});
is(query('apart', $state_sql) =~ s/_\d+\|/|/gr, $state =~ s/_\d+\|/|/gr, 'all of the guard is as it was');

# One table
new_database('tables');
query('tables', 'CREATE EXTENSION fortress_guard; CREATE TABLE other (id int); INSERT INTO other VALUES (1), (2)');
run_ok([ @restore, '-d', 'tables', "$dir/sale" ], 'a partitioned table alone, where nothing is protected');
is(attempt('tables', 'DELETE FROM sale_2023 WHERE id = 1'), 'ZG010', 'it cannot be written');
query('tables', q{SELECT fortress.unprotect('sale'); DELETE FROM sale WHERE id <= 10});
query('tables', q{DROP TABLE sale; SELECT fortress.protect('other')});
is(label('tables'), 'protected', 'something else is protected');
run_ok([ @restore, '-d', 'tables', "$dir/sale" ], 'a partitioned table alone, where something is protected');
is(attempt('tables', 'DELETE FROM sale WHERE id = 1'), 'ZG010', 'it cannot be written either');
query('tables', q{SELECT fortress.protect('sale'); DELETE FROM sale WHERE id = 1});
is(attempt('tables', 'DELETE FROM sale WHERE id > 0'), 'ZG002', 'until somebody says how');

# A dump over what is protected takes permission, which the connection can bring
my $over = 'over';
new_database($over);
run_ok([ @restore, '-d', $over, "$dir/custom" ], 'one more');
query($over, q{SELECT fortress.set_mode('watched', 'audit')});
is(label($over), 'protected', 'a policy has changed there');
my ($in, $out, $err) = ('', '', '');
ok(!IPC::Run::run([ 'env', 'PGHOST=' . $node->host, 'PGPORT=' . $node->port, @restore, '--clean', '--if-exists', '-1', '-d', $over, "$dir/custom" ],
	'<', \$in, '>', \$out, '2>', \$err), 'it cannot be overwritten');
like($err, qr/is refused/, 'as the guard says');
is(query($over, $state_sql), $state, 'nothing has changed');
my $token = query($over, "SELECT fortress.issue_token(operations => '{admin,ddl,truncate,delete,update}', uses => NULL)");
{
	local $ENV{PGOPTIONS} = "-c fortress.token=$token";
	$err = '';
	IPC::Run::run([ 'env', 'PGHOST=' . $node->host, 'PGPORT=' . $node->port, 'pg_restore', '--clean', '--if-exists', '-d', $over, "$dir/custom" ],
		'<', \$in, '>', \$out, '2>', \$err);
	like($err, qr/cannot drop extension fortress_guard because other objects depend on it/, 'nor with a token, which brings the tables to the trash');
}
new_database('over_again');
$over = 'over_again';
run_ok([ @restore, '-d', $over, "$dir/custom" ], 'one more');
query($over, q{SELECT fortress.unprotect_schema('safe'); SELECT fortress.unprotect(relation) FROM fortress.policy;});
$token = query($over, "SELECT fortress.issue_token(operations => '{admin,truncate,delete,update}', uses => NULL)");
{
	local $ENV{PGOPTIONS} = "-c fortress.token=$token";
	$err = '';
	IPC::Run::run([ 'env', 'PGHOST=' . $node->host, 'PGPORT=' . $node->port, 'pg_restore', '--clean', '--if-exists', '-d', $over, "$dir/custom" ],
		'<', \$in, '>', \$out, '2>', \$err);
	# PostgreSQL itself stumbles over primary keys of partitions here
	is(join("\n", grep { !/cannot drop inherited constraint/ } $err =~ /^pg_restore: error: (.*)$/mg), '', 'when its tables are released, with a token in PGOPTIONS it can');
}
is(query($over, $state_sql), $state, 'all is there again');
is(content($over), $content, 'with its rows');

# In use: a refusal that was recorded is enough; a prepared transaction waits
new_database('refused');
run_ok([ @restore, '-d', 'refused', "$dir/custom" ], 'one that is only attacked');
is(attempt('refused', 'DELETE FROM listing'), 'ZG003', 'refused');
is(label_becomes('refused', 'protected'), 'protected', 'the auditor has seen that it is in use');
is(attempt('refused', "COPY fortress.policy FROM stdin;\n\\.\n"), 'ZG011', 'so loading is over');
new_database('prepared');
run_ok([ @restore, '-d', 'prepared', "$dir/custom" ], 'one that is used in a prepared transaction');
query('prepared', "BEGIN; DELETE FROM listing WHERE id = 10; PREPARE TRANSACTION 'p'");
is(label('prepared'), 'loading', 'which has not happened');
is(attempt('prepared', 'DELETE FROM listing WHERE id = 11'), '', 'and is in nobody\'s way');
is(label('prepared'), 'protected', 'who brings the label');
query('prepared', "ROLLBACK PREPARED 'p'");
new_database('undone');
run_ok([ @restore, '-d', 'undone', "$dir/custom" ], 'one that nobody uses');
query('undone', 'BEGIN; DELETE FROM listing WHERE id = 10; ROLLBACK');
is(label('undone'), 'loading', 'what is rolled back is no use');
is(attempt('postgres', 'DROP DATABASE undone'), '', 'it can be dropped');

# A clone has no label, and gets none by being used
query('postgres', 'CREATE DATABASE clone TEMPLATE source');
is(attempt('clone', 'DELETE FROM listing WHERE id = 10'), '', 'a clone is used');
is(label('clone'), '', 'and can be dropped all the same');
is(attempt('postgres', 'DROP DATABASE clone'), '', 'as those for tests must be');

$node->stop;
done_testing();
