/*-------------------------------------------------------------------------
 *
 * fg_catalog_trash.h
 *		The tables fortress.trash_table and fortress.trash_piece as C sees them:
 *		what lies in the trash, and how it is put back.
 *
 * The rules of fg_catalog.h hold here too.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_CATALOG_TRASH_H
#define FG_CATALOG_TRASH_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "nodes/pg_list.h"

#define FG_TRASH_SCHEMA	"fortress_trash"

/* A table that was dropped with permission, with its partitions and children. */
typedef struct FgTrashRow
{
	int64		id;
	const char *trash_name;		/* in schema fortress_trash */
	const char *schema;			/* where it was, and as what */
	const char *name;
	Oid			dropped_by;		/* session user; only for writing */
	TimestampTz dropped_at;
	bool		here;			/* in this database: the oids of its pieces count; only for
								 * reading */
	List	   *roles;			/* its pieces of kind FG_TRASH_ROLE; only while it is put back */
} FgTrashRow;

typedef enum FgTrashKind
{
	/* what lies in the trash: trash_name, schema, name, role (its owner) are set */
	FG_TRASH_TABLE,
	FG_TRASH_INDEX,				/* goes where its table goes */
	FG_TRASH_SEQUENCE,			/* likewise, owned by a column */
	FG_TRASH_FREE_SEQUENCE,		/* one that is nobody's, but that a default calls */
	FG_TRASH_STATISTICS,
	FG_TRASH_TYPE,
	/* whom commands name: role and role_oid are set, and command, which is not run */
	FG_TRASH_ROLE,
	/* what is made anew: command is set */
	FG_TRASH_REQUIRED,			/* or the table does not come back at all */
	FG_TRASH_FUNCTION,			/* if there is none like it */
	FG_TRASH_COMMAND,
	FG_TRASH_OWNER,				/* the name of role is to follow: it may be another one by now */
	FG_TRASH_LOST,				/* not made anew: command says what it was */
	FG_TRASH_CHECKED,			/* run as role, as it may call users' functions */
	FG_TRASH_PARENT				/* likewise: its place below another table */
} FgTrashKind;

typedef struct FgTrashPiece
{
	FgTrashKind kind;
	const char *trash_name;
	const char *schema;
	const char *name;
	const char *role;
	Oid			schema_oid;		/* of what lies in the trash; InvalidOid: not known */
	Oid			role_oid;
	const char *what;			/* in words, for messages */
	const char *command;		/* SQL, all names qualified */
} FgTrashPiece;

extern int64 fg_catalog_trash_id(void); /* a new one */
/* Writes a row, and its pieces in the order in which they are to be put back. */
extern void fg_catalog_put_trash(const FgTrashRow *row, const List *pieces);
extern FgTrashRow *fg_catalog_get_trash(int64 id);	/* NULL: none */
extern List *fg_catalog_trash_pieces(int64 id);	/* of FgTrashPiece *, in order */
extern List *fg_catalog_trash_rows(void);	/* all of them, of FgTrashRow *, by id */
/* One more piece for a row, to be put back last, unless it has one with that command. */
extern void fg_catalog_add_trash_piece(int64 id, const FgTrashPiece *piece);
/* What was "from" in the trash has this name from now on: so it has in all commands. */
extern void fg_catalog_trash_renamed(const char *from, const char *to_schema, const char *to);
/* Is "name", as it is written in SQL, anywhere in a text? */
extern bool fg_catalog_trash_mentions(const char *text, const char *name);

/* The ids of what was dropped before a moment, oldest first, as int64 *. */
extern List *fg_catalog_trash_before(TimestampTz moment);
extern void fg_catalog_delete_trash(int64 id);	/* with its pieces */

#endif							/* FG_CATALOG_TRASH_H */
