"""What an application sees through psycopg2, and how it goes on afterwards."""

import io
import json

import psycopg2
import psycopg2.errorcodes
import psycopg2.errors
import psycopg2.extras

import harness
from harness import ADMIN, GuardTest, changed, one, rows


class Errors(GuardTest):
    """The class, the code and the fields of each error."""

    database = 'errors'

    def setUp(self):
        super().setUp()
        self.web = self.connect()

    def check(self, code, sql, *parameters, connection=None, table='listing', hint='fortress'):
        """A refusal is a DatabaseError and none of its subclasses: psycopg2 knows no class ZG."""
        error = self.refused(code, connection or self.web, sql, *parameters)
        self.assertIs(type(error), psycopg2.DatabaseError)
        self.assertEqual(error.diag.sqlstate, code)
        self.assertEqual(error.diag.severity_nonlocalized, 'ERROR')
        if table:
            self.assertEqual((error.diag.schema_name, error.diag.table_name), ('public', table))
            self.assertIn('"public.%s"' % table, error.diag.message_primary)
        self.assertRegex(error.diag.message_detail or 'None.', r'^[A-Z].*\.$')
        self.assertRegex(error.diag.message_hint, r'^[A-Z].*\.$')
        self.assertIn(hint, error.diag.message_hint)
        return error

    def test_the_codes_are_unknown_to_psycopg2(self):
        """So an application compares pgcode; it cannot name a class in "except"."""
        for number in range(1, 14):
            code = 'ZG%03d' % number
            with self.assertRaises(KeyError):
                psycopg2.errors.lookup(code)
            with self.assertRaises(KeyError):
                psycopg2.errorcodes.lookup(code)

    def test_row_limit(self):
        error = self.check('ZG001', self.over, hint='fortress.issue_token')
        self.assertIn('no more than 3 rows', error.diag.message_primary)
        self.assertIn('the limit is 3', error.diag.message_detail)

    def test_row_limit_of_updates(self):
        self.check('ZG001', 'UPDATE listing SET price = 0 WHERE id <= 5', hint="'{update}'")

    def test_window_limit(self):
        rows(self.root, "SELECT fortress.set_limit('listing', 'delete', 2, per => '1 hour')")
        self.addCleanup(rows, self.root, "SELECT fortress.drop_limit('listing', 'delete', '1 hour')")
        self.assertEqual(changed(self.web, self.within), 2)
        self.check('ZG002', 'DELETE FROM listing WHERE id = 3')

    def test_where(self):
        self.check('ZG003', 'DELETE FROM listing')
        self.check('ZG003', 'UPDATE listing SET price = 0 WHERE %s', True)

    def test_truncate(self):
        self.check('ZG004', 'TRUNCATE listing', hint="'{truncate}'")

    def test_ddl(self):
        self.check('ZG005', 'DROP TABLE listing', connection=self.root, hint="'{ddl}'")
        self.check('ZG005', 'ALTER TABLE listing RENAME COLUMN price TO cost', connection=self.root, hint="'{ddl}'")

    def test_token(self):
        for secret in ('nonsense', self.token(valid_for='1 microsecond'), self.token(for_role=ADMIN)):
            self.check('ZG009', 'SELECT fortress.unlock(%s)', secret, table=None)

    def test_the_guard_itself(self):
        self.check('ZG011', "INSERT INTO fortress.exemption (id) VALUES (1)", connection=self.root, table=None)

    def test_a_secret_is_in_no_message(self):
        secret = self.token(valid_for='1 microsecond')
        for sql in ('SELECT fortress.unlock(%s)', 'SET fortress.token = %s; ' + self.over):
            error = self.refused('ZG009', self.web, sql, secret)
            diag = error.diag
            for text in (str(error), diag.message_primary, diag.message_detail, diag.message_hint,
                         diag.context, diag.internal_query):
                self.assertNotIn(secret, text or '')

    def test_a_refusal_is_told_from_other_errors(self):
        """As an application would do it."""
        def outcome(sql):
            try:
                rows(self.web, sql)
            except psycopg2.Error as error:
                if (error.pgcode or '').startswith('ZG'):
                    return 'guard'
                return type(error).__name__
            return 'done'

        self.assertEqual(outcome(self.over), 'guard')
        self.assertEqual(outcome('DELETE FROM nowhere'), 'UndefinedTable')
        self.assertEqual(outcome('INSERT INTO listing VALUES (1, 1)'), 'UniqueViolation')
        self.assertEqual(outcome(self.within), 'done')

    def test_the_application_s_own_words_are_recorded(self):
        who = {'user': 'ann@example.org', 'address': '192.0.2.7'}
        rows(self.web, 'SET fortress.context = %s', json.dumps(who))
        rows(self.web, "SET application_name = 'shop'")
        self.refused('ZG001', self.web, self.over)
        event = """SELECT detail ->> 'context' FROM fortress.audit_log
            WHERE event = 'blocked' AND application_name = 'shop' AND session_role = %s"""
        harness.wait_until(lambda: rows(self.root, event, harness.WEB), 'for the event')
        self.assertEqual(json.loads(one(self.root, event, harness.WEB)), who)


class GoingOn(GuardTest):
    """A connection is as good after a refusal as after any error."""

    database = 'going_on'

    def test_rollback(self):
        web = self.connect(autocommit=False)
        changed(web, 'DELETE FROM listing WHERE id = 1')
        self.refused('ZG001', web, self.over)
        with self.assertRaises(psycopg2.errors.InFailedSqlTransaction):
            rows(web, 'SELECT 1')
        web.rollback()
        self.assertEqual(self.count(), 1000)
        self.assertEqual(changed(web, self.within), 2)
        web.commit()
        self.assertEqual(self.count(), 998)

    def test_the_with_block_rolls_back(self):
        web = self.connect(autocommit=False)
        with self.assertRaises(psycopg2.DatabaseError), web:
            rows(web, 'INSERT INTO plain VALUES (1)')
            rows(web, self.over)
        self.assertEqual(web.info.transaction_status, psycopg2.extensions.TRANSACTION_STATUS_IDLE)
        self.assertEqual(self.count('plain'), 0)
        with web:
            rows(web, 'INSERT INTO plain VALUES (2)')
        self.assertEqual(self.count('plain'), 1)

    def test_savepoints(self):
        """The rows of a refused statement stay charged until the transaction ends."""
        web = self.connect(autocommit=False)
        self.assertEqual(changed(web, 'DELETE FROM listing WHERE id = 1'), 1)
        rows(web, 'SAVEPOINT here')
        self.refused('ZG001', web, 'DELETE FROM listing WHERE id BETWEEN 2 AND 9')
        rows(web, 'ROLLBACK TO here')
        rows(web, "INSERT INTO plain VALUES (3)")
        self.refused('ZG001', web, 'DELETE FROM listing WHERE id = 2')
        rows(web, 'ROLLBACK TO here')
        # other operations and what was done before are as they were
        self.assertEqual(changed(web, 'UPDATE listing SET price = 0 WHERE id <= 4'), 3)
        web.commit()
        self.assertEqual(self.count(), 999)
        self.assertEqual(changed(web, 'DELETE FROM listing WHERE id BETWEEN 2 AND 4'), 3)
        web.commit()

    def test_a_savepoint_without_refusal_gives_rows_back(self):
        web = self.connect(autocommit=False)
        for _ in range(5):
            rows(web, 'SAVEPOINT here')
            self.assertEqual(changed(web, 'DELETE FROM listing WHERE id <= 3'), 3)
            rows(web, 'ROLLBACK TO here')
        self.assertEqual(changed(web, 'DELETE FROM listing WHERE id <= 3'), 3)
        web.commit()

    def test_autocommit(self):
        web = self.connect()
        self.refused('ZG001', web, self.over)
        self.assertEqual(changed(web, 'DELETE FROM listing WHERE id <= 3'), 3)
        self.assertEqual(changed(web, 'DELETE FROM listing WHERE id BETWEEN 4 AND 6'), 3)
        self.assertEqual(self.count(), 994)

    def test_autocommit_gives_unlock_no_transaction(self):
        web = self.connect()
        secret = self.token(reason=self.id())
        rows(web, 'SELECT fortress.unlock(%s)', secret)
        self.refused('ZG001', web, self.over)
        # the use went with the statement that redeemed it
        self.refused('ZG009', web, 'SELECT fortress.unlock(%s)', secret)

    def test_unlock_in_a_transaction(self):
        web = self.connect(autocommit=False)
        with web:
            rows(web, 'SELECT fortress.unlock(%s)', self.token())
            self.assertEqual(changed(web, self.over), 5)
        with self.assertRaises(psycopg2.DatabaseError), web:
            rows(web, 'DELETE FROM listing WHERE id BETWEEN 6 AND 10')
        self.assertEqual(self.count(), 995)

    def test_set_local(self):
        web = self.connect(autocommit=False)
        with web:
            rows(web, 'SET LOCAL fortress.token = %s', self.token())
            self.assertEqual(changed(web, self.over), 5)
        with self.assertRaises(psycopg2.DatabaseError), web:
            rows(web, 'DELETE FROM listing WHERE id BETWEEN 6 AND 10')
        self.assertEqual(self.count(), 995)

    def test_session_scope_is_off(self):
        web = self.connect()
        with self.assertRaises(psycopg2.errors.ObjectNotInPrerequisiteState):
            rows(web, "SELECT fortress.unlock(%s, 'session')", self.token())
        self.refused('ZG001', web, self.over)

    def test_the_connection_string_holds_for_the_connection(self):
        secret = self.token(uses=2, reason=self.id())
        web = self.connect(options='-c fortress.token=' + secret)
        for _ in range(2):
            self.assertEqual(changed(web, self.over), 5)
            self.put_back()
        self.refused('ZG009', web, self.over)
        self.assertEqual(changed(web, self.within), 2)
        self.assertEqual(self.spent(self.id()), 2)
        self.assertNotIn(secret, one(web, 'SHOW fortress.token'))

    def test_the_connection_string_is_dead_after_a_reset(self):
        """psycopg2's reset() is what connection pools call."""
        web = self.connect(autocommit=False, options='-c fortress.token=' + self.token(uses=9))
        self.assertEqual(changed(web, self.over), 5)
        web.rollback()
        web.reset()
        web.autocommit = True
        self.refused('ZG001', web, self.over)


class Roads(GuardTest):
    """The ways by which psycopg2 sends many rows."""

    database = 'roads'

    def test_executemany_in_one_transaction(self):
        web = self.connect(autocommit=False)
        with self.assertRaises(psycopg2.DatabaseError) as caught, web, web.cursor() as cursor:
            cursor.executemany('DELETE FROM listing WHERE id = %s', [(i,) for i in range(1, 10)])
        self.assertEqual(caught.exception.pgcode, 'ZG001')
        self.assertEqual(self.count(), 1000)

    def test_executemany_within_the_limit(self):
        web = self.connect(autocommit=False)
        with web, web.cursor() as cursor:
            cursor.executemany('DELETE FROM listing WHERE id = %s', [(i,) for i in range(1, 4)])
        self.assertEqual(self.count(), 997)

    def test_execute_batch_and_execute_values(self):
        web = self.connect(autocommit=False)
        for send in (
                lambda cursor: psycopg2.extras.execute_batch(
                    cursor, 'DELETE FROM listing WHERE id = %s', [(i,) for i in range(1, 10)]),
                lambda cursor: psycopg2.extras.execute_values(
                    cursor, 'UPDATE listing SET price = d.p FROM (VALUES %s) d (i, p) WHERE id = d.i',
                    [(i, 0) for i in range(1, 10)]),
                lambda cursor: psycopg2.extras.execute_values(
                    cursor, 'INSERT INTO listing VALUES %s ON CONFLICT (id) DO UPDATE SET price = 0',
                    [(i, 0) for i in range(1, 10)])):
            with self.assertRaises(psycopg2.DatabaseError) as caught, web, web.cursor() as cursor:
                send(cursor)
            self.assertEqual(caught.exception.pgcode, 'ZG001')
        self.assertEqual(one(self.root, 'SELECT count(*) FROM listing WHERE price = id'), 1000)

    def test_a_named_cursor_reads_on_within_permission(self):
        """A cursor that reads is left alone; the rows it finds are deleted one by one up to the limit."""
        web = self.connect(autocommit=False)
        reader = web.cursor('reader')
        reader.itersize = 10
        reader.execute('SELECT id FROM listing ORDER BY id FOR UPDATE')
        deleted = 0
        with self.assertRaises(psycopg2.DatabaseError) as caught:
            for (row,) in reader:
                deleted += changed(web, 'DELETE FROM listing WHERE id = %s', row)
        self.assertEqual((caught.exception.pgcode, deleted), ('ZG001', 3))
        web.rollback()
        self.assertEqual(self.count(), 1000)

    def test_where_current_of_a_named_cursor(self):
        web = self.connect(autocommit=False)
        reader = web.cursor('reader')
        reader.execute('SELECT id FROM listing ORDER BY id FOR UPDATE')
        for _ in range(3):
            reader.fetchone()
            self.assertEqual(changed(web, 'DELETE FROM listing WHERE CURRENT OF reader'), 1)
        reader.fetchone()
        self.refused('ZG001', web, 'DELETE FROM listing WHERE CURRENT OF reader')
        web.rollback()

    def test_copy_of_a_statement(self):
        web = self.connect()
        with web.cursor() as cursor:
            out = io.StringIO()
            with self.assertRaises(psycopg2.DatabaseError) as caught:
                cursor.copy_expert('COPY (%s RETURNING id) TO STDOUT' % self.over, out)
            self.assertEqual(caught.exception.pgcode, 'ZG001')
            self.assertEqual(self.count(), 1000)
            cursor.copy_expert('COPY (%s RETURNING id) TO STDOUT' % self.within, out)
        self.assertEqual(sorted(out.getvalue().split()[-2:]), ['1', '2'])

    def test_copy_into_the_table_is_free(self):
        web = self.connect()
        with web.cursor() as cursor:
            cursor.copy_from(io.StringIO(''.join('%d\t0\n' % i for i in range(1001, 1201))), 'listing')
        self.assertEqual(self.count(), 1200)
        with self.connect(autocommit=False) as web:
            rows(web, 'SELECT fortress.unlock(%s)', self.token())
            changed(web, 'DELETE FROM listing WHERE id > 1000')

    def test_two_phase_commit(self):
        web = self.connect(autocommit=False)
        web.tpc_begin(web.xid(1, 'shop', 'clean-up'))
        rows(web, 'SELECT fortress.unlock(%s)', self.token(reason=self.id()))
        self.assertEqual(changed(web, self.over), 5)
        web.tpc_prepare()
        self.assertEqual(self.count(), 1000)
        web.tpc_commit()
        self.assertEqual(self.count(), 995)
        self.assertEqual(self.spent(self.id()), 1)
        with self.assertRaises(psycopg2.DatabaseError) as caught:
            rows(web, 'DELETE FROM listing WHERE id BETWEEN 6 AND 10')
        self.assertEqual(caught.exception.pgcode, 'ZG001')
        web.rollback()

    def test_notifications_arrive(self):
        listener = self.connect(ADMIN)
        rows(listener, 'LISTEN fortress_alert')
        self.refused('ZG001', self.connect(), self.over)

        def told():
            listener.poll()
            alerts = [json.loads(notify.payload) for notify in listener.notifies]
            return [alert for alert in alerts if alert['event'] == 'blocked']

        harness.wait_until(told, 'for a notification')
        alert = told()[0]
        self.assertEqual(alert['relation'], 'public.listing')
        self.assertEqual(one(self.root, 'SELECT operation FROM fortress.audit_log WHERE id = %s', alert['id']), 'delete')
