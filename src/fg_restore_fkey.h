/*-------------------------------------------------------------------------
 *
 * fg_restore_fkey.h
 *		Which checks of foreign keys a batch of new rows can do without.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_RESTORE_FKEY_H
#define FG_RESTORE_FKEY_H

#include "postgres.h"
#include "nodes/execnodes.h"

/* What is known of one table's foreign keys while rows are put in */
typedef struct FgForeignKeys FgForeignKeys;

/*
 * Does the relation have only triggers for new rows that check foreign keys at
 * once?  Only if that is so for all tables of a statement may a check stand for
 * others.
 */
extern bool fg_fkeys_alone(const TriggerDesc *triggers);
/* NULL: there are none.  Lives in the current memory context. */
extern FgForeignKeys *fg_fkeys_begin(ResultRelInfo *info);
/*
 * Switches on, in the statement's own description of the triggers, those that
 * this row needs, and the others off.
 */
extern void fg_fkeys_row(FgForeignKeys *fkeys, TupleTableSlot *slot);

#endif							/* FG_RESTORE_FKEY_H */
