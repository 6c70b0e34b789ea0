/*-------------------------------------------------------------------------
 *
 * fg_executor_key.c
 *		Statements that may change keys: has the server keep their new rows.
 *
 * To restore an update, the row that it left has to be found, by its key; where
 * the update changed that, the new one has to be known.  The guard's trigger
 * asks for the old rows only, as every update would pay for the new ones, and
 * nearly none changes a key.  So the few that set a key column are told apart by
 * their plan, and for them the statement's own copy of the trigger says that it
 * wants the new rows as well; the trigger on the table stays as it is.  Where
 * somebody has a BEFORE trigger for updated rows, it may set a key behind a
 * statement that does not name it, so there they are wanted always.
 *
 * MERGE on a partitioned table is archived row by row (fg_executor_begin.c), with
 * both versions at hand.
 *
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "utils/rel.h"

#include "fg_catalog.h"
#include "fg_executor_key.h"
#include "fg_shadow.h"

#define NEW_TABLE_NAME	"fortress_new"

/* The trigger that archives updates of a relation from the old rows, or NULL. */
static Trigger *
archiver_of(ResultRelInfo *named)
{
	TriggerDesc *desc = named->ri_TrigDesc;
	Oid			guard;

	if (desc == NULL || !desc->trig_update_old_table)
		return NULL;
	guard = fg_catalog_guard_function();
	for (int i = 0; i < desc->numtriggers; i++)
	{
		Trigger    *trigger = &desc->triggers[i];

		if (trigger->tgfoid == guard && TRIGGER_FOR_UPDATE(trigger->tgtype) &&
			!TRIGGER_FOR_ROW(trigger->tgtype) && trigger->tgoldtable != NULL)
			return trigger;
	}
	return NULL;
}

/* May rows that the node updates get another key? */
static bool
sets_key(const FgQuery *query, const ModifyTableState *node)
{
	ResultRelInfo *named = node->rootResultRelInfo;
	Bitmapset  *keys;
	bool		sets;

	if (named->ri_TrigDesc->trig_update_before_row)
		return true;
	for (int i = 0; i < node->mt_nrels; i++)
	{
		const TriggerDesc *desc = node->resultRelInfo[i].ri_TrigDesc;

		if (desc != NULL && desc->trig_update_before_row)
			return true;
	}
	keys = fg_shadow_key_columns(named->ri_RelationDesc);
	/* a generated column may be one of them */
	sets = bms_overlap(keys, ExecGetAllUpdatedCols(named, query->estate));
	bms_free(keys);
	return sets;
}

/* The capture of what a node updates; NULL: it captures nothing. */
static TransitionCaptureState **
capture_of(ModifyTableState *node)
{
	if ((node->operation == CMD_UPDATE || node->operation == CMD_MERGE) && node->mt_transition_capture != NULL)
		return &node->mt_transition_capture;
	if (node->operation == CMD_INSERT && node->mt_oc_transition_capture != NULL)
		return &node->mt_oc_transition_capture;
	return NULL;
}

/* Makes the trigger want them; true: nothing had asked for them yet. */
static bool
want_new_rows(ResultRelInfo *named)
{
	Trigger    *trigger = archiver_of(named);
	bool		first;

	if (trigger == NULL)
		return false;
	first = !named->ri_TrigDesc->trig_update_new_table;
	if (trigger->tgnewtable == NULL)
		trigger->tgnewtable = pstrdup(NEW_TABLE_NAME);
	named->ri_TrigDesc->trig_update_new_table = true;
	return first;
}

/*
 * Nodes that update the same table share what is captured, so all have to do it.
 * The triggers are fired from the first description of the relation that the
 * query has, perhaps a node's that is not watched, or has made for that; those of
 * a cascade by another query.
 */
static void
capture_relation(const FgQuery *query, EState *firing, Oid relid)
{
	EState	   *estate = firing ? firing : query->estate;
	MemoryContext old;

	for (const FgWatch *watch = query->watches; watch != NULL; watch = watch->next)
	{
		ModifyTableState *node = watch->node;
		ResultRelInfo *named = node->rootResultRelInfo;
		TransitionCaptureState **capture = capture_of(node);

		if (RelationGetRelid(named->ri_RelationDesc) == relid && capture != NULL && want_new_rows(named))
			*capture = MakeTransitionCaptureState(named->ri_TrigDesc, relid,
												  node->operation == CMD_MERGE ? CMD_MERGE : CMD_UPDATE);
	}
	old = MemoryContextSwitchTo(estate->es_query_cxt);
	(void) want_new_rows(ExecGetTriggerResultRel(estate, relid, NULL));
	MemoryContextSwitchTo(old);
}

void
fg_key_capture(FgQuery *query, EState *firing)
{
	for (const FgWatch *watch = query->watches; watch != NULL; watch = watch->next)
	{
		ModifyTableState *node = watch->node;
		ResultRelInfo *named = node->rootResultRelInfo;

		if (capture_of(node) != NULL && archiver_of(named) != NULL && sets_key(query, node))
			capture_relation(query, firing, RelationGetRelid(named->ri_RelationDesc));
	}
}
