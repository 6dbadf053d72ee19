//! The index over the trail: columns of every field and the words of free text, kept by tantivy in a folder of its own.
//!
//! It is never the source of truth: it says only where in the files the records stand that are asked for, and it can be thrown
//! away at any time. What is in it is committed together with how much of each file that is ([`State`]), so that a crash
//! between two commits costs only work. A folder of another version, or one that cannot be read, is built anew.

use super::facts::{Facts, Field};
use crate::audit::read::INDEX_DIRECTORY;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use tantivy::schema::{FAST, INDEXED, IndexRecordOption, NumericOptions, Schema, TextFieldIndexing, TextOptions};
use tantivy::tokenizer::{LowerCaser, RemoveLongFilter, SimpleTokenizer, TextAnalyzer};
use tantivy::{Index, IndexReader, IndexSettings, ReloadPolicy, Searcher, TantivyDocument};

/// The version of what is kept; part of the folder's name, so that an older gateway leaves a newer index alone.
const VERSION: u32 = 1;
/// Bytes of a word in the index; [`Facts::text`] has none longer.
const WORD_BYTES_MAX: usize = 256;
const WORDS: &str = "words";
const TOKENIZER: &str = "words";

/// Numbers that every record has a column for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    /// `event.sequence`.
    Sequence,
    /// Microseconds since the Unix epoch.
    Time,
    /// The file, by its number.
    File,
    /// Where in the file the line begins.
    Offset,
    /// 32 bits of the event's id.
    Id,
    /// From the head's arrival to the end of the response, in microseconds.
    Took,
}

impl Number {
    const ALL: [Self; 6] = [Self::Sequence, Self::Time, Self::File, Self::Offset, Self::Id, Self::Took];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sequence => "sequence",
            Self::Time => "time",
            Self::File => "file",
            Self::Offset => "offset",
            Self::Id => "id",
            Self::Took => "took",
        }
    }
}

/// 32 bits of an event's id that differ between events of the same instant.
pub(super) fn id_bits(id: &str) -> u64 {
    // FNV-1a: the bits only choose candidates, which are then compared whole.
    u64::from(id.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)))
}

/// How much of a file is in the index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    /// Bytes from the beginning, whole lines.
    pub(super) bytes: u64,
    /// Nothing more will come.
    pub(super) closed: bool,
    /// A digest of the first line, by which another file of the same name is told.
    pub(super) first: String,
}

/// How much of the trail is in the index.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// By the files' numbers.
    pub(super) files: BTreeMap<u64, Part>,
}

/// The folder of this version inside the index's folder.
pub(super) fn folder(directory: &Path) -> PathBuf {
    directory.join(format!("v{VERSION}"))
}

pub(super) fn other(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::other(error)
}

/// An index that is there.
pub(super) struct Opened {
    pub(super) index: Index,
    reader: IndexReader,
}

impl Opened {
    /// Opens what is there; `None` where nothing is, or nothing that can be read.
    pub(super) fn open(directory: &Path) -> Option<Self> {
        let folder = folder(directory);
        if !folder.join("meta.json").exists() {
            return None;
        }
        let index = Index::open_in_dir(&folder).ok().filter(|index| index.schema() == schema())?;
        Self::of(index).ok()
    }

    /// Opens it, made anew where that does not work.
    pub(super) fn open_or_make(directory: &Path) -> io::Result<Self> {
        if let Some(opened) = Self::open(directory).filter(|opened| opened.state().is_ok()) {
            return Ok(opened);
        }
        forget(directory)?;
        std::fs::create_dir_all(folder(directory))?;
        let builder = Index::builder().schema(schema()).settings(IndexSettings::default());
        Self::of(builder.create_in_dir(folder(directory)).map_err(other)?)
    }

    fn of(index: Index) -> io::Result<Self> {
        let words = TextAnalyzer::builder(SimpleTokenizer::default()).filter(RemoveLongFilter::limit(WORD_BYTES_MAX)).filter(LowerCaser);
        index.tokenizers().register(TOKENIZER, words.build());
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into().map_err(other)?;
        Ok(Self { index, reader })
    }

    /// What the last commit says is in it.
    pub(super) fn state(&self) -> io::Result<State> {
        let metas = self.index.load_metas().map_err(other)?;
        metas.payload.map_or_else(|| Ok(State::default()), |payload| serde_json::from_str(&payload).map_err(other))
    }

    /// One commit: its records and what they are of.
    pub(super) fn snapshot(&self) -> io::Result<(Searcher, State)> {
        loop {
            let before = self.index.load_metas().map_err(other)?.opstamp;
            self.reader.reload().map_err(other)?;
            let searcher = self.reader.searcher();
            let state = self.state()?;
            // A commit in between would give records twice, or not at all.
            if self.index.load_metas().map_err(other)?.opstamp == before {
                return Ok((searcher, state));
            }
        }
    }
}

fn schema() -> Schema {
    let mut builder = Schema::builder();
    for number in Number::ALL {
        let options = NumericOptions::from(FAST);
        let options = if number == Number::File { options | INDEXED } else { options };
        builder.add_u64_field(number.name(), options);
    }
    for field in Field::ALL {
        builder.add_text_field(field.name(), TextOptions::default().set_fast("raw"));
    }
    let words = TextFieldIndexing::default().set_tokenizer(TOKENIZER).set_index_option(IndexRecordOption::Basic).set_fieldnorms(false);
    builder.add_text_field(WORDS, TextOptions::default().set_indexing_options(words));
    builder.build()
}

/// The fields of the index by what they hold, looked up once.
pub(super) struct Fields {
    numbers: [tantivy::schema::Field; 6],
    texts: Vec<(Field, tantivy::schema::Field)>,
    pub(super) words: tantivy::schema::Field,
}

impl Fields {
    pub(super) fn of(schema: &Schema) -> io::Result<Self> {
        let field = |name: &str| schema.get_field(name).map_err(other);
        let mut numbers = [field(WORDS)?; 6];
        for (at, number) in Number::ALL.into_iter().enumerate() {
            numbers[at] = field(number.name())?;
        }
        let texts = Field::ALL.into_iter().map(|own| Ok((own, field(own.name())?))).collect::<io::Result<_>>()?;
        Ok(Self { numbers, texts, words: field(WORDS)? })
    }

    pub(super) fn number(&self, number: Number) -> tantivy::schema::Field {
        self.numbers[number as usize]
    }

    /// What is kept of a record.
    pub(super) fn document(&self, facts: &Facts, file: u64, offset: u64) -> TantivyDocument {
        let mut document = TantivyDocument::default();
        let mut put = |number, value| document.add_u64(self.number(number), value);
        put(Number::Sequence, facts.sequence());
        put(Number::Time, facts.micros());
        put(Number::File, file);
        put(Number::Offset, offset);
        if !facts.id().is_empty() {
            put(Number::Id, id_bits(facts.id()));
        }
        if let Some(took) = facts.took_micros() {
            put(Number::Took, took);
        }
        for (own, field) in &self.texts {
            facts.each(*own, |value| document.add_text(*field, value));
        }
        document.add_text(self.words, facts.text());
        document
    }
}

/// Where the index of a trail is by default.
pub fn beside(directory: &Path) -> PathBuf {
    directory.join(INDEX_DIRECTORY)
}

/// Throws an index away.
///
/// # Errors
/// When it cannot be removed.
pub fn forget(directory: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(folder(directory)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
