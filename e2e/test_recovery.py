"""Runs docs/recovery.md, five ways back; see pages.py."""

import pages


class Page(pages.Page):
    name = 'recovery'


pages.add_tests(Page)
