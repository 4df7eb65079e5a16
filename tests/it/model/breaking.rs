//! A state location and a catalog that break at one of their requests.

use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use lakebed::catalog::filter::Filter;
use lakebed::catalog::{Catalog, EntryError, Partition, Table, TableName};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result,
};
use tokio::sync::Notify;

use super::steps::{Break, How};

/// Counts the requests to both, and says what becomes of each.
#[derive(Debug, Clone)]
pub struct Line(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    death: Notify,
}

#[derive(Debug)]
struct State {
    /// Where it breaks; never without one.
    at: Option<Break>,
    broke: bool,
}

/// What becomes of a request.
enum Fate {
    Answered,
    Fails,
    AnswerLost,
    Dies,
    DiesAfter,
}

impl Line {
    pub fn new(at: Option<Break>) -> Self {
        Self(Arc::new(Shared { state: Mutex::new(State { at, broke: false }), death: Notify::new() }))
    }

    /// Comes back once the process is to die.
    pub async fn death(&self) {
        self.0.death.notified().await;
    }

    /// True if anything went wrong.
    pub fn broke(&self) -> bool {
        self.0.state.lock().unwrap().broke
    }

    fn fate(&self) -> Fate {
        let mut state = self.0.state.lock().unwrap();
        let was_broken = state.broke;
        let Some(at) = &mut state.at else { return Fate::Answered };
        if at.after > 0 {
            at.after -= 1;
            return Fate::Answered;
        }
        let fate = match at.how {
            How::Dies => Fate::Dies,
            // Whoever is dead asks for nothing any more.
            How::DiesAfter if was_broken => Fate::Dies,
            How::DiesAfter => Fate::DiesAfter,
            How::Down => Fate::Fails,
            How::Fails | How::AnswerLost if was_broken => return Fate::Answered,
            How::Fails => Fate::Fails,
            How::AnswerLost => Fate::AnswerLost,
        };
        state.broke = true;
        fate
    }

    async fn die<T>(&self) -> T {
        self.0.death.notify_one();
        std::future::pending().await
    }

    async fn pass<T, E>(&self, effect: impl Future<Output = Result<T, E>> + Send, failed: fn() -> E) -> Result<T, E> {
        match self.fate() {
            Fate::Answered => effect.await,
            Fate::Fails => Err(failed()),
            Fate::AnswerLost => {
                let _ = effect.await;
                Err(failed())
            }
            Fate::Dies => self.die().await,
            Fate::DiesAfter => {
                let _ = effect.await;
                self.die().await
            }
        }
    }
}

/// A store behind a line.
#[derive(Debug, Clone)]
pub struct Store {
    pub store: Arc<dyn ObjectStore>,
    pub line: Line,
}

fn fault() -> object_store::Error {
    object_store::Error::Generic { store: "breaking", source: "the connection broke".into() }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "breaking {}", self.store)
    }
}

#[async_trait]
impl ObjectStore for Store {
    async fn put_opts(&self, at: &Path, bytes: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.line.pass(self.store.put_opts(at, bytes, options), fault).await
    }

    async fn put_multipart_opts(&self, at: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.line.pass(self.store.put_multipart_opts(at, options), fault).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        self.line.pass(self.store.get_opts(at, options), fault).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let own = self.clone();
        let one = move |path: Result<Path>| {
            let own = own.clone();
            async move {
                let mut done = own.store.delete_stream(stream::iter([path]).boxed());
                let effect = done.next().map(|done| done.unwrap_or_else(|| Err(fault())));
                own.line.pass(effect, fault).await
            }
        };
        paths.then(one).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (own, listed) = (self.clone(), self.store.list(prefix));
        let asked = async move { own.line.pass(async { Ok(()) }, fault).await };
        // What is cut short must not be taken for a whole one.
        let go_on = |asked: Result<()>| match asked {
            Ok(()) => listed,
            Err(e) => listed.take(1).chain(stream::iter([Err(e)])).boxed(),
        };
        asked.map(go_on).flatten_stream().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.line.pass(self.store.list_with_delimiter(prefix), fault).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.line.pass(self.store.copy_opts(from, to, options), fault).await
    }
}

/// A catalog behind a line.
pub struct Shelf {
    pub catalog: Arc<dyn Catalog>,
    pub line: Line,
}

fn refused() -> lakebed::error::Error {
    lakebed::error::Error::unavailable("the catalog does not answer")
}

type Answer<T> = lakebed::error::Result<T>;

#[async_trait]
impl Catalog for Shelf {
    async fn ensure_database(&self, database: &str) -> Answer<()> {
        self.line.pass(self.catalog.ensure_database(database), refused).await
    }

    async fn table(&self, name: &TableName) -> Answer<Option<Table>> {
        self.line.pass(self.catalog.table(name), refused).await
    }

    async fn tables(&self) -> Answer<Vec<Table>> {
        self.line.pass(self.catalog.tables(), refused).await
    }

    async fn create_table(&self, table: &Table) -> Answer<()> {
        self.line.pass(self.catalog.create_table(table), refused).await
    }

    async fn update_table(&self, table: &Table) -> Answer<()> {
        self.line.pass(self.catalog.update_table(table), refused).await
    }

    async fn partitions(&self, name: &TableName, filter: &Filter) -> Answer<Vec<Partition>> {
        self.line.pass(self.catalog.partitions(name, filter), refused).await
    }

    async fn get_partitions(&self, name: &TableName, values: &[Vec<String>]) -> Answer<Vec<Partition>> {
        self.line.pass(self.catalog.get_partitions(name, values), refused).await
    }

    async fn create_partitions(&self, table: &Table, partitions: &[Partition]) -> Answer<Vec<EntryError>> {
        self.line.pass(self.catalog.create_partitions(table, partitions), refused).await
    }

    async fn update_partitions(&self, table: &Table, partitions: &[Partition]) -> Answer<Vec<EntryError>> {
        self.line.pass(self.catalog.update_partitions(table, partitions), refused).await
    }
}
