/*-------------------------------------------------------------------------
 *
 * fg_auth.c
 *		Who may do more than the limits: exemptions and redeemed tokens.
 *
 * A permission is looked for only when a statement has gone beyond its limits
 * or asks for something that needs one, never on ordinary statements.  So
 * every look reads the tables afresh: what was revoked is gone from the next
 * look on, in all sessions, and nothing needs to be sent around.
 *
 * Here are exemptions, the guard's own work, and the question itself; tokens
 * are in fg_auth_token.c, the two-person rule in fg_auth_request.c.
 *
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/acl.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "fg_auth.h"
#include "fg_auth_token.h"
#include "fg_catalog.h"
#include "fg_catalog_auth.h"
#include "fg_counter.h"
#include "fg_guc.h"
#include "fg_xact.h"

/* what a wrong secret costs, in milliseconds */
#define DELAY_MS		250

/* Rows that an exemption has let pass in this transaction; in TopTransactionContext. */
typedef struct FgExempted
{
	dlist_node	link;
	int64		id;
	int64		max_rows;		/* as last read; -1: unbounded */
	FgCounter	rows;
} FgExempted;

/* A statement of the guard's own; in TopTransactionContext. */
typedef struct FgInternal
{
	const char *text;
	int			level;			/* nest level that began it */
	struct FgInternal *outer;
} FgInternal;

static dlist_head exempted = DLIST_STATIC_INIT(exempted);
static FgInternal *internals = NULL;

/* ----------------------------------------------------------------
 *		Words
 * ----------------------------------------------------------------
 */

char *
fg_auth_describe(const FgPermission *permission)
{
	FgPermissionKind kind = permission->kind;

	if (kind == FG_PERMIT_NONE)
		kind = permission->too_small;
	switch (kind)
	{
		case FG_PERMIT_SUPERUSER:
			return pstrdup("superuser");
		case FG_PERMIT_EXEMPTION:
			return psprintf("exemption " INT64_FORMAT, permission->id);
		case FG_PERMIT_TOKEN:
			return psprintf("token " INT64_FORMAT, permission->id);
		case FG_PERMIT_INTERNAL:
			return pstrdup("fortress_guard");
		case FG_PERMIT_NONE:
			break;
	}
	return pstrdup("nothing");
}

void
fg_auth_append_bounds(StringInfo buf, int operations, TimestampTz valid_until)
{
	const char *separator = ", for ";

	for (int op = 0; op < FG_N_OPERATIONS; op++)
	{
		if ((operations & FG_OP_BIT(op)) == 0)
			continue;
		appendStringInfo(buf, "%s%s", separator, fg_operation_name((FgOperation) op));
		separator = ", ";
	}
	if (!TIMESTAMP_IS_NOEND(valid_until))
		appendStringInfo(buf, ", until %s", timestamptz_to_str(valid_until));
}

/* ----------------------------------------------------------------
 *		Finding
 * ----------------------------------------------------------------
 */

static FgExempted *
find_exempted(int64 id)
{
	dlist_iter	iter;

	dlist_foreach(iter, &exempted)
	{
		FgExempted *entry = dlist_container(FgExempted, link, iter.cur);

		if (entry->id == id)
			return entry;
	}
	return NULL;
}

/*
 * Offers a permission: it is taken if it has rows enough and more than what
 * was found so far, or remembered for the hint.
 */
void
fg_auth_offer(FgPermission *found, FgPermissionKind kind, int64 id, int64 left, int64 rows)
{
	if (left >= rows)
	{
		if (found->kind == FG_PERMIT_NONE || left > found->rows_left)
		{
			found->kind = kind;
			found->id = id;
			found->rows_left = left;
		}
	}
	else if (found->kind == FG_PERMIT_NONE)
	{
		found->too_small = kind;
		found->id = id;
		found->rows_left = left;
	}
}

static void
find_exemption(FgOperation op, Oid relid, Oid role, int64 rows, FgPermission *found)
{
	ListCell   *cell;

	foreach(cell, fg_catalog_exemptions_of(role))
	{
		FgExemptionRow *row = lfirst(cell);
		FgExempted *entry;
		int64		left = PG_INT64_MAX;

		if ((row->operations & FG_OP_BIT(op)) == 0 ||
			(OidIsValid(row->relid) && row->relid != relid))
			continue;
		entry = find_exempted(row->id);
		if (entry == NULL)
		{
			entry = MemoryContextAllocZero(TopTransactionContext, sizeof(FgExempted));
			entry->id = row->id;
			fg_counter_init(&entry->rows, NULL, NULL);
			fg_xact_touch();
			dlist_push_tail(&exempted, &entry->link);
		}
		entry->max_rows = row->max_rows;
		if (row->max_rows >= 0)
			left = Max(row->max_rows - entry->rows.total, 0);
		fg_auth_offer(found, FG_PERMIT_EXEMPTION, row->id, left, rows);
	}
}

bool
fg_auth_find(FgOperation op, Oid relid, Oid role, int64 rows, FgPermission *found)
{
	MemoryContext context;
	MemoryContext old;

	memset(found, 0, sizeof(*found));
	found->kind = FG_PERMIT_NONE;
	found->too_small = FG_PERMIT_NONE;
	found->rows_left = PG_INT64_MAX;

	if (!fg_guard_superusers && superuser_arg(role))
	{
		found->kind = FG_PERMIT_SUPERUSER;
		return true;
	}
	if (!fg_catalog_present())
		return false;

	/* a statement may ask often, so what is read goes away at once */
	context = AllocSetContextCreate(CurrentMemoryContext, "fortress_guard permission",
									ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	found->needs_approval = fg_auth_needs_approval(op, relid);
	if (!found->needs_approval)
		find_exemption(op, relid, role, rows, found);
	if (found->kind == FG_PERMIT_NONE)
		fg_auth_token_find(op, relid, role, rows, found);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return found->kind != FG_PERMIT_NONE;
}

/* ----------------------------------------------------------------
 *		Charging
 * ----------------------------------------------------------------
 */

static bool
charge_exemption(int64 id, int64 rows)
{
	FgExempted *entry = find_exempted(id);

	if (entry == NULL || fg_catalog_exemption_ended(id))
		return false;
	if (entry->max_rows >= 0 && entry->rows.total > entry->max_rows - rows)
		return false;
	fg_counter_add(&entry->rows, rows);
	return true;
}

bool
fg_auth_charge(const FgPermission *permission, int64 rows)
{
	MemoryContext context;
	MemoryContext old;
	bool		charged = false;

	switch (permission->kind)
	{
		case FG_PERMIT_NONE:
			return false;
		case FG_PERMIT_SUPERUSER:
		case FG_PERMIT_INTERNAL:
			return true;
		case FG_PERMIT_EXEMPTION:
		case FG_PERMIT_TOKEN:
			break;
	}
	context = AllocSetContextCreate(CurrentMemoryContext, "fortress_guard permission",
									ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	if (permission->kind == FG_PERMIT_EXEMPTION)
		charged = charge_exemption(permission->id, rows);
	else
		charged = fg_auth_token_charge(permission->id, rows);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return charged;
}

/* ----------------------------------------------------------------
 *		The guard's own work, and its administrators
 * ----------------------------------------------------------------
 */

void
fg_auth_internal_begin(const char *text)
{
	FgInternal *entry = MemoryContextAlloc(TopTransactionContext, sizeof(FgInternal));

	entry->text = text;
	entry->level = GetCurrentTransactionNestLevel();
	entry->outer = internals;
	internals = entry;
	fg_xact_touch();
}

void
fg_auth_internal_end(void)
{
	FgInternal *entry = internals;

	if (entry == NULL)
		elog(ERROR, "no work of the guard to end");
	internals = entry->outer;
	pfree(entry);
}

bool
fg_auth_internal_statement(const char *text)
{
	return internals != NULL && text != NULL && strcmp(internals->text, text) == 0;
}

/*
 * Only the end of the session cuts it short: a cancelled statement, by
 * statement_timeout say, would spare its time to who guesses and tell as much.
 */
void
fg_auth_delay(void)
{
	TimestampTz end = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), DELAY_MS);

	for (;;)
	{
		long		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), end);

		if (left <= 0 || ProcDiePending)
			break;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 Min(left, DELAY_MS), PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
}

bool
fg_auth_is_admin(Oid role)
{
	Oid			admin;

	if (superuser_arg(role))
		return true;
	admin = get_role_oid("fortress_admin", true);
	return OidIsValid(admin) && has_privs_of_role(role, admin);
}

void
fg_auth_require_admin(void)
{
	if (!fg_auth_is_admin(GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for the administration of fortress_guard"),
				 errdetail("Only superusers and members of role \"fortress_admin\" may do that."),
				 errhidestmt(true), errhidecontext(true)));
}

/* ----------------------------------------------------------------
 *		Ends of transactions
 * ----------------------------------------------------------------
 */

/* What is kept here is in the transaction's memory, which goes away now. */
static void
end_transaction(XactEvent event)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT ||
		event == XACT_EVENT_PREPARE)
	{
		dlist_init(&exempted);
		internals = NULL;
	}
}

static void
end_subtransaction(SubXactEvent event, int level)
{

	if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		while (internals != NULL && internals->level >= level)
			internals = internals->outer;
	}
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
	{
		for (FgInternal *entry = internals; entry != NULL; entry = entry->outer)
			entry->level = Min(entry->level, level - 1);
	}
}

void
fg_auth_setup(void)
{
	fg_xact_register(end_transaction, end_subtransaction, 0);
	fg_auth_token_setup();
}
