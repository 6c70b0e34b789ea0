"""Runs the tests of this directory, or those whose names are given
("test_psycopg2", "test_psycopg2.Errors"), and tells of them in TAP."""

import sys
import time
import traceback
import unittest

import harness


class TapResult(unittest.TestResult):
    """Says how each test came out; why one failed goes before it."""

    def __init__(self):
        super().__init__()
        self.number = 0

    def _tell(self, verdict, test, directive='', text=''):
        self.number += 1
        for line in text.splitlines():
            print('# ' + line)
        print('%s %d - %s%s' % (verdict, self.number, self._name(test), directive), flush=True)

    @staticmethod
    def _name(test):
        """test_django.Limits.test_bulk_update: "django Limits: bulk update"."""
        if not isinstance(test, unittest.TestCase):
            return str(test).replace('#', '')
        words = test.id().removeprefix('test_').split('.', 2)
        return '%s %s: %s' % (words[0], words[1], words[2].removeprefix('test_').replace('_', ' '))

    def addSuccess(self, test):
        self._tell('ok', test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._tell('not ok', test, text=''.join(traceback.format_exception(*err)))

    addError = addFailure

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._tell('ok', test, ' # skip ' + reason)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._tell('not ok', subtest, text=''.join(traceback.format_exception(*err)))


def main():
    loader = unittest.defaultTestLoader
    names = sys.argv[1:]
    suite = loader.loadTestsFromNames(names) if names else loader.discover(harness.ROOT)
    result = TapResult()
    began = time.monotonic()
    suite.run(result)
    print('1..%d' % result.number)
    print('# %d tests in %.1f s' % (result.number, time.monotonic() - began))
    sys.exit(0 if result.wasSuccessful() and result.number > 0 else 1)


main()
