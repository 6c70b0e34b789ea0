# verify_guard() on what belongs to the server: preload, settings of the
# configuration file, processes, the journal's directory, locks, a standby; and
# protected schemas through dump and restore.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('verify');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'fortress_guard'");
$node->start;
$node->safe_psql(
	'postgres', q{
	CREATE EXTENSION fortress_guard;
	CREATE TABLE guarded (id int PRIMARY KEY, v int);
	INSERT INTO guarded SELECT i, 0 FROM generate_series(1, 500) i;
	SELECT fortress.protect('guarded');
	CREATE SCHEMA safe;
	CREATE TABLE safe.t (id int);
	SELECT fortress.protect_schema('safe', delete_rows => 7);
});

# What is wrong: "piece|ok|fix" a line.  Servers of tests run without fsync.
sub wrong
{
	my ($on) = @_;

	return ($on // $node)->safe_psql('postgres',
		"SELECT piece, ok, fix FROM fortress.verify_guard() WHERE ok IS NOT TRUE AND piece <> 'setting fsync'");
}

sub reload_with
{
	$node->append_conf('postgresql.conf', $_[0]);
	$node->reload;
	sleep 1;
}

is(wrong(), '', 'nothing is wrong');
is($node->safe_psql('postgres', "SELECT ok FROM fortress.verify_guard() WHERE piece = 'setting fsync'"),
	'f', 'but fsync is off, and it says so');

# Settings

reload_with("fortress.guard_superusers = off\nfortress.session_unlock = on\nfortress.default_delete_rows = 0\n"
	  . "fortress.default_window_delete_rows = 0\nfortress.default_update_rows = 0");
my $found = wrong();
for my $setting (qw(guard_superusers session_unlock default_delete_rows default_update_rows default_window_delete_rows))
{
	like($found, qr/^setting fortress\.$setting\|f\|Set fortress\.$setting = \w+ in postgresql\.conf/m, "it finds fortress.$setting");
}
reload_with("fortress.guard_superusers = on\nfortress.session_unlock = off\nfortress.default_delete_rows = 100\n"
	  . "fortress.default_window_delete_rows = 100\nfortress.default_update_rows = 1000");
is(wrong(), '', 'and is content when they are as it says');
reload_with("fortress.ignore_databases = 'post*'");
like(wrong(), qr/^setting fortress\.ignore_databases\|f\|/, 'it finds that the database is not guarded');
reload_with("fortress.ignore_databases = 'test_*'\nfortress.enabled = off");
like(wrong(), qr/^setting fortress\.enabled\|f\|Set fortress\.enabled = on /, 'it finds that the guard is off');
# what comes into a protected schema meanwhile is found when the guard is back
$node->safe_psql('postgres', 'CREATE TABLE safe.meanwhile (id int)');
reload_with('fortress.enabled = on');
is(wrong(), "protected schema safe|f|SELECT fortress.protect_schema('safe');",
	'it finds a table that came into a protected schema while the guard was off');
$node->safe_psql('postgres', "SELECT fortress.protect_schema('safe')");
is(wrong(), '', 'and its fix mends that');
reload_with("shared_preload_libraries = ''");
like(wrong(), qr/^preload at the next start\|f\|Add fortress_guard/, 'it finds that the next start would be without the library');
reload_with("shared_preload_libraries = 'auto_explain, fortress_guard'");
is(wrong(), '', 'and that it would be with it');

# Journal, launcher

SKIP:
{
	skip 'root may write everywhere', 2 if $> == 0;
	chmod 0500, $node->data_dir . '/pg_fortress';
	like(wrong(), qr/^journal\|f\|Give the server's user the right/m, 'it finds that the journal cannot be written');
	chmod 0700, $node->data_dir . '/pg_fortress';
	is(wrong(), '', 'and that it can');
}
ok(!-e $node->data_dir . '/pg_fortress/trial', 'nothing is left of the trial');

# Locks: it does not wait

my $locker = $node->background_psql('postgres', on_error_stop => 0)
  if PostgreSQL::Test::Cluster->can('background_psql');
SKIP:
{
	skip 'no background_psql here', 2 unless defined $locker;
	my ($in, $out) = ('', '');
	if (ref $locker eq 'PostgreSQL::Test::BackgroundPsql')
	{
		$locker->query_safe('BEGIN; LOCK TABLE guarded IN ACCESS EXCLUSIVE MODE; SELECT 1;');
		is(wrong(), 'table public.guarded||', 'a locked table is not waited for');
		$locker->query_safe('ROLLBACK;');
		$locker->quit;
	}
	else
	{
		my $timer = IPC::Run::timer(60);

		$locker->finish if ref $locker;
		$locker = $node->background_psql('postgres', \$in, \$out, $timer, on_error_stop => 0);
		$in .= "BEGIN; LOCK TABLE guarded IN ACCESS EXCLUSIVE MODE; SELECT 'locked';\n";
		$locker->pump until $out =~ /locked/;
		is(wrong(), 'table public.guarded||', 'a locked table is not waited for');
		$in .= "ROLLBACK;\n\\q\n";
		$locker->finish;
	}
	is(wrong(), '', 'and all is well afterwards');
}

# A standby

$node->backup('for_standby');
my $standby = PostgreSQL::Test::Cluster->new('verify_standby');
$standby->init_from_backup($node, 'for_standby', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
is(wrong($standby), 'audit log||', 'it works on a standby, which has no journal');
$standby->stop;

# Dump and restore: the schema is another one, and protected all the same

$node->safe_psql('postgres', 'CREATE DATABASE other TEMPLATE template0');
my $dump = $node->backup_dir . '/dump';
command_ok([ 'pg_dump', '-Fc', '-f', $dump, '-d', $node->connstr('postgres') ], 'the database is dumped');
command_ok([ 'pg_restore', '-d', $node->connstr('other'), $dump ], 'and restored into another one');
is($node->safe_psql('other', "SELECT ok FROM fortress.verify_guard() WHERE piece = 'protected schema safe'"),
	't', 'where the schema is protected');
$node->safe_psql('other', 'CREATE TABLE safe.new (id int); INSERT INTO safe.new SELECT generate_series(1, 10)');
is($node->safe_psql('other', "SELECT mode FROM fortress.policy WHERE relation = 'safe.new'::regclass"),
	'block', 'and so is a table that is made there');
is($node->safe_psql('other', "SELECT schema_oid <> 'safe'::regnamespace FROM fortress.schema_policy"),
	't', 'though it has another oid');
$node->safe_psql('other', "SELECT fortress.protect_schema('safe', delete_rows => 3)");
is($node->safe_psql('other', "SELECT schema_oid = 'safe'::regnamespace FROM fortress.schema_policy"),
	't', 'until it is protected again');
is($node->safe_psql('other', "SELECT max_rows FROM fortress.row_limit WHERE relation = 'safe.t'::regclass AND operation = 'delete' AND per = 'transaction'"),
	'3', 'which also changes what the schema gave before the dump');

# Without the library

$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
$found = wrong();
like($found, qr/^preload\|f\|Add fortress_guard to shared_preload_libraries/m, 'it finds that the library is not preloaded');
like($found, qr/^protected tables\|\|/m, 'and says that it cannot tell of the tables');
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'fortress_guard'");
$node->restart;
is($node->safe_psql('postgres', "SELECT count(*) FROM fortress.verify_guard() WHERE ok IS FALSE AND piece <> 'setting fsync'"),
	'0', 'all is well again');

done_testing();
