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
 * Registers callbacks, the second of which may be NULL; at load.  They run last
 * in, first out: for COMMIT, ABORT and PREPARE, and for COMMIT_SUB and ABORT_SUB
 * with the nest level that ends.
 */
typedef void (*FgXactCallback) (XactEvent event);
typedef void (*FgSubXactCallback) (SubXactEvent event, int nest_level);

#define FG_XACT_EARLY	0x01	/* for PRE_COMMIT and PRE_PREPARE, too */
#define FG_XACT_ROWS	0x02	/* after fg_xact_touch_rows(), too */

extern void fg_xact_register(FgXactCallback on_xact, FgSubXactCallback on_subxact, int flags);

/* From now on this transaction's ends matter: the callbacks will run. */
extern void fg_xact_touch(void);
/* The same for those with FG_XACT_ROWS; others that keep something have to touch by themselves. */
extern void fg_xact_touch_rows(void);

#endif							/* FG_XACT_H */
