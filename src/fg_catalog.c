/*-------------------------------------------------------------------------
 *
 * fg_catalog.c
 *		The tables of schema fortress: policies, limits, shadows.
 *
 * Why below SQL: policies are read inside executor hooks, where a query of
 * our own would come back to the same hooks, and they are written by users
 * who have no rights on these tables and shall have none.  So rows go straight
 * through systable scans and CatalogTuple functions, as the server does with
 * its own catalogs, and no user's code (trigger, rule, function in the search
 * path) can come between.
 *
 * Locks: readers take AccessShareLock and give it back with the scan, as
 * readers of the server's catalogs do, so that no table of ours shows among the
 * locks of a transaction that only asked for a policy.  Writers take
 * RowExclusiveLock, which is kept to the end of the transaction.  Two sessions changing one policy are
 * kept apart by the lock that their callers hold on the protected table.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "commands/sequence.h"
#include "miscadmin.h"
#include "parser/parse_func.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "fg_catalog.h"

/* columns of fortress.policy */
enum
{
	Anum_policy_relation = 1,
	Anum_policy_mode,
	Anum_policy_require_where,
	Anum_policy_archive,
	Anum_policy_columns,
	Anum_policy_schema_policy,
	Natts_policy = Anum_policy_schema_policy
};

/* columns of fortress.row_limit */
enum
{
	Anum_limit_relation = 1,
	Anum_limit_operation,
	Anum_limit_per,
	Anum_limit_by,
	Anum_limit_max_rows,
	Anum_limit_max_fraction,
	Natts_limit = Anum_limit_max_fraction
};

/* columns of fortress.shadow */
enum
{
	Anum_shadow_relation = 1,
	Anum_shadow_shadow,
	Natts_shadow = Anum_shadow_shadow
};

typedef enum Presence
{
	PRESENCE_UNKNOWN,
	PRESENCE_ABSENT,
	PRESENCE_PRESENT
} Presence;

/* what is known of this database; forgotten on any change of a schema */
static Presence presence = PRESENCE_UNKNOWN;
static Oid	schema_oid = InvalidOid;
static Oid	guard_oid = InvalidOid;
static uint64 n_changes = 0;	/* of schemas and functions, as far as we heard */

static void
forget_objects(Datum arg, int cacheid, uint32 hashvalue)
{
	n_changes++;
	presence = PRESENCE_UNKNOWN;
	schema_oid = InvalidOid;
	guard_oid = InvalidOid;
}

void
fg_catalog_setup(void)
{
	CacheRegisterSyscacheCallback(NAMESPACEOID, forget_objects, (Datum) 0);
	CacheRegisterSyscacheCallback(PROCOID, forget_objects, (Datum) 0);
}

/*
 * The schema must belong to the extension: a schema that somebody only named
 * like ours says nothing.
 */
bool
fg_catalog_present(void)
{
	while (presence == PRESENCE_UNKNOWN)
	{
		uint64		started = n_changes;
		Oid			schema = get_namespace_oid("fortress", true);
		Oid			extension = InvalidOid;
		bool		ours = false;

		if (OidIsValid(schema))
			extension = get_extension_oid("fortress_guard", true);
		if (OidIsValid(extension))
			ours = getExtensionOfObject(NamespaceRelationId, schema) == extension;

		/*
		 * What was read may be old if something changed meanwhile.  A server
		 * that throws its caches away to test says so always, and means nothing.
		 */
		if (n_changes != started && debug_discard_caches == 0)
			continue;
		schema_oid = ours ? schema : InvalidOid;
		presence = ours ? PRESENCE_PRESENT : PRESENCE_ABSENT;
	}
	return presence == PRESENCE_PRESENT;
}

Oid
fg_catalog_schema(void)
{
	if (!fg_catalog_present())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("extension fortress_guard is not installed in this database")));
	return schema_oid;
}

Oid
fg_catalog_relation(const char *name)
{
	Oid			relid = get_relname_relid(name, fg_catalog_schema());

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation \"fortress.%s\" does not exist", name),
				 errhint("The extension fortress_guard is damaged in this database.")));
	return relid;
}

Oid
fg_catalog_owner(void)
{
	HeapTuple	tuple;
	Oid			owner;

	tuple = SearchSysCache1(NAMESPACEOID, ObjectIdGetDatum(fg_catalog_schema()));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for schema %u", schema_oid);
	owner = ((Form_pg_namespace) GETSTRUCT(tuple))->nspowner;
	ReleaseSysCache(tuple);
	return owner;
}

Oid
fg_catalog_guard_function(void)
{
	if (!OidIsValid(guard_oid))
	{
		Oid			found;

		(void) fg_catalog_schema();
		found = LookupFuncName(list_make2(makeString("fortress"), makeString("guard")),
							   0, NULL, false);
		guard_oid = found;
	}
	return guard_oid;
}

/* ----------------------------------------------------------------
 *		Building blocks
 * ----------------------------------------------------------------
 */

void
fg_scan_begin(FgScan *scan, const char *name, const char *index,
			  LOCKMODE lockmode, int nkeys, ScanKey keys)
{
	Oid			index_oid = InvalidOid;

	scan->rel = table_open(fg_catalog_relation(name), lockmode);
	scan->lockmode = lockmode;
	if (index != NULL)
		index_oid = fg_catalog_relation(index);
	scan->scan = systable_beginscan(scan->rel, index_oid, OidIsValid(index_oid),
									NULL, nkeys, keys);
}

HeapTuple
fg_scan_next(FgScan *scan)
{
	return systable_getnext(scan->scan);
}

void
fg_scan_end(FgScan *scan)
{
	systable_endscan(scan->scan);
	table_close(scan->rel, scan->lockmode == AccessShareLock ? AccessShareLock : NoLock);
}

int64
fg_catalog_nextval(const char *sequence)
{
	return nextval_internal(fg_catalog_relation(sequence), false);
}

/* Scans a table of ours by a primary key that begins with the relation. */
static void
scan_by_relation(FgScan *scan, const char *name, const char *index,
				 LOCKMODE lockmode, Oid relid)
{
	ScanKeyData key;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	fg_scan_begin(scan, name, index, lockmode, 1, &key);
}

/* Writes a row: over "old" if there is one, else a new one; makes it visible. */
static void
write_row(Relation rel, HeapTuple old, Datum *values, bool *nulls)
{
	HeapTuple	tuple = heap_form_tuple(RelationGetDescr(rel), values, nulls);

	if (old != NULL)
	{
		tuple->t_self = old->t_self;
		CatalogTupleUpdate(rel, &tuple->t_self, tuple);
	}
	else
		CatalogTupleInsert(rel, tuple);
	heap_freetuple(tuple);
}

/* A text column of a row, as a palloc'd C string; the column must not be null. */
static char *
text_column(HeapTuple tuple, Relation rel, int attnum)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, attnum, RelationGetDescr(rel), &isnull);

	if (isnull)
		elog(ERROR, "null in column %d of relation \"%s\"",
			 attnum, RelationGetRelationName(rel));
	return TextDatumGetCString(value);
}

/* ----------------------------------------------------------------
 *		Policies
 * ----------------------------------------------------------------
 */

FgPolicyRow *
fg_catalog_get_policy(Oid relid)
{
	FgScan		scan;
	HeapTuple	tuple;
	FgPolicyRow *row = NULL;

	scan_by_relation(&scan, "policy", "policy_pkey", AccessShareLock, relid);
	tuple = fg_scan_next(&scan);
	if (tuple != NULL)
	{
		TupleDesc	desc = RelationGetDescr(scan.rel);
		bool		isnull;
		Datum		value;

		row = palloc0(sizeof(FgPolicyRow));
		row->relid = relid;
		row->mode = fg_parse_mode(text_column(tuple, scan.rel, Anum_policy_mode));
		row->require_where = DatumGetBool(heap_getattr(tuple, Anum_policy_require_where,
													   desc, &isnull));
		row->archive = fg_parse_archive(text_column(tuple, scan.rel, Anum_policy_archive));
		value = heap_getattr(tuple, Anum_policy_columns, desc, &isnull);
		row->all_columns = isnull;
		if (!isnull)
		{
			Datum	   *names;
			int			n_names;

			deconstruct_array(DatumGetArrayTypeP(value), NAMEOID, NAMEDATALEN,
							  false, TYPALIGN_CHAR, &names, NULL, &n_names);
			for (int i = 0; i < n_names; i++)
				row->columns = lappend(row->columns,
									   pstrdup(NameStr(*DatumGetName(names[i]))));
		}
		value = heap_getattr(tuple, Anum_policy_schema_policy, desc, &isnull);
		row->schema_policy = isnull ? 0 : DatumGetInt64(value);
		row->changed_here = TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetRawXmin(tuple->t_data));
	}
	fg_scan_end(&scan);
	return row;
}

void
fg_catalog_put_policy(const FgPolicyRow *row)
{
	FgScan		scan;
	HeapTuple	old;
	Datum		values[Natts_policy];
	bool		nulls[Natts_policy] = {false};

	values[Anum_policy_relation - 1] = ObjectIdGetDatum(row->relid);
	values[Anum_policy_mode - 1] = CStringGetTextDatum(fg_mode_name(row->mode));
	values[Anum_policy_require_where - 1] = BoolGetDatum(row->require_where);
	values[Anum_policy_archive - 1] = CStringGetTextDatum(fg_archive_name(row->archive));
	nulls[Anum_policy_columns - 1] = row->all_columns;
	values[Anum_policy_columns - 1] = (Datum) 0;
	if (!row->all_columns)
	{
		int			n_names = list_length(row->columns);
		Datum	   *names = palloc(sizeof(Datum) * Max(n_names, 1));

		for (int i = 0; i < n_names; i++)
		{
			Name		name = palloc0(sizeof(NameData));

			namestrcpy(name, list_nth(row->columns, i));
			names[i] = NameGetDatum(name);
		}
		values[Anum_policy_columns - 1] =
			PointerGetDatum(construct_array(names, n_names, NAMEOID, NAMEDATALEN,
											false, TYPALIGN_CHAR));
	}

	nulls[Anum_policy_schema_policy - 1] = row->schema_policy == 0;
	values[Anum_policy_schema_policy - 1] = Int64GetDatum(row->schema_policy);

	scan_by_relation(&scan, "policy", "policy_pkey", RowExclusiveLock, row->relid);
	old = fg_scan_next(&scan);
	write_row(scan.rel, old, values, nulls);
	fg_scan_end(&scan);
	CommandCounterIncrement();
}

/* Deletes all rows of a relation from a table of ours. */
static void
delete_rows(const char *name, const char *index, Oid relid)
{
	FgScan		scan;
	HeapTuple	tuple;

	scan_by_relation(&scan, name, index, RowExclusiveLock, relid);
	while ((tuple = fg_scan_next(&scan)) != NULL)
		CatalogTupleDelete(scan.rel, &tuple->t_self);
	fg_scan_end(&scan);
	CommandCounterIncrement();
}

void
fg_catalog_delete_policy(Oid relid)
{
	delete_rows("row_limit", "row_limit_pkey", relid);
	delete_rows("policy", "policy_pkey", relid);
}

/* The relations that have a row in a table of ours, whose first column names them. */
static List *
relids_of(const char *name)
{
	FgScan		scan;
	HeapTuple	tuple;
	List	   *relids = NIL;

	fg_scan_begin(&scan, name, NULL, AccessShareLock, 0, NULL);
	while ((tuple = fg_scan_next(&scan)) != NULL)
	{
		bool		isnull;
		Datum		value = heap_getattr(tuple, 1, RelationGetDescr(scan.rel), &isnull);

		relids = lappend_oid(relids, DatumGetObjectId(value));
	}
	fg_scan_end(&scan);
	return relids;
}

List *
fg_catalog_policy_relids(void)
{
	return relids_of("policy");
}

/* ----------------------------------------------------------------
 *		Limits
 * ----------------------------------------------------------------
 */

static FgLimit *
limit_from_row(HeapTuple tuple, Relation rel)
{
	TupleDesc	desc = RelationGetDescr(rel);
	FgLimit    *limit = palloc0(sizeof(FgLimit));
	bool		isnull;
	Datum		value;

	limit->op = fg_parse_operation(text_column(tuple, rel, Anum_limit_operation));
	fg_parse_per(text_column(tuple, rel, Anum_limit_per), &limit->per, &limit->interval);
	limit->by = fg_parse_by(text_column(tuple, rel, Anum_limit_by));
	value = heap_getattr(tuple, Anum_limit_max_rows, desc, &isnull);
	limit->max_rows = isnull ? -1 : DatumGetInt64(value);
	value = heap_getattr(tuple, Anum_limit_max_fraction, desc, &isnull);
	limit->max_fraction = isnull ? -1 : DatumGetFloat8(value);
	return limit;
}

static bool
same_limit(const FgLimit *a, const FgLimit *b)
{
	return a->op == b->op && a->per == b->per &&
		a->interval == b->interval && a->by == b->by;
}

/* The row of a limit in an open scan over its relation's limits, or NULL. */
static HeapTuple
find_limit(FgScan *scan, const FgLimit *limit)
{
	HeapTuple	tuple;

	while ((tuple = fg_scan_next(scan)) != NULL)
	{
		if (same_limit(limit_from_row(tuple, scan->rel), limit))
			break;
	}
	return tuple;
}

List *
fg_catalog_get_limits(Oid relid)
{
	FgScan		scan;
	HeapTuple	tuple;
	List	   *limits = NIL;

	scan_by_relation(&scan, "row_limit", "row_limit_pkey", AccessShareLock, relid);
	while ((tuple = fg_scan_next(&scan)) != NULL)
		limits = lappend(limits, limit_from_row(tuple, scan.rel));
	fg_scan_end(&scan);
	return limits;
}

void
fg_catalog_put_limit(Oid relid, const FgLimit *limit)
{
	FgScan		scan;
	Datum		values[Natts_limit];
	bool		nulls[Natts_limit] = {false};

	values[Anum_limit_relation - 1] = ObjectIdGetDatum(relid);
	values[Anum_limit_operation - 1] = CStringGetTextDatum(fg_operation_name(limit->op));
	values[Anum_limit_per - 1] = CStringGetTextDatum(fg_per_name(limit->per, limit->interval));
	values[Anum_limit_by - 1] = CStringGetTextDatum(fg_by_name(limit->by));
	nulls[Anum_limit_max_rows - 1] = limit->max_rows < 0;
	values[Anum_limit_max_rows - 1] = Int64GetDatum(limit->max_rows);
	nulls[Anum_limit_max_fraction - 1] = limit->max_rows >= 0;
	values[Anum_limit_max_fraction - 1] = Float8GetDatum(limit->max_fraction);

	scan_by_relation(&scan, "row_limit", "row_limit_pkey", RowExclusiveLock, relid);
	write_row(scan.rel, find_limit(&scan, limit), values, nulls);
	fg_scan_end(&scan);
	CommandCounterIncrement();
}

bool
fg_catalog_delete_limit(Oid relid, const FgLimit *limit)
{
	FgScan		scan;
	HeapTuple	tuple;

	scan_by_relation(&scan, "row_limit", "row_limit_pkey", RowExclusiveLock, relid);
	tuple = find_limit(&scan, limit);
	if (tuple != NULL)
		CatalogTupleDelete(scan.rel, &tuple->t_self);
	fg_scan_end(&scan);
	CommandCounterIncrement();
	return tuple != NULL;
}

/* ----------------------------------------------------------------
 *		Shadows
 * ----------------------------------------------------------------
 */

Oid
fg_catalog_get_shadow(Oid relid)
{
	FgScan		scan;
	HeapTuple	tuple;
	Oid			shadow = InvalidOid;

	scan_by_relation(&scan, "shadow", "shadow_pkey", AccessShareLock, relid);
	tuple = fg_scan_next(&scan);
	if (tuple != NULL)
	{
		bool		isnull;

		shadow = DatumGetObjectId(heap_getattr(tuple, Anum_shadow_shadow,
											   RelationGetDescr(scan.rel), &isnull));
	}
	fg_scan_end(&scan);
	return shadow;
}

void
fg_catalog_put_shadow(Oid relid, Oid shadow)
{
	FgScan		scan;
	Datum		values[Natts_shadow];
	bool		nulls[Natts_shadow] = {false};

	values[Anum_shadow_relation - 1] = ObjectIdGetDatum(relid);
	values[Anum_shadow_shadow - 1] = ObjectIdGetDatum(shadow);
	scan_by_relation(&scan, "shadow", "shadow_pkey", RowExclusiveLock, relid);
	write_row(scan.rel, fg_scan_next(&scan), values, nulls);
	fg_scan_end(&scan);
	CommandCounterIncrement();
}

void
fg_catalog_delete_shadow(Oid relid)
{
	delete_rows("shadow", "shadow_pkey", relid);
}

List *
fg_catalog_shadow_relids(void)
{
	return relids_of("shadow");
}
