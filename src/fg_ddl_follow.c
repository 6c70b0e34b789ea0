/*-------------------------------------------------------------------------
 *
 * fg_ddl_follow.c
 *		What the guard must do after a command, to stay in step.
 *
 * A command that was let through may have made a partition, attached or
 * detached one, changed columns, or brought a table into a protected schema.
 * Triggers and archives are adjusted right after it, in its transaction, so
 * that there is no moment in which the table is not guarded.  ENABLE TRIGGER ALL,
 * with which a data-only dump ends a table, would leave the guard's triggers to
 * fire not always; they are put right, too.
 *
 * The server may scribble on a command's tree, so a copy of it is read
 * afterwards.  Tables that were made or moved are known by their oids, which
 * the object access hook has noted: their names could mean others by then.
 *
 * Locks: fg_apply_tree takes ShareRowExclusiveLock, where the command itself
 * had nothing stronger.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "fg_apply.h"
#include "fg_catalog.h"
#include "fg_ddl_follow.h"
#include "fg_policy.h"
#include "fg_schema.h"

/* ----------------------------------------------------------------
 *		Trees and columns
 * ----------------------------------------------------------------
 */

/*
 * Brings a relation into step with its policies after a command.  A partition
 * concerns nobody but itself and what is below it.  Anything else begins at
 * the topmost relations whose policies govern it: a new child can change what
 * its parents need.
 */
static void
follow_relation(Oid relid)
{
	FgRelation *entry;
	bool		partition;
	List	   *roots = NIL;
	ListCell   *lc;

	if (!OidIsValid(relid))
		return;
	fg_policy_changed(relid);	/* it may have been looked up in mid-command */
	partition = get_rel_relispartition(relid);
	entry = fg_policy_lookup(relid);
	if (entry == NULL)
		return;
	if (partition)
		roots = list_make1_oid(relid);
	else
	{
		for (int i = 0; i < entry->n_policies; i++)
			roots = list_append_unique_oid(roots, entry->policies[i]->relid);
	}
	foreach(lc, roots)
		fg_apply_tree(lfirst_oid(lc));
}

/*
 * The same after a change of columns, which goes on to all that is below the
 * relation, protected by itself or not.
 */
static void
follow_columns(Oid relid)
{
	List	   *roots = NIL;
	ListCell   *lc;

	if (!OidIsValid(relid))
		return;
	fg_policy_changed(relid);
	foreach(lc, find_all_inheritors(relid, NoLock, NULL))
	{
		FgRelation *entry = fg_policy_lookup(lfirst_oid(lc));

		for (int i = 0; entry != NULL && i < entry->n_policies; i++)
			roots = list_append_unique_oid(roots, entry->policies[i]->relid);
	}
	foreach(lc, roots)
		fg_apply_tree(lfirst_oid(lc));
}

/* A relation that the command took out of a tree loses what it had there. */
static void
follow_detached(Oid relid)
{
	fg_policy_changed(relid);
	fg_apply_tree(relid);
	fg_schema_follow(relid);
}

/* Triggers were switched on, of this relation and what is below it. */
static void
follow_triggers(Oid relid)
{
	if (OidIsValid(relid) && fg_policy_lookup(relid) != NULL)
		fg_apply_triggers(relid);
}

static void
follow_alter_table(const AlterTableStmt *stmt)
{
	bool		columns = false;
	ListCell   *lc;

	foreach(lc, stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst(lc);

		if (cmd->subtype == AT_AttachPartition)
			follow_relation(RangeVarGetRelid(((PartitionCmd *) cmd->def)->name, NoLock, true));
		else if (cmd->subtype == AT_EnableTrigAll || cmd->subtype == AT_EnableTrigUser)
			follow_triggers(RangeVarGetRelid(stmt->relation, NoLock, true));
		else if (cmd->subtype != AT_DetachPartition &&
				 cmd->subtype != AT_DetachPartitionFinalize)
			columns = true;
	}
	if (columns)
		follow_columns(RangeVarGetRelid(stmt->relation, NoLock, true));
}

/* ALTER TYPE ... CASCADE changes the columns of the type's typed tables. */
static void
follow_type(const RangeVar *name)
{
	Oid			type = get_rel_type_id(RangeVarGetRelid(name, NoLock, true));
	List	   *relids = fg_catalog_policy_relids();
	ListCell   *lc;

	foreach(lc, relids)
	{
		HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(lfirst_oid(lc)));
		bool		typed;

		if (!HeapTupleIsValid(tuple))
			continue;
		typed = ((Form_pg_class) GETSTRUCT(tuple))->reloftype == type;
		ReleaseSysCache(tuple);
		if (typed && OidIsValid(type))
			follow_columns(lfirst_oid(lc));
	}
}

/* ----------------------------------------------------------------
 *		Which commands
 * ----------------------------------------------------------------
 */

/* Does a command change what the guard keeps beside the table? */
static bool
alters_followed(const AlterTableStmt *stmt)
{
	ListCell   *lc;

	if (stmt->objtype != OBJECT_TABLE && stmt->objtype != OBJECT_TYPE)
		return false;
	foreach(lc, stmt->cmds)
	{
		switch (((AlterTableCmd *) lfirst(lc))->subtype)
		{
			case AT_AddColumn:
			case AT_DropColumn:
			case AT_AlterColumnType:
			case AT_AttachPartition:
			case AT_DetachPartition:
			case AT_DetachPartitionFinalize:
			case AT_AddInherit:
			case AT_DropInherit:
			case AT_EnableTrigAll:
			case AT_EnableTrigUser:
				return true;
			default:
				break;
		}
	}
	return false;
}

static bool
renames_followed(const RenameStmt *stmt)
{
	switch (stmt->renameType)
	{
		case OBJECT_COLUMN:
		case OBJECT_ATTRIBUTE:
			return stmt->relation != NULL;
		case OBJECT_SCHEMA:
			return true;
		default:
			return false;
	}
}

static bool
is_followed(Node *stmt)
{
	switch (nodeTag(stmt))
	{
		case T_CreateStmt:
		case T_CreateForeignTableStmt:	/* begins with a CreateStmt */
			return ((CreateStmt *) stmt)->inhRelations != NIL;
		case T_AlterTableStmt:
			return alters_followed((AlterTableStmt *) stmt);
		case T_RenameStmt:
			return renames_followed((RenameStmt *) stmt);
		default:
			return false;
	}
}

/* The relation that an ALTER TABLE takes out of its tree; or InvalidOid. */
static Oid
detached_relation(const AlterTableStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst(lc);

		if (cmd->subtype == AT_DetachPartition || cmd->subtype == AT_DetachPartitionFinalize)
			return RangeVarGetRelid(((PartitionCmd *) cmd->def)->name, NoLock, true);
		if (cmd->subtype == AT_DropInherit)
			return RangeVarGetRelid(stmt->relation, NoLock, true);
	}
	return InvalidOid;
}

void
fg_ddl_follow_begin(FgDdlFollow *follow, Node *stmt)
{
	memset(follow, 0, sizeof(*follow));
	if (!is_followed(stmt))
		return;
	follow->stmt = copyObject(stmt);
	if (IsA(stmt, AlterTableStmt))
		follow->detached = detached_relation((AlterTableStmt *) stmt);
	else if (IsA(stmt, RenameStmt) && ((RenameStmt *) stmt)->renameType == OBJECT_SCHEMA)
		follow->schema = get_namespace_oid(((RenameStmt *) stmt)->subname, true);
}

static void
follow_rename(const FgDdlFollow *follow)
{
	const RenameStmt *stmt = (const RenameStmt *) follow->stmt;

	if (stmt->renameType == OBJECT_SCHEMA)
	{
		if (OidIsValid(follow->schema))
			fg_schema_renamed(follow->schema, stmt->subname);
	}
	else if (stmt->renameType == OBJECT_ATTRIBUTE)
		follow_type(stmt->relation);
	else
		follow_columns(RangeVarGetRelid(stmt->relation, NoLock, true));
}

/* Tables that are new, or new in their schema, and still there. */
static void
follow_arrivals(const FgDdlFollow *follow, const FgDdlCommand *command)
{
	bool		below = follow->stmt != NULL && command->tag != T_AlterTableStmt &&
		command->tag != T_RenameStmt;
	ListCell   *lc;

	foreach(lc, command->arrivals)
	{
		Oid			relid = lfirst_oid(lc);
		char		relkind = get_rel_relkind(relid);

		if (relkind == '\0')
			continue;
		if (below)
			follow_relation(relid); /* refuses a temporary child, too */
		if (relkind == RELKIND_RELATION || relkind == RELKIND_PARTITIONED_TABLE)
			fg_schema_follow(relid);
	}
}

/* A type, or an extension, has gone, and columns of tables with it. */
static void
follow_losses(const FgDdlCommand *command)
{
	ListCell   *lc;

	foreach(lc, command->kept)
	{
		if (fg_policy_active() && get_rel_relkind(lfirst_oid(lc)) != '\0')
			follow_columns(lfirst_oid(lc));
	}
}

void
fg_ddl_follow_end(const FgDdlFollow *follow, const FgDdlCommand *command)
{
	if (follow->stmt == NULL && command->arrivals == NIL && command->kept == NIL)
		return;
	CommandCounterIncrement();
	if (command->kept != NIL && follow->stmt == NULL)
		follow_losses(command);
	if (OidIsValid(follow->detached))
		follow_detached(follow->detached);
	if (command->arrivals != NIL)
		follow_arrivals(follow, command);
	if (follow->stmt == NULL)
		return;
	if (IsA(follow->stmt, RenameStmt))
		follow_rename(follow);
	else if (IsA(follow->stmt, AlterTableStmt))
	{
		const AlterTableStmt *stmt = (const AlterTableStmt *) follow->stmt;

		if (stmt->objtype == OBJECT_TYPE)
			follow_type(stmt->relation);
		else
			follow_alter_table(stmt);
	}
}
