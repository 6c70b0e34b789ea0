/*-------------------------------------------------------------------------
 *
 * fg_auditor.h
 *		The background workers: a launcher, and for each database that has
 *		events to record a worker that fills its audit log.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_AUDITOR_H
#define FG_AUDITOR_H

#include "postgres.h"

/* Registers the launcher; only while shared_preload_libraries are loaded. */
extern void fg_auditor_register(void);
extern void fg_auditor_setup(void); /* transaction callbacks, once at load */
/*
 * This transaction drops the extension: if it commits, there is no log any more
 * into which what is left in the journal could go.
 */
extern void fg_auditor_extension_dropped(void);
/*
 * Registers what else a worker does when it removes what is old, at load.  It
 * is called outside of a transaction, again and again until it returns false:
 * it has been through.  "retention": for how many seconds things are kept; 0:
 * for good, then it is not called.
 */
typedef bool (*FgExpiryStep) (void);
extern void fg_auditor_register_expiry(FgExpiryStep step, const int *retention);

/* What the launcher and the workers run. */
extern PGDLLEXPORT void fg_auditor_launcher_main(Datum main_arg);
extern PGDLLEXPORT void fg_auditor_worker_main(Datum main_arg);

#endif							/* FG_AUDITOR_H */
