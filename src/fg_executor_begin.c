/*-------------------------------------------------------------------------
 *
 * fg_executor_begin.c
 *		Before the first row: which nodes are watched, and what of.
 *
 * A ModifyTable node is watched if one of its result relations is governed by a
 * policy.  Each such relation becomes a target, with an account for each policy
 * (fg_decide) and, where a policy has "columns" or MERGE has to be archived row
 * by row, something that looks at each row (fg_change.c).  Partitions to which
 * rows are routed become targets when the first row has come to them.
 *
 * Here is also what can be checked before any row is touched: that the guard's
 * own triggers stand where the statement will fire them, and that it has a
 * condition.
 *
 * The server gives each statement its own copy of a relation's triggers; some
 * of the guard's are taken out of that copy where they would do nothing, or
 * what is done already.  The relation's own are not touched.
 *
 * What is refused here is refused by fg_decide: no condition (ZG003), missing
 * triggers or counters (ZG010).
 *
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "nodes/plannodes.h"
#include "pgstat.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "fg_catalog.h"
#include "fg_executor_watch.h"
#include "fg_install.h"
#include "fg_shadow.h"
#include "fg_where.h"

/* ----------------------------------------------------------------
 *		Targets
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
	if (query->pin != NULL && fg_policy_is_current(query->pin))
		return entry;
	arena = fg_policy_pin();
	if (query->pin == NULL)
		query->pin = arena;
	else if (list_member_ptr(query->pins, arena))
		fg_policy_unpin(arena);
	else
	{
		old = MemoryContextSwitchTo(query->estate->es_query_cxt);
		query->pins = lappend(query->pins, arena);
		MemoryContextSwitchTo(old);
	}
	return entry;
}

void
fg_watch_refuse_blind(const FgWatch *watch, const FgPolicy *policy, Relation rel)
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
 * The relation that has the shadow which takes the rows of a target, as
 * fg_policy_shadow_owner() says; InvalidOid if there is none.
 */
static Oid
shadow_owner(const FgTarget *target, int archive_bit)
{
	for (int i = 0; i < target->n_accounts; i++)
	{
		if ((fg_decide_policy(target->accounts[i])->archive & archive_bit) != 0)
			return target->shadow_owners[i];
	}
	return InvalidOid;
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
	Oid			owner = shadow_owner(target, deleted ? FG_ARCHIVE_DELETE : FG_ARCHIVE_UPDATE);

	if (!OidIsValid(owner))
		return;
	if (new != NULL)
		fg_shadow_archive_update(rel, owner, old, new);
	else
		fg_shadow_archive_tuple(rel, owner, old, deleted ? FG_SHADOW_OP_DELETE : FG_SHADOW_OP_UPDATE);
}

/* Does no trigger of a description do anything for a statement?  NULL: there are none. */
static bool
all_idle(const TriggerDesc *desc, Oid guard)
{
	for (int i = 0; desc != NULL && i < desc->numtriggers; i++)
	{
		const Trigger *trigger = &desc->triggers[i];

		if (trigger->tgfoid != guard)
			return false;
		if (TRIGGER_FOR_ROW(trigger->tgtype) ?
			!TRIGGER_FOR_AFTER(trigger->tgtype) || trigger->tgenabled != TRIGGER_FIRES_ON_REPLICA :
			!TRIGGER_FOR_BEFORE(trigger->tgtype))
			return false;
	}
	return true;
}

/*
 * Some triggers of the guard would do nothing for a statement: a BEFORE one is
 * there for the day on which the library is not preloaded, the one for replicas
 * is for what is applied without a statement.  If no other is of its kind, the
 * statement's own copy of the trigger description says that there is none.
 * That spares the calls of the one, and for the sake of the other the server
 * would fetch the old version of each row.  Where no trigger has anything to do,
 * the copy is not needed at all; that is remembered of the relation's own
 * description, as a function that the statement calls may have made more.
 */
static void
spare_idle_triggers(FgRelation *entry, ResultRelInfo *rri)
{
	TriggerDesc *desc = rri->ri_TrigDesc;
	Oid			guard;
	int			before = 0;		/* events of the others, as in tgtype */
	int			after = 0;

	if (desc == NULL)
		return;
	if (entry->triggers_idle)
	{
		rri->ri_TrigDesc = NULL;
		return;
	}
	guard = fg_catalog_guard_function();
	if (all_idle(desc, guard))
	{
		entry->triggers_idle = all_idle(rri->ri_RelationDesc->trigdesc, guard);
		rri->ri_TrigDesc = NULL;
		return;
	}
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
				 (!ours || trigger->tgenabled != TRIGGER_FIRES_ON_REPLICA))
			after |= trigger->tgtype;
	}
	desc->trig_delete_before_statement &= TRIGGER_FOR_DELETE(before) != 0;
	desc->trig_update_before_statement &= TRIGGER_FOR_UPDATE(before) != 0;
	desc->trig_delete_after_row &= TRIGGER_FOR_DELETE(after) != 0;
	desc->trig_update_after_row &= TRIGGER_FOR_UPDATE(after) != 0;
}

/* Is one of the policies not switched off? */
static bool
any_applied(const FgRelation *entry)
{
	for (int i = 0; i < entry->n_policies; i++)
	{
		if (entry->policies[i]->mode != FG_MODE_OFF)
			return true;
	}
	return false;
}

/* Adds a target, as yet of nothing, with room for as many policies. */
static FgTarget *
make_target(FgWatch *watch, int n_policies)
{
	FgTarget   *target = &watch->first_target;

	if (watch->targets != NULL)
		target = palloc0(sizeof(FgTarget));
	if (n_policies == 1)
	{
		target->accounts = &target->one_account;
		target->changes = &target->one_change;
		target->shadow_owners = &target->one_owner;
	}
	else
	{
		target->accounts = palloc0(sizeof(FgAccount *) * n_policies);
		target->changes = palloc0(sizeof(FgChange *) * n_policies);
		target->shadow_owners = palloc0(sizeof(Oid) * n_policies);
	}
	if (watch->targets == NULL)
		watch->targets = target;
	else
		watch->last_target->next = target;
	watch->last_target = target;
	watch->n_targets++;
	return target;
}

/*
 * Adds a result relation to what is watched, governed by entry.  late: rows
 * were routed to it already, so what happened in it so far counts too.
 */
static void
add_target(FgWatch *watch, FgRelation *entry, ResultRelInfo *rri, bool late)
{
	Relation	rel = rri->ri_RelationDesc;
	FgTarget   *target;
	int			n_policies;
	bool		merge_archived;

	if (rri != watch->node->rootResultRelInfo)
		spare_idle_triggers(entry, rri);
	if (!any_applied(entry))
		return;
	n_policies = entry->n_policies;
	merge_archived = watch->node->operation == CMD_MERGE && !entry->by_row &&
		rri != watch->node->rootResultRelInfo;

	/* listed before it is filled, so that an error finds all of it */
	target = make_target(watch, n_policies);
	target->rri = rri;
	for (int i = 0; i < n_policies; i++)
	{
		FgPolicy   *policy = entry->policies[i];

		if (policy->mode == FG_MODE_OFF)
			continue;
		if (!pgstat_track_counts)
			fg_watch_refuse_blind(watch, policy, rel);
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

/* The list of what rows were routed to is the whole query's. */
void
fg_watch_add_late_targets(FgWatch *watch)
{
	EState	   *estate = watch->query->estate;
	MemoryContext old;

	old = MemoryContextSwitchTo(estate->es_query_cxt);
	for (; watch->n_routed < list_length(estate->es_tuple_routing_result_relations);
		 watch->n_routed++)
	{
		ResultRelInfo *rri = list_nth(estate->es_tuple_routing_result_relations,
									  watch->n_routed);
		FgRelation *entry;

		if (rri->ri_RootResultRelInfo != watch->node->rootResultRelInfo)
			continue;
		entry = governing(watch->query, rri->ri_RelationDesc);
		if (entry != NULL)
			add_target(watch, entry, rri, true);
	}
	MemoryContextSwitchTo(old);
}

/* ----------------------------------------------------------------
 *		What a statement must have
 * ----------------------------------------------------------------
 */

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
check_triggers(FgQuery *query, FgRelation *entry, ResultRelInfo *rri, FgOperation op)
{
	Relation	rel = rri->ri_RelationDesc;
	FgRequest	request;
	FgVerdict	verdict;

	if (!entry->triggers_checked)
	{
		entry->triggers_intact = fg_install_intact(rel, entry->archive, entry->by_row);
		entry->triggers_checked = true;
	}
	if (entry->triggers_intact)
	{
		spare_idle_triggers(entry, rri);
		return;
	}
	memset(&request, 0, sizeof(request));
	request.question = FG_ASK_TAMPERED;
	request.op = op;
	request.relid = RelationGetRelid(rel);
	request.role = query->role;
	for (int i = 0; i < entry->n_policies; i++)
	{
		request.policy = entry->policies[i];
		fg_decide(&request, &verdict);
	}
}

/* ----------------------------------------------------------------
 *		Nodes
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

	for (const FgTarget *target = watch->targets; target != NULL; target = target->next)
		archived |= target->archiver != NULL;
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
	FgWatch    *watch = query->watches == NULL ? &query->first_watch : palloc0(sizeof(FgWatch));
	bool		judged = false;
	bool		restricted = false;
	FgOperation op = node->operation == CMD_DELETE ? FG_OP_DELETE : FG_OP_UPDATE;
	ResultRelInfo *named = node->rootResultRelInfo;
	FgRelation *of_named;

	watch->query = query;
	watch->node = node;
	watch->operations = node_operations(node);
	watch->late_targets = node->operation == CMD_INSERT;

	/* listed before it is filled, so that an error finds all of it */
	fg_watch_list(watch);
	if (query->watches == NULL)
		query->watches = watch;
	else
		query->last_watch->next = watch;
	query->last_watch = watch;
	if (node->operation == CMD_MERGE)
	{
		watch->merge = palloc0(sizeof(FgMergeTally));
		fg_tally_merge_begin(watch->merge);
	}

	of_named = governing(query, named->ri_RelationDesc);
	if (of_named != NULL && watch->operations != 0)
		check_triggers(query, of_named, named, op);
	for (int i = 0; i < node->mt_nrels; i++)
	{
		ResultRelInfo *rri = &node->resultRelInfo[i];
		FgRelation *entry = rri == named ? of_named : governing(query, rri->ri_RelationDesc);

		if (entry == NULL)
			continue;
		if (entry->by_row && rri != named && watch->operations != 0)
			check_triggers(query, entry, rri, op);
		if (!query->internal &&
			(node->operation == CMD_DELETE || node->operation == CMD_UPDATE))
		{
			if (!judged)
				restricted = fg_where_restricts((ModifyTable *) node->ps.plan);
			judged = true;
			if (!restricted)
				check_where(watch, entry, rri, i);
		}
		add_target(watch, entry, rri, false);
	}
	if (node->operation == CMD_MERGE && watch->compares && named->ri_TrigDesc != NULL)
		silence_archivers(watch, named);
	if (watch->late_targets && watch->operations != 0 && named->ri_RelationDesc->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
	{
		watch->root_change = fg_change_begin(node, named, NULL, 0);
		watch->compares = true;
	}

	fg_watch_stand(watch);
}

/*
 * A single watch may archive the rows of its node by itself, if they all go to one
 * shadow.
 */
void
fg_watch_tap(FgQuery *query)
{
	FgWatch    *watch = query->watches;
	int			n_rels = watch->node->mt_nrels;
	int			bit = watch->operations & (FG_OP_BIT(FG_OP_DELETE) | FG_OP_BIT(FG_OP_UPDATE));
	int			index = 0;
	Oid			owner;

	if (watch->shared || watch->compares || watch->n_targets != n_rels)
		return;
	owner = shadow_owner(watch->targets, bit);
	for (const FgTarget *target = watch->targets->next; target != NULL; target = target->next)
	{
		if (shadow_owner(target, bit) != owner)
			return;
	}
	if (OidIsValid(owner))
		watch->tap = fg_tap_begin(watch->node, owner);
	if (watch->tap == NULL)
		return;

	watch->given = watch->targets;
	if (n_rels == 1)
		return;
	watch->of_relation = palloc(sizeof(FgTarget *) * n_rels);
	for (FgTarget *target = watch->targets; target != NULL; target = target->next)
		watch->of_relation[index++] = target;
}
