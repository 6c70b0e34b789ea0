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
 * What is refused here is refused by fg_decide: too many rows, no condition
 * (ZG001 to ZG003), and missing triggers or counters (ZG010).
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
#include "nodes/plannodes.h"
#include "pgstat.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "fg_catalog.h"
#include "fg_executor_watch.h"
#include "fg_install.h"
#include "fg_shadow.h"
#include "fg_where.h"

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

/*
 * What governs a relation, good as long as the query is: anything that reads a
 * catalog may process invalidations, which end an arena that nobody has pinned.
 */
static FgRelation *
governing(FgQuery *query, Relation rel)
{
	FgRelation *entry = fg_policy_lookup(RelationGetRelid(rel));
	FgPolicyArena *arena;
	MemoryContext old;

	if (entry == NULL)
		return NULL;
	arena = fg_policy_pin();
	if (list_member_ptr(query->pins, arena))
		fg_policy_unpin(arena);
	else
	{
		old = MemoryContextSwitchTo(query->estate->es_query_cxt);
		query->pins = lappend(query->pins, arena);
		MemoryContextSwitchTo(old);
	}
	return entry;
}

/* Refuses if the server does not count the rows of a relation. */
static void
refuse_blind(const FgWatch *watch, const FgPolicy *policy, Relation rel)
{
	FgRequest	request = {.question = FG_ASK_BLIND};
	FgVerdict	verdict;

	request.policy = policy;
	request.relid = RelationGetRelid(rel);
	request.op = watch->node->operation == CMD_DELETE ? FG_OP_DELETE : FG_OP_UPDATE;
	request.role = watch->query->role;
	fg_decide(&request, &verdict);
}

/*
 * MERGE on a partitioned table gives the rows that it moves to no trigger for
 * UPDATE, but to the one for DELETE if there is one, where they cannot be told
 * from deleted rows.  So its rows are archived here, one by one, and the
 * guard's own triggers stay silent.
 */
static void
archive_merged_row(void *arg, Relation rel, HeapTuple old, HeapTuple new, bool deleted)
{
	const FgTarget *target = arg;
	int			bit = deleted ? FG_ARCHIVE_DELETE : FG_ARCHIVE_UPDATE;
	List	   *done = NIL;

	for (int i = 0; i < target->n_accounts; i++)
	{
		if ((fg_decide_policy(target->accounts[i])->archive & bit) == 0 ||
			list_member_oid(done, target->shadow_owners[i]))
			continue;
		if (new != NULL)
			fg_shadow_archive_update(rel, target->shadow_owners[i], old, new);
		else
			fg_shadow_archive_tuple(rel, target->shadow_owners[i], old,
									deleted ? FG_SHADOW_OP_DELETE : FG_SHADOW_OP_UPDATE);
		done = lappend_oid(done, target->shadow_owners[i]);
	}
	list_free(done);
}

/*
 * Some triggers of the guard would do nothing for a statement: a BEFORE one is
 * there for the day on which the library is not preloaded, the one for replicas
 * is for what is applied without a statement.  If no other is of its kind, the
 * statement's own copy of the trigger description says that there is none.
 * That spares the calls of the one, and for the sake of the other the server
 * would fetch the old version of each row.
 */
static void
spare_idle_triggers(ResultRelInfo *rri)
{
	TriggerDesc *desc = rri->ri_TrigDesc;
	Oid			guard;
	int			before = 0;		/* events of the others, as in tgtype */
	int			after = 0;

	if (desc == NULL)
		return;
	guard = fg_catalog_guard_function();
	for (int i = 0; i < desc->numtriggers; i++)
	{
		const Trigger *trigger = &desc->triggers[i];
		bool		ours = trigger->tgfoid == guard;

		if (!TRIGGER_FOR_ROW(trigger->tgtype))
		{
			if (!ours && TRIGGER_FOR_BEFORE(trigger->tgtype))
				before |= trigger->tgtype;
		}
		else if (TRIGGER_FOR_AFTER(trigger->tgtype) &&
				 !(ours && trigger->tgenabled == TRIGGER_FIRES_ON_REPLICA))
			after |= trigger->tgtype;
	}
	desc->trig_delete_before_statement &= TRIGGER_FOR_DELETE(before) != 0;
	desc->trig_update_before_statement &= TRIGGER_FOR_UPDATE(before) != 0;
	desc->trig_delete_after_row &= TRIGGER_FOR_DELETE(after) != 0;
	desc->trig_update_after_row &= TRIGGER_FOR_UPDATE(after) != 0;
}

/*
 * Adds a result relation to what is watched, if it is governed.  late: rows
 * were routed to it already, so what happened in it so far counts too.
 */
static void
add_target(FgWatch *watch, ResultRelInfo *rri, bool late)
{
	Relation	rel = rri->ri_RelationDesc;
	FgRelation *entry = governing(watch->query, rel);
	FgTarget   *target;
	int			n_policies;
	bool		merge_archived;

	if (entry == NULL)
		return;
	if (rri != watch->node->rootResultRelInfo)
		spare_idle_triggers(rri);
	n_policies = entry->n_policies;
	merge_archived = watch->node->operation == CMD_MERGE && !entry->by_row &&
		rri != watch->node->rootResultRelInfo;

	/* listed before it is filled, so that an error finds all of it */
	target = palloc0(MAXALIGN(sizeof(FgTarget)) +
					 (sizeof(FgAccount *) + sizeof(FgChange *) + sizeof(Oid)) * n_policies);
	target->rri = rri;
	target->accounts = (FgAccount **) ((char *) target + MAXALIGN(sizeof(FgTarget)));
	target->changes = (FgChange **) (target->accounts + n_policies);
	target->shadow_owners = (Oid *) (target->changes + n_policies);
	watch->targets = lappend(watch->targets, target);
	for (int i = 0; i < n_policies; i++)
	{
		FgPolicy   *policy = entry->policies[i];

		if (policy->mode == FG_MODE_OFF)
			continue;
		if (!pgstat_track_counts)
			refuse_blind(watch, policy, rel);
		target->accounts[target->n_accounts] =
			fg_decide_account(watch->query->scope, policy, watch->query->role,
							  watch->query->internal);
		if (!policy->all_columns && (watch->operations & FG_OP_BIT(FG_OP_UPDATE)) != 0)
			target->changes[target->n_accounts] =
				fg_change_begin(watch->node, rri, policy->columns, policy->n_columns);
		if (merge_archived && policy->archive != FG_ARCHIVE_NONE &&
			target->archiver == NULL)
		{
			target->archiver = fg_change_begin(watch->node, rri, NULL, 0);
			fg_change_on_seen(target->archiver, archive_merged_row, target);
		}
		target->shadow_owners[target->n_accounts] = entry->shadow_owners[i];
		watch->compares |= target->changes[target->n_accounts] != NULL ||
			target->archiver != NULL;
		target->n_accounts++;
	}
	if (target->n_accounts == 0)
	{
		watch->targets = list_delete_ptr(watch->targets, target);
		return;
	}
	target->tally = fg_tally_get(rel);
	if (!late)
		fg_tally_skip(target->tally, rel);
	for (int i = 0; late && i < target->n_accounts; i++)
	{
		if (target->changes[i] != NULL)
			fg_change_begun_late(target->changes[i], watch->root_change,
								 fg_tally_unseen_updates(target->tally, rel));
	}
}

/*
 * Partitions that rows of this node were routed to since the last time become
 * targets.  The list is the whole query's.
 */
static void
add_late_targets(FgWatch *watch)
{
	EState	   *estate = watch->query->estate;
	MemoryContext old;

	if (!watch->late_targets)
		return;
	old = MemoryContextSwitchTo(estate->es_query_cxt);
	for (; watch->n_routed < list_length(estate->es_tuple_routing_result_relations);
		 watch->n_routed++)
	{
		ResultRelInfo *rri = list_nth(estate->es_tuple_routing_result_relations,
									  watch->n_routed);

		if (rri->ri_RootResultRelInfo == watch->node->rootResultRelInfo)
			add_target(watch, rri, true);
	}
	MemoryContextSwitchTo(old);
}

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
	ListCell   *lc;

	/* whatever comes in between, an error too: look again at the next row */
	watch->candidates = Max(watch->candidates, 1);
	watch->rows_left = -1;
	add_late_targets(watch);

	/*
	 * MERGE does both, and moves rows between partitions: its node's own
	 * counters tell them apart, but not for which relation.  They serve where
	 * one set of policies governs all targets.
	 */
	single = operation == CMD_MERGE && watch->targets != NIL;
	if (watch->node->operation == CMD_MERGE && !inside)
		fg_tally_merge_new(watch->merge, watch->node, merged);
	if (single)
	{
		FgTarget   *first = linitial(watch->targets);

		foreach(lc, watch->targets)
		{
			FgTarget   *target = lfirst(lc);

			if (target->n_accounts != first->n_accounts ||
				memcmp(target->accounts, first->accounts,
					   sizeof(FgAccount *) * first->n_accounts) != 0)
				single = false;
		}
		if (list_length(watch->targets) < watch->node->mt_nrels)
			single = false;
	}

	foreach(lc, watch->targets)
	{
		FgTarget   *target = lfirst(lc);
		int64		rows[FG_N_ROW_OPERATIONS];

		if (!fg_tally_new(target->tally, target->rri->ri_RelationDesc,
						  operation, rows))
			refuse_blind(watch, fg_decide_policy(target->accounts[0]),
						 target->rri->ri_RelationDesc);
		if (watch->changed != NULL && rows[FG_OP_DELETE] + rows[FG_OP_UPDATE] > 0)
			fg_counter_add(watch->changed, rows[FG_OP_DELETE] + rows[FG_OP_UPDATE]);
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
 * With a tap: rows that the node has changed so far.  What was looked at inside
 * a savepoint is not seen any more when that is rolled back, as the tally.
 */
static inline int64
tapped_changes(const FgWatch *watch)
{
	const FgTarget *target = linitial(watch->targets);

	return watch->changed->total + fg_tally_unseen(target->tally, target->rri->ri_RelationDesc);
}

/*
 * What became of the row in hand?  For policies with columns, and for MERGE.
 * done: the node will do no more with it.
 */
static void
compare_row(FgWatch *watch, bool done)
{
	ListCell   *lc;

	if (!watch->compares)
		return;
	add_late_targets(watch);
	foreach(lc, watch->targets)
	{
		FgTarget   *target = lfirst(lc);

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
	ListCell   *lc;

	if (!watch->compares)
		return;

	foreach(lc, watch->targets)
	{
		FgTarget   *target = lfirst(lc);

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
			fg_tap_nested(watch->tap, tapped_changes(watch));
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
	ListCell   *lc;

	settle_in_hand(query, NULL);
	foreach(lc, query->watches)
	{
		FgWatch    *watch = lfirst(lc);

		if (watch->candidates > 0)
		{
			compare_row(watch, true);
			look(watch, !watch->shared);
		}
	}
}

static FgWatch *
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
static TupleTableSlot *
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
static TupleTableSlot *
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
 * Stands before the input of a watched node and fetches its next row.  This is
 * what every row of every guarded statement pays.
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
		fg_tap_take(watch->tap, tapped_changes(watch));
	if (unlikely(watch->candidates > watch->rows_left))
		look(watch, true);
	slot = watch->input_proc(input);
	if (likely(!TupIsNull(slot)))
	{
		watch->candidates++;
		watch->started = true;
		if (watch->tap != NULL)
			fg_tap_give(watch->tap, slot, tapped_changes(watch));
	}
	else if (watch->candidates > 0)
		look(watch, true);
	return slot;
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
 * ever.
 */
void
fg_watch_archive_rest(FgQuery *query)
{
	ListCell   *lc;

	foreach(lc, query->watches)
	{
		FgWatch    *watch = lfirst(lc);
		ModifyTableState *node = watch->node;
		ResultRelInfo *named = node->rootResultRelInfo;
		TriggerDesc *all = named->ri_TrigDesc;

		if (watch->tap != NULL)
		{
			fg_tap_end(watch->tap, tapped_changes(watch));
			watch->tap = NULL;
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
fg_watch_end(FgWatch *watch)
{
	ListCell   *lc;

	dlist_delete(&watch->link);
	if (last_watch == watch)
		last_watch = NULL;
	if (watch->merge != NULL)
		fg_tally_merge_end(watch->merge);
	if (watch->changed != NULL)
		fg_counter_forget(watch->changed);
	foreach(lc, watch->targets)
	{
		FgTarget   *target = lfirst(lc);

		for (int i = 0; i < target->n_accounts; i++)
		{
			if (target->changes[i] != NULL)
				fg_change_end(target->changes[i]);
		}
		if (target->archiver != NULL)
			fg_change_end(target->archiver);
		for (int op = 0; target->held_back != NULL && op < FG_N_ROW_OPERATIONS; op++)
			fg_counter_forget(&target->held_back[op]);
	}
	if (watch->root_change != NULL)
		fg_change_end(watch->root_change);
}

/* ----------------------------------------------------------------
 *		Before the first row
 * ----------------------------------------------------------------
 */

/* Which row operations can a node do?  0: none that count. */
static int
node_operations(ModifyTableState *node)
{
	const ModifyTable *plan = (ModifyTable *) node->ps.plan;

	switch (node->operation)
	{
		case CMD_DELETE:
			return FG_OP_BIT(FG_OP_DELETE);
		case CMD_UPDATE:
			return FG_OP_BIT(FG_OP_UPDATE);
		case CMD_MERGE:
			return FG_OP_BIT(FG_OP_DELETE) | FG_OP_BIT(FG_OP_UPDATE);
		case CMD_INSERT:
			return plan->onConflictAction == ONCONFLICT_UPDATE ?
				FG_OP_BIT(FG_OP_UPDATE) : 0;
		default:
			return 0;
	}
}

/* Does an UPDATE set one of the guarded columns? */
static bool
sets_guarded_column(const FgPolicy *policy, Relation rel, List *colnos)
{
	ListCell   *lc;

	if (policy->all_columns)
		return true;
	foreach(lc, colnos)
	{
		const char *name = get_attname(RelationGetRelid(rel), lfirst_int(lc), true);

		for (int i = 0; name != NULL && i < policy->n_columns; i++)
		{
			if (strcmp(name, policy->columns[i]) == 0)
				return true;
		}
	}
	return false;
}

/* Refuses a governed statement that has no condition. */
static void
check_where(FgWatch *watch, FgRelation *entry, ResultRelInfo *rri, int index)
{
	const ModifyTable *plan = (ModifyTable *) watch->node->ps.plan;

	for (int i = 0; i < entry->n_policies; i++)
	{
		const FgPolicy *policy = entry->policies[i];
		FgRequest	request = {.question = FG_ASK_WHERE};
		FgVerdict	verdict;

		if (watch->node->operation == CMD_UPDATE &&
			!sets_guarded_column(policy, rri->ri_RelationDesc,
								 list_nth(plan->updateColnosLists, index)))
			continue;
		request.op = watch->node->operation == CMD_DELETE ? FG_OP_DELETE : FG_OP_UPDATE;
		request.policy = policy;
		request.relid = RelationGetRelid(rri->ri_RelationDesc);
		request.role = watch->query->role;
		fg_decide(&request, &verdict);
	}
}

/* The guard's triggers must stand where this statement will fire them. */
static void
check_triggers(FgQuery *query, ResultRelInfo *rri, FgOperation op)
{
	Relation	rel = rri->ri_RelationDesc;
	FgRelation *entry = governing(query, rel);
	FgRequest	request = {.question = FG_ASK_TAMPERED};
	FgVerdict	verdict;

	if (entry == NULL)
		return;
	if (!entry->triggers_checked)
	{
		entry->triggers_intact = fg_install_intact(rel, entry->archive, entry->by_row);
		entry->triggers_checked = true;
	}
	if (entry->triggers_intact)
	{
		spare_idle_triggers(rri);
		return;
	}
	request.op = op;
	request.relid = RelationGetRelid(rel);
	request.role = query->role;
	for (int i = 0; i < entry->n_policies; i++)
	{
		request.policy = entry->policies[i];
		fg_decide(&request, &verdict);
	}
}

/*
 * ON CONFLICT DO NOTHING takes a row out again that has lost a race for its key;
 * the server counts that as deleted.  Who has the same counters under watch must
 * not take it for his.
 */
static bool
gives_rows_up(const ModifyTableState *node)
{
	return node->operation == CMD_INSERT &&
		((ModifyTable *) node->ps.plan)->onConflictAction == ONCONFLICT_NOTHING;
}

/* One hash probe for each relation of the node. */
bool
fg_watch_wanted(ModifyTableState *node, bool beside)
{
	ResultRelInfo *first = node->resultRelInfo;

	if (node_operations(node) == 0 && !(beside && gives_rows_up(node)))
		return false;
	for (int i = 0; i < node->mt_nrels; i++)
	{
		Relation	rel = node->resultRelInfo[i].ri_RelationDesc;

		/* a temporary table is never governed, but may stand beside one that is */
		if (rel->rd_rel->relpersistence != RELPERSISTENCE_TEMP &&
			fg_policy_lookup(RelationGetRelid(rel)) != NULL)
			return true;
	}
	return node->operation == CMD_INSERT &&
		first->ri_RelationDesc->rd_rel->relkind == RELKIND_PARTITIONED_TABLE &&
		fg_policy_protected_descendant(RelationGetRelid(first->ri_RelationDesc));
}

/* Takes the guard's AFTER triggers out of a statement's own description. */
static void
silence_archivers(const FgWatch *watch, ResultRelInfo *named)
{
	TriggerDesc *desc = named->ri_TrigDesc;
	Oid			guard = fg_catalog_guard_function();
	bool		archived = false;
	int			kept = 0;
	ListCell   *lc;

	foreach(lc, watch->targets)
		archived |= ((FgTarget *) lfirst(lc))->archiver != NULL;
	if (!archived)
		return;
	for (int i = 0; i < desc->numtriggers; i++)
	{
		if (desc->triggers[i].tgfoid != guard || !TRIGGER_FOR_AFTER(desc->triggers[i].tgtype))
			desc->triggers[kept++] = desc->triggers[i];
	}
	desc->numtriggers = kept;
}

void
fg_watch_begin(FgQuery *query, ModifyTableState *node)
{
	FgWatch    *watch = palloc0(sizeof(FgWatch));
	bool		judged = false;
	bool		restricted = false;
	FgOperation op = node->operation == CMD_DELETE ? FG_OP_DELETE : FG_OP_UPDATE;
	ResultRelInfo *named = node->rootResultRelInfo;

	watch->query = query;
	watch->node = node;
	watch->operations = node_operations(node);
	watch->late_targets = node->operation == CMD_INSERT;

	/* listed before it is filled, so that an error finds all of it */
	dlist_push_head(&watches, &watch->link);
	query->watches = lappend(query->watches, watch);
	if (node->operation == CMD_MERGE)
	{
		watch->merge = palloc0(sizeof(FgMergeTally));
		fg_tally_merge_begin(watch->merge);
	}

	if (watch->operations != 0)
		check_triggers(query, named, op);
	for (int i = 0; i < node->mt_nrels; i++)
	{
		ResultRelInfo *rri = &node->resultRelInfo[i];
		FgRelation *entry = governing(query, rri->ri_RelationDesc);

		if (entry == NULL)
			continue;
		if (entry->by_row && rri != named && watch->operations != 0)
			check_triggers(query, rri, op);
		if (!query->internal &&
			(node->operation == CMD_DELETE || node->operation == CMD_UPDATE))
		{
			if (!judged)
				restricted = fg_where_restricts((ModifyTable *) node->ps.plan);
			judged = true;
			if (!restricted)
				check_where(watch, entry, rri, i);
		}
		add_target(watch, rri, false);
	}
	if (node->operation == CMD_MERGE && watch->compares && named->ri_TrigDesc != NULL)
		silence_archivers(watch, named);
	if (watch->late_targets && watch->operations != 0 && named->ri_RelationDesc->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
	{
		watch->root_change = fg_change_begin(node, named, NULL, 0);
		watch->compares = true;
	}

	watch->input = outerPlanState(node);
	watch->input_proc = watch->input->ExecProcNodeReal;
	watch->input->ExecProcNodeReal = watched_input;
}

/*
 * A single watch whose rows go to one shadow, in the layout of the relation
 * that they are in, may archive them by itself.
 */
void
fg_watch_tap(FgQuery *query)
{
	FgWatch    *watch = linitial(query->watches);
	int			bit = watch->operations & (FG_OP_BIT(FG_OP_DELETE) | FG_OP_BIT(FG_OP_UPDATE));
	Oid			owner = InvalidOid;
	FgTarget   *target;

	if (watch->shared || watch->compares || list_length(watch->targets) != 1)
		return;
	target = linitial(watch->targets);
	for (int i = 0; i < target->n_accounts; i++)
	{
		if ((fg_decide_policy(target->accounts[i])->archive & bit) == 0 ||
			target->shadow_owners[i] == owner)
			continue;
		if (OidIsValid(owner))
			return;
		owner = target->shadow_owners[i];
	}
	if (OidIsValid(owner))
		watch->tap = fg_tap_begin(watch->node, owner);
	if (watch->tap != NULL)
	{
		watch->changed = palloc(sizeof(FgCounter));
		fg_counter_init(watch->changed, NULL, NULL);
	}
}
