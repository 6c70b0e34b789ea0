/*-------------------------------------------------------------------------
 *
 * fg_executor.c
 *		Watching DELETE, UPDATE, MERGE and ON CONFLICT DO UPDATE.
 *
 * When a statement starts, each of its ModifyTable nodes whose target is
 * governed by a policy gets a watch.  The watch puts a function of ours in
 * front of the node's input, so that the guard can look between two rows and
 * stop the statement at the first row too many.
 *
 * What it looks at are the server's own per-transaction counters of rows
 * deleted and updated in each relation: they are exact, follow savepoints and
 * cost nothing.  fg_tally.c says which of these rows belong to which node.  A
 * look is due only after as many rows as are left of the limits, plus one;
 * with a limit of 100 a statement within it is looked at twice.
 *
 * Policies with "columns" need to know whether a row really changed, which no
 * counter tells; fg_change.c compares the stored versions of each row.
 *
 * The accounts (fg_decide) are kept for each *scope*: a statement with the
 * cascades of foreign keys that it sets off.  Those run, as queries of their
 * own, while ExecutorFinish of the statement fires its triggers, or at commit.
 * What they run as is the owner of the table; for permission the role of the
 * statement counts that set them off.
 *
 * Nothing here outlives an error: a watch lives in its query's memory context,
 * whose reset takes it off the list, and the callbacks for the end of a
 * transaction or subtransaction take off what is left.
 *
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_trigger.h"
#include "executor/executor.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "nodes/execnodes.h"
#include "optimizer/optimizer.h"
#include "pgstat.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "fg_catalog.h"
#include "fg_change.h"
#include "fg_decide.h"
#include "fg_executor.h"
#include "fg_install.h"
#include "fg_policy.h"
#include "fg_tally.h"
#include "fg_where.h"
#include "fg_xact.h"

typedef struct FgQuery FgQuery;

/* One result relation of a watched node. */
typedef struct FgTarget
{
	ResultRelInfo *rri;
	FgTally    *tally;			/* rows of this relation in this transaction */
	int			n_accounts;
	FgAccount **accounts;
	FgChange  **changes;		/* for each account: NULL, or its column watch */
} FgTarget;

typedef struct FgWatch
{
	dlist_node	link;			/* in "watches", innermost first */
	FgQuery    *query;
	ModifyTableState *node;
	PlanState  *input;
	ExecProcNodeMtd input_proc; /* what input->ExecProcNodeReal was */
	int			operations;		/* FG_OP_BIT()s that the node can do */
	bool		late_targets;	/* rows are routed to partitions as they come */
	bool		shared;			/* another node of the query has a common target */
	bool		acting;			/* has a row in hand: the next changes are its own */
	FgMergeTally merge;			/* for MERGE: the node's own counters */
	int64		candidates;		/* rows handed out since the last look */
	int64		rows_left;		/* look again when there were more */
	int			n_routed;		/* how many of the routed relations were looked at */
	FgChange   *root_change;	/* sees where ON CONFLICT goes, for late targets; or NULL */
	List	   *targets;		/* of FgTarget * */
} FgWatch;

/* A statement with at least one watch. */
struct FgQuery
{
	dlist_node	link;			/* in "queries" */
	EState	   *estate;
	uint64		scope;
	bool		owns_scope;		/* not a cascade of another statement */
	Oid			role;
	int			nest_level;
	FgPolicyArena *pin;
	bool		listed;			/* still in the lists */
	List	   *watches;		/* of FgWatch * */
	MemoryContextCallback callback;
};

/* The statement whose triggers are firing. */
typedef struct FgScope
{
	struct FgScope *outer;
	uint64		id;				/* 0: not needed yet */
	bool		owned;			/* made here, so ended here */
	Oid			role;
} FgScope;

static dlist_head queries = DLIST_STATIC_INIT(queries);
static dlist_head watches = DLIST_STATIC_INIT(watches);
static FgScope *current_scope = NULL;
static uint64 last_scope = 0;
static uint64 deferred_scope = 0;	/* of cascades that run at commit; 0: none */

static ExecutorStart_hook_type previous_start = NULL;
static ExecutorFinish_hook_type previous_finish = NULL;

/* ----------------------------------------------------------------
 *		Who and which statement
 * ----------------------------------------------------------------
 */

/*
 * The role whose permissions count.  Queries of foreign keys run as the owner
 * of a table, and everything that they call inherits that; they alone set
 * this security context.
 */
static Oid
statement_role(void)
{
	if (!InNoForceRLSOperation())
		return GetUserId();
	return current_scope != NULL ? current_scope->role : GetOuterUserId();
}

/* The scope of a statement that starts now; *owned: it is its own. */
static uint64
statement_scope(bool *owned)
{
	*owned = !InNoForceRLSOperation();
	if (*owned)
		return ++last_scope;
	if (current_scope != NULL)
	{
		if (current_scope->id == 0)
		{
			current_scope->id = ++last_scope;
			current_scope->owned = true;
		}
		return current_scope->id;
	}
	if (deferred_scope == 0)
		deferred_scope = ++last_scope;
	return deferred_scope;
}

/* ----------------------------------------------------------------
 *		End of a query
 * ----------------------------------------------------------------
 */

/* Takes a query off the lists.  Never raises an error. */
static void
unlist_query(FgQuery *query)
{
	ListCell   *lc;
	ListCell   *lc2;

	if (!query->listed)
		return;
	query->listed = false;
	dlist_delete(&query->link);
	foreach(lc, query->watches)
	{
		FgWatch    *watch = lfirst(lc);

		dlist_delete(&watch->link);
		fg_tally_merge_end(&watch->merge);
		foreach(lc2, watch->targets)
		{
			FgTarget   *target = lfirst(lc2);

			for (int i = 0; i < target->n_accounts; i++)
			{
				if (target->changes[i] != NULL)
					fg_change_end(target->changes[i]);
			}
		}
		if (watch->root_change != NULL)
			fg_change_end(watch->root_change);
	}
	if (query->owns_scope)
		fg_decide_close_scope(query->scope);
	fg_policy_unpin(query->pin);
}

static void
query_context_reset(void *arg)
{
	unlist_query(arg);
}

static void
end_subtransaction(SubXactEvent event, int level)
{
	dlist_mutable_iter iter;

	if (event != SUBXACT_EVENT_ABORT_SUB)
		return;
	dlist_foreach_modify(iter, &queries)
	{
		FgQuery    *query = dlist_container(FgQuery, link, iter.cur);

		if (query->nest_level >= level)
			unlist_query(query);
	}
}

static void
end_transaction(XactEvent event)
{
	dlist_mutable_iter iter;

	if (event != XACT_EVENT_ABORT && event != XACT_EVENT_COMMIT &&
		event != XACT_EVENT_PREPARE)
		return;
	dlist_foreach_modify(iter, &queries)
		unlist_query(dlist_container(FgQuery, link, iter.cur));
	deferred_scope = 0;
	fg_tally_end();
}

/* ----------------------------------------------------------------
 *		Looking
 * ----------------------------------------------------------------
 */

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
 * Adds a result relation to what is watched, if it is governed.  late: rows
 * were routed to it already, so what happened in it so far counts too.
 */
static void
add_target(FgWatch *watch, ResultRelInfo *rri, bool late)
{
	Relation	rel = rri->ri_RelationDesc;
	FgRelation *entry = fg_policy_lookup(RelationGetRelid(rel));
	FgTarget   *target;
	FgPolicy  **policies;
	int			n_policies;

	if (entry == NULL)
		return;

	/* the arena is pinned, but the entry itself may move: keep what it names */
	n_policies = entry->n_policies;
	policies = palloc(sizeof(FgPolicy *) * n_policies);
	memcpy(policies, entry->policies, sizeof(FgPolicy *) * n_policies);

	/* listed before it is filled, so that an error finds all of it */
	target = palloc0(sizeof(FgTarget));
	target->rri = rri;
	target->accounts = palloc(sizeof(FgAccount *) * n_policies);
	target->changes = palloc0(sizeof(FgChange *) * n_policies);
	watch->targets = lappend(watch->targets, target);
	for (int i = 0; i < n_policies; i++)
	{
		FgPolicy   *policy = policies[i];

		if (policy->mode == FG_MODE_OFF)
			continue;
		if (!pgstat_track_counts)
			refuse_blind(watch, policy, rel);
		target->accounts[target->n_accounts] =
			fg_decide_account(watch->query->scope, policy, watch->query->role);
		if (!policy->all_columns && (watch->operations & FG_OP_BIT(FG_OP_UPDATE)) != 0)
			target->changes[target->n_accounts] =
				fg_change_begin(watch->node, rri, policy->columns, policy->n_columns);
		target->n_accounts++;
	}
	pfree(policies);
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
 * Charges what the node has done since the last look, refusing if it was too
 * much, and plans the next one.
 */
static void
look(FgWatch *watch)
{
	int64		rows_left = PG_INT64_MAX;
	bool		single;
	int64		merged[FG_N_ROW_OPERATIONS] = {0, 0};
	ListCell   *lc;

	add_late_targets(watch);
	watch->candidates = 0;

	/*
	 * MERGE does both, and moves rows between partitions: its node's own
	 * counters tell them apart, but not for which relation.  They serve where
	 * one set of policies governs all targets.
	 */
	single = watch->node->operation == CMD_MERGE && list_length(watch->targets) > 0;
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
		fg_tally_merge_new(&watch->merge, watch->node, merged);
	}

	foreach(lc, watch->targets)
	{
		FgTarget   *target = lfirst(lc);
		int64		rows[FG_N_ROW_OPERATIONS];

		if (!fg_tally_new(target->tally, target->rri->ri_RelationDesc,
						  watch->node->operation, rows))
			refuse_blind(watch, fg_decide_policy(target->accounts[0]),
						 target->rri->ri_RelationDesc);
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
	watch->rows_left = rows_left;
}

/* Settles what every running node has done, before somebody else does more. */
static void
look_at_running(void)
{
	dlist_iter	iter;

	dlist_foreach(iter, &watches)
	{
		FgWatch    *watch = dlist_container(FgWatch, link, iter.cur);

		if (watch->candidates > 0)
		{
			look(watch);
			watch->candidates = 1;	/* the row in hand is still to come */
		}
	}
}

/* For policies with columns: what became of the row handed out before? */
static void
compare_last_row(FgWatch *watch)
{
	ListCell   *lc;

	add_late_targets(watch);
	foreach(lc, watch->targets)
	{
		FgTarget   *target = lfirst(lc);

		for (int i = 0; i < target->n_accounts; i++)
		{
			if (target->changes[i] != NULL)
				fg_change_compare(target->changes[i]);
		}
	}
	if (watch->root_change != NULL)
		fg_change_compare(watch->root_change);
}

/*
 * Of several nodes of one query with a common target, settles the one that
 * was last given a row: the changes since are its own.
 */
static void
look_at_acting(FgQuery *query)
{
	ListCell   *lc;

	foreach(lc, query->watches)
	{
		FgWatch    *watch = lfirst(lc);

		if (watch->acting)
		{
			compare_last_row(watch);
			look(watch);
			watch->acting = false;
		}
	}
}

static void
remember_row(FgWatch *watch, TupleTableSlot *slot)
{
	ListCell   *lc;

	foreach(lc, watch->targets)
	{
		FgTarget   *target = lfirst(lc);

		for (int i = 0; i < target->n_accounts; i++)
		{
			if (target->changes[i] != NULL)
				fg_change_remember(target->changes[i], slot);
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

/* Stands before the input of a watched node and fetches its next row. */
static TupleTableSlot *
watched_input(PlanState *input)
{
	FgWatch    *watch = watch_of_input(input);
	TupleTableSlot *slot;

	if (watch->shared)
		look_at_acting(watch->query);
	compare_last_row(watch);
	if (watch->candidates > watch->rows_left)
		look(watch);

	slot = watch->input_proc(input);

	if (watch->shared)
		look_at_acting(watch->query);
	if (TupIsNull(slot))
	{
		if (watch->candidates > 0)
			look(watch);
		return slot;
	}
	watch->candidates++;
	watch->acting = true;
	remember_row(watch, slot);
	return slot;
}

/* ----------------------------------------------------------------
 *		Start of a query
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

/*
 * A BEFORE trigger of the guard is there for the day on which the library is
 * not preloaded; today it would do nothing.  If it is the only one of its
 * kind, the statement's own copy of the trigger description says that there is
 * none, which spares the call.
 */
static void
spare_idle_trigger(ResultRelInfo *rri)
{
	TriggerDesc *desc = rri->ri_TrigDesc;
	Oid			guard;
	bool		others[2] = {false, false};

	if (desc == NULL || !(desc->trig_delete_before_statement || desc->trig_update_before_statement))
		return;
	guard = fg_catalog_guard_function();
	for (int i = 0; i < desc->numtriggers; i++)
	{
		const Trigger *trigger = &desc->triggers[i];

		if (trigger->tgfoid == guard || !TRIGGER_FOR_BEFORE(trigger->tgtype) ||
			TRIGGER_FOR_ROW(trigger->tgtype))
			continue;
		others[0] |= TRIGGER_FOR_DELETE(trigger->tgtype) != 0;
		others[1] |= TRIGGER_FOR_UPDATE(trigger->tgtype) != 0;
	}
	desc->trig_delete_before_statement &= others[0];
	desc->trig_update_before_statement &= others[1];
}

/* The guard's triggers must stand where this statement will fire them. */
static void
check_triggers(const FgQuery *query, ResultRelInfo *rri, FgOperation op)
{
	Relation	rel = rri->ri_RelationDesc;
	FgRelation *entry = fg_policy_lookup(RelationGetRelid(rel));
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
		spare_idle_trigger(rri);
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

/* Is a node of interest at all?  One hash probe for each of its relations. */
static bool
node_governed(ModifyTableState *node)
{
	ResultRelInfo *first = node->resultRelInfo;

	if (node_operations(node) == 0)
		return false;
	for (int i = 0; i < node->mt_nrels; i++)
	{
		if (fg_policy_lookup(RelationGetRelid(node->resultRelInfo[i].ri_RelationDesc)) != NULL)
			return true;
	}
	return node->operation == CMD_INSERT &&
		first->ri_RelationDesc->rd_rel->relkind == RELKIND_PARTITIONED_TABLE &&
		fg_policy_protected_descendant(RelationGetRelid(first->ri_RelationDesc));
}

static void
watch_node(FgQuery *query, ModifyTableState *node)
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
		fg_tally_merge_begin(&watch->merge);

	check_triggers(query, named, op);
	for (int i = 0; i < node->mt_nrels; i++)
	{
		ResultRelInfo *rri = &node->resultRelInfo[i];
		FgRelation *entry = fg_policy_lookup(RelationGetRelid(rri->ri_RelationDesc));

		if (entry == NULL)
			continue;
		if (entry->by_row && rri != named)
			check_triggers(query, rri, op);
		if (node->operation == CMD_DELETE || node->operation == CMD_UPDATE)
		{
			if (!judged)
				restricted = fg_where_restricts((ModifyTable *) node->ps.plan);
			judged = true;
			entry = fg_policy_lookup(RelationGetRelid(rri->ri_RelationDesc));
			if (!restricted && entry != NULL)
				check_where(watch, entry, rri, i);
		}
		add_target(watch, rri, false);
	}
	if (watch->late_targets && named->ri_RelationDesc->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
		watch->root_change = fg_change_begin(node, named, NULL, 0);

	watch->input = outerPlanState(node);
	watch->input_proc = watch->input->ExecProcNodeReal;
	watch->input->ExecProcNodeReal = watched_input;
}

/* Nodes of one query with a common target must be settled row by row. */
static void
find_shared_targets(FgQuery *query)
{
	ListCell   *a;
	ListCell   *b;

	if (list_length(query->watches) < 2)
		return;
	foreach(a, query->watches)
	{
		foreach(b, query->watches)
		{
			if (lfirst(a) != lfirst(b))
				((FgWatch *) lfirst(a))->shared = true;
		}
	}
}

/* Watches the governed ones among the ModifyTable nodes of a query. */
static void
watch_query(QueryDesc *queryDesc, List *nodes)
{
	EState	   *estate = queryDesc->estate;
	MemoryContext old = MemoryContextSwitchTo(estate->es_query_cxt);
	FgQuery    *query = palloc0(sizeof(FgQuery));
	ListCell   *lc;

	look_at_running();
	fg_xact_touch();

	query->estate = estate;
	query->role = statement_role();
	query->scope = statement_scope(&query->owns_scope);
	query->nest_level = GetCurrentTransactionNestLevel();
	query->pin = fg_policy_pin();
	query->listed = true;
	dlist_push_head(&queries, &query->link);
	query->callback.func = query_context_reset;
	query->callback.arg = query;
	MemoryContextRegisterResetCallback(estate->es_query_cxt, &query->callback);

	foreach(lc, nodes)
		watch_node(query, lfirst(lc));
	find_shared_targets(query);
	MemoryContextSwitchTo(old);
}

/* The governed ModifyTable nodes of a query, top one first. */
static List *
governed_nodes(QueryDesc *queryDesc)
{
	ModifyTableState *top = (ModifyTableState *) queryDesc->planstate;
	List	   *nodes = NIL;
	ListCell   *lc;

	if (IsA(top, ModifyTableState) && node_governed(top))
		nodes = list_make1(top);
	foreach(lc, queryDesc->estate->es_auxmodifytables)
	{
		if (lfirst(lc) != top && node_governed(lfirst(lc)))
			nodes = lappend(nodes, lfirst(lc));
	}
	return nodes;
}

static void
guard_executor_start(QueryDesc *queryDesc, int eflags)
{
	if (previous_start)
		previous_start(queryDesc, eflags);
	else
		standard_ExecutorStart(queryDesc, eflags);

	if ((queryDesc->operation == CMD_SELECT && !queryDesc->plannedstmt->hasModifyingCTE) ||
		(eflags & EXEC_FLAG_EXPLAIN_ONLY) != 0)
		return;
	if (fg_policy_active())
	{
		List	   *nodes = governed_nodes(queryDesc);

		if (nodes != NIL)
			watch_query(queryDesc, nodes);
	}
}

/* ----------------------------------------------------------------
 *		Finish
 * ----------------------------------------------------------------
 */

static FgQuery *
query_of(const EState *estate)
{
	dlist_iter	iter;

	dlist_foreach(iter, &queries)
	{
		FgQuery    *query = dlist_container(FgQuery, link, iter.cur);

		if (query->estate == estate)
			return query;
	}
	return NULL;
}

/* What is left to settle where a node's input was not read to its end. */
static void
look_at_rest(FgQuery *query)
{
	ListCell   *lc;

	foreach(lc, query->watches)
	{
		FgWatch    *watch = lfirst(lc);

		compare_last_row(watch);
		if (watch->candidates > 0)
			look(watch);
	}
}

static void
guard_executor_finish(QueryDesc *queryDesc)
{
	FgScope		scope;
	FgQuery    *query;

	if (queryDesc->operation == CMD_SELECT && !queryDesc->plannedstmt->hasModifyingCTE)
	{
		if (previous_finish)
			previous_finish(queryDesc);
		else
			standard_ExecutorFinish(queryDesc);
		return;
	}

	query = query_of(queryDesc->estate);
	if (query != NULL)
		look_at_rest(query);

	scope.outer = current_scope;
	scope.owned = false;
	if (query != NULL)
	{
		scope.id = query->scope;
		scope.role = query->role;
	}
	else if (InNoForceRLSOperation() && current_scope != NULL)
	{
		/* a cascade over an unprotected table: still the same statement */
		bool		ignored;

		scope.id = statement_scope(&ignored);
		scope.role = current_scope->role;
	}
	else
	{
		scope.id = 0;
		scope.role = statement_role();
	}

	current_scope = &scope;
	PG_TRY();
	{
		if (previous_finish)
			previous_finish(queryDesc);
		else
			standard_ExecutorFinish(queryDesc);
	}
	PG_FINALLY();
	{
		current_scope = scope.outer;
	}
	PG_END_TRY();

	if (scope.owned)
		fg_decide_close_scope(scope.id);
	query = query_of(queryDesc->estate);
	if (query != NULL)
		look_at_rest(query);
}

void
fg_executor_setup(void)
{
	previous_start = ExecutorStart_hook;
	ExecutorStart_hook = guard_executor_start;
	previous_finish = ExecutorFinish_hook;
	ExecutorFinish_hook = guard_executor_finish;
	fg_xact_register(end_transaction, end_subtransaction);
}
