/*-------------------------------------------------------------------------
 *
 * fg_executor.h
 *		Watching DELETE, UPDATE, MERGE and ON CONFLICT DO UPDATE.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_EXECUTOR_H
#define FG_EXECUTOR_H

#include "postgres.h"

/* Installs the executor hooks and transaction callbacks; once at load. */
extern void fg_executor_setup(void);

#endif							/* FG_EXECUTOR_H */
