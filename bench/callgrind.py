"""Instructions of single statements, counted by valgrind in a single-user backend.

One backend runs everything there is to count on a server; between the pieces
it calls pg_sleep(0), before which callgrind writes down what was executed
since the last time.  What the marks themselves cost is counted, too, and
taken away; the first statements of a kind, which fill caches, are a piece of
their own.
"""

import bisect
import glob
import os
import re
import subprocess

from server import BINDIR, TMP, Failure, as_owner

MARK = 'SELECT pg_sleep(0)'
# a small table's rows are found by its key, too
KEYS = 'SET enable_seqscan = off'
EMPTY = 5


class Piece:
    """Statements of one kind: format has a %d for the row's number.  Or one statement of many rows, which are counted
    instead of statements, and another one before it that makes it warm."""

    def __init__(self, name, form, before=None, rows=None, warm=None):
        self.name = name
        self.form = form
        # what has to be said first
        self.before = before
        self.rows = rows
        self.warm = warm
        self.instructions = None
        self.dump = None


def lines_of(pieces, warm, count):
    """The backend's input."""
    # the first mark is paid by the backend's start, the next make their own plan
    lines = [KEYS] + [MARK] * (EMPTY + 2)
    for piece in pieces:
        form = piece.form.replace('\n', ' ')
        lines += [piece.before] if piece.before else []
        if piece.rows:
            lines += [piece.warm.replace('\n', ' '), MARK, form, MARK]
            continue
        lines += [form % i for i in range(1, 1 + warm)] + [MARK]
        lines += [form % i for i in range(1 + warm, 1 + warm + count)] + [MARK]
    return '\n'.join(lines) + '\n'


def total_of(path):
    """Instructions in a dump."""
    with open(path, encoding='utf-8', errors='replace') as file:
        for line in file:
            found = re.match(r'(?:summary|totals): (\d+)', line)
            if found:
                return int(found.group(1))
    raise Failure('callgrind wrote no total into %s' % os.path.basename(path))


def count(server, database, pieces, warm, statements):
    """Fills in the instructions of one statement of each piece, measured behind some that make it warm; the server is not
    running.  Returns what a mark costs."""
    directory = os.path.join(TMP, 'callgrind_' + server.name)
    # the backend's owner writes there
    if not os.path.isdir(directory):
        os.mkdir(directory)
        os.chmod(directory, 0o777)
    for path in glob.glob(os.path.join(directory, '*')):
        os.unlink(path)
    out = os.path.join(directory, 'out')
    done = subprocess.run(
        as_owner('valgrind', '--tool=callgrind', '--dump-before=pg_sleep', '--compress-strings=no', '--compress-pos=no',
                 '--callgrind-out-file=' + out, os.path.join(BINDIR, 'postgres'), '--single', '-D', server.data, database),
        input=lines_of(pieces, warm, statements), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors='replace',
        check=False)
    errors = [line for line in done.stderr.splitlines() if re.search('(ERROR|FATAL|PANIC|DETAIL):', line)]
    if done.returncode != 0 or errors:
        raise Failure(' '.join(errors[:3]) or done.stderr[-300:])
    dumps = sorted(glob.glob(out + '.*'), key=lambda path: int(path.rsplit('.', 1)[1]))
    if len(dumps) < EMPTY + 2 + 2 * len(pieces):
        raise Failure('callgrind wrote %d dumps of %d' % (len(dumps), EMPTY + 2 + 2 * len(pieces)))
    # the n-th dump ends with the n-th mark
    totals = [total_of(path) for path in dumps]
    mark = sorted(totals[2:EMPTY + 2])[EMPTY // 2]
    for i, piece in enumerate(pieces):
        at = EMPTY + 2 + 2 * i + 1
        piece.instructions = (totals[at] - mark) / (piece.rows or statements)
        piece.dump = dumps[at]
    return mark


def functions_of(piece):
    """{(function, object): instructions} of a piece's dump, the functions' own without what they call."""
    cost = {}
    function = binary = ''
    skip = 0
    with open(piece.dump, encoding='utf-8', errors='replace') as file:
        for line in file:
            if line.startswith('ob='):
                binary = os.path.basename(line[3:].strip())
            elif line.startswith('fn='):
                function = line[3:].strip()
            elif line.startswith('calls='):
                # the next line is what the called function took
                skip = 1
            elif line[:1].isdigit() or line[:1] in '+-*':
                if skip:
                    skip = 0
                    continue
                fields = line.split()
                if len(fields) >= 2:
                    key = (function, binary)
                    cost[key] = cost.get(key, 0) + int(fields[1])
    return cost


class Names:
    """Names of functions that callgrind knows by their address only: the server's program tells those of the functions
    that libraries may call, and the others lie between them."""

    def __init__(self):
        done = subprocess.run(['nm', '-D', '--defined-only', os.path.join(BINDIR, 'postgres')], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True, check=False)
        known = sorted((int(address, 16), name) for address, kind, name in
                       (line.split(' ', 2) for line in done.stdout.splitlines()) if kind in 'TW')
        self.addresses = [address for address, _ in known]
        self.names = [name for _, name in known]

    def of(self, name):
        """The name, or whom the function lies behind."""
        if not name.startswith('0x'):
            return name
        at = bisect.bisect(self.addresses, int(name, 16))
        return 'a static one behind ' + self.names[at - 1] if at else name
