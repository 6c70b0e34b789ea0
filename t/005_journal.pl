# The journal and the audit log when things go wrong: no room, no directory, a
# table that takes nothing in, damaged files, and somebody who tampers.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $node = PostgreSQL::Test::Cluster->new('journal');
$node->init(extra => [ '--wal-segsize=1' ]);
$node->append_conf(
	'postgresql.conf', q{
shared_preload_libraries = 'fortress_guard'
log_statement = none
log_line_prefix = '%m [%p] '
autovacuum = off
max_wal_size = 2MB
min_wal_size = 2MB
statement_timeout = 120s
fortress.audit_query_length = 16kB
});

my $auditor = q{backend_type = 'fortress_guard auditor'};

# Starts the server, whose processes can write no file beyond so many
# kilobytes (0: no limit).
sub start_server
{
	my ($limit) = @_;

	return $node->start if $limit == 0;
	# sh counts in blocks of 512 bytes
	my $blocks = $limit * 2;
	is( PostgreSQL::Test::Utils::system_log(
			'sh', '-c', "ulimit -f $blocks && exec pg_ctl -w -D '" . $node->data_dir . "' -l '" . $node->logfile . "' start"),
		0, 'the server starts where no file can have more than ' . $limit . ' kB');
	$node->_update_pid(1);
	return;
}

# Runs SQL on a connection of its own, on and on after errors; returns what it
# printed, and the SQLSTATEs of its errors.
sub attempt
{
	my ($context, $sql, %more) = @_;
	local $ENV{PGOPTIONS} = "-c fortress.context=$context";
	my ($status, $out, $err) = $node->psql(
		'postgres', "\\set VERBOSITY sqlstate\n$sql",
		on_error_stop => 0, extra_params => [ '-U', $more{role} // 'postgres' ]);
	my @codes = $err =~ /(?:ERROR|FATAL):  ([0-9A-Z]{5})/g;
	return ($out, "@codes");
}

# Without the guard in the way: what somebody can do who gets past it.
sub switch_guard
{
	my ($state) = @_;

	$node->append_conf('postgresql.conf', "fortress.enabled = $state");
	$node->reload;
	$node->poll_query_until('postgres', 'SHOW fortress.enabled', $state) or die "the guard is not $state";
	# each session is warned that it is off
	$ENV{PGOPTIONS} = $state eq 'off' ? '-c client_min_messages=error' : '';
	return;
}

sub tampering
{
	my ($database, $sql) = @_;

	switch_guard('off');
	my ($status, $out, $err) = $node->psql($database, $sql);
	switch_guard('on');
	return "$err$out";
}

sub verified
{
	return $node->safe_psql('postgres', 'SELECT ok, first_bad FROM fortress.verify_audit()');
}

sub logged
{
	my ($query) = @_;
	verified();
	return $node->safe_psql('postgres', $query);
}

sub events_of
{
	my ($context, $columns) = @_;
	$columns //= 'event';
	return logged("SELECT $columns FROM fortress.audit_log WHERE detail ->> 'context' = '$context' AND event <> 'unrecorded' ORDER BY id");
}

my $locker;

sub hold_back
{
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

sub auditor_leaves
{
	my ($why) = @_;
	ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE $auditor"), $why);
	return;
}

# So many refusals, of statements of so many bytes that can't be compressed.
# The server's log, a file too, does not have the statements.
my $n_refused = 0;

sub refuse
{
	my ($times, $bytes) = @_;
	my $text = join '', map { chr(97 + int(rand(26))) } (1 .. $bytes);
	my ($out, $codes) = attempt('refused',
		"SET log_min_error_statement = panic;\n" . ("DELETE FROM t WHERE '$text' <> '';\n" x $times));
	is(scalar(grep { $_ eq 'ZG003' } split / /, $codes), $times, "$times statements are refused");
	$n_refused += $times;
	return;
}

# How many of them are in the log, and how many events are said to be missing.
my $n_recorded = q{SELECT count(*) FROM fortress.audit_log WHERE detail ->> 'context' = 'refused' AND event <> 'unrecorded'};
my $n_missing = q{SELECT coalesce(sum(substring(detail ->> 'message' from '^\d+')::int), 0) FROM fortress.audit_log WHERE event = 'unrecorded'};

start_server(4096);
$node->safe_psql(
	'postgres', q{
	CREATE EXTENSION fortress_guard;
	CREATE ROLE regress_cleaner LOGIN;
	CREATE TABLE t (id int PRIMARY KEY);
	CREATE TABLE seen (id int PRIMARY KEY);
	INSERT INTO t SELECT generate_series(1, 100);
	INSERT INTO seen SELECT generate_series(1, 100);
	GRANT ALL ON t TO regress_cleaner;
	SELECT fortress.protect('t', delete_rows => 10);
	SELECT fortress.protect('seen', 'audit', delete_rows => 10);
	SELECT fortress.exempt('regress_cleaner', 't');
});
my $oid = $node->safe_psql('postgres', 'SELECT oid FROM pg_database WHERE datname = current_database()');
my $directory = $node->data_dir . '/pg_fortress';
my $file = "$directory/$oid.journal";

# What holds while nothing can be recorded.  Seven events are lost by it.
sub nothing_recorded
{
	my ($context) = @_;

	is((attempt($context, 'DELETE FROM t;'))[1], 'ZG003', 'a refusal is one');
	is((attempt($context, 'DELETE FROM t WHERE id > 0;'))[1], 'ZG001', 'whatever the reason');
	is((attempt($context, 'BEGIN; DELETE FROM t; ROLLBACK; TRUNCATE t;'))[1], 'ZG003 ZG004', 'and the operation');
	my ($out, $codes) = attempt($context, 'BEGIN; DELETE FROM t WHERE id <= 50; COMMIT; SELECT count(*) FROM t;', role => 'regress_cleaner');
	is("$codes $out", 'ZG013 100', 'what is permitted fails at its commit, and nothing is gone');
	is((attempt($context, q{SELECT fortress.set_limit('t', 'delete', 1000);}))[1], 'ZG013', 'so does a change of the policy');
	is((attempt($context, 'DELETE FROM t WHERE id > 0;'))[1], 'ZG001', 'which is not made');
	is((attempt($context, 'DELETE FROM t WHERE id > 95; INSERT INTO t SELECT generate_series(96, 100);'))[1], '', 'what is within limits passes');
	return;
}

#
# No room for the journal
#

hold_back();
my $position = -s $node->logfile;
refuse(600, 8000);
refuse(40, 1);
cmp_ok(-s $file, '<=', 4096 * 1024, 'the journal is as long as it can be');
ok($node->log_contains(qr/LOG:  could not write file "pg_fortress\/$oid.journal"/, $position), 'the server log says why no more is recorded');
ok($node->log_contains(qr/LOG:  could not record \d+ events in the audit journal of database $oid/, $position), 'and that it is not');
nothing_recorded('full');
is((attempt('full_observed', 'DELETE FROM seen WHERE id <= 20;'))[1], '', 'what is observed passes');
is($node->safe_psql('postgres', 'SELECT count(*) FROM seen'), '80', 'and is done');
let_go();
verified();
is((attempt('again', 'DELETE FROM t;'))[1], 'ZG003', 'when there is room again');
is(events_of('again'), 'blocked', 'events are recorded');
my $recorded = $node->safe_psql('postgres', $n_recorded);
cmp_ok($recorded, '>', 300, 'what was written before is in the log');
# a short one may have found room
my $in_between = $node->safe_psql('postgres', q{SELECT count(*) FROM fortress.audit_log WHERE detail ->> 'context' LIKE 'full%' AND event <> 'unrecorded'});
is($node->safe_psql('postgres', $n_missing), $n_refused + 8 - $recorded - $in_between, 'and how many are missing');
is((attempt('again_permitted', 'DELETE FROM t WHERE id <= 20; INSERT INTO t SELECT generate_series(1, 20)', role => 'regress_cleaner'))[1],
	'', 'what is permitted passes');
is(events_of('again_permitted', 'event, rows'), 'permitted|20', 'with its event');
is(verified(), 't|', 'the chain is unbroken');

#
# No journal at all
#

my $missing = $node->safe_psql('postgres', $n_missing);
unlink $file or die;
chmod 0500, $directory or die;
nothing_recorded('no_file');
chmod 0700, $directory or die;
is((attempt('new_file', 'DELETE FROM t;'))[1], 'ZG003', 'when a file can be made again');
is(events_of('new_file'), 'blocked', 'events are recorded');
is(logged($n_missing), $missing + 7, 'and how many are missing');
is(verified(), 't|', 'the chain is unbroken');

#
# No room for the table: the journal keeps everything
#

$position = -s $node->logfile;
my $before = $node->safe_psql('postgres', $n_recorded) - $n_refused;
refuse(400, 8000);
$node->wait_for_log(qr/ERROR:  could not extend file/, $position);
refuse(10, 1);
cmp_ok($node->safe_psql('postgres', $n_recorded) - $n_refused, '<', $before, 'the table has no room for all of it');
$node->stop('fast');
cmp_ok(-s $_, '<=', 4096 * 1024, 'the limit was kept') foreach glob("$directory/*");
start_server(0);
is(logged($n_recorded) - $n_refused, $before, 'where it has, nothing is missing');
is(verified(), 't|', 'the chain is unbroken');

#
# A table that somebody has altered: so, too
#

$position = -s $node->logfile;
is(tampering('postgres', 'ALTER TABLE fortress.audit_log ALTER query TYPE varchar'), '', 'the table is altered');
refuse(10, 1);
$node->wait_for_log(qr/ERROR:  table "fortress.audit_log" is not as the extension made it/, $position);
is($node->safe_psql('postgres', $n_recorded) - $n_refused, $before - 10, 'an altered table takes nothing in');
is(tampering('postgres', 'ALTER TABLE fortress.audit_log ALTER query TYPE text'), '', 'and mended');
is(logged($n_recorded) - $n_refused, $before, 'a mended one takes all');
is(verified(), 't|', 'the chain is unbroken');

#
# Where the journal is too long, refusals of a kind are counted into one event
#

$node->append_conf('postgresql.conf', 'fortress.journal_max_size = 1MB');
$node->reload;
ok($node->poll_query_until('postgres', q{SELECT current_setting('fortress.journal_max_size') = '1MB'}), 'the journal is to have 1 MB');
hold_back();
$node->safe_psql(
	'postgres', q{
	SET fortress.context = 'same';
	SET log_min_messages = panic;
	DO $$
	BEGIN
		FOR i IN 1 .. 6000 LOOP
			BEGIN
				IF i % 10 = 0 THEN UPDATE t SET id = 1; ELSE DELETE FROM t; END IF;
			EXCEPTION WHEN SQLSTATE 'ZG003' THEN NULL;
			END;
		END LOOP;
	END $$});
cmp_ok(-s $file, '<', 1.5 * 1024 * 1024, 'it is not much longer');
let_go();
is(logged(q{
		SELECT operation, sum(coalesce((detail ->> 'times')::bigint, 1)), count(*) BETWEEN 2 AND 5000, count(*) FILTER (WHERE detail ? 'times')
		FROM fortress.audit_log WHERE detail ->> 'context' = 'same' GROUP BY 1 ORDER BY 1}),
	"delete|5400|t|1\nupdate|600|t|1", 'no refusal of 6000 is missing');
is($node->safe_psql('postgres', q{SELECT sum(blocked) >= 6000 FROM fortress.offenders}), 't', 'views know how many they are');
is(verified(), 't|', 'the chain is unbroken');
# what follows is of another kind
refuse(1, 1);
is(logged($n_recorded) - $n_refused, $before, 'after that each is an event of its own again');

#
# Damaged files
#

# Where the records of a journal are: offset, length and number of each.
sub records_of
{
	my ($bytes) = @_;
	my @records;
	my $magic;

	for (my $offset = 512; $offset + 64 <= length($bytes);)
	{
		my ($mark, $crc, $length, $payload_crc, $number) = unpack('L4 Q', substr($bytes, $offset, 24));
		$magic = $mark if !defined $magic;
		last if $mark == 0 || $mark != $magic;
		push @records, { offset => $offset, length => $length, number => $number };
		$offset += int((64 + $length + 63) / 64) * 64;
	}
	return @records;
}

sub flip
{
	my ($bytes, $offset) = @_;
	substr($bytes, $offset, 1) = chr(ord(substr($bytes, $offset, 1)) ^ 4);
	return $bytes;
}

sub write_file
{
	my ($path, $bytes) = @_;
	open my $handle, '>:raw', $path or die "$path: $!";
	print $handle $bytes;
	close $handle or die;
	return;
}

my $unreadable = sub { "record $_[0] of the journal could not be read" };
my $kept = 0;

# Each case: its name; what is done to the bytes of a journal with six records;
# which of these are in the log afterwards; which numbers are reported as
# damage; what the server log says; whether the file is kept.
my @cases = (
	[ 'no damage', sub { $_[0] }, '1 2 3 4 5 6', '', undef, 0 ],
	[ 'garbage at the end', sub { $_[0] . join('', map { chr(int(rand(256))) } (1 .. 5000)) }, '1 2 3 4 5 6', '', qr/hold no record/, 1 ],
	[ 'zeroes at the end', sub { $_[0] . "\0" x 100_000 }, '1 2 3 4 5 6', '', undef, 0 ],
	[ 'a header cut off after a byte', sub { substr($_[0], 0, $_[6]->{offset} + 1) }, '1 2 3 4 5', '', qr/hold no record/, 1 ],
	[ 'a header cut off before its end', sub { substr($_[0], 0, $_[6]->{offset} + 63) }, '1 2 3 4 5', '', qr/hold no record/, 1 ],
	[ 'a record cut off behind its header', sub { substr($_[0], 0, $_[6]->{offset} + 64) }, '1 2 3 4 5', '', qr/is incomplete/, undef ],
	[ 'a record cut off before its end', sub { substr($_[0], 0, $_[6]->{offset} + 63 + $_[6]->{length}) }, '1 2 3 4 5', '', qr/is incomplete/, undef ],
	[ 'a bit of a record', sub { flip($_[0], $_[3]->{offset} + 100) }, '1 2 4 5 6', '3', undef, 1 ],
	[ 'a bit of a header', sub { flip($_[0], $_[3]->{offset} + 16) }, '1 2 4 5 6', '3', undef, 1 ],
	[ 'a bit of a length', sub { flip($_[0], $_[3]->{offset} + 11) }, '1 2 4 5 6', '3', undef, 1 ],
	[ 'a bit of the first header', sub { flip($_[0], $_[1]->{offset} + 1) }, '2 3 4 5 6', '1', undef, 1 ],
	[ 'a bit of the last header', sub { flip($_[0], $_[6]->{offset} + 1) }, '1 2 3 4 5', '', qr/hold no record/, 1 ],
	[ 'bits of two records', sub { flip(flip($_[0], $_[2]->{offset} + 80), $_[5]->{offset} + 8) }, '1 3 4 6', '2 5', undef, 1 ],
	[ 'three records are zeroes', sub { my $bytes = $_[0]; my $from = $_[2]->{offset}; my $n = $_[5]->{offset} - $from;
			substr($bytes, $from, $n) = "\0" x $n; $bytes }, '1 5 6', '2-4', undef, 1 ],
	[ 'a bit of the header of the file', sub { flip($_[0], 40) }, '1 2 3 4 5 6', '', undef, undef ],
	[ 'the header of the file is zeroes', sub { "\0" x 512 . substr($_[0], 512) }, '1 2 3 4 5 6', '', undef, undef ],
	[ 'all of it is garbage', sub { join('', map { chr(int(rand(256))) } (1 .. length($_[0]))) }, '', '', qr/hold no record/, 1 ],
	[ 'a short file', sub { substr($_[0], 0, 100) }, '', '', undef, undef ],
	[ 'an empty file', sub { '' }, '', '', undef, undef ]);

foreach my $i (0 .. $#cases)
{
	my ($name, $damage, $there, $reported, $says, $keeps) = @{ $cases[$i] };

	verified();
	my $last = $node->safe_psql('postgres', 'SELECT max(id) FROM fortress.audit_log');
	hold_back();
	attempt("case", join('', map { "SET fortress.context = 'case $i-$_'; DELETE FROM t;\n" } (1 .. 6)));
	$node->stop('immediate');
	eval { $locker->quit; };

	my $bytes = slurp_file($file);
	my @records = records_of($bytes);
	is(scalar(@records), 6, "$name: six records are in the journal");
	write_file($file, $damage->($bytes, @records));
	$position = -s $node->logfile;
	$node->start;

	my $n_there = split / /, $there;
	ok( $node->poll_query_until('postgres', "SELECT count(*) = $n_there FROM fortress.audit_log WHERE id > $last AND detail ->> 'context' LIKE 'case $i-%'"),
		'it is read without being asked for');
	is(verified(), 't|', 'the chain is unbroken');
	is( $node->safe_psql('postgres', "SELECT string_agg(substring(detail ->> 'context' from '^case $i-(.*)'), ' ' ORDER BY id) FROM fortress.audit_log WHERE id > $last"),
		$there, 'all that can be read is in the log, once');
	my @numbers = map { $_->{number} } @records;
	my $messages = join("\n", map {
			/^(.)-(.)$/ ? "records $numbers[$1 - 1] to $numbers[$2 - 1] of the journal could not be read"
			  : "record $numbers[$_ - 1] of the journal could not be read" } split(/ /, $reported));
	is($node->safe_psql('postgres', "SELECT detail ->> 'message' FROM fortress.audit_log WHERE event = 'tamper' AND id > $last ORDER BY id"),
		$messages, 'and what can not is told');
	ok($node->log_contains($says, $position), 'also in the server log') if defined $says;
	attempt("after_$i", 'DELETE FROM t;');
	is(events_of("after_$i"), 'blocked', 'later events are recorded');
	auditor_leaves('the auditor finds an end');
	my @left = glob("$directory/$oid.journal?*");
	is(scalar(grep { !/\.damaged$/ } @left), 0, 'no file is left to be read again');
	is(@left - $kept, $keeps, $keeps ? 'but it is kept for people' : 'nor kept') if defined $keeps;
	$kept = @left;
}

# while the server runs

my $last = logged('SELECT max(id) FROM fortress.audit_log');
hold_back();
attempt('running', join('', map { "SET fortress.context = 'running-$_'; DELETE FROM t;\n" } (1 .. 6)));
my $bytes = slurp_file($file);
my @records = records_of($bytes);
write_file($file, flip(flip($bytes, $records[1]->{offset} + 70), $records[5]->{offset} + 4));
let_go();
is(verified(), 't|', 'a file that is damaged while the server runs: the chain is unbroken');
is(logged("SELECT string_agg(right(detail ->> 'context', 1), ' ' ORDER BY id) FROM fortress.audit_log WHERE id > $last AND event = 'blocked'"),
	'1 3 4 5', 'what can be read is in the log');
is(logged("SELECT string_agg(substring(detail ->> 'message' from '^records? (\\d+) '), ' ' ORDER BY id) FROM fortress.audit_log WHERE id > $last AND event = 'tamper'"),
	"$records[1]->{number} $records[5]->{number}", 'and what can not is told');
attempt('running_after', 'DELETE FROM t;');
is(events_of('running_after'), 'blocked', 'later events are recorded');
auditor_leaves('the auditor finds an end');

#
# Somebody tampers with the table, with all rights that there are
#

$node->safe_psql('postgres', 'CREATE DATABASE tampered');

sub in_tampered
{
	my ($sql) = @_;
	return $node->safe_psql('tampered', $sql);
}

# The log that is tampered with: 12 events.  And the formula of the chain, which
# is no secret.
in_tampered(
	q{
	CREATE EXTENSION fortress_guard;
	CREATE TABLE t (id int);
	INSERT INTO t SELECT generate_series(1, 50);
	CREATE TABLE other (id int);
	SELECT fortress.protect('t', delete_rows => 10);
	SELECT fortress.protect('other', 'audit', archive => 'none');
	DO $$BEGIN FOR i IN 1 .. 9 LOOP BEGIN DELETE FROM t WHERE id > 0; EXCEPTION WHEN OTHERS THEN NULL; END; END LOOP; END$$;
	DELETE FROM other;
	CREATE FUNCTION put(text) RETURNS bytea LANGUAGE sql AS
		$$SELECT coalesce(int4send(octet_length(convert_to($1, 'UTF8'))) || convert_to($1, 'UTF8'), '\xffffffff')$$;
	CREATE FUNCTION link(a fortress.audit_log, previous bytea) RETURNS bytea LANGUAGE sql AS
	$$
		SELECT sha256(previous || int8send(a.id) || int8send(coalesce(a.journal, 0)) || int8send(coalesce(a.number, 0))
			|| int8send((extract(epoch FROM a.at) * 1000000)::bigint - 946684800000000)
			|| int8send(coalesce(a.rows, -1)) || int8send(coalesce(a.max_rows, -1)) || int4send(a.pid)
			|| int8send(coalesce(a.xid::text::bigint, 0)) || '\x00'
			|| put(a.event) || put(a.operation) || put(a.session_role) || put(a.actual_role)
			|| put(a.application_name) || put(a.query) || put(a.detail::text))
	$$;
	-- computes all hashes anew, from a row on
	CREATE FUNCTION chain_anew(from_id bigint) RETURNS void LANGUAGE plpgsql AS
	$$
	DECLARE
		a fortress.audit_log;
		previous bytea := coalesce((SELECT hash FROM fortress.audit_log WHERE id = from_id - 1),
			decode(repeat('00', 32), 'hex'));
	BEGIN
		FOR a IN SELECT * FROM fortress.audit_log WHERE id >= from_id ORDER BY id LOOP
			previous := link(a, previous);
			UPDATE fortress.audit_log SET hash = previous WHERE id = a.id;
		END LOOP;
	END
	$$;
	-- appends a row with the right hash, made of the last one
	CREATE FUNCTION forge(new_event text, new_detail jsonb) RETURNS void LANGUAGE plpgsql AS
	$$
	DECLARE
		a fortress.audit_log := (SELECT l FROM fortress.audit_log l ORDER BY id DESC LIMIT 1);
	BEGIN
		a.id := a.id + 1;
		a.event := new_event;
		a.number := a.number + 1;
		IF new_detail IS NOT NULL THEN
			a.detail := new_detail;
			a.relation := NULL;
		END IF;
		a.hash := link(a, a.hash);
		INSERT INTO fortress.audit_log SELECT (a).*;
	END
	$$;
});
my $check = 'SELECT ok, first_bad FROM fortress.verify_audit()';
is(in_tampered($check), 't|', 'a log that nobody has tampered with');
is(in_tampered('SELECT count(*), max(id), count(DISTINCT event) FROM fortress.audit_log'), '12|12|3', 'has its events');
is( in_tampered("SELECT count(*) FROM fortress.audit_log a LEFT JOIN fortress.audit_log p ON p.id = a.id - 1 WHERE a.hash <> link(a, coalesce(p.hash, decode(repeat('00', 32), 'hex')))"),
	'0', 'whose hashes are made by the known formula');

# A row as it is, but for some of its columns.
sub changed_row
{
	my ($id, %changed) = @_;
	my @columns = qw(id at event operation relation rows max_rows session_role actual_role client_addr application_name pid xid query detail hash journal number);
	return 'SELECT ' . join(', ', map { $changed{$_} // $_ } @columns) . " FROM fortress.audit_log WHERE id = $id";
}

my $insert = 'INSERT INTO fortress.audit_log';
my $zeroes = q{decode(repeat('00', 32), 'hex')};
my $copied = "$directory/../copied";
my $update = 'UPDATE fortress.audit_log SET';

switch_guard('off');
foreach my $case (
	# each column, of a row in the middle
	[ "$update id = 100 WHERE id = 5", 5 ],
	[ "$update at = at + interval '1 microsecond' WHERE id = 5", 5 ],
	[ "$update event = 'observed' WHERE id = 5", 5 ],
	[ "$update operation = NULL WHERE id = 5", 5 ],
	[ "$update operation = 'update' WHERE id = 5", 5 ],
	[ "$update relation = 'other'::regclass WHERE id = 5", 5 ],
	[ "$update relation = NULL WHERE id = 5", 5 ],
	[ "$update rows = rows - 1 WHERE id = 5", 5 ],
	[ "$update rows = NULL WHERE id = 5", 5 ],
	[ "$update max_rows = 1000 WHERE id = 5", 5 ],
	[ "$update session_role = 'somebody' WHERE id = 5", 5 ],
	[ "$update session_role = NULL WHERE id = 5", 5 ],
	[ "$update actual_role = 'somebody' WHERE id = 5", 5 ],
	[ "$update client_addr = '10.0.0.1' WHERE id = 5", 5 ],
	[ "$update application_name = 'backup' WHERE id = 5", 5 ],
	[ "$update pid = pid + 1 WHERE id = 5", 5 ],
	[ "$update xid = '1234' WHERE id = 5", 5 ],
	[ "$update query = 'SELECT 1' WHERE id = 5", 5 ],
	[ "$update query = NULL WHERE id = 5", 5 ],
	[ "$update detail = detail || '{\"times\": 2}' WHERE id = 5", 5 ],
	[ "$update detail = '{}' WHERE id = 5", 5 ],
	[ "$update hash = sha256('') WHERE id = 5", 5 ],
	[ "$update hash = '' WHERE id = 5", 5 ],
	[ "$update journal = journal + 1 WHERE id = 5", 5 ],
	[ "$update number = 1000 WHERE id = 5", 5 ],
	[ "$update journal = NULL, number = NULL WHERE id = 5", 5 ],
	# the first row and the last, and all
	[ "$update pid = 0 WHERE id = 1", 1 ],
	[ "$update pid = 0 WHERE id = 12", 12 ],
	[ "$update pid = 0 WHERE id IN (4, 9)", 4 ],
	[ "$update query = 'x'", 1 ],
	# what moves from one column to the next
	[ "$update query = left(query, -1), application_name = application_name || right(query, 1) WHERE id = 5", 5 ],
	[ "$update session_role = actual_role || 'x', actual_role = session_role WHERE id = 5", 5 ],
	# removed
	[ 'DELETE FROM fortress.audit_log WHERE id = 1', 1 ],
	[ 'DELETE FROM fortress.audit_log WHERE id = 5', 5 ],
	[ 'DELETE FROM fortress.audit_log WHERE id BETWEEN 5 AND 7', 5 ],
	[ 'DELETE FROM fortress.audit_log WHERE id < 5', 4 ],
	[ 'DELETE FROM fortress.audit_log WHERE id = 12', 12 ],
	[ 'DELETE FROM fortress.audit_log WHERE id > 9', 10 ],
	[ 'DELETE FROM fortress.audit_log', 1 ],
	[ 'TRUNCATE fortress.audit_log', 1 ],
	# put in
	[ "$insert " . changed_row(5, id => 0, journal => 'NULL'), 0, 'a copy of a row, with id 0' ],
	[ "$insert " . changed_row(5, id => 0, journal => 'NULL', hash => $zeroes), 0, 'the same with a hash on which the first row can stand' ],
	[ "$insert " . changed_row(5, id => -1, journal => 'NULL'), -1, 'with a negative id' ],
	[ "$insert " . changed_row(5, id => 13, journal => 'NULL'), 13, 'behind the last row' ],
	[ "$insert " . changed_row(5, id => 9223372036854775807, journal => 'NULL'), 13, 'far behind the last row' ],
	[ "$update id = -id WHERE id > 5; $update id = 1 - id WHERE id < 0; $insert " . changed_row(5, id => 6, journal => 'NULL'), 6, 'between two rows' ],
	[ 'COPY (' . changed_row(5, id => 13, journal => 'NULL') . ") TO '$copied'; COPY fortress.audit_log FROM '$copied'", 13, 'with COPY' ],
	# exchanged
	[ "$update id = 100 WHERE id = 5; $update id = 5 WHERE id = 6; $update id = 6 WHERE id = 100", 5 ],
	[ "$update number = NULL; $update (at, query, detail, number) = (SELECT o.at, o.query, o.detail, o.number FROM fortress.audit_log o WHERE o.id = 6) WHERE fortress.audit_log.id = 5", 1 ],
	# by who is not to be seen
	[ "SET LOCAL session_replication_role = replica; $update pid = 0 WHERE id = 5", 5 ],
	# with new hashes: the end is not the one that was written
	[ "$update pid = 1 WHERE id = 5; SELECT chain_anew(5)", 12 ],
	[ "DELETE FROM fortress.audit_log WHERE id = 5; $update id = -id WHERE id > 5; $update id = -id - 1 WHERE id < 0; SELECT chain_anew(5)", 12 ],
	[ "DELETE FROM fortress.audit_log WHERE id = 12; SELECT forge('blocked', NULL)", 12 ],
	[ "SELECT forge('blocked', NULL)", 13 ],
	[ "SELECT forge('blocked', NULL); SELECT forge('blocked', NULL)", 13 ],
	# as if retention had done it
	[ q{SELECT forge('audit_expired', jsonb_build_object('message', 'x', 'first', 1, 'last', 4, 'hash', encode((SELECT hash FROM fortress.audit_log WHERE id = 4), 'hex'))); DELETE FROM fortress.audit_log WHERE id <= 4}, 13 ],
	[ q{DELETE FROM fortress.audit_log WHERE id <= 4; UPDATE fortress.audit_log SET event = 'audit_expired', detail = detail || jsonb_build_object('last', 4, 'hash', repeat('0', 64)) WHERE id = 7}, 4 ])
{
	my ($sql, $first_bad, $name) = @$case;
	if (!defined $name)
	{
		($name = $sql) =~ s/fortress\.audit_log/audit_log/g;
	}
	my ($status, $out, $err) = $node->psql('tampered', "BEGIN; $sql; $check; ROLLBACK; $check;", on_error_stop => 1);
	$out =~ s/^\s+//;
	is("$err$out", "f|$first_bad\nt|", $name);
}
switch_guard('on');


# what is committed shows too, and its undoing; new events make no difference

my $again = 'DO $$BEGIN DELETE FROM t WHERE id > 0; EXCEPTION WHEN OTHERS THEN NULL; END$$';
is(tampering('tampered', "$update pid = pid + 1 WHERE id = 12"), '', 'a row is changed');
in_tampered($again);
is(in_tampered($check), 'f|12', 'a changed row is found after others have been recorded');
is(tampering('tampered', "$update pid = pid - 1 WHERE id = 12"), '', 'and changed back');
is(in_tampered($check), 't|', 'and when it is as it was there is nothing to be found');
my $end = in_tampered('SELECT max(id) FROM fortress.audit_log');
is($end, 13, 'the log has gone on');
is(tampering('tampered', 'CREATE TABLE saved AS SELECT * FROM fortress.audit_log WHERE id >= 12; DELETE FROM fortress.audit_log WHERE id >= 12'),
	'', 'rows are removed');
in_tampered($again);
is(in_tampered($check), 'f|12', 'so with rows that were removed from its end');
is(in_tampered('SELECT id, event FROM fortress.audit_log WHERE id > 11 ORDER BY id'), "14|tamper\n15|blocked", 'of which an event tells');
is(tampering('tampered', "$insert SELECT * FROM saved"), '', 'and put back');
is(in_tampered($check), 't|', 'until they are back');
is(tampering('tampered', "SELECT forge('blocked', NULL)"), '', 'a row is forged');
in_tampered($again);
like(in_tampered($check), qr/^f\|1[67]$/, 'and with rows that were put there');
is(in_tampered(q{SELECT event, detail ->> 'message' FROM fortress.audit_log WHERE id = 17}),
	'tamper|rows were put into fortress.audit_log behind event 15', 'of which an event tells, too');


# Ways to bring the auditor to remove, skip or stop

$node->safe_psql('postgres', 'CREATE DATABASE attacked');
sub in_attacked { my ($status, $out, $err) = $node->psql('attacked', $_[0]); return "$err$out"; }
my $attempt = 'DO $$BEGIN DELETE FROM t WHERE id > 0; EXCEPTION WHEN OTHERS THEN NULL; END$$';
my $result = 'SELECT ok, first_bad FROM fortress.verify_audit()';
my $blocked = q{SELECT count(*) FROM fortress.audit_log WHERE event = 'blocked'};
in_attacked(q{CREATE EXTENSION fortress_guard; CREATE TABLE t AS SELECT i AS id FROM generate_series(1, 200) i;
	SELECT fortress.protect('t', archive => 'none')});
in_attacked($attempt) for 1 .. 4;
is(in_attacked($result), 't|', 'four attempts are recorded');

is(tampering('attacked', q{UPDATE fortress.audit_log SET at = '2000-01-01' WHERE id <= 3}), '', 'rows are made old');
in_attacked($attempt);
ok( $node->poll_query_until('attacked',
		q{SELECT EXISTS (SELECT FROM fortress.audit_log WHERE event = 'tamper' AND detail ->> 'message' LIKE 'event 1 %is kept')}),
	'retention notices rows whose time was changed');
is(in_attacked('SELECT count(*) FROM fortress.audit_log WHERE id <= 3'), '3', 'and keeps them');
is(in_attacked($result), 'f|1', 'so that they are found');

is(tampering('attacked', q{CREATE INDEX odd ON fortress.audit_log ((detail ->> 'sqlstate'))}), '', 'an index with an expression is made');
$before = in_attacked($blocked);
in_attacked($attempt);
ok($node->poll_query_until('attacked', 'SELECT true'), 'with it the server goes on');
is(tampering('attacked', 'DROP INDEX fortress.odd'), '', 'it is dropped');
in_attacked('SELECT fortress.verify_audit()');
is(in_attacked($blocked), $before + 1, 'and without it the event is taken in');

is( tampering('attacked', q{INSERT INTO fortress.audit_log (id, at, event, detail, hash, journal, number)
	SELECT 1000000 + i, now(), 'x', '{}', '\x00', j.journal, j.number + i
	FROM generate_series(1, 5) i, (SELECT journal, number FROM fortress.audit_log WHERE number IS NOT NULL ORDER BY id DESC LIMIT 1) j}),
	'', 'rows are put in at the places of events to come');
in_attacked($attempt) for 1 .. 3;
in_attacked('SELECT fortress.verify_audit()');
is(in_attacked($blocked), $before + 4, 'which does not keep these out');

switch_guard('off');
foreach my $change (
	['ALTER TABLE fortress.audit_log ENABLE ROW LEVEL SECURITY', 'row security'],
	['CREATE TABLE child () INHERITS (fortress.audit_log)', 'a table that inherits from it'],
	['ALTER TABLE fortress.audit_log RENAME session_role TO x', 'renamed columns'])
{
	like(in_attacked("BEGIN; $change->[0]; $result; ROLLBACK"), qr/audit_log" is not as the extension made it/, "$change->[1] is found");
}
switch_guard('on');
is(tampering('attacked', 'UPDATE fortress.audit_log SET rows = -1 WHERE id = 1; DELETE FROM fortress.audit_log WHERE id = 0'), '', 'a missing value is replaced');
is(in_attacked($result), 'f|1', 'and found');

# The extension goes with all that it has, and its journal with it

$oid = in_attacked(q{SELECT oid FROM pg_database WHERE datname = current_database()});
in_attacked('CREATE TABLE u (id int PRIMARY KEY); SELECT fortress.protect($$u$$);
	BEGIN; SELECT fortress.unlock(fortress.issue_token(operations => ARRAY[$$admin$$])); DROP EXTENSION fortress_guard CASCADE; COMMIT');
is(in_attacked(q{SELECT count(*) FROM pg_extension WHERE extname = 'fortress_guard'}), '0', 'DROP EXTENSION CASCADE drops it with its archives');
is(join(' ', glob($node->data_dir . "/pg_fortress/$oid.journal*")), '', 'and its journal');
like(in_attacked('BEGIN; CREATE EXTENSION fortress_guard; SELECT fortress.unlock(fortress.issue_token(operations => ARRAY[$$admin$$])); DROP EXTENSION fortress_guard; PREPARE TRANSACTION $$fg$$'),
	qr/cannot PREPARE a transaction that has dropped extension fortress_guard|prepared transactions are disabled/, 'it is not dropped in two phases');

$node->stop;
done_testing();
