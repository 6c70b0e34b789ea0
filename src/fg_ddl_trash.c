/*-------------------------------------------------------------------------
 *
 * fg_ddl_trash.c
 *		Commands that drop protected tables: these go to the trash.
 *
 * Which tables a command drops only the server can tell: a schema goes with all
 * that is in it, a type with the tables of it, a role's belongings wherever
 * they are.  And it tells only while it drops, when it is too late to put
 * anything aside.  So a command that could drop a protected table is tried
 * first, in a subtransaction that is rolled back, without event triggers and
 * notices, while the object access hook notes what goes.  If that is no
 * protected table, the command runs as if nothing had been.  If it is, each is
 * asked for, locked and moved to the trash, and the command runs without them.
 *
 * What the server refuses (rights, dependent objects without CASCADE) it refuses
 * when the command is tried, in its own words.
 *
 * Rolling back gives the locks of the trial back, so that what was found could
 * change before it is locked again.  If anything in a catalog has changed since
 * the trial began, which others tell before they give up their locks, it is
 * tried once more, and again, until a trial has found nothing that was not
 * locked before it.
 *
 * Tried are the commands that drop, with CASCADE or where they name what is
 * protected or an extension; never by the guard's own work.  What slips through
 * (mode off, or a way that is not known here) meets fg_ddl_drop.c, which asks
 * and saves the rows.  The trash is no place for tables that go together with
 * the guard: nor are they moved then.
 *
 * Locks: AccessExclusiveLock on the tables found, kept to the end of the
 * transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "parser/parse_type.h"
#include "storage/lmgr.h"
#include "storage/sinval.h"
#include "tcop/utility.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "fg_catalog.h"
#include "fg_ddl_command.h"
#include "fg_ddl_trash.h"
#include "fg_decide.h"
#include "fg_install.h"
#include "fg_own.h"
#include "fg_policy.h"
#include "fg_trash.h"

/* A command that is being tried. */
typedef struct FgTrial
{
	MemoryContext context;		/* of the list */
	List	   *dropped;		/* of FgTrashObject *, in order */
} FgTrial;

/* NULL: none; an error ends it, in the frame that began it */
static FgTrial *trial = NULL;

/* ----------------------------------------------------------------
 *		Which commands
 * ----------------------------------------------------------------
 */

static bool
names_protected(const DropStmt *stmt)
{
	ListCell   *lc;

	if (stmt->removeType != OBJECT_TABLE && stmt->removeType != OBJECT_FOREIGN_TABLE)
		return false;
	foreach(lc, stmt->objects)
	{
		RangeVar   *name = makeRangeVarFromNameList((List *) lfirst(lc));
		Oid			relid;

		/* that there is no such database or schema is for the command to say */
		if (name->catalogname != NULL)
			continue;
		if (name->schemaname != NULL)
			relid = get_relname_relid(name->relname, get_namespace_oid(name->schemaname, true));
		else
			relid = RelnameGetRelid(name->relname);
		if (OidIsValid(relid) &&
			(fg_ddl_governed(relid) != NULL || fg_policy_protected_descendant(relid)))
			return true;
	}
	return false;
}

static bool
could_drop_tables(Node *node)
{
	const DropStmt *stmt = (const DropStmt *) node;

	if (IsA(node, DropOwnedStmt))
		return true;
	if (!IsA(node, DropStmt))
		return false;
	switch (stmt->removeType)
	{
		case OBJECT_EXTENSION:
			return true;
		case OBJECT_INDEX:
		case OBJECT_VIEW:
		case OBJECT_MATVIEW:
		case OBJECT_TRIGGER:
		case OBJECT_RULE:
		case OBJECT_POLICY:
		case OBJECT_SEQUENCE:
		case OBJECT_STATISTIC_EXT:
		case OBJECT_PUBLICATION:
		case OBJECT_EVENT_TRIGGER:
			return false;
		default:
			return stmt->behavior == DROP_CASCADE || names_protected(stmt);
	}
}

/* ----------------------------------------------------------------
 *		Trying
 * ----------------------------------------------------------------
 */

bool
fg_ddl_trash_access(ObjectAccessType access, Oid class_id, Oid object, int sub_id)
{
	FgTrashObject *noted;
	MemoryContext old;

	if (trial == NULL)
		return false;
	if (access != OAT_DROP || sub_id != 0)
		return true;
	old = MemoryContextSwitchTo(trial->context);
	noted = palloc(sizeof(FgTrashObject));
	noted->class_id = class_id;
	noted->object = object;
	trial->dropped = lappend(trial->dropped, noted);
	MemoryContextSwitchTo(old);
	return true;
}

/* Other libraries' hooks are not called: for them, the command has not run. */
static void
run_silently(const PlannedStmt *pstmt, const char *query, ParamListInfo params,
			 QueryEnvironment *environment)
{
	PlannedStmt *copy = copyObject(unconstify(PlannedStmt *, pstmt));

	(void) NewGUCNestLevel();	/* ends with the subtransaction */
	(void) set_config_option("client_min_messages", "error", PGC_SUSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("log_min_messages", "error", PGC_SUSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	standard_ProcessUtility(copy, query, false, PROCESS_UTILITY_SUBCOMMAND, params, environment,
							None_Receiver, NULL);
}

/* What a command would drop: a list of FgTrashObject *. */
static List *
try_command(const PlannedStmt *pstmt, const char *query, ParamListInfo params,
			QueryEnvironment *environment)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	FgTrial		this = {.context = context};

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	trial = &this;
	PG_TRY();
	{
		run_silently(pstmt, query, params, environment);
		trial = NULL;
	}
	PG_CATCH();
	{
		ErrorData  *error;

		trial = NULL;
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		ReThrowError(error);
	}
	PG_END_TRY();
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return this.dropped;
}

/* The protected tables among what would go: oids, in its order; NIL where the guard goes, too. */
static List *
protected_among(const List *dropped)
{
	Oid			extension = get_extension_oid("fortress_guard", true);
	List	   *relids = NIL;
	ListCell   *lc;

	foreach(lc, dropped)
	{
		const FgTrashObject *object = lfirst(lc);

		if (object->class_id == ExtensionRelationId && object->object == extension)
			return NIL;
		if (object->class_id == RelationRelationId && !fg_own_relation(object->object) &&
			fg_ddl_governed(object->object) != NULL)
			relids = lappend_oid(relids, object->object);
	}
	return relids;
}

/* ----------------------------------------------------------------
 *		Taking
 * ----------------------------------------------------------------
 */

/* Asks for each of the tables; returns those that may go, and so go to the trash. */
static List *
ask_for_all(const List *relids)
{
	List	   *permitted = NIL;
	ListCell   *lc;

	foreach(lc, relids)
	{
		FgRelation *entry = fg_ddl_governed(lfirst_oid(lc));

		if (entry != NULL && fg_ddl_ask_policies(entry, FG_OP_DDL, lfirst_oid(lc), "DROP TABLE"))
			permitted = lappend_oid(permitted, lfirst_oid(lc));
	}
	return permitted;
}

/* The tables or types that a command names: oids, as it will find them. */
static List *
named_objects(const DropStmt *stmt)
{
	List	   *oids = NIL;
	ListCell   *lc;

	foreach(lc, stmt->objects)
	{
		if (stmt->removeType == OBJECT_TABLE)
			oids = lappend_oid(oids, RangeVarGetRelid(makeRangeVarFromNameList((List *) lfirst(lc)), NoLock, true));
		else
			oids = lappend_oid(oids, LookupTypeNameOid(NULL, (TypeName *) lfirst(lc), true));
	}
	return oids;
}

static bool
is_in_trash(ObjectType kind, Oid object)
{
	return kind == OBJECT_TABLE ? fg_trash_relation(object) : fg_trash_type(object);
}

/* Moves the tables to the trash; returns the command without what went there and is named by it. */
static PlannedStmt *
take(PlannedStmt *pstmt, const List *relids, const List *dropped)
{
	DropStmt   *stmt = (DropStmt *) pstmt->utilityStmt;
	List	   *named;
	List	   *left = NIL;
	ListCell   *lc;
	ListCell   *lc2;

	if (!IsA(stmt, DropStmt) ||
		(stmt->removeType != OBJECT_TABLE && stmt->removeType != OBJECT_TYPE && stmt->removeType != OBJECT_DOMAIN))
	{
		fg_trash_take(relids, dropped);
		return pstmt;
	}
	named = named_objects(stmt);	/* before they have other names */
	fg_trash_take(relids, dropped);
	forboth(lc, stmt->objects, lc2, named)
	{
		if (!OidIsValid(lfirst_oid(lc2)) || !is_in_trash(stmt->removeType, lfirst_oid(lc2)))
			left = lappend(left, lfirst(lc));
	}
	pstmt = copyObject(pstmt);
	((DropStmt *) pstmt->utilityStmt)->objects = copyObject(left);
	return pstmt;
}

PlannedStmt *
fg_ddl_trash_take(PlannedStmt *pstmt, const char *query, ParamListInfo params,
				  QueryEnvironment *environment)
{
	List	   *locked = NIL;
	List	   *relids;
	List	   *dropped;
	ListCell   *lc;

	if (fg_install_own_work() || trial != NULL || !could_drop_tables(pstmt->utilityStmt) ||
		fg_catalog_policy_relids() == NIL)
		return pstmt;
	for (;;)
	{
		bool		all_locked = true;
		uint64		changes;

		CHECK_FOR_INTERRUPTS();
		AcceptInvalidationMessages();
		changes = SharedInvalidMessageCounter;
		dropped = try_command(pstmt, query, params, environment);
		relids = protected_among(dropped);
		foreach(lc, relids)
		{
			if (list_member_oid(locked, lfirst_oid(lc)))
				continue;
			LockRelationOid(lfirst_oid(lc), AccessExclusiveLock);
			locked = lappend_oid(locked, lfirst_oid(lc));
			all_locked = false;
		}
		AcceptInvalidationMessages();
		if (all_locked || SharedInvalidMessageCounter == changes)
			break;
	}
	relids = ask_for_all(relids);
	if (relids == NIL)
		return pstmt;
	return take(pstmt, relids, dropped);
}
