# The audit log: every attempt once, whatever happens next; alerts, digests,
# retention, secrets and rights; and that the auditor is in nobody's way.

use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $node = PostgreSQL::Test::Cluster->new('witness');
$node->init;
$node->append_conf(
	'postgresql.conf', q{
shared_preload_libraries = 'fortress_guard'
max_prepared_transactions = 10
max_connections = 50
restart_after_crash = on
log_statement = none
log_line_prefix = '%m [%p] '
autovacuum = off
});
$node->start;

my $auditor = q{backend_type = 'fortress_guard auditor'};

# Runs SQL on a connection of its own, on and on after errors.  Its events have
# this context.  Returns what it printed, and the SQLSTATEs of its errors.
sub attempt
{
	my ($context, $sql, %more) = @_;
	local $ENV{PGOPTIONS} = "-c fortress.context=$context";
	my ($status, $out, $err) = $node->psql(
		$more{database} // 'postgres', "\\set VERBOSITY sqlstate\n$sql",
		on_error_stop => 0, extra_params => [ '-U', $more{role} // 'postgres' ]);
	my @codes = $err =~ /(?:ERROR|FATAL):  ([0-9A-Z]{5})/g;
	return ($out, "@codes");
}

# Is the chain unbroken?  Waits until all that was recorded is in the table.
sub verified
{
	my ($database) = @_;
	return $node->safe_psql($database // 'postgres', 'SELECT ok FROM fortress.verify_audit()');
}

# A query on the audit log with all that was recorded.
sub logged
{
	my ($query, $database) = @_;
	verified($database);
	return $node->safe_psql($database // 'postgres', $query);
}

sub events_of
{
	my ($context, $columns) = @_;
	$columns //= 'event, operation';
	return logged("SELECT $columns FROM fortress.audit_log WHERE detail ->> 'context' = '$context' ORDER BY id");
}

# Ids are without gaps, and no place of the journal is there twice.
my $in_order = q{SELECT count(*) = max(id) - min(id) + 1 AND count(DISTINCT (journal, number)) FILTER (WHERE number IS NOT NULL) = count(number) FROM fortress.audit_log};

# Keeps the auditor from its work until let_go(), so that events stay in the journal.
my $locker;

sub hold_back
{
	my ($database) = @_;
	$locker = $node->background_psql($database // 'postgres');
	$locker->query_safe('BEGIN; LOCK TABLE fortress.audit_log IN ACCESS EXCLUSIVE MODE');
	return;
}

sub let_go
{
	$locker->query_safe('COMMIT');
	$locker->quit;
	return;
}

$node->safe_psql(
	'postgres', q{
	CREATE EXTENSION fortress_guard;
	CREATE TABLE flood (id int PRIMARY KEY, v text);
	INSERT INTO flood SELECT i, 'v' FROM generate_series(1, 100) i;
	SELECT fortress.protect('flood', delete_rows => 10);
});

#
# 20,000 refusals in eight sessions, while backends are killed, the auditor is
# ended and the server is stopped at once
#

my $n_sessions = 8;
my $n_attempts = 20000;
my $dir = PostgreSQL::Test::Utils::tempdir;
my @sessions;

# Goes on with so many more attempts of a session.
sub start_session
{
	my ($session, $more) = @_;
	my $i = $session->{number};
	my @lines = ('\set VERBOSITY sqlstate');

	foreach my $n ($session->{done} + 1 .. $session->{done} + $more)
	{
		push @lines, $n % 2 == 0
		  ? "DELETE FROM flood WHERE 'attempt $i-$n' <> '';"
		  : "DELETE FROM flood WHERE id > 0 AND v <> 'attempt $i-$n';";
	}
	$session->{from} = $session->{done};
	$session->{file} = "$dir/session_$i";
	append_to_file("$session->{file}.sql.new", join("\n", @lines) . "\n");
	rename "$session->{file}.sql.new", "$session->{file}.sql" or die;
	unlink "$session->{file}.err";
	$session->{run} = IPC::Run::start(
		[ 'psql', '-X', '-q', '-d', $node->connstr('postgres'), '-f', "$session->{file}.sql" ],
		'<', \'', '>', "$session->{file}.out", '2>', "$session->{file}.err");
	return;
}

# What a session's client has been told so far: attempts by SQLSTATE, and the
# last one that it has sent.
sub told
{
	my ($session) = @_;
	my %told;
	my $last = $session->{from};

	foreach my $line (split /\n/, slurp_file("$session->{file}.err"))
	{
		next if $line !~ /^psql:[^:]*:(\d+): (?:ERROR:  (\w+))?/;
		my $n = $session->{from} + $1 - 1;
		$last = $n if $n > $last;
		$told{$n} = $2 if defined $2;
	}
	return (\%told, $last);
}

# Returns when so many refusals have been made since all sessions were started.
sub wait_for_refusals
{
	my ($wanted) = @_;

	foreach (1 .. $PostgreSQL::Test::Utils::timeout_default * 20)
	{
		my $n = 0;
		foreach my $session (@sessions)
		{
			my ($told) = told($session);
			$n += keys %$told;
		}
		return 1 if $n >= $wanted;
		usleep(50_000);
	}
	return 0;
}

my (%refused, %unknown, @unexpected);

# Waits for the end of all sessions, and takes down what they were told.
sub finish_sessions
{
	foreach my $session (@sessions)
	{
		$session->{run}->finish;
		my ($told, $last) = told($session);
		foreach my $n ($session->{from} + 1 .. $last)
		{
			my $name = "$session->{number}-$n";
			my $code = $told->{$n};

			if (!defined $code)
			{
				$unknown{$name} = 1;
			}
			elsif ($code eq ($n % 2 == 0 ? 'ZG003' : 'ZG001'))
			{
				$refused{$name} = 1;
			}
			else
			{
				# ended from outside
				$unknown{$name} = 1;
				push @unexpected, $code if $code !~ /^57P0/;
			}
		}
		$session->{done} = $last;
	}
	return;
}

# Many more than they will have the time for, unless said otherwise.
sub start_sessions
{
	my ($more) = @_;
	start_session($_, $more // 10000) foreach @sessions;
	return;
}

# The process id of a running auditor of this database.
sub auditor_pid
{
	my $find = "SELECT pid FROM pg_stat_activity WHERE $auditor AND datname = 'postgres'";
	ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM ($find) a"), 'the auditor works while refusals come in');
	return $node->safe_psql('postgres', $find);
}

@sessions = map { { number => $_, done => 0 } } (1 .. $n_sessions);

start_sessions();
ok(wait_for_refusals(3000), 'eight sessions are refused');
my $victim = $node->safe_psql('postgres',
	q{SELECT pid FROM pg_stat_activity WHERE query LIKE '%attempt 3-%' AND pid <> pg_backend_pid()});
ok(kill('KILL', $victim), 'one of their backends is killed');
finish_sessions();
ok($node->poll_query_until('postgres', 'SELECT true'), 'the server is there again');

start_sessions();
ok(wait_for_refusals(2000), 'they are refused again');
my $pid = auditor_pid();
is($node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)"), 't', 'the auditor is terminated');
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE $auditor AND pid <> $pid"),
	'and another one takes its place');
ok(wait_for_refusals(4000), 'the sessions have not noticed');
$pid = auditor_pid();
ok(kill('KILL', $pid), 'the auditor is killed');
finish_sessions();
ok($node->poll_query_until('postgres', 'SELECT true'), 'the server is there again');

start_sessions();
ok(wait_for_refusals(3000), 'they are refused again');
$node->stop('immediate');
finish_sessions();
$node->start;

# the rest, undisturbed
my $missing = $n_attempts - keys %refused;
start_sessions($missing > 0 ? int($missing / $n_sessions) + 1 : 100);
finish_sessions();

is("@unexpected", '', 'every error was a refusal');
cmp_ok(scalar(keys %refused), '>=', $n_attempts, "$n_attempts attempts were refused");
cmp_ok(scalar(keys %unknown), '>=', 3, 'of some the end is unknown');
cmp_ok(scalar(keys %unknown), '<=', 3 * $n_sessions, 'but at most of one for each session and crash');
is(verified(), 't', 'the chain is unbroken');

my %found;
$found{$_}++ foreach split /\n/, $node->safe_psql('postgres',
	q{SELECT substring(query from '''attempt (\d+-\d+)''') FROM fortress.audit_log WHERE event = 'blocked'});
is(join(' ', grep { !$found{$_} } sort keys %refused), '', 'every refusal that a client was told of is in the log');
is(join(' ', grep { $found{$_} > 1 } sort keys %found), '', 'nothing is there twice');
is(join(' ', grep { !$refused{$_} && !$unknown{$_} } sort keys %found), '', 'and nothing that was not tried');
is($node->safe_psql('postgres', $in_order), 't', 'its ids have no gap');
is( $node->safe_psql('postgres', q{SELECT count(*) FROM fortress.audit_log WHERE event NOT IN ('blocked', 'policy_changed')}),
	'0', 'and the guard itself had nothing to complain of');
is( $node->safe_psql('postgres',
		q{SELECT count(*) FROM (SELECT number - lag(number) OVER (PARTITION BY journal ORDER BY id) AS step FROM fortress.audit_log) s WHERE step <> 1}),
	'0', 'the order is that of the journal');

#
# The auditor comes when there is work, and goes when there is none
#

ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE $auditor"),
	'the auditor leaves when nothing is left to be done');
attempt('comes', 'DELETE FROM flood');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM fortress.audit_log WHERE detail ->> 'context' = 'comes'}),
	'an event finds its way into the table without being asked for');
ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE $auditor"),
	'and the auditor leaves again');

#
# A refusal is one event wherever it happens and whatever becomes of it
#

$node->safe_psql(
	'postgres', q{
	CREATE ROLE regress_definer;
	CREATE TABLE other (id int);
	CREATE TABLE t (id int PRIMARY KEY, parent int, v text);
	CREATE TABLE parent (id int PRIMARY KEY);
	CREATE TABLE cause (id int);
	INSERT INTO cause VALUES (1);
	INSERT INTO parent VALUES (1), (2);
	INSERT INTO t SELECT i, CASE WHEN i <= 50 THEN 1 ELSE 2 END FROM generate_series(1, 53) i;
	ALTER TABLE t ADD FOREIGN KEY (parent) REFERENCES parent ON DELETE CASCADE;
	CREATE VIEW v AS SELECT * FROM t;
	GRANT ALL ON t TO regress_definer;
	SELECT fortress.protect('t', delete_rows => 10);
	SELECT fortress.drop_limit('t', 'delete', '1 hour');
	CREATE FUNCTION in_plpgsql() RETURNS void LANGUAGE plpgsql AS 'BEGIN DELETE FROM t; END';
	CREATE FUNCTION in_sql() RETURNS void LANGUAGE sql AS 'DELETE FROM t WHERE id > 0';
	CREATE FUNCTION as_definer() RETURNS void LANGUAGE sql SECURITY DEFINER AS 'DELETE FROM t WHERE id > 0';
	ALTER FUNCTION as_definer() OWNER TO regress_definer;
	CREATE FUNCTION in_trigger() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN DELETE FROM t; RETURN NULL; END';
	CREATE TRIGGER caused AFTER DELETE ON cause EXECUTE FUNCTION in_trigger();
	CREATE FUNCTION swallows() RETURNS int LANGUAGE plpgsql AS $$
		BEGIN DELETE FROM t; RETURN 0; EXCEPTION WHEN OTHERS THEN RETURN 1; END $$;
	CREATE PROCEDURE commits() LANGUAGE plpgsql AS $$
	BEGIN
		FOR i IN 1 .. 3 LOOP
			PERFORM swallows();
			COMMIT;
		END LOOP;
	END $$;
});

my $block = 'blocked|delete';
foreach my $case (
	[ 'plain', 'DELETE FROM t;', 'ZG003', $block ],
	[ 'over the limit', 'DELETE FROM t WHERE id > 0;', 'ZG001', $block ],
	[ 'update', 'UPDATE t SET v = 1;', 'ZG003', 'blocked|update' ],
	[ 'truncate', 'TRUNCATE t;', 'ZG004', 'blocked|truncate' ],
	[ 'drop', 'DROP TABLE t CASCADE;', 'ZG005', 'blocked|ddl' ],
	[ 'rolled back', 'BEGIN; INSERT INTO other VALUES (1); DELETE FROM t; ROLLBACK;', 'ZG003', $block ],
	[ 'committed in vain', 'BEGIN; DELETE FROM t; COMMIT;', 'ZG003', $block ],
	[ 'after an error', 'BEGIN; DELETE FROM t; DELETE FROM t; ROLLBACK;', 'ZG003 25P02', $block ],
	[ 'savepoints', 'BEGIN; SAVEPOINT a; DELETE FROM t; ROLLBACK TO a; SAVEPOINT b; DELETE FROM t; ROLLBACK TO b; COMMIT;',
		'ZG003 ZG003', "$block\n$block" ],
	[ 'a loop that swallows', q{DO $$BEGIN FOR i IN 1 .. 3 LOOP PERFORM swallows(); END LOOP; END$$;}, '', "$block\n$block\n$block" ],
	[ 'raised again', q{DO $$BEGIN BEGIN BEGIN DELETE FROM t; EXCEPTION WHEN OTHERS THEN RAISE; END; EXCEPTION WHEN OTHERS THEN NULL; END; END$$;},
		'', $block ],
	[ 'plpgsql', 'SELECT in_plpgsql();', 'ZG003', $block ],
	[ 'sql', 'SELECT in_sql();', 'ZG001', $block ],
	[ 'a trigger', 'DELETE FROM cause;', 'ZG003', $block ],
	[ 'a cascade', 'DELETE FROM parent WHERE id = 1;', 'ZG001', $block ],
	[ 'a view', 'DELETE FROM v;', 'ZG003', $block ],
	[ 'a procedure that commits', 'CALL commits();', '', "$block\n$block\n$block" ],
	[ 'prepared', 'PREPARE p AS DELETE FROM t; EXECUTE p; EXECUTE p;', 'ZG003 ZG003', "$block\n$block" ],
	[ 'a CTE', 'WITH d AS (DELETE FROM t RETURNING *) SELECT count(*) FROM d;', 'ZG003', $block ],
	[ 'one message', 'DELETE FROM t\; DELETE FROM t;', 'ZG003', $block ],
	[ 'explain analyze', 'EXPLAIN ANALYZE DELETE FROM t;', 'ZG003', $block ],
	# and what was no attempt, or none that was refused by the guard
	[ 'explain', 'EXPLAIN (COSTS off) DELETE FROM t;', '', '' ],
	[ 'within limits', 'BEGIN; DELETE FROM t WHERE id > 50; ROLLBACK;', '', '' ],
	[ 'read only', 'BEGIN READ ONLY; DELETE FROM t; ROLLBACK;', '25006', '' ],
	[ 'a wrong name', 'DELETE FROM t WHERE no_such_column = 1;', '42703', '' ])
{
	my ($name, $sql, $codes, $events) = @$case;
	(my $context = $name) =~ s/ /_/g;
	is((attempt($context, $sql))[1], $codes, "$name: what the client is told");
	is(events_of($context), $events, "$name: what the log has");
}
is(events_of('a_cascade', 'relation, rows, max_rows'), 't|11|10', 'in a cascade it is the table whose rows would go');
attempt('definer', 'SELECT as_definer()');
is(events_of('definer', 'session_role, actual_role'), 'postgres|regress_definer', 'in a SECURITY DEFINER function both roles are known');
is($node->safe_psql('postgres', 'SELECT count(*) FROM t'), '53', 'no row is gone');

# a session that has been refused and is ended before its transaction is

my $session = $node->background_psql('postgres', on_error_stop => 0);
$session->query_safe(q{SET fortress.context = 'terminated'});
$pid = $session->query_safe('SELECT pg_backend_pid()');
$session->query_safe('BEGIN; INSERT INTO other VALUES (1)');
$session->query('DELETE FROM t');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid, 60000)");
eval { $session->quit; };
is(events_of('terminated'), $block, 'a refused session that is terminated in its transaction leaves its event');

#
# What is observed, permitted or changed: recorded with the commit
#

$node->safe_psql(
	'postgres', q{
	CREATE ROLE regress_cleaner LOGIN;
	CREATE TABLE seen (id int PRIMARY KEY, v int);
	CREATE TABLE seen_too (id int PRIMARY KEY);
	CREATE TABLE late (id int UNIQUE DEFERRABLE INITIALLY DEFERRED);
	INSERT INTO seen SELECT i FROM generate_series(1, 1000) i;
	INSERT INTO seen_too SELECT i FROM generate_series(1, 1000) i;
	INSERT INTO late VALUES (1);
	SELECT fortress.protect('seen', 'audit', delete_rows => 10, update_rows => 10);
	SELECT fortress.protect('seen_too', 'audit', delete_rows => 10);
	CREATE TABLE allowed (id int PRIMARY KEY, v int);
	INSERT INTO allowed SELECT i FROM generate_series(1, 1000) i;
	GRANT ALL ON allowed TO regress_cleaner;
	SELECT fortress.protect('allowed', delete_rows => 10, update_rows => 10);
	SELECT fortress.exempt('regress_cleaner', 'allowed');
});

# Runs SQL in a transaction; returns its id.  %s in what is expected is that.
sub transaction
{
	my ($context, $sql, %more) = @_;
	my ($out, $codes) = attempt($context, "BEGIN;\nSELECT 'xid ' || pg_current_xact_id();\n$sql", %more);
	is($codes, $more{codes} // '', "$context: passes");
	return $out =~ /xid (\d+)/ ? $1 : 'none';
}

my $xid;
my $columns = 'event, operation, relation, rows, xid';
foreach my $case (
	[ 'observed', 'DELETE FROM seen WHERE id <= 20; DELETE FROM seen WHERE id <= 40; COMMIT;', 'observed|delete|seen|40|%s' ],
	[ 'observed_twice', 'DELETE FROM seen WHERE id <= 60; UPDATE seen SET v = 1; DELETE FROM seen_too WHERE id <= 11; COMMIT;',
		"observed|delete|seen|20|%s\nobserved|update|seen|940|%s\nobserved|delete|seen_too|11|%s" ],
	[ 'observed_within', 'DELETE FROM seen WHERE id <= 70; COMMIT;', '' ],
	[ 'observed_not', 'DELETE FROM seen; ROLLBACK;', '' ],
	[ 'observed_part', 'DELETE FROM seen WHERE id <= 90; SAVEPOINT a; DELETE FROM seen WHERE id > 90; ROLLBACK TO a; COMMIT;',
		'observed|delete|seen|20|%s' ],
	[ 'observed_savepoint', 'SAVEPOINT a; DELETE FROM seen WHERE id > 90; ROLLBACK TO a; COMMIT;', '' ],
	[ 'observed_released', 'SAVEPOINT a; DELETE FROM seen WHERE id <= 110; RELEASE a; COMMIT;', 'observed|delete|seen|20|%s' ],
	[ 'permitted', 'DELETE FROM allowed WHERE id <= 20; DELETE FROM allowed WHERE id <= 40; COMMIT;',
		'permitted|delete|allowed|40|%s', role => 'regress_cleaner' ],
	[ 'permitted_where', 'UPDATE allowed SET v = 1; COMMIT;', 'permitted|update|allowed|960|%s', role => 'regress_cleaner' ],
	[ 'permitted_not', 'DELETE FROM allowed; ROLLBACK;', '', role => 'regress_cleaner' ],
	[ 'changed', q{SELECT fortress.set_limit('seen', 'delete', 11); COMMIT;}, 'policy_changed||seen||%s' ],
	[ 'changed_not', q{SELECT fortress.set_limit('seen', 'delete', 12); ROLLBACK;}, '' ],
	[ 'changed_savepoint', q{SAVEPOINT a; SELECT fortress.set_limit('seen', 'delete', 12); ROLLBACK TO a; SELECT fortress.set_mode('seen', 'off'); COMMIT;},
		'policy_changed||seen||%s' ],
	[ 'issued_not', q{SELECT fortress.issue_token(); SELECT fortress.exempt('regress_cleaner'); ROLLBACK;}, '' ])
{
	my ($context, $sql, $events, %more) = @$case;
	$xid = transaction($context, $sql, %more);
	$events =~ s/%s/$xid/g;
	is(events_of($context, $columns), $events, "$context: what the log has");
}
$node->safe_psql('postgres', q{SELECT fortress.set_mode('seen', 'audit')});
is(events_of('observed', 'query'), 'DELETE FROM seen WHERE id <= 20;', 'the statement is the first of them');
transaction('failed_commit', 'DELETE FROM seen WHERE id > 110; INSERT INTO late VALUES (1); COMMIT;', codes => '23505');
is(events_of('failed_commit'), '', 'a commit that fails leaves no event');

# tokens

my $issue = q{SELECT fortress.issue_token(ARRAY['allowed'::regclass])};
my $token = $node->safe_psql('postgres', $issue);
transaction('token_not', "SELECT fortress.unlock('$token'); DELETE FROM allowed WHERE id <= 60; ROLLBACK;");
is(events_of('token_not'), '', 'a token that was given back has not been used');
$xid = transaction('token_used', "SELECT fortress.unlock('$token'); DELETE FROM allowed WHERE id <= 60; COMMIT;");
is(events_of('token_used', $columns), "token_used||||$xid\npermitted|delete|allowed|20|$xid", 'one that was used has');
transaction('token_refused', "SELECT fortress.unlock('$token'); ROLLBACK;", codes => 'ZG009');
is(events_of('token_refused', 'event'), 'token_refused', 'a token that is refused is an event though its transaction is rolled back');

# prepared transactions: recorded when they are prepared, and not again

foreach my $case ([ 'COMMIT', 1, 20 ], [ 'ROLLBACK', 21, 50 ])
{
	my ($end, $from, $to) = @$case;
	my $rows = $to - $from + 1;
	$xid = transaction("prepared_$end", "DELETE FROM seen_too WHERE id BETWEEN 500 + $from AND 500 + $to; PREPARE TRANSACTION 'witness';");
	my $event = "observed|delete|seen_too|$rows|$xid";
	is(events_of("prepared_$end", $columns), $event, 'a prepared transaction is recorded when it is prepared');
	attempt("prepared_$end", "$end PREPARED 'witness';");
	is(events_of("prepared_$end", $columns), $event, "and not again by $end PREPARED");
}
is(verified(), 't', 'the chain is unbroken');

#
# Nobody has to wait for the auditor: databases are dropped, cloned, renamed
# and moved while it has a backlog there
#

# A database with events in its log.
sub new_database
{
	my ($database) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql(
		$database, q{
		CREATE EXTENSION fortress_guard;
		CREATE TABLE t AS SELECT i AS id FROM generate_series(1, 100) i;
		SELECT fortress.protect('t');
	});
	return;
}

sub refuse
{
	my ($database, $times) = @_;
	$node->safe_psql($database,
		"DO \$\$BEGIN FOR i IN 1 .. $times LOOP BEGIN DELETE FROM t; EXCEPTION WHEN SQLSTATE 'ZG003' THEN NULL; END; END LOOP; END\$\$");
	return;
}

# Runs a command while the auditor of a database waits with a backlog for a
# table that is locked: it has to go as soon as the command is there, which then
# only waits for the session with the lock (five seconds long).
sub with_backlog
{
	my ($database, $command) = @_;
	my $n_auditors = "SELECT count(*) FROM pg_stat_activity WHERE $auditor AND datname = '$database'";
	my ($out, $err) = ('', '');

	hold_back($database);
	refuse($database, 500);
	ok($node->poll_query_until('postgres', "SELECT ($n_auditors) = 1"), 'there is an auditor with a backlog');
	my $run = IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('postgres'), '-c', $command ],
		'<', \'', '>', \$out, '2>', \$err);
	ok($node->poll_query_until('postgres', "SELECT ($n_auditors) = 0"), 'which makes way');
	let_go();
	$run->finish;
	is($err, '', "$command: succeeds");
	return;
}

my $spaces = PostgreSQL::Test::Utils::tempdir;
$node->safe_psql('postgres', "CREATE TABLESPACE elsewhere LOCATION '$spaces'");
new_database('guarded');
my $first = $node->safe_psql('guarded', 'SELECT oid FROM pg_database WHERE datname = current_database()');

with_backlog('guarded', 'CREATE DATABASE clone TEMPLATE guarded');
my $numbers = q{SELECT count(*) FILTER (WHERE event = 'blocked'), count(*) = max(id) FROM fortress.audit_log};
is(logged($numbers, 'guarded'), '500|t', 'the log of a cloned database goes on');
is(verified('guarded'), 't', 'unbroken');
is(logged($numbers, 'clone'), '0|t', 'the clone has what was in the table');
is(verified('clone'), 't', 'unbroken');
refuse('clone', 5);
is(logged($numbers, 'clone'), '5|t', 'and goes on behind it');
is(verified('clone'), 't', 'unbroken');
is(logged($numbers, 'guarded'), '500|t', 'which is nothing to the one it was made from');

with_backlog('guarded', 'ALTER DATABASE guarded RENAME TO guarded_too');
is(logged($numbers, 'guarded_too'), '1000|t', 'a renamed database has all its events');
with_backlog('guarded_too', 'ALTER DATABASE guarded_too SET TABLESPACE elsewhere');
is(logged($numbers, 'guarded_too'), '1500|t', 'and one that has moved');
is(verified('guarded_too'), 't', 'unbroken');

ok(scalar(glob($node->data_dir . "/pg_fortress/$first.journal*")), 'a database has a journal');
$node->safe_psql('guarded_too', 'SELECT fortress.allow_drop_database()');
with_backlog('guarded_too', 'DROP DATABASE guarded_too');
is(join(' ', glob($node->data_dir . "/pg_fortress/$first.journal*")), '', 'and takes it with it');
new_database('guarded');
is(logged('SELECT max(id) FROM fortress.audit_log', 'guarded'), '1', 'another one of that name begins anew');

# DROP EXTENSION ends the journal; the next one begins anew

refuse('guarded', 3);
$node->safe_psql(
	'guarded', q{
	BEGIN;
	SELECT fortress.unlock(fortress.issue_token(operations => '{admin}'));
	SELECT fortress.unprotect('t');
	SELECT format('DROP TABLE %s', fortress.shadow_of('t')) \gexec
	DROP EXTENSION fortress_guard;
	COMMIT;
});
$node->safe_psql('guarded', q{CREATE EXTENSION fortress_guard; SELECT fortress.protect('t')});
is(logged("SELECT string_agg(id || event, ' ') FROM fortress.audit_log", 'guarded'), '1policy_changed',
	'an extension that is made again begins with an empty log');
is(verified('guarded'), 't', 'unbroken');

$node->safe_psql(
	'guarded', q{
	BEGIN;
	SELECT fortress.unlock(fortress.issue_token(operations => '{admin}'));
	DROP EXTENSION fortress_guard CASCADE;
	COMMIT;
});
$node->safe_psql('guarded', q{CREATE EXTENSION fortress_guard; SELECT fortress.protect('t')});
is(logged("SELECT string_agg(id || event, ' ') FROM fortress.audit_log", 'guarded'), '1policy_changed',
	'so does one that was dropped with policies and archives');
is(verified('guarded'), 't', 'unbroken');

# A database without the extension never sees an auditor

$node->safe_psql('postgres', 'CREATE DATABASE plain');
$node->append_conf('postgresql.conf', 'log_min_messages = debug1');
$node->reload;
my $position = -s $node->logfile;
ok($node->poll_query_until('postgres', q{SELECT current_setting('log_min_messages') = 'debug1'}), 'the server tells of the workers that it starts');
$node->safe_psql('plain', 'CREATE TABLE t AS SELECT 1 AS id; DELETE FROM t; DROP TABLE t');
ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE $auditor"), 'no auditor is there');
refuse('guarded', 1);
$node->wait_for_log(qr/starting background worker process "fortress_guard auditor for database guarded"/, $position);
ok(1, 'one is started for the guarded database');
ok(!$node->log_contains(qr/fortress_guard auditor for database plain/, $position), 'and none for the other');
is(join(' ', glob($node->data_dir . '/pg_fortress/' . $node->safe_psql('plain', 'SELECT oid FROM pg_database WHERE datname = current_database()') . '.*')),
	'', 'which has no journal');
$node->append_conf('postgresql.conf', 'log_min_messages = warning');
$node->reload;

#
# Alerts
#

# What a listening session has been sent since the last time: id, event,
# relation and times.
my $listener = $node->background_psql('postgres');
$listener->query_safe('LISTEN fortress_alert');

sub alerts
{
	my @alerts;
	my $out = $listener->query('SELECT 1');
	push @alerts, $1 while $out =~ /notification "fortress_alert" with payload "(.*)" received/g;
	return @alerts;
}

# Waits until so many events have been told.
sub wait_for_alerts
{
	my ($wanted) = @_;
	my ($n, @alerts) = (0);

	foreach (1 .. $PostgreSQL::Test::Utils::timeout_default * 20)
	{
		foreach my $alert (alerts())
		{
			push @alerts, $alert;
			$n += $alert =~ /"times": (\d+)/ ? $1 : 1;
		}
		last if $n >= $wanted;
		usleep(50_000);
	}
	is($n, $wanted, "$wanted events are told");
	return @alerts;
}

attempt('alert', q{DELETE FROM t; SELECT fortress.unlock('no token');});
my ($id) = split /\n/, events_of('alert', 'id');
is( join("\n", wait_for_alerts(2)),
	qq({"id": $id, "event": "blocked", "relation": "public.t"}\n{"id": ) . ($id + 1) . q(, "event": "token_refused", "relation": null}),
	'each of a few events by itself');
hold_back();
refuse('postgres', 2500);
attempt('alert', 'DELETE FROM flood;');
let_go();
my @alerts = wait_for_alerts(2501);
cmp_ok(scalar(@alerts), '<', 50, 'many at once are told by kind');
is(scalar(grep { /"event": "blocked", "relation": "public.flood"/ } @alerts), 1, 'and by relation');
($id) = $alerts[-1] =~ /"id": (\d+)/;
is(logged('SELECT max(id) FROM fortress.audit_log'), $id, 'with the id of the last of them');
is(join(' ', alerts()), '', 'and nothing more');
$listener->quit;

#
# Rights
#

$node->safe_psql(
	'postgres', q{
	CREATE ROLE regress_owner LOGIN;
	BEGIN;
	SELECT fortress.unlock(fortress.issue_token(operations => '{admin,ddl}'));
	CREATE ROLE regress_operator LOGIN IN ROLE fortress_operator;
	CREATE ROLE regress_auditor LOGIN IN ROLE fortress_auditor;
	CREATE ROLE regress_admin LOGIN IN ROLE fortress_admin;
	GRANT CREATE ON SCHEMA public TO regress_owner;
	ALTER TABLE t OWNER TO regress_owner;
	COMMIT;
});
foreach my $case (
	[ 'regress_owner', 0 ], [ 'regress_cleaner', 0 ], [ 'regress_operator', 0 ],
	[ 'regress_auditor', 1 ], [ 'regress_admin', 1 ])
{
	my ($role, $reads) = @$case;
	my $may = $reads ? 'reads' : 'does not read';
	is((attempt('rights', 'SELECT count(*) FROM fortress.audit_log;', role => $role))[1], $reads ? '' : '42501', "$role $may the log");
	is((attempt('rights', 'SELECT count(*) FROM fortress.offenders;', role => $role))[1], $reads ? '' : '42501', "$role $may its views");
	is((attempt('rights', 'SELECT ok FROM fortress.verify_audit();', role => $role))[1], $reads ? '' : '42501', 'and the check');
	like((attempt('rights', q{
			INSERT INTO fortress.audit_log SELECT * FROM fortress.audit_log LIMIT 0;
			INSERT INTO fortress.audit_log (id, at, event, pid, detail, hash) VALUES (0, now(), 'x', 0, '{}', '');
			UPDATE fortress.audit_log SET event = 'x' WHERE false;
			DELETE FROM fortress.audit_log WHERE false;
			TRUNCATE fortress.audit_log;
			DROP TABLE fortress.audit_log;
			ALTER TABLE fortress.audit_log DISABLE TRIGGER ALL;
			CREATE TRIGGER x BEFORE INSERT ON fortress.audit_log EXECUTE FUNCTION in_trigger();
			BEGIN; LOCK TABLE fortress.audit_log IN ACCESS EXCLUSIVE MODE; ROLLBACK;
			COPY fortress.audit_log FROM STDIN;}, role => $role))[1],
		qr/^(?:ZG011|42501)(?: (?:ZG011|42501)){9}$/, "$role does not write it");
}
is(verified(), 't', 'the chain is unbroken');

#
# Secrets: however one is given, it is nowhere afterwards
#

$node->safe_psql(
	'postgres', q{
	CREATE FUNCTION opens(secret text) RETURNS void LANGUAGE plpgsql AS 'BEGIN PERFORM fortress.unlock(secret); END';
});
$position = -s $node->logfile;

# 72 hex digits that nobody has issued; and what somebody mistyped
my $number = 0;
my @secrets;

sub hidden
{
	my ($sql) = @_;
	my ($form) = $sql =~ /(TOKEN|TYPO)/;
	my $secret = sprintf('%s%06d', $form eq 'TOKEN' ? 'fgt1_' . 'c0ffee' x 11 : 'not quite a token ', ++$number);

	push @secrets, $secret;
	$sql =~ s/$form/$secret/g;
	attempt('hidden', $sql);
	return;
}

hold_back();
foreach my $form ('TOKEN', 'TYPO')
{
	hidden($_ =~ s/SECRET/$form/gr) foreach (
		q{SELECT fortress.unlock('SECRET');},
		q{SELECT fortress.unlock(token => E'SECRET');},
		q{SELECT "fortress"."unlock"($$SECRET$$);},
		q{PREPARE p(text) AS SELECT fortress.unlock($1); EXECUTE p('SECRET');},
		q{DO $$BEGIN PERFORM fortress.unlock('SECRET'); END$$;},
		q{DO $$BEGIN PERFORM fortress.unlock('SECRET'); EXCEPTION WHEN OTHERS THEN DELETE FROM t; END$$;},
		q{SELECT opens('SECRET');},
		q{SELECT fortress.unlock('SECRET') \; DELETE FROM t;},
		q{DELETE FROM t \; SELECT fortress.unlock('SECRET');},
		q{BEGIN; SELECT fortress.unlock('SECRET'); ROLLBACK; DELETE FROM t;},
		q{SET fortress.token = 'SECRET'; DELETE FROM t WHERE id > 0;},
		q{BEGIN; SET LOCAL fortress.token TO 'SECRET'; DELETE FROM t WHERE id > 0; COMMIT;},
		q{BEGIN \; SET LOCAL fortress.token = 'SECRET' \; DELETE FROM t WHERE id > 0 \; COMMIT;},
		q{BEGIN; SELECT set_config('fortress.token', 'SECRET', true); DELETE FROM t; COMMIT;},
		q{SELECT set_config('fortress.token', 'SECRET', false) \; DELETE FROM t;},
		q{ALTER ROLE regress_owner SET fortress.token = 'SECRET';},
		q{SELECT fortress.unlock('SECRET', 'session'); SELECT fortress.lock();},
		q{WITH u AS (SELECT fortress.unlock('SECRET')) DELETE FROM t WHERE id > (SELECT count(*) - 5 FROM u);});
}
# these only a token's form can tell
hidden($_) foreach (
	q{DELETE FROM t /* TOKEN */;},
	q{DELETE FROM t WHERE 'TOKEN' <> '';},
	q{SET fortress.context = 'TOKEN'; DELETE FROM t;},
	q{SET application_name = 'TOKEN'; DELETE FROM t;},
	q{SELECT fortress.exempt('regress_cleaner', reason => 'TOKEN');});
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE $auditor AND datname = 'postgres'"),
	'secrets have been given by many roads');

my $journal = join '', map { slurp_file($_) } glob($node->data_dir . '/pg_fortress/*');
my $workers = $node->safe_psql('postgres', q{SELECT string_agg(to_jsonb(a)::text, ' ') FROM pg_stat_activity a WHERE backend_type LIKE 'fortress_guard%'});
let_go();
my $table = logged('SELECT jsonb_agg(to_jsonb(a)) FROM fortress.audit_log a');
my $log = slurp_file($node->logfile, $position);

foreach my $case ([ $journal, 'the journal' ], [ $table, 'the audit log' ], [ $log, 'the server log' ], [ $workers, 'pg_stat_activity of the guard' ])
{
	my ($text, $place) = @$case;
	# parts of a secret are too much, too
	is(join(' ', grep { index($text, substr($_, 0, length($_) - 6)) >= 0 || index($text, $_) >= 0 } @secrets), '', "none of them is in $place");
}
cmp_ok(scalar(split(/\n/, events_of('hidden'))), '>=', 30, 'though the events are there');
like($journal, qr/token_refused/, 'the journal that was read is the one with them');
like($table, qr/SELECT opens\('\*\*\*'\)/, 'and the statements, without their literals');

#
# Retention
#

sub configure
{
	my ($name, $value) = @_;
	$node->append_conf('postgresql.conf', "$name = $value");
	$node->reload;
	$node->poll_query_until('postgres', "SELECT setting = '$value' FROM pg_settings WHERE name = '$name'") or die;
	return;
}

my $last = logged('SELECT max(id) FROM fortress.audit_log');
configure('fortress.audit_retention', 1);
attempt('old', 'DELETE FROM t');
ok($node->poll_query_until('postgres', "SELECT min(id) > $last FROM fortress.audit_log"), 'old events go');
configure('fortress.audit_retention', 0);
is(verified(), 't', 'what is left can be verified');
is(logged($in_order), 't', 'and has no gap');
is( logged(q{SELECT count(*) > 0 FROM fortress.audit_log WHERE event = 'audit_expired' AND (detail ->> 'last')::bigint = (SELECT min(id) - 1 FROM fortress.audit_log)}),
	't', 'an event tells what was removed');
attempt('new', 'DELETE FROM t');
is(events_of('new'), $block, 'the log goes on');
is(verified(), 't', 'unbroken');

#
# Digests
#

sub digest
{
	my ($database) = @_;
	my ($head) = split /\n/, $node->safe_psql($database, 'SELECT head FROM fortress.verify_audit()');
	my $id = $node->safe_psql($database, 'SELECT max(id) FROM fortress.audit_log');
	return qr/LOG:  fortress_guard digest: database "$database" event $id hash $head\b/;
}

my $digest = digest('postgres');
configure('fortress.digest_interval', 1);
ok($node->wait_for_log($digest), 'the end of the chain is written to the server log now and then');
refuse('postgres', 10);
ok($node->wait_for_log(digest('postgres')), 'and the next one');
configure('fortress.digest_interval', 0);
refuse('postgres', 10);
refuse('guarded', 10);
my @digests = (digest('postgres'), digest('guarded'), digest('clone'));
$position = -s $node->logfile;
$node->stop('fast');
ok($node->log_contains($_, $position), 'and at shutdown, of every database') foreach @digests;

# what came in just before a shutdown is taken in by then

$node->start;
hold_back();
refuse('postgres', 2000);
attempt('last', 'DELETE FROM t');
let_go();
$position = -s $node->logfile;
$node->stop('fast');
my ($shutdown) = slurp_file($node->logfile, $position) =~ /digest: database "postgres" event (\d+)/;
$node->start;
is($node->safe_psql('postgres', 'SELECT max(id) FROM fortress.audit_log'), $shutdown, 'after a clean stop the log ends where the digest says');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fortress.audit_log WHERE detail ->> 'context' = 'last'}), '1', 'with all that was in the journal');
is(verified(), 't', 'unbroken');
is( $node->safe_psql('postgres', q{SELECT count(*) FROM fortress.audit_log WHERE event IN ('tamper', 'unrecorded')}),
	'0', 'the guard itself had nothing to complain of');

$node->stop;
done_testing();
