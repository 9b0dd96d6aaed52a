//! The thread that watches the files of all triggers.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use ccrun_kernel::runbook::trigger::{FileChange, Files};
use notify::event::{
    AccessKind, AccessMode, CreateKind, EventKind, ModifyKind, RemoveKind, RenameMode,
};
use notify::{Config, ErrorKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc::UnboundedSender;

use super::set::{Change, FileSet, Found, Stamp};
use crate::ledger::FileChanges;

/// A trigger whose files are watched.
#[derive(Debug, Clone)]
pub struct Watched {
    /// The trigger.
    pub key: String,
    /// Which files, and how.
    pub files: Files,
    /// What they were like at its last firing, if it was watched before.
    pub known: Option<BTreeMap<String, Stamp>>,
}

/// What the thread tells.
#[derive(Debug)]
pub enum FileEvent {
    /// Files of a trigger changed. The second part also holds changes of kinds it does not fire for.
    Changed(String, Vec<Change>, FileChanges),
    /// What the files of a trigger are like, who is watched for the first time.
    Seen(FileChanges),
    /// Something about watching that a person should know.
    Trouble(String),
}

enum Message {
    Watch(Vec<Watched>, Sender<()>),
    Event(notify::Result<notify::Event>),
    Stop,
}

/// The thread. It ends when this is dropped.
#[derive(Debug)]
pub struct FileWatcher {
    messages: Sender<Message>,
}

/// A file that vanished is given so long to come back: editors move the old one away and then write
/// the new one. And one that is being written is given so long to be closed.
const COMES_BACK: Duration = Duration::from_millis(20);
/// How often files are looked at where the system cannot tell of changes.
const POLL: Duration = Duration::from_secs(2);
/// Folders can be made faster than they are walked; their events bring the rest.
const WALKS: usize = 10;
/// A stream of changes without a pause fires after this all the same.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

impl FileWatcher {
    /// Start watching nothing below `root` yet.
    ///
    /// # Errors
    /// If the process may not start another thread.
    pub fn start(root: PathBuf, events: UnboundedSender<FileEvent>) -> std::io::Result<Self> {
        let (messages, inbox) = channel();
        let own = messages.clone();
        std::thread::Builder::new()
            .name("files".to_owned())
            .spawn(move || Thread::new(root, events, own).run(&inbox))?;
        Ok(Self { messages })
    }

    /// Watch these from now on, and nothing else. Those that were watched before go on. Returns once
    /// they are: a change after that is not lost.
    pub fn watch(&self, watched: Vec<Watched>) {
        let (done, wait) = channel();
        if self.messages.send(Message::Watch(watched, done)).is_ok() {
            let _ = wait.recv();
        }
    }
}

impl Drop for FileWatcher {
    fn drop(&mut self) {
        drop(self.messages.send(Message::Stop));
    }
}

struct Entry {
    key: String,
    files: Files,
    set: FileSet,
    /// Files that may have changed.
    dirty: HashSet<PathBuf>,
    /// When the first of them was noticed.
    since: Option<Instant>,
    /// When to look at them.
    due: Option<Instant>,
    /// Files that vanished and were given time to come back.
    vanished: HashSet<PathBuf>,
    poll: Option<(Duration, Instant)>,
}

struct Thread {
    root: PathBuf,
    events: UnboundedSender<FileEvent>,
    watcher: Option<RecommendedWatcher>,
    messages: Sender<Message>,
    entries: Vec<Entry>,
    folders: HashSet<PathBuf>,
    /// What links lead to, and the links that lead there.
    links: HashMap<PathBuf, HashSet<PathBuf>>,
    limited: bool,
}

impl Thread {
    fn new(root: PathBuf, events: UnboundedSender<FileEvent>, messages: Sender<Message>) -> Self {
        Self {
            root,
            events,
            watcher: None,
            messages,
            entries: Vec::new(),
            folders: HashSet::new(),
            links: HashMap::new(),
            limited: false,
        }
    }

    fn run(mut self, inbox: &Receiver<Message>) {
        loop {
            let wake = self
                .entries
                .iter()
                .flat_map(|entry| [entry.due, entry.poll.map(|(_, next)| next)])
                .flatten()
                .min();
            let first = match wake {
                Some(at) => inbox.recv_timeout(at.saturating_duration_since(Instant::now())),
                None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match first {
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
                Ok(message) => {
                    let mut next = Some(message);
                    while let Some(message) = next {
                        match message {
                            Message::Stop => return,
                            Message::Watch(watched, done) => {
                                self.watch(watched);
                                let _ = done.send(());
                            }
                            Message::Event(event) => self.event(event),
                        }
                        next = inbox.try_recv().ok();
                    }
                }
            }
            let now = Instant::now();
            self.poll(now);
            for place in 0..self.entries.len() {
                if self.entries[place].due.is_some_and(|due| due <= now) {
                    self.look(place, now);
                }
            }
        }
    }

    /// Make the set of triggers these.
    fn watch(&mut self, watched: Vec<Watched>) {
        let mut before: HashMap<String, Entry> = self
            .entries
            .drain(..)
            .map(|entry| (entry.key.clone(), entry))
            .collect();
        for new in watched {
            if let Some(mut entry) = before.remove(&new.key)
                && entry.files.patterns == new.files.patterns
                && entry.files.gitignore == new.files.gitignore
                && entry.files.poll == new.files.poll
            {
                entry.files = new.files;
                self.entries.push(entry);
                continue;
            }
            self.begin(new);
        }
        // The watches of triggers that are gone are forgotten with everything else that they share.
        if !before.is_empty() {
            self.forget_watches();
            for place in 0..self.entries.len() {
                self.rescan(place, Instant::now());
            }
        }
    }

    fn begin(&mut self, new: Watched) {
        let mut set = FileSet::new(&self.root, &new.files);
        let poll = match new.files.poll {
            Some(poll) => Some(poll.to_std()),
            None if set.bases().iter().any(|base| is_remote(base)) => Some(POLL),
            None => None,
        };
        let first = new.known.is_none();
        set.remember(new.known.unwrap_or_default());
        let mut entry = Entry {
            key: new.key,
            files: new.files,
            set,
            dirty: HashSet::new(),
            since: None,
            due: None,
            vanished: HashSet::new(),
            poll: poll.map(|every| (every, Instant::now() + every)),
        };
        let (found, all) = self.walk(&mut entry.set, None, entry.poll.is_none());
        if !all {
            entry.poll = Some((POLL, Instant::now() + POLL));
        }
        let changes = entry.set.compare_all(&found.files);
        if first || !entry.files.catch_up {
            let seen = seen(&entry.key, &changes);
            entry.set.remember(found.files);
            if first || !changes.is_empty() {
                drop(self.events.send(FileEvent::Seen(seen)));
            }
        } else if !changes.is_empty() {
            let root = &self.root;
            entry
                .dirty
                .extend(changes.iter().map(|change| root.join(&change.path)));
            entry.due = Some(Instant::now());
        }
        self.entries.push(entry);
    }

    fn watcher(&mut self) -> Option<&mut RecommendedWatcher> {
        if self.watcher.is_none() {
            let messages = self.messages.clone();
            let handler = move |event| drop(messages.send(Message::Event(event)));
            match RecommendedWatcher::new(handler, Config::default()) {
                Ok(watcher) => self.watcher = Some(watcher),
                Err(error) => self.trouble(&format!(
                    "the system can't tell of changed files ({error}): they are looked at every 2 s"
                )),
            }
        }
        self.watcher.as_mut()
    }

    fn trouble(&mut self, text: &str) {
        if !std::mem::replace(&mut self.limited, true) {
            drop(self.events.send(FileEvent::Trouble(text.to_owned())));
        }
    }

    /// Watch folders: whether that was possible.
    fn add(&mut self, folders: &[PathBuf], links: &[(PathBuf, PathBuf)]) -> bool {
        let mut also: Vec<PathBuf> = folders.to_vec();
        for (link, leads_to) in links {
            self.links
                .entry(leads_to.clone())
                .or_default()
                .insert(link.clone());
            also.extend(leads_to.parent().map(Path::to_owned));
        }
        let mut all = true;
        for folder in also {
            if self.folders.contains(&folder) {
                continue;
            }
            let Some(watcher) = self.watcher() else {
                return false;
            };
            match watcher.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.folders.insert(folder);
                }
                // It went away in the meantime.
                Err(error) if matches!(error.kind, ErrorKind::PathNotFound) => {}
                // Nobody can look into it either.
                Err(notify::Error {
                    kind: ErrorKind::Io(error),
                    ..
                }) if error.kind() == std::io::ErrorKind::PermissionDenied => {}
                Err(error) => {
                    all = false;
                    self.trouble(&format!(
                        "{} can't be watched ({error}): it is looked at every 2 s; \
                         `sysctl fs.inotify.max_user_watches` says how many the system allows",
                        folder.display()
                    ));
                }
            }
        }
        all
    }

    fn forget_watches(&mut self) {
        self.watcher = None;
        self.folders.clear();
        self.links.clear();
    }

    fn event(&mut self, event: notify::Result<notify::Event>) {
        let now = Instant::now();
        let event = match event {
            Ok(event) => event,
            Err(_) => {
                // Something was lost: look at everything.
                (0..self.entries.len()).for_each(|place| self.rescan(place, now));
                return;
            }
        };
        if event.need_rescan() {
            (0..self.entries.len()).for_each(|place| self.rescan(place, now));
            return;
        }
        let gone = matches!(
            event.kind,
            EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(RenameMode::From))
        );
        let settled = !matches!(
            event.kind,
            EventKind::Create(CreateKind::File) | EventKind::Modify(ModifyKind::Data(_))
        );
        match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => {}
            EventKind::Access(_) => return,
            // The first half of it was told already.
            EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => return,
            _ => {}
        }
        for path in &event.paths {
            let was_folder = self.folders.contains(path);
            if was_folder && (gone || matches!(event.kind, EventKind::Remove(RemoveKind::Folder))) {
                self.gone(path, now);
                continue;
            }
            if path.file_name().is_some_and(|name| name == ".gitignore") {
                for place in 0..self.entries.len() {
                    self.entries[place].set.forget_ignores();
                    self.rescan(place, now);
                }
            }
            let arrives = matches!(
                event.kind,
                EventKind::Create(_) | EventKind::Modify(ModifyKind::Name(_))
            );
            if !gone && arrives && path.is_dir() {
                self.arrived(path, now);
                self.through_links(path, now);
                continue;
            }
            if was_folder {
                continue;
            }
            self.touched(path, now, settled);
            if let Some(links) = self.links.get(path).cloned() {
                links
                    .iter()
                    .for_each(|link| self.touched(link, now, settled));
            }
            if gone || arrives {
                // A link to a folder that now leads elsewhere, or a file that is one.
                self.through_links(path, now);
            }
        }
    }

    /// A file may have changed.
    fn touched(&mut self, path: &Path, now: Instant, settled: bool) {
        for entry in &mut self.entries {
            if entry.poll.is_none() && entry.set.means(path) {
                entry.mark([path.to_owned()], now, settled);
            }
        }
    }

    /// What is behind links may have changed when a name beside them did (`..data` of mounted
    /// configuration).
    fn through_links(&mut self, path: &Path, now: Instant) {
        let beside: Vec<PathBuf> = self
            .links
            .values()
            .flatten()
            .filter(|link| link.parent() == path.parent())
            .cloned()
            .collect();
        for link in beside {
            if let Ok(leads_to) = link.canonicalize() {
                self.add(&[], &[(link.clone(), leads_to)]);
            }
            self.touched(&link, now, true);
        }
    }

    /// A folder appeared, perhaps with files in it.
    fn arrived(&mut self, folder: &Path, now: Instant) {
        for place in 0..self.entries.len() {
            if self.entries[place].poll.is_some() || !self.entries[place].set.enters(folder) {
                continue;
            }
            let found = self.walk_of(place, Some(folder));
            let paths: Vec<PathBuf> = found
                .files
                .keys()
                .map(|name| self.root.join(name))
                .collect();
            self.entries[place].mark(paths, now, true);
        }
    }

    /// A folder went away with all that was in it.
    fn gone(&mut self, folder: &Path, now: Instant) {
        let below: Vec<PathBuf> = self
            .folders
            .iter()
            .filter(|watched| watched.starts_with(folder))
            .cloned()
            .collect();
        for watched in below {
            self.folders.remove(&watched);
            if let Some(watcher) = &mut self.watcher {
                // An error says that the system forgot it already.
                drop(watcher.unwatch(&watched));
            }
        }
        for entry in &mut self.entries {
            let known = entry.set.known_below(folder);
            entry.mark(known, now, true);
        }
        // The system may tell of the end of an old folder when there is a new one of that name.
        if folder.is_dir() {
            self.arrived(folder, now);
        }
    }

    fn walk_of(&mut self, place: usize, from: Option<&Path>) -> Found {
        // Out of its place for a moment: walking adds watches, which are everybody's.
        let mut set = std::mem::take(&mut self.entries[place].set);
        let watch = self.entries[place].poll.is_none();
        let (found, _) = self.walk(&mut set, from, watch);
        self.entries[place].set = set;
        found
    }

    /// Walk over files with every folder on the way watched, and say whether that was possible. What
    /// comes after a folder is watched is told as an event; so a walk that finds no folder that is not
    /// watched yet has seen all that came before.
    fn walk(&mut self, set: &mut FileSet, from: Option<&Path>, watch: bool) -> (Found, bool) {
        let mut found = set.walk(from);
        if !watch {
            return (found, true);
        }
        for _ in 0..WALKS {
            let watched = self.folders.len();
            if !self.add(&found.folders, &found.links) {
                return (found, false);
            }
            if self.folders.len() == watched {
                break;
            }
            found = set.walk(from);
        }
        (found, true)
    }

    /// Look at all files of a trigger.
    fn rescan(&mut self, place: usize, now: Instant) {
        let found = self.walk_of(place, None);
        let changes = self.entries[place].set.compare_all(&found.files);
        let paths: Vec<PathBuf> = changes
            .iter()
            .map(|change| self.root.join(&change.path))
            .collect();
        self.entries[place].mark(paths, now, true);
    }

    fn poll(&mut self, now: Instant) {
        for place in 0..self.entries.len() {
            if let Some((every, next)) = self.entries[place].poll
                && next <= now
            {
                self.rescan(place, now);
                self.entries[place].poll = Some((every, Instant::now() + every));
            }
        }
    }

    /// The time has come to look at what may have changed.
    fn look(&mut self, place: usize, now: Instant) {
        let entry = &mut self.entries[place];
        let dirty: Vec<PathBuf> = entry.dirty.drain().collect();
        (entry.due, entry.since) = (None, None);
        let mut changes = Vec::new();
        let mut later = Vec::new();
        for path in dirty {
            let Some(change) = entry.set.compare(&path) else {
                entry.vanished.remove(&path);
                continue;
            };
            let vanished = change.change == FileChange::Delete;
            let patient = entry.files.debounce.to_std() < COMES_BACK;
            if vanished && patient && entry.vanished.insert(path.clone()) {
                later.push(path);
                continue;
            }
            entry.vanished.remove(&path);
            entry.set.apply(&change);
            changes.push(change);
        }
        if !later.is_empty() {
            entry.dirty.extend(later);
            entry.due = Some(now + COMES_BACK);
            entry.since = Some(now);
        }
        if changes.is_empty() {
            return;
        }
        changes.sort_by(|a, b| a.path.cmp(&b.path));
        let seen = seen(&entry.key, &changes);
        changes.retain(|change| entry.files.on.contains(&change.change));
        let event = if changes.is_empty() {
            FileEvent::Seen(seen)
        } else {
            FileEvent::Changed(entry.key.clone(), changes, seen)
        };
        drop(self.events.send(event));
    }
}

impl Entry {
    /// Files may have changed. `settled` is whether whoever changed them is done with them.
    fn mark(&mut self, paths: impl IntoIterator<Item = PathBuf>, now: Instant, settled: bool) {
        self.dirty.extend(paths);
        if self.dirty.is_empty() {
            return;
        }
        let debounce = self.files.debounce.to_std();
        let since = *self.since.get_or_insert(now);
        self.due = Some(if debounce < COMES_BACK {
            let wait = if settled { debounce } else { COMES_BACK };
            let due = now + wait;
            self.due.map_or(due, |before| before.min(due))
        } else {
            (now + debounce).min(since + LONGEST_WAIT.max(debounce * 20))
        });
    }
}

/// What there is to tell of changes that a single walk found.
#[must_use]
pub fn changes_of(
    key: &str,
    files: &Files,
    mut changes: Vec<Change>,
    first: bool,
) -> Option<FileEvent> {
    if changes.is_empty() && !first {
        return None;
    }
    let seen = seen(key, &changes);
    changes.retain(|change| files.on.contains(&change.change));
    if first || !files.catch_up || changes.is_empty() {
        return Some(FileEvent::Seen(seen));
    }
    Some(FileEvent::Changed(key.to_owned(), changes, seen))
}

fn seen(key: &str, changes: &[Change]) -> FileChanges {
    let mut seen = FileChanges {
        trigger: key.to_owned(),
        ..FileChanges::default()
    };
    for change in changes {
        match change.stamp {
            Some(stamp) => seen.set.push((change.path.clone(), stamp.text())),
            None => seen.removed.push(change.path.clone()),
        }
    }
    seen
}

/// Whether a folder is on a file system that others change without this host hearing of it
/// (the numbers of statfs(2)).
fn is_remote(path: &Path) -> bool {
    const REMOTE: [i128; 6] = [
        0x6969,      // NFS
        0xFF53_4D42, // CIFS
        0xFE53_4D42, // SMB2
        0x0102_1997, // 9P
        0x00C3_6400, // Ceph
        0x6573_5546, // FUSE
    ];
    rustix::fs::statfs(path).is_ok_and(|found| {
        let kind = i128::from(found.f_type);
        REMOTE.contains(&(kind & 0xFFFF_FFFF))
    })
}
