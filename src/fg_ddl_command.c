/*-------------------------------------------------------------------------
 *
 * fg_ddl_command.c
 *		What the parts of fg_ddl share.
 *
 * A command of the server is watched from two sides.  The utility hook sees
 * its text, with names that may mean another relation by the time the command
 * looks them up: a second session can rename schemas or attach partitions
 * while the command waits for a lock, and an event trigger can do so in its
 * midst.  The object access hook sees the relations that are really changed,
 * but not always what is done to them.  FgDdlCommand joins the two: the
 * utility hook notes there what the command does and for which relations it
 * has asked, and the object access hook asks for every other one.
 *
 * Commands run inside each other (functions, event triggers, scripts), so that
 * the current one is the top of a stack.  It lives in the frame of the utility
 * hook, which takes it off again, also after an error.
 *
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_trigger.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "fg_ddl_command.h"
#include "fg_decide.h"
#include "fg_event.h"
#include "fg_install.h"
#include "fg_own.h"
#include "fg_shadow.h"

FgDdlCommand *fg_ddl_current = NULL;

/* ----------------------------------------------------------------
 *		The command
 * ----------------------------------------------------------------
 */

static int
alter_table_does(const AlterTableStmt *stmt)
{
	int			does = 0;
	ListCell   *lc;

	foreach(lc, stmt->cmds)
	{
		switch (lfirst_node(AlterTableCmd, lc)->subtype)
		{
			case AT_AlterColumnType:
				does |= FG_DDL_RETYPES;
				break;
			case AT_DetachPartition:
			case AT_DetachPartitionFinalize:
			case AT_DropInherit:
				does |= FG_DDL_SEPARATES;
				break;
			case AT_AddInherit:
				does |= FG_DDL_JOINS;
				break;
			default:
				break;
		}
	}
	return does;
}

void
fg_ddl_command_init(FgDdlCommand *command, Node *stmt)
{
	memset(command, 0, sizeof(*command));
	command->tag = nodeTag(stmt);
	command->context = CurrentMemoryContext;
	command->outer = fg_ddl_current;
	switch (nodeTag(stmt))
	{
		case T_RenameStmt:
			command->does = FG_DDL_RENAMES;
			break;
		case T_AlterObjectSchemaStmt:
			command->does = FG_DDL_MOVES;
			break;
		case T_AlterOwnerStmt:
		case T_ReassignOwnedStmt:
			command->does = FG_DDL_GIVES;
			break;
		case T_AlterEnumStmt:
			if (((AlterEnumStmt *) stmt)->oldVal != NULL)
				command->does = FG_DDL_RENAMES_VALUE;
			break;
		case T_AlterTableStmt:
			command->does = alter_table_does((AlterTableStmt *) stmt);
			break;
		default:
			break;
	}
}

/* ----------------------------------------------------------------
 *		Asking
 * ----------------------------------------------------------------
 */

FgRelation *
fg_ddl_governed(Oid relid)
{
	char		relkind = get_rel_relkind(relid);

	if (relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE)
		return NULL;
	if (get_rel_persistence(relid) == RELPERSISTENCE_TEMP)
		return NULL;
	return fg_policy_lookup(relid);
}

/*
 * The script of an extension may change the extension's own tables.  Any other
 * table is asked for, and so is what event triggers do in its midst: they are no
 * part of the extension.
 */
static bool
own_script(Oid relid)
{
	return fg_own_script_command() && OidIsValid(CurrentExtensionObject) &&
		getExtensionOfObject(RelationRelationId, relid) == CurrentExtensionObject;
}

/* The relations whose policies govern one: a list of oids. */
static List *
policy_relids(Oid relid)
{
	FgRelation *entry = OidIsValid(relid) ? fg_ddl_governed(relid) : NULL;
	List	   *relids = NIL;

	for (int i = 0; entry != NULL && i < entry->n_policies; i++)
		relids = lappend_oid(relids, entry->policies[i]->relid);
	return relids;
}

/* Says also why a policy that somebody else has concerns the relation. */
static const char *
why_text(const FgPolicy *policy, Oid relid, const char *why)
{
	if (why == NULL || policy->relid == relid)
		return why;
	return psprintf("It is part of \"%s\", which is protected.  %s",
					fg_event_relation(policy->relid), why);
}

/* Asks "n" policies that the cache has right now. */
static bool
ask_each(FgPolicy **cached, int n, FgOperation op, Oid relid, const char *what,
		 const char *why)
{
	FgPolicy  **policies = palloc(sizeof(FgPolicy *) * Max(n, 1));
	FgPolicyArena *pin = fg_policy_pin();
	bool		permitted = false;

	memcpy(policies, cached, sizeof(FgPolicy *) * n);
	PG_TRY();
	{
		for (int i = 0; i < n; i++)
		{
			FgRequest	request = {.question = FG_ASK_COMMAND};
			FgVerdict	verdict;

			request.op = op;
			request.policy = policies[i];
			request.relid = relid;
			request.role = GetUserId();
			request.what = what;
			request.why = why_text(policies[i], relid, why);
			fg_decide(&request, &verdict);
			permitted |= verdict.permitted;
		}
	}
	PG_FINALLY();
	{
		fg_policy_unpin(pin);
	}
	PG_END_TRY();
	return permitted;
}

bool
fg_ddl_ask_policies(const FgRelation *entry, FgOperation op, Oid relid, const char *what)
{
	return ask_each(entry->policies, entry->n_policies, op, relid, what, NULL);
}

void
fg_ddl_ask(const FgDdlQuestion *question)
{
	List	   *unwanted;
	FgRelation *entry;
	FgPolicy  **policies;
	int			n = 0;

	if (fg_ddl_governed(question->relid) == NULL || fg_install_own_work() ||
		own_script(question->relid) || (question->loads && fg_own_loading(InvalidOid)))
		return;
	unwanted = policy_relids(question->not_of);

	/* the look-ups may have thrown away what was found before */
	entry = fg_ddl_governed(question->relid);
	if (entry == NULL)
		return;
	policies = palloc(sizeof(FgPolicy *) * entry->n_policies);
	for (int i = 0; i < entry->n_policies; i++)
	{
		Oid			relid = entry->policies[i]->relid;

		if (!list_member_oid(unwanted, relid))
			policies[n++] = entry->policies[i];
	}
	(void) ask_each(policies, n, FG_OP_DDL, question->relid, question->what, question->why);
}

void
fg_ddl_keep_rows(Oid relid)
{
	FgRelation *entry = fg_ddl_governed(relid);
	Relation	rel;
	Oid			owner;

	if (entry == NULL || fg_install_own_work())
		return;
	if (fg_ddl_current != NULL)
	{
		MemoryContext old;

		if (list_member_oid(fg_ddl_current->kept, relid))
			return;
		old = MemoryContextSwitchTo(fg_ddl_current->context);
		fg_ddl_current->kept = lappend_oid(fg_ddl_current->kept, relid);
		MemoryContextSwitchTo(old);
	}
	owner = fg_policy_shadow_owner(entry, FG_ARCHIVE_DELETE);
	if (!OidIsValid(owner) || get_rel_relkind(relid) != RELKIND_RELATION)
		return;
	rel = table_open(relid, NoLock);
	(void) fg_shadow_archive_all(rel, owner, FG_SHADOW_OP_COLUMN);
	table_close(rel, NoLock);
}

/* Is there a policy that is applied to the relation? */
static bool
is_asked_for(Oid relid)
{
	FgRelation *entry = fg_ddl_governed(relid);

	for (int i = 0; entry != NULL && i < entry->n_policies; i++)
	{
		if (entry->policies[i]->mode != FG_MODE_OFF)
			return true;
	}
	return false;
}

void
fg_ddl_ask_keepers(List *relids, const FgDdlQuestion *question)
{
	bool		asked = false;
	ListCell   *lc;

	foreach(lc, relids)
	{
		FgDdlQuestion one = *question;

		one.relid = lfirst_oid(lc);
		asked |= is_asked_for(one.relid);
		fg_ddl_ask(&one);
	}
	if (asked || !fg_own_guarded())
		return;
	foreach(lc, relids)
	{
		if (fg_own_relation(lfirst_oid(lc)))
			fg_own_ask(question->what, psprintf("archive \"%s\"", fg_event_relation(lfirst_oid(lc))),
					   lfirst_oid(lc), question->why);
	}
}

void
fg_ddl_ask_before(FgDdlCommand *command, const FgDdlQuestion *question, bool entitled)
{
	MemoryContext old;
	bool		now = entitled && fg_ddl_governed(question->relid) != NULL;

	if (now)
		fg_ddl_ask(question);
	old = MemoryContextSwitchTo(command->context);
	if (now)
		command->asked = list_append_unique_oid(command->asked, question->relid);
	else
	{
		FgDdlQuestion *copy = palloc(sizeof(FgDdlQuestion));

		*copy = *question;
		copy->what = pstrdup(question->what);
		copy->why = pstrdup(question->why);
		command->unasked = lappend(command->unasked, copy);
	}
	MemoryContextSwitchTo(old);
}

void
fg_ddl_ask_after(const FgDdlCommand *command)
{
	ListCell   *lc;

	if (command->unasked == NIL)
		return;
	CommandCounterIncrement();
	foreach(lc, command->unasked)
		fg_ddl_ask(lfirst(lc));
}

void
fg_ddl_ask_trigger(Oid relid, const char *what, const char *trigger)
{
	FgRequest	request = {.question = FG_ASK_ADMIN,.op = FG_OP_ADMIN};
	FgVerdict	verdict;

	if (fg_install_own_work() || fg_ddl_governed(relid) == NULL)
		return;
	request.relid = relid;
	request.role = GetUserId();
	request.what = what;
	request.object = psprintf("trigger \"%s\" of table \"%s\"", trigger, fg_event_relation(relid));
	request.why = "Without it, the table's rows would be neither guarded nor archived as its policy says.";
	fg_decide(&request, &verdict);
}

/* ----------------------------------------------------------------
 *		Pieces of tables
 * ----------------------------------------------------------------
 */

/* A copy of the catalog row of an object; NULL: not there. */
static HeapTuple
read_object(Oid class_id, Oid index_id, AttrNumber oid_column, Oid object, Snapshot snapshot)
{
	Relation	catalog = table_open(class_id, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, oid_column, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(object));
	scan = systable_beginscan(catalog, index_id, true, snapshot, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		tuple = heap_copytuple(tuple);
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return tuple;
}

bool
fg_ddl_read_trigger(Oid trigger, Snapshot snapshot, FgDdlTrigger *found)
{
	HeapTuple	tuple = read_object(TriggerRelationId, TriggerOidIndexId,
									Anum_pg_trigger_oid, trigger, snapshot);
	Form_pg_trigger form;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_trigger) GETSTRUCT(tuple);
	found->relid = form->tgrelid;
	found->parent = form->tgparentid;
	strlcpy(found->name, NameStr(form->tgname), NAMEDATALEN);
	found->type = form->tgtype;
	found->enabled = form->tgenabled;
	heap_freetuple(tuple);
	return true;
}

Oid
fg_ddl_read_relation(Oid class_id, Oid object, Snapshot snapshot)
{
	HeapTuple	tuple;
	Oid			relid;

	if (class_id == PolicyRelationId)
		tuple = read_object(class_id, PolicyOidIndexId, Anum_pg_policy_oid, object, snapshot);
	else
		tuple = read_object(class_id, RewriteOidIndexId, Anum_pg_rewrite_oid, object, snapshot);
	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	relid = class_id == PolicyRelationId ?
		((Form_pg_policy) GETSTRUCT(tuple))->polrelid :
		((Form_pg_rewrite) GETSTRUCT(tuple))->ev_class;
	heap_freetuple(tuple);
	return relid;
}
