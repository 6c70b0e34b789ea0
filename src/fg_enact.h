/*-------------------------------------------------------------------------
 *
 * fg_enact.h
 *		Makes a policy that was written count: for the triggers, for all
 *		sessions, for the log.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_ENACT_H
#define FG_ENACT_H

#include "postgres.h"
#include "fg_types.h"

/* A limit per transaction by role, as protect() itself manages them. */
extern FgLimit fg_enact_plain_limit(FgOperation op, int64 rows);
/* The limits of an operation that a policy begins with; -1: none. */
extern void fg_enact_first_limits(Oid relid, FgOperation op, int64 rows, int64 hourly_rows);
/*
 * The policy of a relation was written, changed or deleted; the caller holds
 * ShareRowExclusiveLock on its tree.  "detail" is for the event.  Raises 0A000
 * and its kin for what cannot be protected.
 */
extern void fg_enact_policy(Oid relid, const char *detail);
/*
 * A rule about approval that names this role has come or gone: it is given the
 * rights to read requests and decide on them, or loses them.  InvalidOid: nothing.
 */
extern void fg_enact_approver(Oid role);

#endif							/* FG_ENACT_H */
