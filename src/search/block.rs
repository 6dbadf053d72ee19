//! Records of a segment in blocks: which of a block's are meant, and the values of a column for them, read many at a time.

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use tantivy::columnar::{Column, ColumnIndex};

/// Records looked at together.
pub(super) const BLOCK: u32 = 4096;
/// With fewer records than this left of a block, a column is asked record by record.
const FEW: usize = BLOCK as usize / 16;
/// Stands for a record without a value; no column has it: ordinals and times are far smaller.
pub(super) const NONE: u64 = u64::MAX;

/// Records of one block, ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Docs<'d> {
    /// All of it.
    All(Range<u32>),
    /// Some of it.
    Some(&'d [u32]),
}

impl Docs<'_> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::All(range) => range.len(),
            Self::Some(docs) => docs.len(),
        }
    }

    /// Appends them.
    pub(super) fn push_to(&self, out: &mut Vec<u32>) {
        match self {
            Self::All(range) => out.extend(range.clone()),
            Self::Some(docs) => out.extend_from_slice(docs),
        }
    }
}

/// Working memory of the readers.
#[derive(Default)]
pub(super) struct Scratch {
    docs: Vec<u32>,
    rows: Vec<u32>,
    values: Vec<u64>,
    block: Vec<u32>,
}

/// The records of a block that have a value, one for each of its `rows`, into `of`. For columns with at most one value a record.
fn docs_of(column: &Column<u64>, block: Range<u32>, rows: Range<u32>, of: &mut Vec<u32>, scratch: (&mut Vec<u32>, &mut Vec<u32>)) {
    of.clear();
    if rows.len() == block.len() {
        of.extend(block);
    } else if rows.len() < FEW {
        of.extend(rows);
        column.index.select_batch_in_place(block.start, of);
    } else {
        // To ask which of all have one costs less than to look for the place of each.
        let (all, rows) = scratch;
        all.clear();
        rows.clear();
        all.extend(block);
        column.index.docids_to_rowids(all, of, rows);
    }
}

/// The first value of each record, [`NONE`] where it has none.
pub(super) fn first_values<'v>(column: &Column<u64>, docs: &Docs, out: &'v mut Vec<u64>, scratch: &mut Scratch) -> &'v [u64] {
    out.clear();
    out.resize(docs.len(), NONE);
    match (&column.index, docs) {
        (ColumnIndex::Empty { .. }, _) => {}
        (ColumnIndex::Full, Docs::All(range)) => column.values.get_range(u64::from(range.start), out),
        (ColumnIndex::Full, Docs::Some(docs)) => column.values.get_vals(docs, out),
        (ColumnIndex::Optional(_), Docs::All(range)) => {
            let begin = range.start;
            each_with_doc(column, docs, scratch, |doc, value| {
                if let Some(slot) = out.get_mut((doc - begin) as usize) {
                    *slot = value;
                }
            });
        }
        (ColumnIndex::Optional(_), Docs::Some(list)) => {
            let mut places = list.iter().enumerate();
            each_with_doc(column, docs, scratch, |doc, value| {
                if let Some(slot) = places.find(|(_, own)| **own == doc).and_then(|(at, _)| out.get_mut(at)) {
                    *slot = value;
                }
            });
        }
        (_, Docs::All(range)) => {
            for (slot, doc) in out.iter_mut().zip(range.clone()) {
                *slot = column.first(doc).unwrap_or(NONE);
            }
        }
        (_, Docs::Some(docs)) => {
            for (slot, doc) in out.iter_mut().zip(docs.iter()) {
                *slot = column.first(*doc).unwrap_or(NONE);
            }
        }
    }
    out
}

/// Every value of the records, in no order that matters.
pub(super) fn each(column: &Column<u64>, docs: &Docs, scratch: &mut Scratch, take: impl FnMut(u64)) {
    let Scratch { docs: of, rows, values, .. } = scratch;
    values.clear();
    match docs {
        Docs::All(range) => {
            let rows = column.index.docid_range_to_rowids(range.clone());
            values.resize(rows.len(), 0);
            if !rows.is_empty() {
                column.values.get_range(u64::from(rows.start), values);
            }
        }
        Docs::Some(docs) => {
            of.clear();
            rows.clear();
            column.index.docids_to_rowids(docs, of, rows);
            values.resize(rows.len(), 0);
            column.values.get_vals(rows, values);
        }
    }
    values.iter().copied().for_each(take);
}

/// Every value of the records, with its record.
pub(super) fn each_with_doc(column: &Column<u64>, docs: &Docs, scratch: &mut Scratch, mut take: impl FnMut(u32, u64)) {
    let Scratch { docs: of, rows, values, block } = scratch;
    of.clear();
    rows.clear();
    values.clear();
    match (&column.index, docs) {
        (ColumnIndex::Full | ColumnIndex::Optional(_), Docs::All(range)) => {
            let here = column.index.docid_range_to_rowids(range.clone());
            values.resize(here.len(), 0);
            if !here.is_empty() {
                column.values.get_range(u64::from(here.start), values);
            }
            docs_of(column, range.clone(), here, of, (block, rows));
        }
        (_, Docs::All(range)) => {
            block.clear();
            block.extend(range.clone());
            column.index.docids_to_rowids(block, of, rows);
            values.resize(rows.len(), 0);
            column.values.get_vals(rows, values);
        }
        (_, Docs::Some(docs)) => {
            column.index.docids_to_rowids(docs, of, rows);
            values.resize(rows.len(), 0);
            column.values.get_vals(rows, values);
        }
    }
    of.iter().zip(values.iter()).for_each(|(doc, value)| take(*doc, *value));
}

/// Which values of a column are accepted.
pub(super) enum Accepted {
    /// Those in a row.
    Row(RangeInclusive<u64>),
    /// Those whose place says so.
    Some(Vec<bool>),
}

impl Accepted {
    /// Of a list by places; a row where they stand in one. `None` for nothing.
    pub(super) fn of(list: Vec<bool>) -> Option<Self> {
        let first = list.iter().position(|one| *one)?;
        let last = list.iter().rposition(|one| *one)?;
        let row = first as u64..=last as u64;
        Some(if list.get(first..=last)?.iter().all(|one| *one) { Self::Row(row) } else { Self::Some(list) })
    }

    /// Bytes that it takes, about.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Row(_) => 0,
            Self::Some(list) => list.len(),
        }
    }

    fn accepts(&self, value: u64) -> bool {
        match self {
            Self::Row(row) => row.contains(&value),
            Self::Some(list) => list.get(value as usize).copied().unwrap_or(false),
        }
    }
}

/// The records of a block that have not been turned away yet.
pub(super) struct Left {
    block: Range<u32>,
    /// `None` for all of the block.
    docs: Option<Vec<u32>>,
    other: Vec<u32>,
    third: Vec<u32>,
    scratch: Scratch,
}

impl Left {
    pub(super) fn new() -> Self {
        Self { block: 0..0, docs: None, other: Vec::new(), third: Vec::new(), scratch: Scratch::default() }
    }

    /// Begins a block, with all its records.
    pub(super) fn begin(&mut self, block: Range<u32>) {
        self.block = block;
        if let Some(docs) = self.docs.take() {
            self.other = docs;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.docs.as_ref().is_some_and(Vec::is_empty)
    }

    pub(super) fn docs(&self) -> Docs<'_> {
        match &self.docs {
            None => Docs::All(self.block.clone()),
            Some(docs) => Docs::Some(docs),
        }
    }

    /// Keeps the records of which one says so.
    pub(super) fn retain(&mut self, keep: impl Fn(u32) -> bool) {
        let mut docs = self.docs.take().unwrap_or_else(|| self.block.clone().collect());
        docs.retain(|doc| keep(*doc));
        self.set(docs);
    }

    /// Keeps the records that have an accepted value in one of the columns.
    pub(super) fn any(&mut self, columns: &[(Column<u64>, Arc<Accepted>)]) {
        if self.docs.as_ref().is_some_and(|docs| docs.len() < FEW) {
            return self
                .retain(|doc| columns.iter().any(|(column, accepted)| column.values_for_doc(doc).any(|value| accepted.accepts(value))));
        }
        let mut found = std::mem::take(&mut self.other);
        found.clear();
        for (at, (column, accepted)) in columns.iter().enumerate() {
            if at == 0 {
                matching(column, accepted, self.block.clone(), &mut found, &mut self.scratch);
                continue;
            }
            self.third.clear();
            matching(column, accepted, self.block.clone(), &mut self.third, &mut self.scratch);
            if found != self.third {
                found.extend_from_slice(&self.third);
                found.sort_unstable();
                found.dedup();
            }
        }
        self.meet(found);
    }

    /// Keeps the records that have a value.
    pub(super) fn with_value(&mut self, column: &Column<u64>) {
        if matches!(column.index, ColumnIndex::Full) {
            return;
        }
        let mut found = std::mem::take(&mut self.other);
        let rows = column.index.docid_range_to_rowids(self.block.clone());
        let Scratch { rows: unused, block: all, .. } = &mut self.scratch;
        if matches!(column.index, ColumnIndex::Multivalued(_)) {
            found.clear();
            all.clear();
            unused.clear();
            all.extend(self.block.clone());
            column.index.docids_to_rowids(all, &mut found, unused);
            found.dedup();
        } else {
            docs_of(column, self.block.clone(), rows, &mut found, (all, unused));
        }
        self.meet(found);
    }

    /// Keeps those that are in an ascending list as well.
    fn meet(&mut self, found: Vec<u32>) {
        match self.docs.take() {
            None => self.set(found),
            Some(mut docs) => {
                let mut rest = found.iter().copied().peekable();
                docs.retain(|doc| {
                    while rest.next_if(|other| other < doc).is_some() {}
                    rest.next_if_eq(doc).is_some()
                });
                self.other = found;
                self.set(docs);
            }
        }
    }

    fn set(&mut self, docs: Vec<u32>) {
        if docs.len() == self.block.len() {
            self.other = docs;
        } else {
            self.docs = Some(docs);
        }
    }
}

/// Puts the records of a block that have an accepted value into `out`, ascending and each once.
fn matching(column: &Column<u64>, accepted: &Accepted, block: Range<u32>, out: &mut Vec<u32>, scratch: &mut Scratch) {
    let rows = column.index.docid_range_to_rowids(block.clone());
    out.clear();
    if rows.is_empty() {
        return;
    }
    match accepted {
        Accepted::Row(row) => {
            // Beyond its own ends a packed column would take its smallest value for the nearest.
            let (from, to) = (*row.start().max(&column.min_value()), *row.end().min(&column.max_value()));
            if from <= to {
                column.values.get_row_ids_for_value_range(from..=to, rows.clone(), out);
            }
        }
        Accepted::Some(list) => {
            let values = &mut scratch.values;
            values.clear();
            values.resize(rows.len(), 0);
            column.values.get_range(u64::from(rows.start), values);
            let is_accepted = |(row, value): (u32, &u64)| list.get(*value as usize).copied().unwrap_or(false).then_some(row);
            out.extend(rows.clone().zip(values.iter()).filter_map(is_accepted));
        }
    }
    // From places of values to records.
    match column.index {
        ColumnIndex::Full => {}
        ColumnIndex::Optional(_) if out.len() >= FEW => {
            let Scratch { docs, rows: unused, block: all, .. } = scratch;
            docs_of(column, block, rows.clone(), docs, (all, unused));
            for place in out {
                *place = docs.get((*place - rows.start) as usize).copied().unwrap_or_default();
            }
        }
        _ => column.index.select_batch_in_place(block.start, out),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tantivy::schema::{FAST, Schema};
    use tantivy::{Index, Searcher, TantivyDocument};

    /// Columns of every kind over several blocks: one value each, none or one, none to three, the same for all.
    fn columns() -> (Searcher, [Column<u64>; 4]) {
        let mut builder = Schema::builder();
        let names = ["full", "optional", "many", "constant"];
        let fields = names.map(|name| builder.add_u64_field(name, FAST));
        let index = Index::create_in_ram(builder.build());
        let mut writer = index.writer_with_num_threads::<TantivyDocument>(1, 20_000_000).unwrap();
        let mut random = 1_u64;
        for _ in 0..3 * BLOCK + 100 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let dice = random >> 40;
            let mut document = TantivyDocument::default();
            document.add_u64(fields[0], 5 + dice % 50);
            if dice.is_multiple_of(7) {
                document.add_u64(fields[1], dice % 20);
            }
            for more in 0..(dice % 13).saturating_sub(9) {
                document.add_u64(fields[2], (dice / 13 + more) % 9);
            }
            document.add_u64(fields[3], 7);
            writer.add_document(document).unwrap();
        }
        writer.commit().unwrap();
        writer.wait_merging_threads().unwrap();
        let searcher = index.reader().unwrap().searcher();
        let fast = searcher.segment_readers()[0].fast_fields();
        let columns = names.map(|name| fast.u64(name).unwrap());
        (searcher, columns)
    }

    #[test]
    fn many_values_at_a_time_are_those_of_each_record() {
        let (searcher, columns) = columns();
        assert_eq!((searcher.segment_readers().len(), searcher.segment_readers()[0].max_doc()), (1, 3 * BLOCK + 100));
        let (mut out, mut scratch) = (Vec::new(), Scratch::default());
        for block in 0..4 {
            let range = block * BLOCK..((block + 1) * BLOCK).min(3 * BLOCK + 100);
            let list: Vec<u32> = range.clone().filter(|doc| doc % 5 == 1 || doc % 7 == 2).collect();
            for (column, docs) in columns.iter().flat_map(|column| [(column, Docs::All(range.clone())), (column, Docs::Some(&list))]) {
                let mut all = Vec::new();
                docs.push_to(&mut all);
                assert_eq!(all.len(), docs.len());
                let firsts: Vec<u64> = all.iter().map(|doc| column.first(*doc).unwrap_or(NONE)).collect();
                assert_eq!(first_values(column, &docs, &mut out, &mut scratch), firsts);
                let pairs: Vec<(u32, u64)> = all.iter().flat_map(|doc| column.values_for_doc(*doc).map(|value| (*doc, value))).collect();
                let mut found = Vec::new();
                each_with_doc(column, &docs, &mut scratch, |doc, value| found.push((doc, value)));
                assert_eq!(found, pairs);
                let mut values = Vec::new();
                each(column, &docs, &mut scratch, |value| values.push(value));
                assert_eq!(values, pairs.iter().map(|(_, value)| *value).collect::<Vec<_>>());
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_block_keeps_what_each_record_would(tests in proptest::collection::vec((0usize..4, 0usize..4, 0u64..60, 0u64..60, any::<u64>()), 1..4), needed in 0usize..5) {
            thread_local!(static COLUMNS: (Searcher, [Column<u64>; 4]) = columns());
            COLUMNS.with(|(_, columns)| {
                let accepted = |low: u64, high: u64, bits: u64| {
                    if bits.is_multiple_of(3) { Accepted::of((0..60).map(|at| bits >> at & 1 == 1).collect()) } else { Some(Accepted::Row(low..=high.max(low))) }
                };
                let tests: Vec<Vec<(Column<u64>, Arc<Accepted>)>> = tests
                    .iter()
                    .map(|(one, other, low, high, bits)| {
                        let second = bits.is_multiple_of(2).then(|| (columns[*other].clone(), Arc::new(Accepted::Row(0..=*low))));
                        accepted(*low, *high, *bits).map(|accepted| (columns[*one].clone(), Arc::new(accepted))).into_iter().chain(second).collect()
                    })
                    .collect();
                let mut left = Left::new();
                for block in 0..4 {
                    let range = block * BLOCK..((block + 1) * BLOCK).min(3 * BLOCK + 100);
                    left.begin(range.clone());
                    if let Some(column) = columns.get(needed) {
                        left.with_value(column);
                    }
                    tests.iter().for_each(|any| left.any(any));
                    let holds = |doc: &u32| {
                        columns.get(needed).is_none_or(|column| column.first(*doc).is_some())
                            && tests.iter().all(|any| any.iter().any(|(column, accepted)| column.values_for_doc(*doc).any(|value| accepted.accepts(value))))
                    };
                    let (mut found, expected): (Vec<u32>, Vec<u32>) = (Vec::new(), range.filter(holds).collect());
                    left.docs().push_to(&mut found);
                    assert_eq!(found, expected);
                }
            });
        }
    }

    #[test]
    fn accepted_values_in_a_row_are_told_as_one() {
        let of = |text: &str| Accepted::of(text.bytes().map(|b| b == b'x').collect());
        assert!(of("").is_none() && of("...").is_none());
        assert!(matches!(of("..xxx."), Some(Accepted::Row(row)) if row == (2..=4)));
        let some = of("x.x");
        assert!(some.is_some_and(|some| some.accepts(0) && !some.accepts(1) && some.accepts(2) && !some.accepts(3)));
    }

    #[test]
    fn what_is_left_of_a_block_is_what_every_test_keeps() {
        let mut left = Left::new();
        left.begin(10..20);
        assert_eq!(left.docs(), Docs::All(10..20));
        left.retain(|doc| doc < 30);
        assert_eq!(left.docs(), Docs::All(10..20), "all of them are still all");
        left.meet(vec![9, 11, 12, 15, 19]);
        left.meet(vec![11, 13, 15, 16]);
        assert_eq!(left.docs(), Docs::Some(&[11, 15]));
        left.retain(|doc| doc > 15);
        assert!(left.is_empty());
        left.begin(20..22);
        assert_eq!(left.docs(), Docs::All(20..22));
    }
}
