"""Runs docs/permission.md, five recipes of permission; see pages.py."""

import pages


class Page(pages.Page):
    name = 'permission'


pages.add_tests(Page)
