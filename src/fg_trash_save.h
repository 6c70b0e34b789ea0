/*-------------------------------------------------------------------------
 *
 * fg_trash_save.h
 *		What goes with a table that is dropped, as SQL that makes it anew.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_TRASH_SAVE_H
#define FG_TRASH_SAVE_H

#include "postgres.h"
#include "nodes/pg_list.h"

/*
 * All of these are called with an SPI connection, as the owner of the
 * extension, before anything is moved or dropped.  "members": the oids of a
 * table and what lies below it; "dropped": what fg_trash_kin() says of them.  Pieces are
 * FgTrashPiece *, in the order in which they are to be put back.
 */

/* Types that go, but that columns of the members have: oids. */
extern List *fg_trash_save_types(const List *members, const List *dropped);
/* Sequences that go, but that defaults of the members call and no column of "tables", all that are taken, owns: oids. */
extern List *fg_trash_save_sequences(const List *members, const List *dropped, const List *tables);
/*
 * What depends on the members and is no part of them.  *drops: to which the
 * commands are appended that drop it, of char *, in their order.
 */
extern List *fg_trash_save_dependents(const List *members, const List *dropped, List **drops);
/*
 * Parts of the members that depend on something else that goes; moved: the types
 * and sequences above.  *first: the commands that drop those of them that are on
 * functions among the dependents, to be run before all others.
 */
extern List *fg_trash_save_parts(const List *members, const List *dropped, const List *moved,
								 List **first, List **drops);
/* Row security of the members, rights on them and their or these sequences; *drops takes these away. */
extern List *fg_trash_save_rights(const List *members, const List *sequences, List **drops);
/* What links the members to tables above them that stay, to publications and to types. */
extern List *fg_trash_save_links(const List *members, List **drops);
/* The roles that own, or have rights on, what is dropped. */
extern List *fg_trash_save_roles(const List *dropped);

#endif							/* FG_TRASH_SAVE_H */
