"""Where the instructions of ordinary work go.  See --help.

The work is counted by callgrind in a single-user backend, prepared statements
of single rows as an application's, and statements of many rows: what a function executes itself, without
what it calls.  The share of a function of the guard says how much faster the
whole would be without it.
"""

import argparse
import sys

import callgrind
import contestants
from contest import table_script, template
from figures import Goal, Table
from server import EXTENSIONS, SERVERS, Failure, stop_all

COLUMNS = ('work', 'of whom', 'instructions', 'share', 'beside', 'goal', 'met')
WIDTHS = (44, 56, 12, 7, 20, 12, 3)

ROWS = 20000
WARM = 60
LIBRARY = 'fortress_guard.so'


def arguments(argv):
    """What the command line says; raises SystemExit."""
    parser = argparse.ArgumentParser(prog='bench/profile', description="Shows the share of the guard's functions in "
                                                                       'ordinary work.')
    parser.add_argument('--small', action='store_true', help='a few statements only')
    parser.add_argument('--markdown', action='store_true', help='the table in Markdown')
    parser.add_argument('--top', type=int, help='functions of the guard, and of others, for each kind of work (5)')
    parser.add_argument('--check', action='store_true', help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    options.statements = 40 if options.small else 1000
    if options.top is None:
        options.top = 1 if options.small else 5
    if options.top < 1:
        parser.error('at least 1 function')
    return options


# what an application does to tables: within its limits
TABLES = (contestants.PLAIN, contestants.UNPROTECTED, contestants.NONE, contestants.BOTH)

WORK = (
    ('SELECT by key', 'SELECT price FROM {t} WHERE id = $1'),
    ('INSERT', 'INSERT INTO {t} VALUES ($1 + 1000000, 1, 1)'),
    ('UPDATE by key', 'UPDATE {t} SET price = price + 1 WHERE id = $1'),
    ('DELETE by key', 'DELETE FROM {t} WHERE id = $1'),
)


def tell(table, options, pieces, mark_cost):
    """The rows of one piece after the other."""
    names = callgrind.Names()
    plain = {piece.name: piece.instructions for piece in pieces if piece.contestant is contestants.PLAIN}
    for piece in pieces:
        if piece.contestant is contestants.PLAIN:
            continue
        units = piece.rows or options.statements
        work = '%s, %s' % (piece.name, piece.contestant.name.replace('guard: ', ''))
        cost = callgrind.functions_of(piece)
        # the mark is part of the dump
        total = sum(cost.values()) - mark_cost
        ours = {name: n for (name, library), n in cost.items() if library == LIBRARY}
        others = {name: n for (name, library), n in cost.items() if library != LIBRARY}
        table.figure(work, 'all', piece.instructions, '', share='%.1f%%' % (100.0 * piece.instructions / plain[piece.name]),
                     **{'beside': 'of the plain server'})
        table.figure(work, "the guard's own functions together", sum(ours.values()) / units, '',
                     share='%.2f%%' % (100.0 * sum(ours.values()) / total))
        for name, n in sorted(ours.items(), key=lambda item: -item[1])[:options.top]:
            goal = Goal(3, 'median', '%')
            table.figure(work, name, n / units, '', share='%.2f%%' % (100.0 * n / total), goal=goal,
                         met=goal.met(100.0 * n / total))
        for name, n in sorted(others.items(), key=lambda item: -item[1])[:options.top]:
            table.figure(work, 'the rest: ' + names.of(name), n / units, '', share='%.2f%%' % (100.0 * n / total))


def main():
    options = arguments(sys.argv[1:])
    if options.check:
        return 0
    table = Table(options.markdown, COLUMNS, WIDTHS)
    table.say("fortress_guard: the guard's share in ordinary work, %d statements of each kind" % options.statements)
    pieces = []
    marks = []
    for server in (SERVERS['plain'], SERVERS['guarded']):
        server.start()
        template(server, 'profile', '', EXTENSIONS)
        own = []
        for number, contestant in enumerate(TABLES):
            if contestant.server is not server:
                continue
            name = 'p%d' % number
            server.sql('profile', 'SET client_min_messages = error;\n' +
                       table_script(name, ROWS) + contestant.set_up(name) +
                       'VACUUM (FREEZE, ANALYZE) %s;\n' % name)
            for step, (work, form) in enumerate(WORK):
                statement = '%s_%d' % (name, step)
                piece = callgrind.Piece(work, 'EXECUTE %s(%%d)' % statement,
                                        'PREPARE %s(bigint) AS %s' % (statement, form.format(t=name)))
                piece.contestant = contestant
                own.append(piece)
            # many rows, in a table of their own
            name = 'b%d' % number
            rows = 1000 if options.small else ROWS
            for work, form in (('UPDATE', 'UPDATE {t} SET price = price + 1 WHERE {where}'),
                               ('DELETE', 'DELETE FROM {t} WHERE {where}')):
                server.sql('profile', 'SET client_min_messages = error;\n' + table_script(name + work.lower(), rows + 10, 50) +
                           contestant.set_up(name + work.lower()) + 'VACUUM (FREEZE, ANALYZE) %s;\n' % (name + work.lower()))
                piece = callgrind.Piece('%s of %d rows, for one' % (work, rows), form.format(t=name + work.lower(), where='id > 10'),
                                        rows=rows, warm=form.format(t=name + work.lower(), where='id <= 10'))
                piece.contestant = contestant
                own.append(piece)
        server.stop()
        try:
            marks.append(callgrind.count(server, 'profile', own, WARM, options.statements))
        except Failure as failure:
            table.failed('work of the server ' + server.name, '-', failure)
            continue
        pieces += own
    if len(marks) == 2:
        tell(table, options, pieces, marks[1])
    stop_all()
    return table.end()


if __name__ == '__main__':
    sys.exit(main())
