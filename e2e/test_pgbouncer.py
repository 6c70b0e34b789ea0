"""Transaction pooling: two clients take turns on one server connection, and a
permission of one never becomes the other's, nor outlives its transaction."""

import contextlib
import re
import socket
import struct
import threading

import harness
import libpq
from harness import GuardTest, PgBouncer, WEB, changed, one, rows


class Pooled:
    """What must hold whatever PgBouncer does between two transactions."""

    reset = ''                          # server_reset_query, run after each transaction
    stale_hint = 'The token in fortress.token was set in an earlier transaction and counts no more'

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.pool = PgBouncer({'server_reset_query': cls.reset,
                              'server_reset_query_always': 1 if cls.reset else 0})
        cls.addClassCleanup(cls.pool.stop)
        if one(cls.root, "SELECT to_regrole('regress_exempt') IS NULL"):
            rows(cls.root, 'CREATE ROLE regress_exempt ROLE ' + WEB)
        rows(cls.root, "SELECT fortress.exempt('regress_exempt', 'listing')")

    def setUp(self):
        super().setUp()
        self.ann = self.client()
        self.ben = self.client()
        # what the test before has left in the server connection
        rows(self.ann, 'RESET fortress.token')

    def client(self, **options):
        return self.connect(**self.pool.where(), **options)

    def bare(self):
        """A client of libpq."""
        client = libpq.Connection(dbname=self.database, user=WEB, **self.pool.where())
        self.addCleanup(client.close)
        return client

    def server(self, connection):
        return one(connection, 'SELECT pg_backend_pid()')

    def nobody_may(self, hint=None):
        """Neither client has a permission."""
        for client in (self.ben, self.ann, self.ben):
            error = self.refused('ZG001', client, self.over)
            if hint:
                self.assertIn(hint, error.diag.message_hint)
            else:
                self.assertNotIn('earlier transaction', error.diag.message_hint)
        self.assertEqual(self.count(), 1000)

    # what makes the other tests mean something

    def test_both_share_one_server_connection(self):
        first = self.server(self.ann)
        self.assertEqual(self.server(self.ben), first)
        self.assertEqual(self.server(self.ann), first)

    def test_without_permission_both_have_limits(self):
        self.nobody_may()
        self.assertEqual(changed(self.ben, self.within), 2)

    # the ways to unlock

    def works_once(self, *opening):
        """What opens a transaction permits in it and not after it; the rows come back."""
        rows(self.ann, 'BEGIN')
        for sql, *parameters in opening:
            rows(self.ann, sql, *parameters)
        self.assertEqual(changed(self.ann, self.over), 5)
        rows(self.ann, 'COMMIT')
        self.put_back()

    def test_unlock_ends_with_its_transaction(self):
        self.works_once(('SELECT fortress.unlock(%s)', self.token(uses=9)))
        self.nobody_may()

    def test_unlock_ends_with_a_rollback(self):
        secret = self.token(reason=self.id())
        rows(self.ann, 'BEGIN')
        rows(self.ann, 'SELECT fortress.unlock(%s)', secret)
        self.assertEqual(changed(self.ann, self.over), 5)
        rows(self.ann, 'ROLLBACK')
        self.assertEqual(self.spent(self.id()), 0)
        self.nobody_may()

    def test_unlock_without_begin_is_gone_with_its_statement(self):
        rows(self.ann, 'SELECT fortress.unlock(%s)', self.token(uses=9))
        self.nobody_may()

    def test_several_statements_in_one_message(self):
        self.assertEqual(changed(self.ann, 'SELECT fortress.unlock(%s); ' + self.over, self.token(uses=9)), 5)
        self.put_back()
        self.nobody_may()

    def test_set_local_ends_with_its_transaction(self):
        self.works_once(('SET LOCAL fortress.token = %s', self.token(uses=9)))
        self.nobody_may()

    def test_set_local_without_begin_does_nothing(self):
        rows(self.ann, 'SET LOCAL fortress.token = %s', self.token(uses=9))
        self.nobody_may()

    def test_set_without_local_counts_for_one_transaction(self):
        secret = self.token(uses=9, reason=self.id())
        self.works_once(('SET fortress.token = %s', secret))
        self.nobody_may(self.stale_hint)
        self.assertEqual(self.spent(self.id()), 1)

    def test_set_outside_of_a_transaction_counts_for_none(self):
        rows(self.ann, 'SET fortress.token = %s', self.token(uses=9, reason=self.id()))
        self.nobody_may(self.stale_hint)
        self.assertEqual(self.spent(self.id()), 0)

    def test_set_config_for_the_transaction(self):
        self.works_once(("SELECT set_config('fortress.token', %s, true)", self.token(uses=9)))
        self.nobody_may()

    def test_set_config_for_the_session(self):
        self.works_once(("SELECT set_config('fortress.token', %s, false)", self.token(uses=9)))
        self.nobody_may(self.stale_hint)

    def test_session_scope_is_refused(self):
        secret = self.token(uses=9)
        self.refused('55000', self.ann, "SELECT fortress.unlock(%s, 'session')", secret)
        self.nobody_may()

    def test_set_local_role_to_an_exempt_role(self):
        self.works_once(('SET LOCAL ROLE regress_exempt',))
        self.nobody_may()

    def test_an_approved_request(self):
        request = one(self.ann, "SELECT fortress.request_unlock('{listing}', '{delete}', 10, 'pooled')")
        with contextlib.closing(harness.connect(self.database, harness.ADMIN)) as admin:
            rows(admin, 'SELECT fortress.approve_unlock(%s)', request)
        self.nobody_may()
        self.works_once(('SELECT fortress.unlock_request(%s)', request))
        self.nobody_may()
        self.refused('ZG009', self.ben, 'SELECT fortress.unlock_request(%s)', request)

    def test_a_code(self):
        uri = one(self.root, 'SELECT fortress.enroll_totp(%s)', WEB)
        code = harness.code_now(re.search(r'[?&]secret=(\w+)', uri)[1])
        self.works_once(('SELECT fortress.unlock_totp(%s)', code))
        self.nobody_may()
        self.refused('ZG009', self.ben, 'SELECT fortress.unlock_totp(%s)', code)

    def test_a_secret_is_shown_to_nobody(self):
        secret = self.token(uses=9)
        rows(self.ann, 'SET fortress.token = %s', secret)
        for client in (self.ann, self.ben):
            self.assertNotIn(secret, str(rows(client, 'SHOW fortress.token')))
            self.assertNotIn(secret, str(rows(client, "SELECT * FROM pg_settings WHERE name = 'fortress.token'")))
            self.assertNotIn(secret, str(rows(client, "SELECT current_setting('fortress.token')")))

    # from the other side: what one leaves behind does not hurt the other

    def test_a_stale_token_does_not_hurt_the_other(self):
        rows(self.ann, 'SET fortress.token = %s', self.token(valid_for='1 microsecond'))
        self.assertEqual(changed(self.ben, self.within), 2)
        self.put_back()
        rows(self.ben, 'BEGIN')
        rows(self.ben, 'SELECT fortress.unlock(%s)', self.token())
        self.assertEqual(changed(self.ben, self.over), 5)
        rows(self.ben, 'COMMIT')
        self.put_back()
        rows(self.ben, 'BEGIN')
        rows(self.ben, 'SET LOCAL fortress.token = %s', self.token())
        self.assertEqual(changed(self.ben, self.over), 5)
        rows(self.ben, 'COMMIT')
        self.put_back()
        self.nobody_may(self.stale_hint)

    def test_lock_of_one_leaves_the_other_alone(self):
        rows(self.ann, 'SELECT fortress.lock()')
        rows(self.ben, 'BEGIN')
        rows(self.ben, 'SELECT fortress.unlock(%s)', self.token())
        self.assertEqual(changed(self.ben, self.over), 5)
        rows(self.ben, 'ROLLBACK')
        self.nobody_may()

    def test_permission_by_turns(self):
        for client, other in ((self.ann, self.ben), (self.ben, self.ann)) * 2:
            rows(client, 'BEGIN')
            rows(client, 'SELECT fortress.unlock(%s)', self.token())
            self.assertEqual(changed(client, self.over), 5)
            rows(client, 'COMMIT')
            self.put_back()
            self.refused('ZG001', other, self.over)

    # after errors

    def fails_with_permission(self, code, *statements):
        """A transaction that has unlocked and then fails: nothing is left of it."""
        secret = self.token(max_rows=10, reason=self.id())
        rows(self.ann, 'BEGIN')
        rows(self.ann, 'SELECT fortress.unlock(%s)', secret)
        self.assertEqual(changed(self.ann, self.over), 5)
        for sql in statements[:-1]:
            rows(self.ann, sql)
        self.refused(code, self.ann, statements[-1])
        self.refused('25P02', self.ann, self.over)
        rows(self.ann, 'COMMIT')            # which rolls back
        self.assertEqual(self.spent(self.id()), 0)
        self.nobody_may()
        # the use was given back
        self.works_once(('SELECT fortress.unlock(%s)', secret))

    def test_an_error_in_the_transaction(self):
        self.fails_with_permission('22012', 'SELECT 1 / 0')

    def test_a_refusal_in_the_transaction(self):
        self.fails_with_permission('ZG001', 'DELETE FROM listing WHERE id BETWEEN 6 AND 600')

    def test_an_error_in_a_savepoint_that_has_unlocked(self):
        secret = self.token(reason=self.id())
        rows(self.ann, 'BEGIN; SAVEPOINT here')
        rows(self.ann, 'SELECT fortress.unlock(%s)', secret)
        self.assertEqual(changed(self.ann, self.over), 5)
        self.refused('22012', self.ann, 'SELECT 1 / 0')
        rows(self.ann, 'ROLLBACK TO here')
        self.refused('ZG001', self.ann, self.over)
        rows(self.ann, 'ROLLBACK TO here; COMMIT')
        self.assertEqual(self.spent(self.id()), 0)
        self.nobody_may()

    def test_an_error_at_the_commit(self):
        secret = self.token(reason=self.id())
        rows(self.ann, 'BEGIN')
        rows(self.ann, 'SELECT fortress.unlock(%s)', secret)
        self.assertEqual(changed(self.ann, self.over), 5)
        rows(self.ann, 'INSERT INTO plain VALUES (1), (1)')
        self.refused('23505', self.ann, 'COMMIT')
        self.assertEqual(self.spent(self.id()), 0)
        self.nobody_may()

    # clients that go away

    def test_a_client_goes_away_in_mid_transaction(self):
        secret = self.token(reason=self.id())
        server = self.server(self.ann)
        rows(self.ann, 'BEGIN')
        rows(self.ann, 'SELECT fortress.unlock(%s)', secret)
        self.assertEqual(changed(self.ann, self.over), 5)
        self.ann.close()
        harness.wait_until(lambda: one(self.root, 'SELECT count(*) FROM pg_stat_activity WHERE pid = %s', server) == 0,
                           'for the end of the server connection')
        self.ann = self.client()
        self.nobody_may()
        self.assertEqual(self.spent(self.id()), 0)
        self.works_once(('SELECT fortress.unlock(%s)', secret))

    def test_a_client_goes_away_between_transactions(self):
        server = self.server(self.ann)
        self.works_once(('SET fortress.token = %s', self.token(uses=9)))
        self.ann.close()
        self.ann = self.client()
        self.assertEqual(self.server(self.ann), server)
        self.nobody_may(self.stale_hint)

    # prepared statements

    def test_protocol_level_prepared_statements(self):
        ann, ben = self.bare(), self.bare()
        self.assertEqual(ann.run('BEGIN'), '0 rows')
        self.assertEqual(ann.prepare('wipe', 'DELETE FROM listing WHERE id <= $1::int'), '0 rows')
        self.assertEqual(ann.run_with('SELECT fortress.unlock($1)', self.token(uses=9)), '1 rows')
        self.assertEqual(ann.run_prepared('wipe', 5), '5 rows')
        self.assertEqual(ann.run('COMMIT'), '0 rows')
        self.put_back()
        # both can reach the plan that was made with permission, unless it was reset
        for client in (ben, ann, ben):
            self.assertEqual(client.run_prepared('wipe', 5), '26000' if self.reset else 'ZG001')
        if self.reset == '':
            self.assertEqual(ben.run_prepared('wipe', 2), '2 rows')
        self.put_back()
        self.nobody_may()

    def test_prepared_statements_of_sql(self):
        rows(self.ann, 'BEGIN')
        rows(self.ann, 'PREPARE wipe2 AS ' + self.over)
        rows(self.ann, 'SELECT fortress.unlock(%s)', self.token(uses=9))
        # often enough for a generic plan
        for _ in range(7):
            rows(self.ann, 'SAVEPOINT here')
            self.assertEqual(changed(self.ann, 'EXECUTE wipe2'), 5)
            rows(self.ann, 'ROLLBACK TO here')
        rows(self.ann, 'COMMIT')
        self.refused('26000' if self.reset else 'ZG001', self.ben, 'EXECUTE wipe2')
        self.nobody_may()

    def test_unnamed_statements_with_parameters(self):
        ann, ben = self.bare(), self.bare()
        wipe = 'DELETE FROM listing WHERE id <= $1::int'
        for _ in range(3):
            ann.run('BEGIN')
            ann.run_with('SELECT fortress.unlock($1)', self.token())
            self.assertEqual(ann.run_with(wipe, 5), '5 rows')
            ann.run('ROLLBACK')
            self.assertEqual(ben.run_with(wipe, 5), 'ZG001')
            self.assertEqual(ann.run_with(wipe, 5), 'ZG001')
        self.nobody_may()

    def test_pipelines(self):
        ann, ben = self.bare(), self.bare()
        wipe = ('DELETE FROM listing WHERE id <= $1::int', 5)
        self.assertEqual(ann.run_pipeline(('SELECT fortress.unlock($1)', self.token(uses=9)), wipe),
                         ['1 rows', '5 rows'])
        self.put_back()
        self.assertEqual(ben.run_pipeline(wipe), ['ZG001'])
        self.assertEqual(ann.run_pipeline(wipe), ['ZG001'])
        self.nobody_may()

    # settings at the start of a connection

    def test_the_connection_string_gives_nothing(self):
        """PgBouncer refuses options it does not know; none of them may become a permission."""
        secret = self.token(uses=9, reason=self.id())
        try:
            client = self.client(options='-c fortress.token=' + secret)
        except harness.psycopg2.OperationalError:
            pass
        else:
            self.refused('ZG001', client, self.over)
        self.nobody_may()
        self.assertEqual(self.spent(self.id()), 0)

    def test_a_parameter_of_the_startup_packet_gives_nothing(self):
        secret = self.token(uses=9, reason=self.id())
        with socket.socket(socket.AF_UNIX) as raw:
            raw.settimeout(10)
            raw.connect('%s/.s.PGSQL.%d' % (self.pool.directory, self.pool.port))
            words = ['user', WEB, 'database', self.database, 'fortress.token', secret]
            packet = struct.pack('!I', 196608) + b''.join(word.encode() + b'\0' for word in words) + b'\0'
            raw.sendall(struct.pack('!I', len(packet) + 4) + packet)
            self.assertEqual(raw.recv(1), b'E')
        self.nobody_may()
        self.assertEqual(self.spent(self.id()), 0)

    # at the same time

    def test_many_turns_at_once(self):
        """One client always unlocks, two never do: only the first gets through."""
        secret = self.token(uses=100, reason=self.id())
        stop = threading.Event()
        outcomes = []

        def without_permission(client):
            while not stop.is_set():
                try:
                    rows(client, self.over)
                    outcomes.append('deleted')
                except harness.psycopg2.Error as error:
                    outcomes.append(error.pgcode)

        others = [threading.Thread(target=without_permission, args=(client,)) for client in (self.ben, self.client())]
        for other in others:
            other.start()
        try:
            for _ in range(50):
                rows(self.ann, 'BEGIN')
                rows(self.ann, 'SELECT fortress.unlock(%s)', secret)
                self.assertEqual(changed(self.ann, self.over), 5)
                rows(self.ann, 'ROLLBACK')
        finally:
            stop.set()
            for other in others:
                other.join()
        self.assertGreater(len(outcomes), 10)
        self.assertEqual(set(outcomes), {'ZG001'})
        self.assertEqual(self.count(), 1000)


class NoReset(Pooled, GuardTest):
    """As PgBouncer does it in transaction pooling: nothing is reset."""

    database = 'pooled'


class ResetAlways(Pooled, GuardTest):
    """With DISCARD ALL after each transaction."""

    database = 'pooled_reset'
    reset = 'DISCARD ALL'
    stale_hint = None


class Settings(GuardTest):
    """PgBouncer's own settings that could carry a token."""

    database = 'pool_settings'

    def pool(self, *arguments):
        pool = PgBouncer(*arguments)
        self.addCleanup(pool.stop)
        return pool

    def test_ignored_startup_options_give_nothing(self):
        pool = self.pool({'ignore_startup_parameters': 'options'})
        client = self.connect(options='-c fortress.token=' + self.token(uses=9), **pool.where())
        self.refused('ZG001', client, self.over)

    def test_connect_query_is_stale_for_every_client(self):
        secret = self.token(uses=9, reason=self.id())
        pool = self.pool((), "connect_query='SET fortress.token = ''%s'''" % secret)
        for _ in range(2):
            client = self.connect(**pool.where())
            error = self.refused('ZG001', client, self.over)
            self.assertIn('earlier transaction', error.diag.message_hint)
        self.assertEqual(self.spent(self.id()), 0)

    def test_prepared_statements_that_pgbouncer_tracks(self):
        if not PgBouncer.tracks_statements():
            self.skipTest('this PgBouncer does not')
        pool = self.pool({'max_prepared_statements': 10})
        ann, ben = (libpq.Connection(dbname=self.database, user=WEB, **pool.where()) for _ in range(2))
        for client in (ann, ben):
            self.addCleanup(client.close)
            self.assertEqual(client.prepare('wipe', 'DELETE FROM listing WHERE id <= $1::int'), '0 rows')
        ann.run('BEGIN')
        ann.run_with('SELECT fortress.unlock($1)', self.token(uses=9))
        self.assertEqual(ann.run_prepared('wipe', 5), '5 rows')
        ann.run('COMMIT')
        self.put_back()
        for client in (ben, ann, ben):
            self.assertEqual(client.run_prepared('wipe', 5), 'ZG001')

    def test_session_pooling_with_session_scope(self):
        """Where a session is one client's until it leaves, DISCARD ALL takes its permission along."""
        harness.configure(self.root, 'fortress.session_unlock = on')
        self.addCleanup(harness.configure, self.root, 'fortress.session_unlock = off')
        pool = self.pool({'pool_mode': 'session', 'server_reset_query': 'DISCARD ALL'})
        secret = self.token(uses=1)
        ann = self.connect(**pool.where())
        server = one(ann, 'SELECT pg_backend_pid()')
        rows(ann, "SELECT fortress.unlock(%s, 'session')", secret)
        self.assertEqual(changed(ann, self.over), 5)
        self.put_back()
        self.assertEqual(changed(ann, self.over), 5)
        self.put_back()
        ann.close()
        ben = self.connect(**pool.where())
        self.assertEqual(one(ben, 'SELECT pg_backend_pid()'), server)
        self.refused('ZG001', ben, self.over)
