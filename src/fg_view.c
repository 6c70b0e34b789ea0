/*-------------------------------------------------------------------------
 *
 * fg_view.c
 *		What the views of the witness ask C for: window_use, limit_rows,
 *		tree_of, archived_rows, archive_size.
 *
 * The views themselves are SQL, in the extension's script; here is what SQL
 * can't see (windows in shared memory), what has to agree with the guard to
 * the row (limits that are fractions, what belongs to a protected table), and
 * what SQL would take too long for (how many rows an archive has).
 *
 * A view for people and dashboards is read at any time, most of all when
 * something is wrong.  So nothing here waits for a lock: the size of an archive
 * that somebody is changing right now is NULL.  And nothing reads a large
 * archive: rows are counted in small ones only, and only in so many of them
 * in one query; for all others there is the planner's estimate.
 *
 * No rights are checked beyond EXECUTE on the functions: they tell numbers and
 * names, no values of anybody's rows.
 *
 * Locks: AccessShareLock on a shadow while it is looked at, if it is free;
 * fg_budget's own on windows.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/socket.h>

#include "access/relation.h"
#include "access/tableam.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "optimizer/plancat.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/inet.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "fg_budget.h"
#include "fg_catalog.h"
#include "fg_policy.h"
#include "fg_shadow.h"
#include "fg_types.h"

PG_FUNCTION_INFO_V1(fg_window_use_sql);
PG_FUNCTION_INFO_V1(fg_limit_rows);
PG_FUNCTION_INFO_V1(fg_tree_of);
PG_FUNCTION_INFO_V1(fg_archived_rows);
PG_FUNCTION_INFO_V1(fg_archive_size);

/* An archive with more pages is estimated, and so is every one after this many. */
#define FG_COUNTED_PAGES		1000
#define FG_COUNTED_PAGES_QUERY	10000

/* ----------------------------------------------------------------
 *		Windows and limits
 * ----------------------------------------------------------------
 */

/* Whose window it is: a role's name, a client's address or network, or '*'. */
static char *
who_text(const FgWindowKey *key)
{
	static const uint8 mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	char		address[sizeof("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255/128")];
	char	   *name;
	Oid			role;

	switch ((FgBy) key->by)
	{
		case FG_BY_ROLE:
			memcpy(&role, key->who, sizeof(role));
			name = GetUserNameFromId(role, true);
			return name != NULL ? name : psprintf("%u", role);
		case FG_BY_CLIENT:
			if (memcmp(key->who, mapped, sizeof(mapped)) == 0)
				name = pg_inet_net_ntop(PGSQL_AF_INET, key->who + sizeof(mapped), 32,
										address, sizeof(address));
			else
				name = pg_inet_net_ntop(PGSQL_AF_INET6, key->who, 64, address, sizeof(address));
			if (name == NULL)
				elog(ERROR, "could not format the address of a window: %m");
			return pstrdup(name);
		case FG_BY_TABLE:
			break;
	}
	return pstrdup("*");
}

/*
 * window_use(relation): relation, operation, per, by, who, used
 */
Datum
fg_window_use_sql(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Oid			relid = PG_ARGISNULL(0) ? InvalidOid : PG_GETARG_OID(0);
	FgWindowUse *uses;
	int64		n_uses;

	InitMaterializedSRF(fcinfo, 0);
	n_uses = fg_budget_list(relid, &uses);
	for (int64 i = 0; i < n_uses; i++)
	{
		const FgWindowKey *key = &uses[i].key;
		Datum		values[6];
		bool		nulls[6] = {false};

		values[0] = ObjectIdGetDatum(key->relid);
		values[1] = CStringGetTextDatum(fg_operation_name((FgOperation) key->op));
		values[2] = CStringGetTextDatum(fg_per_name(FG_PER_INTERVAL, key->interval));
		values[3] = CStringGetTextDatum(fg_by_name((FgBy) key->by));
		values[4] = CStringGetTextDatum(who_text(key));
		values[5] = Int64GetDatum(uses[i].rows);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/*
 * limit_rows(relation, operation, per, by): a fraction resolved; NULL: no such
 * limit
 */
Datum
fg_limit_rows(PG_FUNCTION_ARGS)
{
	FgPolicy	policy = {.relid = PG_GETARG_OID(0)};
	FgOperation op = fg_parse_operation(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	FgBy		by = fg_parse_by(text_to_cstring(PG_GETARG_TEXT_PP(3)));
	FgPer		per;
	int64		interval;
	ListCell   *lc;

	fg_parse_per(text_to_cstring(PG_GETARG_TEXT_PP(2)), &per, &interval);
	foreach(lc, fg_catalog_get_limits(policy.relid))
	{
		const FgLimit *limit = lfirst(lc);

		if (limit->op == op && limit->per == per && limit->interval == interval &&
			limit->by == by)
			PG_RETURN_INT64(fg_policy_limit_rows(&policy, limit));
	}
	PG_RETURN_NULL();
}

/* ----------------------------------------------------------------
 *		Trees and archives
 * ----------------------------------------------------------------
 */

/*
 * tree_of(relation): the relation and all below it, which its policy governs
 */
Datum
fg_tree_of(PG_FUNCTION_ARGS)
{
	List	   *relids = find_all_inheritors(PG_GETARG_OID(0), NoLock, NULL);
	Datum	   *members = palloc(sizeof(Datum) * list_length(relids));
	int			n_members = 0;
	ListCell   *lc;

	foreach(lc, relids)
		members[n_members++] = ObjectIdGetDatum(lfirst_oid(lc));
	PG_RETURN_ARRAYTYPE_P(construct_array(members, n_members, REGCLASSOID, sizeof(Oid),
										  true, TYPALIGN_INT));
}

/*
 * Opens a shadow if that needs no waiting: false if it does.  *shadow is NULL
 * where the shadow is gone.
 */
static bool
open_shadow(Oid relid, Relation *shadow)
{
	if (!ConditionalLockRelationOid(relid, AccessShareLock))
		return false;
	*shadow = try_relation_open(relid, NoLock);
	if (*shadow == NULL)
		UnlockRelationOid(relid, AccessShareLock);
	return true;
}

static int64
count_rows(Relation rel)
{
	TableScanDesc scan = table_beginscan_strat(rel, GetActiveSnapshot(), 0, NULL, true, false);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	int64		rows = 0;

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		bool		isnull;

		CHECK_FOR_INTERRUPTS();
		/* the new image of a key that was changed is no row that went */
		if (DatumGetChar(slot_getattr(slot, FG_SHADOW_OP_ATTNUM, &isnull)) != FG_SHADOW_OP_KEY)
			rows++;
	}
	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
	return rows;
}

/*
 * The rows of a shadow, counted or estimated.  *pages_left is lowered by what
 * was read.
 */
static int64
shadow_rows(Relation shadow, int64 *pages_left)
{
	BlockNumber pages = RelationGetNumberOfBlocks(shadow);
	double		rows;
	double		all_visible;

	if (pages <= FG_COUNTED_PAGES && pages <= *pages_left)
	{
		*pages_left -= pages;
		return count_rows(shadow);
	}
	estimate_rel_size(shadow, NULL, &pages, &rows, &all_visible);
	return (int64) rows;
}

/*
 * Adds up what the shadows of a policy's tree have: rows, or with "bytes" the
 * space that they take on disk.  False if one of them is locked.
 */
static bool
archive_sum(Oid relid, bool bytes, int64 *pages_left, int64 *sum)
{
	List	   *relids = find_all_inheritors(relid, NoLock, NULL);
	bool		known = true;
	ListCell   *lc;

	*sum = 0;
	foreach(lc, relids)
	{
		Oid			shadow_oid = fg_catalog_get_shadow(lfirst_oid(lc));
		Relation	shadow;

		if (!OidIsValid(shadow_oid))
			continue;
		if (!open_shadow(shadow_oid, &shadow))
		{
			known = false;
			break;
		}
		if (shadow == NULL)
			continue;
		if (bytes)
			*sum += DatumGetInt64(DirectFunctionCall1(pg_total_relation_size,
													  ObjectIdGetDatum(shadow_oid)));
		else
			*sum += shadow_rows(shadow, pages_left);
		relation_close(shadow, AccessShareLock);
	}
	list_free(relids);
	return known;
}

/*
 * archived_rows(relation): NULL while an archive is locked
 *
 * How many pages this query may still read is remembered with the function's
 * call.
 */
Datum
fg_archived_rows(PG_FUNCTION_ARGS)
{
	int64	   *pages_left = fcinfo->flinfo->fn_extra;
	int64		rows;

	if (pages_left == NULL)
	{
		pages_left = MemoryContextAlloc(fcinfo->flinfo->fn_mcxt, sizeof(int64));
		*pages_left = FG_COUNTED_PAGES_QUERY;
		fcinfo->flinfo->fn_extra = pages_left;
	}
	if (!archive_sum(PG_GETARG_OID(0), false, pages_left, &rows))
		PG_RETURN_NULL();
	PG_RETURN_INT64(rows);
}

/* archive_size(relation): bytes; NULL while an archive is locked */
Datum
fg_archive_size(PG_FUNCTION_ARGS)
{
	int64		bytes;

	if (!archive_sum(PG_GETARG_OID(0), true, NULL, &bytes))
		PG_RETURN_NULL();
	PG_RETURN_INT64(bytes);
}
