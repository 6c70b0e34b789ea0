/*-------------------------------------------------------------------------
 *
 * fg_trigger.h
 *		fortress.guard(), the trigger function of protected tables.  It is
 *		called by the server only; other parts need nothing of it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_TRIGGER_H
#define FG_TRIGGER_H

#include "postgres.h"
#include "fmgr.h"

extern Datum fg_guard(PG_FUNCTION_ARGS);

#endif							/* FG_TRIGGER_H */
