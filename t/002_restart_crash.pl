# Windows and archives over restarts, crashes and prepared transactions.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('restart');
$node->init(allows_streaming => 1);
$node->append_conf(
	'postgresql.conf', q{
shared_preload_libraries = 'fortress_guard'
max_prepared_transactions = 10
});
$node->start;

# Deletes the next so many rows of a table in one statement; returns the
# SQLSTATE, '' if it passed.
my %next;

sub delete_rows
{
	my ($table, $rows) = @_;
	my $from = $next{$table} // 1;
	my ($status, $out, $err) = $node->psql('postgres',
		sprintf("\\set VERBOSITY verbose\nDELETE FROM %s WHERE id >= %d AND id < %d",
			$table, $from, $from + $rows), on_error_stop => 1);
	my ($code) = $err =~ /ERROR:  ([0-9A-Z]{5}):/;
	return $code // 'unknown' if $status != 0;
	$next{$table} = $from + $rows;
	return '';
}

sub new_table
{
	my ($table) = @_;
	$node->safe_psql(
		'postgres', qq{
		CREATE TABLE $table (id int PRIMARY KEY, v text);
		INSERT INTO $table SELECT i, repeat(i::text, 20) FROM generate_series(1, 1000) i;
		SELECT fortress.protect('$table', delete_rows => 100);
		SELECT fortress.set_limit('$table', 'delete', 100, '1 hour', 'table');
		SELECT fortress.drop_limit('$table', 'delete', '1 hour', 'role');
	});
	return;
}

# What of the windows is on disk.
my $saved = q{SELECT coalesce(md5(pg_read_binary_file('pg_fortress/windows', 0, 100000000, true)), 'none')};

$node->safe_psql('postgres', 'CREATE EXTENSION fortress_guard');

# A clean restart keeps windows exactly

new_table('clean');
is(delete_rows('clean', 60), '', '60 rows go before the restart');
$node->restart;
is(delete_rows('clean', 41), 'ZG002', 'after a restart the 60 rows still count: 41 more are refused');
is(delete_rows('clean', 40), '', 'and 40 more pass');
$node->stop('smart');
$node->start;
is(delete_rows('clean', 1), 'ZG002', 'after another restart the window is still full');

# A crash loses only what was not saved yet

new_table('crash');
my $before = $node->safe_psql('postgres', $saved);
is(delete_rows('crash', 60), '', '60 rows go, and are saved');
ok($node->poll_query_until('postgres', "SELECT ($saved) <> '$before'"),
	'windows are saved while the server runs');
is(delete_rows('crash', 20), '', '20 more go just before the crash');
$node->stop('immediate');
$node->start;
is(delete_rows('crash', 41), 'ZG002', 'after the crash the saved 60 rows count: 41 more are refused');
is(delete_rows('crash', 20), '', 'and 20 more pass');

# One backend dies, and the server starts anew by itself

new_table('backend');
$before = $node->safe_psql('postgres', $saved);
is(delete_rows('backend', 70), '', '70 rows go, and are saved');
ok($node->poll_query_until('postgres', "SELECT ($saved) <> '$before'"), 'they are saved');
$node->append_conf('postgresql.conf', 'restart_after_crash = on');
$node->reload;
my $session = $node->background_psql('postgres', on_error_stop => 0);
my $pid = $session->query_safe('SELECT pg_backend_pid()');
my $log_position = -s $node->logfile;
kill 'KILL', $pid;
$node->wait_for_log(qr/database system is ready to accept connections/, $log_position);
$node->poll_query_until('postgres', 'SELECT true');
eval { $session->quit; };
is(delete_rows('backend', 31), 'ZG002', 'after a backend was killed the saved rows count');
is(delete_rows('backend', 30), '', 'and the rest of the window is there');

# A damaged file does not keep the server from starting

$node->stop;
my $file = $node->data_dir . '/pg_fortress/windows';
ok(-s $file, 'there is a file of windows after a clean stop');
append_to_file($file, 'this does not belong here');
$log_position = -s $node->logfile;
$node->start;
is($node->safe_psql('postgres', 'SELECT 1'), '1', 'the server starts with a damaged file of windows');
ok($node->log_contains(qr/LOG: .*windows/, $log_position), 'and logs that it could not use it');

# Prepared transactions are use, however they end

new_table('prepared');
$node->safe_psql('postgres',
	q{BEGIN; DELETE FROM prepared WHERE id BETWEEN 901 AND 950; PREPARE TRANSACTION 'fg_1'});
is(delete_rows('prepared', 51), 'ZG002', 'the rows of a prepared transaction count while it waits');
$node->restart;
is(delete_rows('prepared', 51), 'ZG002', 'and after a restart');
$node->safe_psql('postgres', q{ROLLBACK PREPARED 'fg_1'});
is(delete_rows('prepared', 51), 'ZG002', 'its rollback does not give them back');
is(delete_rows('prepared', 50), '', 'the rest of the window is there');
is( $node->safe_psql('postgres', 'SELECT count(*) FROM prepared'),
	'950', 'and the rows of the prepared transaction are back in the table');

new_table('prepared2');
$node->safe_psql('postgres',
	q{BEGIN; DELETE FROM prepared2 WHERE id BETWEEN 901 AND 950; PREPARE TRANSACTION 'fg_2'});
$node->stop('immediate');
$node->start;
my $shadow = $node->safe_psql('postgres', q{SELECT fortress.shadow_of('prepared2')});
is( $node->safe_psql('postgres', "SELECT count(*) FROM $shadow"),
	'0', 'a crash leaves the archive of a prepared transaction unseen');
$node->safe_psql('postgres', q{COMMIT PREPARED 'fg_2'});
is( $node->safe_psql('postgres', "SELECT count(*) FROM $shadow"),
	'50', 'and its commit brings it');

# The archive is as crash-safe as the table

new_table('archive');
$shadow = $node->safe_psql('postgres', q{SELECT fortress.shadow_of('archive')});
is(delete_rows('archive', 30), '', '30 rows are deleted');
$session = $node->background_psql('postgres', on_error_stop => 0);
$session->query_safe(q{BEGIN; DELETE FROM archive WHERE id BETWEEN 501 AND 540});
$session->query_safe(q{UPDATE archive SET v = 'changed' WHERE id BETWEEN 601 AND 640});
$node->stop('immediate');
eval { $session->quit; };
$node->start;
is( $node->safe_psql('postgres', 'SELECT count(*) FROM archive'),
	'970', 'after a crash the unfinished transaction deleted nothing');
is( $node->safe_psql('postgres', "SELECT count(*) FROM $shadow"),
	'30', 'and archived nothing; what was committed is archived');
is( $node->safe_psql('postgres',
		"SELECT count(*) FROM $shadow s WHERE s.v = repeat(s.id::text, 20) AND s.id BETWEEN 1 AND 30"),
	'30', 'whole');
$node->safe_psql('postgres', q{SELECT * FROM fortress.restore('archive')});
is( $node->safe_psql('postgres', "SELECT count(*), count(*) FILTER (WHERE v = repeat(id::text, 20)) FROM archive"),
	'1000|1000', 'restore() brings back every row');

# A commit that waits for a standby comes to its window late, with the time at
# which it was made: what others have used meanwhile still counts

new_table('waiting');
$node->safe_psql(
	'postgres', q{
	SELECT fortress.drop_limit('waiting', 'delete', '1 hour', 'table');
	SELECT fortress.set_limit('waiting', 'delete', 4, '5 seconds', 'table')});
$node->append_conf('postgresql.conf', "synchronous_standby_names = 'nobody'");
$node->reload;
ok($node->poll_query_until('postgres', q{SELECT current_setting('synchronous_standby_names') = 'nobody'}),
	'there is a standby to wait for');
# the checkpointer tells the others
$node->safe_psql('postgres', 'CHECKPOINT');
$session = $node->background_psql('postgres', on_error_stop => 0);
$session->query_until(qr/begun/, "\\echo begun\nDELETE FROM waiting WHERE id = 1;\n");
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'}),
	'a commit waits for it');
my $since = $node->safe_psql('postgres', 'SELECT clock_timestamp()');
$node->poll_query_until('postgres', "SELECT clock_timestamp() > '$since'::timestamptz + interval '6 seconds'");
is($node->safe_psql('postgres', q{SELECT used FROM fortress.window_use('waiting')}),
	'1', 'longer than the window is, and its row is reserved all the time');
my $used = $node->safe_psql(
	'postgres', q{
	SET synchronous_commit = local;
	DELETE FROM waiting WHERE id BETWEEN 11 AND 13;
	SELECT clock_timestamp() AS since \gset
	SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep';
	DO $$ BEGIN
		WHILE EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep') LOOP
			PERFORM pg_stat_clear_snapshot(), pg_sleep(0.01);
		END LOOP;
	END $$;
	SELECT pg_sleep(0.1);
	SELECT used || ' used' FROM fortress.window_use('waiting')
	UNION ALL SELECT 'too late' WHERE clock_timestamp() > :'since'::timestamptz + interval '4 seconds'});
like($used, qr/^4 used$|too late/m, 'when it ends, the rows that others took count as before');
$node->append_conf('postgresql.conf', "synchronous_standby_names = ''");
$node->reload;
eval { $session->quit; };

$node->stop;
done_testing();
