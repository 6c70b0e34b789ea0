"""Contests: the same work done by each contestant, in rounds.

In a round everybody has one turn; the next round begins with somebody else.
Who takes more than eight times as long as its baseline has had its say after
the first round; of whom no goal speaks, if time is short, after three.
Whoever fails once is out, and its row says why.
"""

import contextlib

from callgrind import KEYS
from contestants import baseline_of
from figures import Goal, WithinNoise
from server import Failure, Session, write_readable

SLOW = 8
FEW = 3

COLUMNS = '(id bigint NOT NULL, owner int NOT NULL, price numeric(12,2), title text, at timestamptz)'
FILL = '''INSERT INTO {t} SELECT i, i % 1000, i % 777777 + 0.5, md5(i::text), timestamptz '2026-01-01' + i * interval '1 second'
FROM generate_series(1, {rows}) i;
'''


def table_script(name, rows, fillfactor=100, partitions=0):
    """Makes a table of the bench: rows of about 100 bytes with a primary key, frozen."""
    if partitions:
        script = 'CREATE TABLE %s %s PARTITION BY RANGE (id);\n' % (name, COLUMNS)
        edges = ['MINVALUE'] + [str(1 + rows * i // partitions) for i in range(1, partitions)] + ['MAXVALUE']
        for i in range(partitions):
            script += 'CREATE TABLE %s_p%d PARTITION OF %s FOR VALUES FROM (%s) TO (%s) WITH (fillfactor = %d);\n' % (
                name, i, name, edges[i], edges[i + 1], fillfactor)
    else:
        script = 'CREATE TABLE %s %s WITH (fillfactor = %d);\n' % (name, COLUMNS, fillfactor)
    return (script + FILL.replace('{t}', name).replace('{rows}', str(rows)) +
            'ALTER TABLE %s ADD PRIMARY KEY (id);\nVACUUM (FREEZE, ANALYZE) %s;\n' % (name, name))


EXTENSIONS = {
    'plain': lambda available: ''.join('CREATE EXTENSION %s CASCADE;\n' % name for name in ('periods', 'table_log')
                                       if name in available),
    'guarded': lambda available: 'CREATE EXTENSION fortress_guard;\n',
    'audited': lambda available: 'CREATE EXTENSION pgaudit;\n',
}

# Into shared memory, past the ring that a large scan uses.
WARM = '''SELECT sum(pg_prewarm(oid)) FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i') AND relname ~ '^t($|_)';
'''


def template(server, name, script, available):
    """A database with the server's extension, to be cloned."""
    server.sql('postgres', 'CREATE DATABASE %s;' % name)
    server.sql(name, 'SET client_min_messages = error;\nCREATE EXTENSION pg_prewarm;\n' +
               EXTENSIONS[server.name](available) + script + 'CHECKPOINT;\n')


@contextlib.contextmanager
def clone(server, source, name='run'):
    """A session in a database of its own, which is gone afterwards."""
    server.clone(source, name)
    session = Session(server, name)
    try:
        yield session
    finally:
        session.close()
        drop(server, name)


def drop(server, name):
    """Drops a database; the guard wants to be asked."""
    if server.name == 'guarded':
        server.sql(name, 'SELECT fortress.allow_drop_database();')
    server.sql('postgres', 'DROP DATABASE %s WITH (FORCE);' % name)


def kept_rows(contestant, session, kind):
    """How many old rows a contestant has kept; None if keeping is not its trade."""
    if contestant.archive != 'none':
        if kind not in contestant.archive.split(','):
            return None
        shadows = session.run("SELECT DISTINCT fortress.shadow_of(relid) FROM (SELECT relid FROM pg_partition_tree('t') "
                              "WHERE isleaf UNION SELECT 't'::regclass) r WHERE fortress.shadow_of(relid) IS NOT NULL;")
        return sum(int(session.run('SELECT count(*) FROM %s;' % shadow)[0]) for shadow in shadows)
    if contestant.keeps is None:
        return None
    return int(session.run('SELECT count(*) FROM t_%s;' % contestant.keeps)[0])


def bulk_once(contestant, kind, source, rows, verify):
    """All rows of a table in one statement."""
    with clone(contestant.server, source) as session:
        session.run(contestant.set_up('t'))
        if contestant.extension == 'periods':
            # it has added columns
            session.run('VACUUM (FREEZE, ANALYZE) t;')
        session.run(WARM)
        # plans, functions and caches are made by then
        session.run(contestant.statement(kind, 't', 'id = -1') + ';')
        session.run('CHECKPOINT;')
        result = session.measure(contestant.statement(kind, 't', 'id > 0') + ';')
        if verify:
            if kind == 'update':
                changed = session.run('SELECT count(*) FROM t WHERE price <> id % 777777 + 0.5;')[0]
            else:
                changed = session.run('SELECT %d - count(*) FROM t;' % rows)[0]
            if int(changed) != rows:
                raise Failure('%s rows were changed, not %d' % (changed, rows))
            kept = kept_rows(contestant, session, kind)
            if kept not in (None, rows):
                raise Failure('%d rows were kept, not %d' % (kept, rows))
        return result


class Contest:
    """Rounds of turns.  turn(contestant, round) measures one and returns a server.Result; short: time is."""

    def __init__(self, table, work, contestants, rounds, turn, goals=None, short=False):
        self.table = table
        self.work = work
        self.contestants = contestants
        self.rounds = rounds
        self.turn = turn
        self.goals = goals or {}
        self.short = short
        self.results = {contestant.key: {} for contestant in contestants}
        self.out = {}

    def run(self):
        """All rounds."""
        count = len(self.contestants)
        for i in range(self.rounds):
            first = (i * 5) % count
            for contestant in self.contestants[first:] + self.contestants[:first]:
                if contestant.key in self.out or (i > 0 and self.enough(contestant, i)):
                    continue
                self.table.note('%s, round %d: %s' % (self.work, i + 1, contestant.name))
                try:
                    self.results[contestant.key][i] = self.turn(contestant, i)
                except Failure as failure:
                    self.out[contestant.key] = failure
        return self

    def enough(self, contestant, i):
        """Has it had its say before this round?"""
        base = self.of_base(contestant)
        own = self.results[contestant.key]
        slow = any(own[j].wall > SLOW * base[j].wall for j in own if j in base)
        matters = baseline_of(contestant) is None or contestant.cte or contestant.key in self.goals
        return slow or (self.short and i >= FEW and not matters)

    def of_base(self, contestant):
        """The results of whom it is compared with; empty for a baseline."""
        base = baseline_of(contestant)
        return self.results.get(base.key, {}) if base else {}

    def tell(self, unit, scale, value):
        """The rows; value(result) is the sample."""
        for contestant in self.contestants:
            if contestant.key in self.out:
                self.table.failed(self.work, contestant.name, self.out[contestant.key])
                continue
            own = self.results[contestant.key]
            base = self.of_base(contestant)
            if baseline_of(contestant) and not base:
                self.table.failed(self.work, contestant.name, 'its baseline could not be measured')
                continue
            self.table.samples(self.work, contestant.name, unit, scale, {i: value(r) for i, r in own.items()},
                               {i: value(r) for i, r in base.items()}, (own, base), self.goals.get(contestant.key))


# ---------------------------------------------------------------------------
# Single rows
# ---------------------------------------------------------------------------

class Singles:
    """Sessions that change row after row by key, each in a transaction of its own; a table for each contestant."""

    def __init__(self, contestants, database, rows):
        self.sessions = {}
        self.broken = {}
        for contestant in contestants:
            name = contestant.table
            try:
                session = Session(contestant.server, database)
                session.run(table_script(name, rows, 100, contestant.partitions))
                session.run(contestant.set_up(name))
                session.run('VACUUM (FREEZE, ANALYZE) %s; %s;' % (name, KEYS))
                for kind in ('update', 'delete'):
                    session.run('PREPARE one_%s(bigint) AS %s;' % (kind, contestant.statement(kind, name, 'id = $1')))
                self.sessions[contestant.key] = session
            except Failure as failure:
                self.broken[contestant.key] = failure

    def turn(self, kind, number):
        """A Contest's turn: each round takes the next rows.  Updates come before deletes."""
        def take(contestant, i):
            if contestant.key in self.broken:
                raise self.broken[contestant.key]
            session = self.sessions[contestant.key]
            path = write_readable('single.sql', ''.join('EXECUTE one_%s(%d);\n' % (kind, key)
                                                        for key in range(1 + i * number, 1 + (i + 1) * number)))
            session.run('CHECKPOINT;')
            return session.measure(path=path, watch_memory=False)
        return take

    def warm(self, kind, taken):
        """The statement often enough to have its final plan, on rows behind those that the rounds take."""
        for key, session in self.sessions.items():
            try:
                session.run(''.join('EXECUTE one_%s(%d);\n' % (kind, i) for i in range(taken + 1, taken + 51)))
            except Failure as failure:
                self.broken[key] = failure

    def close(self):
        for session in self.sessions.values():
            session.close()


GOALS = {
    'bulk delete': {'unprotected': WithinNoise(), 'lean': Goal(1.02), 'one_limit': Goal(1.02), 'kept': Goal(2.0),
                    'both': Goal(2.0)},
    'bulk update': {'unprotected': WithinNoise(), 'both': Goal(1.4)},
}
