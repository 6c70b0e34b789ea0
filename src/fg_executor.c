/*-------------------------------------------------------------------------
 *
 * fg_executor.c
 *		Watching DELETE, UPDATE, MERGE and ON CONFLICT DO UPDATE.
 *
 * When a statement starts, each of its ModifyTable nodes whose target is
 * governed by a policy gets a watch; fg_executor_watch.c says what that does.
 * Here are the hooks, and what a statement is.
 *
 * The accounts (fg_decide) are kept for each *scope*: a statement with the
 * cascades of foreign keys that it sets off.  Those run, as queries of their
 * own, while ExecutorFinish of the statement fires its triggers, or at commit.
 * What they run as is the owner of the table; for permission the role of the
 * statement counts that set them off.
 *
 * Nothing here outlives an error: the reset of a query's memory context takes
 * its watches off the list, and the callbacks for the end of a transaction or
 * subtransaction take off what is left.  The memory of one query is kept for the
 * next, as making it anew costs a single row more than counting it.
 *
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/executor.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "nodes/execnodes.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "fg_auth.h"
#include "fg_compat.h"
#include "fg_decide.h"
#include "fg_executor.h"
#include "fg_executor_admin.h"
#include "fg_executor_inserted.h"
#include "fg_executor_key.h"
#include "fg_executor_watch.h"
#include "fg_guc.h"
#include "fg_label.h"
#include "fg_policy.h"
#include "fg_remote.h"
#include "fg_tally.h"
#include "fg_xact.h"

/* The statement whose triggers are firing. */
typedef struct FgScope
{
	struct FgScope *outer;
	uint64		id;				/* 0: not needed yet */
	bool		owned;			/* made here, so ended here */
	Oid			role;
	EState	   *estate;			/* of the query that is finishing */
} FgScope;

static dlist_head queries = DLIST_STATIC_INIT(queries);
static FgQuery *spare_query = NULL; /* for the next statement */
static FgScope *current_scope = NULL;
static uint64 last_scope = 0;
static uint64 deferred_scope = 0;	/* of cascades that run at commit; 0: none */

static void query_context_reset(void *arg);

static ExecutorStart_hook_type previous_start = NULL;
static ExecutorFinish_hook_type previous_finish = NULL;
static GucBoolCheckHook previous_track_counts = NULL;

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

	if (!query->listed)
		return;
	query->listed = false;
	dlist_delete(&query->link);
	for (FgWatch *watch = query->watches; watch != NULL; watch = watch->next)
		fg_watch_end(watch);
	if (query->owns_scope)
		fg_decide_close_scope(query->scope);
	if (query->pin != NULL)
		fg_policy_unpin(query->pin);
	foreach(lc, query->pins)
		fg_policy_unpin(lfirst(lc));
}

/* Makes what lives exactly as long as the current context. */
static FgQuery *
make_query(void)
{
	FgQuery    *query = spare_query;

	if (query == NULL)
		query = MemoryContextAlloc(TopMemoryContext, sizeof(FgQuery));
	spare_query = NULL;
	memset(query, 0, sizeof(FgQuery));
	query->callback.func = query_context_reset;
	query->callback.arg = query;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &query->callback);
	return query;
}

static void
query_context_reset(void *arg)
{
	unlist_query(arg);
	if (spare_query == NULL)
		spare_query = arg;
	else
		pfree(arg);
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
 *		Start of a query
 * ----------------------------------------------------------------
 */

/* Does the server keep old rows of a query for a trigger? */
static bool
captures_rows(const FgQuery *query)
{
	for (const FgWatch *watch = query->watches; watch != NULL; watch = watch->next)
	{
		const TriggerDesc *desc = watch->node->rootResultRelInfo->ri_TrigDesc;

		if (desc != NULL && (desc->trig_delete_old_table || desc->trig_update_old_table))
			return true;
	}
	return false;
}

/* Sees to it that what is captured can be archived, or archives it otherwise. */
static void
see_to_captured(FgQuery *query)
{
	if ((query->estate->es_top_eflags & EXEC_FLAG_SKIP_TRIGGERS) == 0)
	{
		fg_key_capture(query, NULL);
		fg_watch_tap(query);
		fg_inserted_capture(query, NULL);
	}
	else if (current_scope != NULL)
	{
		/* a cascade */
		fg_key_capture(query, current_scope->estate);
		fg_inserted_capture(query, current_scope->estate);
	}
}

/*
 * Watches the governed ones among the ModifyTable nodes of a query, "first" being
 * the first.  beside: with those that may disturb the watch of others.
 */
static void
watch_query(QueryDesc *queryDesc, ModifyTableState *first, bool beside)
{
	EState	   *estate = queryDesc->estate;
	MemoryContext old = MemoryContextSwitchTo(estate->es_query_cxt);
	FgQuery    *query = make_query();
	ListCell   *lc;

	fg_watch_settle_running();
	fg_xact_touch_rows();
	fg_remote_note_statement(estate->es_output_cid);

	query->estate = estate;
	query->role = statement_role();
	query->scope = statement_scope(&query->owns_scope);
	query->internal = fg_auth_internal_statement(queryDesc->sourceText);
	query->nest_level = GetCurrentTransactionNestLevel();
	query->listed = true;
	dlist_push_head(&queries, &query->link);

	fg_watch_begin(query, first);
	foreach(lc, estate->es_auxmodifytables)
	{
		if (lfirst(lc) != first && fg_watch_wanted(lfirst(lc), beside))
			fg_watch_begin(query, lfirst(lc));
	}
	for (FgWatch *watch = query->watches; watch != NULL; watch = watch->next)
		watch->shared = query->watches->next != NULL;
	if (captures_rows(query))
		see_to_captured(query);
	fg_label_in_use();
	MemoryContextSwitchTo(old);
}

/*
 * The first governed ModifyTable node of a query, the top one if that is; or
 * NULL.  beside: one that may disturb the watch of others is as good.
 */
static ModifyTableState *
first_governed_node(QueryDesc *queryDesc, bool beside)
{
	ModifyTableState *top = (ModifyTableState *) queryDesc->planstate;
	ListCell   *lc;

	if (IsA(top, ModifyTableState) && fg_watch_wanted(top, beside))
		return top;
	foreach(lc, queryDesc->estate->es_auxmodifytables)
	{
		if (lfirst(lc) != top && fg_watch_wanted(lfirst(lc), beside))
			return lfirst(lc);
	}
	return NULL;
}

/*
 * Is it plain that nothing of a query is to be watched?  Most statements change
 * one table that is not protected, or only add rows.
 */
static inline bool
plainly_unwatched(const QueryDesc *queryDesc)
{
	const ModifyTableState *node = (const ModifyTableState *) queryDesc->planstate;
	Relation	rel;

	if (!IsA(node, ModifyTableState) || node->mt_nrels != 1 ||
		queryDesc->estate->es_auxmodifytables != NIL)
		return false;
	if (node->operation == CMD_INSERT &&
		((const ModifyTable *) node->ps.plan)->onConflictAction == ONCONFLICT_NONE)
		return true;
	rel = node->resultRelInfo->ri_RelationDesc;
	return rel->rd_rel->relkind == RELKIND_RELATION &&
		fg_policy_known_ungoverned(RelationGetRelid(rel));
}

static void
start_query(QueryDesc *queryDesc, int eflags)
{
	if (previous_start)
		previous_start(queryDesc, eflags);
	else
		standard_ExecutorStart(queryDesc, eflags);
}

static pg_noinline void
start_writing(QueryDesc *queryDesc, int eflags)
{
	fg_executor_admin_check(queryDesc);
	start_query(queryDesc, eflags);

	if (fg_enabled && plainly_unwatched(queryDesc))
		return;
	if (fg_policy_active())
	{
		bool		beside = fg_watch_any();
		ModifyTableState *first = first_governed_node(queryDesc, beside);

		if (first != NULL && !beside && queryDesc->estate->es_auxmodifytables != NIL)
		{
			beside = true;
			first = first_governed_node(queryDesc, beside);
		}
		if (first != NULL)
			watch_query(queryDesc, first, beside);
	}
}

/* Does a query write nothing? */
static inline bool
only_reads(const QueryDesc *queryDesc)
{
	return queryDesc->operation == CMD_SELECT && !queryDesc->plannedstmt->hasModifyingCTE;
}

static void
guard_executor_start(QueryDesc *queryDesc, int eflags)
{
	if (only_reads(queryDesc) || (eflags & EXEC_FLAG_EXPLAIN_ONLY) != 0)
		start_query(queryDesc, eflags);
	else
		start_writing(queryDesc, eflags);
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

static inline bool
any_has_triggers(const List *result_relations)
{
	ListCell   *lc;

	foreach(lc, result_relations)
	{
		if (((ResultRelInfo *) lfirst(lc))->ri_TrigDesc != NULL)
			return true;
	}
	return false;
}

/* Can a query have triggers to fire when it finishes? */
static inline bool
has_triggers(const EState *estate)
{
	return any_has_triggers(estate->es_opened_result_relations) ||
		any_has_triggers(estate->es_tuple_routing_result_relations) ||
		any_has_triggers(estate->es_trig_target_relations);
}

static void
finish_query(QueryDesc *queryDesc)
{
	if (previous_finish)
		previous_finish(queryDesc);
	else
		standard_ExecutorFinish(queryDesc);
}

/* A query that is watched, or whose triggers may set off one that is. */
static pg_noinline void
finish_writing(QueryDesc *queryDesc, FgQuery *query)
{
	FgScope		scope;

	if (query != NULL)
	{
		fg_watch_settle_query(query);
		fg_watch_archive_rest(query);
		if (queryDesc->estate->es_auxmodifytables == NIL && !has_triggers(queryDesc->estate))
		{
			/* nothing is left that could change a row */
			finish_query(queryDesc);
			return;
		}
	}

	scope.outer = current_scope;
	scope.estate = queryDesc->estate;
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
		finish_query(queryDesc);
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
	{
		fg_watch_settle_query(query);
		fg_watch_archived(query);
	}
}

static void
guard_executor_finish(QueryDesc *queryDesc)
{
	FgQuery    *query;

	if (only_reads(queryDesc))
	{
		finish_query(queryDesc);
		return;
	}
	query = query_of(queryDesc->estate);
	/* a CTE that nobody has read may still come to partitions with triggers */
	if (query == NULL && queryDesc->estate->es_auxmodifytables == NIL && !has_triggers(queryDesc->estate))
		finish_query(queryDesc);
	else
		finish_writing(queryDesc, query);
}

/*
 * The server's counters must not stop while somebody relies on them.  The
 * setting is a superuser's to change, at any point of a statement.
 */
static bool
check_track_counts(bool *newval, void **extra, GucSource source)
{
	if (!*newval && fg_watch_any())
	{
		GUC_check_errmsg("track_counts cannot be switched off while a protected table is being written");
		return false;
	}
	return previous_track_counts == NULL || previous_track_counts(newval, extra, source);
}

static void
watch_track_counts(void)
{
	struct config_generic *setting = fg_compat_find_setting("track_counts");
	struct config_bool *track = (struct config_bool *) setting;

	if (setting == NULL || setting->vartype != PGC_BOOL)
		elog(ERROR, "setting \"track_counts\" not found");
	previous_track_counts = track->check_hook;
	track->check_hook = check_track_counts;
}

void
fg_executor_setup(void)
{
	watch_track_counts();
	previous_start = ExecutorStart_hook;
	ExecutorStart_hook = guard_executor_start;
	previous_finish = ExecutorFinish_hook;
	ExecutorFinish_hook = guard_executor_finish;
	fg_xact_register(end_transaction, end_subtransaction, FG_XACT_ROWS);
}
