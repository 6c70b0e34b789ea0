/*-------------------------------------------------------------------------
 *
 * fg_auditor.h
 *		The launcher: the background worker that keeps the guard's files.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_AUDITOR_H
#define FG_AUDITOR_H

#include "postgres.h"

/* Registers the launcher; only while shared_preload_libraries are loaded. */
extern void fg_auditor_register(void);

/* What the launcher runs. */
extern PGDLLEXPORT void fg_auditor_launcher_main(Datum main_arg);

#endif							/* FG_AUDITOR_H */
