"""An application of Django: the errors it sees, transaction.atomic(),
migrations that need a token, and the databases of its test runner.

The project is in site/.  Its role owns its tables, as is usual.
"""

import contextlib
import os
import subprocess
import sys
import unittest

import psycopg2

import harness
from harness import connect, one, rows

SITE = os.path.join(harness.ROOT, 'site')
SHOP = 'regress_shop'

sys.path.insert(0, SITE)
os.environ['DJANGO_SETTINGS_MODULE'] = 'settings'
os.environ['SHOP_DATABASE'] = 'shop'

import django                                                       # noqa: E402

django.setup()

from django.db import DatabaseError, connection, connections, transaction    # noqa: E402
from django.test import Client                                               # noqa: E402

from shop.models import Customer, Line, Note, Order                          # noqa: E402


def setUpModule():
    with contextlib.closing(connect('postgres')) as root:
        rows(root, 'CREATE ROLE %s LOGIN CREATEDB' % SHOP)
        rows(root, 'CREATE DATABASE shop_template IS_TEMPLATE true')
    with contextlib.closing(connect('shop_template')) as root:
        rows(root, 'CREATE EXTENSION fortress_guard; GRANT ALL ON SCHEMA public TO ' + SHOP)


def tearDownModule():
    connections.close_all()


def make_database(name):
    """As Django makes its test databases: a copy of the template, owned by the application."""
    with contextlib.closing(connect('postgres')) as root:
        rows(root, 'CREATE DATABASE %s TEMPLATE shop_template OWNER %s' % (name, SHOP))
    return connect(name)


def manage(*arguments, database, **environment):
    """Runs manage.py; returns its exit code and all that it said."""
    done = subprocess.run([sys.executable, 'manage.py', *arguments], cwd=SITE,
                          env={**os.environ, 'SHOP_DATABASE': database, **environment},
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=120, check=False)
    return done.returncode, done.stdout


def issue(root, operations, relations=None, **bounds):
    names = ''.join(', %s => %%s' % name for name in bounds)
    return one(root, 'SELECT fortress.issue_token(%s, %s' + names + ')', relations, operations, *bounds.values())


class ShopTest(unittest.TestCase):
    """The database of the settings, with all migrations applied."""

    @classmethod
    def setUpClass(cls):
        with contextlib.closing(connect('postgres')) as root:
            there = one(root, "SELECT count(*) FROM pg_database WHERE datname = 'shop'")
        cls.root = connect('shop') if there else make_database('shop')
        cls.addClassCleanup(cls.root.close)
        if not there:
            secret = issue(cls.root, '{ddl,update}', uses=2)
            code, said = manage('migrate', database='shop', PGOPTIONS='-c fortress.token=' + secret,
                                SHOP_UNLOCK=secret)
            assert code == 0, said
            rows(cls.root, "SELECT fortress.drop_limit('shop_order', 'delete', '1 hour')")
            rows(cls.root, "SELECT fortress.drop_limit('shop_line', 'delete', '1 hour')")

    def setUp(self):
        self.put_back()

    def put_back(self):
        rows(self.root, """
            SELECT fortress.unlock(fortress.issue_token());
            INSERT INTO shop_customer VALUES (1, 'Ann') ON CONFLICT DO NOTHING;
            INSERT INTO shop_order (id, customer_id, total, remark, express)
                SELECT i, 1, i, '', false FROM generate_series(1, 100) i
                ON CONFLICT (id) DO UPDATE SET total = excluded.total, remark = '';
            INSERT INTO shop_line (id, order_id, article)
                SELECT i, 1 + i % 100, 'article' FROM generate_series(1, 200) i ON CONFLICT DO NOTHING;
            DELETE FROM shop_note""")

    def token(self, operations='{delete,update}', **bounds):
        return issue(self.root, operations, **bounds)

    @contextlib.contextmanager
    def refused(self, code):
        """Django gives a refusal as its DatabaseError, of no subclass; the code is its cause's."""
        with self.assertRaises(DatabaseError) as caught:
            yield caught
        self.assertIs(type(caught.exception), DatabaseError)
        cause = caught.exception.__cause__
        self.assertIs(type(cause), psycopg2.DatabaseError)
        self.assertEqual(cause.pgcode, code, cause)

    def run_sql(self, sql, *parameters):
        with connection.cursor() as cursor:
            cursor.execute(sql, parameters)


class Limits(ShopTest):
    """The ORM's ways to change many rows."""

    def tearDown(self):
        # nothing was lost and nothing changed
        self.assertEqual(rows(self.root, """SELECT (SELECT count(*) FROM shop_order),
            (SELECT count(*) FROM shop_line), (SELECT sum(total) FROM shop_order)"""), [(100, 200, 5050)])

    def test_delete_of_a_queryset(self):
        with self.refused('ZG001') as caught:
            Order.objects.filter(total__gt=20).delete()
        diag = caught.exception.__cause__.diag
        self.assertIn(diag.table_name, ('shop_order', 'shop_line'))
        self.assertIn('fortress.issue_token', diag.message_hint)

    def test_delete_of_everything(self):
        with self.refused('ZG001'):
            Order.objects.all().delete()

    def test_fast_delete_has_no_condition(self):
        """Nothing points at lines, so Django sends DELETE FROM shop_line."""
        with self.refused('ZG003'):
            Line.objects.all().delete()

    def test_raw_delete(self):
        with self.refused('ZG001'):
            Order.objects.filter(total__gt=20)._raw_delete('default')

    def test_update_without_condition(self):
        with self.refused('ZG003'):
            Order.objects.update(total=0)

    def test_update_of_a_queryset(self):
        with self.refused('ZG001'):
            Order.objects.filter(total__gt=20).update(total=0)

    def test_bulk_update(self):
        orders = list(Order.objects.order_by('id')[:30])
        for order in orders:
            order.total = 0
        for batch_size in (None, 5):
            with self.refused('ZG001'):
                Order.objects.bulk_update(orders, ['total'], batch_size=batch_size)

    def test_save_in_a_loop_in_one_transaction(self):
        with self.refused('ZG001'), transaction.atomic():
            for order in Order.objects.all():
                order.total = 0
                order.save()

    def test_delete_in_a_loop_in_one_transaction(self):
        with self.refused('ZG001'), transaction.atomic():
            for order in Order.objects.all():
                order.delete()

    def test_raw_sql(self):
        with self.refused('ZG003'):
            self.run_sql('DELETE FROM shop_line')

    def test_what_fits_passes(self):
        with transaction.atomic():
            order = Order.objects.select_for_update().get(id=1)
            order.remark = 'seen'
            order.save()
            self.assertEqual(Order.objects.filter(id__lte=9).update(remark='done'), 9)
        self.assertEqual(Order.objects.filter(id__lte=5).delete()[1], {'shop.Order': 5, 'shop.Line': 10})
        self.put_back()

    def test_reading_and_inserting_are_free(self):
        self.assertEqual(len(list(Order.objects.iterator(chunk_size=7))), 100)
        with transaction.atomic():
            customer = Customer.objects.get()
            Order.objects.bulk_create(Order(id=1000 + i, customer=customer, total=1) for i in range(200))
            transaction.set_rollback(True)


class Windows(ShopTest):
    def test_a_loop_of_transactions(self):
        """The incident: authorised deletions, one by one."""
        rows(self.root, "SELECT fortress.set_limit('shop_order', 'delete', 20, per => '1 hour')")
        self.addCleanup(rows, self.root, "SELECT fortress.drop_limit('shop_order', 'delete', '1 hour')")
        deleted = 0
        with self.refused('ZG002'):
            for order in Order.objects.all():
                order.delete()
                deleted += 1
        self.assertEqual(deleted, 20)
        self.assertEqual(Order.objects.count(), 80)


class Atomic(ShopTest):
    """Permission and refusals in transaction.atomic()."""

    over = staticmethod(lambda: Order.objects.filter(id__lte=20).update(total=1))

    def unlock(self, secret=None):
        self.run_sql('SELECT fortress.unlock(%s)', secret or self.token())

    def test_unlock(self):
        with transaction.atomic():
            self.unlock()
            self.assertEqual(self.over(), 20)
        with self.refused('ZG001'):
            self.over()

    def test_set_local(self):
        with transaction.atomic():
            self.run_sql('SET LOCAL fortress.token = %s', self.token())
            self.assertEqual(self.over(), 20)
        with self.refused('ZG001'):
            self.over()

    def test_cascades_of_django(self):
        """Deleted lines count, also those that Django deletes on its own account."""
        with transaction.atomic():
            self.unlock(self.token(max_rows=150))
            Order.objects.filter(id__lte=40).delete()
        self.assertEqual((Order.objects.count(), Line.objects.count()), (60, 120))

    def test_without_atomic_unlock_is_gone(self):
        self.unlock()
        with self.refused('ZG001'):
            self.over()

    def test_unlock_in_an_inner_block_holds_to_the_end_of_the_transaction(self):
        with transaction.atomic():
            with transaction.atomic():
                self.unlock()
            self.assertEqual(self.over(), 20)
        with self.refused('ZG001'):
            self.over()

    def test_unlock_in_an_inner_block_that_is_rolled_back(self):
        secret = self.token(reason=self.id())
        with transaction.atomic():
            with contextlib.suppress(ZeroDivisionError), transaction.atomic():
                self.unlock(secret)
                self.over()
                raise ZeroDivisionError
            with self.refused('ZG001'), transaction.atomic():
                self.over()
        self.assertEqual(one(self.root, 'SELECT used FROM fortress.tokens WHERE reason = %s', self.id()), 0)

    def test_a_refusal_in_an_inner_block(self):
        """The outer block goes on, but what was refused stays charged until it ends."""
        with transaction.atomic():
            Note.objects.create(text='before')
            with self.refused('ZG001'), transaction.atomic():
                self.over()
            with self.refused('ZG001'), transaction.atomic():
                Order.objects.filter(id=1).update(total=0)
            # another operation of the table, another table
            self.assertEqual(Order.objects.filter(id=1).delete()[1]['shop.Order'], 1)
            Note.objects.create(text='after')
        self.assertEqual(Note.objects.count(), 2)
        self.assertEqual(Order.objects.filter(id=2).update(total=0), 1)

    def test_an_inner_block_without_refusal_gives_rows_back(self):
        with transaction.atomic():
            for _ in range(3):
                with contextlib.suppress(ZeroDivisionError), transaction.atomic():
                    self.assertEqual(Order.objects.filter(id__lte=10).update(total=0), 10)
                    raise ZeroDivisionError
            self.assertEqual(Order.objects.filter(id__lte=10).update(total=0), 10)

    def test_a_refusal_without_an_inner_block_breaks_the_transaction(self):
        with self.assertRaises(transaction.TransactionManagementError), transaction.atomic():
            with self.refused('ZG001'):
                self.over()
            Note.objects.count()
        self.assertEqual(Note.objects.count(), 0)

    def test_permission_is_gone_on_commit(self):
        outcome = []

        def afterwards():
            with self.refused('ZG001'):
                self.over()
            outcome.append('refused')

        with transaction.atomic():
            self.unlock()
            transaction.on_commit(afterwards)
        self.assertEqual(outcome, ['refused'])

    def test_a_request(self):
        """ATOMIC_REQUESTS: a refusal is an error 500 and leaves nothing behind."""
        client = Client(raise_request_exception=False)
        self.assertEqual(client.get('/wipe/80').status_code, 500)
        self.assertEqual((Note.objects.count(), Order.objects.count()), (0, 100))
        # the persistent connection is as good as before
        server = one_of_django('SELECT pg_backend_pid()')
        self.assertEqual(client.get('/wipe/5').content, b'15 rows')
        self.assertEqual((Note.objects.count(), Order.objects.count()), (1, 95))
        self.assertEqual(one_of_django('SELECT pg_backend_pid()'), server)


def one_of_django(sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


class Migrations(unittest.TestCase):
    """Each test has a database with 50 orders, migrated up to 0003 without any permission."""

    number = 0

    def setUp(self):
        Migrations.number += 1
        self.database = 'migrations_%d' % self.number
        self.root = make_database(self.database)
        self.addCleanup(self.root.close)
        self.migrate('0003')
        rows(self.root, """INSERT INTO shop_customer VALUES (1, 'Ann');
            INSERT INTO shop_order (id, customer_id, total, note, legacy_code, express)
                SELECT i, 1, i, '', 'L' || i, false FROM generate_series(1, 50) i""")

    def migrate(self, target, **environment):
        code, said = manage('migrate', 'shop', target, database=self.database, **environment)
        self.assertEqual(code, 0, said)

    def migrate_in_vain(self, target, **environment):
        """What Django says of the first error."""
        code, said = manage('migrate', 'shop', target, database=self.database, **environment)
        self.assertEqual(code, 1, said)
        return said

    def columns(self):
        return [name for (name,) in rows(self.root, """SELECT attname FROM pg_attribute
            WHERE attrelid = 'shop_order'::regclass AND attnum > 0 AND NOT attisdropped""")]

    def applied(self):
        return one(self.root, "SELECT max(name) FROM django_migrations WHERE app = 'shop'")

    def used(self):
        return one(self.root, 'SELECT sum(used) FROM fortress.tokens')

    def test_what_only_adds_needs_no_permission(self):
        self.assertEqual(self.applied(), '0003_grow')
        self.assertIn('express', self.columns())
        self.assertEqual(one(self.root, "SELECT count(*) FROM fortress.audit_log WHERE event = 'blocked'"), 0)

    def test_a_refused_migration_says_why_and_leaves_nothing(self):
        said = self.migrate_in_vain('0004')
        self.assertIn('django.db.utils.DatabaseError', said)
        self.assertIn('protected table "public.shop_order" is refused', said)
        self.assertIn('DETAIL:', said)
        self.assertIn("SELECT fortress.issue_token('{public.shop_order}', '{ddl}')", said)
        self.assertEqual(self.applied(), '0003_grow')
        self.assertIn('note', self.columns())

    def test_with_pgoptions(self):
        secret = issue(self.root, '{ddl}', '{shop_order}')
        self.migrate('0004', PGOPTIONS='-c fortress.token=' + secret)
        self.assertIn('remark', self.columns())
        self.assertEqual(self.used(), 1)

    def test_with_options_in_the_settings(self):
        secret = issue(self.root, '{ddl}', '{shop_order}')
        self.migrate('0004', DJANGO_SETTINGS_MODULE='settings_with_token', FORTRESS_TOKEN=secret)
        self.assertIn('remark', self.columns())

    def test_with_unlock_in_the_migration(self):
        self.migrate('0004', PGOPTIONS='-c fortress.token=' + issue(self.root, '{ddl}', '{shop_order}'))
        self.assertIn('no more than 10 rows', self.migrate_in_vain('0005'))
        self.assertIn('token is not valid', self.migrate_in_vain('0005', SHOP_UNLOCK='nonsense'))
        # too small a token: all of it is rolled back, and the use given back
        secret = issue(self.root, '{update}', '{shop_order}', reason='small')
        self.assertIn('is refused', self.migrate_in_vain('0005', SHOP_UNLOCK=secret))
        self.assertEqual(one(self.root, "SELECT used FROM fortress.tokens WHERE reason = 'small'"), 0)
        self.assertEqual(one(self.root, "SELECT count(*) FROM shop_order WHERE remark = 'legacy'"), 0)
        self.migrate('0005', SHOP_UNLOCK=issue(self.root, '{update,ddl}', '{shop_order}'))
        self.assertNotIn('legacy_code', self.columns())
        self.assertEqual(one(self.root, "SELECT count(*) FROM shop_order WHERE remark = 'legacy'"), 50)
        self.assertEqual(self.applied(), '0005_remove')

    def test_each_migration_takes_a_use(self):
        """Each is a transaction; a token from the connection is redeemed by those that need it."""
        unlock = issue(self.root, '{update}')
        secret = issue(self.root, '{ddl}', reason='one')
        self.assertIn('token is not valid', self.migrate_in_vain(
            '0005', PGOPTIONS='-c fortress.token=' + secret, SHOP_UNLOCK=unlock))
        self.assertEqual(self.applied(), '0004_rename')
        self.migrate('0005', PGOPTIONS='-c fortress.token=' + issue(self.root, '{ddl}'), SHOP_UNLOCK=unlock)

    def test_migrations_that_need_nothing_take_no_use(self):
        secret = issue(self.root, '{ddl}')
        code, said = manage('migrate', 'shop', '0003', database=self.database, PGOPTIONS='-c fortress.token=' + secret)
        self.assertEqual((code, self.used()), (0, 0), said)

    def test_going_back_needs_a_token_too(self):
        code, said = manage('migrate', 'shop', 'zero', database=self.database)
        self.assertEqual(code, 1)
        self.assertIn('is refused', said)
        secret = issue(self.root, '{ddl}', uses=None)
        self.migrate('zero', PGOPTIONS='-c fortress.token=' + secret)
        self.assertIsNone(one(self.root, "SELECT to_regclass('shop_order')"))

    def test_flush(self):
        code, said = manage('flush', '--no-input', '--traceback', database=self.database)
        self.assertEqual(code, 1)
        self.assertIn('TRUNCATE of protected table', said)
        self.assertEqual(one(self.root, 'SELECT count(*) FROM shop_order'), 50)
        secret = issue(self.root, '{truncate}')
        code, said = manage('flush', '--no-input', database=self.database, PGOPTIONS='-c fortress.token=' + secret)
        self.assertEqual(code, 0, said)
        self.assertEqual(one(self.root, 'SELECT count(*) FROM shop_order'), 0)


class TestRunner(unittest.TestCase):
    """"manage.py test" makes a database, empties its tables, and drops it."""

    def setUp(self):
        self.root = connect('postgres')
        self.addCleanup(self.root.close)

    def there(self, name):
        return one(self.root, 'SELECT count(*) FROM pg_database WHERE datname = %s', name) == 1

    def test_where_test_databases_are_ignored(self):
        harness.configure(self.root, "fortress.ignore_databases = 'test_*'")
        self.addCleanup(harness.configure, self.root, "fortress.ignore_databases = ''")
        for _ in range(2):
            code, said = manage('test', '--no-input', database='shop', SHOP_TEST_DATABASE='test_ignored')
            self.assertEqual(code, 0, said)
            self.assertIn('Ran 2 tests', said)
            self.assertFalse(self.there('test_ignored'))

    def test_where_they_are_not(self):
        # the migrations are stopped as they would be in production
        code, said = manage('test', '--no-input', database='shop', SHOP_TEST_DATABASE='test_guarded')
        self.assertEqual(code, 1)
        self.assertIn('protected table "public.shop_order" is refused', said)
        self.assertTrue(self.there('test_guarded'))
        # and so is the attempt to begin anew
        code, said = manage('test', '--no-input', database='shop', SHOP_TEST_DATABASE='test_guarded')
        self.assertNotEqual(code, 0)
        self.assertIn('DROP DATABASE', said)
        self.assertTrue(self.there('test_guarded'))
        with contextlib.closing(connect('test_guarded')) as inside:
            rows(inside, 'SELECT fortress.allow_drop_database()')
        with contextlib.closing(connect('postgres', SHOP)) as shop:
            rows(shop, 'DROP DATABASE test_guarded')
        self.assertFalse(self.there('test_guarded'))
