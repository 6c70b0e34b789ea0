/*-------------------------------------------------------------------------
 *
 * fg_install.c
 *		The guard's triggers on a protected relation.
 *
 * Every ordinary or partitioned table of a protected tree carries three, all
 * with function fortress.guard(), always enabled, without WHEN:
 *
 *	fortress_guard_truncate		BEFORE TRUNCATE, statement
 *	fortress_guard_delete		see below, DELETE
 *	fortress_guard_update		see below, UPDATE
 *
 * and one that holds rows a fourth, enabled for replicas only:
 *
 *	fortress_guard_replica		AFTER DELETE OR UPDATE, row
 *
 * which sees what logical replication applies, below the executor, where
 * nothing else of the guard does.
 *
 * Those for DELETE and UPDATE archive where the policy says so, and refuse
 * everything where the library is not preloaded.  Archiving is done AFTER, for
 * the statement, from the OLD TABLE: all rows at once, in the layout of the
 * relation that the statement named.  A statement trigger fires only for the
 * relation that is named, so each relation of a partitioned tree has its own.
 *
 * That way breaks down where a statement can reach the relation through one
 * that is not part of the protected tree (a partition or a child that is
 * protected by itself), or can bring rows of several layouts into one OLD
 * TABLE (inheritance: the columns that only the child has would be lost).
 * There, "by_row", every table that holds rows has AFTER ROW triggers instead.
 * They cost more, and are right.  They stand there without archiving too, as
 * only they would be left to refuse if the library were not preloaded.
 *
 * Everywhere else, without archiving, the two are BEFORE, for the statement:
 * nothing is captured and their cost is a function call.
 *
 * Locks: the callers hold ShareRowExclusiveLock on the relation.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "fg_catalog.h"
#include "fg_install.h"
#include "fg_types.h"
#include "fg_xact.h"

#define OLD_TABLE_NAME	"fortress_old"
#define MAX_TRIGGERS	4

/* nest level of the subtransaction in which the guard's own DDL runs; 0: none */
static int	own_work_level = 0;

typedef struct TriggerSpec
{
	const char *name;
	int16		type;			/* as in pg_trigger.tgtype */
	char		enabled;		/* as in pg_trigger.tgenabled */
	bool		old_table;
} TriggerSpec;

/* in the order in which wanted_triggers() describes them */
static const char *const names[MAX_TRIGGERS] = {
	"fortress_guard_delete", "fortress_guard_update", "fortress_guard_truncate", FG_REPLICA_TRIGGER
};

bool
fg_install_trigger_name(const char *name)
{
	for (int i = 0; i < lengthof(names); i++)
	{
		if (strcmp(name, names[i]) == 0)
			return true;
	}
	return false;
}

char
fg_install_trigger_enabled(const char *name)
{
	return strcmp(name, FG_REPLICA_TRIGGER) == 0 ? TRIGGER_FIRES_ON_REPLICA : TRIGGER_FIRES_ALWAYS;
}

/* Fills in the triggers that a relation must have and returns how many. */
static int
wanted_triggers(Relation rel, int archive, bool by_row, TriggerSpec specs[MAX_TRIGGERS])
{
	bool		rows = rel->rd_rel->relkind == RELKIND_RELATION;
	int			n = rows ? MAX_TRIGGERS : MAX_TRIGGERS - 1;
	static const int bits[] = {FG_ARCHIVE_DELETE, FG_ARCHIVE_UPDATE};
	static const int16 events[] = {TRIGGER_TYPE_DELETE, TRIGGER_TYPE_UPDATE};

	for (int i = 0; i < n; i++)
	{
		specs[i].name = names[i];
		specs[i].enabled = fg_install_trigger_enabled(names[i]);
		specs[i].old_table = false;
	}
	specs[2].type = TRIGGER_TYPE_BEFORE | TRIGGER_TYPE_TRUNCATE;
	specs[3].type = TRIGGER_TYPE_ROW | TRIGGER_TYPE_AFTER | TRIGGER_TYPE_DELETE | TRIGGER_TYPE_UPDATE;
	for (int i = 0; i < 2; i++)
	{
		TriggerSpec *spec = &specs[i];
		bool		archived = (archive & bits[i]) != 0;

		spec->type = events[i];
		if (by_row && rows)
			spec->type |= TRIGGER_TYPE_ROW | TRIGGER_TYPE_AFTER;
		else if (archived && !by_row)
		{
			spec->type |= TRIGGER_TYPE_AFTER;
			spec->old_table = true;
		}
		else
			spec->type |= TRIGGER_TYPE_BEFORE;
	}
	return n;
}

/*
 * The trigger of that name on an open relation, or NULL.  It is good until the
 * next look at a catalog, which may build the relation's description anew.
 */
static const Trigger *
find_trigger(Relation rel, const char *name)
{
	TriggerDesc *desc = rel->trigdesc;

	for (int i = 0; desc != NULL && i < desc->numtriggers; i++)
	{
		if (strcmp(desc->triggers[i].tgname, name) == 0)
			return &desc->triggers[i];
	}
	return NULL;
}

/* "guard" is the function fortress.guard(): nothing is looked up here. */
static bool
trigger_as_made(const Trigger *trigger, const TriggerSpec *spec, Oid guard)
{
	if (trigger == NULL)
		return false;
	return trigger->tgfoid == guard &&
		trigger->tgtype == spec->type &&
		trigger->tgenabled == spec->enabled &&
		trigger->tgqual == NULL &&
		trigger->tgnattr == 0 &&
		trigger->tgnargs == 0 &&
		(trigger->tgoldtable != NULL) == spec->old_table &&
		trigger->tgnewtable == NULL;
}

static bool
triggers_as_made(Relation rel, int archive, bool by_row)
{
	TriggerSpec specs[MAX_TRIGGERS];
	int			n = wanted_triggers(rel, archive, by_row, specs);
	Oid			guard = fg_catalog_guard_function();

	for (int i = 0; i < n; i++)
	{
		if (!trigger_as_made(find_trigger(rel, specs[i].name), &specs[i], guard))
			return false;
	}
	return true;
}

/*
 * Row triggers are right everywhere: a table whose last child is gone may keep
 * them until it is protected again.
 */
bool
fg_install_intact(Relation rel, int archive, bool by_row)
{
	return triggers_as_made(rel, archive, by_row) ||
		(!by_row && triggers_as_made(rel, archive, true));
}

bool
fg_install_own_work(void)
{
	return own_work_level > 0;
}

static void
end_transaction(XactEvent event)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT ||
		event == XACT_EVENT_PREPARE)
		own_work_level = 0;
}

static void
end_subtransaction(SubXactEvent event, int level)
{
	if (event == SUBXACT_EVENT_ABORT_SUB && own_work_level >= level)
		own_work_level = 0;
}

void
fg_install_setup(void)
{
	fg_xact_register(end_transaction, end_subtransaction, 0);
}

void
fg_install_become_owner(FgOwnerState *saved)
{
	saved->own_work_level = own_work_level;
	if (own_work_level == 0)
		own_work_level = GetCurrentTransactionNestLevel();
	fg_xact_touch();
	GetUserIdAndSecContext(&saved->user, &saved->sec_context);
	SetUserIdAndSecContext(fg_catalog_owner(),
						   saved->sec_context | SECURITY_LOCAL_USERID_CHANGE);
	saved->guc_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

void
fg_install_be_user_again(const FgOwnerState *saved)
{
	own_work_level = saved->own_work_level;
	AtEOXact_GUC(false, saved->guc_level);
	SetUserIdAndSecContext(saved->user, saved->sec_context);
}

static void
drop_trigger(Oid trigger)
{
	ObjectAddress object;

	ObjectAddressSet(object, TriggerRelationId, trigger);
	performDeletion(&object, DROP_RESTRICT, PERFORM_DELETION_INTERNAL);
	CommandCounterIncrement();
}

static void
create_trigger(Relation rel, const TriggerSpec *spec)
{
	CreateTrigStmt *stmt = makeNode(CreateTrigStmt);

	stmt->trigname = pstrdup(spec->name);
	stmt->relation = makeRangeVar(get_namespace_name(RelationGetNamespace(rel)),
								  pstrdup(RelationGetRelationName(rel)), -1);
	stmt->funcname = list_make2(makeString("fortress"), makeString("guard"));
	stmt->row = TRIGGER_FOR_ROW(spec->type);
	stmt->timing = spec->type & TRIGGER_TYPE_TIMING_MASK;
	stmt->events = spec->type & TRIGGER_TYPE_EVENT_MASK;
	if (spec->old_table)
	{
		TriggerTransition *old = makeNode(TriggerTransition);

		old->name = OLD_TABLE_NAME;
		old->isNew = false;
		old->isTable = true;
		stmt->transitionRels = list_make1(old);
	}
	CreateTriggerFiringOn(stmt, NULL, RelationGetRelid(rel), InvalidOid, InvalidOid,
						  InvalidOid, fg_catalog_guard_function(), InvalidOid, NULL,
						  false, false, spec->enabled);
	CommandCounterIncrement();
}

void
fg_install_triggers(Relation rel, int archive, bool by_row)
{
	TriggerSpec specs[MAX_TRIGGERS];
	int			n = wanted_triggers(rel, archive, by_row, specs);
	FgOwnerState saved;

	fg_install_become_owner(&saved);
	for (int i = 0; i < n; i++)
	{
		Oid			guard = fg_catalog_guard_function();
		const Trigger *trigger = find_trigger(rel, specs[i].name);

		if (trigger_as_made(trigger, &specs[i], guard))
			continue;
		if (trigger != NULL)
			drop_trigger(trigger->tgoid);
		create_trigger(rel, &specs[i]);
	}
	fg_install_be_user_again(&saved);
}

bool
fg_install_any(Oid relid)
{
	Relation	rel = table_open(relid, NoLock);
	bool		any = false;

	for (int i = 0; i < MAX_TRIGGERS; i++)
		any |= find_trigger(rel, names[i]) != NULL;
	table_close(rel, NoLock);
	return any;
}

void
fg_install_remove(Relation rel)
{
	FgOwnerState saved;

	fg_install_become_owner(&saved);
	for (int i = 0; i < lengthof(names); i++)
	{
		const Trigger *trigger = find_trigger(rel, names[i]);

		if (trigger != NULL)
			drop_trigger(trigger->tgoid);
	}
	fg_install_be_user_again(&saved);
}
