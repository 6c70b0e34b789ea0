# What needs real sessions: many at once, connection strings, DISCARD ALL,
# settings of the configuration file, the server's log.

use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('sessions');
$node->init;
$node->append_conf(
	'postgresql.conf', q{
shared_preload_libraries = 'fortress_guard'
log_line_prefix = '%m [%p] %e %q%u@%d '
});
$node->start;

# Runs SQL as a role; returns its SQLSTATE ('' if it passed) and what psql said.
sub attempt
{
	my ($role, $sql, $options, $database) = @_;
	local $ENV{PGOPTIONS} = $options // '';
	my ($status, $out, $err) = $node->psql($database // 'postgres', "\\set VERBOSITY verbose\n$sql",
		on_error_stop => 1, extra_params => [ '-U', $role ]);
	my ($code) = $err =~ /(?:ERROR|FATAL):  ([0-9A-Z]{5}):/;
	$code = 'unknown' if !defined $code && $status != 0;
	return ($code // '', $err);
}

$node->safe_psql(
	'postgres', q{
	CREATE EXTENSION fortress_guard;
	CREATE ROLE regress_web LOGIN;
	CREATE ROLE regress_other LOGIN;
	GRANT ALL ON SCHEMA public TO regress_web, regress_other;
	SET ROLE regress_web;
	CREATE TABLE listing (id int PRIMARY KEY, v int DEFAULT 0);
	INSERT INTO listing SELECT i FROM generate_series(1, 5000) i;
	CREATE TABLE small (id int PRIMARY KEY, v int DEFAULT 0);
	INSERT INTO small SELECT i FROM generate_series(1, 5000) i;
	RESET ROLE;
	GRANT SELECT, UPDATE, DELETE ON listing, small TO regress_other;
	SELECT fortress.protect('listing');
	SELECT fortress.protect('small', delete_rows => 5);
	SELECT fortress.drop_limit('small', 'delete', '1 hour', 'role');
});

# Eight sessions, each with 200 rows of its own, as fast as they can

my @sessions;
foreach my $i (0 .. 7)
{
	my $sql = join('', map { "DELETE FROM listing WHERE id = $_;\n" } ($i * 200 + 1 .. $i * 200 + 200));
	my ($out, $err) = ('', '');
	push @sessions,
	  IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('postgres') . ' user=regress_web' ],
		'<', \$sql, '>', \$out, '2>', \$err);
}
$_->finish foreach @sessions;
is( $node->safe_psql('postgres', 'SELECT 5000 - count(*) FROM listing'),
	'100', 'eight sessions with a window of 100 delete exactly 100 rows');
is( $node->safe_psql('postgres', q{SELECT format('SELECT count(*), count(DISTINCT id) FROM %s', fortress.shadow_of('listing')) \gexec}),
	'100|100', 'and each of these is archived once');
is((attempt('regress_other', 'DELETE FROM listing WHERE id > 4990'))[0],
	'', 'the window of another role is not touched by that');

# The server's log says who tried what

my $log_position = -s $node->logfile;
{
	local $ENV{PGAPPNAME} = 'the_site';
	is((attempt('regress_web', 'DELETE FROM listing WHERE id = 3000'))[0],
		'ZG002', 'one row more is refused');
}
ok($node->log_contains(qr/ZG002 regress_web\@postgres ERROR:/, $log_position),
	'the refusal is an error in the server log');
my ($line) = grep { /LOG:/ && /the_site/ } split /\n/, substr(slurp_file($node->logfile), $log_position);
$line //= '';
like($line, qr/\b$_\b/, "its log line names $_")
  foreach ('regress_web', 'the_site', 'listing', 'delete', '100', 'local');

# A policy changed in one session counts at once in another that has it cached

my $web = $node->background_psql('postgres', on_error_stop => 0, extra_params => [ '-U', 'regress_web' ]);
$web->query_safe('DELETE FROM small WHERE id BETWEEN 1 AND 5');
my $web_says = sub {
	my ($sql) = @_;
	$web->{stderr} = '';
	$web->query("\\set VERBOSITY sqlstate\n$sql");
	my ($code) = $web->{stderr} =~ /ERROR:\s+([0-9A-Z]{5})/;
	$web->{stderr} = '';
	return $code // '';
};
is($web_says->('DELETE FROM small WHERE id BETWEEN 6 AND 11'), 'ZG001', 'six rows are over the limit');
$node->safe_psql('postgres', q{SELECT fortress.set_limit('small', 'delete', 6)});
is($web_says->('DELETE FROM small WHERE id BETWEEN 6 AND 11'), '', 'a raised limit counts at once in a session that is open');
$node->safe_psql('postgres', q{SELECT fortress.set_limit('small', 'delete', 2)});
is($web_says->('DELETE FROM small WHERE id BETWEEN 12 AND 14'), 'ZG001', 'and so does a lowered one');
is($web_says->('DELETE FROM small WHERE id BETWEEN 12 AND 13'), '', 'which lets fewer rows pass');
$node->safe_psql('postgres', q{SELECT fortress.set_mode('small', 'off')});
is($web_says->('DELETE FROM small WHERE id BETWEEN 14 AND 20'), '', 'mode off counts at once');
$node->safe_psql('postgres', q{SELECT fortress.set_mode('small', 'block')});
is($web_says->('DELETE FROM small WHERE id BETWEEN 21 AND 23'), 'ZG001', 'and so does mode block');
$node->safe_psql('postgres', q{SELECT fortress.unprotect('small')});
is($web_says->('DELETE FROM small WHERE id BETWEEN 21 AND 40'), '', 'a table that is not protected any more is free at once');
$node->safe_psql('postgres', q{SELECT fortress.protect('small', delete_rows => 5); SELECT fortress.drop_limit('small', 'delete', '1 hour', 'role')});
is($web_says->('DELETE FROM small WHERE id BETWEEN 41 AND 46'), 'ZG001', 'and one that is again is guarded at once');

# A token in the connection string holds for the connection, until DISCARD ALL

my $issue = q{SELECT fortress.issue_token(ARRAY['small'::regclass], uses => 3)};
my $token = $node->safe_psql('postgres', $issue);
like($token, qr/^fgt1_[0-9a-f]{72}$/, 'a token is issued');
is((attempt('regress_web', 'DELETE FROM small WHERE id BETWEEN 101 AND 150', "-c fortress.token=$token"))[0],
	'', 'a token in the connection string permits');
is((attempt('regress_web', 'DELETE FROM small WHERE id BETWEEN 201 AND 250'))[0],
	'ZG001', 'without it the same is refused');
is( (attempt('regress_web', "SELECT 1;\nSELECT 2;\nDELETE FROM small WHERE id BETWEEN 201 AND 250", "-c fortress.token=$token"))[0],
	'', 'it holds for later transactions of the connection');
is( (attempt('regress_web', "DISCARD ALL;\nDELETE FROM small WHERE id BETWEEN 301 AND 350", "-c fortress.token=$token"))[0],
	'ZG001', 'it is dead after DISCARD ALL');
is( (attempt('regress_web', "RESET ALL;\nDELETE FROM small WHERE id BETWEEN 301 AND 350", "-c fortress.token=$token"))[0],
	'ZG001', 'and after RESET ALL');
my ($code, $err) = attempt('regress_web', 'SELECT 1', '-c fortress.token=fgt1_not_a_token');
isnt($code, '', 'a malformed token in the connection string is an error');
unlike($err, qr/not_a_token/, 'which does not repeat it');

# What a pooler's next client finds: nothing

is($web_says->("BEGIN; SELECT fortress.unlock('$token'); COMMIT"), '', 'a session unlocks for one transaction');
is($web_says->('DELETE FROM small WHERE id BETWEEN 301 AND 350'), 'ZG001', 'and has nothing of it in its next');
my $last = $node->safe_psql('postgres', $issue);
is($web_says->("SET fortress.token = '$last'"), '', 'a session sets a token');
is($web_says->('DELETE FROM small WHERE id BETWEEN 301 AND 350'), 'ZG001', 'it is stale in a later transaction');
is($web_says->("SELECT fortress.unlock('$last', 'session')"), '55000', 'session scope is off');

# Session scope

$node->append_conf('postgresql.conf', 'fortress.session_unlock = on');
$node->reload;
ok($node->poll_query_until('postgres', q{SELECT current_setting('fortress.session_unlock') = 'on'}),
	'session scope is switched on');
is($web_says->('SELECT 1'), '', 'the open session goes on');
is($web_says->("SELECT fortress.unlock('$last', 'session')"), '', 'and unlocks for the session');
is($web_says->('DELETE FROM small WHERE id BETWEEN 301 AND 350'), '', 'it permits in a later transaction');
is($web_says->('DELETE FROM small WHERE id BETWEEN 401 AND 450'), '', 'and in one more');
my $bounded = $node->safe_psql('postgres', q{SELECT fortress.issue_token('{small}', max_rows => 120)});
is($web_says->("SELECT fortress.lock(); SELECT fortress.unlock('$bounded', 'session')"), '', 'another token permits 120 rows');
is($web_says->("BEGIN;\nDELETE FROM small WHERE id BETWEEN 1001 AND 1060;\nROLLBACK"), '', 'a transaction takes 60 of them and is rolled back');
is( $web_says->("BEGIN;\nDELETE FROM small WHERE id BETWEEN 1001 AND 1060;\nSAVEPOINT a;\n"
		  . "DELETE FROM small WHERE id BETWEEN 1061 AND 1110;\nROLLBACK TO a;\nDELETE FROM small WHERE id BETWEEN 1111 AND 1150;\nCOMMIT"),
	'', 'the next one takes 60 and 40, and gives others back');
is($web_says->('DELETE FROM small WHERE id BETWEEN 1201 AND 1221'), 'ZG001', 'so 21 are too many');
is($web_says->('DELETE FROM small WHERE id BETWEEN 1201 AND 1220'), '', 'and 20 are left');
is($web_says->('DISCARD ALL'), '', 'DISCARD ALL');
is($web_says->('DELETE FROM small WHERE id BETWEEN 501 AND 550'), 'ZG001', 'ends it');

my $quiet_position = -s $node->logfile;
$node->psql('postgres', q{SET log_min_messages = panic; TRUNCATE listing});
ok($node->log_contains(qr/LOG: +fortress_guard blocked: .*truncate/i, $quiet_position), 'who silences the log does not silence the guard');
unlike(slurp_file($node->logfile), qr/LOG:  fortress_guard.*(\Q$last\E|\Q$token\E)/, 'no log line of the guard shows a secret');

# The settings are the configuration file's

foreach my $sql ('SET fortress.enabled = off', 'ALTER SYSTEM SET fortress.enabled = off',
	'ALTER ROLE regress_web SET fortress.enabled = off',
	'ALTER SYSTEM SET fortress.guard_superusers = off', "ALTER SYSTEM SET fortress.ignore_databases = '*'",
	"ALTER SYSTEM SET fortress.token = '$last'", "ALTER ROLE regress_web SET fortress.token = '$last'",
	"ALTER DATABASE postgres SET fortress.token = '$last'")
{
	(my $shown = $sql) =~ s/fgt1_\w+/.../;
	isnt((attempt('postgres', $sql))[0], '', "not even a superuser gets this: $shown");
}
isnt((attempt('regress_web', 'SELECT 1', '-c fortress.enabled=off'))[0], '', 'nor does a connection string switch the guard off');

$node->append_conf('postgresql.conf', 'fortress.enabled = off');
$node->reload;
ok($node->poll_query_until('postgres', q{SELECT current_setting('fortress.enabled') = 'off'}),
	'the configuration file switches the guard off');
($code, $err) = attempt('regress_web', "DELETE FROM small WHERE id BETWEEN 501 AND 550;\nDELETE FROM small WHERE id BETWEEN 551 AND 560");
is($code, '', 'then nothing is refused');
is(scalar(() = $err =~ /WARNING/g), 1, 'but a session is warned, once');
$node->append_conf('postgresql.conf', 'fortress.enabled = on');
$node->reload;
ok($node->poll_query_until('postgres', q{SELECT current_setting('fortress.enabled') = 'on'}), 'it is on again');
is((attempt('regress_web', 'DELETE FROM small WHERE id BETWEEN 601 AND 650'))[0], 'ZG001', 'and refuses again');

# Databases that are not guarded

$node->safe_psql('postgres', 'CREATE DATABASE test_ci');
$node->safe_psql(
	'test_ci', q{
	CREATE EXTENSION fortress_guard;
	CREATE TABLE t AS SELECT i AS id FROM generate_series(1, 500) i;
	SELECT fortress.protect('t', archive => 'none')});
is((attempt('postgres', 'DELETE FROM t', '', 'test_ci'))[0], 'ZG003', 'a database is guarded');
$node->append_conf('postgresql.conf', "fortress.ignore_databases = 'other_?, test_*'");
$node->reload;
ok($node->poll_query_until('postgres', q{SELECT current_setting('fortress.ignore_databases') <> ''}),
	'databases are named that are not to be guarded');
is((attempt('postgres', 'DELETE FROM t', '', 'test_ci'))[0], '', 'such a database is not');
is((attempt('regress_web', 'DELETE FROM small WHERE id BETWEEN 601 AND 650'))[0], 'ZG001', 'another one is');

$web->quit;
$node->stop;
done_testing();
