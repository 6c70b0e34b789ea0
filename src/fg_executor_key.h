/*-------------------------------------------------------------------------
 *
 * fg_executor_key.h
 *		Statements that may change keys.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_EXECUTOR_KEY_H
#define FG_EXECUTOR_KEY_H

#include "postgres.h"
#include "fg_executor_watch.h"

/*
 * The nodes of the query are under watch and have not run: those that set key
 * columns will give the guard's trigger the new rows too.  "firing": for a
 * cascade, the query whose end fires its triggers, as far as that is known.
 */
extern void fg_key_capture(FgQuery *query, EState *firing);

#endif							/* FG_EXECUTOR_KEY_H */
