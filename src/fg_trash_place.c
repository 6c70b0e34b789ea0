/*-------------------------------------------------------------------------
 *
 * fg_trash_place.c
 *		Where a table from the trash is put back, and under which name.
 *
 * The definitions of what goes with a table are kept as the server printed them,
 * and so with names, in the middle of expressions that nobody but the server can
 * read.  Where such a name means something else by now, the definitions would be
 * of something else.  So for the time of an undrop all gets the names again that
 * it had: a schema that was renamed meanwhile is called as it was, and so is the
 * schema that the caller chooses where the old one is gone; and whatever has
 * taken the name of the table, or of its indexes, sequences and types, steps
 * aside where the caller chooses another name for what comes back.  At the end
 * each gets its own name.  Nobody else ever sees what is in between, as it is
 * all one transaction.
 *
 * A schema is the one with the oid that was saved, or, if there is none, or in
 * another database, that with the name.
 *
 * Refused: a schema that is gone (3F000), unless the caller names another one; a
 * name that is taken (42P07), unless he gives another one.
 *
 * Locks: AccessExclusiveLock on what steps aside and on schemas that are renamed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_statistic_ext.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "commands/schemacmds.h"
#include "commands/tablecmds.h"
#include "executor/spi.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "fg_catalog_trash.h"
#include "fg_trash_place.h"

/* A schema that has another one's name for some time. */
typedef struct FgBorrowed
{
	Oid			schema;
	const char *own_name;		/* what it is called */
	const char *name;			/* what it is called meanwhile */
	Oid			other;			/* that steps aside for it; or InvalidOid */
} FgBorrowed;

/* A relation or a type that has given its name away for some time. */
typedef struct FgAside
{
	Oid			relid;			/* or InvalidOid: a type */
	Oid			type;
	Oid			schema;
	const char *name;
} FgAside;

const char *
fg_trash_kind_word(const FgTrashPiece *piece)
{
	switch (piece->kind)
	{
		case FG_TRASH_INDEX:
			return "index";
		case FG_TRASH_SEQUENCE:
		case FG_TRASH_FREE_SEQUENCE:
			return "sequence";
		case FG_TRASH_STATISTICS:
			return "statistics object";
		case FG_TRASH_TYPE:
			return "type";
		default:
			return "table";
	}
}

/* ----------------------------------------------------------------
 *		Schemas
 * ----------------------------------------------------------------
 */

static void
rename_schema(Oid schema, const char *name)
{
	(void) RenameSchema(get_namespace_name(schema), name);
	CommandCounterIncrement();
}

static char *
aside_name(Oid object)
{
	return psprintf("fortress_aside_%u", object);
}

static void
borrow_name(FgTrashPlace *place, Oid schema, const char *name)
{
	FgBorrowed *borrowed = palloc0(sizeof(FgBorrowed));

	borrowed->schema = schema;
	LockDatabaseObject(NamespaceRelationId, schema, 0, AccessExclusiveLock);
	borrowed->own_name = get_namespace_name(schema);
	borrowed->name = name;
	if (borrowed->own_name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_SCHEMA),
				 errmsg("schema with OID %u does not exist", schema)));
	borrowed->other = get_namespace_oid(name, true);
	if (OidIsValid(borrowed->other))
	{
		LockDatabaseObject(NamespaceRelationId, borrowed->other, 0, AccessExclusiveLock);
		rename_schema(borrowed->other, aside_name(borrowed->other));
	}
	rename_schema(schema, name);
	place->borrowed = lcons(borrowed, place->borrowed);
}

/* The schema that a piece came from, as it is now. */
static Oid
schema_now(const FgTrashPlace *place, const FgTrashPiece *piece)
{
	const char *name = place->row->here ? get_namespace_name(piece->schema_oid) : NULL;

	return name != NULL ? piece->schema_oid : get_namespace_oid(piece->schema, true);
}

static void
find_schema(FgTrashPlace *place, const FgTrashPiece *piece)
{
	Oid			schema = schema_now(place, piece);

	if (!OidIsValid(schema) && OidIsValid(place->new_schema) &&
		strcmp(piece->schema, place->row->schema) == 0)
	{
		schema = place->new_schema;
		place->schema_gone = true;
	}
	if (!OidIsValid(schema))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_SCHEMA),
				 errmsg("table \"%s.%s\" cannot be put back: there is no schema \"%s\"",
						place->row->schema, place->row->name, piece->schema),
				 errhint("Create the schema (CREATE SCHEMA %s) and call fortress.undrop(" INT64_FORMAT ") again, or choose another one with fortress.undrop_as().",
						 quote_identifier(piece->schema), place->row->id)));
	if (strcmp(get_namespace_name(schema), piece->schema) != 0)
		borrow_name(place, schema, piece->schema);
}

/* ----------------------------------------------------------------
 *		Names
 * ----------------------------------------------------------------
 */

/* What has the name of a piece: a relation or a type; false: nothing has. */
static bool
find_occupant(const FgTrashPiece *piece, Oid schema, FgAside *occupant)
{
	occupant->schema = schema;
	occupant->name = piece->name;
	occupant->type = InvalidOid;
	occupant->relid = get_relname_relid(piece->name, schema);
	if (OidIsValid(occupant->relid))
		return true;
	if (piece->kind == FG_TRASH_TABLE || piece->kind == FG_TRASH_TYPE)
		occupant->type = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum(piece->name),
										 ObjectIdGetDatum(schema));
	/* the server itself gives an array type another name */
	return OidIsValid(occupant->type) && !OidIsValid(get_element_type(occupant->type));
}

static void
rename_object(const FgAside *object, const char *name)
{
	if (OidIsValid(object->relid))
		RenameRelationInternal(object->relid, name, false,
							   get_rel_relkind(object->relid) == RELKIND_INDEX ||
							   get_rel_relkind(object->relid) == RELKIND_PARTITIONED_INDEX);
	else
		RenameTypeInternal(object->type, name, object->schema);
	CommandCounterIncrement();
}

static void
make_room(FgTrashPlace *place, const FgTrashPiece *piece)
{
	Oid			schema = get_namespace_oid(piece->schema, false);
	FgAside    *occupant = palloc0(sizeof(FgAside));
	bool		taken;

	if (piece->kind == FG_TRASH_STATISTICS)
		taken = SearchSysCacheExists2(STATEXTNAMENSP, CStringGetDatum(piece->name),
									  ObjectIdGetDatum(schema));
	else
		taken = find_occupant(piece, schema, occupant);
	if (!taken)
		return;
	if (piece->kind == FG_TRASH_STATISTICS ||
		(place->new_name == NULL && !OidIsValid(place->new_schema)))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_TABLE),
				 errmsg("table \"%s.%s\" cannot be put back: the name of its %s \"%s.%s\" is taken",
						place->row->schema, place->row->name, fg_trash_kind_word(piece),
						piece->schema, piece->name),
				 errdetail("Something of that name was made after the table had been dropped."),
				 errhint("Give that another name (ALTER ... RENAME TO) and call fortress.undrop(" INT64_FORMAT ") again, or choose another one for the table with fortress.undrop_as().",
						 place->row->id)));
	rename_object(occupant, aside_name(OidIsValid(occupant->relid) ? occupant->relid : occupant->type));
	place->aside = lappend(place->aside, occupant);
}

void
fg_trash_place_begin(FgTrashPlace *place)
{
	ListCell   *lc;

	foreach(lc, place->moved)
		find_schema(place, lfirst(lc));
	foreach(lc, place->moved)
		make_room(place, lfirst(lc));
}

/* A name like this one that is free in the schema; palloc'd. */
static char *
free_name(const char *name, Oid schema)
{
	for (int i = 1;; i++)
	{
		char	   *made = makeObjectName(name, psprintf("%d", i), NULL);

		if (!OidIsValid(get_relname_relid(made, schema)) &&
			!SearchSysCacheExists2(TYPENAMENSP, CStringGetDatum(made), ObjectIdGetDatum(schema)))
			return made;
	}
}

/* Gives back a name, which what came back has given up by now, or gives up here. */
static void
give_back_name(const FgAside *occupant)
{
	FgAside		holder;
	FgTrashPiece piece = {.kind = FG_TRASH_TYPE,.name = occupant->name};

	if (find_occupant(&piece, occupant->schema, &holder))
	{
		char	   *made = free_name(occupant->name, occupant->schema);

		rename_object(&holder, made);
		ereport(NOTICE,
				(errmsg("\"%s\" came back as \"%s\", as the name is taken", occupant->name, made)));
	}
	rename_object(occupant, occupant->name);
}

/* The name that a piece has by now. */
static void
tell_name(const FgTrashPiece *piece, Oid relid)
{
	if (get_rel_name(relid) != NULL)
		fg_catalog_trash_renamed(piece->trash_name, get_namespace_name(get_rel_namespace(relid)),
								 get_rel_name(relid));
}

void
fg_trash_place_end(FgTrashPlace *place, Oid relid)
{
	List	   *relids = NIL;
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, place->moved)
	{
		const FgTrashPiece *piece = lfirst(lc);

		relids = lappend_oid(relids, get_relname_relid(piece->name, get_namespace_oid(piece->schema, false)));
	}
	if (place->new_name != NULL && strcmp(place->new_name, place->row->name) != 0)
	{
		RenameRelationInternal(relid, place->new_name, false, false);
		CommandCounterIncrement();
	}
	if (OidIsValid(place->new_schema) && !place->schema_gone &&
		get_rel_namespace(relid) != place->new_schema)
	{
		const char *sql = psprintf("ALTER TABLE %s SET SCHEMA %s",
								   quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
															  get_rel_name(relid)),
								   quote_identifier(get_namespace_name(place->new_schema)));

		if (SPI_execute(sql, false, 0) < 0)
			elog(ERROR, "could not run \"%s\"", sql);
	}
	foreach(lc, place->aside)
		give_back_name(lfirst(lc));
	foreach(lc, place->borrowed)
	{
		const FgBorrowed *borrowed = lfirst(lc);

		rename_schema(borrowed->schema, borrowed->own_name);
		if (OidIsValid(borrowed->other))
			rename_schema(borrowed->other, borrowed->name);
	}
	forboth(lc, place->moved, lc2, relids)
		tell_name(lfirst(lc), lfirst_oid(lc2));
}
