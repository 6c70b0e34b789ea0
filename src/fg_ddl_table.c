/*-------------------------------------------------------------------------
 *
 * fg_ddl_table.c
 *		Commands that change protected tables without dropping them.
 *
 * Refused, through fg_decide, unless there is permission (ZG005):
 *
 *	ALTER COLUMN TYPE where it may change values; RENAME of the table, of a
 *	column, of its schema; SET SCHEMA; OWNER, REASSIGN OWNED, but not of what has
 *	just come into a protected schema and has no row, as when a dump is loaded
 *	DISABLE TRIGGER, ENABLE TRIGGER and its kin where a trigger of the guard
 *	would be enabled otherwise than it was made; all that switches rules and
 *	row security
 *	CREATE and ALTER POLICY, CREATE RULE, CREATE TRIGGER with BEFORE
 *	REPLICA IDENTITY, SET UNLOGGED, SET ACCESS METHOD
 *	DETACH PARTITION, NO INHERIT, INHERIT under a parent that is not protected
 *	renaming a value of an enum that the table keeps values of
 *	ALTER EXTENSION ... ADD TABLE, which hides its rows from pg_dump
 *	ALTER TABLE that this version of the guard does not know
 *
 * and, as a change of the guard itself (ZG011):
 *
 *	CREATE OR REPLACE and RENAME of a trigger of the guard, and making one
 *	depend on an extension
 *
 * Where the object access hook shows what is done to which relation, it is
 * asked there: no name can mislead it, and it sees what a command reaches by
 * recursion.  The rest is asked for by the text of the command before it runs;
 * see fg_ddl_command.c for what may happen between.  There, a name without a
 * schema is replaced by the one with the schema in which it was found, so that
 * the server finds no other relation than the guard: a protected relation
 * cannot get another name or schema without permission.
 *
 * Locks: the commands have theirs; names are looked up without.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "storage/bufmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "fg_catalog.h"
#include "fg_ddl_table.h"
#include "fg_ddl_type.h"
#include "fg_install.h"
#include "fg_own.h"
#include "fg_policy.h"
#include "fg_trash.h"

#define WHY_TYPE		"It would rewrite the values of column \"%s\"."
#define WHY_SECURITY	"It would change which of its rows can be seen and changed."
#define WHY_RULE		"A rule turns a statement into another one, or into none."
#define WHY_TRIGGER		"A trigger that fires before a row is written can change it, or undo what was asked."
#define WHY_NAME		"Whoever looks for it under its name would not find it any more."

/* ----------------------------------------------------------------
 *		Before the command: ALTER TABLE
 * ----------------------------------------------------------------
 */

/* Subcommands that need no look at what they say. */
static const struct
{
	AlterTableType subtype;
	const char *what;
	const char *why;
}			plain_refusals[] =
{
	{AT_EnableRule, "ALTER TABLE ... ENABLE RULE", WHY_RULE},
	{AT_EnableAlwaysRule, "ALTER TABLE ... ENABLE ALWAYS RULE", WHY_RULE},
	{AT_EnableReplicaRule, "ALTER TABLE ... ENABLE REPLICA RULE", WHY_RULE},
	{AT_DisableRule, "ALTER TABLE ... DISABLE RULE", WHY_RULE},
	{AT_EnableRowSecurity, "ALTER TABLE ... ENABLE ROW LEVEL SECURITY", WHY_SECURITY},
	{AT_DisableRowSecurity, "ALTER TABLE ... DISABLE ROW LEVEL SECURITY", WHY_SECURITY},
	{AT_ForceRowSecurity, "ALTER TABLE ... FORCE ROW LEVEL SECURITY", WHY_SECURITY},
	{AT_NoForceRowSecurity, "ALTER TABLE ... NO FORCE ROW LEVEL SECURITY", WHY_SECURITY},
	{AT_ReplicaIdentity, "ALTER TABLE ... REPLICA IDENTITY",
	"Replicas would tell its rows apart by something else, or not at all."},
	{AT_SetUnLogged, "ALTER TABLE ... SET UNLOGGED", "A crash of the server would empty it."}
};

/*
 * Subcommands that pass, and those that the object access hook asks for.  Any
 * other, also one that a later version of the server brings, is looked at.
 */
static bool
passes_unseen(AlterTableType subtype)
{
	switch (subtype)
	{
		case AT_AddColumn:
		case AT_ColumnDefault:
		case AT_CookedColumnDefault:
		case AT_DropNotNull:
		case AT_SetNotNull:
		case AT_DropExpression:
		case AT_SetStatistics:
		case AT_SetOptions:
		case AT_ResetOptions:
		case AT_SetStorage:
		case AT_SetCompression:
		case AT_DropColumn:
		case AT_AddIndex:
		case AT_AddConstraint:
		case AT_AddIndexConstraint:
		case AT_AlterConstraint:
		case AT_ValidateConstraint:
		case AT_DropConstraint:
		case AT_AlterColumnGenericOptions:
		case AT_ClusterOn:
		case AT_DropCluster:
		case AT_SetLogged:
		case AT_DropOids:
		case AT_SetTableSpace:
		case AT_SetRelOptions:
		case AT_ResetRelOptions:
		case AT_ReplaceRelOptions:
		case AT_EnableTrig:
		case AT_EnableAlwaysTrig:
		case AT_EnableReplicaTrig:
		case AT_DisableTrig:
		case AT_EnableTrigAll:
		case AT_DisableTrigAll:
		case AT_EnableTrigUser:
		case AT_DisableTrigUser:
		case AT_AddOf:
		case AT_DropOf:
		case AT_GenericOptions:
		case AT_AttachPartition:
		case AT_AddIdentity:
		case AT_SetIdentity:
		case AT_DropIdentity:
			return true;
		default:
			return false;
	}
}

static Oid
relation_owner(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			owner = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
		ReleaseSysCache(tuple);
	}
	return owner;
}

/* Is it an ordinary table, protected with its schema, and without a page yet? */
static bool
just_came(Oid relid)
{
	FgPolicyRow *policy = fg_catalog_get_policy(relid);
	Relation	rel;
	bool		empty;

	if (policy == NULL || policy->schema_policy == 0 ||
		get_rel_relkind(relid) != RELKIND_RELATION)
		return false;
	rel = table_open(relid, AccessShareLock);
	empty = RelationGetNumberOfBlocks(rel) == 0;
	table_close(rel, AccessShareLock);
	return empty;
}

static void
ask_retype(Oid relid, AttrNumber attnum)
{
	FgDdlQuestion question = {.relid = relid,.what = "ALTER TABLE ... ALTER COLUMN TYPE"};

	question.why = psprintf(WHY_TYPE, get_attname(relid, attnum, true));
	fg_ddl_ask(&question);
}

/* For the object access hook: it need not ask once more, or it has something to do. */
static void
note(FgDdlCommand *command, List **relids, Oid relid)
{
	MemoryContext old = MemoryContextSwitchTo(command->context);

	*relids = list_append_unique_oid(*relids, relid);
	MemoryContextSwitchTo(old);
}

/* The column in the relation and in all that is below it. */
static void
check_retype(Oid relid, bool recurse, const AlterTableCmd *cmd, FgDdlCommand *command)
{
	List	   *relids = recurse ? find_all_inheritors(relid, NoLock, NULL) : list_make1_oid(relid);
	ListCell   *lc;

	foreach(lc, relids)
	{
		Oid			member = lfirst_oid(lc);
		AttrNumber	attnum;

		if (fg_ddl_governed(member) == NULL)
			continue;
		attnum = get_attnum(member, cmd->name);
		if (attnum > 0 && !fg_ddl_type_keeps_values(member, attnum, (ColumnDef *) cmd->def))
		{
			ask_retype(member, attnum);
			note(command, &command->rewritten, member);
		}
		note(command, &command->asked, member);
	}
}

/* What a relation has from its parent ends when it leaves it. */
static void
ask_leave(Oid relid, Oid parent, const char *what)
{
	FgDdlQuestion question = {.relid = relid,.what = what};

	question.why = psprintf(fg_ddl_governed(parent) != NULL ?
							"The limits and archives of \"%s\" would not count for it any more." :
							"Whoever looks for its rows in \"%s\" would not find them any more.",
							get_rel_name(parent));
	fg_ddl_ask(&question);
}

/* Under a parent that is protected itself, a relation is none the worse. */
static void
ask_join(Oid relid, Oid parent, const char *what)
{
	FgDdlQuestion question = {.relid = relid,.what = what};

	if (fg_ddl_governed(parent) != NULL || fg_trash_joins(relid))
		return;
	question.why = psprintf("Commands on \"%s\", which is not protected, would reach its rows.",
							get_rel_name(parent));
	fg_ddl_ask(&question);
}

/*
 * Names the two relations of a subcommand that joins or separates them.  False
 * if one is not there.
 */
static bool
parent_and_child(Oid relid, const AlterTableCmd *cmd, Oid *parent, Oid *child)
{
	if (cmd->subtype == AT_AddInherit || cmd->subtype == AT_DropInherit)
	{
		*child = relid;
		*parent = RangeVarGetRelid((RangeVar *) cmd->def, NoLock, true);
	}
	else
	{
		*parent = relid;
		*child = RangeVarGetRelid(((PartitionCmd *) cmd->def)->name, NoLock, true);
	}
	return OidIsValid(*parent) && OidIsValid(*child);
}

static void
check_tree(Oid relid, const AlterTableCmd *cmd, FgDdlCommand *command)
{
	Oid			parent;
	Oid			child;

	if (!parent_and_child(relid, cmd, &parent, &child) || fg_ddl_governed(child) == NULL)
		return;
	switch (cmd->subtype)
	{
		case AT_AddInherit:
			ask_join(child, parent, "ALTER TABLE ... INHERIT");
			break;
		case AT_DropInherit:
			ask_leave(child, parent, "ALTER TABLE ... NO INHERIT");
			break;
		default:
			ask_leave(child, parent, "ALTER TABLE ... DETACH PARTITION");
			break;
	}
	note(command, &command->asked, child);
}

/*
 * What the object access hook sees as well is left to it where the user is not
 * entitled to the command.
 */
static void
check_subcommand(Oid relid, bool recurse, const AlterTableCmd *cmd, FgDdlCommand *command)
{
	bool		entitled = pg_class_ownercheck(relid, GetUserId());
	FgDdlQuestion question = {.relid = relid};

	for (int i = 0; i < lengthof(plain_refusals); i++)
	{
		if (plain_refusals[i].subtype != cmd->subtype)
			continue;
		question.what = plain_refusals[i].what;
		question.why = plain_refusals[i].why;
		question.loads = cmd->subtype != AT_SetUnLogged;
		fg_ddl_ask_before(command, &question, entitled);
		return;
	}
	switch (cmd->subtype)
	{
		case AT_AlterColumnType:
			if (entitled)
				check_retype(relid, recurse, cmd, command);
			return;
		case AT_DetachPartition:
		case AT_DetachPartitionFinalize:
		case AT_AddInherit:
		case AT_DropInherit:
			if (entitled)
				check_tree(relid, cmd, command);
			return;
		case AT_ChangeOwner:
			if (get_rolespec_oid(cmd->newowner, true) == relation_owner(relid) ||
				just_came(relid))
				return;
			question.what = "ALTER TABLE ... OWNER";
			question.why = "Another role could do with it what only its owner may.";
			break;
		case AT_SetAccessMethod:
			if (cmd->name != NULL && strcmp(cmd->name, "heap") == 0)
				return;
			question.what = "ALTER TABLE ... SET ACCESS METHOD";
			question.why = "Only tables of the heap access method can be guarded.";
			break;
		default:
			question.what = "this ALTER TABLE";
			question.why = "The guard does not know what it would do.";
			break;
	}
	fg_ddl_ask_before(command, &question, entitled);
}

/* ----------------------------------------------------------------
 *		Before the command: names
 * ----------------------------------------------------------------
 */

/* Writes down in which schema the relation was found. */
static void
qualify(RangeVar *name)
{
	Oid			relid;

	if (name == NULL || name->schemaname != NULL)
		return;
	relid = RangeVarGetRelid(name, NoLock, true);
	if (OidIsValid(relid) && get_rel_persistence(relid) != RELPERSISTENCE_TEMP)
		name->schemaname = get_namespace_name(get_rel_namespace(relid));
}

static void
qualify_alter_table(AlterTableStmt *stmt)
{
	ListCell   *lc;

	qualify(stmt->relation);
	foreach(lc, stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		if (cmd->subtype == AT_DetachPartition || cmd->subtype == AT_DetachPartitionFinalize)
			qualify(((PartitionCmd *) cmd->def)->name);
		else if (cmd->subtype == AT_AddInherit || cmd->subtype == AT_DropInherit)
			qualify((RangeVar *) cmd->def);
	}
}

/* ALTER TYPE is seen by the object access hook alone. */
static bool
needs_look(const AlterTableStmt *stmt)
{
	ListCell   *lc;

	if (stmt->objtype == OBJECT_TYPE)
		return false;
	foreach(lc, stmt->cmds)
	{
		if (!passes_unseen(lfirst_node(AlterTableCmd, lc)->subtype))
			return true;
	}
	return false;
}

static PlannedStmt *
check_alter_table(PlannedStmt *pstmt, FgDdlCommand *command)
{
	AlterTableStmt *stmt = (AlterTableStmt *) pstmt->utilityStmt;
	Oid			relid;
	char		relkind;
	ListCell   *lc;

	if (!needs_look(stmt))
		return pstmt;
	pstmt = copyObject(pstmt);
	stmt = (AlterTableStmt *) pstmt->utilityStmt;
	qualify_alter_table(stmt);
	relid = RangeVarGetRelid(stmt->relation, NoLock, true);
	relkind = OidIsValid(relid) ? get_rel_relkind(relid) : '\0';
	if ((relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE) ||
		get_rel_persistence(relid) == RELPERSISTENCE_TEMP)
		return pstmt;
	foreach(lc, stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		if (!passes_unseen(cmd->subtype))
			check_subcommand(relid, stmt->relation->inh, cmd, command);
	}
	return pstmt;
}

/*
 * A trigger of the guard would go with the extension.
 */
static PlannedStmt *
check_depends(PlannedStmt *pstmt)
{
	AlterObjectDependsStmt *stmt = (AlterObjectDependsStmt *) pstmt->utilityStmt;
	const char *name;
	Oid			relid;

	if (stmt->objectType != OBJECT_TRIGGER || stmt->remove || stmt->relation == NULL)
		return pstmt;
	name = strVal(llast(castNode(List, stmt->object)));
	if (!fg_install_trigger_name(name))
		return pstmt;
	pstmt = copyObject(pstmt);
	stmt = (AlterObjectDependsStmt *) pstmt->utilityStmt;
	qualify(stmt->relation);
	relid = RangeVarGetRelid(stmt->relation, NoLock, true);
	if (OidIsValid(relid))
		fg_ddl_ask_trigger(relid, "ALTER TRIGGER ... DEPENDS ON EXTENSION", name);
	return pstmt;
}

static PlannedStmt *
check_extension(PlannedStmt *pstmt)
{
	AlterExtensionContentsStmt *stmt = (AlterExtensionContentsStmt *) pstmt->utilityStmt;
	FgDdlQuestion question = {.what = "ALTER EXTENSION ... ADD TABLE"};
	RangeVar   *name;

	if (stmt->action <= 0 || stmt->objtype != OBJECT_TABLE)
		return pstmt;
	pstmt = copyObject(pstmt);
	stmt = (AlterExtensionContentsStmt *) pstmt->utilityStmt;
	name = makeRangeVarFromNameList(castNode(List, stmt->object));
	qualify(name);
	question.relid = RangeVarGetRelid(name, NoLock, true);
	if (name->schemaname != NULL && name->catalogname == NULL)
		stmt->object = (Node *) list_make2(makeString(name->schemaname), makeString(name->relname));
	question.why = "Dumps of the database would leave its rows out, and the extension's removal would drop it.";
	if (OidIsValid(question.relid))
		fg_ddl_ask(&question);
	return pstmt;
}

PlannedStmt *
fg_ddl_table_utility(PlannedStmt *pstmt, FgDdlCommand *command)
{
	switch (nodeTag(pstmt->utilityStmt))
	{
		case T_AlterTableStmt:
			return check_alter_table(pstmt, command);
		case T_AlterObjectDependsStmt:
			return check_depends(pstmt);
		case T_AlterExtensionContentsStmt:
			return check_extension(pstmt);
		default:
			return pstmt;
	}
}

/* ----------------------------------------------------------------
 *		While the command runs
 * ----------------------------------------------------------------
 */

/*
 * A trigger was made or replaced.  A copy of a partitioned table's trigger is
 * no news for the policies that govern that table, too.
 */
static void
trigger_made(Oid trigger)
{
	FgDdlQuestion question = {.what = "CREATE TRIGGER",.loads = true};
	FgDdlTrigger made;
	FgDdlTrigger parent;

	if (!fg_ddl_read_trigger(trigger, SnapshotSelf, &made))
		return;
	if (fg_install_trigger_name(made.name) && !fg_own_loading(InvalidOid))
		fg_ddl_ask_trigger(made.relid, "CREATE TRIGGER", made.name);
	if (!TRIGGER_FOR_BEFORE(made.type) && !TRIGGER_FOR_INSTEAD(made.type))
		return;
	question.relid = made.relid;
	question.why = WHY_TRIGGER;
	if (OidIsValid(made.parent) && fg_ddl_read_trigger(made.parent, SnapshotSelf, &parent))
		question.not_of = parent.relid;
	fg_ddl_ask(&question);
}

/*
 * A trigger was renamed, or switched on or off.  The catalogs' snapshot shows
 * it as it was before this command.
 */
static void
trigger_altered(Oid trigger)
{
	FgDdlQuestion question = {.loads = true};
	FgDdlTrigger old;
	FgDdlTrigger new;

	if (!fg_ddl_read_trigger(trigger, NULL, &old) ||
		!fg_ddl_read_trigger(trigger, SnapshotSelf, &new))
		return;
	if (strcmp(old.name, new.name) != 0)
	{
		if (fg_install_trigger_name(old.name) || fg_install_trigger_name(new.name))
			fg_ddl_ask_trigger(new.relid, "ALTER TRIGGER ... RENAME",
							   fg_install_trigger_name(old.name) ? old.name : new.name);
		return;
	}
	if (!fg_install_trigger_name(new.name) ||
		new.enabled == fg_install_trigger_enabled(new.name))
		return;
	question.relid = new.relid;
	question.what = new.enabled == TRIGGER_DISABLED ? "ALTER TABLE ... DISABLE TRIGGER" :
		new.enabled == TRIGGER_FIRES_ON_REPLICA ? "ALTER TABLE ... ENABLE REPLICA TRIGGER" :
		new.enabled == TRIGGER_FIRES_ALWAYS ? "ALTER TABLE ... ENABLE ALWAYS TRIGGER" :
		"ALTER TABLE ... ENABLE TRIGGER";
	if (fg_install_trigger_enabled(new.name) == TRIGGER_FIRES_ALWAYS)
		question.why = psprintf("Trigger \"%s\" would not fire always, and its rows would be neither guarded nor archived.",
								new.name);
	else
		question.why = psprintf("Trigger \"%s\" would not fire for replicas only, as it must.", new.name);
	fg_ddl_ask(&question);
}

static void
rule_made(Oid rule)
{
	FgDdlQuestion question = {.what = "CREATE RULE",.why = WHY_RULE,.loads = true};

	question.relid = fg_ddl_read_relation(RewriteRelationId, rule, SnapshotSelf);
	if (OidIsValid(question.relid))
		fg_ddl_ask(&question);
}

static void
policy_written(Oid policy, const char *what)
{
	FgDdlQuestion question = {.what = what,.why = WHY_SECURITY,.loads = true};

	question.relid = fg_ddl_read_relation(PolicyRelationId, policy, SnapshotSelf);
	if (OidIsValid(question.relid))
		fg_ddl_ask(&question);
}

static void
relation_altered(Oid relid, AttrNumber attnum)
{
	FgDdlQuestion question = {.relid = relid};
	int			does = fg_ddl_current->does;

	if ((does & FG_DDL_MOVES) != 0 && attnum == 0)
	{
		MemoryContext old = MemoryContextSwitchTo(fg_ddl_current->context);

		fg_ddl_current->arrivals = list_append_unique_oid(fg_ddl_current->arrivals, relid);
		MemoryContextSwitchTo(old);
		question.what = "ALTER TABLE ... SET SCHEMA";
		question.why = WHY_NAME;
	}
	else if ((does & FG_DDL_RENAMES) != 0)
	{
		question.what = attnum != 0 ? "ALTER TABLE ... RENAME COLUMN" : "ALTER TABLE ... RENAME";
		question.why = attnum != 0 ? "Whoever looks for the column under its name would not find it any more." :
			WHY_NAME;
	}
	else if ((does & FG_DDL_GIVES) != 0)
	{
		if (just_came(relid))
			return;
		question.what = fg_ddl_current->tag == T_ReassignOwnedStmt ? "REASSIGN OWNED" :
			"ALTER TABLE ... OWNER";
		question.why = "Another role could do with it what only its owner may.";
	}
	else if ((does & FG_DDL_RETYPES) != 0 && attnum != 0)
	{
		/* the table is locked by now, and its values are what they were */
		if (fg_ddl_governed(relid) == NULL)
			return;
		if (!list_member_oid(fg_ddl_current->asked, relid))
			ask_retype(relid, attnum);
		else if (!list_member_oid(fg_ddl_current->rewritten, relid))
			return;
		fg_ddl_keep_rows(relid);
		return;
	}
	else
		return;
	fg_ddl_ask(&question);
}

/* Tables of the schema that are governed are asked for, one after another. */
static void
schema_renamed(Oid schema)
{
	FgDdlQuestion question = {.what = "ALTER SCHEMA ... RENAME"};
	ListCell   *lc;
	ListCell   *lc2;

	question.why = "Whoever looks for it in its schema would not find it any more.";
	foreach(lc, fg_catalog_policy_relids())
	{
		if (get_rel_name(lfirst_oid(lc)) == NULL)
			continue;
		foreach(lc2, find_all_inheritors(lfirst_oid(lc), NoLock, NULL))
		{
			question.relid = lfirst_oid(lc2);
			if (get_rel_namespace(question.relid) == schema)
				fg_ddl_ask(&question);
		}
	}
}

static void
enum_value_renamed(Oid type)
{
	FgDdlQuestion question = {.what = "ALTER TYPE ... RENAME VALUE"};

	question.why = psprintf("It would change what values of type \"%s\" in it say.",
							format_type_be(type));
	fg_ddl_ask_keepers(fg_ddl_type_tables(type), &question);
}

static void
object_altered(Oid class_id, Oid object, int sub_id, Oid auxiliary)
{
	if (class_id == TriggerRelationId)
		trigger_altered(object);
	else if (class_id == PolicyRelationId)
		policy_written(object, "ALTER POLICY");
	else if (fg_ddl_current == NULL)
		return;
	else if (class_id == RelationRelationId)
		relation_altered(object, sub_id);
	else if (class_id == InheritsRelationId)
	{
		if (list_member_oid(fg_ddl_current->asked, object))
			return;
		if ((fg_ddl_current->does & FG_DDL_SEPARATES) != 0)
			ask_leave(object, auxiliary, "ALTER TABLE");
		else if ((fg_ddl_current->does & FG_DDL_JOINS) != 0)
			ask_join(object, auxiliary, "ALTER TABLE");
	}
	else if (class_id == NamespaceRelationId)
	{
		if ((fg_ddl_current->does & FG_DDL_RENAMES) != 0)
			schema_renamed(object);
	}
	else if (class_id == TypeRelationId)
	{
		if ((fg_ddl_current->does & FG_DDL_RENAMES_VALUE) != 0)
			enum_value_renamed(object);
	}
}

static void
object_made(Oid class_id, Oid object, int sub_id)
{
	if (class_id == TriggerRelationId)
		trigger_made(object);
	else if (class_id == RewriteRelationId)
		rule_made(object);
	else if (class_id == PolicyRelationId)
		policy_written(object, "CREATE POLICY");
	else if (class_id == RelationRelationId && sub_id == 0 && fg_ddl_current != NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(fg_ddl_current->context);

		fg_ddl_current->arrivals = lappend_oid(fg_ddl_current->arrivals, object);
		MemoryContextSwitchTo(old);
	}
}

void
fg_ddl_table_access(ObjectAccessType access, Oid class_id, Oid object, int sub_id, void *arg)
{
	if (access == OAT_POST_ALTER)
		object_altered(class_id, object, sub_id,
					   ((ObjectAccessPostAlter *) arg)->auxiliary_id);
	else if (!((ObjectAccessPostCreate *) arg)->is_internal)
		object_made(class_id, object, sub_id);
}
