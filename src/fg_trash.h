/*-------------------------------------------------------------------------
 *
 * fg_trash.h
 *		The trash: where tables go that are dropped with permission.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_TRASH_H
#define FG_TRASH_H

#include "postgres.h"
#include "nodes/pg_list.h"

/* An object that a command would drop, as the object access hook names it. */
typedef struct FgTrashObject
{
	Oid			class_id;
	Oid			object;
} FgTrashObject;

/* Is it schema fortress_trash that the relation is in? */
extern bool fg_trash_relation(Oid relid);
extern bool fg_trash_type(Oid type);

/*
 * Moves tables to the trash, partitions and children together with what is
 * above them.  "dropped": all that the command would drop, of FgTrashObject *,
 * in the server's order; what of it depends on the tables goes, its definition
 * saved.  The caller has permission, and AccessExclusiveLock on the tables.
 */
extern void fg_trash_take(const List *relids, const List *dropped);

/* Is the relation just becoming the child again that it was when it was dropped? */
extern bool fg_trash_joins(Oid relid);

/*
 * Drops for good a table that has been in the trash for longer than setting
 * fortress.trash_retention says, with its partitions, in a transaction of its
 * own; oldest first, each once in the life of the process.  False: there is none
 * left.  What somebody has locked is left for another time.  Asks nobody: for
 * the auditor's worker.
 */
extern bool fg_trash_expire_step(void);

#endif							/* FG_TRASH_H */
