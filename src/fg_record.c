/*-------------------------------------------------------------------------
 *
 * fg_record.c
 *		An event with everything that is recorded of it: as bytes in the
 *		journal, and as a link of the hash chain.
 *
 * The bytes are the server's own message format (pqformat): numbers in network
 * order, texts with their length, so that a journal can be read wherever it
 * was written.
 *
 * What is hashed is such a sequence of bytes too, of the values and not of
 * their texts: time zone, date style and the like make no difference, nor does
 * a dump that is restored elsewhere.  Every text comes with its length, so
 * that nothing can be moved from one field to the next.  The relation is
 * hashed with its name and its oid in "detail" and not by itself, as its oid
 * is another after such a restore; see fg_audit.c for how it is checked.
 *
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "libpq/pqformat.h"

#include "fg_record.h"

/* first byte of a packed record, to tell later formats apart */
#define RECORD_FORMAT	1

static void
put_text(StringInfo buf, const char *text)
{
	if (text == NULL)
		pq_sendint32(buf, (uint32) -1);
	else
	{
		int			length = strlen(text);

		pq_sendint32(buf, length);
		appendBinaryStringInfo(buf, text, length);
	}
}

/* What both forms have in common: all but the relation. */
static void
put_fields(StringInfo buf, const FgRecord *record)
{
	pq_sendint64(buf, record->at);
	pq_sendint64(buf, record->rows);
	pq_sendint64(buf, record->max_rows);
	pq_sendint32(buf, record->pid);
	pq_sendint64(buf, record->xid);
	pq_sendbyte(buf, record->family);
	appendBinaryStringInfo(buf, (const char *) record->address,
						   record->family == 6 ? 16 : record->family == 4 ? 4 : 0);
	put_text(buf, record->event);
	put_text(buf, record->operation);
	put_text(buf, record->session_role);
	put_text(buf, record->actual_role);
	put_text(buf, record->application_name);
	put_text(buf, record->query);
	put_text(buf, record->detail);
}

void
fg_record_pack(StringInfo buf, const FgRecord *record)
{
	pq_sendbyte(buf, RECORD_FORMAT);
	pq_sendint32(buf, record->relid);
	put_fields(buf, record);
}

/* ----------------------------------------------------------------
 *		Unpacking: nothing is read beyond the end, and nothing is raised
 * ----------------------------------------------------------------
 */

typedef struct FgUnpack
{
	const char *place;
	const char *end;
	bool		failed;
} FgUnpack;

static uint64
get_number(FgUnpack *from, int width)
{
	uint64		number = 0;

	if (from->end - from->place < width)
	{
		from->failed = true;
		return 0;
	}
	for (int i = 0; i < width; i++)
		number = (number << 8) | (uint8) *from->place++;
	return number;
}

static char *
get_text(FgUnpack *from)
{
	int32		length = (int32) get_number(from, 4);
	char	   *text;

	if (from->failed || length == -1)
		return NULL;
	if (length < 0 || from->end - from->place < length ||
		memchr(from->place, '\0', length) != NULL)
	{
		from->failed = true;
		return NULL;
	}
	text = pnstrdup(from->place, length);
	from->place += length;
	return text;
}

bool
fg_record_unpack(const char *data, uint32 length, FgRecord *record)
{
	FgUnpack	from = {data, data + length, false};
	int			address_length;

	memset(record, 0, sizeof(*record));
	if (get_number(&from, 1) != RECORD_FORMAT)
		return false;
	record->relid = (Oid) get_number(&from, 4);
	record->at = (TimestampTz) get_number(&from, 8);
	record->rows = (int64) get_number(&from, 8);
	record->max_rows = (int64) get_number(&from, 8);
	record->pid = (int32) get_number(&from, 4);
	record->xid = get_number(&from, 8);
	record->family = (uint8) get_number(&from, 1);
	address_length = record->family == 6 ? 16 : record->family == 4 ? 4 : 0;
	for (int i = 0; i < address_length; i++)
		record->address[i] = (uint8) get_number(&from, 1);
	record->event = get_text(&from);
	record->operation = get_text(&from);
	record->session_role = get_text(&from);
	record->actual_role = get_text(&from);
	record->application_name = get_text(&from);
	record->query = get_text(&from);
	record->detail = get_text(&from);
	return !from.failed && from.place == from.end &&
		record->event != NULL && record->detail != NULL;
}

void
fg_record_hash(const FgRecordKey *key, const FgRecord *record,
			   const uint8 previous[FG_HASH_LENGTH], uint8 hash[FG_HASH_LENGTH])
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendBinaryStringInfo(&buf, (const char *) previous, FG_HASH_LENGTH);
	pq_sendint64(&buf, key->id);
	pq_sendint64(&buf, key->journal);
	pq_sendint64(&buf, key->number);
	put_fields(&buf, record);
	fg_crypto_hash_bytes(buf.data, buf.len, hash);
	pfree(buf.data);
}
