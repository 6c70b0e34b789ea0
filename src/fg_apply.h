/*-------------------------------------------------------------------------
 *
 * fg_apply.h
 *		Brings the triggers and shadows of relations into step with their
 *		policies.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_APPLY_H
#define FG_APPLY_H

#include "postgres.h"

/*
 * Does it for a relation and all its partitions and children; takes
 * ShareRowExclusiveLock on them.  A relation that no policy governs any more
 * loses its triggers.  Raises 0A000 for members that cannot be protected.
 */
extern void fg_apply_tree(Oid relid);
/* The same, but leaves archives as they are. */
extern void fg_apply_triggers(Oid relid);

#endif							/* FG_APPLY_H */
