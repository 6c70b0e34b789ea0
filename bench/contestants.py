"""Who is compared: ways to keep or to watch what is deleted and updated.

A contestant knows its server, what is done to a table to put it under its
care, and how its DELETE and UPDATE are written.  Only the CTE ways write them
differently; theirs is the application's own statement, so nothing keeps a
statement that is written otherwise.  {t} stands for the table.
"""

import server

# As many as the guard keeps of each row: when, in which transaction, who.
BY_HAND = '''
CREATE TABLE {t}_by_hand (LIKE {t} INCLUDING STORAGE, at_ timestamptz, xid_ xid8, actor_ name);
'''

CTE_DELETE = '''WITH d AS (DELETE FROM {t} WHERE {where} RETURNING *)
INSERT INTO {t}_by_hand SELECT *, now(), pg_current_xact_id(), session_user FROM d'''

# The short way, which is not right if others update the rows meanwhile.
CTE_UPDATE = '''WITH o AS (SELECT * FROM {t} WHERE {where}),
u AS (UPDATE {t} SET {set} FROM o WHERE {t}.id = o.id RETURNING o.*)
INSERT INTO {t}_by_hand SELECT *, now(), pg_current_xact_id(), session_user FROM u'''

# What keeping costs at least if the executor does it: twice reading, once writing.
COPY_FIRST = '''BEGIN;
INSERT INTO {t}_by_hand SELECT *, now(), pg_current_xact_id(), session_user FROM {t} WHERE {where};
{statement};
COMMIT'''

ROW_TRIGGER = BY_HAND + '''
CREATE FUNCTION {t}_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO {t}_by_hand SELECT OLD.*, now(), pg_current_xact_id(), session_user;
	RETURN NULL;
END
$$;
CREATE TRIGGER keep AFTER DELETE OR UPDATE ON {t} FOR EACH ROW EXECUTE FUNCTION {t}_keep();
'''

STATEMENT_TRIGGER = BY_HAND + '''
CREATE FUNCTION {t}_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO {t}_by_hand SELECT o.*, now(), pg_current_xact_id(), session_user FROM old_rows o;
	RETURN NULL;
END
$$;
CREATE TRIGGER keep_deleted AFTER DELETE ON {t} REFERENCING OLD TABLE AS old_rows
	FOR EACH STATEMENT EXECUTE FUNCTION {t}_keep();
CREATE TRIGGER keep_updated AFTER UPDATE ON {t} REFERENCING OLD TABLE AS old_rows
	FOR EACH STATEMENT EXECUTE FUNCTION {t}_keep();
'''

PERIODS = '''
SELECT periods.add_system_time_period('{t}');
SELECT periods.add_system_versioning('{t}');
'''

# Its leanest way: old rows only.
TABLE_LOG = '''
SELECT table_log_init(5, 'public', '{t}', 'public', '{t}_log', 'SINGLE', true, '{{DELETE,UPDATE}}');
'''

MANY = 1000000000

# Limits that the work does not reach: of transactions and of an hour.
TWO_LIMITS = '''
SELECT fortress.protect('{t}', delete_rows => %d, update_rows => %d, archive => '{archive}');
SELECT fortress.set_limit('{t}', 'delete', %d, '1 hour');
''' % (MANY, MANY, MANY)

ONE_LIMIT = '''
SELECT fortress.protect('{t}', delete_rows => %d, update_rows => %d, archive => '{archive}');
SELECT fortress.drop_limit('{t}', 'delete', '1 hour');
''' % (MANY, MANY)

FIVE_LIMITS = TWO_LIMITS + ''.join('''
SELECT fortress.set_limit('{t}', '%s', %d, '%s');
''' % (operation, MANY, per) for operation, periods in (('delete', ('statement', '1 minute', '1 day')),
                                                        ('update', ('statement', '1 minute', '1 hour', '1 day')))
                                   for per in periods)

# Limits as protect() makes them, which the work exceeds with permission.
BY_PERMISSION = '''
SELECT fortress.protect('{t}', archive => '{archive}');
SELECT fortress.exempt('postgres', '{t}', reason => 'bench');
'''


class Contestant:
    """One way.  archive: what the guard's policy says; partitions: of the table; bulk_only: it takes several statements;
    slow: so slow that it competes over fewer rows."""

    def __init__(self, name, key, server_name='plain', care='', extension=None, cte=False, partitions=0, archive='none',
                 bulk_only=False, slow=False):
        self.name = name
        self.key = key
        self.server = server.SERVERS[server_name]
        self.care = care.format(t='{t}', archive=archive) if '{archive}' in care else care
        self.extension = extension
        self.cte = cte
        self.partitions = partitions
        self.archive = archive
        self.bulk_only = bulk_only
        self.slow = slow
        # the table beside t that old rows are in
        self.keeps = 'by_hand' if care.startswith(BY_HAND) else {'periods': 'history', 'table_log': 'log'}.get(extension)
        self.table = 's'

    def available(self):
        """Does the server have what it needs?"""
        return self.extension is None or self.extension in server.EXTENSIONS

    def set_up(self, table):
        """What puts a table under its care."""
        return self.care.format(t=table)

    def delete(self, table, where):
        """Its DELETE, without the semicolon."""
        return (CTE_DELETE if self.cte else 'DELETE FROM {t} WHERE {where}').format(t=table, where=where)

    def update(self, table, where):
        """Its UPDATE of a column that no index has."""
        if self.cte:
            return CTE_UPDATE.format(t=table, where=where, set='price = %s.price + 1' % table)
        return 'UPDATE {t} SET price = price + 1 WHERE {where}'.format(t=table, where=where)

    def statement(self, kind, table, where):
        """One of the two."""
        own = self.delete(table, where) if kind == 'delete' else self.update(table, where)
        return COPY_FIRST.format(t=table, where=where, statement=own) if self.bulk_only else own


def guard(name, key, care=TWO_LIMITS, **more):
    """A policy of the extension."""
    return Contestant('guard: ' + name, key, 'guarded', care, **more)


PLAIN = Contestant('plain', 'plain')
PLAIN_PARTS = Contestant('plain, 100 partitions', 'plain_parts', partitions=100)
CTE = Contestant('SQL: a CTE that inserts', 'cte', care=BY_HAND, cte=True)
UNPROTECTED = guard('table not protected', 'unprotected', care='')
NONE = guard('archive none', 'lean')
ONE = guard('archive none, 1 limit', 'one_limit', ONE_LIMIT)
DELETE = guard('archive delete', 'kept', archive='delete')
BOTH = guard('archive delete,update', 'both', archive='delete,update')

ALL = [
    PLAIN,
    Contestant('SQL: a copy, then the statement', 'copy_first', care=BY_HAND, bulk_only=True),
    CTE,
    Contestant('plpgsql statement trigger', 'statement', care=STATEMENT_TRIGGER),
    Contestant('plpgsql row trigger', 'row_trigger', care=ROW_TRIGGER),
    Contestant('pgaudit (logs the statement)', 'audited', 'audited', extension='pgaudit'),
    Contestant('periods (system versioning)', 'periods', care=PERIODS, extension='periods', slow=True),
    Contestant('table_log (old rows)', 'table_log', care=TABLE_LOG, extension='table_log', slow=True),
    UNPROTECTED,
    ONE,
    NONE,
    guard('archive none, 5 limits', 'limits', FIVE_LIMITS),
    DELETE,
    BOTH,
    guard('archived, by permission', 'permitted', BY_PERMISSION, archive='delete,update'),
    PLAIN_PARTS,
    guard('archive none, 100 partitions', 'lean_parts', partitions=100),
    guard('archived, 100 partitions', 'both_parts', partitions=100, archive='delete,update'),
]


for number, one in enumerate(ALL):
    # as long as everybody else's: parsing a longer name takes longer
    one.table = 's%02d' % number


def set_partitions(count):
    """Another number of partitions than 100."""
    for contestant in ALL:
        if contestant.partitions:
            contestant.name = contestant.name.replace('%d partitions' % contestant.partitions, '%d partitions' % count)
            contestant.partitions = count


def baseline_of(contestant):
    """Whom it is compared with; None: it is a baseline."""
    if contestant in (PLAIN, PLAIN_PARTS):
        return None
    return PLAIN_PARTS if contestant.partitions else PLAIN


def choose(table, bulk=False):
    """Those who can take part; says who cannot."""
    chosen = []
    for contestant in ALL:
        if contestant.bulk_only and not bulk:
            continue
        if contestant.available():
            chosen.append(contestant)
        else:
            table.say('left out: %s: this server has no extension "%s"' % (contestant.name, contestant.extension))
    return chosen
