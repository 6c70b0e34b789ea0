/*-------------------------------------------------------------------------
 *
 * fg_executor_watch.c
 *		The watch of one ModifyTable node.
 *
 * The watch puts a function of ours in front of the node's input, so that the
 * guard can look between two rows and stop the statement at the first row too
 * many.  What it looks at are the server's own counters (fg_tally.c); policies
 * with "columns" compare the stored versions of each row (fg_change.c).  A
 * look is due only after as many rows as are left of the limits, plus one;
 * with a limit of 100 a statement within it is looked at twice.
 *
 * Where a query has several watched nodes, they may work on one relation and
 * take turns at any point: a node may be given a row, and while it works on
 * it, another one may run.  So the query keeps a stack of the nodes that have
 * a row in hand, and every call of ours settles it before anything changes.
 * With one node in hand, what is new is what that node did.  With more, it
 * cannot be said which of them did it, and rows count as what the server
 * counted them: a row moved to another partition counts as deleted there.
 *
 * Before a nested statement begins, what the nodes around it have done is
 * settled.  If that happens inside a subtransaction which is not theirs, nothing is
 * charged yet: whoever has begun it would catch the refusal, and the statement
 * that was meant would go on.
 *
 * Which nodes have a watch, and what of, is fg_executor_begin.c's.
 *
 * What is refused here is refused by fg_decide: too many rows (ZG001, ZG002),
 * and missing counters (ZG010).
 *
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "fg_catalog.h"
#include "fg_executor_watch.h"

static dlist_head watches = DLIST_STATIC_INIT(watches);
static FgWatch *last_watch = NULL;	/* whose input was asked for last, or NULL */

bool
fg_watch_any(void)
{
	return !dlist_is_empty(&watches);
}

/* ----------------------------------------------------------------
 *		Looking
 * ----------------------------------------------------------------
 */

/* Charges one account with what is new, and lowers *rows_left. */
static void
charge(FgWatch *watch, FgAccount *account, const int64 rows[FG_N_ROW_OPERATIONS],
	   int64 *rows_left)
{
	FgRequest	request = {.question = FG_ASK_ROWS};
	FgVerdict	verdict;

	request.account = account;
	request.operations = watch->operations;
	memcpy(request.rows, rows, sizeof(request.rows));
	fg_decide(&request, &verdict);
	*rows_left = Min(*rows_left, verdict.rows_left);
}

/*
 * What is refused to a statement must be its end.  Inside a subtransaction that
 * something it calls has begun, the error would be caught there, so there its
 * rows are kept until it looks by itself.  If that subtransaction is rolled back,
 * they are new again.
 */
static void
hold_back(FgTarget *target, const int64 rows[FG_N_ROW_OPERATIONS], EState *estate)
{
	if (target->held_back == NULL)
	{
		FgCounter  *counters = MemoryContextAlloc(estate->es_query_cxt, sizeof(FgCounter) * FG_N_ROW_OPERATIONS);

		for (int op = 0; op < FG_N_ROW_OPERATIONS; op++)
			fg_counter_init(&counters[op], NULL, NULL);
		target->held_back = counters;
	}
	for (int op = 0; op < FG_N_ROW_OPERATIONS; op++)
	{
		if (rows[op] > 0)
			fg_counter_add(&target->held_back[op], rows[op]);
	}
}

/* Adds what was held back to what is new. */
static void
take_held_back(FgTarget *target, int64 rows[FG_N_ROW_OPERATIONS])
{
	for (int op = 0; target->held_back != NULL && op < FG_N_ROW_OPERATIONS; op++)
	{
		int64		held = target->held_back[op].total;

		if (held == 0)
			continue;
		fg_counter_add(&target->held_back[op], -held);
		rows[op] += held;
	}
}

/*
 * Charges what the node has done since the last look, refusing if it was too
 * much, and plans the next one.  alone: nobody else can have done it.
 */
static void
look(FgWatch *watch, bool alone)
{
	CmdType		operation = alone ? watch->node->operation : CMD_UNKNOWN;
	bool		inside = GetCurrentTransactionNestLevel() > watch->query->nest_level;
	int64		rows_left = PG_INT64_MAX;
	bool		single;
	int64		merged[FG_N_ROW_OPERATIONS] = {0, 0};

	/* whatever comes in between, an error too: look again at the next row */
	watch->candidates = Max(watch->candidates, 1);
	watch->rows_left = -1;
	if (watch->late_targets)
		fg_watch_add_late_targets(watch);

	/*
	 * MERGE does both, and moves rows between partitions: its node's own
	 * counters tell them apart, but not for which relation.  They serve where
	 * one set of policies governs all targets.
	 */
	single = operation == CMD_MERGE && watch->targets != NULL;
	if (watch->node->operation == CMD_MERGE && !inside)
		fg_tally_merge_new(watch->merge, watch->node, merged);
	if (single)
	{
		const FgTarget *first = watch->targets;

		for (FgTarget *target = watch->targets; target != NULL; target = target->next)
		{
			if (target->n_accounts != first->n_accounts ||
				memcmp(target->accounts, first->accounts,
					   sizeof(FgAccount *) * first->n_accounts) != 0)
				single = false;
		}
		if (watch->n_targets < watch->node->mt_nrels)
			single = false;
	}

	for (FgTarget *target = watch->targets; target != NULL; target = target->next)
	{
		int64		rows[FG_N_ROW_OPERATIONS];

		if (!fg_tally_new(target->tally, target->rri->ri_RelationDesc,
						  operation, rows))
			fg_watch_refuse_blind(watch, fg_decide_policy(target->accounts[0]),
						 target->rri->ri_RelationDesc);
		if (target->changed != NULL && rows[FG_OP_DELETE] + rows[FG_OP_UPDATE] > 0)
			fg_counter_add(target->changed, rows[FG_OP_DELETE] + rows[FG_OP_UPDATE]);
		if (inside)
		{
			hold_back(target, rows, watch->query->estate);
			continue;
		}
		take_held_back(target, rows);
		if (single)
		{
			rows[FG_OP_DELETE] = merged[FG_OP_DELETE];
			rows[FG_OP_UPDATE] = merged[FG_OP_UPDATE];
			merged[FG_OP_DELETE] = merged[FG_OP_UPDATE] = 0;
		}
		for (int i = 0; i < target->n_accounts; i++)
		{
			int64		counted[FG_N_ROW_OPERATIONS];

			memcpy(counted, rows, sizeof(counted));
			if (target->changes[i] != NULL)
				counted[FG_OP_UPDATE] = fg_change_new(target->changes[i]);
			charge(watch, target->accounts[i], counted, &rows_left);
		}
	}
	if (inside)
		return;
	watch->candidates = 0;
	watch->rows_left = rows_left;
}

/*
 * With a tap: rows that the node has changed there so far.  What was looked at
 * inside a savepoint is not seen any more when that is rolled back, as the tally.
 */
static inline int64
tapped_changes(const FgTarget *target)
{
	int64		looked_at = target->changed != NULL ? target->changed->total : 0;

	return looked_at + fg_tally_unseen(target->tally, target->rri->ri_RelationDesc);
}

/*
 * What became of the row in hand?  For policies with columns, and for MERGE.
 * done: the node will do no more with it.
 */
static void
compare_row(FgWatch *watch, bool done)
{
	if (!watch->compares)
		return;
	if (watch->late_targets)
		fg_watch_add_late_targets(watch);
	for (FgTarget *target = watch->targets; target != NULL; target = target->next)
	{
		for (int i = 0; i < target->n_accounts; i++)
		{
			if (target->changes[i] != NULL)
				fg_change_compare(target->changes[i], done);
		}
		if (target->archiver != NULL)
			fg_change_compare(target->archiver, done);
	}
	if (watch->root_change != NULL)
		fg_change_compare(watch->root_change, done);
}

static void
remember_row(FgWatch *watch, TupleTableSlot *slot)
{
	if (!watch->compares)
		return;

	for (FgTarget *target = watch->targets; target != NULL; target = target->next)
	{
		for (int i = 0; i < target->n_accounts; i++)
		{
			if (target->changes[i] != NULL)
				fg_change_remember(target->changes[i], slot);
		}
		if (target->archiver != NULL)
			fg_change_remember(target->archiver, slot);
	}
}

void
fg_watch_settle_running(void)
{
	dlist_iter	iter;

	dlist_foreach(iter, &watches)
	{
		FgWatch    *watch = dlist_container(FgWatch, link, iter.cur);

		if (watch->tap != NULL)
			fg_tap_nested(watch->tap, tapped_changes(watch->given));
		if (watch->candidates > 0)
		{
			look(watch, list_length(watch->query->in_hand) <= 1);
			watch->candidates = 1;	/* the row in hand may still change */
		}
	}
}

/*
 * Settles the nodes of a query that have a row in hand; they may still change
 * it, except "asking", which comes for the next one.
 */
static void
settle_in_hand(FgQuery *query, const FgWatch *asking)
{
	bool		alone = list_length(query->in_hand) == 1;
	ListCell   *lc;

	foreach(lc, query->in_hand)
	{
		FgWatch    *watch = lfirst(lc);

		compare_row(watch, watch == asking);
		look(watch, alone);
		watch->candidates = 1;
	}
}

/* Something was done that no watch of the query had in hand: count it all. */
void
fg_watch_settle_query(FgQuery *query)
{
	settle_in_hand(query, NULL);
	for (FgWatch *watch = query->watches; watch != NULL; watch = watch->next)
	{
		if (watch->candidates > 0)
		{
			compare_row(watch, true);
			look(watch, !watch->shared);
		}
	}
}

static pg_noinline FgWatch *
watch_of_input(PlanState *input)
{
	dlist_iter	iter;

	dlist_foreach(iter, &watches)
	{
		FgWatch    *watch = dlist_container(FgWatch, link, iter.cur);

		if (watch->input == input)
			return watch;
	}
	elog(ERROR, "fortress_guard has lost the watch of a running statement");
	return NULL;				/* keep compiler quiet */
}

/* The next row of a node that has to be looked at row by row. */
static pg_noinline TupleTableSlot *
watched_row(FgWatch *watch)
{
	TupleTableSlot *slot;

	compare_row(watch, true);
	if (watch->candidates > watch->rows_left)
		look(watch, true);
	slot = watch->input_proc(watch->input);
	if (!TupIsNull(slot))
	{
		watch->candidates++;
		watch->started = true;
		remember_row(watch, slot);
	}
	else if (watch->candidates > 0)
		look(watch, true);
	return slot;
}

/* The next row of a node that is not the only one of its query. */
static pg_noinline TupleTableSlot *
watched_turn(FgWatch *watch)
{
	FgQuery    *query = watch->query;
	TupleTableSlot *slot;

	settle_in_hand(query, watch);
	if (list_member_ptr(query->in_hand, watch))
	{
		query->in_hand = list_delete_ptr(query->in_hand, watch);
		watch->candidates = 0;
	}
	slot = watch->input_proc(watch->input);
	settle_in_hand(query, NULL);
	if (!TupIsNull(slot))
	{
		MemoryContext old = MemoryContextSwitchTo(query->estate->es_query_cxt);

		query->in_hand = lcons(watch, query->in_hand);
		MemoryContextSwitchTo(old);
		watch->candidates = 1;
		watch->started = true;
		remember_row(watch, slot);
	}
	return slot;
}

/*
 * With a tap: the node is about to get a row of this target.  What it does there is
 * counted from the first one on, so that partitions without any cost nothing.
 */
static inline void
count_changed(FgTarget *target)
{
	if (likely(target->changed != NULL))
		return;
	target->changed = &target->changed_rows;
	fg_counter_init(target->changed, NULL, NULL);
}

/* With a tap: to which target does a row belong that the node is about to get? */
static FgTarget *
target_of_row(const FgWatch *watch, TupleTableSlot *slot)
{
	ModifyTableState *node = watch->node;
	ResultRelInfo *rri;
	bool		isnull;
	Oid			relid;

	if (watch->of_relation == NULL)
		return watch->given;
	relid = DatumGetObjectId(ExecGetJunkAttribute(slot, node->mt_resultOidAttno, &isnull));
	if (isnull || relid == RelationGetRelid(watch->given->rri->ri_RelationDesc))
		return watch->given;
	rri = ExecLookupResultRelByOid(node, relid, false, false);
	return watch->of_relation[rri - node->resultRelInfo];
}

/* The node has come to its end: archives what is left. */
static void
end_tap(FgWatch *watch)
{
	fg_tap_take(watch->tap, tapped_changes(watch->given));
	fg_tap_end(watch->tap);
	for (const FgTarget *target = watch->targets; target != NULL; target = target->next)
		fg_tap_check(watch->tap, target->rri, tapped_changes(target));
	watch->tap = NULL;
}

/* The next row of a node whose rows are archived as they come. */
static pg_noinline TupleTableSlot *
watched_tap(FgWatch *watch)
{
	TupleTableSlot *slot;

	fg_tap_take(watch->tap, tapped_changes(watch->given));
	if (unlikely(watch->candidates > watch->rows_left))
		look(watch, true);
	slot = watch->input_proc(watch->input);
	if (likely(!TupIsNull(slot)))
	{
		watch->candidates++;
		watch->started = true;
		watch->given = target_of_row(watch, slot);
		count_changed(watch->given);
		fg_tap_give(watch->tap, watch->given->rri, slot, tapped_changes(watch->given));
		return slot;
	}
	if (watch->candidates > 0)
		look(watch, true);
	end_tap(watch);
	return slot;
}

/*
 * Stands before the input of a watched node and fetches its next row.  This is
 * what every row of every guarded statement pays, so what is done for some of
 * them is kept out of line.
 */
static TupleTableSlot *
watched_input(PlanState *input)
{
	FgWatch    *watch = last_watch;
	TupleTableSlot *slot;

	if (unlikely(watch == NULL || watch->input != input))
		last_watch = watch = watch_of_input(input);
	if (unlikely(watch->shared))
		return watched_turn(watch);
	if (unlikely(watch->compares))
		return watched_row(watch);
	if (watch->tap != NULL)
		return watched_tap(watch);

	if (unlikely(watch->candidates > watch->rows_left))
		look(watch, true);
	slot = watch->input_proc(input);
	if (likely(!TupIsNull(slot)))
	{
		watch->candidates++;
		watch->started = true;
	}
	else if (watch->candidates > 0)
		look(watch, true);
	return slot;
}

void
fg_watch_list(FgWatch *watch)
{
	dlist_push_head(&watches, &watch->link);
}

void
fg_watch_stand(FgWatch *watch)
{
	watch->input = outerPlanState(watch->node);
	watch->input_proc = watch->input->ExecProcNodeReal;
	watch->input->ExecProcNodeReal = watched_input;
}

/* ----------------------------------------------------------------
 *		A statement that is stopped before its end
 * ----------------------------------------------------------------
 */

/* A copy of a trigger description with the guard's triggers only. */
static TriggerDesc *
guard_triggers_only(const TriggerDesc *desc)
{
	TriggerDesc *copy = palloc(sizeof(TriggerDesc));
	Oid			guard = fg_catalog_guard_function();

	*copy = *desc;
	copy->triggers = palloc(sizeof(Trigger) * Max(desc->numtriggers, 1));
	copy->numtriggers = 0;
	for (int i = 0; i < desc->numtriggers; i++)
	{
		if (desc->triggers[i].tgfoid == guard)
			copy->triggers[copy->numtriggers++] = desc->triggers[i];
	}
	return copy;
}

/*
 * A caller with a row limit of its own (SPI with a count, as procedural
 * languages offer it) stops a statement with RETURNING before the node has
 * seen the end of its input.  The server then queues no statement trigger,
 * though rows have gone.  The guard's own is queued here; others are not, as
 * ever.  CTEs are run to their end by the server, when the statement finishes.
 */
void
fg_watch_archive_rest(FgQuery *query)
{
	for (FgWatch *watch = query->watches; watch != NULL; watch = watch->next)
	{
		ModifyTableState *node = watch->node;
		ResultRelInfo *named = node->rootResultRelInfo;
		TriggerDesc *all = named->ri_TrigDesc;

		if (watch->tap != NULL)
		{
			if (node->canSetTag)
				end_tap(watch);
			continue;
		}
		if (!watch->started || node->mt_done || !node->canSetTag || all == NULL || watch->operations == 0)
			continue;
		node->mt_done = true;	/* nobody will fetch from it any more */
		named->ri_TrigDesc = guard_triggers_only(all);
		switch (node->operation)
		{
			case CMD_DELETE:
				ExecASDeleteTriggers(query->estate, named, node->mt_transition_capture);
				break;
			case CMD_UPDATE:
				ExecASUpdateTriggers(query->estate, named, node->mt_transition_capture);
				break;
			case CMD_INSERT:
				ExecASUpdateTriggers(query->estate, named, node->mt_oc_transition_capture);
				break;
			default:
				break;
		}
		named->ri_TrigDesc = all;
	}
}

void
fg_watch_archived(const FgQuery *query)
{
	for (const FgWatch *watch = query->watches; watch != NULL; watch = watch->next)
	{
		if (watch->tap != NULL)
			fg_tap_left(watch->tap);
	}
}

void
fg_watch_end(FgWatch *watch)
{
	dlist_delete(&watch->link);
	if (last_watch == watch)
		last_watch = NULL;
	if (watch->merge != NULL)
		fg_tally_merge_end(watch->merge);
	for (FgTarget *target = watch->targets; target != NULL; target = target->next)
	{
		for (int i = 0; i < target->n_accounts; i++)
		{
			if (target->changes[i] != NULL)
				fg_change_end(target->changes[i]);
		}
		if (target->archiver != NULL)
			fg_change_end(target->archiver);
		if (target->changed != NULL)
			fg_counter_forget(target->changed);
		for (int op = 0; target->held_back != NULL && op < FG_N_ROW_OPERATIONS; op++)
			fg_counter_forget(&target->held_back[op]);
	}
	if (watch->root_change != NULL)
		fg_change_end(watch->root_change);
}
