"""Runs pages of docs/: every block of code as it stands, in order.

A comment before a block says what is done with it:

    <!-- run as ROLE -->       SQL for psql
    <!-- run -->               a program
    <!-- run in the background -->
                               the same; it ends before its section does
    <!-- file NAME -->         it is written to a file, for later blocks
    <!-- part of PATH -->      it is a part of a file that another test runs

A block of no language is what the block before it has put out, where "..."
stands for anything.  A block without one must not fail.  What a person does
with eyes and hands is done here: a token that is shown comes into the
environment of later blocks; "with a code" types the code that the
authenticator shows; "when there is a request" waits for one.
"""

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import unittest

import harness
from harness import code_now, connect, one, rows


class Block:
    def __init__(self, line, section, order, language, text):
        self.line, self.section, self.order, self.language, self.text = line, section, order, language, text
        self.output = None              # None: not shown

    def __str__(self):
        return 'block at line %d (%s)' % (self.line, self.section)


def read_blocks(name):
    """The blocks of docs/NAME.md.  One that is neither told what to do with nor output is an error."""
    found = []
    section = order = None
    with open(os.path.join(harness.ROOT, os.pardir, 'docs', name + '.md'), encoding='utf-8') as page:
        lines = enumerate(page, start=1)
        for number, line in lines:
            if line.startswith('#'):
                section = line.strip('# \n')
            elif line.startswith('<!-- '):
                order = line[5:].rsplit(' -->', 1)[0]
            elif line.startswith('```'):
                language = line[3:].strip()
                text = ''
                for _, line in lines:
                    if line.startswith('```'):
                        break
                    text += line
                if language:
                    assert order, 'line %d: nobody says what to do with this block' % number
                    found.append(Block(number, section, order, language, text))
                else:
                    assert found and found[-1].output is None, 'line %d: output of what?' % number
                    found[-1].output = text
                order = None
    return found


class Page(unittest.TestCase):
    """One test for each section of a page; they follow each other, in a database that is named like it."""

    name = None                         # set by each class of tests

    @classmethod
    def setUpClass(cls):
        with contextlib.closing(connect('postgres')) as root:
            rows(root, 'CREATE DATABASE ' + cls.name)
        cls.root = connect(cls.name)
        cls.addClassCleanup(cls.root.close)
        rows(cls.root, 'CREATE EXTENSION fortress_guard')
        cls.directory = tempfile.mkdtemp(prefix='page.')
        cls.environment = {**os.environ, 'PGDATABASE': cls.name}
        cls.phone = None                # the secret of the authenticator

    def run_section(self, blocks):
        background = []
        for block in blocks:
            if block.order.startswith('file '):
                with open(os.path.join(self.directory, block.order[5:]), 'w', encoding='utf-8') as file:
                    file.write(block.text)
            elif block.order.startswith('part of e2e/'):
                with open(os.path.join(harness.ROOT, block.order[12:]), encoding='utf-8') as file:
                    self.assertIn(block.text, file.read(), block)
            elif block.order == 'run in the background':
                program = self.begin(block, block.text)
                self.addCleanup(self.end, program)
                background.append((block, program))
            else:
                self.finish(block, *self.start(block))
        for block, program in background:
            self.finish(block, program, None)

    def start(self, block):
        """Starts a block that is waited for; returns the program and what to send to it."""
        text = block.text
        if block.order.endswith(' with a code'):
            self.assertIn("'123456'", text, block)
            text = text.replace("'123456'", "'%s'" % code_now(self.phone))
        if block.order.endswith(' when there is a request'):
            harness.wait_until(lambda: one(
                self.root, "SELECT count(*) FROM fortress.requests WHERE state = 'pending'") > 0, str(block))
        return self.begin(block, None), text

    def begin(self, block, text):
        """The program that runs a block; with a text it reads that from a file."""
        order = re.fullmatch(r'run( as (\w+))?( in the background| with a code| when there is a request)?', block.order)
        self.assertTrue(order, block)
        self.assertEqual(block.language == 'sql', order[2] is not None, block)
        command = {'sql': ['psql', '-X', '-U', order[2]], 'sh': ['sh', '-e', '-s'],
                   'python': [sys.executable, '-']}[block.language]
        with tempfile.TemporaryFile('w+', dir=self.directory) as file:
            if text is not None:
                file.write(text)
                file.seek(0)
            return subprocess.Popen(command, stdin=subprocess.PIPE if text is None else file, cwd=self.directory,
                                    env=self.environment, text=True, preexec_fn=harness.stop_with_us,
                                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    @staticmethod
    def end(program):
        if program.poll() is None:
            program.kill()
        program.wait()
        program.stdout.close()

    def finish(self, block, program, text):
        """The output is as the page shows it, or there is no error in it."""
        said, _ = program.communicate(text, timeout=60)
        for secret in re.findall(r'\bfgt1_\w+', said):
            self.environment['FORTRESS_TOKEN'] = secret
        for secret in re.findall(r'\botpauth://totp/\S*[?&]secret=(\w+)', said):
            type(self).phone = secret
        if block.output is None:
            self.assertEqual(program.returncode, 0, '%s\n%s' % (block, said))
            self.assertNotRegex(said, '(?m)^(ERROR|WARNING):', block)
        else:
            pattern = '.*'.join(re.escape(part) for part in block.output.strip().split('...'))
            self.assertTrue(re.fullmatch(pattern, said.strip(), re.DOTALL), '%s gave:\n%s' % (block, said))


def add_tests(page):
    """Makes the tests of a page; they run in the order of their names."""
    sections = {}
    for block in read_blocks(page.name):
        sections.setdefault(block.section, []).append(block)
    for number, (section, blocks) in enumerate(sections.items(), start=1):
        def run(self, blocks=blocks):
            self.run_section(blocks)
        setattr(page, 'test_%d_%s' % (number, re.sub(r'\W+', '_', section).strip('_')), run)
