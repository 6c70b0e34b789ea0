/*-------------------------------------------------------------------------
 *
 * fg_auditor_import.h
 *		What the worker of a database does: events from the journal into
 *		fortress.audit_log, and old ones out of it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_AUDITOR_IMPORT_H
#define FG_AUDITOR_IMPORT_H

#include "postgres.h"
#include "fg_journal.h"

typedef enum FgStep
{
	FG_STEP_DONE,				/* did something: there may be more */
	FG_STEP_IDLE,				/* there is nothing to do */
	FG_STEP_BUSY				/* somebody has the log locked: later */
} FgStep;

/* Each in a transaction of its own, which is on disk when they return. */
extern FgStep fg_auditor_import(FgJournalReader *reader);
extern FgStep fg_auditor_expire(FgJournalReader *reader);

#endif							/* FG_AUDITOR_IMPORT_H */
