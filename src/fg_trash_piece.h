/*-------------------------------------------------------------------------
 *
 * fg_trash_piece.h
 *		What the files of fg_trash share: looking at pieces, telling of tables.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_TRASH_PIECE_H
#define FG_TRASH_PIECE_H

#include "postgres.h"
#include "fg_catalog_trash.h"

/*
 * SQL that makes a function, never over one that is there, and with its owner or
 * not at all: it may run with his rights.  "f": a row of pg_proc.
 */
#define FG_TRASH_FUNCTION_TEXT(f) \
	"'CREATE ' || substr(pg_get_functiondef(" f ".oid), length('CREATE OR REPLACE ') + 1) ||" \
	" format(E';\\nALTER ROUTINE %s OWNER TO %I', " f ".oid::regprocedure, pg_get_userbyid(" f ".proowner))"

/* Is a piece that was moved still in the trash?  A type may have gone back with another table. */
extern bool fg_trash_holds(const FgTrashPiece *piece);
/* Queues an event about a table; "relid" where it is, or InvalidOid. */
extern void fg_trash_record(const char *event, const FgTrashRow *row, Oid relid);

#endif							/* FG_TRASH_PIECE_H */
