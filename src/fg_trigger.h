/*-------------------------------------------------------------------------
 *
 * fg_trigger.h
 *		fortress.guard(), the trigger function of protected tables.  It is
 *		called by the server only.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_TRIGGER_H
#define FG_TRIGGER_H

#include "postgres.h"
#include "fmgr.h"

extern Datum fg_guard(PG_FUNCTION_ARGS);
extern void fg_trigger_setup(void); /* transaction callbacks, once at load, after fg_decide's */

#endif							/* FG_TRIGGER_H */
