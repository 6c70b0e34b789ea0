/*-------------------------------------------------------------------------
 *
 * fg_restore_purge.c
 *		fortress.purge(): removes archived rows for good.
 *
 * Who may call it can take away the means to undo, so it is for administrators
 * alone, with a second person where fortress.require_approval() asks for one,
 * and each call that removes something is an event.  Rows are found by a query
 * with the caller's own rights, since the filter is his; they are removed below
 * the executor, which lets nobody write archives.
 *
 * What the running transaction has archived stays, whatever is asked for: nobody
 * deletes rows and their copies in one go.
 *
 * It refuses: negative ages, no age at all while fortress.retention is 0, and
 * relations without an archive of their own.
 *
 * Locks: each shadow, and rows that somebody else is removing; see fg_purge.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/portal.h"
#include "utils/timestamp.h"

#include "fg_catalog.h"
#include "fg_catalog_child.h"
#include "fg_event.h"
#include "fg_guc.h"
#include "fg_own.h"
#include "fg_progress.h"
#include "fg_purge.h"
#include "fg_restore_plan.h"

PG_FUNCTION_INFO_V1(fg_purge);

/* rows that are looked for at once */
#define FETCHED_ROWS	10000

/* Before when rows have to be archived to go. */
static TimestampTz
purge_before(FunctionCallInfo fcinfo)
{
	Interval	zero = {0};
	TimestampTz now = GetCurrentTransactionStartTimestamp();
	Datum		older_than;
	TimestampTz before;

	if (PG_ARGISNULL(0))
	{
		if (fg_retention == 0)
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("older_than must not be null while fortress.retention is 0"),
					 errdetail("Archived rows are kept for good.")));
		return now - (int64) fg_retention * USECS_PER_SEC;
	}
	older_than = PG_GETARG_DATUM(0);
	if (DatumGetBool(DirectFunctionCall2(interval_lt, older_than, IntervalPGetDatum(&zero))))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("older_than must not be negative")));
	before = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_mi_interval,
													 TimestampTzGetDatum(now), older_than));
	/* 360 days less a year are none where they are compared, but not on a calendar */
	return Min(before, now);
}

/* Whose archives are meant. */
static List *
purge_relations(Oid relid)
{
	List	   *members;
	List	   *relids = NIL;
	ListCell   *lc;

	if (!OidIsValid(relid))
	{
		relids = fg_catalog_shadow_relids();
		list_sort(relids, list_oid_cmp);
		return relids;
	}
	if (get_rel_relkind(relid) == '\0')
		/* a table that was dropped may have left its archive */
		members = list_make1_oid(relid);
	else
		members = find_all_inheritors(relid, AccessShareLock, NULL);
	foreach(lc, members)
	{
		if (OidIsValid(fg_catalog_get_shadow(lfirst_oid(lc))))
			relids = lappend_oid(relids, lfirst_oid(lc));
	}
	if (relids == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" has no archive of its own", fg_event_relation(relid)),
				 errhint("The rows of a partition are in the archive of the partitioned table: name that one, with a filter.")));
	return relids;
}

/* Removes the chosen rows of one shadow; returns how many. */
static int64
purge_shadow(Relation shadow, TimestampTz before, const char *filter)
{
	Oid			types[] = {TIMESTAMPTZOID};
	Datum		values[] = {TimestampTzGetDatum(before)};
	const char *sql = psprintf("SELECT ctid FROM ONLY %s WHERE fg_at OPERATOR(pg_catalog.<) $1%s%s%s",
							   fg_restore_name(RelationGetRelid(shadow)),
							   filter ? " AND (" : "", filter ? filter : "", filter ? "\n)" : "");
	Portal		portal = SPI_cursor_open_with_args(NULL, sql, 1, types, values, NULL, false, CURSOR_OPT_NO_SCROLL);
	int64		removed = 0;

	for (;;)
	{
		SPI_cursor_fetch(portal, true, FETCHED_ROWS);
		if (SPI_processed == 0)
			break;
		for (uint64 row = 0; row < SPI_processed; row++)
		{
			bool		isnull;

			Datum		place = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 1, &isnull);

			if (fg_purge_row(shadow, (ItemPointer) DatumGetPointer(place), true))
				removed++;
			CHECK_FOR_INTERRUPTS();
		}
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_cursor_close(portal);
	return removed;
}

/*
 * fortress.purge(older_than, relation, filter)
 */
Datum
fg_purge(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_ARGISNULL(1) ? InvalidOid : PG_GETARG_OID(1);
	char	   *filter = PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2));
	TimestampTz before;
	int64		removed = 0;
	List	   *relids;
	ListCell   *lc;

	fg_own_require_admin("fortress.purge()",
						 OidIsValid(relid) ? psprintf("the archive of \"%s\"", fg_event_relation(relid)) : "the archive",
						 relid);
	PreventCommandIfReadOnly("fortress.purge()");
	before = purge_before(fcinfo);
	if (filter != NULL)
		fg_restore_filter_check(filter);
	relids = purge_relations(relid);

	fg_progress_begin("purge");
	SPI_connect();
	foreach(lc, relids)
	{
		Relation	shadow = fg_purge_open(fg_catalog_get_shadow(lfirst_oid(lc)), true);
		int64		rows;

		if (shadow == NULL)
			continue;
		fg_progress_phase(FG_PHASE_WRITING, lfirst_oid(lc), -1);
		rows = purge_shadow(shadow, before, filter);
		fg_purge_record(lfirst_oid(lc), rows, before, filter, true);
		removed += rows;
		relation_close(shadow, NoLock);
	}
	if (!OidIsValid(relid) && filter == NULL)
		fg_catalog_forget_children(before, true);
	SPI_finish();
	fg_progress_end();
	PG_RETURN_INT64(removed);
}
