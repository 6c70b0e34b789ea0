/*-------------------------------------------------------------------------
 *
 * fg_trash_expire.c
 *		Out of the trash for good, after setting fortress.trash_retention.
 *
 * The auditor's worker does this among its other work (fg_auditor.c), a table a
 * transaction, oldest first, and records each as an event.  It must be in
 * nobody's way: a table that somebody has locked is left for another time, and
 * no other lock is waited for longer than a moment.  One that cannot be dropped
 * for whatever reason is told of in the server log and does not keep the others
 * from going.
 *
 * One whose row type other tables have in columns, or their archives, stays: they
 * would lose these columns.
 *
 * A table's archive goes with it if fortress.retention is over for all of its
 * rows, as it would be emptied then anyhow.  Otherwise it stays where it is, as
 * when a policy is lifted.
 *
 * Locks: AccessExclusiveLock on the table, what is below it, and the archives;
 * AccessShareLock on tables that use its row type.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "commands/tablecmds.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "fg_catalog.h"
#include "fg_catalog_trash.h"
#include "fg_guc.h"
#include "fg_install.h"
#include "fg_trash.h"
#include "fg_trash_piece.h"

/* how long any lock is waited for */
#define LOCK_TIMEOUT_MS	"100"

/* the first column of every shadow */
#define Anum_shadow_at	1

/* the number of the last table that this process has tried */
static int64 last_tried = 0;

/* ----------------------------------------------------------------
 *		Archives
 * ----------------------------------------------------------------
 */

/* Has fortress.retention passed for all rows of an archive? */
static bool
all_old(Oid shadow)
{
	Relation	rel = table_open(shadow, NoLock);
	TimestampTz before = GetCurrentTimestamp() - (int64) fg_retention * USECS_PER_SEC;
	TableScanDesc scan = table_beginscan(rel, GetActiveSnapshot(), 0, NULL);
	HeapTuple	tuple;
	bool		old = true;

	while (old && (tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		bool		isnull;
		Datum		at = heap_getattr(tuple, Anum_shadow_at, RelationGetDescr(rel), &isnull);

		CHECK_FOR_INTERRUPTS();
		old = !isnull && DatumGetTimestampTz(at) < before;
	}
	table_endscan(scan);
	table_close(rel, NoLock);
	return old;
}

/* The archives that go with these tables; *busy: somebody has one of them locked. */
static List *
archives_to_drop(const List *members, bool *busy)
{
	List	   *shadows = NIL;
	ListCell   *lc;

	*busy = false;
	if (fg_retention == 0)
		return NIL;
	foreach(lc, members)
	{
		Oid			shadow = fg_catalog_get_shadow(lfirst_oid(lc));

		if (!OidIsValid(shadow))
			continue;
		if (!ConditionalLockRelationOid(shadow, AccessExclusiveLock))
			*busy = true;
		else if (get_rel_relkind(shadow) == RELKIND_RELATION && all_old(shadow))
			shadows = lappend_oid(shadows, shadow);
	}
	return shadows;
}

/* ----------------------------------------------------------------
 *		Types and sequences
 * ----------------------------------------------------------------
 */

static void
drop_object(const ObjectAddress *object, DropBehavior behavior)
{
	performDeletion(object, behavior, PERFORM_DELETION_QUIETLY);
	CommandCounterIncrement();
}

/* Does a column, a default, an archive perhaps, or anything else still need an object? */
static bool
is_used(Oid class_id, Oid object)
{
	Relation	depend = table_open(DependRelationId, AccessShareLock);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		used = false;

	ScanKeyInit(&keys[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(class_id));
	ScanKeyInit(&keys[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(object));
	scan = systable_beginscan(depend, DependReferenceIndexId, true, NULL, 2, keys);
	while ((tuple = systable_getnext(scan)) != NULL)
		used |= ((Form_pg_depend) GETSTRUCT(tuple))->deptype == DEPENDENCY_NORMAL;
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
	return used;
}

/* Types and sequences that came with a table go with it, unless something has them still. */
static void
drop_company(const List *pieces)
{
	Oid			schema = get_namespace_oid(FG_TRASH_SCHEMA, false);
	ListCell   *lc;

	foreach(lc, pieces)
	{
		FgTrashPiece *piece = lfirst(lc);
		ObjectAddress address;

		if ((piece->kind != FG_TRASH_TYPE && piece->kind != FG_TRASH_FREE_SEQUENCE) ||
			!fg_trash_holds(piece))
			continue;
		if (piece->kind == FG_TRASH_TYPE)
			ObjectAddressSet(address, TypeRelationId,
							 GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum(piece->trash_name),
											 ObjectIdGetDatum(schema)));
		else
			ObjectAddressSet(address, RelationRelationId, get_relname_relid(piece->trash_name, schema));
		if (is_used(address.classId, address.objectId) ||
			(piece->kind == FG_TRASH_TYPE && is_used(TypeRelationId, get_array_type(address.objectId))))
			continue;
		drop_object(&address, DROP_RESTRICT);
	}
}

/* ----------------------------------------------------------------
 *		Tables
 * ----------------------------------------------------------------
 */

/* An error if a column anywhere else has values of a row type of these tables. */
static void
check_row_types(const List *members)
{
	ListCell   *lc;

	foreach(lc, members)
	{
		Relation	rel = table_open(lfirst_oid(lc), NoLock);

		find_composite_type_dependencies(rel->rd_rel->reltype, rel, NULL);
		table_close(rel, NoLock);
	}
}

/*
 * Policies and the like go with the table, as with any that is dropped
 * (fg_ddl_drop.c).  False: somebody else has it locked.
 */
static bool
drop_for_good(const FgTrashRow *row)
{
	Oid			relid = get_relname_relid(row->trash_name, get_namespace_oid(FG_TRASH_SCHEMA, false));
	List	   *pieces = fg_catalog_trash_pieces(row->id);
	List	   *members;
	List	   *shadows;
	bool		busy;
	ObjectAddress address;
	ListCell   *lc;

	if (OidIsValid(relid))
	{
		if (!ConditionalLockRelationOid(relid, AccessExclusiveLock))
			return false;
		if (fg_catalog_get_trash(row->id) == NULL)
			return false;		/* it was put back just now */
		members = find_all_inheritors(relid, AccessExclusiveLock, NULL);
		check_row_types(members);
		shadows = archives_to_drop(members, &busy);
		if (busy)
			return false;
		ObjectAddressSet(address, RelationRelationId, relid);
		drop_object(&address, DROP_CASCADE);
		foreach(lc, shadows)
		{
			ObjectAddressSet(address, RelationRelationId, lfirst_oid(lc));
			drop_object(&address, DROP_RESTRICT);
		}
	}
	drop_company(pieces);
	fg_catalog_delete_trash(row->id);
	return true;
}

/* The same in a subtransaction; an error is one for the log. */
static void
try_to_drop(const FgTrashRow *row)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		FgOwnerState saved;
		bool		dropped;

		fg_install_become_owner(&saved);
		(void) set_config_option("lock_timeout", LOCK_TIMEOUT_MS, PGC_SUSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
		dropped = drop_for_good(row);
		fg_install_be_user_again(&saved);
		if (dropped)
			fg_trash_record("trash_expired", row, InvalidOid);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (error->sqlerrcode == ERRCODE_QUERY_CANCELED || error->sqlerrcode == ERRCODE_ADMIN_SHUTDOWN)
			ReThrowError(error);
		ereport(LOG,
				(errcode(error->sqlerrcode),
				 errmsg("could not drop table \"%s.%s\" (number " INT64_FORMAT " in the trash) for good: %s",
						row->schema, row->name, row->id, error->message),
				 errdetail("The auditor of fortress_guard tries it again when it looks through the trash next.")));
		FreeErrorData(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
}

bool
fg_trash_expire_step(void)
{
	FgTrashRow *row = NULL;
	ListCell   *lc;

	if (fg_trash_retention == 0)
		return false;
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	foreach(lc, fg_catalog_trash_before(GetCurrentTimestamp() - (int64) fg_trash_retention * USECS_PER_SEC))
	{
		int64		id = *(int64 *) lfirst(lc);

		if (id <= last_tried)
			continue;
		last_tried = id;
		row = fg_catalog_get_trash(id);
		if (row != NULL)
			break;
	}
	if (row != NULL)
		try_to_drop(row);
	PopActiveSnapshot();
	CommitTransactionCommand();
	return row != NULL;
}
