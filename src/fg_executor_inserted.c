/*-------------------------------------------------------------------------
 *
 * fg_executor_inserted.c
 *		Statements that may touch rows which their transaction has put in.
 *
 * An undo does not bring such rows back, so their images have to be marked; what
 * tells them is in the old version's header, which the old rows that the guard's
 * statement trigger gets do not have.  Only where the server's counters say that
 * the transaction has inserted into a target, the row trigger that stands on the
 * table for replication is switched on, in the statement's own copy of the
 * description, to look at each version (fg_shadow_own.c says more).  Its column
 * tgconstrrelid, which means nothing there, tells it the relation that the
 * statement named, whose statement trigger will ask.
 *
 * A partition that ON CONFLICT finds by itself is not known in time: what it
 * updates there is not marked, and neither is what one query reaches under two
 * names.
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
#include "fg_executor_inserted.h"
#include "fg_install.h"
#include "fg_tally.h"

/* Are old rows captured, and has the transaction put rows where the node works? */
static bool
may_touch(const FgWatch *watch)
{
	ModifyTableState *node = watch->node;
	const TriggerDesc *desc = node->rootResultRelInfo->ri_TrigDesc;
	bool		inserted = false;

	/* a statement that archives its rows by itself has the versions at hand */
	if (watch->tap != NULL || watch->operations == 0 || desc == NULL ||
		!(desc->trig_delete_old_table || desc->trig_update_old_table))
		return false;
	for (int i = 0; i < node->mt_nrels && !inserted; i++)
		inserted = fg_tally_inserted(node->resultRelInfo[i].ri_RelationDesc);
	if (!inserted)
		return false;
	/* MERGE on partitions is archived from the versions themselves */
	for (const FgTarget *target = watch->targets; target != NULL; target = target->next)
	{
		if (target->archiver != NULL)
			return false;
	}
	return true;
}

static void
switch_on(ResultRelInfo *rri, Oid named)
{
	TriggerDesc *desc = rri->ri_TrigDesc;
	Oid			guard = fg_catalog_guard_function();

	for (int i = 0; desc != NULL && i < desc->numtriggers; i++)
	{
		Trigger    *trigger = &desc->triggers[i];

		if (trigger->tgfoid != guard || strcmp(trigger->tgname, FG_REPLICA_TRIGGER) != 0)
			continue;
		/* under a second name its notes are for nobody */
		if (OidIsValid(trigger->tgconstrrelid) && trigger->tgconstrrelid != named)
			named = TriggerRelationId;
		trigger->tgconstrrelid = named;
		trigger->tgenabled = TRIGGER_FIRES_ALWAYS;
		desc->trig_delete_after_row = true;
		desc->trig_update_after_row = true;
	}
}

/*
 * All nodes on one relation share what is captured, so all have to do it.  Which
 * copy of a description the triggers are fired from is told by fg_executor_key.c.
 */
static void
note_relation(const FgQuery *query, EState *firing, Oid named)
{
	EState	   *estate = firing ? firing : query->estate;

	for (const FgWatch *watch = query->watches; watch != NULL; watch = watch->next)
	{
		ModifyTableState *node = watch->node;

		if (RelationGetRelid(node->rootResultRelInfo->ri_RelationDesc) != named)
			continue;
		for (int i = 0; i < node->mt_nrels; i++)
		{
			ResultRelInfo *rri = &node->resultRelInfo[i];
			ResultRelInfo *fired = ExecGetTriggerResultRel(estate, RelationGetRelid(rri->ri_RelationDesc), NULL);

			switch_on(rri, named);
			if (fired != rri)
				switch_on(fired, named);
		}
	}
}

void
fg_inserted_capture(FgQuery *query, EState *firing)
{
	for (const FgWatch *watch = query->watches; watch != NULL; watch = watch->next)
	{
		if (may_touch(watch))
			note_relation(query, firing, RelationGetRelid(watch->node->rootResultRelInfo->ri_RelationDesc));
	}
}
