/*-------------------------------------------------------------------------
 *
 * fg_trigger_remote.h
 *		Counting rows that replication applies.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_TRIGGER_REMOTE_H
#define FG_TRIGGER_REMOTE_H

#include "postgres.h"
#include "commands/trigger.h"
#include "fg_policy.h"

/* What an applied change means: a row that is moved to another partition is updated. */
extern FgOperation fg_trigger_remote_operation(const TriggerData *data);
/*
 * Counts the row of a row trigger for all policies that govern its table, and
 * refuses if it is one too many.
 */
extern void fg_trigger_remote_count(const TriggerData *data, const FgRelation *entry,
									FgOperation op);

#endif							/* FG_TRIGGER_REMOTE_H */
