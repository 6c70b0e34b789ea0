/*-------------------------------------------------------------------------
 *
 * fg_purge.h
 *		Removes archived rows that are old enough.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_PURGE_H
#define FG_PURGE_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "storage/itemptr.h"
#include "utils/relcache.h"

extern Size fg_purge_shmem_size(void);
extern void fg_purge_shmem_init(void);

/*
 * For the worker of a database: removes what is older than fortress.retention
 * from a piece of an archive, in a transaction of its own.  False: it has been
 * through all archives.
 */
extern bool fg_purge_step(void);
/* The worker leaves before it is through: records what it has removed, and where it was. */
extern void fg_purge_pause(void);
/* Was a round left in the middle? */
extern bool fg_purge_paused(Oid database);
/* How long after the begin of one round through the archives the next one begins. */
extern int64 fg_purge_interval_ms(void);

/* Opens a shadow to remove rows; "wait" for its lock, or NULL.  NULL as well: it is gone. */
extern Relation fg_purge_open(Oid shadow, bool wait);
/*
 * Removes a row.  False: somebody else has, or, if this does not "wait", is
 * about to.
 */
extern bool fg_purge_row(Relation shadow, ItemPointer place, bool wait);
/*
 * The event of rows that were removed; queued for the end of the transaction.
 * "filter" is the caller's condition or NULL.
 */
extern void fg_purge_record(Oid relid, int64 rows, TimestampTz before, const char *filter, bool required);

#endif							/* FG_PURGE_H */
