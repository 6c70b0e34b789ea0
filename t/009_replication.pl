# Logical replication: what the apply worker deletes, updates and truncates in
# protected tables counts, is archived, and is refused like anybody's.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $publisher = PostgreSQL::Test::Cluster->new('publisher');
$publisher->init(allows_streaming => 'logical');
$publisher->append_conf('postgresql.conf', "autovacuum = off\nmax_prepared_transactions = 5");
$publisher->start;

my $subscriber = PostgreSQL::Test::Cluster->new('subscriber');
$subscriber->init(allows_streaming => 'logical');
$subscriber->append_conf('postgresql.conf', q{
shared_preload_libraries = 'fortress_guard'
autovacuum = off
wal_retrieve_retry_interval = 200ms
max_logical_replication_workers = 8
max_prepared_transactions = 5
});
$subscriber->start;

# Tables are made alike on both sides; protection is on the subscriber only.
my $tables = q{
	CREATE TABLE listing (id int PRIMARY KEY, price int, note text);
	CREATE TABLE narrow (id int PRIMARY KEY, price int, note text);
	CREATE TABLE watched (id int PRIMARY KEY, n int);
	CREATE TABLE ignored (id int PRIMARY KEY, n int);
	CREATE TABLE plain (id int PRIMARY KEY, n int);
	CREATE TABLE emptied (id int PRIMARY KEY);
	CREATE TABLE per_statement (id int PRIMARY KEY);
	CREATE TABLE stream (id int PRIMARY KEY, filler text);};
# On the publisher nothing is partitioned: else it would tell of a moved row as
# of a deleted and an inserted one.
my $partitioned = q{
	CREATE TABLE part (id int, region int, note text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
	CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1);
	CREATE TABLE part_2 (note text, region int NOT NULL, gone int, id int NOT NULL);
	ALTER TABLE part_2 DROP COLUMN gone;
	ALTER TABLE part ATTACH PARTITION part_2 FOR VALUES IN (2);
	CREATE TABLE lone (id int, region int, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
	CREATE TABLE lone_1 PARTITION OF lone FOR VALUES IN (1);
	CREATE TABLE lone_2 PARTITION OF lone FOR VALUES IN (2);};
my $plain = q{
	CREATE TABLE part (id int, region int, note text, PRIMARY KEY (id, region));
	CREATE TABLE lone (id int, region int, PRIMARY KEY (id, region));};
my @tables = qw(listing narrow watched ignored plain emptied per_statement stream part lone);

$publisher->safe_psql('postgres', qq{
	$tables $plain
	INSERT INTO listing SELECT i, i, 'note ' || i FROM generate_series(1, 1000) i;
	INSERT INTO narrow SELECT * FROM listing;
	INSERT INTO watched SELECT i, 0 FROM generate_series(1, 100) i;
	INSERT INTO ignored SELECT * FROM watched;
	INSERT INTO plain SELECT * FROM watched;
	INSERT INTO emptied SELECT i FROM generate_series(1, 50) i;
	INSERT INTO per_statement SELECT i FROM generate_series(1, 50) i;
	INSERT INTO stream SELECT i, repeat('x', 500) FROM generate_series(1, 1000) i;
	INSERT INTO part SELECT i, 1 + i % 2, 'note' FROM generate_series(1, 100) i;
	INSERT INTO lone SELECT i, 1 FROM generate_series(1, 100) i;
	CREATE PUBLICATION everything FOR TABLE } . join(', ', @tables));

# The subscription's owner is the role that counts.
$subscriber->safe_psql('postgres', qq{
	CREATE EXTENSION fortress_guard;
	CREATE ROLE regress_subscriber SUPERUSER LOGIN;
	$tables $partitioned
	SELECT fortress.protect('listing', delete_rows => 10, update_rows => 20);
	SELECT fortress.protect('narrow', delete_rows => 5, update_rows => 5, columns => '{price}');
	SELECT fortress.protect('watched', mode => 'audit', delete_rows => 5, update_rows => 5);
	SELECT fortress.protect('ignored', mode => 'off', delete_rows => 5, update_rows => 5);
	SELECT fortress.protect('emptied');
	SELECT fortress.protect('per_statement', archive => 'none');
	SELECT fortress.set_limit('per_statement', 'delete', 4, 'statement');
	SELECT fortress.protect('stream', delete_rows => 10);
	SELECT fortress.protect('part', delete_rows => 5, update_rows => 10);
	SELECT fortress.protect('lone_1', delete_rows => 5, update_rows => 10);
	SELECT fortress.set_limit(t::regclass, 'delete', 100000, '1 hour')
		FROM unnest('{listing,narrow,watched,ignored,emptied,per_statement,stream,part,lone_1}'::text[]) t;});
my $connection = $publisher->connstr . ' dbname=postgres';
$subscriber->safe_psql('postgres', qq{
	SET SESSION AUTHORIZATION regress_subscriber;
	CREATE SUBSCRIPTION sub CONNECTION '$connection' PUBLICATION everything});
ok($subscriber->poll_query_until('postgres', q{SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel}),
	'the first copy is not hindered');

sub there { return $subscriber->safe_psql('postgres', $_[0]) }

# Rows and archived rows of a table, as the subscriber has them.
sub rows { return there("SELECT count(*) FROM $_[0]") }

sub archived
{
	my ($table, $what) = @_;

	$what //= 'count(*)';
	return there("SELECT format('SELECT $what FROM %s', fortress.shadow_of('$table')) \\gexec");
}

# What the audit log has of a table: event, operation, rows, limit, SQLSTATE.
sub events
{
	my ($table) = @_;

	return there(qq{
		SELECT concat_ws(' ', event, operation, rows, max_rows, detail ->> 'sqlstate') FROM fortress.audit_log
		WHERE relation = '$table'::regclass AND event IN ('blocked', 'observed', 'permitted') ORDER BY id});
}

sub has_events
{
	my ($table, $n, $name) = @_;

	ok($subscriber->poll_query_until('postgres', qq{
			SELECT count(*) >= $n FROM fortress.audit_log
			WHERE relation = '$table'::regclass AND event IN ('blocked', 'observed', 'permitted')}), $name);
}

sub catch_up { $publisher->wait_for_catchup('sub') }

sub publish { $publisher->safe_psql('postgres', $_[0]) }

# Waits until the worker has failed so many times from a place in the log on.
sub wait_for_refusals
{
	my ($from, $pattern, $times) = @_;
	my $found = 0;

	foreach (1 .. 600)
	{
		my $log = substr(slurp_file($subscriber->logfile), $from);

		$found = () = $log =~ /$pattern/g;
		return 1 if $found >= $times;
		Time::HiRes::usleep(100_000);
	}
	return 0;
}

# Leaves out the transaction that the worker cannot apply.
sub leave_out
{
	my ($from) = @_;
	my $log = substr(slurp_file($subscriber->logfile), $from);

	my ($lsn) = $log =~ m{in transaction \d+, finished at ([0-9A-F]+/[0-9A-F]+)};
	there("ALTER SUBSCRIPTION sub SKIP (lsn = '$lsn')");
	catch_up();
}

my $place;

# Within the limits: applied, archived, no event

publish("DELETE FROM listing WHERE id <= 5; UPDATE listing SET price = 0 WHERE id BETWEEN 11 AND 20");
catch_up();
is(rows('listing'), 995, 'deletes within the limits are applied');
is(there('SELECT count(*) FROM listing WHERE price = 0'), 10, 'and updates');
is(archived('listing', "string_agg(DISTINCT concat(fg_op, fg_how, fg_actor), '' '' ORDER BY concat(fg_op, fg_how, fg_actor))"),
	'daregress_subscriber uaregress_subscriber', 'what is archived says that it was applied, and by whom');
is(archived('listing', 'count(*), min(id), max(id), sum(price)'), '15|1|20|170', 'old rows are archived, each once');
is(events('listing'), '', 'without an event');

# The incident: a mass DELETE on the publisher

$place = -s $subscriber->logfile;
publish('DELETE FROM listing');
ok(wait_for_refusals($place, qr/ERROR:  no more than 10 rows of protected table "public.listing" can be deleted in one transaction/, 4),
	'a mass DELETE is refused, again and again');
is(rows('listing'), 995, 'no row goes');
is(archived('listing'), 15, 'and none is archived');
has_events('listing', 1, 'there is an event');
is(events('listing'), 'blocked delete 11 10 ZG001', 'one event, however often it is tried');
is(there(q{SELECT session_role, actual_role, application_name, query IS NULL FROM fortress.audit_log WHERE event = 'blocked'}),
	'regress_subscriber|regress_subscriber||t', 'with the owner of the subscription');
like(there(q{SELECT detail ->> 'message' FROM fortress.audit_log WHERE event = 'blocked'}),
	qr/the limit is 10\. \(.* replication origin "pg_\d+" .*"DELETE" .*"public\.listing" in transaction \d+, finished at/,
	'and with the transaction of the publisher');
my $log = substr(slurp_file($subscriber->logfile), $place);
like($log, qr/HINT:  The subscription tries again by itself\..*SELECT fortress\.exempt\('regress_subscriber', 'public\.listing', '\{delete\}'\)/,
	'the hint names the way to permission');

# It is still the same transaction after a restart of the server

$subscriber->restart('fast');
$place = -s $subscriber->logfile;
ok(wait_for_refusals($place, qr/no more than 10 rows of protected table "public.listing"/, 2), 'it is tried again after a restart');
is(events('listing'), 'blocked delete 11 10 ZG001', 'and still is one event');

# With permission it goes on by itself

there(q{SELECT fortress.exempt('regress_subscriber', 'listing', '{delete}', reason => 'meant')});
catch_up();
is(rows('listing'), 0, 'an exempt role lets it go on');
is(archived('listing'), 1010, 'all of its rows are archived');
has_events('listing', 2, 'what was permitted is an event');
like(there(q{SELECT concat_ws(' ', event, operation, rows, detail ->> 'message') FROM fortress.audit_log
		WHERE event = 'permitted' AND relation = 'listing'::regclass}),
	qr/^permitted delete 995 exemption 1 \(/, 'with all rows');
there(q{SELECT fortress.restore('listing', xid => (SELECT xid::text::xid8 FROM fortress.audit_log WHERE event = 'permitted' AND relation = 'listing'::regclass))});
is(there('SELECT count(*), count(*) FILTER (WHERE price = 0), min(id) FROM listing'), '995|10|6', 'and all of it can be restored');

# Updates count, too, and a higher limit lets them go on

publish("INSERT INTO listing SELECT i, i, 'again' FROM generate_series(2001, 2100) i");
$place = -s $subscriber->logfile;
publish("UPDATE listing SET note = 'changed'");
ok(wait_for_refusals($place, qr/no more than 20 rows of protected table "public.listing" can be updated/, 1), 'a mass UPDATE is refused');
is(there("SELECT count(*) FROM listing WHERE note = 'changed'"), 0, 'no row changes');
there(q{SELECT fortress.set_limit('listing', 'update', 100)});
catch_up();
is(there("SELECT count(*) FROM listing WHERE note = 'changed'"), 100, 'a higher limit lets it go on');
is(archived('listing', "count(*) FILTER (WHERE fg_op = ''u'' AND note = ''again'')"), 100, 'with its old rows archived');
is(events('listing') =~ s/.*\n//sr, 'blocked update 21 20 ZG001', 'without another event');

# A window over several transactions; each refused one is an event of its own

there(q{SELECT fortress.protect('plain', delete_rows => 10); SELECT fortress.set_limit('plain', 'delete', 12, '1 hour')});
publish("DELETE FROM plain WHERE id <= 6");
publish("DELETE FROM plain WHERE id BETWEEN 7 AND 12");
catch_up();
is(rows('plain'), 88, 'a window is used up');
for my $id (13, 14)
{
	$place = -s $subscriber->logfile;
	publish("DELETE FROM plain WHERE id = $id");
	ok(wait_for_refusals($place, qr/no more than 12 rows of protected table "public.plain" can be deleted within/, 2), 'one more row is refused');
	leave_out($place);
}
is(rows('plain'), 88, 'two transactions were left out');
has_events('plain', 2, 'they are two events');
is(events('plain'), "blocked delete 13 12 ZG002\nblocked delete 13 12 ZG002", 'of one refused row each');

# Only guarded columns count; everything is archived

publish("UPDATE narrow SET note = 'other'; UPDATE narrow SET price = price + 1 WHERE id <= 5");
catch_up();
is(there("SELECT count(*) FROM narrow WHERE note = 'other'"), 1000, 'columns that are not guarded are free');
is(archived('narrow'), 1005, 'and archived');
$place = -s $subscriber->logfile;
publish("UPDATE narrow SET price = price + 1 WHERE id <= 6");
ok(wait_for_refusals($place, qr/no more than 5 rows of protected table "public.narrow" can be updated/, 1), 'guarded ones are not');
leave_out($place);
is(there("SELECT sum(price) FROM narrow WHERE id <= 5"), 20, 'they did not change');

# Audit mode and mode off

publish("DELETE FROM watched WHERE id <= 50; UPDATE watched SET n = 1; DELETE FROM ignored");
catch_up();
is(rows('watched'), 50, 'audit mode lets pass');
is(archived('watched'), 100, 'and archives');
has_events('watched', 2, 'what it observed are events');
is(events('watched'), "observed delete 50 5\nobserved update 50 5", 'one for each operation');
is(rows('ignored'), 0, 'mode off lets pass');
is(archived('ignored'), 0, 'and archives nothing');
is(events('ignored'), '', 'without an event');

# TRUNCATE

$place = -s $subscriber->logfile;
publish('TRUNCATE emptied');
ok(wait_for_refusals($place, qr/TRUNCATE of protected table "public.emptied" is refused/, 3), 'TRUNCATE is refused');
is(rows('emptied'), 50, 'no row goes');
has_events('emptied', 1, 'there is an event');
is(events('emptied'), 'blocked truncate ZG004', 'one');
there(q{SELECT fortress.exempt('regress_subscriber', 'emptied', '{truncate}')});
catch_up();
is(rows('emptied'), 0, 'with permission it goes on');
is(archived('emptied', 'count(*), min(fg_op)'), '50|t', 'and everything is archived');

# A limit per statement: all of a transaction is one

publish('DELETE FROM per_statement WHERE id <= 4');
catch_up();
is(rows('per_statement'), 46, 'a small transaction passes a limit per statement');
$place = -s $subscriber->logfile;
publish('BEGIN; DELETE FROM per_statement WHERE id <= 7; DELETE FROM per_statement WHERE id <= 9; COMMIT');
ok(wait_for_refusals($place, qr/no more than 4 rows of protected table "public.per_statement" can be deleted in one statement/, 1),
	'a larger one is refused, whatever its statements were');
leave_out($place);
is(rows('per_statement'), 46, 'as a whole');

# Partitions: rows count for the root, a moved row is an update

publish(q{
	BEGIN;
	DELETE FROM part WHERE id IN (1, 2, 3, 4);
	UPDATE part SET region = 3 - region WHERE id BETWEEN 11 AND 16;
	UPDATE part SET note = 'changed' WHERE id BETWEEN 21 AND 24;
	COMMIT});
catch_up();
is(there('SELECT count(*), count(*) FILTER (WHERE id BETWEEN 11 AND 16 AND region = 1 + (id + 1) % 2) FROM part'), '96|6',
	'moved rows are no deletes');
is(there(q{SELECT format('SELECT string_agg(concat(fg_op, n), '' '' ORDER BY fg_op) FROM (SELECT fg_op, count(*) n FROM %s GROUP BY 1) s', fortress.shadow_of('part')) \gexec}),
	'd4 u10', 'they are archived as updates');
is(events('part'), '', 'within the limits');
$place = -s $subscriber->logfile;
publish('UPDATE part SET region = 3 - region WHERE id BETWEEN 31 AND 41');
ok(wait_for_refusals($place, qr/no more than 10 rows of protected table "public.part" can be updated/, 1), 'too many moved rows are refused');
leave_out($place);
$place = -s $subscriber->logfile;
publish('DELETE FROM part WHERE id BETWEEN 91 AND 96');
ok(wait_for_refusals($place, qr/no more than 5 rows of protected table "public.part" can be deleted/, 1), 'too many deleted rows of all partitions are, too');
leave_out($place);
is(rows('part'), 96, 'all of them stay');
$place = -s $subscriber->logfile;
publish('TRUNCATE part');
ok(wait_for_refusals($place, qr/TRUNCATE of protected table "public.part(_1)?" is refused/, 1), 'TRUNCATE of the root is refused');
leave_out($place);
is(rows('part'), 96, 'all of them still stay');

# A partition that is protected by itself

publish('DELETE FROM lone WHERE id <= 5; UPDATE lone SET region = 2 WHERE id BETWEEN 11 AND 20');
catch_up();
is(rows('lone_1'), 85, 'a partition with a policy of its own');
is(there(q{SELECT format('SELECT string_agg(concat(fg_op, n), '' '' ORDER BY fg_op) FROM (SELECT fg_op, count(*) n FROM %s GROUP BY 1) s', fortress.shadow_of('lone_1')) \gexec}),
	'd5 u10', 'archives each row once');
publish('DELETE FROM lone WHERE region = 2');
catch_up();
is(rows('lone_2'), 0, 'its neighbour is not guarded');
$place = -s $subscriber->logfile;
publish('DELETE FROM lone');
ok(wait_for_refusals($place, qr/no more than 5 rows of protected table "public.lone_1" can be deleted/, 1), 'and it is');
leave_out($place);

# A large transaction in progress, sent in pieces

{
	there('ALTER SUBSCRIPTION sub SET (streaming = on)');
	$publisher->append_conf('postgresql.conf', "logical_decoding_work_mem = 64kB");
	$publisher->reload;
	$place = -s $subscriber->logfile;
	publish('BEGIN; UPDATE stream SET filler = filler WHERE id > 500; SAVEPOINT s; DELETE FROM stream WHERE id <= 400; ROLLBACK TO s; DELETE FROM stream WHERE id <= 11; COMMIT');
	ok(wait_for_refusals($place, qr/no more than 10 rows of protected table "public.stream" can be deleted/, 3), 'a transaction that is sent in pieces is refused');
	is(rows('stream'), 1000, 'as a whole');
	has_events('stream', 1, 'there is an event');
	is(events('stream'), 'blocked delete 11 10 ZG001', 'one');
	there("SELECT fortress.set_limit('stream', 'delete', 11)");
	catch_up();
	is(rows('stream'), 989, 'a higher limit lets it go on');
}

# Transactions that the publisher prepares

my $twice = q{CREATE TABLE twice (id int PRIMARY KEY); INSERT INTO twice SELECT i FROM generate_series(1, 20) i;};
publish("$twice CREATE PUBLICATION twice FOR TABLE twice");
there("$twice SELECT fortress.protect('twice', delete_rows => 4)");
there("SET SESSION AUTHORIZATION regress_subscriber; CREATE SUBSCRIPTION twice CONNECTION '$connection' PUBLICATION twice WITH (copy_data = false, two_phase = true)");
ok($subscriber->poll_query_until('postgres', q{SELECT subtwophasestate = 'e' FROM pg_subscription WHERE subname = 'twice'}), 'a subscription with two phases');
publish("BEGIN; DELETE FROM twice WHERE id <= 4; PREPARE TRANSACTION 'small'");
$publisher->wait_for_catchup('twice');
is(there('SELECT count(*) FROM pg_prepared_xacts'), 1, 'a prepared transaction within the limits is applied');
publish("COMMIT PREPARED 'small'");
$publisher->wait_for_catchup('twice');
is(rows('twice') . ' ' . archived('twice'), '16 4', 'and committed with its archive');
$place = -s $subscriber->logfile;
publish("BEGIN; DELETE FROM twice; PREPARE TRANSACTION 'large'");
ok(wait_for_refusals($place, qr/no more than 4 rows of protected table "public.twice" can be deleted/, 1), 'a larger one is refused');
there("SELECT fortress.set_limit('twice', 'delete', 16)");
$publisher->wait_for_catchup('twice');
publish("ROLLBACK PREPARED 'large'");
$publisher->wait_for_catchup('twice');
is(rows('twice') . ' ' . archived('twice'), '16 4', 'what is rolled back leaves nothing');
is(events('twice'), 'blocked delete 5 4 ZG001', 'but the event');
there('DROP SUBSCRIPTION twice');

# Rows of statements that a trigger runs in the worker: counted as theirs, once

there(q{
	SELECT fortress.set_limit('per_statement', 'delete', 100, 'statement');
	CREATE FUNCTION also() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
	BEGIN
		DELETE FROM listing WHERE id BETWEEN 3000 + OLD.id * 10 AND 3009 + OLD.id * 10;
		UPDATE part SET note = 'also' WHERE id = 50;
		RETURN NULL;
	END $$;
	CREATE TRIGGER also AFTER DELETE ON per_statement FOR EACH ROW EXECUTE FUNCTION also();
	ALTER TABLE per_statement ENABLE ALWAYS TRIGGER also;
	SELECT fortress.revoke_exemption(id) FROM fortress.exemptions;
	INSERT INTO listing SELECT i, 1, 'trigger' FROM generate_series(3000, 3999) i;
});
my $before = archived('listing');
my $before_part = archived('part');
publish('DELETE FROM per_statement WHERE id = 20');
catch_up();
is(there("SELECT count(*) FROM listing WHERE note = 'trigger'"), 990, 'a trigger of a replicated table deletes rows, too');
is(archived('listing') - $before, 10, 'which are archived once');
is(archived('part') - $before_part, 1, 'in a partition, too');
$place = -s $subscriber->logfile;
publish('DELETE FROM per_statement WHERE id IN (21, 22)');
ok(wait_for_refusals($place, qr/no more than 10 rows of protected table "public.listing" can be deleted in one transaction/, 3),
	'and they count');
is(there(q{SELECT count(*) FROM fortress.audit_log WHERE relation = 'listing'::regclass AND operation = 'delete' AND event = 'blocked'}), 2,
	'as one event');
leave_out($place);
is(there("SELECT count(*) FROM listing WHERE note = 'trigger'"), 990, 'the rows stay');

# A session that says it were a replica: its statements are counted and archived as ever

$before = archived('listing');
there(q{SET session_replication_role = replica; DELETE FROM listing WHERE id BETWEEN 3900 AND 3904; UPDATE listing SET price = 7 WHERE id BETWEEN 3905 AND 3914;
	DELETE FROM part WHERE id = 60; UPDATE part SET region = 3 - region WHERE id = 61;});
is(archived('listing') - $before, 15, 'session_replication_role = replica archives once');
my ($code, $out, $err) = $subscriber->psql('postgres', q{SET session_replication_role = replica; DELETE FROM listing WHERE id BETWEEN 3905 AND 3915});
like($err, qr/no more than 10 rows/, 'and is held to the limits');
is($subscriber->psql('postgres', q{SET session_replication_role = replica; DELETE FROM listing WHERE id BETWEEN 3905 AND 3914}), 0, 'which are not reached before');

# The triggers

is(there(q{SELECT DISTINCT string_agg(concat(tgname, ' ', tgenabled), ', ' ORDER BY tgname) FROM pg_trigger
		WHERE tgname LIKE 'fortress%' AND tgrelid IN ('listing'::regclass, 'part_1'::regclass, 'lone_1'::regclass) GROUP BY tgrelid}),
	'fortress_guard_delete A, fortress_guard_replica R, fortress_guard_truncate A, fortress_guard_update A',
	'every table with rows has the trigger for replicas');
is(there(q{SELECT string_agg(tgname, ', ' ORDER BY tgname) FROM pg_trigger WHERE tgname LIKE 'fortress%' AND tgrelid = 'part'::regclass}),
	'fortress_guard_delete, fortress_guard_truncate, fortress_guard_update', 'a partitioned table has none');
is(there(q{SELECT count(*) FROM fortress.verify_guard() WHERE ok IS NOT TRUE AND piece <> 'setting fsync'}), 0,
	'verify_guard() finds nothing wrong');
is(there(q{SELECT ok FROM fortress.verify_audit()}), 't', 'nor verify_audit()');
is(there(q{SELECT count(*) FROM pg_class WHERE relnamespace = 'fortress_shadow'::regnamespace AND relkind = 'r' AND relreplident <> 'f'}), 0,
	'archives can be replicated');
is(there(q{SELECT count(*) FROM fortress.window_use() WHERE who NOT IN ('regress_subscriber', 'postgres')}), 0,
	'what is remembered of refusals is no window');

# Both sides protected

$publisher->append_conf('postgresql.conf', "shared_preload_libraries = 'fortress_guard'");
$publisher->restart;
publish(q{CREATE EXTENSION fortress_guard; SELECT fortress.protect('narrow', delete_rows => 50)});
$place = -s $subscriber->logfile;
publish('DELETE FROM narrow WHERE id BETWEEN 71 AND 80');
ok(wait_for_refusals($place, qr/no more than 5 rows of protected table "public.narrow" can be deleted/, 1),
	'what the publisher lets pass is judged again');
leave_out($place);
is(rows('narrow'), 1000, 'no row goes');

# Without the library, the trigger refuses

publish("INSERT INTO emptied VALUES (1), (2)");
catch_up();
$subscriber->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$subscriber->restart;
$place = -s $subscriber->logfile;
publish('DELETE FROM emptied WHERE id = 1');
ok(wait_for_refusals($place, qr/DELETE of protected table "public.emptied" is refused: fortress_guard is not preloaded/, 2),
	'nothing is applied without the library');
is(rows('emptied'), 2, 'no row goes');
$subscriber->append_conf('postgresql.conf', "shared_preload_libraries = 'fortress_guard'");
$subscriber->restart;
catch_up();
is(rows('emptied'), 1, 'it goes on with it');

unlike(slurp_file($subscriber->logfile), qr/PANIC:|TRAP:|was terminated by signal/, 'nothing crashed');
$subscriber->stop;
$publisher->stop;
done_testing();
