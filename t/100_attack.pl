# The attack catalogue: every road to the rows of a protected table, and what
# is legitimate beside it.
#
# The cases are in attacks/*.sql.  Each is tried by each role that it names, in
# a session of its own, on a database that is as attacks/fixture.sql makes it.
# Whatever the client was told, the protected tables' complete content and all
# definitions (attacks/fingerprint.sql) are compared with how they were before,
# and the audit log is verified and searched for the event.
#
# A case is SQL for psql under lines of this form:
#
#	-- case: NAME
#	-- as: ROLE ...          app, owner, creator, super (or another regress_ROLE); with
#	-- expect: EXPECTATION   what they are to meet; the pair may come several times
#	-- setup: SQL            before the comparison begins, by one with every permission
#	-- token: ARGUMENTS      of issue_token(); the secret is :token
#	-- options: PGOPTIONS    of the session
#	-- in: DATABASE          the session's database, if it is not the one attacked (:db)
#	-- sessions: N           so many at once; each has its number (from 0) as :session
#	-- command: SHELL        instead of the SQL; {db} is the database
#	-- needs: SHELL          skipped where this fails
#	-- cleanup: SQL          afterwards, in database postgres
#	-- check: SQL            must return t afterwards
#	-- event: log | gone     the event is in the server's log only; the audit log goes with all else
#	-- event: EVENT          expect this event
#	-- probe: TABLE | no     where to try whether the guard still stands (listing)
#
# and an expectation is one of
#
#	refused SQLSTATE[|...] [within N]   an error, its event, and no change; or at most N rows
#	                                    lost or changed, each of them archived
#	within N                            the same, whatever the client was told
#	denied [SQLSTATE]                   PostgreSQL itself says no (42501; CONNECTION: it lets nobody
#	                                    in); no change
#	passes                              no error, no event, no change
#	passes with effect                  no error, no event; see "check"; and the guard still stands
#
# ATTACK_CASES, a regular expression, chooses cases by name.

use strict;
use warnings;
use File::Basename;
use File::Temp;
use IPC::Open2;
use IPC::Run;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Storable;
use Test::More;
use Time::HiRes qw(time);

my $workers = 2;
my $here = dirname(__FILE__) . '/attacks';
my $began = time;

my $node = PostgreSQL::Test::Cluster->new('attack');
$node->init;
$node->append_conf(
	'postgresql.conf', q{
shared_preload_libraries = 'fortress_guard'
max_prepared_transactions = 10
max_connections = 60
max_worker_processes = 20
wal_level = logical
max_wal_senders = 5
max_replication_slots = 5
restart_after_crash = on
autovacuum = off
log_line_prefix = '%m [%p] %a|%e|'
log_statement = none
});
$node->start;

#----------------------------------------------------------------------------
# Sessions
#----------------------------------------------------------------------------

# A started psql: what it will say, and its handle.
sub begin_psql
{
	my ($role, $database, $sql, %how) = @_;
	my %said = (out => '', err => '');
	local $ENV{PGOPTIONS} = '-c search_path=shop,public -c statement_timeout=30s -c client_min_messages=warning '
	  . ($how{options} // '');
	local $ENV{PGAPPNAME} = $how{name} // 'runner';
	my @variables = map { ('-v', "$_=$how{variables}{$_}") } keys %{ $how{variables} // {} };
	$said{sql} = $sql;
	$said{handle} = IPC::Run::start(
		[ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-v', 'VERBOSITY=verbose', '-v', 'SHOW_CONTEXT=never', @variables,
			'-U', $role, '-d', $node->connstr($database), '-f', '-' ],
		'<', \$said{sql}, '>', \$said{out}, '2>', \$said{err},
		IPC::Run::timeout(120, exception => 'a session hangs'));
	return \%said;
}

sub end_psql
{
	my ($said) = @_;
	eval { $said->{handle}->finish; 1 } or do { $said->{err} .= "FATAL:  XX000: $@"; $said->{handle}->kill_kill };
	return $said;
}

sub psql
{
	return end_psql(begin_psql(@_));
}

# As the superuser who may do everything.  Dies if that fails.
sub runner
{
	my ($database, $sql, %how) = @_;
	my $said;
	for my $try (1 .. 40)
	{
		$said = psql('postgres', $database, $sql, %how);
		# a crash is a failure of one attempt, not of all that follow
		last unless $said->{err} =~ /psql: error: connection .*(?:recovery mode|starting up|not yet accepting|shutting down)/s;
		Time::HiRes::sleep(0.25);
	}
	die "$sql\n$said->{err}" if $said->{err} =~ /^(?:psql:.*)?(?:ERROR|FATAL):|psql: error/m;
	chomp $said->{out};
	return $said->{out};
}

sub sqlstates
{
	my ($text) = @_;
	my @states = $text =~ /(?:ERROR|FATAL):  ([0-9A-Z]{5}):/g;
	push @states, 'CONNECTION' if $text =~ /^psql: error: connection/m;
	return @states;
}

#----------------------------------------------------------------------------
# The cases
#----------------------------------------------------------------------------

sub read_cases
{
	my ($file) = @_;
	my (@cases, $case);

	foreach my $line (split /\n/, slurp_file($file))
	{
		if ($line =~ /^-- case: (.+)/)
		{
			$case = { name => $1, file => basename($file, '.sql'), sql => '', tries => [], setup => '', cleanup => '' };
			push @cases, $case;
		}
		elsif (!$case)
		{
			die "$file: \"$line\" is outside of a case" unless $line =~ /^(--.*)?$/;
		}
		elsif ($line =~ /^-- as: (.+)/)
		{
			push @{ $case->{tries} }, { roles => [ split ' ', $1 ] };
		}
		elsif ($line =~ /^-- expect: (.+)/)
		{
			$case->{tries}[-1]{expect} = $1;
		}
		elsif ($line =~ /^-- (setup|cleanup): (.+)/)
		{
			$case->{$1} .= "$2\n";
		}
		elsif ($line =~ /^-- (token|options|in|sessions|command|needs|check|event|probe): (.+)/)
		{
			$case->{$1} = $2;
		}
		elsif ($line !~ /^--/)
		{
			$case->{sql} .= "$line\n";
		}
	}
	return @cases;
}

my @attempts;
my @skipped;
my %seen;
foreach my $file (sort grep { !/\b(?:fixture|fingerprint)\.sql$/ } glob("$here/*.sql"))
{
	foreach my $case (read_cases($file))
	{
		die "two cases are called \"$case->{name}\"" if $seen{ $case->{name} }++;
		next if defined $ENV{ATTACK_CASES} && $case->{name} !~ /$ENV{ATTACK_CASES}/;
		die "case \"$case->{name}\" has no SQL" unless $case->{sql} =~ /\S/ || $case->{command};
		if ($case->{needs} && !IPC::Run::run([ 'sh', '-c', $case->{needs} ], '<', \undef, '&>', \my $unsaid))
		{
			push @skipped, $case;
			next;
		}
		foreach my $try (@{ $case->{tries} })
		{
			die "case \"$case->{name}\" expects nothing" unless $try->{expect};
			foreach my $role (@{ $try->{roles} })
			{
				push @attempts, { case => $case, role => $role, expect => $try->{expect}, number => scalar @attempts };
			}
		}
	}
}

# What touches the cluster itself is tried alone: the cases of files with this
# word in their names.
sub is_alone
{
	my ($case) = @_;
	return $case->{file} =~ /cluster/;
}

#----------------------------------------------------------------------------
# Databases
#----------------------------------------------------------------------------

# The state of one process that makes attempts.
my %self = (name => 'a', clones => 0, database => undef, before => undef, pending => []);

# A session that stays with the database in use: in a new one the server would
# look up everything anew.
sub watcher_close
{
	my $watcher = delete $self{watcher} or return;
	close $watcher->{in};
	close $watcher->{out};
	waitpid $watcher->{pid}, 0;
	return;
}

# What the session says; undef if it has ended.
sub watcher_ask
{
	my ($database, $sql) = @_;
	local $SIG{PIPE} = 'IGNORE';
	watcher_close() if $self{watcher} && $self{watcher}{database} ne $database;
	if (!$self{watcher})
	{
		local $ENV{PGAPPNAME} = 'watcher';
		my $pid = open2(my $out, my $in, 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-U', 'postgres', '-d', $node->connstr($database));
		$self{watcher} = { pid => $pid, in => $in, out => $out, database => $database };
	}
	my ($in, $out) = @{ $self{watcher} }{qw(in out)};
	my @lines;
	print $in $sql, "\n\\echo that is all\n";
	$in->flush;
	while (my $line = <$out>)
	{
		chomp $line;
		return \@lines if $line eq 'that is all';
		push @lines, $line;
	}
	watcher_close();
	return;
}

sub fingerprint
{
	my ($database) = @_;
	my %lines = map { $_ => [] } qw(row shadow rest litter);
	my $sql = slurp_file("$here/fingerprint.sql");

	foreach my $line (@{ watcher_ask($database, $sql) // [ split /\n/, runner($database, $sql) ] })
	{
		my ($kind) = $line =~ /^(row|shadow|litter) /;
		push @{ $lines{ $kind // 'rest' } }, $line;
	}
	# who wants the database for himself may have it
	watcher_close() if $self{alone};
	@$_ = sort @$_ foreach values %lines;
	return \%lines;
}

# What is in the first list and not in the second, both sorted.
sub missing
{
	my ($these, $those) = @_;
	my %count;
	$count{$_}++ foreach @$those;
	return grep { !$count{$_} || $count{$_}-- == 0 } @$these;
}

# Verifies the audit log of the database in use and gives each attempt its events.
sub read_events
{
	my @pending = splice @{ $self{pending} };
	return unless @pending;
	my $log = eval {
		runner($self{database}, q{
			SELECT 'verified ' || ok FROM fortress.verify_audit();
			SELECT concat_ws('|', application_name, event, detail ->> 'sqlstate', operation) FROM fortress.audit_log;});
	} // "broken: $@";
	my $verified = $log =~ s/^verified true$//m;
	foreach my $result (@pending)
	{
		push @{ $result->{events} }, $1 while $log =~ /^\Q$result->{app}\E\|(.*)$/mg;
		push @{ $result->{problems} }, "the audit log does not verify: " . substr($log, 0, 300) unless $verified;
	}
	return;
}

sub drop_database
{
	my ($name) = @_;
	watcher_close();
	eval { runner($name, 'SELECT fortress.allow_drop_database()') };
	runner('postgres', "DROP DATABASE IF EXISTS $name WITH (FORCE)");
	return;
}

# A copy of the shop instead of the one that was in use.
sub new_database
{
	read_events();
	my $old = $self{database};
	$self{database} = sprintf 'attack_%s_%d', $self{name}, ++$self{clones};
	drop_database($old) if $old;
	runner('postgres', "CREATE DATABASE $self{database} TEMPLATE attack_base STRATEGY file_copy");
	# a clone knows that it is protected from its next policy on
	runner($self{database}, q{SELECT fortress.protect('shop.listing')});
	$self{before} = undef;
	return;
}

#----------------------------------------------------------------------------
# One attempt
#----------------------------------------------------------------------------

sub attempt
{
	my ($attempt) = @_;
	my ($case, $role, $expect) = @{$attempt}{qw(case role expect)};
	my $result = {
		number => $attempt->{number}, app => "attempt $attempt->{number}.", problems => [], events => [],
		name => "$case->{file}: $case->{name}: $role, $expect" };
	my $problem = sub { push @{ $result->{problems} }, @_; return };
	my %variables = (role => "regress_$role");
	my $log_position = -s $node->logfile;

	new_database() unless $self{database};
	if ($case->{setup} || $case->{token})
	{
		runner($self{database}, $case->{setup}) if $case->{setup};
		$variables{token} = runner($self{database}, "SELECT fortress.issue_token($case->{token})") if $case->{token};
		$self{before} = undef;
	}
	$variables{db} = $self{database};
	$self{before} //= fingerprint($self{database});
	my $before = $self{before};

	read_events() if ($case->{event} // '') eq 'gone';

	# the attack
	my ($said, $status) = ('', 0);
	if ($case->{command})
	{
		(my $command = $case->{command}) =~ s/\{db\}/$self{database}/g;
		local $ENV{PGAPPNAME} = $result->{app};
		local $ENV{PGUSER} = "regress_$role";
		local $ENV{PGHOST} = $node->host;
		local $ENV{PGPORT} = $node->port;
		$status = !IPC::Run::run([ 'sh', '-c', $command ], '<', \undef, '&>', \$said);
	}
	else
	{
		my @sessions = map {
			begin_psql("regress_$role", $case->{in} // $self{database}, $case->{sql}, name => $result->{app},
				options => $case->{options}, variables => { %variables, session => $_ })
		} 0 .. ($case->{sessions} // 1) - 1;
		$said .= end_psql($_)->{err} foreach @sessions;
		$status = 1 if $said =~ /psql: error/;
	}
	my @states = sqlstates($said);
	$status = 1 if @states;
	runner('postgres', $case->{cleanup}, variables => \%variables) if $case->{cleanup};

	# what the client was told
	my ($codes, $within) = (undef, 0);
	$within = $1 if $expect =~ /\bwithin (\d+)/;
	if ($expect =~ /^refused (\S+)/)
	{
		$codes = qr/^(?:$1)$/;
		$problem->('the client got ' . (@states ? "error @states" : 'no error')) unless grep { $_ =~ $codes } @states;
	}
	elsif ($expect =~ /^denied ?(\S*)/)
	{
		my $want = $1 || '42501';
		$problem->('the client got ' . (@states ? "error @states" : 'no error')) unless grep { $_ eq $want } @states;
	}
	elsif ($expect =~ /^passes/)
	{
		$problem->('it failed') if $status;
	}
	elsif ($expect !~ /^within/)
	{
		die "case \"$case->{name}\": \"$expect\" is no expectation";
	}
	$problem->("the guard does not work: @states") if grep { /^XX|^58/ } @states;

	# what is left
	my $after = eval { fingerprint($self{database}) };
	if (!$after)
	{
		$problem->("the database can't be read any more: $@");
		$self{pending} = [];
		eval { drop_database($self{database}) };
		$self{database} = undef;
		$self{before} = undef;
		return $result;
	}
	my @gone = missing($before->{row}, $after->{row});
	my @come = missing($after->{row}, $before->{row});
	my @archived = missing($after->{shadow}, $before->{shadow});
	my @destroyed = missing($before->{shadow}, $after->{shadow});
	my @lost = missing($before->{rest}, $after->{rest});
	my @new = missing($after->{rest}, $before->{rest});
	$problem->(scalar(@destroyed) . ' archived rows are gone') if @destroyed;
	if ($expect !~ /with effect/)
	{
		$problem->(sprintf 'rows are gone or changed: %d, at most %d were to be', scalar @gone, $within) if @gone > $within;
		$problem->(sprintf 'there are new or changed rows: %d', scalar @come) if @come > $within;
		$problem->(sprintf 'rows are gone or changed: %d, archived: %d', scalar @gone, scalar @archived)
		  if @gone != @archived;
		$problem->(map { "gone: $_" } @lost) if @lost;
		$problem->(map { "new: $_" } @new) if @new;
	}
	if ($case->{check})
	{
		my $is = eval { runner($self{database}, $case->{check}, variables => \%variables) } // $@;
		$problem->("the check says \"$is\"") unless $is =~ /^t(?:\nt)*$/;
	}
	my $table = $case->{probe} // 'listing';
	if ($expect =~ /with effect/ && $table ne 'no')
	{
		my $probe = psql('regress_app', $self{database}, qq{
			\\set ON_ERROR_STOP off
			DELETE FROM shop.$table WHERE id > 0;
			UPDATE shop.$table SET id = id WHERE id > 0;
			TRUNCATE shop.$table;
			DELETE FROM shop.sale WHERE id > 0;
			DELETE FROM shop.message_old WHERE id > 0;}, name => 'probe');
		$problem->("the guard does not stand any more:\n$probe->{err}") unless 5 == grep { /^ZG00[124]$/ } sqlstates($probe->{err});
	}

	# the event
	$result->{want} = $case->{event};
	$result->{codes} = $codes;
	$result->{quiet} = $expect =~ /^(?:passes|denied)/ && !$case->{event};
	if (($case->{event} // '') eq 'log')
	{
		my $log = substr slurp_file($node->logfile), $log_position;
		$problem->("the server's log has no line of the guard") unless $log =~ /\Q$result->{app}\E\|\w+\|LOG:  fortress_guard/;
		delete $result->{codes};
		delete $result->{want};
	}
	if (($case->{event} // '') eq 'gone')
	{
		delete $result->{want};
	}
	else
	{
		push @{ $self{pending} }, $result;
	}

	# and the next one begins with what it is to find
	my @prepared = map { /^prepared (.*)/ } @{ $after->{rest} };
	runner($self{database}, join '', map { "ROLLBACK PREPARED '$_';\n" } @prepared) if @prepared;
	if ($case->{setup} || @gone || @come || @lost || @new || @archived || @destroyed
		|| "@{ $before->{litter} }" ne "@{ $after->{litter} }")
	{
		new_database();
	}
	$result->{said} = $said if @{ $result->{problems} };
	return $result;
}

sub report
{
	my ($result) = @_;
	my @problems = @{ $result->{problems} };
	my @events = @{ $result->{events} };

	if ($result->{codes})
	{
		my $codes = $result->{codes};
		push @problems, 'the audit log has no such event (it has: ' . join(', ', @events) . ')'
		  unless grep { my ($event, $state) = split /\|/; $event =~ /^(?:blocked|token_refused)$/ && ($state // '') =~ $codes } @events;
	}
	if ($result->{want})
	{
		push @problems, "the audit log has no event $result->{want} (it has: " . join(', ', @events) . ')'
		  unless grep { /^$result->{want}\b/ } @events;
	}
	if ($result->{quiet})
	{
		my @loud = grep { /^(?:blocked|observed|permitted|tamper|token_refused)/ } @events;
		push @problems, 'the audit log has events: ' . join(', ', @loud) if @loud;
	}
	ok(!@problems, $result->{name})
	  or diag(join "\n", (map { substr $_, 0, 600 } @problems), "the client was told: " . ($result->{said} // 'nothing'));
	return;
}

sub try_all
{
	my @mine = @_;
	my @results;
	foreach my $attempt (@mine)
	{
		my $result = eval { attempt($attempt) };
		if (!$result)
		{
			$result = { number => $attempt->{number}, name => "$attempt->{case}{file}: $attempt->{case}{name}: $attempt->{role}",
				problems => ["the attempt could not be made: $@"], events => [] };
			eval { read_events() };
			eval { new_database() };
		}
		push @results, $result;
	}
	read_events() if $self{database};
	watcher_close();
	return @results;
}

#----------------------------------------------------------------------------
# The cluster, and all attempts
#----------------------------------------------------------------------------

runner('postgres', q{
	CREATE ROLE regress_owner LOGIN;
	CREATE ROLE regress_app LOGIN;
	CREATE ROLE regress_creator LOGIN CREATEROLE CREATEDB IN ROLE regress_owner;
	CREATE ROLE regress_super LOGIN SUPERUSER;
	CREATE ROLE regress_batch LOGIN ROLE regress_app;
	CREATE ROLE regress_nightly LOGIN;
	CREATE ROLE regress_other LOGIN;
	CREATE DATABASE attack_base;
	CREATE DATABASE attack_plain;
});
runner('postgres', q{CREATE EXTENSION fortress_guard;
	SELECT fortress.exempt('postgres', operations => '{admin}', reason => 'the runner');});
runner('attack_base', slurp_file("$here/fixture.sql"));
is(runner('attack_base', 'SELECT ok FROM fortress.verify_audit()'), 't', 'the shop is there');

my $scratch = PostgreSQL::Test::Utils::tempdir();
my @alone = grep { is_alone($_->{case}) } @attempts;
my @beside = grep { !is_alone($_->{case}) } @attempts;
my %children;
foreach my $i (0 .. $workers - 1)
{
	my $pid = fork;
	die "cannot fork: $!" unless defined $pid;
	if ($pid == 0)
	{
		$self{name} = chr(ord('b') + $i);
		# neighbours in the list share what they leave
		my @mine = grep { int($_->{number} / 8) % $workers == $i } @beside;
		eval { Storable::store([ try_all(@mine) ], "$scratch/results$i"); 1 } or print STDERR $@;
		# nothing of the parent's is to be cleaned up here
		POSIX::_exit(0);
	}
	$children{$pid} = $i;
}
waitpid $_, 0 foreach keys %children;
my @results = map { -e "$scratch/results$_" ? @{ Storable::retrieve("$scratch/results$_") } : () } 0 .. $workers - 1;
$self{alone} = 1;
push @results, try_all(@alone);
report($_) foreach sort { $a->{number} <=> $b->{number} } @results;
is(scalar @results, scalar @attempts, 'every attempt was made');
foreach my $case (@skipped)
{
	SKIP: { skip "$case->{file}: $case->{name}: not here: $case->{needs}", 1; }
}

#----------------------------------------------------------------------------
# Replication: what a publisher deletes reaches a protected table of its
# subscriber, in another database of the same cluster
#----------------------------------------------------------------------------

unless (defined $ENV{ATTACK_CASES} && 'replication' !~ /$ENV{ATTACK_CASES}/)
{
	my $table = q{
		CREATE SCHEMA IF NOT EXISTS shop;
		CREATE TABLE shop.incoming (id int PRIMARY KEY, body text);
		INSERT INTO shop.incoming SELECT i, 'body' FROM generate_series(1, 1000) i;};
	my $count = 'SELECT count(*) FROM shop.incoming';

	new_database();
	my $there = $self{database};
	runner('attack_plain', "$table CREATE PUBLICATION attack FOR TABLE shop.incoming;");
	runner('attack_plain', q{SELECT pg_create_logical_replication_slot('attack', 'pgoutput')});
	runner($there, "$table SELECT fortress.protect('shop.incoming', delete_rows => 5, update_rows => 10);");
	runner($there, "CREATE SUBSCRIPTION attack CONNECTION 'host=" . $node->host . ' port=' . $node->port
		  . " dbname=attack_plain user=postgres' PUBLICATION attack WITH (create_slot = false, copy_data = false, enabled = false)");
	# whom no exemption helps
	runner($there, 'ALTER SUBSCRIPTION attack OWNER TO regress_super');
	runner($there, 'ALTER SUBSCRIPTION attack ENABLE');

	runner('attack_plain', q{DELETE FROM shop.incoming WHERE id <= 3; UPDATE shop.incoming SET body = 'new' WHERE id <= 8});
	ok($node->poll_query_until($there, q{SELECT count(*) = 5 FROM shop.incoming WHERE body = 'new'}), 'replication: small changes arrive');
	is(runner($there, $count), '997', 'replication: all of them');
	is(runner($there, q{SELECT format('SELECT count(*) FROM %s', fortress.shadow_of('shop.incoming')) \gexec}),
		'8', 'replication: and their old rows are archived');

	my $position = -s $node->logfile;
	runner('attack_plain', 'DELETE FROM shop.incoming');
	my $until = time + 30;
	my $refused = 0;
	until ($refused || time > $until || runner($there, $count) ne '997')
	{
		$refused = $node->log_contains(qr/ZG00[12]\|ERROR:/, $position);
		Time::HiRes::sleep(0.1);
	}
	ok($refused, 'replication: a mass DELETE is refused to the apply worker');
	is(runner($there, $count), '997', 'replication: no row goes');
	runner($there, q{ALTER SUBSCRIPTION attack DISABLE; ALTER SUBSCRIPTION attack SET (slot_name = NONE); DROP SUBSCRIPTION attack;});

	# What it brings to the guard's own tables comes in below the executor, too
	runner('attack_plain', q{CREATE SCHEMA fortress;
		CREATE TABLE fortress.row_limit (relation oid, operation text, per text, "by" text, max_rows bigint, max_fraction float8);
		CREATE PUBLICATION limits FOR TABLE fortress.row_limit;});
	my $said = psql('regress_super', $there, "CREATE SUBSCRIPTION limits CONNECTION 'host=" . $node->host . ' port=' . $node->port
		  . " dbname=attack_plain user=postgres' PUBLICATION limits WITH (create_slot = false, slot_name = 'none', enabled = false, copy_data = false)");
	like($said->{err}, qr/ERROR: +ZG011: CREATE SUBSCRIPTION is refused/, 'replication: no subscription has a table of the guard');
	is(runner($there, 'SELECT count(*) FROM pg_subscription_rel'), '0', 'replication: nor is it left behind');
	is(runner($there, q{
			SELECT ok FROM fortress.verify_audit();
			SELECT count(*) = 1 FROM fortress.audit_log
			WHERE event = 'blocked' AND relation = 'shop.incoming'::regclass AND detail ->> 'sqlstate' ~ 'ZG00[12]';}),
		"t\nt", 'replication: the audit log has the event');
	ok($node->poll_query_until('attack_plain', q{SELECT NOT active FROM pg_replication_slots}), 'replication: the subscriber has left');
	runner('attack_plain', q{SELECT pg_drop_replication_slot('attack')});
}

my @crashes = grep { /PANIC:|TRAP:|was terminated by signal/ } split /\n/, slurp_file($node->logfile);
is("@crashes", '', 'no backend crashed');
$node->stop;
done_testing();
