# Index entries that a restore puts in page by page, where pages have other
# lives: replayed by a standby that compares each page with the primary's, cut
# off by a crash, and beside sessions that insert, delete, vacuum and reindex.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('primary');
$node->init(allows_streaming => 1);
$node->append_conf(
	'postgresql.conf', q{
shared_preload_libraries = 'fortress_guard'
wal_consistency_checking = 'all'
autovacuum = off
});
$node->start;

sub value
{
	my ($sql) = @_;
	return $node->safe_psql('postgres', $sql);
}

value(
	q{
	CREATE EXTENSION fortress_guard;
	CREATE TABLE item (id bigint PRIMARY KEY, few int, code text UNIQUE, v text);
	CREATE INDEX item_few ON item (few);
	CREATE INDEX item_part ON item (v, id DESC) WHERE few < 10;
	INSERT INTO item SELECT i * 100, i % 20, md5(i::text), 'good' FROM generate_series(1, 4000) i;
	SELECT fortress.protect('item', delete_rows => 1000000, update_rows => 1000000, require_where => false, archive => 'delete'),
		fortress.drop_limit('item', 'delete', '1 hour');
	CREATE FUNCTION good(t regclass, OUT rows text) LANGUAGE plpgsql AS $$
	BEGIN
		EXECUTE format('SELECT count(*) || '' '' || md5(string_agg(x::text, ''|'' ORDER BY id)) FROM %s x WHERE v = ''good''', t) INTO rows;
	END $$;
});
my $amcheck = value(q{SELECT count(*) FROM pg_available_extensions WHERE name = 'amcheck'});
value('CREATE EXTENSION amcheck') if $amcheck;
my $good = value(q{SELECT good('item')});

# The indexes have just the rows that the table has.
sub whole
{
	my ($server, $what) = @_;

	is( $server->safe_psql('postgres', q{
			SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off;
			SELECT (SELECT count(*) FROM (SELECT id FROM item ORDER BY id OFFSET 0) x) - (SELECT count(*) FROM (SELECT code FROM item ORDER BY code OFFSET 0) x),
				(SELECT count(*) FROM (SELECT few FROM item ORDER BY few OFFSET 0) x) - (SELECT count(*) FROM (SELECT id FROM item ORDER BY id OFFSET 0) x)}),
		'0|0', "$what: each index has all rows");
  SKIP:
	{
		skip 'there is no amcheck', 1 unless $amcheck;
		my ($rc, $out, $err) = $server->psql('postgres',
			q{SELECT bt_index_check(indexrelid, true) FROM pg_index WHERE indrelid = 'item'::regclass AND indisvalid});
		is($err, '', "$what: and nothing else");
	}
	return;
}

# A standby

$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;

foreach my $condition ('true', 'id BETWEEN 100000 AND 300000', 'id % 700 = 0', 'id > 200000')
{
	foreach my $vacuum ('VACUUM item', 'SELECT')
	{
		value("DELETE FROM item WHERE $condition");
		value($vacuum);
		value(q{SELECT fortress.restore('item')});
		value(q{SELECT fortress.purge('0', 'item')});
		is(value(q{SELECT good('item')}), $good, "$condition, $vacuum: all rows are back");
	}
}
whole($node, 'the primary');
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
is($standby->safe_psql('postgres', q{SELECT good('item')}), $good, 'the standby has them, too');
whole($standby, 'the standby');
ok(!$standby->log_contains(qr/inconsistent page|PANIC|FATAL:  .*consisten/), 'and its pages are the same');

# A crash in the middle, and one right after it

value('DELETE FROM item');
value('VACUUM item');
my $session = $node->background_psql('postgres');
$session->query_safe(q{BEGIN; SELECT FROM fortress.restore('item', filter => 'id > 50000')});
value(q{CHECKPOINT; INSERT INTO item VALUES (1, 1, 'x', 'new'); SELECT pg_switch_wal()});
$node->stop('immediate');
$node->start;
$session->{run}->kill_kill;
is(value('SELECT count(*), min(v) FROM item'), '1|new', 'after a crash nothing of an unfinished restore is there');
whole($node, 'crashed');
value(q{SELECT fortress.restore('item'); SELECT fortress.purge('0', 'item')});
$node->stop('immediate');
$node->start;
is(value(q{SELECT good('item')}), $good, 'and all of one that was finished');
whole($node, 'crashed again');

# Other sessions: blocks go and come back, while others put rows between, take
# them away, and make indexes anew

value('ALTER SYSTEM RESET wal_consistency_checking');
$node->append_conf('postgresql.conf', "wal_consistency_checking = ''");
$node->restart;
my %scripts = (
	'block@4' => q{
		\set block random(0, 3)
		SELECT pg_try_advisory_lock(10 + :block)::int AS mine \gset
		\if :mine
			DELETE FROM item WHERE v = 'good' AND id / 100000 = :block;
			VACUUM (SKIP_LOCKED) item;
			SELECT count(*) FROM fortress.restore('item', filter => format('v = %L AND id / 100000 = %s', 'good', :block));
			SELECT pg_advisory_unlock(10 + :block);
		\endif
	},
	'between@8' => q{
		\set id random(1, 4000)
		\set n random(1, 50)
		INSERT INTO item SELECT :id * 100 + i, i, 'b' || md5(:id || '-' || i), 'new' FROM generate_series(1, :n) i ON CONFLICT DO NOTHING;
		DELETE FROM item WHERE id BETWEEN (:id - 20) * 100 AND (:id - 10) * 100 AND v = 'new';
	},
	'anew@1' => q{
		SELECT pg_try_advisory_lock(1)::int AS mine \gset
		\if :mine
			REINDEX TABLE CONCURRENTLY item;
			CREATE INDEX CONCURRENTLY item_more ON item (few DESC, code);
			DROP INDEX CONCURRENTLY item_more;
			SELECT pg_advisory_unlock(1);
		\endif
	});
$node->pgbench('--no-vacuum --client=6 --transactions=60', 0, [qr/actually processed: 360\/360/], [qr/^(WARNING:  skipping vacuum of "item" --- lock not available\n?)*$/],
	'blocks are restored beside others who write', \%scripts);
is(value(q{SELECT good('item')}), $good, 'and are all there in the end');
whole($node, 'beside others');
cmp_ok(value(q{SELECT count(*) FROM item WHERE v = 'new'}), '>', 0, 'with the rows of the others');

$standby->stop;
$node->stop;
done_testing();
