"""Figures and the table that they are printed in.

A figure is the median of its samples; its spread is the distance from the
smallest to the largest, in per cent of the median.  A ratio is the median of
the ratios of samples of the same round, so that a machine that becomes slower
meanwhile hurts both sides of each.
"""

import statistics
import sys

COLUMNS = ('work', 'contestant', 'median', 'spread', 'ratio', 'CPU', 'WAL', 'memory', 'goal', 'met')
WIDTHS = (46, 34, 12, 7, 7, 6, 9, 9, 26, 3)


def spread(samples):
    """Per cent of the median between the extremes."""
    median = statistics.median(samples)
    return 100.0 * (max(samples) - min(samples)) / median if median else 0.0


def ratio(samples, base):
    """The median of the ratios, round by round; both are dictionaries by round."""
    rounds = [samples[i] / base[i] for i in samples if base.get(i)]
    return statistics.median(rounds) if rounds else None


def megabytes(count):
    """Bytes, as text."""
    return '-' if count is None else '%.1f MB' % (count / 1048576.0)


class Goal:
    """At most so much of a row's median, ratio, CPU ratio or memory, or of a figure computed beside it."""

    def __init__(self, limit, of='ratio', unit=''):
        self.limit = limit
        self.of = of
        self.unit = unit

    def __str__(self):
        return 'at most %g%s%s' % (self.limit, ' ' + self.unit if self.unit else '',
                                   '' if self.of in ('ratio', 'median') else ', ' + self.of)

    def met(self, value):
        """As a word of the table."""
        return '-' if value is None else 'yes' if value <= self.limit else 'no'


class WithinNoise(Goal):
    """A ratio no further above 1 than the samples of the baseline are from each other."""

    def __init__(self):
        super().__init__(1.0)

    def __str__(self):
        return 'within noise'

    def allow(self, base):
        """Sets the limit."""
        self.limit = 1 + spread(base) / 100


class Table:
    """Prints rows as they come, and counts those that could not be measured."""

    def __init__(self, markdown, columns=COLUMNS, widths=WIDTHS):
        self.markdown = markdown
        self.columns = columns
        self.widths = widths
        self.measured = 0
        self.missing = 0
        self.open = False

    def say(self, text=''):
        """A line between tables."""
        if self.open and text:
            print()
        self.open = False
        print(text, flush=True)

    def note(self, text):
        """Something for whoever waits."""
        if sys.stderr.isatty():
            print('# ' + text, file=sys.stderr, flush=True)

    def _line(self, cells):
        if self.markdown:
            print('| ' + ' | '.join(cells) + ' |', flush=True)
        else:
            print('| ' + ' | '.join(cell.ljust(width) for cell, width in zip(cells, self.widths)) + ' |', flush=True)

    def _begin(self):
        if not self.open:
            print()
            self._line(self.columns)
            self._line(['---' if self.markdown else '-' * width for width in self.widths])
            self.open = True

    def figure(self, work, contestant, value, unit, **more):
        """A row: its figure, and whatever else of the columns there is, as text."""
        self._begin()
        digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 100 else 2 if abs(value) >= 1 else 3
        cells = [work, contestant, ('%.*f %s' % (digits, value, unit)).strip()]
        cells += [str(more.get(column, '-')) for column in self.columns[3:]]
        self._line(cells)
        self.measured += 1

    def judged(self, work, contestant, value, unit, goal, **more):
        """A row whose figure itself has a goal."""
        self.figure(work, contestant, value, unit, goal=goal, met=goal.met(value), **more)

    def failed(self, work, contestant, why):
        """A row that could not be measured."""
        self._begin()
        self._line([work, contestant, 'not measured: ' + ' '.join(str(why).replace('|', '/').split())[:300]] +
                   ['-'] * (len(self.columns) - 3))
        self.missing += 1

    def samples(self, work, contestant, unit, scale, samples, base=None, results=None, goal=None):
        """A row of samples by round (seconds or whatever, times scale); base: the same of whom it is compared with;
        results: the same with all that was measured, of both."""
        more = {'spread': '%.0f%%' % spread(list(samples.values()))}
        quotient = {'median': statistics.median(samples.values()) * scale}
        if base:
            quotient['ratio'] = ratio(samples, base)
            more['ratio'] = '%.2f' % quotient['ratio']
        if results:
            own, other = results
            if other:
                quotient['CPU'] = ratio({i: r.cpu for i, r in own.items()}, {i: r.cpu for i, r in other.items()})
                more['CPU'] = '%.2f' % quotient['CPU']
            more['WAL'] = megabytes(statistics.median(r.wal for r in own.values()))
            memory = [r.memory for r in own.values() if r.memory is not None]
            if memory:
                more['memory'] = megabytes(max(memory))
                if other:
                    quotient['memory'] = (max(memory) - max(r.memory for r in other.values())) / 1048576.0
        if isinstance(goal, WithinNoise):
            goal.allow(list(base.values()))
        if goal:
            more['goal'] = goal
            more['met'] = goal.met(quotient.get(goal.of))
        self.figure(work, contestant, quotient['median'], unit, **more)

    def end(self):
        """The exit code."""
        self.say()
        self.say('%d rows measured, %d not measured' % (self.measured, self.missing))
        return 1 if self.missing or not self.measured else 0
