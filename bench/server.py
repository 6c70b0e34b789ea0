"""Servers and sessions of the bench, and what the kernel knows of them.

A Server is one of the clusters that lib.sh made.  A Session is a psql that
stays connected, so that the process that serves it is known and its CPU time
(/proc/PID/schedstat, nanoseconds) and private memory (/proc/PID/status) can be
read.  Nothing here judges what it measures.
"""

import os
import re
import subprocess
import threading
import time

TMP = os.environ.get('FG_TMP', '')
BINDIR = os.environ.get('FG_BINDIR', '')
OWNER = os.environ.get('FG_OWNER', '')
EXTENSIONS = os.environ.get('FG_EXTENSIONS', '').split()

MARK = '-- bench: end of answer --'


class Failure(Exception):
    """A statement, a session or a tool that did not do what it had to."""


def as_owner(*command):
    """The command, to be run as the user whom the servers belong to."""
    return (['runuser', '-u', OWNER, '--'] if OWNER else []) + list(command)


def write_readable(name, text):
    """A file of the bench's directory that the servers may read, too; its path."""
    path = os.path.join(TMP, name)
    with open(path, 'w', encoding='utf-8') as file:
        file.write(text)
    os.chmod(path, 0o644)
    return path


# ---------------------------------------------------------------------------
# What the kernel knows
# ---------------------------------------------------------------------------

TICK = 1.0 / os.sysconf('SC_CLK_TCK')


def cpu_of(pid):
    """Seconds of CPU time that a process has used; 0 if it is gone."""
    try:
        with open('/proc/%d/schedstat' % pid, encoding='ascii') as file:
            return int(file.read().split()[0]) / 1e9
    except FileNotFoundError:
        pass
    except ProcessLookupError:
        return 0.0
    return sum(stat_of(pid)[:2])


def stat_of(pid):
    """(user, system, user of reaped children, system of them, parent) of a process."""
    try:
        with open('/proc/%d/stat' % pid, encoding='utf-8', errors='replace') as file:
            fields = file.read().rsplit(')', 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0, 0.0, 0.0, 0.0, 0
    return tuple(int(field) * TICK for field in fields[11:15]) + (int(fields[1]),)


def children_of(parent):
    """The processes whose parent is this one."""
    found = []
    for name in os.listdir('/proc'):
        if name.isdigit() and stat_of(int(name))[4] == parent:
            found.append(int(name))
    return found


def private_memory(pid):
    """Bytes of memory that a process shares with nobody; 0 if it is gone."""
    try:
        with open('/proc/%d/status' % pid, encoding='utf-8') as file:
            for line in file:
                if line.startswith('RssAnon'):
                    return int(line.split()[1]) * 1024
    except (FileNotFoundError, ProcessLookupError):
        pass
    return 0


def machine_busy():
    """Seconds that the processors of the machine were not idle, and those taken by others who share it."""
    with open('/proc/stat', encoding='ascii') as file:
        fields = [int(field) * TICK for field in file.readline().split()[1:]]
    return sum(fields[:3]) + sum(fields[5:8])


class Noise:
    """How much of the processors went to others while the bench measured."""

    def __init__(self):
        self.elapsed = 0.0
        self.foreign = 0.0

    def add(self, elapsed, busy, ours):
        """A measured stretch: its length, what the machine worked, what of it was ours."""
        self.elapsed += elapsed * (os.cpu_count() or 1)
        self.foreign += max(0.0, busy - ours)

    def share(self):
        """Per cent of the processors' time."""
        return 100 * self.foreign / self.elapsed if self.elapsed else 0.0


NOISE = Noise()


class MemoryWatch(threading.Thread):
    """The most private memory that a process has while the watch runs."""

    INTERVAL = 0.01

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid = pid
        self.before = self.most = private_memory(pid)
        self.over = threading.Event()

    def run(self):
        while not self.over.wait(self.INTERVAL):
            self.most = max(self.most, private_memory(self.pid))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()

    def more(self):
        """Bytes more than at the start."""
        return self.most - self.before


# ---------------------------------------------------------------------------
# Servers
# ---------------------------------------------------------------------------

class Server:
    """One of the clusters: plain, guarded or audited."""

    def __init__(self, name):
        self.name = name
        self.directory = os.path.join(TMP, name)
        self.data = os.path.join(self.directory, 'data')
        self.running = False
        self.postmaster = 0
        self.sessions = []

    def environment(self):
        """For libpq's programs."""
        with open(os.path.join(self.directory, 'port'), encoding='ascii') as file:
            port = file.read().strip()
        environment = dict(os.environ, PGHOST=self.directory, PGPORT=port, PGUSER='postgres', PGTZ='UTC',
                           PGCLIENTENCODING='UTF8')
        environment.pop('PGDATABASE', None)
        return environment

    def control(self, *arguments):
        """pg_ctl"""
        done = subprocess.run(as_owner(os.path.join(BINDIR, 'pg_ctl'), '-D', self.data, '-w', '-t', '300', *arguments),
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode != 0:
            raise Failure('pg_ctl %s of the server %s: %s' % (arguments[0], self.name, done.stdout.strip()))

    def start(self):
        if self.running:
            return
        # not through a pipe, which the server would keep open
        with open(os.path.join(TMP, 'pg_ctl.log'), 'w', encoding='utf-8') as log:
            done = subprocess.run(as_owner(os.path.join(BINDIR, 'pg_ctl'), '-D', self.data, '-w', '-t', '60',
                                           '-l', os.path.join(self.directory, 'log'), 'start'),
                                  stdout=log, stderr=log, check=False)
        if done.returncode != 0:
            raise Failure('the server %s did not start: %s' % (self.name, self.log_tail()))
        with open(os.path.join(self.data, 'postmaster.pid'), encoding='utf-8') as file:
            self.postmaster = int(file.readline())
        self.running = True

    def stop(self):
        if self.running:
            for session in list(self.sessions):
                session.close()
            self.control('-m', 'fast', 'stop')
            self.running = False

    def log_tail(self):
        """The last lines of the server's log."""
        try:
            with open(os.path.join(self.directory, 'log'), encoding='utf-8', errors='replace') as file:
                return ''.join(file.readlines()[-5:]).strip()
        except FileNotFoundError:
            return 'it has no log'

    def cpu(self):
        """Seconds of CPU time of all processes of the server, those that ended since its start too."""
        ended = stat_of(self.postmaster)
        return (cpu_of(self.postmaster) + ended[2] + ended[3] +
                sum(cpu_of(pid) for pid in children_of(self.postmaster)))

    def sql(self, database, text):
        """Runs a script in a session of its own; the lines that it gave."""
        session = Session(self, database)
        try:
            return session.run(text)
        finally:
            session.close()

    def one(self, database, query):
        """The one value that a query gives."""
        return self.sql(database, query)[0]

    @staticmethod
    def program(name, *arguments):
        """Runs a program of the server that needs no server; its output."""
        return subprocess.run([os.path.join(BINDIR, name)] + list(arguments), stdout=subprocess.PIPE, text=True,
                              check=True).stdout.strip()

    def pgbench(self, database, *options, clients=lambda: 0.0):
        """Runs pgbench; transactions a second, and milliseconds of one.  clients: CPU time of other clients of ours."""
        busy, cpu, began = machine_busy(), self.cpu() + clients(), time.monotonic()
        children = sum(os.times()[:4])
        done = subprocess.run([os.path.join(BINDIR, 'pgbench')] + list(options) + [database], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, env=self.environment(), check=False)
        NOISE.add(time.monotonic() - began, machine_busy() - busy,
                  self.cpu() + clients() - cpu + sum(os.times()[:4]) - children)
        if done.returncode != 0:
            raise Failure('pgbench: ' + done.stderr.strip()[-500:])
        if '-i' in options:
            return None
        tps = re.search(r'^tps = ([0-9.]+) ', done.stdout, re.M)
        latency = re.search(r'^latency average = ([0-9.]+) ms', done.stdout, re.M)
        if not tps or not latency or float(tps.group(1)) <= 0:
            raise Failure('pgbench told no throughput: ' + done.stdout[-200:])
        return float(tps.group(1)), float(latency.group(1))

    def clone(self, template, database):
        """A new database with what the template has."""
        self.sql('postgres', 'DROP DATABASE IF EXISTS %s WITH (FORCE); '
                             'CREATE DATABASE %s TEMPLATE %s STRATEGY file_copy;' % (database, database, template))


SERVERS = {name: Server(name) for name in ('plain', 'guarded', 'audited')}


def stop_all():
    """Stops every server that runs."""
    for server in SERVERS.values():
        server.stop()


# ---------------------------------------------------------------------------
# Sessions
# ---------------------------------------------------------------------------

class Result:
    """What a statement took: seconds, seconds of CPU of its process and of the whole server, bytes."""

    def __init__(self, wall, cpu, server_cpu, wal, memory, lines):
        self.wall = wall
        self.cpu = cpu
        self.server_cpu = server_cpu
        self.wal = wal
        self.memory = memory
        self.lines = lines


class Session:
    """A psql that stays connected.  An error ends it and is a Failure."""

    def __init__(self, server, database, stop_at_error=True):
        self.server = server
        self.process = subprocess.Popen(
            [os.path.join(BINDIR, 'psql'), '-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=%d' % stop_at_error, '-d', database],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors='replace',
            env=server.environment())
        server.sessions.append(self)
        self.run('SET client_min_messages = error;')
        self.pid = int(self.run('SELECT pg_backend_pid();')[0])

    def run(self, text):
        """Sends a script; the lines that it gave."""
        lines = []
        try:
            self.process.stdin.write('%s\n\\echo %s\n' % (text, MARK))
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        for line in self.process.stdout:
            line = line.rstrip('\n')
            if line == MARK:
                return lines
            lines.append(line)
        self.close()
        errors = [line for line in lines if re.search('(ERROR|FATAL|PANIC|DETAIL):', line)] or lines
        raise Failure(' '.join(errors[:3]) or 'the session ended')

    def run_file(self, path):
        """The same with a file, for long scripts."""
        return self.run('\\i %s' % path)

    def wal_position(self):
        return int(self.run("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn;")[0])

    def measure(self, text=None, path=None, watch_memory=True):
        """Runs a script, or a file of one, and says what it took."""
        wal = self.wal_position()
        server_cpu = self.server.cpu()
        busy = machine_busy()
        client = cpu_of(self.process.pid) + sum(os.times()[:2])
        cpu = cpu_of(self.pid)
        began = time.monotonic()
        if watch_memory:
            with MemoryWatch(self.pid) as watch:
                lines = self.run(text) if path is None else self.run_file(path)
        else:
            lines = self.run(text) if path is None else self.run_file(path)
        wall = time.monotonic() - began
        cpu = cpu_of(self.pid) - cpu
        client = cpu_of(self.process.pid) + sum(os.times()[:2]) - client
        busy = machine_busy() - busy
        server_cpu = self.server.cpu() - server_cpu
        NOISE.add(wall, busy, server_cpu + client)
        return Result(wall, cpu, server_cpu, self.wal_position() - wal, watch.more() if watch_memory else None, lines)

    def close(self):
        if self in self.server.sessions:
            self.server.sessions.remove(self)
        if self.process.poll() is None:
            try:
                self.process.stdin.close()
            except BrokenPipeError:
                pass
        self.process.wait()
        self.process.stdout.close()
