# The library must be preloaded: without it nothing can be set up, and what was
# protected before refuses to lose anything.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# Runs SQL; returns its SQLSTATE ('' if it passed) and all that psql said.
sub attempt
{
	my ($node, $sql) = @_;
	my ($status, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql",
		on_error_stop => 1);
	my ($code) = $err =~ /(?:ERROR|FATAL):  ([0-9A-Z]{5}):/;
	$code = 'unknown' if !defined $code && $status != 0;
	return ($code // '', $err);
}

my $node = PostgreSQL::Test::Cluster->new('preload');
$node->init;
$node->start;

# Never preloaded

my ($code, $err) = attempt($node, 'CREATE EXTENSION fortress_guard');
isnt($code, '', 'CREATE EXTENSION fails where the library is not preloaded');
like($err, qr/shared_preload_libraries/, 'and says which setting it needs');
like($err, qr/HINT:.*restart/si, 'and that the server has to be restarted');
is( $node->safe_psql('postgres', "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'fortress%'"),
	'0', 'nothing of the extension is left behind by the failure');

($code, $err) = attempt($node, "LOAD 'fortress_guard'; SELECT 1;");
is($node->safe_psql('postgres', 'SELECT 1'), '1', 'a late LOAD does not hurt the server');

# Preloaded

$node->append_conf('postgresql.conf', "shared_preload_libraries = 'fortress_guard'");
$node->restart;

$node->safe_psql(
	'postgres', q{
	CREATE EXTENSION fortress_guard;
	SELECT fortress.require_preload();
	CREATE TABLE guarded (id int PRIMARY KEY, v int);
	CREATE TABLE bare (id int PRIMARY KEY, v int);
	CREATE TABLE parts (id int, v int) PARTITION BY RANGE (id);
	CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (500);
	CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (500) TO (1000);
	CREATE TABLE plain_archive (id int PRIMARY KEY, v int);
	INSERT INTO guarded SELECT i, 0 FROM generate_series(1, 500) i;
	INSERT INTO bare SELECT i, 0 FROM generate_series(1, 500) i;
	INSERT INTO parts SELECT i, 0 FROM generate_series(0, 999) i;
	INSERT INTO plain_archive SELECT i, 0 FROM generate_series(1, 500) i;
	SELECT fortress.protect('guarded');
	SELECT fortress.protect('parts');
	SELECT fortress.protect('plain_archive', archive => 'none');
});
is( (attempt($node, 'DELETE FROM guarded WHERE id <= 5'))[0],
	'', 'a DELETE within the limits passes');
is((attempt($node, 'DELETE FROM guarded'))[0],
	'ZG003', 'a DELETE without WHERE is refused');
is( $node->safe_psql('postgres', 'SELECT count(*) FROM guarded'),
	'495', 'and deletes nothing');

# The preload is taken away again

$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;

my @refused = (
	'DELETE FROM guarded WHERE id = 10',
	'DELETE FROM guarded',
	'UPDATE guarded SET v = 1 WHERE id = 10',
	'TRUNCATE guarded',
	'DELETE FROM parts WHERE id = 10',
	'DELETE FROM parts_2 WHERE id = 700',
	'UPDATE parts SET v = 1 WHERE id = 10',
	'TRUNCATE parts',
	'TRUNCATE parts_1',
	'DELETE FROM plain_archive WHERE id = 10',
	'UPDATE plain_archive SET v = 1 WHERE id = 10',
	'TRUNCATE plain_archive',
	"INSERT INTO guarded VALUES (10, 1) ON CONFLICT (id) DO UPDATE SET v = 1",
	'MERGE INTO guarded g USING bare b ON g.id = b.id WHEN MATCHED THEN DELETE');
foreach my $sql (@refused)
{
	($code, $err) = attempt($node, $sql);
	is($code, 'ZG010', "without the preload this is refused: $sql");
	like($err, qr/shared_preload_libraries/, 'with the reason');
}
is( $node->safe_psql('postgres',
		'SELECT (SELECT count(*) FROM guarded), (SELECT count(*) FROM parts), (SELECT count(*) FROM plain_archive)'),
	'495|1000|500',
	'nothing was lost');
is( $node->safe_psql('postgres', 'SELECT count(*) FROM guarded WHERE v <> 0'),
	'0', 'nothing was changed');

is((attempt($node, 'INSERT INTO guarded VALUES (1001, 0)'))[0],
	'', 'INSERT into a protected table passes without the preload');
is((attempt($node, 'DELETE FROM bare WHERE id <= 400; UPDATE bare SET v = 1; TRUNCATE bare'))[0],
	'', 'a table that is not protected does not mind');
isnt((attempt($node, "SELECT fortress.protect('bare')"))[0],
	'', 'protect() fails without the preload');
isnt((attempt($node, "SELECT fortress.unprotect('guarded')"))[0],
	'', 'unprotect() fails without the preload');

# no permission is given that nobody could record, and that would hold later
foreach my $sql (
	"SELECT fortress.exempt(current_user::regrole)",
	'SELECT fortress.issue_token()',
	"SELECT fortress.request_unlock('{guarded}', '{delete}', 5, 'why')",
	"SELECT fortress.require_approval('guarded', '{delete}')")
{
	is((attempt($node, $sql))[0], '55000', "without the preload there is no permission: $sql");
}
is( $node->safe_psql('postgres', 'SELECT count(*) FROM fortress.exemption UNION ALL SELECT count(*) FROM fortress.token UNION ALL SELECT count(*) FROM fortress.request'),
	"0\n0\n0", 'nor is any left behind');
is( $node->safe_psql('postgres', 'SELECT ok, rows > 0 FROM fortress.verify_audit()'),
	't|t', 'the audit log can be verified without it');

# And back

$node->append_conf('postgresql.conf', "shared_preload_libraries = 'fortress_guard'");
$node->restart;

is((attempt($node, 'DELETE FROM guarded WHERE id = 10'))[0],
	'', 'with the preload back, a DELETE within the limits passes');
is((attempt($node, 'DELETE FROM guarded'))[0],
	'ZG003', 'and one without WHERE is refused');
is( $node->safe_psql('postgres', "SELECT count(*) FROM fortress.policy"),
	'3', 'the policies are all there');

$node->stop;
done_testing();
