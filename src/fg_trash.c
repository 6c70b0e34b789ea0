/*-------------------------------------------------------------------------
 *
 * fg_trash.c
 *		The trash: where tables go that are dropped with permission.
 *
 * A dropped table is moved, not copied: it gets a new name, schema
 * fortress_trash, and the owner of the extension for its owner, all of which
 * takes milliseconds whatever its size.  Its oid stays, and with it its policy,
 * its archive, and all that is a part of it.  Names in the trash carry the
 * trash's number, so that a table of the same name can be dropped twice;
 * everybody but fortress_operator loses all rights.
 *
 * What others have of the table must go as after a DROP: fg_trash_save.c has
 * the list.  Some things go along that are no parts of it: statistics objects,
 * sequences that its columns own, and sequences that its defaults call and types
 * of its columns that the same command would drop, say with their schema; those
 * are moved, too.
 *
 * Nothing here asks for permission: fg_ddl_trash.c has.  All is done as the
 * owner of the extension with search path pg_catalog.  What is run are commands
 * of ours and definitions that the server printed, none of which calls a user's
 * function.
 *
 * Locks: the callers hold AccessExclusiveLock on the tables; other relations
 * are locked by the commands that change them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_statistic_ext.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "fg_apply.h"
#include "fg_catalog.h"
#include "fg_catalog_trash.h"
#include "fg_event.h"
#include "fg_install.h"
#include "fg_policy.h"
#include "fg_trash.h"
#include "fg_trash_kin.h"
#include "fg_trash_piece.h"
#include "fg_trash_save.h"

#define TRASH_SCHEMA	FG_TRASH_SCHEMA
#define OPERATOR_ROLE	"fortress_operator"

/* A table that goes, with what lies below it. */
typedef struct FgTaken
{
	FgTrashRow	row;
	List	   *members;		/* oids, the table itself first */
	const List *kin;			/* of fg_trash_kin() */
	bool		plain;			/* of fg_trash_kin_plain() */
	List	   *types;			/* oids */
	List	   *sequences;		/* oids */
	List	   *roles;			/* pieces: who is named by the others */
	List	   *rights;			/* pieces, each in the order of putting back */
	List	   *parts;
	List	   *links;
	List	   *dependents;
	List	   *moved;
	int			n_names;		/* given so far */
} FgTaken;

/* types and sequences moved by this command: they may be wanted by several tables */
typedef struct FgMovedObject
{
	Oid			object;
	FgTrashPiece *piece;
} FgMovedObject;

static void run(const char *format,...) pg_attribute_printf(1, 2);

static void
run(const char *format,...)
{
	StringInfoData sql;
	int			needed;

	initStringInfo(&sql);
	for (;;)
	{
		va_list		args;

		va_start(args, format);
		needed = appendStringInfoVA(&sql, format, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&sql, needed);
	}
	if (SPI_execute(sql.data, false, 0) < 0)
		elog(ERROR, "could not run \"%s\"", sql.data);
	pfree(sql.data);
}

static Oid
trash_schema(void)
{
	return get_namespace_oid(TRASH_SCHEMA, false);
}

bool
fg_trash_relation(Oid relid)
{
	Oid			schema = get_rel_namespace(relid);

	return OidIsValid(schema) && schema == get_namespace_oid(TRASH_SCHEMA, true);
}

bool
fg_trash_type(Oid type)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	bool		there = false;

	if (HeapTupleIsValid(tuple))
	{
		there = ((Form_pg_type) GETSTRUCT(tuple))->typnamespace == get_namespace_oid(TRASH_SCHEMA, true);
		ReleaseSysCache(tuple);
	}
	return there;
}

bool
fg_trash_holds(const FgTrashPiece *piece)
{
	Oid			schema = trash_schema();

	switch (piece->kind)
	{
		case FG_TRASH_TYPE:
			return SearchSysCacheExists2(TYPENAMENSP, CStringGetDatum(piece->trash_name),
										 ObjectIdGetDatum(schema));
		case FG_TRASH_STATISTICS:
			return SearchSysCacheExists2(STATEXTNAMENSP, CStringGetDatum(piece->trash_name),
										 ObjectIdGetDatum(schema));
		default:
			return OidIsValid(get_relname_relid(piece->trash_name, schema));
	}
}

static const char *
qualified(Oid relid)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
									  get_rel_name(relid));
}

/* ----------------------------------------------------------------
 *		Names
 * ----------------------------------------------------------------
 */

static bool
name_taken(const char *name, Oid schema)
{
	return OidIsValid(get_relname_relid(name, schema)) ||
		SearchSysCacheExists2(TYPENAMENSP, CStringGetDatum(name), ObjectIdGetDatum(schema)) ||
		SearchSysCacheExists2(STATEXTNAMENSP, CStringGetDatum(name), ObjectIdGetDatum(schema));
}

/* A name that is free in the trash and where the object is now; palloc'd. */
static char *
new_name(FgTaken *taken, const char *name, Oid schema)
{
	for (;;)
	{
		char	   *suffix = psprintf(INT64_FORMAT "_%d", taken->row.id, ++taken->n_names);
		char	   *made = makeObjectName(name, suffix, NULL);

		if (!name_taken(made, schema) && !name_taken(made, trash_schema()))
			return made;
	}
}

static FgTrashPiece *
new_piece(FgTaken *taken, FgTrashKind kind, const char *name, Oid schema, Oid owner)
{
	FgTrashPiece *piece = palloc0(sizeof(FgTrashPiece));

	piece->kind = kind;
	piece->trash_name = new_name(taken, name, schema);
	piece->schema = get_namespace_name(schema);
	piece->name = pstrdup(name);
	piece->schema_oid = schema;
	piece->role = GetUserNameFromId(owner, false);
	piece->role_oid = owner;
	piece->what = psprintf("\"%s.%s\"", piece->schema, piece->name);
	return piece;
}

/* ----------------------------------------------------------------
 *		Moving
 * ----------------------------------------------------------------
 */

static Oid
relation_owner(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

static void
rename_relation(FgTaken *taken, FgTrashKind kind, const char *command, Oid relid)
{
	FgTrashPiece *piece = new_piece(taken, kind, get_rel_name(relid), get_rel_namespace(relid),
									relation_owner(relid));

	run("ALTER %s %s RENAME TO %s", command, qualified(relid), quote_identifier(piece->trash_name));
	taken->moved = lappend(taken->moved, piece);
}

static void
move_statistics(FgTaken *taken, Oid statistics)
{
	HeapTuple	tuple = SearchSysCache1(STATEXTOID, ObjectIdGetDatum(statistics));
	Form_pg_statistic_ext form;
	FgTrashPiece *piece;

	if (!HeapTupleIsValid(tuple))
		return;
	form = (Form_pg_statistic_ext) GETSTRUCT(tuple);
	piece = new_piece(taken, FG_TRASH_STATISTICS, NameStr(form->stxname), form->stxnamespace,
					  form->stxowner);
	ReleaseSysCache(tuple);
	run("ALTER STATISTICS %s RENAME TO %s",
		quote_qualified_identifier(piece->schema, piece->name), quote_identifier(piece->trash_name));
	run("ALTER STATISTICS %s SET SCHEMA " TRASH_SCHEMA,
		quote_qualified_identifier(piece->schema, piece->trash_name));
	run("ALTER STATISTICS %s OWNER TO CURRENT_USER",
		quote_qualified_identifier(TRASH_SCHEMA, piece->trash_name));
	taken->moved = lappend(taken->moved, piece);
}

/* A table with its indexes, sequences and statistics; its rights are gone already. */
static void
move_table(FgTaken *taken, Oid relid)
{
	Relation	rel = table_open(relid, NoLock);
	List	   *indexes = RelationGetIndexList(rel);
	List	   *statistics = RelationGetStatExtList(rel);
	ListCell   *lc;

	table_close(rel, NoLock);
	foreach(lc, statistics)
		move_statistics(taken, lfirst_oid(lc));
	foreach(lc, indexes)
		rename_relation(taken, FG_TRASH_INDEX, "INDEX", lfirst_oid(lc));
	foreach(lc, getOwnedSequences(relid))
		rename_relation(taken, FG_TRASH_SEQUENCE, "SEQUENCE", lfirst_oid(lc));
	rename_relation(taken, FG_TRASH_TABLE, "TABLE", relid);
	run("ALTER TABLE %s SET SCHEMA " TRASH_SCHEMA, qualified(relid));
	run("ALTER TABLE %s OWNER TO CURRENT_USER", qualified(relid));
	if (OidIsValid(get_role_oid(OPERATOR_ROLE, true)))
		run("GRANT SELECT ON TABLE %s TO " OPERATOR_ROLE, qualified(relid));
	(void) deleteDependencyRecordsForClass(RelationRelationId, relid, ExtensionRelationId,
										   DEPENDENCY_EXTENSION);
}

static FgTrashPiece *
move_type(FgTaken *taken, Oid type)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	Form_pg_type form;
	FgTrashPiece *piece;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", type);
	form = (Form_pg_type) GETSTRUCT(tuple);
	piece = new_piece(taken, FG_TRASH_TYPE, NameStr(form->typname), form->typnamespace, form->typowner);
	ReleaseSysCache(tuple);
	run("ALTER TYPE %s RENAME TO %s",
		quote_qualified_identifier(piece->schema, piece->name), quote_identifier(piece->trash_name));
	run("ALTER TYPE %s SET SCHEMA " TRASH_SCHEMA,
		quote_qualified_identifier(piece->schema, piece->trash_name));
	run("ALTER TYPE %s OWNER TO CURRENT_USER",
		quote_qualified_identifier(TRASH_SCHEMA, piece->trash_name));
	return piece;
}

/* A sequence that the command drops and that no column of the members owns. */
static FgTrashPiece *
move_sequence(FgTaken *taken, Oid sequence)
{
	FgTrashPiece *piece = new_piece(taken, FG_TRASH_FREE_SEQUENCE, get_rel_name(sequence),
									get_rel_namespace(sequence), relation_owner(sequence));

	run("ALTER SEQUENCE %s OWNED BY NONE", qualified(sequence));
	run("ALTER SEQUENCE %s RENAME TO %s", qualified(sequence), quote_identifier(piece->trash_name));
	run("ALTER SEQUENCE %s SET SCHEMA " TRASH_SCHEMA, qualified(sequence));
	run("ALTER SEQUENCE %s OWNER TO CURRENT_USER", qualified(sequence));
	(void) deleteDependencyRecordsForClass(RelationRelationId, sequence, ExtensionRelationId,
										   DEPENDENCY_EXTENSION);
	return piece;
}

/* Each is moved once, and is a piece of each table that has it. */
static void
move_shared(FgTaken *taken, const List *objects, FgTrashPiece *(*move) (FgTaken *, Oid), List **moved)
{
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, objects)
	{
		FgTrashPiece *piece = NULL;

		foreach(lc2, *moved)
		{
			FgMovedObject *before = lfirst(lc2);

			if (before->object == lfirst_oid(lc))
				piece = before->piece;
		}
		if (piece == NULL)
		{
			FgMovedObject *new = palloc(sizeof(FgMovedObject));

			new->object = lfirst_oid(lc);
			new->piece = piece = move(taken, lfirst_oid(lc));
			*moved = lappend(*moved, new);
		}
		taken->moved = lappend(taken->moved, piece);
	}
}

/*
 * What a partition that was taken out of its tree keeps of it: foreign keys,
 * which attaching it makes anew, and the guard's triggers.
 */
static void
clean_detached(FgTaken *taken)
{
	Oid			root = linitial_oid(taken->members);

	/* a foreign key makes it more than plain */
	while (!taken->plain)
	{
		char	   *drop;
		Oid			types[1] = {OIDOID};
		Datum		values[1] = {ObjectIdGetDatum(root)};

		if (SPI_execute_with_args("SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', k.conrelid::regclass, k.conname)"
								  " FROM pg_constraint k WHERE k.conrelid = $1 AND k.contype = 'f' AND k.conparentid = 0"
								  " AND k.confrelid <> k.conrelid LIMIT 1",
								  1, types, values, NULL, false, 1) != SPI_OK_SELECT)
			elog(ERROR, "could not read the foreign keys of a table");
		if (SPI_processed == 0)
			break;
		drop = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
		run("%s", drop);
	}
	fg_policy_changed(root);
	if (fg_policy_lookup(root) == NULL)
		fg_apply_triggers(root);
}

/* ----------------------------------------------------------------
 *		Taking
 * ----------------------------------------------------------------
 */

/* Tables with nothing above them among the others, each with what is below it. */
static List *
group(const List *relids)
{
	List	   *taken_list = NIL;
	List	   *done = NIL;
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, relids)
	{
		Oid			relid = lfirst_oid(lc);
		FgTaken    *taken;
		bool		below = false;

		foreach(lc2, fg_policy_ancestors(relid))
			below |= list_member_oid(relids, lfirst_oid(lc2));
		if (below)
			continue;
		taken = palloc0(sizeof(FgTaken));
		foreach(lc2, find_all_inheritors(relid, NoLock, NULL))
		{
			if (!list_member_oid(relids, lfirst_oid(lc2)) || list_member_oid(done, lfirst_oid(lc2)))
				continue;
			taken->members = lappend_oid(taken->members, lfirst_oid(lc2));
			done = lappend_oid(done, lfirst_oid(lc2));
		}
		taken_list = lappend(taken_list, taken);
	}
	return taken_list;
}

static void
run_all(const List *commands)
{
	ListCell   *lc;

	foreach(lc, commands)
		run("%s", (const char *) lfirst(lc));
}

/* Appends the commands that are not there yet: two tables may share a foreign key. */
static List *
add_commands(List *commands, const List *more)
{
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, more)
	{
		bool		there = false;

		foreach(lc2, commands)
			there |= strcmp(lfirst(lc), lfirst(lc2)) == 0;
		if (!there)
			commands = lappend(commands, lfirst(lc));
	}
	return commands;
}

static void
fill_row(FgTaken *taken)
{
	Oid			relid = linitial_oid(taken->members);

	taken->row.id = fg_catalog_trash_id();
	taken->row.schema = get_namespace_name(get_rel_namespace(relid));
	taken->row.name = pstrdup(get_rel_name(relid));
	taken->row.dropped_at = GetCurrentTimestamp();
	taken->row.dropped_by = GetSessionUserId();
}

/*
 * Pieces come back in this order: what is moved, rights, functions and what
 * calls them, the place in a tree, then what others had of it.
 */
static void
write_down(FgTaken *taken)
{
	List	   *pieces = taken->moved;

	taken->row.trash_name = get_rel_name(linitial_oid(taken->members));
	pieces = list_concat(pieces, taken->roles);
	pieces = list_concat(pieces, taken->rights);
	pieces = list_concat(pieces, taken->parts);
	pieces = list_concat(pieces, taken->links);
	pieces = list_concat(pieces, taken->dependents);
	fg_catalog_put_trash(&taken->row, pieces);
}

void
fg_trash_record(const char *name, const FgTrashRow *row, Oid relid)
{
	FgEvent		event = {.name = name,.operation = fg_operation_name(FG_OP_DDL),.rows = -1,.max_rows = -1};

	event.relid = relid;
	event.relation = quote_qualified_identifier(row->schema, row->name);
	event.role = GetUserId();
	event.detail = psprintf("number " INT64_FORMAT " in fortress.trash", row->id);
	fg_event_queue(&event, true);
}

/* What of all that is dropped each of them has to do with. */
static void
find_kin(const List *taken_list, const List *dropped)
{
	List	   *groups = NIL;
	List	   *kin;
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, taken_list)
		groups = lappend(groups, ((const FgTaken *) lfirst(lc))->members);
	kin = fg_trash_kin(dropped, groups);
	forboth(lc, taken_list, lc2, kin)
	{
		FgTaken    *taken = lfirst(lc);

		taken->kin = lfirst(lc2);
		taken->plain = fg_trash_kin_plain(taken->kin, taken->members);
	}
}

void
fg_trash_take(const List *relids, const List *dropped)
{
	List	   *taken_list = group(relids);
	List	   *moved_types = NIL;
	List	   *moved_sequences = NIL;
	List	   *sequences = NIL;	/* of all tables so far */
	List	   *first = NIL;
	List	   *drops = NIL;
	List	   *links = NIL;
	List	   *rights = NIL;
	FgOwnerState saved;
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, taken_list)
		fill_row(lfirst(lc));
	fg_install_become_owner(&saved);
	/* what is run is long and quick; compiling it would take a hundred times as long */
	(void) set_config_option("jit", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");

	find_kin(taken_list, dropped);
	/* all definitions are printed while all objects are still there */
	foreach(lc, taken_list)
	{
		FgTaken    *taken = lfirst(lc);
		List	   *more = NIL;
		List	   *more_first = NIL;

		if (!taken->plain)
		{
			taken->types = fg_trash_save_types(taken->members, taken->kin);
			taken->sequences = fg_trash_save_sequences(taken->members, taken->kin, relids);
			taken->dependents = fg_trash_save_dependents(taken->members, taken->kin, &more);
			taken->parts = fg_trash_save_parts(taken->members, taken->kin,
											   list_concat_copy(taken->types, taken->sequences),
											   &more_first, &more);
			first = add_commands(first, more_first);
			drops = add_commands(drops, more);
		}
		if (fg_trash_kin_links(taken->kin, taken->members))
			taken->links = fg_trash_save_links(taken->members, &links);
		if (fg_trash_kin_rights(taken->kin, taken->members))
			taken->rights = fg_trash_save_rights(taken->members,
												 list_difference_oid(taken->sequences, sequences), &rights);
		taken->roles = fg_trash_save_roles(taken->kin);
		sequences = list_union_oid(sequences, taken->sequences);
	}
	run_all(first);
	run_all(drops);
	run_all(links);
	run_all(rights);

	foreach(lc, taken_list)
	{
		FgTaken    *taken = lfirst(lc);

		clean_detached(taken);
		move_shared(taken, taken->types, move_type, &moved_types);
		move_shared(taken, taken->sequences, move_sequence, &moved_sequences);
		foreach(lc2, taken->members)
			move_table(taken, lfirst_oid(lc2));
		fg_policy_changed(linitial_oid(taken->members));
		write_down(taken);
	}
	SPI_finish();
	fg_install_be_user_again(&saved);
	foreach(lc, taken_list)
	{
		FgTaken    *taken = lfirst(lc);

		fg_trash_record("trashed", &taken->row, linitial_oid(taken->members));
	}
}
