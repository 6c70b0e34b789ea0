"""How the guard's cost grows: with tables, sessions, limits, columns, partitions and archives.  See --help.

Each topic varies one thing and keeps the rest; where the plain server's cost
grows by itself (partitions, wide rows, sessions), it is measured beside it.
"""

import argparse
import statistics
import sys
import time

import contestants
from callgrind import KEYS
from contest import clone, drop, table_script, template
from figures import Goal, Table, megabytes, spread
from server import EXTENSIONS, NOISE, SERVERS, Failure, Session, private_memory, stop_all, write_readable
from waits import Wait, Waits

PLAIN, GUARDED = SERVERS['plain'], SERVERS['guarded']
PAIR = ((PLAIN, ''), (GUARDED, contestants.BOTH.care))
# a copy of each old row has to be written, whoever does it
KEEPERS = (contestants.PLAIN, contestants.CTE, contestants.BOTH)

TOPICS = ('tables', 'sessions', 'limits', 'wide', 'partitions', 'shadow', 'memory', 'audit')

COLUMNS = ('what grows', 'measured', 'median', 'spread', 'plain', 'ratio', 'memory', 'goal', 'met')
WIDTHS = (34, 50, 12, 7, 12, 7, 10, 16, 3)

ONE = 'single-row %s by key, CPU time'


def arguments(argv):
    """What the command line says; raises SystemExit."""
    parser = argparse.ArgumentParser(prog='bench/growth', description="Measures how the guard's cost grows.",
                                     epilog='topics: ' + ' '.join(TOPICS) + ' (all of them, if none is named)')
    parser.add_argument('--small', action='store_true', help='small sizes: shows that it works, not what it costs')
    parser.add_argument('--markdown', action='store_true', help='the table in Markdown')
    parser.add_argument('-n', '--rounds', type=int, help='rounds (5)')
    parser.add_argument('--no-instructions', action='store_true', help=argparse.SUPPRESS)
    parser.add_argument('--check', action='store_true', help=argparse.SUPPRESS)
    parser.add_argument('topic', nargs='*', help='what to measure')
    options = parser.parse_args(argv)
    if options.rounds is None:
        options.rounds = 1 if options.small else 5
    if options.rounds < 1:
        parser.error('at least 1 round')
    options.topic = options.topic or list(TOPICS)
    for topic in options.topic:
        if topic not in TOPICS:
            parser.error('there is no topic "%s" (there are: %s)' % (topic, ' '.join(TOPICS)))
    for name, small, full in (('tables', (1, 10, 40), (1, 100, 10000)),
                              ('sessions', (4, 20), (10, 100, 300, 1000)),
                              ('limits', (1, 5, 10), (1, 2, 5, 10, 25, 50)),
                              ('partitions', (1, 10, 20), (1, 10, 100, 1000)),
                              ('shadow', (0, 5000), (0, 1000000, 10000000)),
                              ('memory', (5000,), (1000000, 5000000)),
                              ('events', 2000, 1000000),
                              ('singles', 100, 2000),
                              ('bulk', 500, 100000),
                              ('seconds', 1, 10)):
        setattr(options, name, small if options.small else full)
    return options


def stream(kind, name, first, number):
    """A file of prepared statements that change these rows, one each."""
    return write_readable('stream.sql', ''.join('EXECUTE %s_%s(%d);\n' % (kind, name, i)
                                                for i in range(first, first + number)))


def prepare(name):
    """What such a file needs."""
    return ('PREPARE update_{0}(bigint) AS UPDATE {0} SET price = price + 1 WHERE id = $1;\n'
            'PREPARE delete_{0}(bigint) AS DELETE FROM {0} WHERE id = $1;\n{1};\n').format(name, KEYS)


class Growth:
    """One run of the command."""

    def __init__(self, options):
        self.options = options
        self.table = Table(options.markdown, COLUMNS, WIDTHS)

    def tell(self, what, measured, unit, scale, samples, plain=None, **more):
        """A row of samples, round by round, and of the plain server's."""
        more['spread'] = '%.0f%%' % spread(samples)
        if plain:
            quotient = statistics.median(a / b for a, b in zip(samples, plain))
            more['plain'] = '%.4g %s' % (statistics.median(plain) * scale, unit)
            more['ratio'] = '%.2f' % quotient
        self.table.figure(what, measured, statistics.median(samples) * scale, unit, **more)

    def singles(self, session, kind, name, start=1):
        """CPU seconds of a transaction, round by round; each round takes the next rows."""
        number = self.options.singles
        session.run_file(stream(kind, name, start, 50))
        samples = []
        for i in range(self.options.rounds):
            session.run('CHECKPOINT;')
            path = stream(kind, name, start + 50 + i * number, number)
            samples.append(session.measure(path=path, watch_memory=False).cpu / number)
        return samples

    def rows(self):
        """As many as singles() takes for one kind."""
        return 50 + self.options.rounds * self.options.singles

    def sizes(self, what, measured, results, goal=None):
        """Rows by size: {size: (samples, plain samples)}; the last is judged by the first."""
        first = min(results)
        for size, (samples, plain) in results.items():
            more = {}
            if goal and size == max(results) and size != first:
                more = {'goal': goal, 'met': goal.met(statistics.median(samples) / statistics.median(results[first][0]))}
            self.tell(what % size, measured, 'us', 1e6, samples, plain, **more)

    # -----------------------------------------------------------------------

    def tables(self):
        """Protected tables in the database."""
        template(GUARDED, 'tables', table_script('one', self.rows() * 2), EXTENSIONS)
        GUARDED.sql('tables', contestants.BOTH.set_up('one'))
        results = {}
        there = 1
        for count in self.options.tables:
            began, first = time.monotonic(), there
            while there < count:
                upto = min(count, there + 500)
                script = 'BEGIN;\n' + ''.join("CREATE TABLE t%d (id int PRIMARY KEY);\n"
                                              "SELECT fortress.protect('t%d');\n" % (i, i) for i in range(there, upto))
                GUARDED.sql('tables', '\\i %s' % write_readable('tables.sql', script + 'COMMIT;\n'))
                there = upto
                self.table.note('%d tables' % there)
            took = time.monotonic() - began
            session = Session(GUARDED, 'tables')
            session.run('VACUUM one;' + prepare('one'))
            results[count] = (self.singles(session, 'update', 'one'), None)
            memory = private_memory(session.pid)
            # a session that has been in each of them
            at = session.measure(''.join('UPDATE t%d SET id = 1 WHERE id = 1;\n' % i for i in range(1, there)), watch_memory=False)
            if there > 1:
                self.table.figure('protected tables: %d' % count, 'memory of a session that used each, for one',
                                  (private_memory(session.pid) - memory) / (there - 1) / 1024, 'kB')
                self.table.figure('protected tables: %d' % count, 'its first UPDATE of each, CPU time', 1e6 * at.cpu / (there - 1), 'us')
            session.close()
            if there > first:
                self.table.figure('protected tables: %d' % count, 'CREATE TABLE and protect(), time of one',
                                  1000 * took / (there - first), 'ms')
        self.sizes('protected tables: %d', ONE % 'UPDATE', results, Goal(1.05, 'median'))

    def sessions(self):
        """Sessions that share a table, with a window that counts them all together."""
        rows = 20000
        script = write_readable('sessions.pgbench', '\\set key random(1, %d)\n'
                                                    'UPDATE t SET price = price + 1 WHERE id = :key;\n' % rows)
        for server, care in PAIR:
            template(server, 'sessions', table_script('t', rows, 50), EXTENSIONS)
            if care:
                server.sql('sessions', care.format(t='t') +
                           "SELECT fortress.set_limit('t', 'update', 1000000000, '1 hour', 'table');")
        hindrance = Waits.hindrance()
        for count in self.options.sessions:
            what = 'sessions, a window for all: %d' % count
            samples = {PLAIN: [], GUARDED: []}
            for i in range(self.options.rounds):
                for server in (PLAIN, GUARDED) if i % 2 == 0 else (GUARDED, PLAIN):
                    samples[server].append(1 / self.crowd(server, script, count))
            self.tell(what, 'from one single-row UPDATE to the next', 'us', 1e6, samples[GUARDED], samples[PLAIN])
            if not hindrance:
                self.waits(what, script, count)
        if hindrance:
            self.table.say(hindrance)

    def crowd(self, server, script, count):
        """pgbench; transactions a second."""
        self.table.note('%d sessions, server %s' % (count, server.name))
        server.sql('sessions', 'VACUUM t; CHECKPOINT;')
        return server.pgbench('sessions', '-n', '-M', 'prepared', '-c', str(count), '-j', '2', '-T', str(self.options.seconds),
                              '-f', script)[0]

    def waits(self, what, script, count):
        """How long the sessions waited for the lock of their window, beside who waits for a write of the log."""
        with Waits() as waits:
            transactions = self.crowd(GUARDED, script, count) * self.options.seconds
            found = waits.end()
        for name, lock in (('fortress_guard', "the guard's lock"), ('WALWrite', 'a write of the log')):
            times = found.get(name, Wait([]))
            self.table.figure(what, 'of 1000 transactions wait for ' + lock, 1000 * len(times.times) / transactions, '')
            for title, part in (('median', 0.5), ('99th percentile', 0.99)):
                self.table.figure(what, 'wait for %s, %s' % (lock, title), 1e6 * times.at(part), 'us')
            self.table.figure(what, 'all waits for %s, for one transaction' % lock, 1e6 * sum(times.times) / transactions, 'us')

    def limits(self):
        """Windows of one table, each of another length."""
        template(GUARDED, 'limits', '', EXTENSIONS)
        template(PLAIN, 'limits', '', EXTENSIONS)
        plain = Session(PLAIN, 'limits')
        plain.run(table_script('s', self.rows() * 2) + prepare('s'))
        base = self.singles(plain, 'update', 's')
        plain.close()
        results = {}
        for count in self.options.limits:
            # as long as the other tables' names: longer ones take longer to parse
            name = 's%02d' % count
            session = Session(GUARDED, 'limits')
            session.run(table_script(name, self.rows() * 2) + contestants.ONE.set_up(name))
            for i in range(1, count):
                session.run("SELECT fortress.set_limit('%s', 'update', %d, '%d minutes');" % (name, contestants.MANY, i))
            session.run(prepare(name))
            results[count] = (self.singles(session, 'update', name), base)
            session.close()
        self.sizes('limits on a table: %d', ONE % 'UPDATE', results)

    def wide(self):
        """Rows of many columns, long rows, rows whose values lie outside the table."""
        number = self.options.bulk
        shapes = (('5 columns, 100 bytes', 'a int, b numeric, c text, d timestamptz', "i, i, repeat('x', 60), now()", number),
                  ('200 columns', ', '.join('c%d int' % i for i in range(200)), ', '.join('i' for i in range(200)), number // 5),
                  ('rows of 2 kB', 'c text', "repeat(md5(i::text), 60)", number // 5),
                  ('one value of 100 kB outside', 'c text', "v.long", number // 100),
                  ('ten values of 10 kB outside', ', '.join('c%d text' % i for i in range(10)),
                   ', '.join('substr(v.long, %d, 10000)' % (1 + i * 10000) for i in range(10)), number // 100))
        warm = ("SELECT pg_prewarm('t'), pg_prewarm('t_pkey');"
                "SELECT pg_prewarm(reltoastrelid) FROM pg_class WHERE oid = 't'::regclass AND reltoastrelid <> 0;"
                'UPDATE t SET price = price + 1 WHERE id = -1; DELETE FROM t WHERE id = -1; CHECKPOINT;')
        for number_of, (what, columns, values, rows) in enumerate(shapes):
            base = 'wide%d' % number_of
            storage = ''.join('ALTER TABLE t ALTER %s SET STORAGE external;' % column.split()[0]
                              for column in columns.split(', ') if column.endswith('text'))
            script = ('CREATE TABLE t (id bigint PRIMARY KEY, price int, %s); %s INSERT INTO t SELECT i, 0, %s FROM '
                      "(SELECT string_agg(md5(g::text), '') AS long FROM generate_series(1, 3125) g) v, generate_series(1, %d) i;"
                      'VACUUM (FREEZE, ANALYZE) t;' % (columns, storage, values, max(rows, 5)))
            for server, _ in PAIR:
                template(server, base, script, EXTENSIONS)
            for kind in ('update', 'delete'):
                samples = {contestant: [] for contestant in KEEPERS}
                memory = dict.fromkeys(KEEPERS, 0)
                for i in range(self.options.rounds):
                    for contestant in KEEPERS[i % len(KEEPERS):] + KEEPERS[:i % len(KEEPERS)]:
                        with clone(contestant.server, base) as session:
                            session.run(contestant.set_up('t') + warm)
                            result = session.measure(contestant.statement(kind, 't', 'id > 0') + ';')
                        samples[contestant].append(result.wall)
                        memory[contestant] = max(memory[contestant], result.memory)
                for contestant in KEEPERS[1:]:
                    self.tell(what, '%s of %d rows, %s' % (kind.upper(), max(rows, 5), contestant.name), 'ms', 1000,
                              samples[contestant], samples[KEEPERS[0]], memory=megabytes(memory[contestant]))

    def partitions(self):
        """Partitions of the table."""
        singles, bulk = {}, {}
        for count in self.options.partitions:
            samples, whole = {}, {}
            for server, care in PAIR:
                name = 'parts%d' % count
                template(server, name, '', EXTENSIONS)
                session = Session(server, name)
                # the rows of singles() lie in all of them
                session.run(table_script('t', self.rows() * 2, 100, count) + (care.format(t='t') if care else '') + prepare('t'))
                samples[server] = self.singles(session, 'delete', 't')
                result = session.measure('DELETE FROM t WHERE price > -1;')
                whole[server] = [result.wall]
                session.close()
                drop(server, name)
            singles[count] = samples[GUARDED], samples[PLAIN]
            bulk[count] = whole[GUARDED], whole[PLAIN]
        self.sizes('partitions: %d', ONE % 'DELETE' + ', archived', singles)
        for count, (samples, plain) in bulk.items():
            self.tell('partitions: %d' % count, 'DELETE of %d rows, archived' % (self.rows() - self.options.rounds), 'ms', 1000,
                      samples, plain)

    def shadow(self):
        """Rows that the archive holds already."""
        results = {}
        template(GUARDED, 'shadow', '', EXTENSIONS)
        session = Session(GUARDED, 'shadow')
        session.run(table_script('t', 1000) + contestants.DELETE.set_up('t') + prepare('t'))
        held, key = 0, 1000000000
        for count in self.options.shadow:
            while held < count:
                more = min(1000000, count - held)
                session.run('INSERT INTO t SELECT i, 1, 1 FROM generate_series(%d, %d) i; DELETE FROM t WHERE id >= %d; VACUUM t;'
                            % (key, key + more - 1, key))
                held += more
                key += more
                self.table.note('%d archived rows' % held)
            session.run('INSERT INTO t SELECT i, 1, 1 FROM generate_series(%d, %d) i; VACUUM t;' % (key, key + self.rows() + 9))
            results[count] = (self.singles(session, 'delete', 't', key), None)
            # one row of many back
            session.run('INSERT INTO t VALUES (-1, 1, 1);')
            xid = session.run('BEGIN; DELETE FROM t WHERE id = -1; SELECT pg_current_xact_id(); COMMIT;')[0]
            one = [session.measure("SELECT * FROM fortress.restore('t', xid => '%s');" % xid)]
            if session.run('SELECT count(*) FROM t WHERE id = -1;') != ['1']:
                raise Failure('the row is not back')
            session.run('DELETE FROM t WHERE id = -1;')
            self.table.figure('archived rows: %d' % count, 'restore of one row by its transaction', 1000 * one[0].wall, 'ms')
            key += self.rows() + 10
            held += self.rows() + 2
        self.sizes('archived rows: %d', ONE % 'DELETE' + ', archived', results, Goal(1.05, 'median'))
        result = session.measure('SELECT fortress.purge(\'0\', \'t\');')
        if int(result.lines[0]) < count:
            raise Failure('purge() removed %s rows' % result.lines[0])
        self.table.figure('archived rows: %d' % count, 'purge() of all', result.wall, 's', memory=megabytes(result.memory))
        session.close()

    def memory(self):
        """Rows of a statement."""
        for count in self.options.memory:
            for server, care in PAIR:
                template(server, 'memory', table_script('t', count), EXTENSIONS)
                if care:
                    server.sql('memory', care.format(t='t'))
            for kind, statement in (('UPDATE', 'UPDATE t SET price = price + 1 WHERE id > 0;'),
                                    ('DELETE', 'DELETE FROM t WHERE id > 0;')):
                taken = {}
                for server, _ in PAIR:
                    self.table.note('%s of %d rows, server %s' % (kind, count, server.name))
                    session = Session(server, 'memory')
                    session.run('SELECT count(*) FROM t; UPDATE t SET price = 1 WHERE id = -1; DELETE FROM t WHERE id = -1;')
                    taken[server] = session.measure(statement).memory
                    session.close()
                more = (taken[GUARDED] - taken[PLAIN]) / 1048576.0
                self.table.judged('rows of a statement: %d' % count, 'memory of %s, archived, more than plain' % kind, more, 'MB',
                                  Goal(10, 'median', 'MB'), plain=megabytes(taken[PLAIN]), memory=megabytes(taken[GUARDED]))
            for server, _ in PAIR:
                drop(server, 'memory')

    def audit(self):
        """Events of 30 days in the audit log, on 200 tables, by 50 roles from 1000 addresses."""
        events = self.options.events
        template(GUARDED, 'audit', '''
CREATE SCHEMA r;
DO $$
BEGIN
	FOR i IN 1..200 LOOP
		EXECUTE format('CREATE TABLE r.t%s (id int PRIMARY KEY)', i);
		PERFORM fortress.protect(format('r.t%s', i)::regclass);
	END LOOP;
END
$$;
SELECT * FROM fortress.verify_audit();
BEGIN;
SELECT fortress.unlock(fortress.issue_token(operations => '{admin}'));
''' + '''
INSERT INTO fortress.audit_log (id, at, event, operation, relation, rows, max_rows, session_role, actual_role, client_addr,
		application_name, pid, xid, query, detail, hash)
	SELECT 1000000 + g, now() - interval '30 days' * ((%(events)d - g) / %(events)d.0),
		('{blocked,blocked,blocked,observed,permitted,token_refused,token_used,policy_changed,blocked,observed}'::text[])[1 + g %% 10],
		('{delete,update,truncate}'::text[])[1 + g %% 3], format('r.t%%s', 1 + g::bigint * 7919 %% 200)::regclass, g %% 1000, 100,
		'role_' || g %% 50, 'role_' || g %% 50, '10.0.0.0'::inet + g::bigint * 31 %% 1000, 'app', 1000, NULL,
		'DELETE FROM r.t WHERE ' || repeat('x > 1 AND ', 15) || 'true', '{"message": "no more than 100 rows", "sqlstate": "ZG001"}', '\\x00'
	FROM generate_series(1, %(events)d) g;
COMMIT;
VACUUM ANALYZE;
''' % {'events': events}, EXTENSIONS)
        session = Session(GUARDED, 'audit')
        for name, query in (('fortress.status, 200 tables', 'fortress.status'),
                            ('fortress.status of one table', "fortress.status WHERE relation = 'r.t5'::regclass"),
                            ('fortress.activity of 24 hours', "fortress.activity WHERE hour > now() - interval '24 hours'"),
                            ('fortress.activity, 30 days', 'fortress.activity'),
                            ('fortress.offenders', 'fortress.offenders'),
                            ('fortress.offenders of one role', "fortress.offenders WHERE session_role = 'role_8'")):
            samples = []
            for i in range(self.options.rounds + 1):
                result = session.measure('SELECT * FROM %s;' % query)
                if not result.lines:
                    raise Failure(name + ' shows nothing')
                if i > 0:
                    samples.append(result.wall)
            self.tell('events in the audit log: %d' % events, name, 'ms', 1000, samples)
        session.close()

    def run(self):
        """All that was asked for; the exit code."""
        began = time.monotonic()
        self.table.say("fortress_guard: how its cost grows, %d rounds" % self.options.rounds)
        for server in (PLAIN, GUARDED):
            server.start()
        for topic in TOPICS:
            if topic not in self.options.topic:
                continue
            at = time.monotonic()
            try:
                getattr(self, topic)()
            except Failure as failure:
                self.table.failed(topic, '-', failure)
            self.table.note('%s: %.0f s' % (topic, time.monotonic() - at))
        stop_all()
        code = self.table.end()
        self.table.say('%.0f s; while something was timed, others had %.1f %% of the processors'
                       % (time.monotonic() - began, NOISE.share()))
        return code


def main():
    options = arguments(sys.argv[1:])
    return 0 if options.check else Growth(options).run()


if __name__ == '__main__':
    sys.exit(main())
