# One-time codes, compared with those of oathtool: drift, once whatever happens,
# many sessions at once, lock-outs, and what of it outlives a restart, a crash
# and a failover.  Nothing of a secret or a code in the log or in a dump.

use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes;

plan skip_all => 'oathtool is not installed'
  if system('oathtool --version >/dev/null 2>&1') != 0;

my $node = PostgreSQL::Test::Cluster->new('totp');
$node->init(allows_streaming => 1);
$node->append_conf(
	'postgresql.conf', q{
shared_preload_libraries = 'fortress_guard'
log_line_prefix = '%m [%p] %e %q%u@%d '
log_statement = none
log_min_error_statement = error
max_prepared_transactions = 5
max_connections = 50
});
$node->start;

my (%secret, %shown);

# Runs SQL as a role; returns its SQLSTATE ('' if it passed) and what psql said.
sub attempt
{
	my ($role, $sql, $database, $on) = @_;
	my ($status, $out, $err) = ($on // $node)->psql($database // 'postgres', "\\set VERBOSITY verbose\n$sql",
		on_error_stop => 1, extra_params => [ '-U', $role ]);
	my ($code) = $err =~ /(?:ERROR|FATAL):  ([0-9A-Z]{5}):/;
	$code = 'unknown' if !defined $code && $status != 0;
	return ($code // '', $err);
}

# Enrols a role anew; its secret is kept.
sub enroll
{
	my ($role, $on) = @_;
	my $uri = ($on // $node)->safe_psql('postgres', "SELECT fortress.enroll_totp('$role')");
	($secret{$role}) = $uri =~ /[?&]secret=([A-Z2-7]+)/;
	return $uri;
}

# What oathtool says that the phone of a role shows, so many seconds from now.
sub code
{
	my ($role, $seconds) = @_;
	my $at = time + ($seconds // 0);
	chomp(my $code = `oathtool --totp --base32 --now=\@$at $secret{$role}`);
	die "oathtool gave no code" if $code !~ /^[0-9]{6}$/;
	$shown{$code} = 1;
	return $code;
}

# A code that is not shown in these minutes.
sub wrong
{
	my ($role) = @_;
	my %near = map { code($role, $_ * 30) => 1 } -5 .. 20;
	my ($code) = grep { !$near{$_} } map { sprintf('%06d', 424242 + $_) } 0 .. 30;
	return $code;
}

# Waits until so much is left of the step that what follows stays in it.
sub early_in_step
{
	my ($seconds) = @_;
	sleep(30 - time % 30) if 30 - time % 30 < $seconds;
}

# A mass change with a code.
sub change
{
	my ($code) = @_;
	return "BEGIN; SELECT fortress.unlock_totp('$code', '{delete}', '{listing}'); DELETE FROM listing WHERE id <= 500; ROLLBACK;";
}

# How many times something was told of a role, in the log that was imported.
sub told
{
	my ($role, $event, $message) = @_;
	return $node->safe_psql('postgres',
		"SELECT (fortress.verify_audit()).ok; SELECT coalesce(sum(coalesce((detail ->> 'times')::int, 1)), 0) FROM fortress.audit_log
		 WHERE session_role = '$role' AND event = '$event' AND detail ->> 'message' LIKE '$message'") =~ s/^t\n//r;
}

$node->safe_psql(
	'postgres', q{
	CREATE EXTENSION fortress_guard;
	CREATE ROLE regress_ann LOGIN;
	CREATE ROLE regress_bob LOGIN;
	CREATE ROLE regress_eve LOGIN;
	CREATE TABLE listing (id int PRIMARY KEY, v int DEFAULT 0);
	INSERT INTO listing SELECT i FROM generate_series(1, 1000) i;
	GRANT ALL ON listing TO regress_ann, regress_bob, regress_eve;
	SELECT fortress.protect('listing');
});

# Codes of oathtool, with a clock that is right, slow and fast

my $uri = enroll('regress_ann');
like($uri, qr{^otpauth://totp/fortress_guard:regress_ann%40postgres\?secret=[A-Z2-7]{32}&issuer=fortress_guard&algorithm=SHA1&digits=6&period=30$},
	'enroll_totp gives a URI for an authenticator');
is((attempt('regress_ann', 'DELETE FROM listing WHERE id <= 500'))[0], 'ZG001', 'without a code a mass change is refused');

early_in_step(15);
is((attempt('regress_ann', change(code('regress_ann', -60))))[0], 'ZG009', 'a code of two steps ago is refused');
is((attempt('regress_ann', change(code('regress_ann', 60))))[0], 'ZG009', 'a code of two steps ahead is refused');
is((attempt('regress_ann', change(code('regress_ann', -30))))[0], '', 'the code of the step before works');
is((attempt('regress_ann', change(code('regress_ann'))))[0], '', 'so does the one shown now');
is((attempt('regress_ann', change(code('regress_ann', 30))))[0], '', 'so does the one of the next step');
is((attempt('regress_ann', change(code('regress_ann', $_))))[0], 'ZG009', "none of them works again ($_)") foreach -30, 0, 30;

# Many at once

# Twelve sessions of a role run this; returns how many passed, and the errors.
sub all_at_once
{
	my ($role, $sql) = @_;
	my @errors = ('') x 12;
	my @sessions = map {
		IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('postgres') . " user=$role", '-c', $sql ],
			'>', '/dev/null', '2>', \$errors[$_])
	} 0 .. 11;
	my $passed = grep { $_->finish } @sessions;
	return ($passed, @errors);
}

enroll('regress_ann');
my $code = code('regress_ann');
my ($passed, @errors) = all_at_once('regress_ann', change($code));
is($passed, 1, 'of twelve sessions with one code exactly one is let through');
is(scalar(grep { /code is not valid/ } @errors), 11, 'and the others are told that it is not valid');

enroll('regress_eve');
my $wrong = wrong('regress_eve');
($passed, @errors) = all_at_once('regress_eve', "SELECT fortress.unlock_totp('$wrong')");
is($passed, 0, 'twelve guesses at once are refused');
is(scalar(grep { /no code is taken until/ } @errors), 7, 'five of them are looked at, and lock the others out');
is(told('regress_eve', 'token_refused', 'TOTP code: wrong'), '5', 'five wrong codes are recorded');
is(told('regress_eve', 'token_refused', 'TOTP code: locked'), '7', 'so are seven that came too late');
is(told('regress_eve', 'totp_locked', 'role regress_eve, until %'), '1', 'and one lock-out');

# A cancelled statement waits like any other wrong one

enroll('regress_bob');
my $started = Time::HiRes::time();
is((attempt('regress_bob', "SET statement_timeout = '20ms'; SELECT fortress.unlock_totp('" . wrong('regress_bob') . "')"))[0],
	'ZG009', 'a statement_timeout does not hide that a code was wrong');
cmp_ok(Time::HiRes::time() - $started, '>=', 0.25, 'nor does it make guessing faster');

# Prepared transactions

enroll('regress_bob');
$code = code('regress_bob');
is((attempt('regress_bob', "BEGIN; SELECT fortress.unlock_totp('$code'); DELETE FROM listing WHERE id <= 500; PREPARE TRANSACTION 'p'"))[0],
	'', 'a transaction with a code can be prepared');
is((attempt('regress_bob', change($code)))[0], 'ZG009', 'and has used the code');
$node->safe_psql('postgres', "ROLLBACK PREPARED 'p'");
is((attempt('regress_bob', change($code)))[0], 'ZG009', 'also when it is rolled back');

# Restart and crash: what was spent stays spent, locked stays locked

foreach my $how ('fast', 'immediate')
{
	enroll('regress_ann');
	early_in_step(12);
	$code = code('regress_ann');
	is((attempt('regress_ann', change($code)))[0], '', "a code is used, then the server stopped ($how)");
	$node->stop($how);
	$node->start;
	is((attempt('regress_ann', change($code)))[0], 'ZG009', "the code does not work again after stop ($how)");
	is((attempt('regress_ann', change(code('regress_ann', 30))))[0], '', "the next one works at once after stop ($how)");
	like((attempt('regress_eve', change(code('regress_eve'))))[1], qr/no code is taken until/, "who was locked out still is after stop ($how)");
}
enroll('regress_bob');
attempt('regress_bob', "SELECT fortress.unlock_totp('" . wrong('regress_bob') . "')") foreach 1 .. 4;
$node->stop('immediate');
$node->start;
$wrong = wrong('regress_bob');
unlike((attempt('regress_bob', "SELECT fortress.unlock_totp('$wrong')"))[1], qr/no code is taken until/, 'four wrong codes before a crash and one after');
like((attempt('regress_bob', change(code('regress_bob'))))[1], qr/no code is taken until/, 'are five');

# Codes and secrets are not in the server's log, whatever is wrong with the call

enroll('regress_bob');
$code = code('regress_bob');
foreach my $call ("'$code', '{insert}'", "'$code', NULL", "'$code', '{}'", "'$code', max_rows => -1",
	"'$code', relations => '{pg_catalog.pg_views}'")
{
	isnt((attempt('regress_bob', "SELECT fortress.unlock_totp($call)"))[0], '', 'a wrong argument is an error');
}
isnt((attempt('regress_bob', "BEGIN READ ONLY; SELECT fortress.unlock_totp('$code')"))[0], '', 'a read-only transaction is one');
isnt((attempt('regress_bob', "DO \$\$ BEGIN PERFORM fortress.unlock_totp('$code', '{insert}'); END \$\$"))[0], '', 'so it is inside a function');
is((attempt('regress_bob', change($code)))[0], '', 'and none of them spent the code');
attempt('regress_bob', "SELECT fortress.unlock_totp('$code')");
# (a number without quotes may be that of a process)
my $log = slurp_file($node->logfile);
is_deeply([ grep { $log =~ /'$_'/ } keys %shown ], [], 'no code is in the server log');
is_deeply([ grep { $log =~ /$_/ } values %secret ], [], 'and no secret');
my $audit = $node->safe_psql('postgres', 'SELECT (fortress.verify_audit()).ok; SELECT a FROM fortress.audit_log a');
is_deeply([ grep { $audit =~ /'$_'/ } keys %shown ], [], 'nor is a code in the audit log');
is_deeply([ grep { $audit =~ /$_/ } values %secret ], [], 'nor a secret');

# Dumps, clones, copies

enroll('regress_ann');
my $dump = $node->data_dir . '/../dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, 'postgres' ], 'pg_dump');
my $text = slurp_file($dump);
like($text, qr/^COPY fortress\.policy /m, 'a dump has policies');
my ($rows) = $text =~ /^COPY fortress\.totp \(.*?\) FROM stdin;\n(.*?)^\\\.$/ms;
is($rows // '', '', 'but no enrolment');
{
	local $ENV{PGOPTIONS} = '-c fortress_guard.dump_totp=on';
	$node->command_ok([ 'pg_dump', '-f', $dump, 'postgres' ], 'pg_dump that asks for enrolments');
}
$text = slurp_file($dump);
($rows) = $text =~ /^COPY fortress\.totp \(.*?\) FROM stdin;\n(.*?)^\\\.$/ms;
like($rows // '', qr/regress_ann/, 'has them');
is_deeply([ grep { $text =~ /\b$_\b/ } values %secret ], [], 'without their secrets');

$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, 'restored' ], 'it can be restored');
$node->safe_psql('postgres', 'CREATE DATABASE cloned TEMPLATE restored');
is($node->safe_psql('restored', 'SELECT count(*) FROM fortress.totp_enrolments'), '3', 'the enrolments are there');
like((attempt('regress_ann', "SELECT fortress.unlock_totp('" . code('regress_ann') . "')", $_))[1], qr/another cluster or database/,
	"but are no good in another database ($_)")
  foreach 'restored', 'cloned';

my $other = PostgreSQL::Test::Cluster->new('other');
$other->init;
$other->append_conf('postgresql.conf', "shared_preload_libraries = 'fortress_guard'");
$other->start;
$other->safe_psql('postgres', 'CREATE ROLE regress_ann LOGIN; CREATE ROLE regress_bob LOGIN; CREATE ROLE regress_eve LOGIN');
$other->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, 'postgres' ], 'it can be restored in another cluster');
$other->safe_psql('postgres',
	q{BEGIN; SELECT fortress.unlock(fortress.issue_token(operations => '{admin}'));
	UPDATE fortress.totp SET role_oid = 'regress_ann'::regrole WHERE role_name = 'regress_ann'; COMMIT});
like((attempt('regress_ann', "SELECT fortress.unlock_totp('" . code('regress_ann') . "')", 'postgres', $other))[1],
	qr/another cluster or database/, 'and no good there, also with the role put right');
$other->stop;

# Failover

$node->backup('before');
enroll($_) foreach 'regress_ann', 'regress_bob';
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'before', has_streaming => 1);
$standby->start;
early_in_step(20);
$code = code('regress_ann');
is((attempt('regress_ann', change($code)))[0], '', 'a code is used on the primary');
attempt('regress_bob', "SELECT fortress.unlock_totp('" . wrong('regress_bob') . "')") foreach 1 .. 5;
$node->wait_for_catchup($standby);
is((attempt('regress_ann', "SELECT fortress.unlock_totp('" . code('regress_ann', 30) . "')", 'postgres', $standby))[0],
	'25006', 'a standby takes none');
$node->stop('immediate');
$standby->promote;
is((attempt('regress_ann', change($code), 'postgres', $standby))[0], 'ZG009', 'the code does not work again on the promoted standby');
is((attempt('regress_ann', change(code('regress_ann', 30)), 'postgres', $standby))[0], '',
	'the next one does, though the role was enrolled after the standby was made');
like((attempt('regress_bob', change(code('regress_bob')), 'postgres', $standby))[1], qr/no code is taken until/, 'and the lock-out holds there');

# Without the preload

$standby->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$standby->restart;
is((attempt('regress_ann', "SELECT fortress.unlock_totp('" . code('regress_ann') . "')", 'postgres', $standby))[0], '55000',
	'without the preload no code is taken');
is((attempt($standby->safe_psql('postgres', 'SELECT current_user'), "SELECT fortress.enroll_totp('regress_ann')", 'postgres', $standby))[0],
	'55000', 'and nobody is enrolled');
$standby->stop;

done_testing();
