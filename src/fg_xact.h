/*-------------------------------------------------------------------------
 *
 * fg_xact.h
 *		Callbacks for the ends of transactions in which the guard has done
 *		something.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_XACT_H
#define FG_XACT_H

#include "postgres.h"
#include "access/xact.h"

/*
 * Registers callbacks, either of which may be NULL; at load.  They run last
 * in, first out, with no argument, for PRE_COMMIT, PRE_PREPARE, COMMIT, ABORT
 * and PREPARE, and for COMMIT_SUB and ABORT_SUB with the nest level that ends.
 */
typedef void (*FgXactCallback) (XactEvent event);
typedef void (*FgSubXactCallback) (SubXactEvent event, int nest_level);

extern void fg_xact_register(FgXactCallback on_xact, FgSubXactCallback on_subxact);

/* From now on this transaction's ends matter: the callbacks will run. */
extern void fg_xact_touch(void);

#endif							/* FG_XACT_H */
