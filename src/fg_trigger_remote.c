/*-------------------------------------------------------------------------
 *
 * fg_trigger_remote.c
 *		Counting rows that replication applies.
 *
 * What a publisher has deleted or updated comes row by row, and nothing tells
 * which of its statements a row belongs to.  So the whole transaction of the
 * publisher counts as one statement: a limit per statement is never exceeded
 * unseen, though a transaction of several statements may be refused that would
 * have been within it where it came from.  It needs no WHERE condition either,
 * as there is none.  The role that counts, for windows and for exemptions, is
 * the session user of the worker: the subscription's owner.
 *
 * As long as a limit is in force, each row is asked for at once, so that it is
 * the first row too many that is refused.  Where nothing is in the way any more,
 * with a permission without bounds or in audit mode, rows are only counted, and
 * settled before the transaction ends.
 *
 * For a policy with "columns" the stored versions of the row are compared.  Of
 * a row that was moved to another partition the new one is not at hand: it
 * counts as changed, perhaps one more than exact, never less.
 *
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "fg_counter.h"
#include "fg_decide.h"
#include "fg_remote.h"
#include "fg_trigger.h"
#include "fg_trigger_remote.h"
#include "fg_xact.h"

/* all applied rows of a transaction are one statement; the executor's count from 1 */
#define REMOTE_SCOPE	PG_UINT64_MAX

/* What was applied under one policy; in TopTransactionContext. */
typedef struct FgApplied
{
	dlist_node	link;
	Oid			policy;
	FgAccount  *account;
	FgCounter	rows[FG_N_ROW_OPERATIONS];
	FgCounter	charged[FG_N_ROW_OPERATIONS];	/* those of them that fg_decide knows */
	bool		may_wait[FG_N_ROW_OPERATIONS];	/* any number of rows would pass */
} FgApplied;

static dlist_head all_applied = DLIST_STATIC_INIT(all_applied);

static FgApplied *
find_applied(FgPolicy *policy)
{
	FgApplied  *applied;
	FgAccount  *account;
	dlist_iter	iter;

	dlist_foreach(iter, &all_applied)
	{
		applied = dlist_container(FgApplied, link, iter.cur);
		if (applied->policy == policy->relid)
			return applied;
	}
	account = fg_decide_account(REMOTE_SCOPE, policy, GetSessionUserId(), false);
	applied = MemoryContextAllocZero(TopTransactionContext, sizeof(FgApplied));
	applied->policy = policy->relid;
	applied->account = account;
	for (int op = 0; op < FG_N_ROW_OPERATIONS; op++)
	{
		fg_counter_init(&applied->rows[op], NULL, NULL);
		fg_counter_init(&applied->charged[op], NULL, NULL);
	}
	dlist_push_tail(&all_applied, &applied->link);
	fg_xact_touch();
	return applied;
}

/* Asks for the rows that were not asked for yet. */
static void
charge(FgApplied *applied, FgOperation op)
{
	FgRequest	request = {.question = FG_ASK_ROWS};
	FgVerdict	verdict;
	int64		n = applied->rows[op].total - applied->charged[op].total;

	if (n <= 0)
		return;
	fg_counter_add(&applied->charged[op], n);
	request.account = applied->account;
	request.operations = FG_OP_BIT(op);
	request.rows[op] = n;
	fg_decide(&request, &verdict);
	applied->may_wait[op] = verdict.rows_left == PG_INT64_MAX;
}

/* Does one of the guarded columns differ between the versions of a row? */
static bool
columns_differ(const FgPolicy *policy, const TriggerData *data)
{
	TupleDesc	desc = RelationGetDescr(data->tg_relation);

	if (data->tg_newtuple == NULL)
		return true;
	for (int i = 0; i < policy->n_columns; i++)
	{
		AttrNumber	attno = get_attnum(RelationGetRelid(data->tg_relation), policy->columns[i]);
		bool		old_null;
		bool		new_null;
		Datum		old_value;
		Datum		new_value;

		if (attno <= 0)
			continue;
		old_value = heap_getattr(data->tg_trigtuple, attno, desc, &old_null);
		new_value = heap_getattr(data->tg_newtuple, attno, desc, &new_null);
		if (old_null != new_null)
			return true;
		if (!old_null &&
			!datum_image_eq(old_value, new_value, TupleDescAttr(desc, attno - 1)->attbyval,
							TupleDescAttr(desc, attno - 1)->attlen))
			return true;
	}
	return false;
}

FgOperation
fg_trigger_remote_operation(const TriggerData *data)
{
	if (TRIGGER_FIRED_BY_UPDATE(data->tg_event))
		return FG_OP_UPDATE;
	return data->tg_relation->rd_rel->relispartition && fg_remote_updates() ?
		FG_OP_UPDATE : FG_OP_DELETE;
}

void
fg_trigger_remote_count(const TriggerData *data, const FgRelation *entry, FgOperation op)
{
	int			n_policies = entry->n_policies;
	FgPolicy  **policies = palloc(sizeof(FgPolicy *) * n_policies);
	FgPolicyArena *pin = fg_policy_pin();

	/* what is asked reads catalogs, which may end the arena of the policies */
	memcpy(policies, entry->policies, sizeof(FgPolicy *) * n_policies);
	PG_TRY();
	{
		for (int i = 0; i < n_policies; i++)
		{
			FgPolicy   *policy = policies[i];
			FgApplied  *applied;

			if (policy->mode == FG_MODE_OFF ||
				(op == FG_OP_UPDATE && !policy->all_columns && !columns_differ(policy, data)))
				continue;
			applied = find_applied(policy);
			fg_counter_add(&applied->rows[op], 1);
			if (!applied->may_wait[op])
				charge(applied, op);
		}
	}
	PG_FINALLY();
	{
		fg_policy_unpin(pin);
	}
	PG_END_TRY();
	pfree(policies);
}

/*
 * Before fg_decide writes down what it has let pass: rows that waited.
 */
static void
end_transaction(XactEvent event)
{
	dlist_iter	iter;

	if (event != XACT_EVENT_PRE_COMMIT && event != XACT_EVENT_PRE_PREPARE)
	{
		dlist_init(&all_applied);
		return;
	}
	dlist_foreach(iter, &all_applied)
	{
		for (int op = 0; op < FG_N_ROW_OPERATIONS; op++)
			charge(dlist_container(FgApplied, link, iter.cur), op);
	}
}

void
fg_trigger_setup(void)
{
	fg_xact_register(end_transaction, NULL, FG_XACT_EARLY);
}
