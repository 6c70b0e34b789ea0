/*-------------------------------------------------------------------------
 *
 * fg_catalog_trash.c
 *		The tables fortress.trash_table and fortress.trash_piece.
 *
 * Another part of fg_catalog.c, by the same means and for the same reasons.  The
 * numbers of the columns below go with fortress_guard--1.0.sql.
 *
 * What lies in the trash is kept by name: it has names there that nobody else can
 * give, so that they tell as much as oids, and pg_dump carries them.  The schemas
 * and owners that it had are kept by oid as well, which count in this database.
 *
 * Locks: readers take AccessShareLock, writers RowExclusiveLock.  Two sessions
 * that take the same table out of the trash are kept apart by the lock that
 * their callers hold on the table.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "access/htup_details.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/indexing.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "fg_catalog.h"
#include "fg_catalog_column.h"
#include "fg_catalog_trash.h"

/* columns of fortress.trash_table */
enum
{
	Anum_trash_id = 1,
	Anum_trash_trash_name,
	Anum_trash_schema,
	Anum_trash_name,
	Anum_trash_dropped_at,
	Anum_trash_dropped_by,
	Anum_trash_xid,
	Anum_trash_database_oid,
	Anum_trash_database_system,
	Natts_trash = Anum_trash_database_system
};

/* columns of fortress.trash_piece */
enum
{
	Anum_piece_trash = 1,
	Anum_piece_number,
	Anum_piece_kind,
	Anum_piece_trash_name,
	Anum_piece_schema,
	Anum_piece_name,
	Anum_piece_role,
	Anum_piece_what,
	Anum_piece_command,
	Anum_piece_schema_oid,
	Anum_piece_role_oid,
	Natts_piece = Anum_piece_role_oid
};

/* as the column "kind" has them */
static const char *const kinds[] = {
	[FG_TRASH_TABLE] = "table",
	[FG_TRASH_INDEX] = "index",
	[FG_TRASH_SEQUENCE] = "sequence",
	[FG_TRASH_FREE_SEQUENCE] = "free sequence",
	[FG_TRASH_STATISTICS] = "statistics",
	[FG_TRASH_TYPE] = "type",
	[FG_TRASH_ROLE] = "role",
	[FG_TRASH_REQUIRED] = "required",
	[FG_TRASH_FUNCTION] = "function",
	[FG_TRASH_COMMAND] = "command",
	[FG_TRASH_OWNER] = "owner",
	[FG_TRASH_LOST] = "lost",
	[FG_TRASH_CHECKED] = "checked",
	[FG_TRASH_PARENT] = "parent"
};

static FgTrashKind
parse_kind(const char *text)
{
	for (int i = 0; i < lengthof(kinds); i++)
	{
		if (strcmp(kinds[i], text) == 0)
			return (FgTrashKind) i;
	}
	elog(ERROR, "unknown kind of a piece in the trash: \"%s\"", text);
}

static void
scan_by_id(FgScan *scan, const char *name, const char *index, LOCKMODE lockmode, int64 id)
{
	ScanKeyData key;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(id));
	fg_scan_begin(scan, name, index, lockmode, 1, &key);
}

static Datum
name_datum(const char *text)
{
	Name		name = palloc0(sizeof(NameData));

	namestrcpy(name, text);
	return NameGetDatum(name);
}

/* A column of type name, or NULL. */
static void
put_name(const char *text, int attnum, Datum *values, bool *nulls)
{
	nulls[attnum - 1] = text == NULL;
	if (text != NULL)
		values[attnum - 1] = name_datum(text);
}

static char *
get_name(HeapTuple tuple, Relation rel, int attnum)
{
	bool		isnull;
	Datum		value = fg_column_value(tuple, rel, attnum, &isnull);

	return isnull ? NULL : pstrdup(NameStr(*DatumGetName(value)));
}

/* A column of type oid, or NULL. */
static void
put_oid(Oid oid, int attnum, Datum *values, bool *nulls)
{
	nulls[attnum - 1] = !OidIsValid(oid);
	values[attnum - 1] = ObjectIdGetDatum(oid);
}

static Oid
get_oid(HeapTuple tuple, Relation rel, int attnum)
{
	bool		isnull;
	Datum		value = fg_column_value(tuple, rel, attnum, &isnull);

	return isnull ? InvalidOid : DatumGetObjectId(value);
}

int64
fg_catalog_trash_id(void)
{
	return fg_catalog_nextval("trash_id_seq");
}

static void
put_piece(int64 id, int number, const FgTrashPiece *piece)
{
	Datum		values[Natts_piece] = {0};
	bool		nulls[Natts_piece] = {false};

	values[Anum_piece_trash - 1] = Int64GetDatum(id);
	values[Anum_piece_number - 1] = Int32GetDatum(number);
	values[Anum_piece_kind - 1] = CStringGetTextDatum(kinds[piece->kind]);
	put_name(piece->trash_name, Anum_piece_trash_name, values, nulls);
	put_name(piece->schema, Anum_piece_schema, values, nulls);
	put_name(piece->name, Anum_piece_name, values, nulls);
	put_name(piece->role, Anum_piece_role, values, nulls);
	fg_column_put_text(piece->what, Anum_piece_what, values, nulls);
	fg_column_put_text(piece->command, Anum_piece_command, values, nulls);
	put_oid(piece->schema_oid, Anum_piece_schema_oid, values, nulls);
	put_oid(piece->role_oid, Anum_piece_role_oid, values, nulls);
	fg_column_insert_row("trash_piece", values, nulls);
}

void
fg_catalog_put_trash(const FgTrashRow *row, const List *pieces)
{
	Datum		values[Natts_trash] = {0};
	bool		nulls[Natts_trash] = {false};
	int			number = 0;
	ListCell   *lc;

	values[Anum_trash_id - 1] = Int64GetDatum(row->id);
	values[Anum_trash_trash_name - 1] = name_datum(row->trash_name);
	values[Anum_trash_schema - 1] = name_datum(row->schema);
	values[Anum_trash_name - 1] = name_datum(row->name);
	values[Anum_trash_dropped_at - 1] = TimestampTzGetDatum(row->dropped_at);
	values[Anum_trash_dropped_by - 1] = fg_column_role_name(row->dropped_by);
	values[Anum_trash_xid - 1] = FullTransactionIdGetDatum(GetTopFullTransactionId());
	values[Anum_trash_database_oid - 1] = ObjectIdGetDatum(MyDatabaseId);
	values[Anum_trash_database_system - 1] = Int64GetDatum((int64) GetSystemIdentifier());
	fg_column_insert_row("trash_table", values, nulls);
	foreach(lc, pieces)
		put_piece(row->id, ++number, lfirst(lc));
}

static FgTrashRow *
row_from_tuple(HeapTuple tuple, Relation rel)
{
	FgTrashRow *row = palloc0(sizeof(FgTrashRow));

	row->id = DatumGetInt64(fg_column_required(tuple, rel, Anum_trash_id));
	row->trash_name = get_name(tuple, rel, Anum_trash_trash_name);
	row->schema = get_name(tuple, rel, Anum_trash_schema);
	row->name = get_name(tuple, rel, Anum_trash_name);
	row->dropped_at = DatumGetTimestampTz(fg_column_required(tuple, rel, Anum_trash_dropped_at));
	row->here = DatumGetObjectId(fg_column_required(tuple, rel, Anum_trash_database_oid)) == MyDatabaseId &&
		(uint64) DatumGetInt64(fg_column_required(tuple, rel, Anum_trash_database_system)) == GetSystemIdentifier();
	return row;
}

FgTrashRow *
fg_catalog_get_trash(int64 id)
{
	FgScan		scan;
	HeapTuple	tuple;
	FgTrashRow *row = NULL;

	scan_by_id(&scan, "trash_table", "trash_table_pkey", AccessShareLock, id);
	tuple = fg_scan_next(&scan);
	if (tuple != NULL)
		row = row_from_tuple(tuple, scan.rel);
	fg_scan_end(&scan);
	return row;
}

static int
compare_rows(const ListCell *a, const ListCell *b)
{
	int64		id_a = ((FgTrashRow *) lfirst(a))->id;
	int64		id_b = ((FgTrashRow *) lfirst(b))->id;

	return id_a < id_b ? -1 : id_a > id_b;
}

List *
fg_catalog_trash_rows(void)
{
	FgScan		scan;
	HeapTuple	tuple;
	List	   *rows = NIL;

	fg_scan_begin(&scan, "trash_table", NULL, AccessShareLock, 0, NULL);
	while ((tuple = fg_scan_next(&scan)) != NULL)
		rows = lappend(rows, row_from_tuple(tuple, scan.rel));
	fg_scan_end(&scan);
	list_sort(rows, compare_rows);
	return rows;
}

/* A piece and its place among the others. */
typedef struct FgNumberedPiece
{
	int			number;
	FgTrashPiece piece;
} FgNumberedPiece;

static int
compare_pieces(const ListCell *a, const ListCell *b)
{
	return ((FgNumberedPiece *) lfirst(a))->number - ((FgNumberedPiece *) lfirst(b))->number;
}

List *
fg_catalog_trash_pieces(int64 id)
{
	FgScan		scan;
	HeapTuple	tuple;
	List	   *numbered = NIL;
	List	   *pieces = NIL;
	ListCell   *lc;

	scan_by_id(&scan, "trash_piece", "trash_piece_pkey", AccessShareLock, id);
	while ((tuple = fg_scan_next(&scan)) != NULL)
	{
		FgNumberedPiece *found = palloc0(sizeof(FgNumberedPiece));
		FgTrashPiece *piece = &found->piece;

		found->number = DatumGetInt32(fg_column_required(tuple, scan.rel, Anum_piece_number));
		piece->kind = parse_kind(fg_column_get_text(tuple, scan.rel, Anum_piece_kind));
		piece->trash_name = get_name(tuple, scan.rel, Anum_piece_trash_name);
		piece->schema = get_name(tuple, scan.rel, Anum_piece_schema);
		piece->name = get_name(tuple, scan.rel, Anum_piece_name);
		piece->role = get_name(tuple, scan.rel, Anum_piece_role);
		piece->what = fg_column_get_text(tuple, scan.rel, Anum_piece_what);
		piece->command = fg_column_get_text(tuple, scan.rel, Anum_piece_command);
		piece->schema_oid = get_oid(tuple, scan.rel, Anum_piece_schema_oid);
		piece->role_oid = get_oid(tuple, scan.rel, Anum_piece_role_oid);
		numbered = lappend(numbered, found);
	}
	fg_scan_end(&scan);
	list_sort(numbered, compare_pieces);
	foreach(lc, numbered)
		pieces = lappend(pieces, &((FgNumberedPiece *) lfirst(lc))->piece);
	return pieces;
}

List *
fg_catalog_trash_before(TimestampTz moment)
{
	List	   *ids = NIL;
	ListCell   *lc;

	foreach(lc, fg_catalog_trash_rows())
	{
		FgTrashRow *row = lfirst(lc);

		if (row->dropped_at < moment)
			ids = lappend(ids, &row->id);
	}
	return ids;
}

void
fg_catalog_add_trash_piece(int64 id, const FgTrashPiece *piece)
{
	FgScan		scan;
	HeapTuple	tuple;
	int			last = 0;
	bool		there = false;

	scan_by_id(&scan, "trash_piece", "trash_piece_pkey", RowExclusiveLock, id);
	while ((tuple = fg_scan_next(&scan)) != NULL)
	{
		const char *command = fg_column_get_text(tuple, scan.rel, Anum_piece_command);

		last = Max(last, DatumGetInt32(fg_column_required(tuple, scan.rel, Anum_piece_number)));
		there |= command != NULL && strcmp(command, piece->command) == 0;
	}
	fg_scan_end(&scan);
	if (!there)
		put_piece(id, last + 1, piece);
}

/* Does an identifier go on with this character? */
static bool
continues_name(char c)
{
	return isalnum((unsigned char) c) || c == '_' || c == '$' || IS_HIGHBIT_SET(c);
}

/* "text" with each "from" that is a whole name replaced; NULL: there is none. */
static char *
replace_name(const char *text, const char *from, const char *to)
{
	StringInfoData result;
	const char *rest = text;
	const char *found;
	bool		any = false;

	initStringInfo(&result);
	while ((found = strstr(rest, from)) != NULL)
	{
		const char *end = found + strlen(from);

		appendBinaryStringInfo(&result, rest, found - rest);
		if (continues_name(*end) || (found > text && continues_name(found[-1])))
			appendStringInfoString(&result, from);
		else
		{
			appendStringInfoString(&result, to);
			any = true;
		}
		rest = end;
	}
	appendStringInfoString(&result, rest);
	return any ? result.data : NULL;
}

bool
fg_catalog_trash_mentions(const char *text, const char *name)
{
	return replace_name(text, name, name) != NULL;
}

/*
 * A command that names a relation with its schema may also use the name alone, to
 * say whose a column is.
 */
static char *
rename_in(const char *text, const char *from, const char *to_schema, const char *to)
{
	char	   *renamed = replace_name(text, quote_qualified_identifier(FG_TRASH_SCHEMA, from),
									   quote_qualified_identifier(to_schema, to));
	char	   *again;

	if (renamed == NULL)
		return NULL;
	again = replace_name(renamed, quote_identifier(from), quote_identifier(to));
	return again != NULL ? again : renamed;
}

void
fg_catalog_trash_renamed(const char *from, const char *to_schema, const char *to)
{
	static const int columns[] = {Anum_piece_what, Anum_piece_command};
	FgScan		scan;
	HeapTuple	tuple;

	fg_scan_begin(&scan, "trash_piece", NULL, RowExclusiveLock, 0, NULL);
	while ((tuple = fg_scan_next(&scan)) != NULL)
	{
		Datum		values[Natts_piece] = {0};
		bool		nulls[Natts_piece] = {false};
		bool		replaces[Natts_piece] = {false};
		bool		any = false;

		for (int i = 0; i < lengthof(columns); i++)
		{
			char	   *old = fg_column_get_text(tuple, scan.rel, columns[i]);
			char	   *new = old != NULL ? rename_in(old, from, to_schema, to) : NULL;

			if (new == NULL)
				continue;
			values[columns[i] - 1] = CStringGetTextDatum(new);
			replaces[columns[i] - 1] = any = true;
		}
		if (any)
		{
			HeapTuple	copy = heap_modify_tuple(tuple, RelationGetDescr(scan.rel), values, nulls, replaces);

			CatalogTupleUpdate(scan.rel, &tuple->t_self, copy);
		}
	}
	fg_scan_end(&scan);
	CommandCounterIncrement();
}

static void
delete_rows(const char *name, const char *index, int64 id)
{
	FgScan		scan;
	HeapTuple	tuple;

	scan_by_id(&scan, name, index, RowExclusiveLock, id);
	while ((tuple = fg_scan_next(&scan)) != NULL)
		CatalogTupleDelete(scan.rel, &tuple->t_self);
	fg_scan_end(&scan);
	CommandCounterIncrement();
}

void
fg_catalog_delete_trash(int64 id)
{
	delete_rows("trash_piece", "trash_piece_pkey", id);
	delete_rows("trash_table", "trash_table_pkey", id);
}
