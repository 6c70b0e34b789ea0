/*-------------------------------------------------------------------------
 *
 * fg_trash_place.h
 *		Where a table from the trash is put back, and under which name.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_TRASH_PLACE_H
#define FG_TRASH_PLACE_H

#include "postgres.h"
#include "nodes/pg_list.h"
#include "fg_catalog_trash.h"

typedef struct FgTrashPlace
{
	const FgTrashRow *row;
	const List *moved;			/* of FgTrashPiece * */
	const char *new_name;		/* or NULL */
	Oid			new_schema;		/* or InvalidOid */
	List	   *borrowed;		/* of FgBorrowed * */
	List	   *aside;			/* of FgAside * */
	bool		schema_gone;	/* new_schema stands for the one that it had */
} FgTrashPlace;

/*
 * Sees to it that all that was moved can go back to the schemas and names that it
 * had, by which saved commands call it; raises 3F000 or 42P07 if it cannot.  As
 * the owner of the extension, with an SPI connection; row, moved, new_name and
 * new_schema are set, the rest is 0.
 */
extern void fg_trash_place_begin(FgTrashPlace *place);
/* When all is done: relid, the table, goes where it shall be, and all others have their names again. */
extern void fg_trash_place_end(FgTrashPlace *place, Oid relid);
/* In words, for messages. */
extern const char *fg_trash_kind_word(const FgTrashPiece *piece);

#endif							/* FG_TRASH_PLACE_H */
