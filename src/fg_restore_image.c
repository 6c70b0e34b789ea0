/*-------------------------------------------------------------------------
 *
 * fg_restore_image.c
 *		Makes rows of a table from the images in its shadow, as bytes.
 *
 * An image is the row with 32 bytes of metadata in front (fg_shadow.c).  Where
 * the columns behind them are those of the table, one by one and with the same
 * types, taking the metadata off gives the row back, and no value has to be
 * looked at.  A type that says more than how its values are stored, such as a
 * domain, makes columns unlike, and so does a dropped or a generated one.
 *
 * It refuses nothing.  Locks: the caller has both relations locked.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/tupdesc.h"

#include "fg_restore_image.h"
#include "fg_shadow.h"

/* the bits of a tuple header that tell about its data */
#define FG_DATA_BITS	(HEAP_HASNULL | HEAP_HASVARWIDTH | HEAP_HASEXTERNAL)

bool
fg_image_alike(Relation rel, Relation shadow)
{
	TupleDesc	desc = RelationGetDescr(rel);
	TupleDesc	shadow_desc = RelationGetDescr(shadow);

	if (shadow_desc->natts < FG_SHADOW_N_META + desc->natts)
		return false;
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute base = TupleDescAttr(desc, i);
		Form_pg_attribute kept = TupleDescAttr(shadow_desc, FG_SHADOW_N_META + i);

		if (base->attisdropped || kept->attisdropped || base->attgenerated != '\0' ||
			base->atttypid != kept->atttypid ||
			base->atttypmod != kept->atttypmod ||
			base->attlen != kept->attlen ||
			base->attalign != kept->attalign ||
			base->attbyval != kept->attbyval ||
			strcmp(NameStr(base->attname), NameStr(kept->attname)) != 0)
			return false;
	}
	return true;
}

/* By values: for an image that has other columns than the table has now. */
static HeapTuple
fg_image_row_by_values(HeapTuple image, Relation rel, Relation shadow)
{
	TupleDesc	shadow_desc = RelationGetDescr(shadow);
	Datum	   *values = palloc(sizeof(Datum) * shadow_desc->natts);
	bool	   *nulls = palloc(sizeof(bool) * shadow_desc->natts);
	HeapTuple	row;

	heap_deform_tuple(image, shadow_desc, values, nulls);
	row = heap_form_tuple(RelationGetDescr(rel), values + FG_SHADOW_N_META, nulls + FG_SHADOW_N_META);
	pfree(values);
	pfree(nulls);
	return row;
}

HeapTuple
fg_image_row(HeapTuple image, Relation rel, Relation shadow)
{
	HeapTupleHeader old = image->t_data;
	int			natts = RelationGetNumberOfAttributes(rel);
	bool		has_nulls = (old->t_infomask & HEAP_HASNULL) != 0;
	Size		header_size = SizeofHeapTupleHeader;
	Size		data_size;
	HeapTuple	row;
	HeapTupleHeader new;

	if (HeapTupleHeaderGetNatts(old) != FG_SHADOW_N_META + natts)
		return fg_image_row_by_values(image, rel, shadow);

	if (has_nulls)
		header_size += BITMAPLEN(natts);
	header_size = MAXALIGN(header_size);
	data_size = image->t_len - old->t_hoff - FG_SHADOW_META_SIZE;

	row = palloc(HEAPTUPLESIZE + header_size + data_size);
	new = (HeapTupleHeader) ((char *) row + HEAPTUPLESIZE);
	memset(new, 0, header_size);
	row->t_len = header_size + data_size;
	ItemPointerSetInvalid(&row->t_self);
	row->t_tableOid = RelationGetRelid(rel);
	row->t_data = new;

	ItemPointerSetInvalid(&new->t_ctid);
	HeapTupleHeaderSetNatts(new, natts);
	new->t_infomask = old->t_infomask & FG_DATA_BITS;
	new->t_hoff = header_size;
	/* the metadata, of eight columns, is never null */
	if (has_nulls)
		memcpy(new->t_bits, &old->t_bits[1], BITMAPLEN(natts));
	memcpy((char *) new + header_size, (char *) old + old->t_hoff + FG_SHADOW_META_SIZE, data_size);
	return row;
}
