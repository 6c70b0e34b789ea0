/*-------------------------------------------------------------------------
 *
 * fg_trash_undrop.c
 *		Out of the trash: back to where it was, or for good.
 *
 * undrop() does, in one transaction, first what must succeed: the table, its
 * partitions, indexes, sequences, statistics and types get back their schemas,
 * names and owners, and row security if it had that.  A schema that is gone, or
 * a name that somebody else has by now, is an error before anything is done,
 * unless the caller chooses others (fg_trash_place.c).  Then come, each in a
 * subtransaction, the pieces that others may have made impossible: rights of
 * roles that are gone, foreign keys to tables that have changed, views.  What
 * cannot be put back is a WARNING that names it, and the table is there all the
 * same.
 *
 * A definition with a value of a user's type is made as the owner of what it is
 * for, as reading the value may call users' functions.
 *
 * Constraints come back NOT VALID, and are validated as the table's owner; so
 * are partitions attached as the owner of the table above them.  Both call
 * comparisons and casts, which may be users' functions.
 *
 * Roles that commands name are known by oid, too: where somebody else has taken
 * the name of one, what was his is not put back, with a WARNING.
 *
 * What cannot be put back because it needs another table that lies in the trash
 * is left for that one, whichever comes back last.
 *
 * Refused: what is not in the trash (42704); a schema that is gone (3F000); a
 * name that is taken (42P07); a function that is not the one that the table had
 * (42723); a place where the caller may not create tables (42501).
 *
 * Locks: AccessExclusiveLock on the table and what is below it; the catalogs'
 * rows of enums that definitions have values of, and of their schemas, against
 * being changed; other relations
 * are locked by the commands that change them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/catalog.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "fg_apply.h"
#include "fg_catalog.h"
#include "fg_catalog_trash.h"
#include "fg_enact.h"
#include "fg_event.h"
#include "fg_guc.h"
#include "fg_install.h"
#include "fg_own.h"
#include "fg_policy.h"
#include "fg_progress.h"
#include "fg_schema.h"
#include "fg_trash.h"
#include "fg_trash_piece.h"
#include "fg_trash_place.h"

PG_FUNCTION_INFO_V1(fg_undrop);
PG_FUNCTION_INFO_V1(fg_undrop_as);

/* ----------------------------------------------------------------
 *		What lies there
 * ----------------------------------------------------------------
 */

static bool
is_moved(const FgTrashPiece *piece)
{
	return piece->trash_name != NULL;
}

/* The row of a table in the trash, which is then locked with all below it. */
static FgTrashRow *
lock_trash(int64 id, Oid *relid)
{
	FgTrashRow *row = fg_catalog_get_trash(id);

	*relid = InvalidOid;
	if (row != NULL)
		*relid = get_relname_relid(row->trash_name, get_namespace_oid(FG_TRASH_SCHEMA, false));
	if (OidIsValid(*relid))
	{
		LockRelationOid(*relid, AccessExclusiveLock);
		(void) find_all_inheritors(*relid, AccessExclusiveLock, NULL);
		row = fg_catalog_get_trash(id); /* somebody else may have been faster */
	}
	if (row == NULL || !OidIsValid(*relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("there is no table with number " INT64_FORMAT " in the trash", id),
				 errhint("What lies there is in view fortress.trash.")));
	return row;
}

/* ----------------------------------------------------------------
 *		Putting back
 * ----------------------------------------------------------------
 */

static void
run(const char *sql)
{
	if (SPI_execute(sql, false, 0) < 0)
		elog(ERROR, "could not run \"%s\"", sql);
}

static void
warn(const FgTrashRow *row, const FgTrashPiece *piece, const char *message, int sqlerrcode)
{
	ereport(WARNING,
			(errcode(sqlerrcode),
			 errmsg("could not put back %s with table \"%s.%s\": %s",
					piece->what, row->schema, row->name, message),
			 errdetail("The command was: %s", piece->command)));
}

/* Something that could not be put back. */
typedef struct FgFailed
{
	const char *what;
	List	   *later;			/* the rows with which it comes back, of FgTrashRow * */
} FgFailed;

/*
 * What could not be put back is not tried further: it is validated in a second
 * step, and nothing is told of what is "on" it, or "of" it.
 */
static const FgFailed *
failed_before(const List *failed, const FgTrashPiece *piece)
{
	size_t		length = strlen(piece->what);
	ListCell   *lc;

	foreach(lc, failed)
	{
		const FgFailed *before = lfirst(lc);
		size_t		end = strlen(before->what);

		if (length >= end && strcmp(piece->what + length - end, before->what) == 0)
			return before;
	}
	return NULL;
}

/* Is it run as a role, after all that is the guard's own work? */
static bool
runs_as_role(const FgTrashPiece *piece)
{
	return piece->kind == FG_TRASH_CHECKED || piece->kind == FG_TRASH_PARENT;
}

/* Is it made anew? */
static bool
is_made(const FgTrashPiece *piece)
{
	return !is_moved(piece) && piece->kind != FG_TRASH_ROLE;
}

/* Reads a name, quoted or not, as SQL has it; returns what is behind it. */
static const char *
read_name(const char *p, StringInfo name)
{
	bool		quoted = *p == '"';

	resetStringInfo(name);
	for (p += quoted; *p != '\0'; p++)
	{
		if (quoted && *p == '"' && *++p != '"')
			break;
		if (!quoted && !isalnum((unsigned char) *p) && *p != '_' && *p != '$' && !IS_HIGHBIT_SET(*p))
			break;
		appendStringInfoChar(name, *p);
	}
	return p;
}

/* Locks a catalog's row against whoever would change or remove it; false: somebody has. */
static bool
lock_row(Oid catalog, HeapTuple tuple)
{
	Relation	rel = table_open(catalog, RowShareLock);
	TM_FailureData failure;
	Buffer		buffer;
	TM_Result	result = heap_lock_tuple(rel, tuple, GetCurrentCommandId(true), LockTupleShare,
										 LockWaitBlock, false, &buffer, &failure);

	ReleaseBuffer(buffer);
	table_close(rel, NoLock);
	return result == TM_Ok;
}

/*
 * Is it an enum?  Reading its values calls nothing.  It and its schema are locked
 * so that nobody has something else by that name before the value is read.
 */
static bool
is_enum(const char *schema, const char *name)
{
	HeapTuple	schema_row = SearchSysCacheCopy1(NAMESPACENAME, CStringGetDatum(schema));
	HeapTuple	type_row;

	if (schema_row == NULL || !lock_row(NamespaceRelationId, schema_row))
		return false;
	type_row = SearchSysCacheCopy2(TYPENAMENSP, CStringGetDatum(name),
								   ObjectIdGetDatum(((Form_pg_namespace) GETSTRUCT(schema_row))->oid));
	return type_row != NULL && ((Form_pg_type) GETSTRUCT(type_row))->typtype == TYPTYPE_ENUM &&
		lock_row(TypeRelationId, type_row);
}

/*
 * Does a definition have a value of a type that is not the server's?  Reading
 * it in can call whatever the domains in that type check, functions of users
 * among it.  The server prints each such value, and it prints them with the name
 * of the type, and that with its schema unless it is temporary.
 */
static bool
has_users_value(const char *command)
{
	Oid			temporary = LookupExplicitNamespace("pg_temp", true);
	StringInfoData schema;
	StringInfoData name;

	initStringInfo(&schema);
	initStringInfo(&name);
	for (const char *p = strstr(command, "::"); p != NULL; p = strstr(p, "::"))
	{
		p = read_name(p + 2, &schema);
		if (schema.len >= NAMEDATALEN)
			return true;
		if (*p == '.')
		{
			p = read_name(p + 1, &name);
			if (name.len >= NAMEDATALEN || !is_enum(schema.data, name.data))
				return true;
		}
		else if (OidIsValid(temporary) &&
				 SearchSysCacheExists2(TYPENAMENSP, CStringGetDatum(schema.data), ObjectIdGetDatum(temporary)))
			return true;
	}
	return false;
}

/* Is it run as a role, among what is the guard's own work?  Rights have no values. */
static bool
is_risky(const FgTrashPiece *piece)
{
	return !runs_as_role(piece) && strncmp(piece->command, "GRANT ", 6) != 0 &&
		strncmp(piece->command, "REVOKE ", 7) != 0 && has_users_value(piece->command);
}

/* what is put back, while it becomes a child again; an error ends it, in the frame that began it */
static Oid	joining = InvalidOid;

bool
fg_trash_joins(Oid relid)
{
	return OidIsValid(joining) && list_member_oid(find_all_inheritors(joining, NoLock, NULL), relid);
}

/* How many are made anew, in the guard's own work or as a role. */
static int
count_pieces(const List *pieces, bool as_role)
{
	int			n = 0;
	ListCell   *lc;

	foreach(lc, pieces)
	{
		const FgTrashPiece *piece = lfirst(lc);

		n += is_made(piece) && runs_as_role(piece) == as_role;
	}
	return n;
}

/* One more piece for another table in the trash, with the roles that it may name. */
static void
leave_for(const FgTrashRow *other, const FgTrashRow *row, const FgTrashPiece *piece)
{
	ListCell   *lc;

	foreach(lc, row->roles)
		fg_catalog_add_trash_piece(other->id, lfirst(lc));
	fg_catalog_add_trash_piece(other->id, piece);
}

/*
 * What failed because it needs another table that lies in the trash comes back
 * with that one.
 */
static void
note_failure(const FgTrashRow *row, const FgTrashPiece *piece, const ErrorData *error, List **failed)
{
	const FgFailed *before = failed_before(*failed, piece);
	FgFailed   *new;
	ListCell   *lc;

	if (before != NULL)
	{
		foreach(lc, before->later)
			leave_for(lfirst(lc), row, piece);
		return;
	}
	new = palloc0(sizeof(FgFailed));
	new->what = piece->what;
	foreach(lc, fg_catalog_trash_rows())
	{
		FgTrashRow *other = lfirst(lc);

		if (other->id == row->id ||
			(strcmp(other->schema, row->schema) == 0 && strcmp(other->name, row->name) == 0) ||
			strstr(piece->command, quote_qualified_identifier(other->schema, other->name)) == NULL)
			continue;
		leave_for(other, row, piece);
		new->later = lappend(new->later, other);
		ereport(NOTICE,
				(errmsg("%s comes back with table \"%s.%s\", which is still in the trash",
						piece->what, other->schema, other->name)));
	}
	if (new->later == NIL)
		warn(row, piece, error->message, error->sqlerrcode);
	*failed = lappend(*failed, new);
}

/* What a command tells to run after it: pairs of what that is and SQL. */
typedef struct FgAfterwards
{
	const char *what;
	const char *command;
} FgAfterwards;

/* What a command that has just run gave back, of FgAfterwards *, in a context. */
static List *
read_afterwards(MemoryContext context)
{
	List	   *afterwards = NIL;
	MemoryContext old = MemoryContextSwitchTo(context);

	for (uint64 row = 0; row < SPI_processed; row++)
	{
		FgAfterwards *after = palloc(sizeof(FgAfterwards));

		after->what = SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 1);
		after->command = SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 2);
		if (after->command != NULL)
			afterwards = lappend(afterwards, after);
	}
	MemoryContextSwitchTo(old);
	return afterwards;
}

/* Runs a command, as a role or as the guard; returns what comes afterwards, of FgAfterwards *. */
static List *
run_piece(const FgTrashPiece *piece, bool as_role, MemoryContext context)
{
	List	   *afterwards = NIL;
	Oid			user;
	int			sec_context;
	int			guc_level = NewGUCNestLevel();

	GetUserIdAndSecContext(&user, &sec_context);
	if (as_role)
	{
		if (piece->role == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("it has a value of a type that is not the server's")));
		SetUserIdAndSecContext(get_role_oid(piece->role, false), sec_context |
							   SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
		/* nor does the caller's search path choose what they call */
		(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	}
	/* what is in a function as a string is read when it is called, by whoever calls it */
	(void) set_config_option("check_function_bodies", "off", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	if (SPI_execute(piece->command, false, 0) == SPI_OK_SELECT)
		afterwards = read_afterwards(context);
	AtEOXact_GUC(false, guc_level);
	SetUserIdAndSecContext(user, sec_context);
	return afterwards;
}

/*
 * A function of that name and those arguments is there already.  If it is the
 * very same, another table has brought it.  Any other might be a trap, as what
 * comes back would call it.
 */
static void
check_function(const FgTrashRow *row, const FgTrashPiece *piece)
{
	Oid			types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(piece->command)};

	if (SPI_execute_with_args("SELECT FROM pg_proc f WHERE f.prokind IN ('f', 'p', 'w')"
							  " AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = f.oid AND d.deptype = 'e')"
							  " AND f.pronamespace <> 'pg_catalog'::regnamespace AND starts_with($1, " FG_TRASH_FUNCTION_TEXT("f") ")",
							  1, types, values, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not look for a function");
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_FUNCTION),
				 errmsg("table \"%s.%s\" cannot be put back: there is another %s",
						row->schema, row->name, piece->what),
				 errdetail("It is not the one that the table had, or not with its owner."),
				 errhint("Give that another name (ALTER FUNCTION ... RENAME TO) and call fortress.undrop(" INT64_FORMAT ") again.",
						 row->id)));
}

/*
 * The role that a piece is of, or is for, by whose name somebody else goes by now;
 * or NULL.  He must not get what was not his.
 */
static const char *
replaced_role(const FgTrashRow *row, const FgTrashPiece *piece)
{
	bool		names_roles = strncmp(piece->command, "GRANT ", 6) == 0 ||
		strncmp(piece->command, "CREATE POLICY ", 14) == 0;
	ListCell   *lc;

	foreach(lc, row->roles)
	{
		const FgTrashPiece *role = lfirst(lc);
		Oid			now = get_role_oid(role->role, true);

		if (!OidIsValid(now) || now == role->role_oid)
			continue;
		if (piece->role != NULL && piece->role_oid != now && strcmp(piece->role, role->role) == 0)
			return role->role;
		if (strstr(piece->command, psprintf("OWNER TO %s", quote_identifier(role->role))) != NULL)
			return role->role;
		if (names_roles && fg_catalog_trash_mentions(piece->command, quote_identifier(role->role)))
			return role->role;
	}
	return NULL;
}

/* Notes a piece that is not tried at all. */
static void
pass_over(const FgTrashRow *row, const FgTrashPiece *piece, const char *role, List **failed)
{
	FgFailed   *new = palloc0(sizeof(FgFailed));

	new->what = piece->what;
	if (failed_before(*failed, piece) == NULL)
		warn(row, piece, psprintf("role \"%s\" is another one by now", role),
			 ERRCODE_DUPLICATE_OBJECT);
	*failed = lappend(*failed, new);
}

/* Runs one command, or warns once that it failed and notes that in *failed; false: it did. */
static bool
try_command(const FgTrashRow *row, const FgTrashPiece *piece, bool as_role, List **failed)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	List	   *volatile afterwards = NIL;
	volatile bool done = false;
	volatile bool duplicate = false;
	const char *role = replaced_role(row, piece);
	ListCell   *lc;

	if (role != NULL)
	{
		pass_over(row, piece, role, failed);
		return false;
	}
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		afterwards = run_piece(piece, as_role, context);
		ReleaseCurrentSubTransaction();
		done = true;
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (error->sqlerrcode == ERRCODE_QUERY_CANCELED || error->sqlerrcode == ERRCODE_ADMIN_SHUTDOWN)
			ReThrowError(error);
		duplicate = piece->kind == FG_TRASH_FUNCTION && error->sqlerrcode == ERRCODE_DUPLICATE_FUNCTION;
		if (!duplicate)
			note_failure(row, piece, error, failed);
		FreeErrorData(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (duplicate)
		check_function(row, piece);
	foreach(lc, afterwards)
	{
		const FgAfterwards *after = lfirst(lc);
		FgTrashPiece next = {.kind = FG_TRASH_COMMAND,.what = after->what,.command = after->command};

		next.role = piece->role;
		next.role_oid = piece->role_oid;
		(void) try_command(row, &next, as_role, failed);
	}
	return done;
}

static const char *
command_word(FgTrashKind kind)
{
	switch (kind)
	{
		case FG_TRASH_INDEX:
			return "INDEX";
		case FG_TRASH_SEQUENCE:
		case FG_TRASH_FREE_SEQUENCE:
			return "SEQUENCE";
		case FG_TRASH_STATISTICS:
			return "STATISTICS";
		case FG_TRASH_TYPE:
			return "TYPE";
		default:
			return "TABLE";
	}
}

/* The owner that it had; that of the extension where this one is gone. */
static const char *
owner_again(const FgTrashRow *row, const FgTrashPiece *piece)
{
	const char *name = row->here ? GetUserNameFromId(piece->role_oid, true) : NULL;

	if (name != NULL)
		return quote_identifier(name);
	if (OidIsValid(get_role_oid(piece->role, true)))
		return quote_identifier(piece->role);
	ereport(WARNING,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("role \"%s\", which owned %s, is gone: \"%s\" owns it now",
					piece->role, piece->what, GetUserNameFromId(GetUserId(), false))));
	return "CURRENT_USER";
}

/* Indexes and sequences have come with their tables, so tables go first. */
static void
move_back(const FgTrashRow *row, const FgTrashPiece *piece)
{
	const char *word = command_word(piece->kind);
	const char *there = quote_qualified_identifier(FG_TRASH_SCHEMA, piece->trash_name);

	if (piece->kind == FG_TRASH_INDEX || piece->kind == FG_TRASH_SEQUENCE)
		return;
	if (piece->kind == FG_TRASH_TABLE)
		run(psprintf("REVOKE ALL ON TABLE %s FROM fortress_operator", there));
	run(psprintf("ALTER %s %s OWNER TO %s", word, there, owner_again(row, piece)));
	run(psprintf("ALTER %s %s SET SCHEMA %s", word, there, quote_identifier(piece->schema)));
}

static void
rename_back(const FgTrashPiece *piece)
{
	run(psprintf("ALTER %s %s RENAME TO %s", command_word(piece->kind),
				 quote_qualified_identifier(piece->schema, piece->trash_name),
				 quote_identifier(piece->name)));
}

/* Pieces that are in the trash. */
static List *
moved_pieces(const List *pieces)
{
	List	   *moved = NIL;
	ListCell   *lc;

	foreach(lc, pieces)
	{
		FgTrashPiece *piece = lfirst(lc);

		if (!is_moved(piece) || !fg_trash_holds(piece))
			continue;
		moved = lappend(moved, piece);
	}
	return moved;
}

/* Pieces that say whom the others name. */
static List *
role_pieces(const List *pieces)
{
	List	   *roles = NIL;
	ListCell   *lc;

	foreach(lc, pieces)
	{
		FgTrashPiece *piece = lfirst(lc);

		if (piece->kind == FG_TRASH_ROLE)
			roles = lappend(roles, piece);
	}
	return roles;
}

/*
 * Owners may have other names by now: what is done as one of them, or for him, is
 * done as whom he is.
 */
static void
name_owners(const FgTrashRow *row, const List *moved, const List *pieces)
{
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, pieces)
	{
		FgTrashPiece *piece = lfirst(lc);
		const char *name = piece->role;

		if (!is_made(piece) || piece->role == NULL)
			continue;
		foreach(lc2, moved)
		{
			const FgTrashPiece *other = lfirst(lc2);
			const char *now = row->here ? GetUserNameFromId(other->role_oid, true) : NULL;

			if (now != NULL && strcmp(other->role, piece->role) == 0)
			{
				name = now;
				piece->role_oid = other->role_oid;
			}
		}
		piece->role = name;
		if (piece->kind == FG_TRASH_OWNER)
			piece->command = psprintf("%s%s", piece->command, quote_identifier(name));
	}
}

/* The guard's triggers on what has come back, and on what is above it now. */
static void
follow(Oid relid)
{
	List	   *ancestors;

	fg_policy_changed(relid);
	ancestors = fg_policy_ancestors(relid);
	fg_apply_tree(relid);
	if (ancestors == NIL)
		fg_schema_follow(relid);
}

/* A default as a limit: 0 means none. */
static int64
default_rows(int rows)
{
	return rows > 0 ? rows : -1;
}

/*
 * What was guarded as a part of a tree, and has no place there any more, is not
 * left unguarded: it gets what protect() gives by default.
 */
static void
protect_alone(Oid relid)
{
	FgPolicyRow policy = {.relid = relid,.mode = FG_MODE_BLOCK,.require_where = true,.all_columns = true};

	policy.archive = FG_ARCHIVE_DELETE | FG_ARCHIVE_UPDATE;
	fg_catalog_put_policy(&policy);
	fg_enact_first_limits(relid, FG_OP_DELETE, default_rows(fg_default_delete_rows),
						  default_rows(fg_default_window_delete_rows));
	fg_enact_first_limits(relid, FG_OP_UPDATE, default_rows(fg_default_update_rows),
						  default_rows(fg_default_window_update_rows));
	fg_enact_policy(relid, "protected by fortress.undrop(), as it could not go back to its tree");
	ereport(WARNING,
			(errmsg("table \"%s\" has a policy of its own now", fg_event_relation(relid)),
			 errdetail("The one that it had was that of the tree in which it has no place any more.")));
}

/* Another name or schema, where the caller gives one: a place where he could make a table. */
static void
choose_place(FunctionCallInfo fcinfo, FgTrashPlace *place)
{
	if (PG_NARGS() > 1 && !PG_ARGISNULL(1))
		place->new_name = pstrdup(NameStr(*PG_GETARG_NAME(1)));
	if (place->new_name != NULL && place->new_name[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("argument \"%s\" must not be empty", "new_name")));
	if (PG_NARGS() > 2 && !PG_ARGISNULL(2))
	{
		const char *name = get_namespace_name(PG_GETARG_OID(2));

		if (name == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_SCHEMA),
					 errmsg("schema with OID %u does not exist", PG_GETARG_OID(2))));
		place->new_schema = LookupCreationNamespace(name);
		if (fg_own_schema(place->new_schema) || isTempOrTempToastNamespace(place->new_schema) ||
			IsCatalogNamespace(place->new_schema) || IsToastNamespace(place->new_schema))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("a table cannot be put back into schema \"%s\"", name)));
	}
}

/*
 * One of the pieces that are run as a role; false: it could not be.  Nobody is
 * asked whether a table may be a child where it was one: the parent's owner of
 * then makes it one, who has to own both.
 */
static bool
put_back_as_role(const FgTrashRow *row, const FgTrashPiece *piece, Oid relid, List **failed)
{
	bool		done;

	if (piece->kind == FG_TRASH_PARENT && strncmp(piece->what, "child of ", 9) == 0)
		joining = relid;
	PG_TRY();
	{
		done = try_command(row, piece, true, failed);
	}
	PG_FINALLY();
	{
		joining = InvalidOid;
	}
	PG_END_TRY();
	return done;
}

/*
 * undrop(trash_id) and undrop_as(trash_id, new_name, new_schema): who may call
 * them is said by their rights.
 */
Datum
fg_undrop(PG_FUNCTION_ARGS)
{
	FgTrashRow *row;
	List	   *pieces;
	List	   *moved;
	List	   *failed = NIL;
	bool		alone = false;
	Oid			relid;
	FgOwnerState saved;
	FgTrashPlace place = {0};
	ListCell   *lc;

	if (!fg_preloaded)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("fortress_guard must be loaded through shared_preload_libraries"),
				 errhint("Add fortress_guard to shared_preload_libraries in postgresql.conf and restart the server.")));
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be null", "trash_id")));
	PreventCommandIfReadOnly("fortress.undrop()");
	choose_place(fcinfo, &place);
	row = lock_trash(PG_GETARG_INT64(0), &relid);
	pieces = fg_catalog_trash_pieces(row->id);
	moved = moved_pieces(pieces);
	row->roles = row->here ? role_pieces(pieces) : NIL;
	name_owners(row, moved, pieces);
	fg_progress_begin("undrop");
	fg_progress_phase(FG_PHASE_MOVING, relid, list_length(moved));

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	fg_install_become_owner(&saved);
	place.row = row;
	place.moved = moved;
	fg_trash_place_begin(&place);
	foreach(lc, moved)
		move_back(row, lfirst(lc));
	foreach(lc, moved)
	{
		rename_back(lfirst(lc));
		fg_progress_add(1);
	}
	fg_progress_phase(FG_PHASE_MAKING, relid, count_pieces(pieces, false));
	foreach(lc, pieces)
	{
		FgTrashPiece *piece = lfirst(lc);

		if (!is_made(piece) || runs_as_role(piece))
			continue;
		if (piece->kind == FG_TRASH_REQUIRED)
			run(piece->command);
		else if (piece->kind == FG_TRASH_LOST)
			ereport(WARNING,
					(errmsg("could not put back %s with table \"%s.%s\"", piece->what, row->schema, row->name),
					 errdetail("The column has its values, and is an ordinary one now.  It was %s.", piece->command)));
		else if (is_risky(piece))
		{
			/* users' functions may run, and nothing is let through meanwhile */
			fg_install_be_user_again(&saved);
			(void) try_command(row, piece, true, &failed);
			fg_install_become_owner(&saved);
		}
		else
			(void) try_command(row, piece, false, &failed);
		fg_progress_add(1);
	}
	fg_catalog_delete_trash(row->id);
	fg_install_be_user_again(&saved);

	/* from here on users' functions may run, and nothing is let through */
	fg_progress_phase(FG_PHASE_VALIDATING, relid, count_pieces(pieces, true));
	foreach(lc, pieces)
	{
		FgTrashPiece *piece = lfirst(lc);

		if (!runs_as_role(piece))
			continue;
		if (failed_before(failed, piece) != NULL)
			note_failure(row, piece, NULL, &failed);
		else if (!put_back_as_role(row, piece, relid, &failed) && piece->kind == FG_TRASH_PARENT)
			alone = true;
		fg_progress_add(1);
	}
	fg_install_become_owner(&saved);
	fg_trash_place_end(&place, relid);
	fg_install_be_user_again(&saved);
	SPI_finish();
	fg_progress_end();
	follow(relid);
	if (alone && fg_policy_lookup(relid) == NULL)
		protect_alone(relid);
	fg_trash_record("undropped", row, relid);
	PG_RETURN_OID(relid);
}

Datum
fg_undrop_as(PG_FUNCTION_ARGS)
{
	return fg_undrop(fcinfo);
}
