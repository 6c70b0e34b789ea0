/*-------------------------------------------------------------------------
 *
 * fg_ddl_drop.c
 *		What is dropped and truncated.
 *
 * Refused, through fg_decide, unless there is permission:
 *
 *	DROP of a protected table or a part of it, by whatever command and cascade
 *	DROP of a column of one, likewise
 *	DROP of an attribute of a type whose values one keeps
 *	DROP of a row security policy of one
 *	TRUNCATE of one, by whatever cascade
 *	DROP of one of the guard's triggers without its table (ZG011)
 *	DROP of a column of an archive, as with the type that it has, or of an
 *	attribute of that type (ZG011)
 *
 * All is seen by the object access hook, which is called for each object that
 * is really concerned, however the command came to it.  TRUNCATE is asked for
 * here before the triggers are, so that it is refused also where somebody has
 * removed those; archiving is the trigger's.
 *
 * A DROP with permission moves the table to the trash (fg_ddl_trash.c), and does
 * not come here.  Where that did not see it coming, the rows are archived first.
 * The server drops what
 * depends on a table before the table, its TOAST table included, without
 * which long values are lost; so the question is asked and the rows are saved
 * when the first of these pieces is about to go.  Triggers and policies go
 * before their table, too, and nothing says yet whether it will follow: these
 * are noted, and asked for at the end of the command if it did not.
 *
 * Locks: the commands have theirs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/index.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_trigger.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "fg_catalog.h"
#include "fg_catalog_request.h"
#include "fg_counter.h"
#include "fg_ddl_admin.h"
#include "fg_ddl_drop.h"
#include "fg_ddl_type.h"
#include "fg_decide.h"
#include "fg_enact.h"
#include "fg_event.h"
#include "fg_install.h"
#include "fg_label.h"
#include "fg_own.h"
#include "fg_shadow.h"
#include "fg_trash.h"
#include "fg_xact.h"

/* A relation whose drop was permitted and whose rows are saved. */
typedef struct FgDropped
{
	dlist_node	link;
	Oid			relid;
	FgCounter	saved;			/* 0 again if that was rolled back */
} FgDropped;

static dlist_head dropped = DLIST_STATIC_INIT(dropped);

/* ----------------------------------------------------------------
 *		Tables
 * ----------------------------------------------------------------
 */

static void
end_transaction(XactEvent event)
{
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_COMMIT ||
		event == XACT_EVENT_PREPARE)
		dlist_init(&dropped);
}

/* True once for each relation, unless its saving was rolled back since. */
static bool
first_time_dropped(Oid relid)
{
	FgDropped  *entry;
	dlist_iter	iter;

	dlist_foreach(iter, &dropped)
	{
		entry = dlist_container(FgDropped, link, iter.cur);
		if (entry->relid == relid)
		{
			if (entry->saved.total > 0)
				return false;
			fg_counter_add(&entry->saved, 1);
			return true;
		}
	}
	entry = MemoryContextAllocZero(TopTransactionContext, sizeof(FgDropped));
	entry->relid = relid;
	fg_counter_init(&entry->saved, NULL, NULL);
	fg_xact_touch();
	fg_counter_add(&entry->saved, 1);
	dlist_push_tail(&dropped, &entry->link);
	return true;
}

/* The table that a TOAST table belongs to right now, by its dependency. */
static Oid
toast_owner(Oid toast)
{
	Relation	depend = table_open(DependRelationId, AccessShareLock);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			owner = InvalidOid;

	ScanKeyInit(&keys[0], Anum_pg_depend_classid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(RelationRelationId));
	ScanKeyInit(&keys[1], Anum_pg_depend_objid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(toast));
	scan = systable_beginscan(depend, DependDependerIndexId, true, NULL, 2, keys);
	while ((tuple = systable_getnext(scan)) != NULL)
	{
		Form_pg_depend form = (Form_pg_depend) GETSTRUCT(tuple);

		if (form->deptype == DEPENDENCY_INTERNAL && form->refclassid == RelationRelationId)
			owner = form->refobjid;
	}
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
	return owner;
}

/* The table that is being dropped when relation relid is; or InvalidOid. */
static Oid
dropped_table(Oid relid)
{
	char		relkind = get_rel_relkind(relid);

	if (relkind == RELKIND_INDEX)
	{
		relid = IndexGetRelation(relid, true);
		if (!OidIsValid(relid) || get_rel_relkind(relid) != RELKIND_TOASTVALUE)
			return InvalidOid;	/* an index may go without its table */
		relkind = RELKIND_TOASTVALUE;
	}
	if (relkind == RELKIND_TOASTVALUE)
		return toast_owner(relid);
	if (relkind == RELKIND_RELATION || relkind == RELKIND_PARTITIONED_TABLE)
		return relid;
	return InvalidOid;
}

/* Asks for the drop of a governed table and saves its rows, once. */
static void
ask_and_save(const FgRelation *entry, Oid relid)
{
	Oid			owner = fg_policy_shadow_owner(entry, FG_ARCHIVE_DELETE);
	Relation	rel;

	if (!first_time_dropped(relid) ||
		!fg_ddl_ask_policies(entry, FG_OP_DDL, relid, "DROP TABLE"))
		return;
	rel = table_open(relid, NoLock);
	if (rel->rd_rel->relkind == RELKIND_RELATION && OidIsValid(owner))
		(void) fg_shadow_archive_all(rel, owner, FG_SHADOW_OP_DROP);
	table_close(rel, NoLock);
}

/* What was noted of a table is of no interest when the table itself goes. */
static void
forget_losses(Oid relid)
{
	for (FgDdlCommand *command = fg_ddl_current; command != NULL; command = command->outer)
	{
		ListCell   *lc;

		foreach(lc, command->losses)
		{
			if (((FgDdlLoss *) lfirst(lc))->relid == relid)
				command->losses = foreach_delete_current(command->losses, lc);
		}
	}
}

/*
 * Its archive stays as it is, but nothing may say that it is this table's, whose
 * oid another may get.
 */
static void
forget_table(Oid relid)
{
	FgApprovalRule *rule = fg_catalog_get_rule(relid);

	if (fg_catalog_get_policy(relid) != NULL)
	{
		fg_catalog_delete_policy(relid);
		fg_label_policies_changed();
	}
	if (rule != NULL)
	{
		(void) fg_catalog_delete_rule(relid);
		fg_enact_approver(rule->approvers);
	}
	if (OidIsValid(fg_catalog_get_shadow(relid)))
		fg_catalog_delete_shadow(relid);
}

static void
guard_drop(Oid object)
{
	Oid			relid;
	FgRelation *entry;

	if (fg_ddl_admin_tables_go())
		return;					/* what says so has begun to go */
	if (get_rel_persistence(object) == RELPERSISTENCE_TEMP)
		return;					/* never governed, and dropped all the time */
	relid = dropped_table(object);
	if (!OidIsValid(relid))
		return;
	if (!fg_own_relation(relid))	/* what is the guard's own is asked for elsewhere */
	{
		entry = fg_policy_lookup(relid);
		if (entry != NULL)
			ask_and_save(entry, relid);
	}
	else if (!fg_trash_relation(relid))
		return;					/* nothing of the rest has a policy */
	if (object != relid)
		return;

	/* the table itself, last of its pieces */
	forget_losses(relid);
	forget_table(relid);
}

static void
guard_truncate(Oid relid)
{
	FgRelation *entry;

	if (fg_policy_lookup(relid) == NULL || fg_own_loading_empty(relid))
		return;
	/* looked up again: what was found was good until the look at the table */
	entry = fg_policy_lookup(relid);
	if (entry != NULL)
		(void) fg_ddl_ask_policies(entry, FG_OP_TRUNCATE, relid, "TRUNCATE");
}

/* ----------------------------------------------------------------
 *		Columns
 * ----------------------------------------------------------------
 */

/*
 * Archives have columns of the tables' types, and so have tables in the trash:
 * the types' owners could drop them with CASCADE.
 */
static bool
is_kept(Oid relid)
{
	return get_rel_namespace(relid) == get_namespace_oid("fortress_shadow", true) ||
		fg_trash_relation(relid);
}

/*
 * A column of a table goes, or an attribute of a composite type, which may be
 * the row type of any relation.
 */
static void
guard_column_drop(Oid relid, AttrNumber attnum)
{
	const char *column = get_attname(relid, attnum, true);
	FgDdlQuestion question = {.relid = relid};

	if (column == NULL)
		return;
	question.what = "ALTER TABLE ... DROP COLUMN";
	question.why = psprintf("It would take the values of column \"%s\" away.", column);
	fg_ddl_ask(&question);
	fg_ddl_keep_rows(relid);

	question.what = "ALTER TYPE ... DROP ATTRIBUTE";
	question.why = psprintf("It would take attribute \"%s\" out of values of type \"%s\" that it keeps.",
							column, fg_event_relation(relid));
	fg_ddl_ask_keepers(fg_ddl_type_tables(get_rel_type_id(relid)), &question);
}

/*
 * What takes a column of an archive away, like a type that goes with CASCADE,
 * takes the table's own with it: then that is what was refused.
 */
static void
ask_for_owner(Oid archive, const char *column)
{
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, fg_catalog_shadow_relids())
	{
		Oid			relid = lfirst_oid(lc);
		AttrNumber	attnum;

		if (fg_catalog_get_shadow(relid) != archive || fg_own_relation(relid))
			continue;
		attnum = get_attnum(relid, column);
		if (attnum <= 0)
			continue;
		guard_column_drop(relid, attnum);
		/* partitions go by the same archive, while it can still take their rows */
		foreach(lc2, find_all_inheritors(relid, AccessExclusiveLock, NULL))
			fg_ddl_keep_rows(lfirst_oid(lc2));
	}
}

static void
guard_kept_column(Oid relid, AttrNumber attnum)
{
	FgRequest	request = {.question = FG_ASK_ADMIN,.op = FG_OP_ADMIN};
	FgVerdict	verdict;

	if (fg_install_own_work())
		return;
	if (fg_ddl_current == NULL || fg_ddl_current->tag != T_AlterTableStmt)
		ask_for_owner(relid, get_attname(relid, attnum, false));
	request.relid = relid;
	request.role = GetUserId();
	request.what = "DROP COLUMN";
	request.object = psprintf("column \"%s\" of %s \"%s\"", get_attname(relid, attnum, false),
							  fg_trash_relation(relid) ? "dropped table" : "archive",
							  fg_event_relation(relid));
	request.why = "It keeps old values of a protected table.";
	fg_decide(&request, &verdict);
}

/* ----------------------------------------------------------------
 *		Triggers and policies
 * ----------------------------------------------------------------
 */

static void
ask_loss(const FgDdlLoss *loss)
{
	if (loss->class_id == TriggerRelationId)
		fg_ddl_ask_trigger(loss->relid, "DROP TRIGGER", loss->name);
	else
	{
		FgDdlQuestion question = {.relid = loss->relid,.what = "DROP POLICY"};

		question.why = "It would change which of its rows can be seen.";
		fg_ddl_ask(&question);
	}
}

/* A piece of a table goes, with it or without it: that shows at the end. */
static void
note_loss(Oid relid, Oid class_id, const char *name)
{
	FgDdlLoss  *loss;
	MemoryContext old;

	if (fg_install_own_work())
		return;
	old = MemoryContextSwitchTo(fg_ddl_current != NULL ? fg_ddl_current->context :
								CurrentMemoryContext);
	loss = palloc(sizeof(FgDdlLoss));
	loss->relid = relid;
	loss->class_id = class_id;
	loss->name = pstrdup(name);
	if (fg_ddl_current != NULL)
		fg_ddl_current->losses = lappend(fg_ddl_current->losses, loss);
	MemoryContextSwitchTo(old);
	if (fg_ddl_current == NULL)
		ask_loss(loss);
}

static void
guard_trigger_drop(Oid trigger)
{
	FgDdlTrigger found;

	if (fg_ddl_read_trigger(trigger, NULL, &found) && fg_install_trigger_name(found.name))
		note_loss(found.relid, TriggerRelationId, found.name);
}

static void
guard_policy_drop(Oid policy)
{
	Oid			relid = fg_ddl_read_relation(PolicyRelationId, policy, NULL);

	if (OidIsValid(relid))
		note_loss(relid, PolicyRelationId, "");
}

void
fg_ddl_drop_finish(FgDdlCommand *command)
{
	ListCell   *lc;

	if (command->losses == NIL)
		return;
	CommandCounterIncrement();
	if (!fg_policy_active())
		return;					/* the extension went, too */
	foreach(lc, command->losses)
		ask_loss(lfirst(lc));
}

/* ----------------------------------------------------------------
 *		Entry
 * ----------------------------------------------------------------
 */

void
fg_ddl_drop_access(ObjectAccessType access, Oid class_id, Oid object, int sub_id, void *arg)
{
	if (access == OAT_TRUNCATE)
		guard_truncate(object);
	else if (class_id == TriggerRelationId)
		guard_trigger_drop(object);
	else if (class_id == PolicyRelationId)
		guard_policy_drop(object);
	else if (class_id != RelationRelationId)
		return;
	else if (sub_id != 0)
	{
		if (is_kept(object))
			guard_kept_column(object, sub_id);
		else if (get_rel_persistence(object) != RELPERSISTENCE_TEMP)
			guard_column_drop(object, sub_id);
	}
	else if ((((ObjectAccessDrop *) arg)->dropflags & PERFORM_DELETION_CONCURRENT_LOCK) == 0)
	{
		/* not the old TOAST index of REINDEX CONCURRENTLY: its table stays */
		guard_drop(object);
	}
}

void
fg_ddl_drop_setup(void)
{
	fg_xact_register(end_transaction, NULL, 0);
}
