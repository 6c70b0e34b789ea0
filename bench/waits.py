"""How long processes waited for which lightweight lock, one wait after the other.

PostgreSQL, if it is built with --enable-dtrace as Debian's is, marks the begin
and the end of each wait (TRACE_POSTGRESQL_LWLOCK_WAIT_START and _DONE).  The
kernel can write down when a process comes by such a mark, if it lets us: as
root, with tracefs mounted.  The places of the marks are notes in the server's
executable file.  What is written costs a few microseconds for each wait, and
nothing where nobody waits.

A trace is an instance of its own, and its probes have a group of their own, so
that nobody else's tracing is disturbed; both are gone at the end.
"""

import collections
import os
import re
import subprocess

from server import BINDIR, Failure

TRACING = '/sys/kernel/tracing'
GROUP = 'fortress_bench_%d' % os.getpid()
MARKS = ('lwlock__wait__start', 'lwlock__wait__done')
# of each processor; some fifty bytes are written for a mark
BUFFER_KB = 32768

NOTE = re.compile(r'Name: (\S+)\s+Location: (0x[0-9a-f]+), Base: 0x[0-9a-f]+, Semaphore: (0x[0-9a-f]+)\s+Arguments: 8@%(\w+) ')
LINE = re.compile(r'-(\d+)\s+\[\d+\]\s+\S+\s+([\d.]+): (start|done)_\d+: .*name="([^"]*)"')


class Wait:
    """All waits for one kind of lock, in seconds."""

    def __init__(self, times):
        self.times = sorted(times)

    def at(self, part):
        """The wait that this part of them is shorter than; 1: the longest."""
        return self.times[min(len(self.times) - 1, int(len(self.times) * part))] if self.times else 0.0


class Waits:
    """A trace of the waits of all processes of our PostgreSQL between begin() and end()."""

    def __init__(self):
        self.program = os.path.join(BINDIR, 'postgres')
        self.instance = os.path.join(TRACING, 'instances', GROUP)

    @staticmethod
    def hindrance():
        """Why it can't be done here; '' if it can."""
        if not os.access(os.path.join(TRACING, 'uprobe_events'), os.W_OK):
            return 'waits are left out: they need root, and "mount -t tracefs nodev %s"' % TRACING
        try:
            Waits().probes()
        except Failure as failure:
            return 'waits are left out: %s' % failure
        return ''

    def segments(self, output):
        """(offset in the file, address, length) of what is loaded."""
        found = re.findall(r'LOAD\s+(0x\w+) (0x\w+) 0x\w+ (0x\w+)', output)
        return [tuple(int(number, 16) for number in segment) for segment in found]

    def probes(self):
        """Definitions for the kernel, one for each place."""
        try:
            notes = subprocess.run(['readelf', '-nW', self.program], capture_output=True, text=True, check=False).stdout
            segments = self.segments(subprocess.run(['readelf', '-lW', self.program], capture_output=True, text=True,
                                                    check=False).stdout)
        except FileNotFoundError as error:
            raise Failure('there is no readelf') from error

        def in_file(address):
            for offset, start, length in segments:
                if start <= address < start + length:
                    return address - start + offset
            raise Failure('an address lies outside the file')

        found = []
        for name, place, semaphore, register in NOTE.findall(notes):
            if name not in MARKS:
                continue
            # the kernel calls rax ax, but r14 r14
            register = register[1:] if re.match(r'r[a-z]', register) else register
            found.append('p:%s/%s_%d %s:0x%x(0x%x) name=+0(%%%s):string' %
                         (GROUP, name.rsplit('_', 1)[1], len(found), self.program, in_file(int(place, 16)),
                          in_file(int(semaphore, 16)), register))
        if not found:
            raise Failure('the server has no marks (it is not built with --enable-dtrace)')
        return found

    def tell(self, name, text, flags=os.O_TRUNC):
        """Writes one of the kernel's files, which know no positions."""
        file = os.open(os.path.join(TRACING, name), os.O_WRONLY | flags)
        try:
            os.write(file, text.encode('ascii'))
        finally:
            os.close(file)

    def begin(self):
        """From now on."""
        for probe in self.probes():
            self.tell('uprobe_events', probe + '\n', os.O_APPEND)
        os.mkdir(self.instance)
        self.tell(os.path.join(self.instance, 'buffer_size_kb'), str(BUFFER_KB))
        self.tell(os.path.join(self.instance, 'events', GROUP, 'enable'), '1')

    def end(self):
        """{name of a kind of lock: Wait}; raises Failure if marks were lost."""
        self.tell(os.path.join(self.instance, 'events', GROUP, 'enable'), '0')
        began, times = {}, collections.defaultdict(list)
        with open(os.path.join(self.instance, 'trace'), encoding='ascii', errors='replace') as file:
            for line in file:
                counts = re.match(r'# entries-in-buffer/entries-written: (\d+)/(\d+)', line)
                if counts and counts.group(1) != counts.group(2):
                    raise Failure('the kernel lost marks')
                found = LINE.search(line)
                if not found:
                    continue
                pid, at, what, name = found.groups()
                if what == 'start':
                    began[pid] = float(at)
                elif pid in began:
                    times[name].append(float(at) - began.pop(pid))
        return {name: Wait(all_of_it) for name, all_of_it in times.items()}

    def close(self):
        """Takes the probes out again."""
        if os.path.isdir(self.instance):
            self.tell(os.path.join(self.instance, 'events', GROUP, 'enable'), '0')
            os.rmdir(self.instance)
        with open(os.path.join(TRACING, 'uprobe_events'), encoding='ascii') as file:
            ours = re.findall(r'^p:(%s/\S+)' % GROUP, file.read(), re.M)
        for name in ours:
            self.tell('uprobe_events', '-:%s\n' % name, os.O_APPEND)

    def __enter__(self):
        try:
            self.begin()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()
