"""What a flood of refusals does to others on the same server.  See --help.

Sessions that send nothing but statements which are refused, beside a pgbench
that has nothing to do with them; and the same with statements that fail
without any guard (a division by zero at the first row), which is what an
attacker can do to every server.  The two floods compete for the processors in
the same way, so what the guard adds is the difference between them.

Each flood ends by itself when its standard input does, so that what its
clients saw can be compared with the audit log: each refusal is in it once.
"""

import argparse
import fcntl
import os
import statistics
import subprocess
import sys
import time

from contest import table_script, template
from figures import Goal, Table, spread
from server import BINDIR, EXTENSIONS, NOISE, SERVERS, TMP, Failure, cpu_of, stop_all

GUARDED = SERVERS['guarded']

COLUMNS = ('work', 'beside it', 'median', 'spread', 'ratio', 'latency', 'failed/s', 'CPU pgbench', 'CPU flood', 'CPU others',
           'goal', 'met')
WIDTHS = (30, 40, 10, 6, 5, 9, 9, 11, 9, 10, 12, 3)

# statement, the errors that it may end with, title; what all are about to delete at once is over the limit of an hour, too
FLOODS = {
    'alone': (None, (), 'nothing'),
    'errors': ('DELETE FROM f WHERE 1/(id-id)=1;', ('22012',), '%d sessions of plain errors'),
    'where': ('DELETE FROM t;', ('ZG003',), '%d sessions of refusals: no WHERE'),
    'limit': ('DELETE FROM t WHERE id>0;', ('ZG001', 'ZG002'), '%d sessions of refusals: over the limit'),
}


def arguments(argv):
    """What the command line says; raises SystemExit."""
    parser = argparse.ArgumentParser(prog='bench/flood', description='Measures what a flood of refused statements does to a '
                                                                     'pgbench beside it.')
    parser.add_argument('--small', action='store_true', help='a second each: shows that it works, not what it costs')
    parser.add_argument('--markdown', action='store_true', help='the table in Markdown')
    parser.add_argument('-s', '--sessions', type=int, help='sessions of the flood (16)')
    parser.add_argument('-T', '--seconds', type=int, help='length of each stretch (10)')
    parser.add_argument('-n', '--rounds', type=int, help='rounds (3)')
    parser.add_argument('--no-instructions', action='store_true', help=argparse.SUPPRESS)
    parser.add_argument('--check', action='store_true', help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    for name, small, full in (('sessions', 4, 16), ('seconds', 1, 10), ('rounds', 1, 3)):
        if getattr(options, name) is None:
            setattr(options, name, small if options.small else full)
    if min(options.sessions, options.seconds, options.rounds) < 1 or options.sessions > 500:
        parser.error('at least 1 session, 1 second, 1 round; at most 500 sessions')
    return options


# refusals in the audit log
BLOCKED = ("SELECT coalesce(sum(coalesce((detail ->> 'times')::bigint, 1)), 0) FROM fortress.audit_log "
           "WHERE event = 'blocked'")


class Flood:
    """Sessions that send one statement over and over."""

    PIPE = 4096

    def __init__(self, server, database, statement, sessions):
        self.files = []
        self.sources = []
        self.clients = []
        environment = dict(server.environment(), PGAPPNAME='flood')
        for i in range(sessions):
            # what is in the pipe when the source ends is still sent: let it be little
            out, into = os.pipe()
            fcntl.fcntl(into, fcntl.F_SETPIPE_SZ, self.PIPE)
            # each write is whole lines, and so short that it is done wholly or not at all
            source = subprocess.Popen(['sh', '-c', 'while :; do echo "$0"; done', '\n'.join([statement] * 10)], stdout=into)
            os.close(into)
            file = open(os.path.join(TMP, 'flood.%d' % i), 'w+', encoding='utf-8')
            client = subprocess.Popen([os.path.join(BINDIR, 'psql'), '-X', '-q', '-v', 'VERBOSITY=sqlstate', '-d', database],
                                      stdin=out, stdout=subprocess.DEVNULL, stderr=file, env=environment)
            os.close(out)
            self.files.append(file)
            self.sources.append(source)
            self.clients.append(client)

    def end(self, codes):
        """Waits for the last answers; how many statements failed, each of them with one of these codes."""
        expected = ['ERROR:  ' + code for code in codes]
        for source in self.sources:
            source.kill()
            source.wait()
        failed = 0
        for client, file in zip(self.clients, self.files):
            client.wait()
            file.seek(0)
            for line in file:
                if line.rstrip() not in expected:
                    raise Failure('the flood was answered: ' + line.strip())
                failed += 1
            file.close()
            os.unlink(file.name)
        return failed


def wait_until(database, query, seconds=300):
    """Waits for a query of the guarded server to become true."""
    until = time.monotonic() + seconds
    while GUARDED.one(database, query + ';') != 't':
        if time.monotonic() > until:
            raise Failure('still not true after %d s: %s' % (seconds, query))
        time.sleep(0.05)


class Stretch:
    """pgbench for some seconds beside a flood, or alone."""

    CLIENTS = 4

    def __init__(self, options, kind):
        statement, codes, _ = FLOODS[kind]
        self.failed = self.flood_cpu = self.other_cpu = 0
        before = int(GUARDED.one('flood', BLOCKED + ';'))
        began = time.monotonic()
        flood = Flood(GUARDED, 'flood', statement, options.sessions) if statement else None
        try:
            if flood:
                wait_until('flood', "SELECT count(*) = %d FROM pg_stat_activity WHERE application_name = 'flood'" % options.sessions)
            who = self.backends()
            cpu = {pid: cpu_of(pid) for pid in who}
            server_cpu, at = GUARDED.cpu(), time.monotonic()
            self.tps, self.latency = GUARDED.pgbench('flood', '-n', '-M', 'prepared', '-N', '-c', str(self.CLIENTS), '-j', '1',
                                                     '-T', str(options.seconds), clients=lambda: self.clients_cpu(flood))
            self.elapsed = time.monotonic() - at
            for pid, kind_of in who.items():
                if kind_of == 'flood':
                    self.flood_cpu += cpu_of(pid) - cpu[pid]
            later = {pid: kind_of for pid, kind_of in self.backends().items() if kind_of == 'other'}
            self.other_cpu = sum(cpu_of(pid) - cpu.get(pid, 0) for pid in later)
            server_cpu = GUARDED.cpu() - server_cpu
            self.pgbench_cpu = max(0.0, server_cpu - self.flood_cpu - self.other_cpu)
        finally:
            if flood:
                self.failed = flood.end(codes)
        self.rate = self.failed / (time.monotonic() - began)
        refused = self.failed if statement and kind != 'errors' else 0
        at = time.monotonic()
        wait_until('flood', 'SELECT (%s) >= %d' % (BLOCKED, before + refused))
        self.caught_up = time.monotonic() - at
        found = int(GUARDED.one('flood', BLOCKED + ';')) - before
        if found != refused:
            raise Failure('%d refusals, but %d in the audit log' % (refused, found))

    @staticmethod
    def backends():
        """{pid: flood or other}, but not those of pgbench or of whoever asks."""
        rows = GUARDED.sql('flood', "SELECT pid, CASE application_name WHEN 'flood' THEN 'flood' ELSE 'other' END "
                                    "FROM pg_stat_activity WHERE application_name <> 'pgbench' AND pid <> pg_backend_pid();")
        return {int(pid): kind for pid, kind in (row.split('|') for row in rows)}

    @staticmethod
    def clients_cpu(flood):
        """CPU time of its clients."""
        return sum(cpu_of(p.pid) for p in flood.clients + flood.sources) if flood else 0.0



def tell(table, options, sync, stretches):
    """The rows of one way to sync."""
    work = 'pgbench, %d sessions, fsync %s' % (Stretch.CLIENTS, sync)
    alone = stretches['alone']
    for kind, found in stretches.items():
        name = FLOODS[kind][2]
        name = name % options.sessions if '%d' in name else name
        rates = [s.tps for s in found]
        more = {'spread': '%.0f%%' % spread(rates), 'latency': '%.2f ms' % statistics.median(s.latency for s in found),
                'CPU pgbench': '%.2f' % statistics.median(s.pgbench_cpu / s.elapsed for s in found),
                'CPU others': '%.2f' % statistics.median(s.other_cpu / s.elapsed for s in found)}
        if kind != 'alone':
            more['ratio'] = '%.2f' % statistics.median(s.tps / a.tps for s, a in zip(found, alone))
            more['failed/s'] = '%.0f' % statistics.median(s.rate for s in found)
            more['CPU flood'] = '%.2f' % statistics.median(s.flood_cpu / s.elapsed for s in found)
        table.figure(work, name, statistics.median(rates), 'tps', **more)
    for kind in ('where', 'limit'):
        quotient = statistics.median(e.tps / s.tps for e, s in zip(stretches['errors'], stretches[kind]))
        table.judged(work, 'plain errors / ' + FLOODS[kind][2].replace('%d sessions of ', ''), quotient, '',
                     Goal(1.05, 'median'))
    table.figure('until all are in the audit log', FLOODS['where'][2] % options.sessions,
                 statistics.median(s.caught_up for s in stretches['where']), 's')


def main():
    options = arguments(sys.argv[1:])
    if options.check:
        return 0
    table = Table(options.markdown, COLUMNS, WIDTHS)
    table.say('fortress_guard: a flood of refusals; CPU in processors of %d' % (os.cpu_count() or 1))
    GUARDED.start()
    template(GUARDED, 'flood', table_script('t', 1000 if options.small else 100000) + table_script('f', 1000) +
             "SELECT fortress.protect('t');", EXTENSIONS)
    GUARDED.pgbench('flood', '-i', '-q', '-s', '1' if options.small else '20')
    for sync in ('off', 'on'):
        GUARDED.sql('postgres', 'ALTER SYSTEM SET fsync = %s; SELECT pg_reload_conf();' % sync)
        wait_until('flood', "SELECT current_setting('fsync') = '%s'" % sync)
        stretches = {kind: [] for kind in FLOODS}
        try:
            for i in range(options.rounds):
                for kind in list(FLOODS)[i % 4:] + list(FLOODS)[:i % 4]:
                    GUARDED.sql('flood', 'CHECKPOINT;')
                    table.note('fsync %s, round %d: %s' % (sync, i + 1, kind))
                    stretches[kind].append(Stretch(options, kind))
            tell(table, options, sync, stretches)
        except Failure as failure:
            table.failed('pgbench, fsync ' + sync, '-', failure)
    if GUARDED.sql('flood', 'SELECT ok FROM fortress.verify_audit();') != ['t']:
        table.failed('the audit log', '-', 'it does not verify')
    stop_all()
    code = table.end()
    table.say('while something was timed, others had %.1f %% of the processors' % NOISE.share())
    return code


if __name__ == '__main__':
    sys.exit(main())
