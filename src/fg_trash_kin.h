/*-------------------------------------------------------------------------
 *
 * fg_trash_kin.h
 *		What of all that a command drops has to do with a table.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_TRASH_KIN_H
#define FG_TRASH_KIN_H

#include "postgres.h"
#include "nodes/pg_list.h"

/*
 * For each of the groups, lists of oids of tables, those of "dropped" that
 * depend on its members or that they depend on, directly or by way of others
 * that are dropped, the members included; in the same order.  A list of lists.
 */
extern List *fg_trash_kin(const List *dropped, const List *groups);
/*
 * Are these nothing but the members and parts of them that go along as they are?
 * Then nobody has anything of the members that would have to be made anew.
 */
extern bool fg_trash_kin_plain(const List *kin, const List *members);
/* Are there rights on the members or sequences among these, or is there row security? */
extern bool fg_trash_kin_rights(const List *kin, const List *members);
/* Is one of the members a partition or a child of another table, of a type, or in a publication? */
extern bool fg_trash_kin_links(const List *kin, const List *members);
/* The roles that own, or have rights on, any of these: oids. */
extern List *fg_trash_kin_roles(const List *kin);

#endif							/* FG_TRASH_KIN_H */
