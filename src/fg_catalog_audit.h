/*-------------------------------------------------------------------------
 *
 * fg_catalog_audit.h
 *		The table fortress.audit_log as C sees it.
 *
 * Rows are written by the worker alone, straight to the heap: no trigger,
 * rule, policy or user's function comes between.  What reads them for checking
 * does so with a snapshot of its own, whatever the transaction's is.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_CATALOG_AUDIT_H
#define FG_CATALOG_AUDIT_H

#include "postgres.h"
#include "access/genam.h"
#include "catalog/indexing.h"
#include "utils/relcache.h"
#include "fg_record.h"

typedef struct FgAuditRow
{
	FgRecordKey key;
	FgRecord	record;			/* its relid is what the column says */
	uint8		hash[FG_HASH_LENGTH];
	bool		complete;		/* no value is missing, the hash has its length */
	Oid			detail_relid;	/* what "detail" says of the relation */
	bool		has_base;		/* an audit_expired event: "detail" has ... */
	FgAnchor	base;			/* ... the last row that was removed */
} FgAuditRow;

/* --- the worker --- */

typedef struct FgAuditWriter
{
	Relation	rel;
	CatalogIndexState indexes;
} FgAuditWriter;

/*
 * Opens the log for writing.  Does not wait for its lock: false if somebody
 * has it.  Raises an error if the table is not as the extension made it.
 */
extern bool fg_audit_open(FgAuditWriter *writer);
extern void fg_audit_close(FgAuditWriter *writer);	/* keeps the lock */
typedef enum FgAuditFound
{
	FG_AUDIT_NONE,
	FG_AUDIT_SAME,				/* it is the record */
	FG_AUDIT_OTHER				/* somebody else's row has its place */
} FgAuditFound;

/*
 * What row has this place in the journal?  record NULL: whatever is there counts
 * as the same.
 */
extern FgAuditFound fg_audit_find(FgAuditWriter *writer, uint64 journal, uint64 number,
								  const FgRecord *record);
/* The rows with the lowest and highest id; ids 0 if the log is empty. */
extern void fg_audit_ends(FgAuditWriter *writer, FgAnchor *first, FgAnchor *last);
/* The last row before the first gap in the ids. */
extern void fg_audit_contiguous_end(FgAuditWriter *writer, FgAnchor *last);
/* Has the row with the anchor's id its hash?  False too where it is missing. */
extern bool fg_audit_holds(FgAuditWriter *writer, const FgAnchor *anchor);
/* Moves the chain's id past rows that are in the way of the next one. */
extern void fg_audit_skip(FgAuditWriter *writer, FgAnchor *chain);
/*
 * Appends a record to the chain, which is moved on.  The record's detail is
 * brought into the form in which the table gives it back.
 */
extern void fg_audit_append(FgAuditWriter *writer, FgAnchor *chain, uint64 journal,
							uint64 number, FgRecord *record);
/*
 * Removes rows from the beginning that are older than "before", at most "max",
 * but never the last one, and none from the first on that is not as it was
 * written (*altered).  Returns how many; *first and *last tell which.
 */
extern int	fg_audit_expire(FgAuditWriter *writer, TimestampTz before, int max,
							int64 *first, FgAnchor *last, bool *altered);
/* When the first row was recorded; 0: the log is empty. */
extern TimestampTz fg_audit_oldest(FgAuditWriter *writer);

/* --- checking --- */

typedef struct FgAuditScan
{
	Relation	rel;
	Relation	index;
	Snapshot	snapshot;
	SysScanDesc scan;
} FgAuditScan;

/* Reads all rows in the order of their ids, as they are committed now. */
extern void fg_audit_scan_begin(FgAuditScan *scan);
/* The next row, palloc'd texts; false at the end. */
extern bool fg_audit_scan_next(FgAuditScan *scan, FgAuditRow *row);
/* How many rows the table itself has, without its indexes; by the same snapshot. */
extern int64 fg_audit_scan_count(FgAuditScan *scan);
extern void fg_audit_scan_end(FgAuditScan *scan);

#endif							/* FG_CATALOG_AUDIT_H */
