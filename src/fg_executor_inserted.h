/*-------------------------------------------------------------------------
 *
 * fg_executor_inserted.h
 *		Statements that may touch rows which their transaction has put in.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_EXECUTOR_INSERTED_H
#define FG_EXECUTOR_INSERTED_H

#include "postgres.h"
#include "fg_executor_watch.h"

/*
 * The nodes of the query are under watch and have not run: those that may touch
 * such rows will have them noted.  "firing": for a cascade, the query whose end
 * fires its triggers.
 */
extern void fg_inserted_capture(FgQuery *query, EState *firing);

#endif							/* FG_EXECUTOR_INSERTED_H */
