//! Rows of an archive into their tables, while the archive is still on its way.
//!
//! `pg_restore` loads a table through one connection, from a file. Here each piece of rows goes to whichever of several
//! connections has room, so that a single large table keeps all of them busy, and the rows never lie on a disk of this machine. The
//! order in which rows are stored is a little another one afterwards. What can be is sent in COPY's binary format.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use ccrun_kernel::{Cx, Error, Result};
use tokio::sync::{mpsc, oneshot};
use tokio_util::bytes::Bytes;

use super::archive::{Entry, Fate, Look};
use super::binary::{self, Form};
use super::{catalog, tool};
use crate::pg::client::PgClient;
use crate::pg::connect::Server;
use crate::pg::errors;
use crate::pg::pool::Lease;

/// Pieces that wait for each connection.
const UNDER_WAY: usize = 2;

/// A table that takes rows.
struct Table {
    name: String,
    copy: String,
    /// How its columns are sent in the binary format, if they all can be.
    forms: Option<Vec<Form>>,
}

/// Rows of one table.
pub(super) struct Rows {
    table: Arc<Table>,
    bytes: Bytes,
    /// In COPY's binary format, without what begins and ends it.
    binary: bool,
    /// The last row goes on in the next piece.
    open: bool,
}

impl Rows {
    /// Whether one `COPY` takes both.
    fn go_with(&self, table: &Arc<Table>, binary: bool) -> bool {
        Arc::ptr_eq(&self.table, table) && self.binary == binary
    }
}

/// What becomes of the data of which entry.
#[derive(Default)]
pub(super) struct Orders {
    /// Left out: counted.
    pub fates: HashMap<i64, Fate>,
    /// How the columns of tables are sent that can be sent in the binary format.
    pub forms: HashMap<i64, Vec<Form>>,
}

/// The archive's reader: it says what is in it, waits until the tables are there, and then hands their rows on.
pub(super) struct Feed {
    /// What is in the archive, as soon as that is known.
    entries: Option<oneshot::Sender<Vec<Entry>>>,
    /// Comes when rows can be taken.
    begin: Option<oneshot::Receiver<Orders>>,
    to: mpsc::Sender<Rows>,
    orders: Orders,
    table: Option<(i64, Arc<Table>)>,
    /// The last row is not over.
    open: bool,
    /// Nobody takes rows any more: whoever took them says why.
    pub abandoned: bool,
}

impl Feed {
    /// Tells `entries` what there is, waits for `begin` to say what becomes of it, and sends the rows `to`.
    pub fn new(
        entries: oneshot::Sender<Vec<Entry>>,
        begin: oneshot::Receiver<Orders>,
        to: mpsc::Sender<Rows>,
    ) -> Self {
        Self {
            entries: Some(entries),
            begin: Some(begin),
            to,
            orders: Orders::default(),
            table: None,
            open: false,
            abandoned: false,
        }
    }

    fn abandon(&mut self) -> io::Error {
        self.abandoned = true;
        io::Error::new(io::ErrorKind::BrokenPipe, "nobody takes the rows any more")
    }
}

impl Look for Feed {
    fn entries(&mut self, entries: &[Entry]) -> io::Result<()> {
        let told = self.entries.take().map(|to| to.send(entries.to_vec()));
        let begin = self.begin.take().map(oneshot::Receiver::blocking_recv);
        match (told, begin) {
            (Some(Ok(())), Some(Ok(orders))) => {
                self.orders = orders;
                Ok(())
            }
            _ => Err(self.abandon()),
        }
    }

    fn fate(&mut self, entry: &Entry) -> Fate {
        let fate = self.orders.fates.get(&entry.id);
        fate.copied().unwrap_or(Fate::Count)
    }

    fn rows(&mut self, entry: &Entry, lines: &[u8], open: bool) -> io::Result<()> {
        let table = match &self.table {
            Some((id, table)) if *id == entry.id => Arc::clone(table),
            _ => {
                let table = Arc::new(Table {
                    name: format!("{}.{}", entry.schema, entry.name),
                    copy: entry.copy.clone(),
                    forms: self.orders.forms.remove(&entry.id),
                });
                self.table = Some((entry.id, Arc::clone(&table)));
                table
            }
        };
        let whole = !open && !self.open;
        self.open = open;
        let forms = table.forms.as_deref().filter(|_| whole);
        let encoded = forms.and_then(|forms| binary::encode(forms, lines));
        let rows = Rows {
            table,
            binary: encoded.is_some(),
            bytes: encoded.map_or_else(|| Bytes::copy_from_slice(lines), Bytes::from),
            open,
        };
        self.to.blocking_send(rows).map_err(|_| self.abandon())
    }
}

/// Whether an archive's rows are sent as they are. What is not UTF-8 is left to `pg_restore`: names in it are not, either.
pub(super) fn is_sendable(entries: &[Entry]) -> bool {
    entries
        .iter()
        .filter(|entry| entry.kind == "ENCODING")
        .all(|entry| entry.definition.contains("'UTF8'"))
}

/// How the rows of tables are sent that can be sent in the binary format.
///
/// # Errors
/// What the server says.
pub(super) async fn forms(
    cx: &Cx,
    server: &Arc<Server>,
    entries: &[&Entry],
) -> Result<HashMap<i64, Vec<Form>>> {
    let tables: Vec<(String, String, HashMap<String, u32>)> =
        catalog::json(cx, server, include_str!("columns.sql")).await?;
    let tables: HashMap<(&str, &str), &HashMap<String, u32>> = tables
        .iter()
        .map(|(schema, name, columns)| ((schema.as_str(), name.as_str()), columns))
        .collect();
    let of_entry = |entry: &&Entry| {
        let columns = tables.get(&(entry.schema.as_str(), entry.name.as_str()))?;
        let forms = binary::columns(&entry.copy)?
            .iter()
            .map(|name| columns.get(name).copied().and_then(Form::of))
            .collect::<Option<Vec<Form>>>()?;
        Some((entry.id, forms))
    };
    Ok(entries.iter().filter_map(of_entry).collect())
}

/// How sessions are that load rows: as `pg_restore`'s own are.
fn sessions(server: &Arc<Server>, count: u32) -> Arc<Server> {
    let own = [
        ("statement_timeout", "0"),
        ("lock_timeout", "0"),
        ("idle_in_transaction_session_timeout", "0"),
        ("search_path", ""),
        ("row_security", "off"),
        ("xmloption", "content"),
        ("DateStyle", "ISO"),
        ("IntervalStyle", "postgres"),
        ("client_min_messages", "warning"),
        // What a crash of the server may lose of it is a database that nobody has seen yet.
        ("synchronous_commit", "off"),
    ];
    let settings = own.into_iter().chain(tool::FIXED);
    Arc::new(Server {
        settings: settings
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        max_connections: count.max(1) as usize,
        ..(**server).clone()
    })
}

/// Load rows as they come, by `count` connections. Returns what was left out with `partial`.
///
/// When `from` ends, so do the tables: whether it ended too soon is for whoever feeds it to say.
///
/// # Errors
/// `pg.restore_rows` for rows that a table does not take; what the connections say.
pub(super) async fn load(
    cx: &Cx,
    server: &Arc<Server>,
    mut from: mpsc::Receiver<Rows>,
    count: u32,
    partial: bool,
) -> Result<Vec<String>> {
    // With one connection, a table has all of its rows or none.
    let count = if partial { 1 } else { count.max(1) };
    let sessions = sessions(server, count);
    let client = cx.client::<PgClient>().await?;
    let mut lanes = Vec::new();
    let mut working = Vec::new();
    for _ in 0..count {
        let lease = client.writer(&sessions).await?;
        let (to, rows) = mpsc::channel(UNDER_WAY);
        lanes.push(to);
        working.push(lane(lease, &sessions, rows, partial));
    }
    let dealing = async move {
        let mut open: Option<usize> = None;
        while let Some(rows) = from.recv().await {
            // The rest of a row goes where it began.
            let index = match open {
                Some(index) => index,
                None => {
                    let free = lanes.iter().map(|lane| Box::pin(lane.reserve()));
                    futures::future::select_all(free).await.1
                }
            };
            open = rows.open.then_some(index);
            // A lane ends early only by an error of its own, which is what counts.
            if lanes[index].send(rows).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
        Ok(Vec::new())
    };
    let (_, problems): (Vec<String>, Vec<Vec<String>>) =
        tokio::try_join!(dealing, futures::future::try_join_all(working))?;
    Ok(problems.into_iter().flatten().collect())
}

/// One connection, and the rows that it gets.
async fn lane(
    mut lease: Lease,
    server: &Server,
    mut from: mpsc::Receiver<Rows>,
    partial: bool,
) -> Result<Vec<String>> {
    // It is of no use to anybody afterwards, and the database is renamed.
    lease.discard = true;
    let mut problems = Vec::new();
    let mut next = from.recv().await;
    while let Some(first) = next.take() {
        let (table, binary) = (Arc::clone(&first.table), first.binary);
        let statement = match table.copy.rfind(';') {
            Some(end) if binary => format!("{} (FORMAT binary)", &table.copy[..end]),
            _ => table.copy.clone(),
        };
        lease.begin();
        let copied = async {
            let mut copy = lease.connection().copy_in_raw(&statement).await?;
            if binary {
                copy.send(binary::HEAD).await?;
            }
            copy.send(first.bytes).await?;
            loop {
                match from.recv().await {
                    Some(more) if more.go_with(&table, binary) => {
                        copy.send(more.bytes).await?;
                    }
                    other => {
                        next = other;
                        break;
                    }
                }
            }
            if binary {
                copy.send(binary::TAIL).await?;
            }
            copy.finish().await
        };
        let copied = copied.await;
        lease.end();
        let Err(error) = copied else { continue };
        let said = errors::of_statement(error, "", server);
        let error = Error::new(
            "pg.restore_rows",
            format!("the rows of {} can't be restored: {}", table.name, said.message()),
        )
        .hint(said.hint_text().unwrap_or("nothing that was there was touched, and what was made was removed; `partial: true` leaves out what can't be restored, and says what it is"))
        .code(said.code_text().unwrap_or_default())
        .retryable_if(said.is_retryable());
        // A connection that is gone takes no other table, either.
        if !partial || said.code_text().is_none() {
            return Err(error);
        }
        problems.push(error.message().to_owned());
        while let Some(rows) = &next
            && Arc::ptr_eq(&rows.table, &table)
        {
            next = from.recv().await;
        }
    }
    Ok(problems)
}
