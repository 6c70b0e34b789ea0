/*-------------------------------------------------------------------------
 *
 * fg_ddl.c
 *		Watching commands: what they drop or truncate, and what they change
 *		that the guard must follow.
 *
 * Refused, through fg_decide, unless there is permission:
 *
 *	DROP of a protected table or a part of it, by whatever command and cascade
 *	TRUNCATE of one, by whatever cascade
 *
 * and, without a way to permission but a superuser's, the drop of a column of
 * an archive with the type that it has.
 *
 * Both are seen by the object access hook, which is called for each relation
 * that is really concerned, however the command came to it.  TRUNCATE is asked
 * for here before the triggers are, so that it is refused also where somebody
 * has removed those; archiving is the trigger's.
 *
 * A DROP with permission archives the rows first.  The server drops what
 * depends on a table before the table, its TOAST table included, without
 * which long values are lost; so the question is asked and the rows are saved
 * when the first of these pieces is about to go.
 *
 * Followed after the command: new partitions and children, ATTACH and INHERIT,
 * changed columns.  DISCARD ALL and RESET ALL end what a session has unlocked.
 *
 * Locks: the commands have theirs; fg_apply_tree takes ShareRowExclusiveLock.
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
#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_inherits.h"
#include "commands/extension.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "tcop/utility.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "fg_apply.h"
#include "fg_auditor.h"
#include "fg_auth.h"
#include "fg_catalog.h"
#include "fg_counter.h"
#include "fg_ddl.h"
#include "fg_ddl_database.h"
#include "fg_decide.h"
#include "fg_policy.h"
#include "fg_shadow.h"
#include "fg_xact.h"

/* A relation whose drop was permitted and whose rows are saved. */
typedef struct FgDropped
{
	dlist_node	link;
	Oid			relid;
	FgCounter	saved;			/* 0 again if that was rolled back */
} FgDropped;

static dlist_head dropped = DLIST_STATIC_INIT(dropped);

static object_access_hook_type previous_access = NULL;
static ProcessUtility_hook_type previous_utility = NULL;

/* ----------------------------------------------------------------
 *		DROP and TRUNCATE
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

/* Asks all policies of a relation; true if its rows shall be archived. */
static bool
ask_policies(const FgRelation *entry, FgOperation op, Oid relid, const char *what)
{
	int			n_policies = entry->n_policies;
	FgPolicy  **policies = palloc(sizeof(FgPolicy *) * n_policies);
	FgPolicyArena *pin = fg_policy_pin();
	bool		permitted = false;

	memcpy(policies, entry->policies, sizeof(FgPolicy *) * n_policies);
	PG_TRY();
	{
		for (int i = 0; i < n_policies; i++)
		{
			FgRequest	request = {.question = FG_ASK_COMMAND};
			FgVerdict	verdict;

			request.op = op;
			request.policy = policies[i];
			request.relid = relid;
			request.role = GetUserId();
			request.what = what;
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

/* Asks for the drop of a governed table and saves its rows, once. */
static void
ask_and_save(const FgRelation *entry, Oid relid)
{
	List	   *owners = NIL;
	Relation	rel;
	ListCell   *lc;

	for (int i = 0; i < entry->n_policies; i++)
	{
		if ((entry->policies[i]->archive & FG_ARCHIVE_DELETE) != 0)
			owners = list_append_unique_oid(owners, entry->shadow_owners[i]);
	}
	if (!first_time_dropped(relid) ||
		!ask_policies(entry, FG_OP_DDL, relid, "DROP TABLE"))
		return;
	rel = table_open(relid, NoLock);
	if (rel->rd_rel->relkind == RELKIND_RELATION)
	{
		foreach(lc, owners)
			(void) fg_shadow_archive_all(rel, lfirst_oid(lc), FG_SHADOW_OP_DROP);
	}
	table_close(rel, NoLock);
}

static void
guard_drop(Oid object)
{
	Oid			relid;
	FgRelation *entry;

	if (get_rel_persistence(object) == RELPERSISTENCE_TEMP)
		return;					/* never governed, and dropped all the time */
	relid = dropped_table(object);
	if (!OidIsValid(relid))
		return;
	/* with the extension, whose tables can't be looked into any more */
	if (get_rel_namespace(relid) == fg_catalog_schema() ||
		get_rel_namespace(relid) == get_namespace_oid("fortress_shadow", true))
		return;
	entry = fg_policy_lookup(relid);
	if (entry != NULL)
		ask_and_save(entry, relid);
	if (object != relid)
		return;

	/*
	 * The table itself, last of its pieces.  Its archive stays as it is, but
	 * nothing may say that it is this table's, whose oid another may get.
	 */
	if (fg_catalog_get_policy(relid) != NULL)
		fg_catalog_delete_policy(relid);
	if (OidIsValid(fg_catalog_get_shadow(relid)))
		fg_catalog_delete_shadow(relid);
}

static void
guard_truncate(Oid relid)
{
	FgRelation *entry = fg_policy_lookup(relid);

	if (entry != NULL)
		(void) ask_policies(entry, FG_OP_TRUNCATE, relid, "TRUNCATE");
}

/*
 * Archives have columns of the tables' types, so their owners could drop them
 * with CASCADE.  The guard's own DDL runs as the owner of the extension.
 */
static void
guard_column_drop(Oid relid)
{
	FgRequest	request = {.question = FG_ASK_ARCHIVE_COLUMN,.op = FG_OP_DDL};
	FgVerdict	verdict;

	if (get_rel_namespace(relid) != get_namespace_oid("fortress_shadow", true) ||
		GetUserId() == fg_catalog_owner())
		return;
	request.relid = relid;
	request.role = GetUserId();
	fg_decide(&request, &verdict);
}

static void
guard_object_access(ObjectAccessType access, Oid classId, Oid objectId,
					int subId, void *arg)
{
	if (previous_access)
		previous_access(access, classId, objectId, subId, arg);

	if (classId == ExtensionRelationId && access == OAT_DROP &&
		objectId == get_extension_oid("fortress_guard", true))
		fg_auditor_extension_dropped();
	if (classId != RelationRelationId ||
		(access != OAT_DROP && access != OAT_TRUNCATE))
		return;
	if (!fg_policy_active())
		return;
	if (subId != 0)
		guard_column_drop(objectId);
	else if (access == OAT_DROP)
	{
		/* the old TOAST index of REINDEX CONCURRENTLY: its table stays */
		if ((((ObjectAccessDrop *) arg)->dropflags & PERFORM_DELETION_CONCURRENT_LOCK) == 0)
			guard_drop(objectId);
	}
	else
		guard_truncate(objectId);
}

/* ----------------------------------------------------------------
 *		What the guard must follow
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
}

/* The relation that an ALTER TABLE takes out of its tree; or InvalidOid. */
static Oid
detached_relation(const AlterTableStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst(lc);

		if (cmd->subtype == AT_DetachPartition)
			return RangeVarGetRelid(((PartitionCmd *) cmd->def)->name, NoLock, true);
		if (cmd->subtype == AT_DropInherit)
			return RangeVarGetRelid(stmt->relation, NoLock, true);
	}
	return InvalidOid;
}

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
			case AT_AddInherit:
			case AT_DropInherit:
				return true;
			default:
				break;
		}
	}
	return false;
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
			return ((RenameStmt *) stmt)->renameType == OBJECT_COLUMN &&
				((RenameStmt *) stmt)->relation != NULL;
		default:
			return false;
	}
}

/*
 * A relation that was just made: where CREATE puts it, which need not be where
 * the name is found first.
 */
static Oid
created_relation(RangeVar *name)
{
	return get_relname_relid(name->relname, RangeVarGetCreationNamespace(name));
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
		else if (cmd->subtype != AT_DetachPartition)
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

static void
follow_utility(Node *stmt)
{
	if (IsA(stmt, CreateStmt) || IsA(stmt, CreateForeignTableStmt))
		follow_relation(created_relation(((CreateStmt *) stmt)->relation));
	else if (IsA(stmt, RenameStmt))
		follow_columns(RangeVarGetRelid(((RenameStmt *) stmt)->relation, NoLock, true));
	else if (((AlterTableStmt *) stmt)->objtype == OBJECT_TYPE)
		follow_type(((AlterTableStmt *) stmt)->relation);
	else
		follow_alter_table((AlterTableStmt *) stmt);
}

/* DISCARD ALL and RESET ALL hand a session to somebody else. */
static bool
ends_session_state(Node *stmt)
{
	return (IsA(stmt, DiscardStmt) && ((DiscardStmt *) stmt)->target == DISCARD_ALL) ||
		(IsA(stmt, VariableSetStmt) && ((VariableSetStmt *) stmt)->kind == VAR_RESET_ALL);
}

static void
call_next(PlannedStmt *pstmt, const char *queryString, bool readOnlyTree,
		  ProcessUtilityContext context, ParamListInfo params,
		  QueryEnvironment *queryEnv, DestReceiver *dest, QueryCompletion *qc)
{
	if (previous_utility)
		previous_utility(pstmt, queryString, readOnlyTree, context, params,
						 queryEnv, dest, qc);
	else
		standard_ProcessUtility(pstmt, queryString, readOnlyTree, context, params,
								queryEnv, dest, qc);
}

/* Runs a command that wants "database" for itself. */
static void
call_next_alone(Oid database, PlannedStmt *pstmt, const char *queryString,
				bool readOnlyTree, ProcessUtilityContext context,
				ParamListInfo params, QueryEnvironment *queryEnv,
				DestReceiver *dest, QueryCompletion *qc)
{
	PG_TRY();
	{
		call_next(pstmt, queryString, readOnlyTree, context, params, queryEnv, dest, qc);
	}
	PG_CATCH();
	{
		fg_ddl_database_end(database, pstmt->utilityStmt, false);
		PG_RE_THROW();
	}
	PG_END_TRY();
	fg_ddl_database_end(database, pstmt->utilityStmt, true);
}

static void
guard_utility(PlannedStmt *pstmt, const char *queryString, bool readOnlyTree,
			  ProcessUtilityContext context, ParamListInfo params,
			  QueryEnvironment *queryEnv, DestReceiver *dest, QueryCompletion *qc)
{
	Node	   *stmt = pstmt->utilityStmt;
	Oid			detached = InvalidOid;
	Oid			database;
	bool		discards = ends_session_state(stmt);
	bool		followed = is_followed(stmt) && fg_policy_active();

	if (followed)
	{
		/* the server may scribble on the tree, which is read again afterwards */
		stmt = copyObject(stmt);
		if (IsA(stmt, AlterTableStmt))
			detached = detached_relation((AlterTableStmt *) stmt);
	}

	database = fg_ddl_database_begin(stmt);
	if (OidIsValid(database))
		call_next_alone(database, pstmt, queryString, readOnlyTree, context, params,
						queryEnv, dest, qc);
	else
		call_next(pstmt, queryString, readOnlyTree, context, params, queryEnv, dest, qc);

	if (discards)
		fg_auth_discard();
	if (followed)
	{
		CommandCounterIncrement();
		if (OidIsValid(detached))
			follow_detached(detached);
		follow_utility(stmt);
	}
}

void
fg_ddl_setup(void)
{
	previous_access = object_access_hook;
	object_access_hook = guard_object_access;
	previous_utility = ProcessUtility_hook;
	ProcessUtility_hook = guard_utility;
	fg_xact_register(end_transaction, NULL);
}
