# The guard guards itself across the databases of a cluster: DROP DATABASE, roles
# and settings from a database where it is not, clones, dumps and upgrades.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node;

# Runs SQL in a database; returns its SQLSTATE ('' if it passed).
sub attempt
{
	my ($db, $sql, %params) = @_;
	my ($status, $out, $err) = $node->psql($db, "\\set VERBOSITY verbose\n$sql",
		on_error_stop => 1, %params);
	my ($code) = $err =~ /(?:ERROR|FATAL):  ([0-9A-Z]{5}):/;
	$code = 'unknown' if !defined $code && $status != 0;
	return $code // '';
}

# The same with an admin token redeemed in the transaction.
sub attempt_permitted
{
	my ($db, $sql) = @_;
	return attempt($db, "BEGIN; SELECT fortress.unlock(fortress.issue_token(operations => '{admin}')); $sql; COMMIT");
}

sub query
{
	my ($db, $sql) = @_;
	return $node->safe_psql($db, $sql);
}

# The labels of the guard, by the names of what they are on.
sub labels
{
	my $text = query('postgres', q{
		SELECT coalesce(d.datname, a.rolname), l.label FROM pg_shseclabel l
			LEFT JOIN pg_database d ON classoid = 'pg_database'::regclass AND d.oid = objoid
			LEFT JOIN pg_authid a ON classoid = 'pg_authid'::regclass AND a.oid = objoid
		WHERE provider = 'fortress_guard' ORDER BY 1});
	my %names = map { reverse split /\|/ } split /\n/, query('postgres', 'SELECT datname, oid FROM pg_database');
	$text =~ s/(exempt in |, )(\d+)/$1 . ($names{$2} \/\/ 'gone')/ge;
	return $text;
}

# How many refusals a database's log has whose message contains a text.
sub blocked
{
	my ($db, $text) = @_;
	query($db, 'SELECT * FROM fortress.verify_audit()');
	return query($db, "SELECT count(*) FROM fortress.audit_log WHERE event = 'blocked' AND strpos(detail ->> 'message', \$\$$text\$\$) > 0");
}

my $preload = "shared_preload_libraries = 'fortress_guard'\nmax_prepared_transactions = 5\n";

$node = PostgreSQL::Test::Cluster->new('self');
$node->init;
$node->append_conf('postgresql.conf', $preload);
$node->start;

query('postgres', "CREATE DATABASE $_") for qw(shop bare other);
query('postgres', 'CREATE ROLE creator CREATEROLE CREATEDB; CREATE ROLE job; CREATE ROLE somebody');
query($_, 'CREATE EXTENSION fortress_guard') for qw(shop other);
query('shop', q{
	CREATE TABLE listing (id int PRIMARY KEY, v text);
	INSERT INTO listing SELECT i, 'v' FROM generate_series(1, 1000) i;
	CREATE FUNCTION same() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
	CREATE TRIGGER same BEFORE UPDATE ON listing FOR EACH ROW EXECUTE FUNCTION same();
	CREATE TABLE ruled (id int PRIMARY KEY);
	CREATE RULE said AS ON INSERT TO ruled WHERE new.id < 0 DO INSTEAD NOTHING;
	CREATE POLICY everything ON listing USING (true);
	ALTER TABLE listing ENABLE ROW LEVEL SECURITY, REPLICA IDENTITY USING INDEX listing_pkey});

# Nothing is protected: all is free for superusers, from everywhere

is(attempt('bare', 'ALTER ROLE fortress_admin NOINHERIT; ALTER ROLE fortress_admin INHERIT'),
	'', 'a superuser is free while nothing is protected');
is(attempt('bare', 'SET ROLE creator; GRANT fortress_admin TO creator'),
	'ZG011', 'who may create roles is not');
is(attempt('bare', 'CREATE DATABASE once TEMPLATE shop'), '', 'a database is made');
is(attempt('bare', 'DROP DATABASE once'), '', 'and dropped');
is(labels(), '', 'there are no labels');

# Something is

query('shop', "SELECT fortress.protect('listing')");
is(labels(), 'shop|protected', 'the database is marked');
query('shop', "SELECT fortress.exempt('job')");
query('other', "SELECT fortress.exempt('job', valid_until => now() + interval '1 day')");
like(labels(), qr/^job\|exempt in shop, other until \d+\nshop\|protected$/, 'two databases exempt one role');

for my $db (qw(bare other postgres template1))
{
	is(attempt($db, 'DROP DATABASE shop'), 'ZG005', "DROP DATABASE from $db");
	is(attempt($db, 'DROP DATABASE IF EXISTS shop WITH (FORCE)'), 'ZG005', "by force from $db");
}
is(blocked('shop', 'DROP DATABASE: database "shop"'), '8', 'the log of the database has each once');
is(blocked('shop', 'in database "bare"'), '2', 'and where it was tried');
is(blocked('other', 'DROP DATABASE'), '0', 'the log of the other one has none');
is(attempt('bare', 'SET ROLE somebody; DROP DATABASE shop'), '42501', 'who does not own it learns just that');
is(attempt('bare', 'DROP DATABASE IF EXISTS nothing'), '', 'one that is not there');

my @roles = (
	'GRANT fortress_admin TO somebody',
	'REVOKE fortress_admin FROM somebody',
	'ALTER ROLE fortress_operator LOGIN',
	'ALTER ROLE fortress_auditor RENAME TO x',
	'DROP ROLE fortress_auditor',
	'CREATE ROLE x IN ROLE fortress_admin',
	'GRANT job TO somebody',
	'ALTER ROLE job LOGIN',
	'ALTER ROLE job SET work_mem = \'1MB\'',
	'DROP ROLE job',
	'DROP OWNED BY job');
for my $sql (@roles)
{
	is(attempt('bare', $sql), 'ZG011', "$sql, where the guard is not");
	is(attempt('bare', "SET ROLE creator; $sql"), 'ZG011', "the same by who may create roles");
	isnt(attempt_permitted('other', "SAVEPOINT a; $sql; ROLLBACK TO a"), 'ZG011', "with a token, where there are tokens");
}
is(blocked('shop', 'GRANT ROLE: role "fortress_admin", in database "bare"'), '2', 'attempts without a log of their own are in that of a protected database');
ok(!-e $node->data_dir . '/pg_fortress/' . query('bare', 'SELECT oid FROM pg_database WHERE datname = current_database()') . '.journal',
	'and a database without the guard has no journal');
is(attempt('bare', 'CREATE ROLE x IN ROLE somebody; GRANT somebody TO x; ALTER ROLE x LOGIN; DROP ROLE x'), '', 'other roles are nobody\'s business');
is(attempt('bare', "SET fortress.token = 'fg_" . 'A' x 43 . "'; GRANT fortress_admin TO somebody"), '22023', 'a malformed token stays one');

is(attempt('bare', $_), 'ZG011', "$_, where the guard is not")
	for ('UPDATE pg_authid SET rolsuper = true', 'DELETE FROM pg_shseclabel', 'DELETE FROM pg_database',
	'SET allow_system_table_mods = on; TRUNCATE pg_authid', "COPY pg_authid FROM stdin;\n\\.\n",
	"ALTER SYSTEM SET shared_preload_libraries = ''", 'ALTER SYSTEM SET track_counts = off',
	'SECURITY LABEL FOR fortress_guard ON DATABASE shop IS NULL');
is(attempt('bare', $_), '', "$_, which is about that database alone")
	for ('UPDATE pg_class SET relname = relname', 'DELETE FROM pg_trigger WHERE false',
	'BEGIN; SET allow_system_table_mods = on; ALTER TABLE pg_trigger ALTER tgenabled SET DEFAULT \'D\'; ROLLBACK',
	'BEGIN; CREATE FUNCTION pg_catalog.mine() RETURNS int LANGUAGE sql AS \'SELECT 1\'; ROLLBACK');

# A clone; the same role in two databases; names

query('postgres', 'CREATE DATABASE clone TEMPLATE shop');
is(attempt('clone', 'DELETE FROM listing'), 'ZG003', 'a clone is guarded');
unlike(labels(), qr/clone/, 'but not marked');
query('clone', "SELECT fortress.set_mode('listing', 'block')");
like(labels(), qr/clone\|protected/, 'until its policies change');
like(labels(), qr/exempt in .*clone/s, 'its exempt roles as well');
is(attempt('bare', 'DROP DATABASE clone'), 'ZG005', 'then it cannot be dropped');
query('clone', "SELECT fortress.unprotect('listing')");
is(attempt('bare', 'DROP DATABASE clone'), '', 'unless nothing in it is protected any more');
like(labels(), qr/^job\|exempt in shop, other until \d+, gone\nshop\|protected$/, 'what is left of it counts no more');

query('shop', 'SELECT fortress.revoke_exemption(1)');
is(attempt('bare', 'GRANT job TO somebody'), 'ZG011', 'the exemption in the other database counts');
query('other', 'SELECT fortress.revoke_exemption(1)');
is(labels(), 'shop|protected', 'the end of the last one ends the mark');
is(attempt('bare', 'GRANT job TO somebody; REVOKE job FROM somebody'), '', 'and the role is free');

is(attempt('bare', 'ALTER DATABASE shop RENAME TO store; ALTER DATABASE store RENAME TO shop'), '', 'RENAME passes');
is(attempt('bare', 'ALTER DATABASE shop OWNER TO creator; ALTER DATABASE shop CONNECTION LIMIT 50; ALTER DATABASE shop SET work_mem = \'4MB\''),
	'', 'so do OWNER TO, and settings');
is(attempt('bare', 'SET ROLE creator; DROP DATABASE shop'), 'ZG005', 'the owner cannot drop it either');

# Prepared

query('other', q{
	CREATE TABLE t (id int);
	BEGIN;
	SELECT fortress.protect('t');
	PREPARE TRANSACTION 'p'});
is(labels(), 'shop|protected', 'a prepared transaction has not happened');
query('other', "COMMIT PREPARED 'p'");
is(labels(), "other|protected\nshop|protected", 'then it has');
query('other', "SELECT fortress.unprotect('t')");

# The settings that say what is guarded

$node->append_conf('postgresql.conf', "fortress.ignore_databases = 'test_*'");
$node->reload;
is(attempt('bare', 'ALTER DATABASE shop RENAME TO test_shop'), 'ZG011', 'no way out by a name that is not guarded');
is(attempt('other', "SELECT fortress.unlock(fortress.issue_token(operations => '{admin}'))"), '', 'a token is gone with its transaction');
is(attempt('other', 'ALTER DATABASE shop RENAME TO test_shop'), 'ZG011', 'so it does not help');
query('postgres', 'CREATE DATABASE test_copy TEMPLATE shop');
is(attempt('test_copy', 'DELETE FROM listing; DROP TABLE listing; UPDATE pg_trigger SET tgname = tgname'), '', 'a database for tests is not guarded');
query('test_copy', "CREATE TABLE t (id int); SELECT fortress.protect('t')");
is(attempt('bare', 'DROP DATABASE test_copy'), '', 'and can be dropped');

# Dropping with permission

is(attempt('shop', 'SET ROLE somebody; SELECT fortress.allow_drop_database()'), '42501', 'not everybody may allow it');
is(attempt('shop', 'BEGIN; SELECT fortress.allow_drop_database(); ROLLBACK'), '', 'what is rolled back ...');
is(attempt('bare', 'DROP DATABASE shop'), 'ZG005', '... was not allowed');
query('shop', "SELECT fortress.allow_drop_database('1 second')");
sleep 3;
is(attempt('bare', 'DROP DATABASE shop'), 'ZG005', 'it expires');
query('postgres', 'CREATE DATABASE shop2 TEMPLATE shop');
query('shop2', "SELECT fortress.set_mode('listing', 'block'); SELECT fortress.allow_drop_database()");
query('shop2', "SELECT fortress.set_mode('listing', 'audit')");
is(attempt('bare', 'DROP DATABASE shop2'), '', 'a database that was allowed to go, goes');
query('postgres', 'CREATE DATABASE shop2 TEMPLATE shop');
query('shop2', "SELECT fortress.set_mode('listing', 'block')");
is(attempt('bare', 'DROP DATABASE shop2'), 'ZG005', 'the permission went with it');
$node->append_conf('postgresql.conf', "fortress.guard_superusers = off");
$node->reload;
is(attempt('bare', 'DROP DATABASE shop2'), '', 'superusers are free by the configuration');
is(attempt('bare', 'GRANT fortress_admin TO somebody; REVOKE fortress_admin FROM somebody'), '', 'with roles too');
$node->append_conf('postgresql.conf', "fortress.guard_superusers = on\nfortress.enabled = off");
$node->reload;
is(attempt('shop', 'DELETE FROM fortress.token WHERE false; GRANT fortress_admin TO somebody; REVOKE fortress_admin FROM somebody'), '', 'so are all while the guard is off');
query('postgres', 'CREATE DATABASE shop2 TEMPLATE shop');
is(attempt('shop2', "SELECT fortress.set_mode('listing', 'block'); DROP EXTENSION fortress_guard CASCADE"), '', 'then the extension can be dropped');
unlike(labels(), qr/shop2/, 'and leaves no mark');
$node->append_conf('postgresql.conf', "fortress.enabled = on");
$node->reload;
is(attempt('bare', 'DROP DATABASE shop2'), '', 'so that the database can go');
is(attempt('bare', 'DROP DATABASE shop'), 'ZG005', 'the other one still cannot');

# Permission to drop the guard is none to drop protected tables in the same command

query('postgres', 'CREATE DATABASE doomed');
query('doomed', q{
	CREATE ROLE deployer SUPERUSER;
	SET ROLE deployer;
	CREATE EXTENSION fortress_guard;
	CREATE EXTENSION citext;
	CREATE TABLE kept (id int);
	CREATE TABLE watched (id int);
	CREATE TABLE plain (id int);
	INSERT INTO kept SELECT generate_series(1, 10);
	SELECT fortress.protect('kept'), fortress.protect('watched', 'audit', archive => 'none')});
is(attempt_permitted('doomed', 'DROP OWNED BY deployer CASCADE'), 'ZG005', 'DROP OWNED with a token for admin');
is(attempt('doomed', "BEGIN; SELECT fortress.unlock(fortress.issue_token(operations => '{admin,ddl}')); ALTER EXTENSION citext ADD TABLE kept; COMMIT"), '', 'a table of another extension');
is(attempt_permitted('doomed', 'DROP EXTENSION fortress_guard, citext CASCADE'), 'ZG005', 'DROP EXTENSION of both');
is(attempt_permitted('doomed', 'DROP EXTENSION citext, fortress_guard CASCADE'), 'ZG005', 'the other way round');
is(query('doomed', 'SELECT count(*) FROM kept'), '10', 'the table is there');
is(blocked('doomed', 'DROP'), '3', 'and each is in the log, though the log was to go as well');
is(attempt_permitted('doomed', 'DROP EXTENSION fortress_guard'), '2BP01', 'the guard alone takes CASCADE');
is(attempt_permitted('doomed', 'DROP EXTENSION fortress_guard CASCADE'), '', 'and then goes');
is(attempt('doomed', 'DELETE FROM kept; DROP OWNED BY deployer CASCADE; DROP ROLE deployer'), '', 'after that nothing is protected');
is(attempt('postgres', 'DROP DATABASE doomed'), '', 'the database neither');

# A dump goes into another cluster as it is

query('shop', "SELECT fortress.exempt('job'), fortress.protect('ruled'); DELETE FROM listing WHERE id <= 3");
is(attempt_permitted('shop', 'GRANT SELECT ON fortress.status TO somebody; GRANT SELECT ON ALL TABLES IN SCHEMA fortress_shadow TO somebody; REVOKE EXECUTE ON FUNCTION fortress.lock() FROM PUBLIC'),
	'', 'rights on what is the guard\'s');
my $dir = $node->basedir;
my $port = $node->port;
$node->command_ok([ 'pg_dumpall', '-g', '--no-role-passwords', '-f', "$dir/globals.sql" ], 'pg_dumpall');
$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dir/shop.dump", 'shop' ], 'pg_dump');
$node->command_ok([ 'pg_dump', '--inserts', '-f', "$dir/shop.sql", 'shop' ], 'pg_dump with INSERTs');
my $count = query('shop', 'SELECT count(*) FROM fortress.audit_log, fortress.verify_audit()');

my $first = $node;
$node = PostgreSQL::Test::Cluster->new('restored');
$node->init;
$node->append_conf('postgresql.conf', $preload);
$node->start;
my $globals = slurp_file("$dir/globals.sql");
like($globals, qr/SECURITY LABEL FOR fortress_guard ON ROLE job/, 'labels of roles are in the dump');
$globals =~ s/^(?:CREATE|ALTER) ROLE \Q$_\E\b.*$//mg for query('postgres', 'SELECT current_user');
is(attempt('postgres', $globals), '', 'and do no harm where it is loaded');
is(labels(), '', 'nor anything at all');
$node->command_ok([ 'pg_restore', '-e', '-C', '-d', 'postgres', "$dir/shop.dump" ], 'pg_restore');
$node->command_ok([ 'createdb', $_ ], "createdb $_") for qw(parallel inserts);
$node->command_ok([ 'pg_restore', '-e', '-j', '2', '-d', 'parallel', "$dir/shop.dump" ], 'pg_restore with two jobs');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-d', 'inserts', '-f', "$dir/shop.sql" ], 'psql with INSERTs');
is(labels(), "inserts|loading\nparallel|loading\nshop|loading", 'restored databases are not protected at once, as pg_restore may be at work');
for my $db (qw(shop parallel inserts))
{
	is(attempt($db, 'DELETE FROM listing'), 'ZG003', "$db is guarded");
	is(attempt($db, 'UPDATE fortress.policy SET mode = \'off\''), 'ZG011', 'and so is the guard');
	is(query($db, "SELECT has_table_privilege('somebody', 'fortress.status', 'select') AND has_table_privilege('somebody', fortress.shadow_of('listing'), 'select') AND NOT has_function_privilege('somebody', 'fortress.lock()', 'execute')"),
		't', 'with the rights that were given');
	is(query($db, "SELECT sum(rows) FROM fortress.restore('listing')"), '3', 'and the rows that were archived');
}
query('shop', "SELECT fortress.set_mode('listing', 'block')");
# the other two have been used: see t/010_dump.pl
query($_, "SELECT fortress.unprotect(relation) FROM fortress.policy; SELECT fortress.revoke_exemption(id) FROM fortress.exemption WHERE ended_at IS NULL") for qw(parallel inserts);
is(labels(), "job|exempt in shop\nshop|protected", 'labels are of this cluster');
is(attempt('postgres', 'DROP DATABASE shop'), 'ZG005', 'and count');
is(attempt('shop', "COPY fortress.policy FROM stdin;\n\\.\n"), 'ZG011', 'loading rows takes permission now');
my $token = query('shop', "SELECT fortress.issue_token(operations => '{admin}', uses => NULL)");
{
	local $ENV{PGOPTIONS} = "-c fortress.token=$token";
	is(attempt('shop', "COPY fortress.policy FROM stdin;\n\\.\n"), '', 'which the connection can bring');
}

# An upgrade takes everything along, labels included

$node->stop;
my $old = $node;
$node = PostgreSQL::Test::Cluster->new('upgraded');
$node->init;
$node->append_conf('postgresql.conf', $preload);
my $bindir = $node->config_data('--bindir');
my $work = PostgreSQL::Test::Utils::tempdir();
chdir $work;
command_ok(
	[   'pg_upgrade', '-b', $bindir, '-B', $bindir, '-d', $old->data_dir, '-D', $node->data_dir,
		'-s', $node->host, '-p', $old->port, '-P', $node->port ],
	'pg_upgrade');
$node->start;
is(labels(), "job|exempt in shop\nshop|protected", 'the labels are there');
is(attempt('postgres', 'DROP DATABASE shop'), 'ZG005', 'and count');
is(attempt('postgres', 'GRANT job TO somebody'), 'ZG011', 'for roles too');
is(attempt('shop', 'DELETE FROM listing'), 'ZG003', 'the tables are guarded');
is(attempt('shop', 'ALTER FUNCTION fortress.guard() COST 1'), 'ZG011', 'and so is the guard');

chdir $dir;
$node->stop;
$first->stop;
done_testing();
