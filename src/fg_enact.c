/*-------------------------------------------------------------------------
 *
 * fg_enact.c
 *		Makes a policy that was written count.
 *
 * Policies are written for two reasons: somebody calls protect() and its kin
 * for a table, or a table comes into a schema that is protected.  What has to
 * follow is the same, and is here: triggers and archives are brought into step
 * (fg_apply.c), sessions learn of it, the database's label says that there are
 * policies, and there is an event.
 *
 * Locks: the caller holds ShareRowExclusiveLock on the relation and all that is
 * below it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "datatype/timestamp.h"
#include "miscadmin.h"

#include "fg_apply.h"
#include "fg_catalog.h"
#include "fg_enact.h"
#include "fg_event.h"
#include "fg_label.h"
#include "fg_policy.h"

FgLimit
fg_enact_plain_limit(FgOperation op, int64 rows)
{
	FgLimit		limit = {0};

	limit.op = op;
	limit.per = FG_PER_TRANSACTION;
	limit.by = FG_BY_ROLE;
	limit.max_rows = rows;
	limit.max_fraction = -1;
	return limit;
}

void
fg_enact_first_limits(Oid relid, FgOperation op, int64 rows, int64 hourly_rows)
{
	FgLimit		limit = fg_enact_plain_limit(op, rows);

	if (rows >= 0)
		fg_catalog_put_limit(relid, &limit);
	if (hourly_rows >= 0)
	{
		limit.per = FG_PER_INTERVAL;
		limit.interval = USECS_PER_HOUR;
		limit.max_rows = hourly_rows;
		fg_catalog_put_limit(relid, &limit);
	}
}

void
fg_enact_policy(Oid relid, const char *detail)
{
	FgEvent		event = {.name = "policy_changed",.relid = relid,.rows = -1,.max_rows = -1};

	fg_policy_changed(relid);
	fg_label_policies_changed();
	fg_apply_tree(relid);
	event.role = GetUserId();
	event.detail = detail;
	fg_event_queue(&event, true);
}
