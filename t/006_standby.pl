# The audit log where a server has more lives than one: a standby that is
# promoted, a backup that goes on by itself, a dump.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf(
	'postgresql.conf', q{
shared_preload_libraries = 'fortress_guard'
log_statement = none
autovacuum = off
restart_after_crash = on
});
$primary->start;

# Runs SQL on a connection of its own, on and on after errors; returns the
# SQLSTATEs of these.
sub attempt
{
	my ($node, $context, $sql) = @_;
	local $ENV{PGOPTIONS} = "-c fortress.context=$context";
	my ($status, $out, $err) = $node->psql('postgres', "\\set VERBOSITY sqlstate\n$sql", on_error_stop => 0);
	my @codes = $err =~ /(?:ERROR|FATAL):  ([0-9A-Z]{5})/g;
	return "@codes";
}

# So many refusals, each with a number in its context.
sub refuse
{
	my ($node, $context, $times) = @_;
	is( attempt($node, $context, join('', map { "SET fortress.context = '$context-$_'; DELETE FROM t;\n" } (1 .. $times))),
		join(' ', ('ZG003') x $times), "$times attempts are refused on the " . $node->name);
	return;
}

sub verified
{
	my ($node) = @_;
	return $node->safe_psql('postgres', 'SELECT ok, first_bad FROM fortress.verify_audit()');
}

# Which refusals are in the log: how many of each kind.
sub refusals
{
	my ($node) = @_;
	verified($node);
	my $found = $node->safe_psql('postgres', q{
		SELECT string_agg(kind || ' ' || n || CASE WHEN n <> distinct_n THEN ', some twice' ELSE '' END, ', ' ORDER BY first)
		FROM (SELECT split_part(detail ->> 'context', '-', 1) AS kind, count(*) AS n,
				count(DISTINCT detail ->> 'context') AS distinct_n, min(id) AS first
			FROM fortress.audit_log WHERE event = 'blocked' GROUP BY 1) k});
	return $found;
}

# Ids are without gaps from 1 on, and no place of a journal is there twice.
my $in_order = q{
	SELECT count(*) = max(id) AND min(id) = 1 AND count(DISTINCT (journal, number)) FILTER (WHERE number IS NOT NULL) = count(number)
		AND count(*) FILTER (WHERE event IN ('tamper', 'unrecorded')) = 0
	FROM fortress.audit_log};

# Keeps the auditor of a server from its work until let_go().
my $locker;

sub hold_back
{
	my ($node) = @_;
	$locker = $node->background_psql('postgres');
	$locker->query_safe('BEGIN; LOCK TABLE fortress.audit_log IN ACCESS EXCLUSIVE MODE');
	return;
}

sub let_go
{
	$locker->query_safe('COMMIT');
	$locker->quit;
	return;
}

$primary->safe_psql(
	'postgres', q{
	CREATE EXTENSION fortress_guard;
	CREATE TABLE t AS SELECT i AS id FROM generate_series(1, 100) i;
	SELECT fortress.protect('t', delete_rows => 10);
});
my $token = $primary->safe_psql('postgres', 'SELECT fortress.issue_token(uses => 5)');
refuse($primary, 'early', 30);
is(verified($primary), 't|', 'the chain is unbroken');

# the backup finds events in the journal

hold_back($primary);
refuse($primary, 'waiting', 20);
$primary->backup('backup');
let_go();
is(refusals($primary), 'early 30, waiting 20', 'they are all in the log in the end');

#
# A backup that goes on by itself
#

my $clone = PostgreSQL::Test::Cluster->new('clone');
$clone->init_from_backup($primary, 'backup');
$clone->start;
is(refusals($clone), 'early 30, waiting 20', 'a restored backup takes in what was in the journal');
is(verified($clone), 't|', 'its chain is unbroken');
refuse($clone, 'cloned', 10);
is(refusals($clone), 'early 30, waiting 20, cloned 10', 'and it records its own events');
is($clone->safe_psql('postgres', $in_order), 't', 'without a gap');
is(verified($clone), 't|', 'its chain is unbroken');
$clone->restart;
refuse($clone, 'restarted', 5);
is(refusals($clone), 'early 30, waiting 20, cloned 10, restarted 5', 'also after a restart');
is(verified($clone), 't|', 'its chain is unbroken');
$clone->stop;

#
# A standby
#

my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->start;
refuse($primary, 'streamed', 40);
is(refusals($primary), 'early 30, waiting 20, streamed 40', 'the primary has them in its log');
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
is(refusals($standby), 'early 30, waiting 20, streamed 40', 'and so has the standby');
is(verified($standby), 't|', 'whose chain is unbroken');
is( $standby->safe_psql('postgres', 'SELECT head FROM fortress.verify_audit()'),
	$primary->safe_psql('postgres', 'SELECT head FROM fortress.verify_audit()'), 'and ends as that of the primary');
is($standby->safe_psql('postgres', 'SELECT blocked_24h FROM fortress.status'), '90', 'its views can be read');

# what is refused there has no table to go to, and does no harm

foreach my $case (
	[ 'DELETE FROM t;', '25006' ],
	[ 'TRUNCATE t;', '25006' ],
	[ "SELECT fortress.unlock('$token');", '25006' ],
	[ "SELECT fortress.unlock('no token');", 'ZG009' ],
	[ "SELECT fortress.unlock('fgt1_" . '0' x 72 . "');", 'ZG009' ],
	[ "SET fortress.token = '$token'; SELECT 1;", '' ],
	[ "BEGIN; SET LOCAL fortress.token = '$token'; DELETE FROM t WHERE id > 0; ROLLBACK;", '25006' ],
	[ 'SELECT fortress.lock();', '' ],
	[ q{SELECT fortress.protect('t', delete_rows => 20);}, '(25006|55000)' ],
	[ 'SELECT fortress.issue_token();', '25006' ],
	[ q{SELECT * FROM fortress.restore('t');}, '25006' ],
	[ 'EXPLAIN DELETE FROM t;', '' ],
	[ 'CREATE DATABASE x;', '25006' ],
	[ 'DROP EXTENSION fortress_guard;', '25006' ])
{
	my ($sql, $codes) = @$case;
	like(attempt($standby, 'standby', $sql), qr/^$codes$/, "on a standby: " . ($sql =~ s/fgt1_\w+/.../r));
}
is($standby->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'fortress_guard auditor'}),
	'0', 'no auditor runs there');
ok(!$standby->log_contains(qr/was terminated by|could not record|PANIC/), 'nothing went wrong');

# Promotion: what was only in the journal of the primary is not there

hold_back($primary);
refuse($primary, 'lagging', 7);
my $last = $standby->safe_psql('postgres', 'SELECT max(id) FROM fortress.audit_log');
$primary->stop('immediate');
eval { $locker->quit; };
$standby->promote;
is(refusals($standby), 'early 30, waiting 20, streamed 40', 'a promoted standby has all that was replicated, once');
is(verified($standby), 't|', 'its chain is unbroken');
refuse($standby, 'promoted', 10);
is(refusals($standby), 'early 30, waiting 20, streamed 40, promoted 10', 'it records its own events');
is( $standby->safe_psql('postgres', q{SELECT string_agg(id::text, ' ' ORDER BY id) FROM fortress.audit_log WHERE detail ->> 'context' LIKE 'promoted%'}),
	join(' ', $last + 1 .. $last + 10), 'and goes on where the primary had ended');
is($standby->safe_psql('postgres', $in_order), 't', 'without a gap');
is(verified($standby), 't|', 'its chain is unbroken');
is($standby->safe_psql('postgres', q{SELECT count(DISTINCT journal) > 1 FROM fortress.audit_log}), 't', 'in a journal of its own');
$standby->restart;
is(refusals($standby), 'early 30, waiting 20, streamed 40, promoted 10', 'a restart changes nothing');
is(verified($standby), 't|', 'its chain is unbroken');

# and these are still where they were

$primary->start;
is(refusals($primary), 'early 30, waiting 20, streamed 40, lagging 7', 'the old primary has kept what was in its journal');
is(verified($primary), 't|', 'its chain is unbroken');
$primary->stop;

#
# A dump, restored in another cluster
#

$standby->safe_psql(
	'postgres', q{
	CREATE TABLE gone (id int);
	INSERT INTO gone SELECT generate_series(1, 20);
	CREATE TABLE will_be_renamed (id int);
	SELECT fortress.protect('gone', delete_rows => 5), fortress.protect('will_be_renamed', delete_rows => 5);
});
attempt($standby, 'other', 'DELETE FROM gone; DELETE FROM will_be_renamed;');
attempt($standby, 'other', q{SET fortress.context = E'a "quoted"\ttext \\\\ \u00e9'; SET application_name = ''; DELETE FROM t WHERE E'\n\t\\' <> '';});
$standby->safe_psql(
	'postgres', q{
	SELECT fortress.unprotect('gone');
	DROP TABLE gone;
	BEGIN;
	SELECT fortress.unlock(fortress.issue_token('{will_be_renamed}', '{ddl}'));
	ALTER TABLE will_be_renamed RENAME TO renamed;
	COMMIT;
});
my $events = refusals($standby);
is(verified($standby), 't|', 'a log with events of a table that is gone, and of one that has another name');
my ($head, $rows) = split /\|/, $standby->safe_psql('postgres', 'SELECT head, rows FROM fortress.verify_audit()');

my $fresh = PostgreSQL::Test::Cluster->new('fresh');
$fresh->init;
$fresh->append_conf('postgresql.conf', "shared_preload_libraries = 'fortress_guard'\nlog_statement = none\n");
$fresh->start;
# so that the numbers of relations differ
$fresh->safe_psql('postgres', join('', map { "CREATE TABLE filler_$_ (id int); DROP TABLE filler_$_;" } (1 .. 50)));
my $dump = PostgreSQL::Test::Utils::tempdir . '/dump';
$standby->command_ok([ 'pg_dumpall', '--globals-only', '-d', $standby->connstr('postgres'), '-f', "$dump.globals" ], 'the roles are dumped');
$standby->command_ok([ 'pg_dump', '-d', $standby->connstr('postgres'), '-f', "$dump.sql" ], 'and the database');
$fresh->psql('postgres', slurp_file("$dump.globals"), on_error_stop => 0);
$fresh->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $fresh->connstr('postgres'), '-f', "$dump.sql" ], 'and restored');

is(refusals($fresh), $events, 'the audit log is there');
is($fresh->safe_psql('postgres', "SELECT ok, first_bad, head = '$head' AND rows = $rows FROM fortress.verify_audit()"), 't||t',
	'unbroken, with the end that it had');
is($fresh->safe_psql('postgres', q{SELECT DISTINCT relation::regclass::text FROM fortress.audit_log WHERE detail ->> 'relation' = 'public.will_be_renamed'}),
	'renamed', 'events are of the table that has another name now');
refuse($fresh, 'restored', 5);
is(refusals($fresh), "$events, restored 5", 'and the log goes on');
is($fresh->safe_psql('postgres', $in_order), 't', 'without a gap');
is(verified($fresh), 't|', 'the chain is unbroken');
$fresh->stop('immediate');
$fresh->start;
refuse($fresh, 'crashed', 5);
is(refusals($fresh), "$events, restored 5, crashed 5", 'also after a crash');
is(verified($fresh), 't|', 'the chain is unbroken');

$_->stop foreach ($fresh, $standby);
done_testing();
