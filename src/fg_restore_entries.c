/*-------------------------------------------------------------------------
 *
 * fg_restore_entries.c
 *		Puts many entries into a btree that come in its order.
 *
 * For each entry the server descends from the root, locks a page, looks for
 * others with the same key, and writes a record of WAL.  Entries in the order
 * of the index mostly belong on one page, some hundreds of them, side by side.
 * Here the page is found and locked once for all that fit on it, and what was put
 * on it is one record.
 *
 * That is done only for an entry of which the page alone tells that it belongs
 * there and that no other has its key: the neighbours to be are on that page, and
 * the entry lies strictly between them, by its key in a unique index, else by
 * its key and row.  At the right end of a page its high key is the neighbour, at
 * both ends of the index nothing is.  All others have the server's own way, one by one: those
 * with a key that is there already, dead or alive or perhaps to be waited for;
 * those at the left end of a page; those for which a page must be split, or
 * cleaned first; large ones; and indexes of a version that is ordered in another way.
 *
 * Whoever puts in the same key meanwhile has to lock the page on which it would
 * be, and finds the entry there, as if the server had put it in.
 *
 * A page gets its entries by generic WAL: a record of the bytes that differ,
 * which replay puts on the page as they are.  Nothing else than adding items is
 * done like this; splits and the pages above are the server's.  A page with
 * items marked dead is left to it: marks are not logged, and so differ between a
 * primary and a standby.
 *
 * If entries fall far apart, it would be for nothing; then it is tried less and
 * less often.
 *
 * It refuses nothing.
 *
 * Locks: the caller has table and index locked for writing.  A page is locked
 * while entries are put on it, and nothing else then; keys are compared then,
 * as the server does.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/generic_xlog.h"
#include "access/nbtree.h"
#include "access/stratnum.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/predicate.h"
#include "utils/rel.h"
#include "utils/sortsupport.h"

#include "fg_compat.h"
#include "fg_restore_entries.h"

/* not worth a record for itself, or even the search */
#define FG_ENTRIES_LEAST	8
/* so many have the server's way after a first and after each further attempt in vain */
#define FG_ENTRIES_PAUSE	16
#define FG_ENTRIES_MOST_PAUSE	4096
/* larger ones have it, too */
#define FG_ENTRIES_SIZE	(BLCKSZ / 8)

struct FgEntries
{
	Relation	index;
	Relation	heap;
	IndexUniqueCheck check;
	bool		nulls_differ;	/* NULL is no other NULL's equal */
	bool		together;		/* can it be done here at all? */
	int			pause;			/* 0: the last attempt was worth it */
	int			left;			/* of the pause */
	int			n_keys;
	SortSupportData keys[INDEX_MAX_KEYS];
};

/* A page that entries are put on */
typedef struct FgEntryPage
{
	Page		page;			/* the copy that will take its place */
	bool		leftmost;
	bool		rightmost;
	IndexTuple	high;			/* NULL: none, as it is the rightmost */
	OffsetNumber first;
} FgEntryPage;


/* ---------------------------------------------------------------------
 * Order
 * ---------------------------------------------------------------------
 */

/* By so many columns.  *null: have both NULL in the same column? */
static int
fg_entries_compare_keys(FgEntries *entries, IndexTuple a, IndexTuple b, int n_keys, bool *null)
{
	TupleDesc	desc = RelationGetDescr(entries->index);

	*null = false;
	for (int i = 0; i < n_keys; i++)
	{
		bool		a_null;
		bool		b_null;
		Datum		a_value = index_getattr(a, i + 1, desc, &a_null);
		Datum		b_value = index_getattr(b, i + 1, desc, &b_null);
		int			order = ApplySortComparator(a_value, a_null, b_value, b_null, &entries->keys[i]);

		if (order != 0)
			return order;
		*null |= a_null;
	}
	return 0;
}

/*
 * The order of a new entry and an item of a leaf page.  0: it is not for this file
 * to say; in a unique index, they have the same key.
 */
static int
fg_entries_compare(FgEntries *entries, IndexTuple entry, IndexTuple item)
{
	bool		null;
	int			order = fg_entries_compare_keys(entries, entry, item, entries->n_keys, &null);

	if (order != 0)
		return order;
	if (entries->check != UNIQUE_CHECK_NO && !(null && entries->nulls_differ))
		return 0;
	if (ItemPointerCompare(&entry->t_tid, BTreeTupleGetHeapTID(item)) < 0)
		return -1;
	return ItemPointerCompare(&entry->t_tid, BTreeTupleGetMaxHeapTID(item)) > 0 ? 1 : 0;
}

static IndexTuple
fg_entries_item(Page page, OffsetNumber offset)
{
	return (IndexTuple) PageGetItem(page, PageGetItemId(page, offset));
}

/* The first item from "low" on that is not before the entry; one more than there are: none */
static OffsetNumber
fg_entries_place(FgEntries *entries, Page page, OffsetNumber low, IndexTuple entry)
{
	OffsetNumber high = PageGetMaxOffsetNumber(page) + 1;

	while (low < high)
	{
		OffsetNumber middle = low + (high - low) / 2;

		if (fg_entries_compare(entries, entry, fg_entries_item(page, middle)) > 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Does the entry belong at that place, in front of the item there, and is its key no other's? */
static bool
fg_entries_belongs(FgEntries *entries, const FgEntryPage *page, OffsetNumber place, IndexTuple entry)
{
	bool		null;

	if (place == page->first)
	{
		if (!page->leftmost)
			return false;
	}
	else if (fg_entries_compare(entries, entry, fg_entries_item(page->page, place - 1)) <= 0)
		return false;

	if (place <= PageGetMaxOffsetNumber(page->page))
		return fg_entries_compare(entries, entry, fg_entries_item(page->page, place)) < 0;
	return page->rightmost ||
		fg_entries_compare_keys(entries, entry, page->high,
								Min(entries->n_keys, BTreeTupleGetNAtts(page->high, entries->index)), &null) < 0;
}


/* ---------------------------------------------------------------------
 * Pages
 * ---------------------------------------------------------------------
 */

/* Puts the first of the entries on a page's copy, as many as belong there and fit.  Returns how many. */
static int
fg_entries_fill(FgEntries *entries, const FgEntryPage *page, IndexTuple *tuples, int n_tuples)
{
	OffsetNumber place = page->first;
	int			n;

	for (n = 0; n < n_tuples; n++)
	{
		Size		size = MAXALIGN(IndexTupleSize(tuples[n]));

		place = fg_entries_place(entries, page->page, place, tuples[n]);
		if (size > FG_ENTRIES_SIZE || PageGetFreeSpace(page->page) < size ||
			!fg_entries_belongs(entries, page, place, tuples[n]))
			break;
		if (PageAddItem(page->page, (Item) tuples[n], size, place, false, false) == InvalidOffsetNumber)
			elog(ERROR, "could not add an entry to index \"%s\"", RelationGetRelationName(entries->index));
		place++;
	}
	return n;
}

/* Puts the first of the entries on the page where the very first belongs.  Returns how many; 0: it was not worth it. */
static int
fg_entries_put_page(FgEntries *entries, IndexTuple *tuples, int n_tuples)
{
	BTScanInsert key = _bt_mkscankey(entries->index, tuples[0]);
	Buffer		buffer;
	BTStack		stack;
	BTPageOpaque opaque;
	GenericXLogState *state;
	FgEntryPage page;
	int			n = 0;

	if (!key->heapkeyspace)
	{
		entries->together = false;
		return 0;
	}
	stack = fg_compat_bt_search_to_write(entries->index, entries->heap, key, &buffer);
	if (stack)
		_bt_freestack(stack);
	opaque = BTPageGetOpaque(BufferGetPage(buffer));
	if (!P_IGNORE(opaque) && !P_HAS_GARBAGE(opaque) && !P_INCOMPLETE_SPLIT(opaque))
	{
		CheckForSerializableConflictIn(entries->index, NULL, BufferGetBlockNumber(buffer));
		state = GenericXLogStart(entries->index);
		page.page = GenericXLogRegisterBuffer(state, buffer, 0);
		page.leftmost = P_LEFTMOST(opaque);
		page.rightmost = P_RIGHTMOST(opaque);
		page.first = P_FIRSTDATAKEY(opaque);
		page.high = page.rightmost ? NULL : fg_entries_item(BufferGetPage(buffer), P_HIKEY);
		n = fg_entries_fill(entries, &page, tuples, n_tuples);
		if (n < FG_ENTRIES_LEAST)
		{
			GenericXLogAbort(state);
			n = 0;
		}
		else
			GenericXLogFinish(state);
	}
	_bt_relbuf(entries->index, buffer);
	pfree(key);
	return n;
}


/* ---------------------------------------------------------------------
 * Entries
 * ---------------------------------------------------------------------
 */

FgEntries *
fg_entries_begin(Relation index, Relation heap)
{
	FgEntries  *entries = palloc0(sizeof(FgEntries));

	entries->index = index;
	entries->heap = heap;
	entries->check = index->rd_index->indisunique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO;
	entries->nulls_differ = !index->rd_index->indnullsnotdistinct;
	entries->together = true;
	entries->n_keys = IndexRelationGetNumberOfKeyAttributes(index);
	for (int i = 0; i < entries->n_keys; i++)
	{
		SortSupport key = &entries->keys[i];

		key->ssup_cxt = CurrentMemoryContext;
		key->ssup_collation = index->rd_indcollation[i];
		key->ssup_nulls_first = (index->rd_indoption[i] & INDOPTION_NULLS_FIRST) != 0;
		key->ssup_attno = i + 1;
		PrepareSortSupportFromIndexRel(index,
									   index->rd_indoption[i] & INDOPTION_DESC ? BTGreaterStrategyNumber : BTLessStrategyNumber,
									   key);
	}
	return entries;
}

void
fg_entries_put(FgEntries *entries, IndexTuple *tuples, int n_tuples)
{
	int			next = 0;

	while (next < n_tuples)
	{
		CHECK_FOR_INTERRUPTS();
		if (entries->left > 0)
			entries->left--;
		else if (entries->together && n_tuples - next >= FG_ENTRIES_LEAST)
		{
			int			n = fg_entries_put_page(entries, tuples + next, n_tuples - next);

			next += n;
			entries->pause = n > 0 ? 0 : Min(Max(entries->pause * 2, FG_ENTRIES_PAUSE), FG_ENTRIES_MOST_PAUSE);
			entries->left = entries->pause;
		}
		/* the page is full, or the next one belongs elsewhere */
		if (next < n_tuples)
		{
			(void) _bt_doinsert(entries->index, tuples[next], entries->check, false, entries->heap);
			next++;
		}
	}
}
