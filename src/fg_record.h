/*-------------------------------------------------------------------------
 *
 * fg_record.h
 *		An event with everything that is recorded of it: as a C structure, as
 *		bytes in the journal, and as a link of the hash chain.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_RECORD_H
#define FG_RECORD_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "lib/stringinfo.h"
#include "fg_crypto.h"

/* Texts are in the encoding of the database, and valid in it; NULL: none. */
typedef struct FgRecord
{
	TimestampTz at;
	Oid			relid;			/* InvalidOid: none */
	int64		rows;			/* -1: not known */
	int64		max_rows;		/* -1: no limit concerned */
	int32		pid;
	uint64		xid;			/* 0: none */
	uint8		family;			/* of address: 4, 6 or 0 (none) */
	uint8		address[16];	/* its first 4 or 16 bytes count */
	char	   *event;
	char	   *operation;
	char	   *session_role;
	char	   *actual_role;
	char	   *application_name;
	char	   *query;
	char	   *detail;			/* a JSON object */
} FgRecord;

/* Where a record stands in the log, and where in the journal it came from. */
typedef struct FgRecordKey
{
	int64		id;
	uint64		journal;		/* incarnation; 0: made by the worker itself */
	uint64		number;
} FgRecordKey;

/* The end of a chain: the id and the hash of its last record. */
typedef struct FgAnchor
{
	int64		id;				/* 0: no record, or not known */
	uint8		hash[FG_HASH_LENGTH];
} FgAnchor;

/* Appends the record's bytes. */
extern void fg_record_pack(StringInfo buf, const FgRecord *record);
/*
 * The record of these bytes, its texts palloc'd; false if they are none, which
 * cannot happen to bytes with the right checksum.
 */
extern bool fg_record_unpack(const char *data, uint32 length, FgRecord *record);
/*
 * The hash of a link: SHA-256 over the hash before it and all that the record
 * and its key say.  It depends on no setting.
 */
extern void fg_record_hash(const FgRecordKey *key, const FgRecord *record,
						   const uint8 previous[FG_HASH_LENGTH], uint8 hash[FG_HASH_LENGTH]);

#endif							/* FG_RECORD_H */
