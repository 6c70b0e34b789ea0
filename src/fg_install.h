/*-------------------------------------------------------------------------
 *
 * fg_install.h
 *		The guard's triggers on a relation: which must stand, making them,
 *		and telling whether they stand as they were made.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_INSTALL_H
#define FG_INSTALL_H

#include "postgres.h"
#include "utils/rel.h"

/* the trigger that sees what replication applies; fires for replicas only */
#define FG_REPLICA_TRIGGER	"fortress_guard_replica"

/* Is it the name of one of them? */
extern bool fg_install_trigger_name(const char *name);
/* How the trigger of that name is enabled, as in pg_trigger.tgenabled. */
extern char fg_install_trigger_enabled(const char *name);
/*
 * Makes the triggers that "rel" must have and removes ours that it must not
 * have.  archive: FG_ARCHIVE_* bits; by_row: archive by row triggers.  The
 * caller holds ShareRowExclusiveLock or more.  Runs as the extension's owner.
 */
extern void fg_install_triggers(Relation rel, int archive, bool by_row);
/* Removes all of them. */
extern void fg_install_remove(Relation rel);
/* Does any of them stand?  The caller has a lock. */
extern bool fg_install_any(Oid relid);
/* Do exactly these triggers stand: enabled as they were, no WHEN, our function? */
extern bool fg_install_intact(Relation rel, int archive, bool by_row);

/* Between these two the guard's own DDL runs as the owner of the extension. */
typedef struct FgOwnerState
{
	Oid			user;
	int			sec_context;
	int			guc_level;
	int			own_work_level;
} FgOwnerState;

extern void fg_install_become_owner(FgOwnerState *saved);
extern void fg_install_be_user_again(const FgOwnerState *saved);
/* Is what runs now the guard's own DDL?  An error ends it, too. */
extern bool fg_install_own_work(void);
extern void fg_install_setup(void); /* transaction callbacks, once at load */

#endif							/* FG_INSTALL_H */
