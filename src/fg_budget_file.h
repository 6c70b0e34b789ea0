/*-------------------------------------------------------------------------
 *
 * fg_budget_file.h
 *		The file that keeps windows over a restart: for fg_budget only.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_BUDGET_FILE_H
#define FG_BUDGET_FILE_H

#include "postgres.h"

/* Loads the windows; only while shared memory is being set up. */
extern void fg_budget_file_load(void);
/* Saves them if they changed; without locks only where no other process is left. */
extern void fg_budget_file_save(bool use_locks);

#endif							/* FG_BUDGET_FILE_H */
