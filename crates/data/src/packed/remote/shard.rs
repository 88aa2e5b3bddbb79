//! One shard at an address.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::cache::{ENDINGS, ShardCache, Wanted};
use super::client::{Client, Facts};
use super::reader::RangeReader;
use super::settings::RemoteSettings;
use crate::packed::index::{self, Member};
use crate::{Error, Result};

/// Folder of shards and lists of members, below the data set's.
const FOLDER: &str = ".shards";
/// Longest list of the members of a shard.
const MOST_INDEX: u64 = 256 << 20;

/// How all shards of a split are fetched.
#[derive(Debug)]
pub(crate) struct Remote {
    client: Arc<Client>,
    folder: PathBuf,
    /// None where samples are read by ranges.
    cache: Option<Arc<ShardCache>>,
}

/// One shard.
#[derive(Debug)]
pub(crate) struct RemoteShard {
    /// The address, as what names files names it.
    path: PathBuf,
    address: String,
    facts: Facts,
    /// Name of its files in the folder, which says which bytes they are of.
    name: String,
    client: Arc<Client>,
    folder: PathBuf,
    cache: Option<Arc<ShardCache>>,
    /// Held while the shard is fetched, so that it is fetched once.
    fetching: Mutex<()>,
}

impl Remote {
    /// What fetches shards for the data set in `root`.
    ///
    /// # Errors
    /// [`Error::Config`] where the environment asks to stay offline, or names a file of certificates
    /// that has none.
    pub(crate) fn new(settings: RemoteSettings, root: &Path) -> Result<Self> {
        let offline = std::env::var("HF_HUB_OFFLINE").unwrap_or_default();
        if !["", "0"].contains(&offline.as_str()) {
            return Err(Error::Config {
                origin: "HF_HUB_OFFLINE".into(),
                key: "layout.images".into(),
                expected: "files on disk, since it is set".into(),
                found: "addresses".into(),
            });
        }
        let folder = root.join(FOLDER);
        let limit = settings.cache_mib << 20;
        let cache = (limit > 0).then(|| Arc::new(ShardCache::new(folder.clone(), limit)));
        Ok(Self { client: Arc::new(Client::new(settings)?), folder, cache })
    }

    /// The shard at `address`.
    ///
    /// # Errors
    /// [`Error::Fetch`], also for a server that gives no parts of files, where none are kept whole.
    pub(crate) fn shard(&self, address: &str) -> Result<RemoteShard> {
        let facts = self.client.facts(address)?;
        if !facts.ranges && self.cache.is_none() {
            let reason = "expected a part of the file, found all of it (status 200): set \
                          layout.remote.cache_mib, so that whole shards are kept";
            let (address, reason) = (address.to_owned(), reason.to_owned());
            return Err(Error::Fetch { address, reason, attempt: 1, most: 1 });
        }
        let text = format!("{address}\0{}\0{}", facts.length, facts.tag);
        let (address, client) = (address.to_owned(), Arc::clone(&self.client));
        Ok(RemoteShard {
            path: PathBuf::from(&address),
            address,
            name: format!("{:.32x}", Sha256::digest(text)),
            facts,
            client,
            folder: self.folder.clone(),
            cache: self.cache.clone(),
            fetching: Mutex::new(()),
        })
    }
}

impl RemoteShard {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where a member of `length` bytes may end.
    pub(crate) fn length(&self) -> u64 {
        self.facts.length
    }

    /// The members that are known without reading the shard: those that were noted when it was
    /// read before, or those of the file that `wds2idx` writes beside it. A list that does not fit
    /// is none.
    ///
    /// # Errors
    /// [`Error::Fetch`].
    pub(crate) fn known_members(&self) -> Result<Option<Vec<Member>>> {
        if let Some(members) = self.noted() {
            return Ok(Some(members));
        }
        let Some(stem) = self.address.strip_suffix(".tar") else { return Ok(None) };
        let text = self.client.optional(&format!("{stem}.idx"), MOST_INDEX)?;
        Ok(text.and_then(|text| index::parsed(&text, self.length())))
    }

    fn noted(&self) -> Option<Vec<Member>> {
        let text = fs::read(self.index_path()).ok()?;
        index::parsed(&text, self.length())
    }

    /// Notes the members, so that the shard need not be read for them again.
    pub(crate) fn note(&self, members: &[Member]) {
        if self.noted().is_none() {
            // Where nothing can be written, the next opening lists them again.
            let _ = self.written(&index::written(members));
        }
    }

    fn written(&self, text: &str) -> std::io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(text.as_bytes())?;
        file.persist(self.index_path())?;
        Ok(())
    }

    fn index_path(&self) -> PathBuf {
        self.folder.join(format!("{}.idx", self.name))
    }

    /// The shard from its beginning.
    ///
    /// # Errors
    /// [`Error::Fetch`], and what keeping the shard causes.
    pub(crate) fn reader(&self) -> Result<Box<dyn ReadSeek>> {
        Ok(match &self.cache {
            Some(cache) => Box::new(self.kept(cache)?),
            None => self.by_ranges(),
        })
    }

    /// The shard from its beginning, for what little says where everything is: parts of it alone
    /// are fetched, where the server gives parts.
    ///
    /// # Errors
    /// [`Error::Fetch`], and what keeping the shard causes.
    pub(crate) fn listing(&self) -> Result<Box<dyn ReadSeek>> {
        if !self.facts.ranges {
            return self.reader();
        }
        Ok(self.by_ranges())
    }

    fn by_ranges(&self) -> Box<dyn ReadSeek> {
        let (client, address) = (Arc::clone(&self.client), self.address.clone());
        Box::new(RangeReader::new(client, address, self.length()))
    }

    /// # Errors
    /// [`Error::Config`] where no whole shards are kept.
    pub(crate) fn require_kept(&self) -> Result<()> {
        if self.cache.is_some() {
            return Ok(());
        }
        Err(Error::Config {
            origin: self.address.clone(),
            key: "layout.remote.cache_mib".into(),
            expected: "room for whole files, since rows of this format are not read by ranges"
                .into(),
            found: "0".into(),
        })
    }

    /// Some bytes of the shard.
    ///
    /// # Errors
    /// [`Error::Fetch`], and what keeping the shard causes.
    pub(crate) fn bytes(&self, start: u64, length: u64) -> Result<Vec<u8>> {
        let Some(cache) = &self.cache else {
            return self.client.range(&self.address, start, length);
        };
        let mut file = self.kept(cache)?;
        let unreadable = |source| Error::Io { path: self.path.clone(), source };
        file.seek(SeekFrom::Start(start)).map_err(unreadable)?;
        let mut bytes = Vec::new();
        file.take(length).read_to_end(&mut bytes).map_err(unreadable)?;
        Ok(bytes)
    }

    fn kept(&self, cache: &ShardCache) -> Result<File> {
        let _one = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
        let name = format!("{}.{}", self.name, ending(&self.address));
        let (address, length) = (self.address.as_str(), self.facts.length);
        cache.open(&self.client, &Wanted { address, name: &name, length })
    }
}

/// The ending of the files of an address: that of its path, or `tar`.
fn ending(address: &str) -> &'static str {
    let path = address.split(['?', '#']).next().unwrap_or_default();
    ENDINGS.into_iter().find(|ending| path.ends_with(&format!(".{ending}"))).unwrap_or("tar")
}

/// What reads and seeks.
pub(crate) trait ReadSeek: Read + Seek + Send {}

impl<T: Read + Seek + Send> ReadSeek for T {}
