"""The twenty minutes: every goal of speed, every contestant.  See --help."""

import argparse
import os
import platform
import re
import statistics
import sys
import time

import callgrind
import contestants
from contest import GOALS, Contest, Singles, bulk_once, clone, table_script, template
from figures import Goal, Table, spread
from flood import BLOCKED, Flood, wait_until
from server import EXTENSIONS, NOISE, SERVERS, Failure, Session, stop_all, write_readable

PLAIN, GUARDED, AUDITED = (SERVERS[name] for name in ('plain', 'guarded', 'audited'))

# of whom statements that destroy nothing are counted, too
HARMLESS = ('plain', 'audited', 'unprotected', 'lean', 'both', 'plain_parts', 'both_parts')
# of whom statements of many rows are counted
COUNTED = ('plain', 'cte', 'unprotected', 'one_limit', 'lean', 'limits', 'kept', 'both', 'permitted', 'plain_parts', 'lean_parts',
           'both_parts')
# in this order they are counted: what is deleted can't be updated any more
KINDS = ('SELECT', 'INSERT', 'UPDATE', 'DELETE', 'many UPDATE', 'many DELETE')
# what is judged in instructions: {(kind, contestant): goal}
INSTRUCTION_GOALS = {('UPDATE', 'one_limit'): 1.05, ('UPDATE', 'lean'): 1.05, ('UPDATE', 'both'): 1.15,
                     ('DELETE', 'one_limit'): 1.05, ('DELETE', 'lean'): 1.05, ('DELETE', 'kept'): 1.15,
                     ('DELETE', 'both'): 1.15,
                     ('many DELETE', 'one_limit'): 1.02, ('many DELETE', 'lean'): 1.02, ('many DELETE', 'kept'): 2.0,
                     ('many DELETE', 'both'): 2.0, ('many UPDATE', 'both'): 1.4}

SECTIONS = ('bulk', 'single', 'instructions', 'refuse', 'restore', 'drop', 'size', 'tables', 'sessions')


def arguments(argv):
    """What the command line says; raises SystemExit."""
    parser = argparse.ArgumentParser(prog='bench/run', formatter_class=argparse.RawDescriptionHelpFormatter,
                                     description='Measures what the guard costs, beside other ways to keep or watch '
                                                 'what is deleted.',
                                     epilog='sections: ' + ' '.join(SECTIONS) + ' (all of them, if none is named)')
    parser.add_argument('--small', action='store_true',
                        help='a few rows and one round or two: shows that it works, not what it costs')
    parser.add_argument('--markdown', action='store_true', help='the table in Markdown')
    parser.add_argument('-r', '--rows', type=int, help='rows of the tables (1000000)')
    parser.add_argument('-n', '--rounds', type=int, help='rounds (5)')
    parser.add_argument('-t', '--tables', type=int, help='protected tables in the row that counts them (10000)')
    parser.add_argument('-c', '--sessions', type=int, help='sessions in the row that counts them (1000)')
    parser.add_argument('--no-instructions', action='store_true', help='leave out what needs valgrind')
    parser.add_argument('--check', action='store_true', help=argparse.SUPPRESS)
    parser.add_argument('section', nargs='*', help='what to measure')
    options = parser.parse_args(argv)
    for name, small, full in (('rows', 3000, 1000000), ('rounds', 1, 5), ('tables', 40, 10000), ('sessions', 40, 1000)):
        if getattr(options, name) is None:
            setattr(options, name, small if options.small else full)
    options.singles = 100 if options.small else 2000
    options.partitions = 10 if options.small else 100
    options.warm = 20 if options.small else 60
    options.statements = 20 if options.small else 500
    options.many = 500 if options.small else 20000
    options.seconds = 1 if options.small else 8
    options.section = options.section or list(SECTIONS)
    for section in options.section:
        if section not in SECTIONS:
            parser.error('there is no section "%s" (there are: %s)' % (section, ' '.join(SECTIONS)))
    if options.no_instructions and 'instructions' in options.section:
        options.section.remove('instructions')
    if options.rows < 1000 or options.rounds < 1 or options.tables < 2 or not 20 <= options.sessions <= 1000:
        parser.error('at least 1000 rows, 1 round, 2 tables, 20 sessions; at most 1000 sessions')
    return options


def machine():
    """The machine in a line."""
    model = platform.machine()
    memory = 0
    try:
        with open('/proc/cpuinfo', encoding='utf-8') as file:
            found = re.search(r'^model name\s*:\s*(.*)$', file.read(), re.M)
            model = found.group(1) if found else model
        with open('/proc/meminfo', encoding='utf-8') as file:
            memory = int(re.search(r'^MemTotal:\s*(\d+)', file.read(), re.M).group(1))
    except FileNotFoundError:
        pass
    return '%d processors (%s), %.0f GB of memory' % (os.cpu_count() or 1, model, memory / 1048576.0)


class Bench:
    """One run of the command."""

    def __init__(self, options):
        self.options = options
        self.table = Table(options.markdown)
        self.servers = [PLAIN, GUARDED] + ([AUDITED] if 'pgaudit' in EXTENSIONS else [])
        contestants.set_partitions(options.partitions)
        # for those that would take minutes, and gigabytes, for all of them
        self.few = max(1000, options.rows // 10)

    # -----------------------------------------------------------------------
    # Many rows
    # -----------------------------------------------------------------------

    def templates(self):
        """What the rows of a section are cloned from."""
        rows = self.options.rows
        for server in self.servers:
            server.start()
            self.table.note('tables of the server ' + server.name)
            template(server, 'whole', table_script('t', rows), EXTENSIONS)
            if 'bulk' in self.options.section:
                template(server, 'half', table_script('t', rows, 50), EXTENSIONS)
                if server is not AUDITED:
                    template(server, 'few', table_script('t', self.few), EXTENSIONS)
                    template(server, 'half_few', table_script('t', self.few, 50), EXTENSIONS)
                    template(server, 'parts', table_script('t', rows, 100, self.options.partitions), EXTENSIONS)
                    template(server, 'half_parts', table_script('t', rows, 50, self.options.partitions), EXTENSIONS)

    def bulk(self):
        """All rows deleted, all rows updated, in one statement."""
        chosen = contestants.choose(self.table, bulk=True)
        for kind, whole, title in (('delete', 'whole', 'DELETE of %d rows'),
                                   ('update', 'half', 'UPDATE of %d rows (HOT, fillfactor 50)')):
            contest = self.contest(kind, [c for c in chosen if not c.slow], title % self.options.rows, self.options.rows,
                                   whole, 'parts' if kind == 'delete' else 'half_parts', GOALS['bulk ' + kind])
            if kind == 'delete':
                self.against_cte(contest)
            self.memory(contest, kind)
            slow = [c for c in chosen if c.slow]
            if slow:
                self.contest(kind, [contestants.PLAIN] + slow + [contestants.BOTH], title % self.few, self.few,
                             'few' if kind == 'delete' else 'half_few', None, None)

    def contest(self, kind, chosen, work, rows, whole, parts, goals):
        """One of them, with its rows."""
        contest = Contest(self.table, work, chosen, self.options.rounds,
                          lambda contestant, i: bulk_once(contestant, kind, parts if contestant.partitions else whole, rows, i == 0),
                          goals, short=True).run()
        contest.tell('ms', 1000, lambda result: result.wall)
        return contest

    def against_cte(self, contest):
        """The goal that speaks of the CTE."""
        kept, cte = (contest.results.get(c.key, {}) for c in (contestants.DELETE, contestants.CTE))
        both = [kept[i].wall / cte[i].wall for i in kept if i in cte]
        if both:
            self.table.judged(contest.work, 'guard: archive delete / the CTE', statistics.median(both), '',
                              Goal(0.5), spread='%.0f%%' % spread(both))
        else:
            self.table.failed(contest.work, 'guard: archive delete / the CTE', 'one of them could not be measured')

    def memory(self, contest, kind):
        """The most that an archiving statement had, beyond what the plain one had."""
        own, base = (contest.results.get(c.key, {}) for c in (contestants.BOTH, contestants.PLAIN))
        if own and base:
            more = max(r.memory for r in own.values()) - max(r.memory for r in base.values())
            self.table.judged('memory of an archived ' + kind.upper(), 'guard: archive delete,update, more than plain',
                              more / 1048576.0, 'MB', Goal(10, 'median', 'MB'))
        else:
            self.table.failed('memory of an archived ' + kind.upper(), 'guard: archive delete,update',
                              'one of the two could not be measured')

    # -----------------------------------------------------------------------
    # Single rows
    # -----------------------------------------------------------------------

    def single(self):
        """CPU time of a transaction that changes one row by its key, prepared."""
        chosen = contestants.choose(self.table)
        number = self.options.singles
        for server in self.servers:
            template(server, 'single', '', EXTENSIONS)
        singles = Singles(chosen, 'single', number * self.options.rounds + 100)
        try:
            for kind in ('update', 'delete'):
                singles.warm(kind, number * self.options.rounds)
                contest = Contest(self.table, 'single-row %s by key, CPU time' % kind.upper(), chosen, self.options.rounds,
                                  singles.turn(kind, number)).run()
                contest.tell('us', 1e6 / number, lambda result: result.cpu)
        finally:
            singles.close()

    def instructions(self):
        """The same and more in instructions, which do not vary."""
        rows = self.options.statements + self.options.warm
        chosen = contestants.choose(self.table)
        # a few instructions are judged: their number depends on what else a backend has in its hash tables
        few = [contestants.PLAIN, contestants.UNPROTECTED]
        found, broken = self.count('alike', few, lambda contestant: [
            piece for copy in ('a' if self.options.small else 'abcde')
            for piece in self.count_in('alike', contestant, contestant.table + copy, rows)])
        for kind in KINDS[:4]:
            for contestant in few:
                self.instruction_row(kind, contestant, found, broken, 'single-row %s by key, nobody has a policy' % kind)
            self.instruction_difference(kind, found)
        found, broken = self.count('counted', chosen, lambda contestant:
                                   self.count_in('counted', contestant, contestant.table, rows) +
                                   (self.count_many(contestant, self.options.many) if contestant.key in COUNTED else []))
        for kind in KINDS:
            title = '%s of %d rows, instructions for one' % (kind[5:], self.options.many) if kind.startswith('many ') else \
                'single-row %s by key, instructions' % kind
            for contestant in chosen:
                if (kind, contestant.key) in found:
                    self.instruction_row(kind, contestant, found, broken, title)
        for server in self.servers:
            server.start()

    def count(self, database, chosen, pieces_of):
        """Counts the pieces of each, in a backend of each server: ({(kind, contestant): instructions}, what went wrong)."""
        pieces, found, broken = {}, {}, {}
        for server in dict.fromkeys(contestant.server for contestant in chosen):
            server.start()
            template(server, database, '', EXTENSIONS)
        for contestant in chosen:
            pieces.setdefault(contestant.server.name, []).extend(pieces_of(contestant))
        stop_all()
        for name, of_server in pieces.items():
            self.table.note('instructions of the server ' + name)
            # what one statement leaves behind in memory, the next one meets: so like follows like, and DELETE comes last
            of_server.sort(key=lambda piece: KINDS.index(piece.name))
            try:
                callgrind.count(SERVERS[name], database, of_server, self.options.warm, self.options.statements)
            except Failure as failure:
                broken[name] = failure
            for piece in of_server:
                found.setdefault((piece.name, piece.contestant.key), []).append(piece.instructions)
        return found, broken

    @staticmethod
    def count_in(database, contestant, name, rows):
        """A table of a contestant, and what is to be counted on it."""
        # rows enough to stay in the first partition
        contestant.server.sql(database, 'SET client_min_messages = error;\n' +
                              table_script(name, max(2000, rows * contestant.partitions), 100, contestant.partitions) +
                              contestant.set_up(name) + 'VACUUM (FREEZE, ANALYZE) %s;\n' % name)
        pieces = []
        for kind, form in (('SELECT', 'SELECT price FROM %s WHERE id = %%d' % name),
                           ('INSERT', 'INSERT INTO %s VALUES (%%d + 1000000, 1, 1)' % name),
                           ('UPDATE', contestant.update(name, 'id = %d')),
                           ('DELETE', contestant.delete(name, 'id = %d'))):
            if kind in ('UPDATE', 'DELETE') or contestant.key in HARMLESS:
                piece = callgrind.Piece(kind, form)
                piece.contestant = contestant
                pieces.append(piece)
        return pieces

    @staticmethod
    def count_many(contestant, rows):
        """Tables of a contestant, and statements of all their rows."""
        pieces = []
        for kind in ('update', 'delete'):
            name = contestant.table + kind
            contestant.server.sql('counted', 'SET client_min_messages = error;\n' +
                                  table_script(name, rows, 50 if kind == 'update' else 100, contestant.partitions) +
                                  contestant.set_up(name) + 'VACUUM (FREEZE, ANALYZE) %s;\n' % name)
            piece = callgrind.Piece('many ' + kind.upper(), contestant.statement(kind, name, 'id > 0'), rows=rows,
                                    warm=contestant.statement(kind, name, 'id = -1'))
            piece.contestant = contestant
            pieces.append(piece)
        return pieces

    def instruction_row(self, kind, contestant, found, broken, work):
        """One of them."""
        own = found[kind, contestant.key]
        base = contestants.baseline_of(contestant)
        other = found[kind, base.key] if base else own
        if None in own or None in other:
            self.table.failed(work, contestant.name, broken.get(contestant.server.name, 'its baseline could not be measured'))
            return
        more = {'spread': '%.1f%%' % spread(own)} if len(own) > 1 else {}
        own, other = statistics.median(own), statistics.median(other)
        if base:
            more['ratio'] = '%.3f' % (own / other)
            if (kind, contestant.key) in INSTRUCTION_GOALS:
                goal = Goal(INSTRUCTION_GOALS[kind, contestant.key])
                more.update(goal=goal, met=goal.met(own / other))
        self.table.figure(work, contestant.name, own, '', **more)

    def instruction_difference(self, kind, found):
        """What a table without policy notices of the library."""
        own, other = (found[kind, contestant.key] for contestant in (contestants.UNPROTECTED, contestants.PLAIN))
        if None not in own + other:
            self.table.judged('single-row %s by key, nobody has a policy' % kind, 'guard: more than plain',
                              statistics.median(own) - statistics.median(other), '', Goal(60 if kind == 'SELECT' else 300, 'median'))

    # -----------------------------------------------------------------------
    # Refusals
    # -----------------------------------------------------------------------

    def refuse(self):
        """How long a refusal takes, without the disk and with it."""
        rows = self.options.rows
        number = 20 if self.options.small else 100
        goal = Goal(2, 'median', 'ms')
        with clone(GUARDED, 'whole') as guarded, clone(PLAIN, 'whole') as plain:
            guarded.run("SELECT fortress.protect('t');")
            cases = (('DELETE without WHERE', 'guard: refused', GUARDED, 'DELETE FROM t;', 'ZG003', goal),
                     ('DELETE over its limit of 100 rows', 'guard: refused', GUARDED, 'DELETE FROM t WHERE id > 0;',
                      'ZG001', goal),
                     ('UPDATE over its limit of 1000 rows', 'guard: refused', GUARDED,
                      'UPDATE t SET price = 1 WHERE id > 0;', 'ZG001', None),
                     ('DELETE that fails at its first row', 'plain: an error', PLAIN,
                      'DELETE FROM t WHERE 1 / (id - id) = 1;', '22012', None))
            for work, who, server, statement, code, limit in cases:
                self.refusal(work, who, server, statement, code, number, limit)
            for sync in ('on', 'off'):
                GUARDED.sql('postgres', 'ALTER SYSTEM SET fsync = %s; SELECT pg_reload_conf();' % sync)
                # the postmaster's processes have it with their next statement
                while GUARDED.one('run', 'SHOW fsync;') != sync:
                    time.sleep(0.05)
                if sync == 'on':
                    self.refusal('DELETE over its limit, fsync on', 'guard: refused, with the sync', GUARDED,
                                 'DELETE FROM t WHERE id > 0;', 'ZG001', number, None)
                    for sessions in (1, 4, 16):
                        self.refusals(sessions)
            GUARDED.sql('postgres', 'ALTER SYSTEM RESET fsync; SELECT pg_reload_conf();')
            for session in (guarded, plain):
                if session.run('SELECT count(*) FROM t;') != [str(rows)]:
                    raise Failure('refused statements deleted rows')

    def refusals(self, sessions):
        """How many a second, all of which have to be in the audit log."""
        before = int(GUARDED.one('run', BLOCKED + ';'))
        began = time.monotonic()
        flood = Flood(GUARDED, 'run', 'DELETE FROM t;', sessions)
        try:
            time.sleep(self.options.seconds)
        finally:
            refused = flood.end(('ZG003',))
        took = time.monotonic() - began
        wait_until('run', 'SELECT (%s) >= %d' % (BLOCKED, before + refused))
        found = int(GUARDED.one('run', BLOCKED + ';')) - before
        if found == refused and refused > 0:
            self.table.figure('refusals a second, fsync on', 'guard: %d sessions' % sessions, refused / took, '/s')
        else:
            self.table.failed('refusals a second, fsync on', 'guard: %d sessions' % sessions,
                              '%d refusals, but %d in the audit log' % (refused, found))

    def refusal(self, work, who, server, statement, code, number, goal):
        """Milliseconds as psql sees them, the first few left out."""
        session = Session(server, 'run', stop_at_error=False)
        try:
            lines = session.run('\\set VERBOSITY sqlstate\n\\timing on\n' + (statement + '\n') * (number + 5))
        finally:
            session.close()
        refused = sum(1 for line in lines if line.endswith('ERROR:  ' + code))
        times = [float(found.group(1)) for found in (re.match(r'Time: ([0-9.]+) ms', line) for line in lines) if found]
        if refused != number + 5 or len(times) != number + 5:
            self.table.failed(work, who, '%d of %d statements ended with %s' % (refused, number + 5, code))
            return
        times = sorted(times[5:])
        # the extremes of many short ones are the machine's
        middle = times[len(times) // 20:len(times) - len(times) // 20]
        if goal:
            self.table.judged(work, who, statistics.median(times), 'ms', goal, spread='%.0f%%' % spread(middle))
        else:
            self.table.figure(work, who, statistics.median(times), 'ms', spread='%.0f%%' % spread(middle))

    # -----------------------------------------------------------------------
    # Undo, and DROP
    # -----------------------------------------------------------------------

    def restore(self):
        """All rows put back, beside INSERT .. SELECT into the same table, indexes live."""
        rows = self.options.rows
        prepare = {'plain': ('CREATE TABLE t_by_hand AS SELECT * FROM t;', 'INSERT INTO t SELECT * FROM t_by_hand;'),
                   'kept': (contestants.DELETE.set_up('t'), "SELECT * FROM fortress.restore('t');")}

        def turn(contestant, i):
            with clone(contestant.server, 'whole') as session:
                before, statement = prepare[contestant.key]
                session.run(before)
                session.run('DELETE FROM t WHERE id > 0;\nVACUUM t;\n')
                session.run('CHECKPOINT;')
                result = session.measure(statement)
                if i == 0 and session.run('SELECT count(*) FROM t WHERE price = id % 777777 + 0.5;') != [str(rows)]:
                    raise Failure('not every row is back')
                return result

        contest = Contest(self.table, 'restore of %d rows / INSERT .. SELECT' % rows,
                          [contestants.PLAIN, contestants.DELETE], self.options.rounds, turn, {'kept': Goal(0.8)}).run()
        contest.tell('ms', 1000, lambda result: result.wall)

    def drop(self):
        """DROP TABLE with permission, which keeps the table."""
        goal = Goal(10, 'median', 'ms')
        permit = "BEGIN; SELECT fortress.unlock(fortress.issue_token(operations => '{ddl}'));"

        def turn(contestant, _):
            with clone(contestant.server, 'whole') as session:
                # of which event triggers would run with each DROP
                session.run('DROP EXTENSION IF EXISTS periods;')
                # another table first, so that functions and caches are made
                session.run('CREATE TABLE first (LIKE t INCLUDING ALL);')
                for table in ('first', 't'):
                    session.run(contestant.set_up(table) + 'CHECKPOINT;')
                    if contestant is contestants.BOTH:
                        session.run(permit)
                        result = session.measure('DROP TABLE %s; COMMIT;' % table)
                    else:
                        result = session.measure('DROP TABLE %s;' % table)
                return result

        contest = Contest(self.table, 'DROP TABLE of %d rows' % self.options.rows, [contestants.PLAIN, contestants.BOTH],
                          self.options.rounds, turn, {'both': goal}).run()
        contest.tell('ms', 1000, lambda result: result.wall)

    def size(self):
        """What a row takes in the archive."""
        with clone(GUARDED, 'whole') as session:
            session.run(contestants.DELETE.set_up('t'))
            base = float(session.run('SELECT avg(pg_column_size(t.*)) FROM t;')[0])
            session.run('DELETE FROM t WHERE id > 0;')
            shadow = session.run("SELECT fortress.shadow_of('t');")[0]
            kept = float(session.run('SELECT avg(pg_column_size(s.*)) FROM %s s;' % shadow)[0])
        self.table.judged('shadow row, bytes more than the row', contestants.DELETE.name, kept - base, 'bytes',
                          Goal(33, 'median', 'bytes'))

    # -----------------------------------------------------------------------
    # What has to stay flat
    # -----------------------------------------------------------------------

    def tables(self):
        """A single-row UPDATE with one protected table and with many."""
        number = self.options.singles
        template(GUARDED, 'many', '', EXTENSIONS)
        session = Session(GUARDED, 'many')
        session.run(table_script('s_one', 1000) + contestants.NONE.set_up('s_one'))
        samples = {}
        for count in (1, self.options.tables):
            if count > 1:
                self.protect_many(count - 1)
            # a session that has seen nothing yet
            session.close()
            session = Session(GUARDED, 'many')
            session.run('PREPARE one(bigint) AS UPDATE s_one SET price = price + 1 WHERE id = $1;')
            path = write_readable('one.sql', ''.join('EXECUTE one(%d);\n' % (1 + i % 900) for i in range(number)))
            session.run_file(path)
            samples[count] = {}
            for i in range(self.options.rounds * 2):
                session.run('VACUUM s_one; CHECKPOINT;')
                samples[count][i] = session.measure(path=path, watch_memory=False).cpu / number
        session.close()
        few, many = (samples[count] for count in (1, self.options.tables))
        work = 'single-row UPDATE by key, CPU time'
        self.table.samples(work, 'guard: 1 protected table', 'us', 1e6, few)
        self.table.samples(work, 'guard: %d protected tables' % self.options.tables, 'us', 1e6, many, few,
                           goal=Goal(1.05))

    def protect_many(self, count):
        """So many more tables, protected."""
        for first in range(0, count, 500):
            script = 'BEGIN;\n'
            for i in range(first, min(first + 500, count)):
                script += ("CREATE TABLE many_%d (id int PRIMARY KEY);\n"
                           "SELECT fortress.protect('many_%d', archive => 'none');\n" % (i, i))
            GUARDED.sql('many', '\\i %s' % write_readable('many.sql', script + 'COMMIT;\n'))
            self.table.note('%d tables' % min(first + 500, count))

    def sessions(self):
        """Throughput of few and of many sessions that update one table by key."""
        rows = 20000
        script = write_readable('sessions.pgbench', '\\set key random(1, %d)\n'
                                                    'UPDATE t SET price = price + 1 WHERE id = :key;\n' % rows)
        opened = []
        for server, care in ((PLAIN, ''), (GUARDED, contestants.BOTH.set_up('t') +
                                           "SELECT fortress.set_limit('t', 'update', 1000000000, '1 hour', 'table');")):
            template(server, 'crowd', table_script('t', rows, 50), EXTENSIONS)
            server.sql('crowd', care or 'SELECT 1;')
            opened.append(server)
        few, many = 10, self.options.sessions
        rates = {(server.name, count): {} for server in opened for count in (few, many)}
        for i in range(max(1, self.options.rounds - 2)):
            for count in (few, many):
                for server in opened if i % 2 == 0 else opened[::-1]:
                    server.sql('crowd', 'VACUUM t; CHECKPOINT;')
                    self.table.note('%d sessions, server %s' % (count, server.name))
                    rates[server.name, count][i] = self.rate(server, script, count)
        for count in (few, many):
            work = 'single-row UPDATE by key, %d sessions' % count
            plain, guarded = (rates[server.name, count] for server in opened)
            # time for a transaction, of all processors
            self.table.samples(work, 'plain', 'us', 1e6, plain)
            self.table.samples(work, 'guard: archived, a window for all', 'us', 1e6, guarded, plain)
        growth = {i: (rates['guarded', many][i] / rates['plain', many][i]) / (rates['guarded', few][i] / rates['plain', few][i])
                  for i in rates['plain', few]}
        self.table.judged('the guard with %d sessions / with %d' % (many, few), 'guard: archived, a window for all',
                          statistics.median(growth.values()), '', Goal(1.1), spread='%.0f%%' % spread(list(growth.values())))

    def rate(self, server, script, count):
        """Seconds from one transaction to the next, connecting left out."""
        return 1 / server.pgbench('crowd', '-n', '-M', 'prepared', '-c', str(count), '-j', '2',
                                  '-T', str(self.options.seconds), '-f', script)[0]

    # -----------------------------------------------------------------------

    def run(self):
        """All that was asked for; the exit code."""
        began = time.monotonic()
        options = self.options
        version = PLAIN.program('postgres', '--version').replace('postgres (PostgreSQL)', 'PostgreSQL')
        self.table.say('fortress_guard: %s, %s, %d rows, %d rounds' % (version, machine(), options.rows, options.rounds))
        for server in self.servers:
            server.start()
        if set(options.section) & {'bulk', 'refuse', 'restore', 'drop', 'size'}:
            self.templates()
        for section in SECTIONS:
            if section not in options.section:
                continue
            at = time.monotonic()
            try:
                getattr(self, section)()
            except Failure as failure:
                self.table.failed(section, '-', failure)
                for server in self.servers:
                    server.start()
            self.table.note('%s: %.0f s' % (section, time.monotonic() - at))
        stop_all()
        code = self.table.end()
        self.table.say('%.0f s; while something was timed, others had %.1f %% of the processors'
                       % (time.monotonic() - began, NOISE.share()))
        return code


def main():
    options = arguments(sys.argv[1:])
    if options.check:
        return 0
    return Bench(options).run()


if __name__ == '__main__':
    sys.exit(main())
