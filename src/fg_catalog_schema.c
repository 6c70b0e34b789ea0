/*-------------------------------------------------------------------------
 *
 * fg_catalog_schema.c
 *		The table fortress.schema_policy: protected schemas.
 *
 * Another part of fg_catalog.c, by the same means and for the same reasons.  The
 * numbers of the columns below go with fortress_guard--1.0.sql.
 *
 * The whole table is read each time.  Which schema a row means depends on where
 * it was written, which no index can tell; a database has a handful of such
 * rows; and the question is asked when a table is made, not when it is used.
 *
 * Locks: readers take AccessShareLock, writers RowExclusiveLock.  Two sessions
 * that change the row of one schema are kept apart by the lock that their
 * callers hold on the schema.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "fg_catalog.h"
#include "fg_catalog_column.h"
#include "fg_catalog_schema.h"

/* columns of fortress.schema_policy */
enum
{
	Anum_schema_id = 1,
	Anum_schema_oid,
	Anum_schema_name,
	Anum_schema_database_oid,
	Anum_schema_database_system,
	Anum_schema_mode,
	Anum_schema_require_where,
	Anum_schema_archive,
	Anum_schema_delete_rows,
	Anum_schema_update_rows,
	Anum_schema_hourly_delete_rows,
	Anum_schema_hourly_update_rows,
	Natts_schema = Anum_schema_hourly_update_rows
};

static const int rows_columns[FG_N_ROW_OPERATIONS] = {
	Anum_schema_delete_rows, Anum_schema_update_rows
};
static const int hourly_rows_columns[FG_N_ROW_OPERATIONS] = {
	Anum_schema_hourly_delete_rows, Anum_schema_hourly_update_rows
};

static FgSchemaRow *
row_from_tuple(HeapTuple tuple, Relation rel)
{
	FgSchemaRow *row = palloc0(sizeof(FgSchemaRow));
	Oid			database = DatumGetObjectId(fg_column_required(tuple, rel, Anum_schema_database_oid));
	uint64		system = (uint64) DatumGetInt64(fg_column_required(tuple, rel, Anum_schema_database_system));

	row->id = DatumGetInt64(fg_column_required(tuple, rel, Anum_schema_id));
	row->schema = DatumGetObjectId(fg_column_required(tuple, rel, Anum_schema_oid));
	row->name = pstrdup(NameStr(*DatumGetName(fg_column_required(tuple, rel, Anum_schema_name))));
	row->by_name = database != MyDatabaseId || system != GetSystemIdentifier() ||
		get_namespace_name(row->schema) == NULL;
	if (row->by_name)
		row->schema = get_namespace_oid(row->name, true);
	row->mode = fg_parse_mode(TextDatumGetCString(fg_column_required(tuple, rel, Anum_schema_mode)));
	row->require_where = DatumGetBool(fg_column_required(tuple, rel, Anum_schema_require_where));
	row->archive = fg_parse_archive(TextDatumGetCString(fg_column_required(tuple, rel, Anum_schema_archive)));
	for (int op = 0; op < FG_N_ROW_OPERATIONS; op++)
	{
		row->rows[op] = fg_column_get_bound(tuple, rel, rows_columns[op]);
		row->hourly_rows[op] = fg_column_get_bound(tuple, rel, hourly_rows_columns[op]);
	}
	return row;
}

List *
fg_catalog_schemas(void)
{
	FgScan		scan;
	HeapTuple	tuple;
	List	   *rows = NIL;

	fg_scan_begin(&scan, "schema_policy", NULL, AccessShareLock, 0, NULL);
	while ((tuple = fg_scan_next(&scan)) != NULL)
		rows = lappend(rows, row_from_tuple(tuple, scan.rel));
	fg_scan_end(&scan);
	return rows;
}

/*
 * A row that has the schema's oid goes before one that only has its name.
 */
FgSchemaRow *
fg_catalog_get_schema(Oid schema)
{
	FgSchemaRow *found = NULL;
	ListCell   *lc;

	foreach(lc, fg_catalog_schemas())
	{
		FgSchemaRow *row = lfirst(lc);

		if (row->schema == schema && (found == NULL || found->by_name))
			found = row;
	}
	return found;
}

static void
scan_by_id(FgScan *scan, int64 id)
{
	ScanKeyData key;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(id));
	fg_scan_begin(scan, "schema_policy", "schema_policy_pkey", RowExclusiveLock, 1, &key);
}

void
fg_catalog_put_schema(FgSchemaRow *row)
{
	FgScan		scan;
	HeapTuple	old;
	HeapTuple	tuple;
	NameData	name;
	Datum		values[Natts_schema] = {0};
	bool		nulls[Natts_schema] = {false};

	if (row->id == 0)
		row->id = fg_catalog_nextval("schema_policy_id_seq");
	namestrcpy(&name, row->name);
	values[Anum_schema_id - 1] = Int64GetDatum(row->id);
	values[Anum_schema_oid - 1] = ObjectIdGetDatum(row->schema);
	values[Anum_schema_name - 1] = NameGetDatum(&name);
	values[Anum_schema_database_oid - 1] = ObjectIdGetDatum(MyDatabaseId);
	values[Anum_schema_database_system - 1] = Int64GetDatum((int64) GetSystemIdentifier());
	values[Anum_schema_mode - 1] = CStringGetTextDatum(fg_mode_name(row->mode));
	values[Anum_schema_require_where - 1] = BoolGetDatum(row->require_where);
	values[Anum_schema_archive - 1] = CStringGetTextDatum(fg_archive_name(row->archive));
	for (int op = 0; op < FG_N_ROW_OPERATIONS; op++)
	{
		nulls[rows_columns[op] - 1] = row->rows[op] < 0;
		values[rows_columns[op] - 1] = Int64GetDatum(row->rows[op]);
		nulls[hourly_rows_columns[op] - 1] = row->hourly_rows[op] < 0;
		values[hourly_rows_columns[op] - 1] = Int64GetDatum(row->hourly_rows[op]);
	}

	scan_by_id(&scan, row->id);
	old = fg_scan_next(&scan);
	tuple = heap_form_tuple(RelationGetDescr(scan.rel), values, nulls);
	if (old != NULL)
		CatalogTupleUpdate(scan.rel, &old->t_self, tuple);
	else
		CatalogTupleInsert(scan.rel, tuple);
	fg_scan_end(&scan);
	CommandCounterIncrement();
}

void
fg_catalog_delete_schema(int64 id)
{
	FgScan		scan;
	HeapTuple	tuple;

	scan_by_id(&scan, id);
	while ((tuple = fg_scan_next(&scan)) != NULL)
		CatalogTupleDelete(scan.rel, &tuple->t_self);
	fg_scan_end(&scan);
	CommandCounterIncrement();
}
