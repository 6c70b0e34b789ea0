"""What the tests with real clients share: databases, connections, PgBouncer.

The server is made and stopped by scripts/test; it is the one that PGHOST and
PGPORT name, its superuser is PGUSER.  Each class of tests makes a database of
its own there.  Databases are left behind: one with protected tables cannot be
dropped just so, and the server is thrown away anyhow.
"""

import base64
import contextlib
import ctypes
import hmac
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

import psycopg2

ROOT = os.path.dirname(os.path.abspath(__file__))
WEB = 'regress_web'						# the application's role
ADMIN = 'regress_admin'					# a member of fortress_admin


def connect(database, user=None, autocommit=True, **options):
    """A connection of psycopg2; user None: the superuser."""
    connection = psycopg2.connect(dbname=database, user=user or os.environ['PGUSER'], **options)
    connection.autocommit = autocommit
    return connection


def rows(connection, sql, *parameters):
    """What a statement gives; None if it gives no rows."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters or None)
        return cursor.fetchall() if cursor.description else None


def one(connection, sql, *parameters):
    """The one value that a query gives."""
    return rows(connection, sql, *parameters)[0][0]


def changed(connection, sql, *parameters):
    """How many rows a statement has changed."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters or None)
        return cursor.rowcount


def wait_until(condition, what, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError('waited in vain: ' + what)
        time.sleep(0.02)


def configure(connection, line):
    """Writes a line into the configuration file, the only way for the guard's settings."""
    name, value = (part.strip() for part in line.split('=', 1))
    with open(one(connection, 'SHOW config_file'), 'a', encoding='utf-8') as config:
        config.write(line + '\n')
    rows(connection, 'SELECT pg_reload_conf()')
    wait_until(lambda: one(connection, 'SELECT current_setting(%s)', name) == value.strip("'"), line)


def code_now(secret):
    """What an authenticator shows (RFC 6238)."""
    step = int(time.time()) // 30
    digest = hmac.digest(base64.b32decode(secret + '=' * (-len(secret) % 8)), step.to_bytes(8, 'big'), 'sha1')
    at = digest[-1] & 15
    return '%06d' % ((int.from_bytes(digest[at:at + 4], 'big') & 0x7fffffff) % 1000000)


def stop_with_us():
    """Run in a child: whatever ends the tests ends it too."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


class GuardTest(unittest.TestCase):
    """A database with the extension, and a table "listing" of 1000 rows, of
    which a transaction may delete 3 and update 3."""

    database = None                     # set by each class of tests
    over = 'DELETE FROM listing WHERE id <= 5'
    within = 'DELETE FROM listing WHERE id <= 2'

    @classmethod
    def setUpClass(cls):
        with contextlib.closing(connect('postgres')) as root:
            if one(root, 'SELECT to_regrole(%s) IS NULL', ADMIN):
                rows(root, 'CREATE EXTENSION IF NOT EXISTS fortress_guard')
                rows(root, """
                    SELECT fortress.unlock(fortress.issue_token(operations => '{admin}'));
                    CREATE ROLE %s LOGIN;
                    CREATE ROLE %s LOGIN IN ROLE fortress_admin""" % (WEB, ADMIN))
            rows(root, 'CREATE DATABASE ' + cls.database)
        cls.root = connect(cls.database)
        cls.addClassCleanup(cls.root.close)
        rows(cls.root, """
            CREATE EXTENSION fortress_guard;
            CREATE TABLE listing (id int PRIMARY KEY, price int NOT NULL);
            CREATE TABLE plain (id int UNIQUE DEFERRABLE INITIALLY DEFERRED);
            GRANT ALL ON listing, plain TO PUBLIC;
            SELECT fortress.protect('listing', delete_rows => 3, update_rows => 3, archive => 'none');
            SELECT fortress.drop_limit('listing', 'delete', '1 hour')""")

    def setUp(self):
        self.put_back()

    def put_back(self):
        rows(self.root, """
            INSERT INTO listing SELECT i, i FROM generate_series(1, 1000) i ON CONFLICT DO NOTHING""")

    def connect(self, user=WEB, **options):
        connection = connect(self.database, user, **options)
        self.addCleanup(connection.close)
        return connection

    def token(self, operations='{delete,update}', **bounds):
        """The secret of a new token for listing."""
        names = ''.join(', %s => %%s' % name for name in bounds)
        return one(self.root, "SELECT fortress.issue_token('{listing}', %s" + names + ')',
                   operations, *bounds.values())

    def count(self, table='listing'):
        return one(self.root, 'SELECT count(*) FROM ' + table)

    def refused(self, code, connection, sql, *parameters):
        """The statement fails with that SQLSTATE; returns the error."""
        with self.assertRaises(psycopg2.Error) as caught:
            rows(connection, sql, *parameters)
        error = caught.exception
        self.assertEqual(error.pgcode, code, error)
        return error

    def spent(self, secret_reason):
        """How many uses are spent of the tokens that were issued for a reason."""
        return one(self.root, 'SELECT sum(used) FROM fortress.tokens WHERE reason = %s', secret_reason)


class PgBouncer:
    """A PgBouncer in a directory of its own: transaction pooling, and one
    server connection for each database and user."""

    port = 6000
    program = shutil.which('pgbouncer') or '/usr/sbin/pgbouncer'

    @classmethod
    def tracks_statements(cls):
        """From 1.21 on it can keep prepared statements of the protocol apart by client."""
        said = subprocess.run([cls.program, '--version'], stdout=subprocess.PIPE, text=True, check=True).stdout
        return tuple(int(part) for part in re.search(r'(\d+)\.(\d+)', said).groups()) >= (1, 21)

    def __init__(self, settings=(), database_options=''):
        self.directory = tempfile.mkdtemp(prefix='pgb.')
        PgBouncer.port += 1
        self.port = PgBouncer.port
        ini = os.path.join(self.directory, 'pgbouncer.ini')
        with open(os.path.join(self.directory, 'users'), 'w', encoding='utf-8') as users:
            users.write('"%s" ""\n"%s" ""\n' % (WEB, ADMIN))
        lines = {
            'listen_addr': '',
            'listen_port': self.port,
            'unix_socket_dir': self.directory,
            'auth_type': 'trust',
            'auth_file': os.path.join(self.directory, 'users'),
            'logfile': os.path.join(self.directory, 'log'),
            'pool_mode': 'transaction',
            'default_pool_size': 1,
            'server_reset_query': '',
            **({'max_prepared_statements': 0} if self.tracks_statements() else {}),
            **dict(settings)}
        with open(ini, 'w', encoding='utf-8') as config:
            config.write('[databases]\n* = host=%s port=%s %s\n[pgbouncer]\n' %
                         (os.environ['PGHOST'], os.environ['PGPORT'], database_options))
            config.writelines('%s = %s\n' % line for line in lines.items())
        self.process = subprocess.Popen([self.program, '-q', ini], preexec_fn=stop_with_us,
                                        stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: self.answers() or self.process.poll() is not None, 'for PgBouncer')
        if self.process.poll() is not None:
            with open(lines['logfile'], encoding='utf-8') as log:
                raise AssertionError('PgBouncer did not start: ' + log.read())

    def answers(self):
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(os.path.join(self.directory, '.s.PGSQL.%d' % self.port)) == 0

    def stop(self):
        self.process.terminate()
        self.process.wait(30)
        shutil.rmtree(self.directory)

    def where(self):
        """What a client has to know to connect to it."""
        return {'host': self.directory, 'port': self.port}
