//! Servers: gdb, telnet and OpenOCD's Tcl RPC, in front of one host.
//!
//! Of each client one thread reads and one writes; everything else happens in the host's own thread, one request at a time,
//! in the order in which they came. While no request is there the cores that somebody waits for are looked at.

mod gdb;
mod packet;
mod tcl;
mod telnet;

use crate::command::serve::{listen, no_client};
use crate::command::{Args, Value};
use crate::error::{Cause, Error, Result};
use crate::event::{Event, Heard, Lines, Sink};
use crate::host::{Cancel, Host, Outcome};
use crate::session::Session;
use gdb::Gdb;
use std::cell::{Cell, RefCell, RefMut};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tcl::Tcl;
use telnet::Telnet;

/// Between two looks at a core that somebody waits for, and at new connections: Ctrl-C is answered within 100 ms.
const POLL: Duration = Duration::from_millis(10);
/// Between two looks at a core for those who only look on.
const LOOK: Duration = Duration::from_millis(100);
/// More at once are refused. Assumed: far above what people open, far below what threads cost.
const MOST_CLIENTS: usize = 64;
/// Pieces of 64 KiB read ahead of all clients, and replies that wait for one of them.
const AHEAD: usize = 64;
const BEHIND: usize = 256;
/// One that reads nothing for so long is no client any more.
const PATIENCE: Duration = Duration::from_secs(1);
/// Until it is looked at first whether one has room again.
const SHORTEST: Duration = Duration::from_micros(100);
/// For a command whose client has gone, or sends no more: 2 MiB through a wire of 240 kHz take two minutes (docs/board.md), and
/// flash that is cut short is worse than others who wait.
const AFTERWARDS: Duration = Duration::from_secs(300);
/// What is written to a client that leaves.
const LINGER: Duration = Duration::from_secs(5);
/// Between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(1);

/// What a port speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Gdb,
    Telnet,
    Tcl,
    /// A channel of RTT, at this port.
    Rtt(u32, u16),
}

/// The word, the value of the usage line that is its port, and OpenOCD's port.
const KINDS: &[(Kind, &str, &str, u16)] =
    &[(Kind::Gdb, "gdb", "gdb_port", 3333), (Kind::Telnet, "telnet", "telnet_port", 4444), (Kind::Tcl, "tcl", "tcl_port", 6666)];

type Id = u64;

enum News {
    Bytes(Id, Vec<u8>),
    Gone(Id),
}

/// Whose command runs, and whether he has stopped it.
#[derive(Default)]
struct Running {
    client: Option<Id>,
    stopped: bool,
}

type Stop = Arc<Mutex<Running>>;

/// Replies to a client.
#[derive(Clone)]
struct Out {
    queue: SyncSender<Vec<u8>>,
    gone: Rc<Cell<bool>>,
}

impl Out {
    fn send(&self, mut bytes: Vec<u8>) {
        let began = Instant::now();
        while !self.gone.get() {
            bytes = match self.queue.try_send(bytes) {
                Ok(()) => return,
                Err(TrySendError::Full(bytes)) if began.elapsed() < PATIENCE => bytes,
                Err(_) => return self.gone.set(true),
            };
            std::thread::sleep((began.elapsed() / 8).clamp(SHORTEST, POLL));
        }
    }
}

enum Talk {
    Gdb(Gdb),
    Telnet(Telnet),
    Tcl(Tcl),
    /// Channel and port; it has said nothing yet.
    Rtt(u32, u16, bool),
}

struct Client<'a> {
    desk: Desk<'a>,
    talk: Talk,
    /// Its reader sees by this that the server has it still.
    _here: Arc<()>,
}

/// What a client's requests are carried out with.
struct Desk<'a> {
    host: &'a Host,
    id: Id,
    out: Out,
    /// His current one.
    core: Cell<usize>,
    stop: Stop,
    /// What the gdb clients have set, all together.
    shared: Rc<RefCell<gdb::Set>>,
}

impl Desk<'_> {
    /// Attached anew if somebody has disconnected.
    fn session(&self) -> Result<RefMut<'_, Session>> {
        self.host.cx().session()
    }

    /// Work for this client; what is said meanwhile goes to `say`. The client's own Ctrl-C stops it.
    fn run(&self, say: impl Fn(&[u8]) + 'static, work: impl FnOnce(&Host) -> Result<()>) -> Result<()> {
        if let Err(error) = self.settle(None) {
            self.host.cx().ears.warn(error.to_string());
        }
        let lock = || self.stop.lock().unwrap_or_else(PoisonError::into_inner);
        *lock() = Running { client: Some(self.id), stopped: false };
        let core = self.host.cx().core.replace(self.core.get());
        let ran = self.host.heard_by(said(say), || work(self.host));
        self.core.set(self.host.cx().core.replace(core));
        let stopped = std::mem::take(&mut *lock()).stopped;
        match &ran {
            // It may have come too late to be noticed, and is nobody else's.
            _ if stopped => _ = self.host.cancel().check(),
            // A signal is the server's, whoever's command it ended.
            Err(Error { cause: Cause::Interrupted(signal), .. }) => self.host.cancel().set(*signal),
            _ => {}
        }
        ran
    }
}

/// What a client is shown of an event.
fn text(event: Event) -> Option<Vec<u8>> {
    match event {
        Event::Target(bytes) => Some(bytes),
        Event::Output(text) | Event::Live(text) | Event::Info(text) => Some(format!("{text}\n").into_bytes()),
        Event::Warning(text) => Some(format!("warning: {text}\n").into_bytes()),
        Event::Progress { .. } | Event::Debug(..) | Event::Map(_) | Event::Sector(..) | Event::Time(_) => None,
    }
}

/// Events as text.
struct Said<F> {
    say: F,
    progress: Cell<Instant>,
}

impl<F: Fn(&[u8])> Sink for Said<F> {
    fn emit(&self, event: Event) {
        match event {
            Event::Progress { phase, done, total } if self.progress.get().elapsed() >= PROGRESS => {
                self.progress.set(Instant::now());
                (self.say)(format!("{phase}: {} of {} KiB\n", done / 1024, total / 1024).as_bytes());
            }
            event => text(event).iter().for_each(|text| (self.say)(text)),
        }
    }
}

fn said(say: impl Fn(&[u8]) + 'static) -> Rc<dyn Sink> {
    Rc::new(Said { say, progress: Cell::new(Instant::now()) })
}

/// What there is to show of a command's end.
fn shown(outcome: &Outcome) -> Option<String> {
    match &outcome.result {
        Err(error) if matches!(error.cause, Cause::Exit(_)) => None,
        Err(error) => Some(format!("{error}\n")),
        Ok(value) => Some(value.to_string()).filter(|text| !text.is_empty()).map(|text| text + "\n"),
    }
}

/// A page in a browser can make it send a request to any port of this machine: it must not drive a debugger (CVE-2018-5704).
fn no_browser(text: &[u8]) -> Result<()> {
    let line = String::from_utf8_lossy(text.split(|byte| *byte == b'\n').next().unwrap_or_default());
    let method = line.split(' ').next().is_some_and(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase()));
    match method && line.contains(" HTTP/") {
        true => Err(Error::command("it sent an HTTP request")),
        false => Ok(()),
    }
}

/// From now on this host's commands `serve` and `gdb` work. `serving` is told when nobody may be held up, and when that is over.
pub fn ready(host: Host, serving: impl Fn(bool) + 'static) -> Rc<Host> {
    let host = Rc::new(host);
    let weak = Rc::downgrade(&host);
    let serve = move |args: &Args| {
        let Some(host) = weak.upgrade() else { return Ok(Value::None) };
        no_client(host.cx(), "serve")?;
        serving(true);
        host.cx().settings.borrow_mut().serving = true;
        let served = serve(&host, args);
        host.cx().settings.borrow_mut().serving = false;
        serving(false);
        served
    };
    // It is empty: the host is new.
    let _ = host.cx().up.serve.set(Box::new(serve));
    host
}

fn serve(host: &Host, args: &Args) -> Result<Value> {
    let session = host.cx().session()?;
    let cores: Vec<String> = (0..session.core_names().len()).map(|core| session.die.core_name(core)).collect();
    drop(session);
    // From here on whoever says `run` is a client, whose keys these are not.
    host.cx().settings.borrow_mut().input = None;
    let mut server = Server::new(host);
    if let Some(file) = args.opt_text("file") {
        return server.gdb(file);
    }
    if args.has("pipe") {
        server.join(Kind::Gdb, 0, std::io::stdin(), std::io::stdout(), || {})?;
    }
    let some = KINDS.iter().any(|(_, word, ..)| args.has(word));
    for (kind, word, port, usual) in KINDS {
        let wanted = !some || args.has(word) && !(*kind == Kind::Gdb && args.has("pipe"));
        let port = args.opt_num(port).unwrap_or(u64::from(*usual));
        let count = if *kind == Kind::Gdb { cores.len() } else { 1 };
        for core in (0..count).filter(|_| wanted) {
            let own = if port == 0 { 0 } else { port + core as u64 };
            let name = if *kind == Kind::Gdb { format!(" {}", cores[core]) } else { String::new() };
            let address = server.open(*kind, word, core, own)?;
            host.cx().ears.sink.emit(Event::Output(format!("{word} {address}{name}")));
        }
    }
    server.run()
}

struct Door {
    listener: TcpListener,
    kind: Kind,
    core: usize,
}

struct Server<'a> {
    host: &'a Host,
    sender: SyncSender<News>,
    news: Receiver<News>,
    stop: Stop,
    doors: Vec<Door>,
    clients: BTreeMap<Id, Client<'a>>,
    next: Id,
    shared: Rc<RefCell<gdb::Set>>,
    /// The gdb that this is for.
    child: Option<Child>,
    looked: Instant,
    /// What it says, for telnets.
    unended: Lines,
    writers: Vec<JoinHandle<()>>,
}

/// What was said last is heard before the process ends, by those who read.
impl Drop for Server<'_> {
    fn drop(&mut self) {
        self.clients.clear();
        let began = Instant::now();
        while began.elapsed() < PATIENCE && self.writers.iter().any(|writer| !writer.is_finished()) {
            std::thread::sleep(SHORTEST);
        }
    }
}

impl<'a> Server<'a> {
    fn new(host: &'a Host) -> Server<'a> {
        let (sender, news) = sync_channel(AHEAD);
        Server {
            host,
            sender,
            news,
            stop: Stop::default(),
            doors: Vec::new(),
            clients: BTreeMap::new(),
            next: 0,
            shared: Rc::default(),
            child: None,
            looked: Instant::now(),
            unended: Lines::default(),
            writers: Vec::new(),
        }
    }

    /// Listen, and where.
    fn open(&mut self, kind: Kind, word: &str, core: usize, port: u64) -> Result<String> {
        let (listener, address) = listen(self.host.cx(), word, port)?;
        self.doors.push(Door { listener, kind, core });
        Ok(address.to_string())
    }

    /// Serve a gdb of our own, and leave with it.
    fn gdb(&mut self, file: &str) -> Result<Value> {
        let address = self.open(Kind::Gdb, "gdb", self.host.cx().core.get(), 0)?;
        let program = std::env::var("ROCD_GDB").unwrap_or("gdb-multiarch".into());
        let mut gdb = Command::new(&program);
        gdb.arg(file).args(["-ex", &format!("target extended-remote {address}"), "-ex", "load"]);
        let child = gdb.spawn().map_err(|error| {
            Error::command(format!("{program} cannot be started: {error}")).hint("the variable ROCD_GDB names another gdb")
        })?;
        self.child = Some(child);
        self.run()
    }

    /// How our gdb has ended, if it has.
    fn gdb_ended(&mut self) -> Result<bool> {
        let Some(child) = &mut self.child else { return Ok(false) };
        let status = child.try_wait().map_err(|error| Error::command(format!("gdb cannot be waited for: {error}")))?;
        match status.map(|status| status.code().unwrap_or(1)) {
            None => Ok(false),
            Some(0) => Ok(true),
            Some(code) => Err(Error::command(format!("gdb ended with {code}")).cause(Cause::Exit(u8::try_from(code).unwrap_or(1)))),
        }
    }

    /// Until `shutdown`, a signal, the end of our gdb, or that of the only client where there is no port.
    fn run(&mut self) -> Result<Value> {
        self.host.look_afresh();
        let (mut last, mut looked) = (Instant::now(), Instant::now());
        while !(self.gdb_ended()? || self.doors.is_empty() && self.clients.is_empty()) {
            self.accept();
            let busy = self.clients.values().any(|client| client.busy());
            let wait = if busy { Duration::ZERO } else { POLL.min(self.host.unattended()) };
            let news = self.news.recv_timeout(wait);
            let began = Instant::now();
            if let Ok(news) = news {
                self.hear(news)?;
            }
            // Commands have let their own time go by.
            last += began.elapsed();
            if last.elapsed() >= wait {
                self.host.waited(last.elapsed());
                last = Instant::now();
                self.attend();
                self.pass_on();
            }
            if busy || looked.elapsed() >= POLL {
                looked = Instant::now();
                self.look();
            }
            self.clients.retain(|_, client| !client.desk.out.gone.get() || client.leave());
            match self.host.cancel().check() {
                // Ctrl-C at a terminal reaches our gdb, too, and is meant for it.
                Err(error) if error.cause == Cause::Interrupted(signal_hook::consts::SIGINT) && self.child.is_some() => {}
                Err(error) if error.cause == Cause::Interrupted(signal_hook::consts::SIGINT) => break,
                other => other?,
            }
        }
        Ok(Value::None)
    }

    fn accept(&mut self) {
        let own = self.doors.iter().map(|door| (&door.listener, door.kind, door.core));
        let ports = self.host.cx().rtt_ports.borrow();
        let rtt = ports.iter().map(|row| (&row.listener, Kind::Rtt(row.channel, row.port), 0));
        let come = own.chain(rtt).filter_map(|(listener, kind, core)| Some((listener.accept().ok()?.0, kind, core)));
        for (stream, kind, core) in come.collect::<Vec<_>>() {
            if self.clients.len() >= MOST_CLIENTS {
                self.host.cx().ears.warn(format!("a client was refused: {MOST_CLIENTS} are there"));
            } else if let Err(error) = self.greet(stream, kind, core) {
                self.host.cx().ears.warn(error.to_string());
            }
        }
    }

    fn greet(&mut self, stream: TcpStream, kind: Kind, core: usize) -> Result<()> {
        let parted = stream.set_nonblocking(false).and_then(|()| {
            stream.set_nodelay(true)?;
            stream.set_write_timeout(Some(LINGER))?;
            Ok((stream.try_clone()?, stream.try_clone()?))
        });
        let (from, to) = parted.map_err(|error| Error::command(format!("a client cannot be talked to: {error}")))?;
        self.join(kind, core, from, to, move || {
            let _ = stream.shutdown(Shutdown::Both);
        })
    }

    /// A client with its two threads; `close` ends the one that reads.
    fn join(
        &mut self,
        kind: Kind,
        core: usize,
        from: impl Read + Send + 'static,
        mut to: impl Write + Send + 'static,
        close: impl FnOnce() + Send + 'static,
    ) -> Result<()> {
        let (id, news, stop, cancel) = (self.next, self.sender.clone(), self.stop.clone(), self.host.cancel().clone());
        let (queue, replies) = sync_channel::<Vec<u8>>(BEHIND);
        let cannot = |error| Error::command(format!("no thread for a client: {error}"));
        let (thread, here) = (std::thread::Builder::new(), Arc::new(()));
        let alive = Arc::downgrade(&here);
        thread.spawn(move || read(from, id, &news, &stop, &cancel, &alive)).map_err(cannot)?;
        let write = move || {
            let _ = replies.iter().try_for_each(|first| {
                // What is typed comes back character by character: together it is one packet of TCP's.
                let bytes = std::iter::once(first).chain(replies.try_iter().take(BEHIND)).collect::<Vec<_>>().concat();
                to.write_all(&bytes).and_then(|()| to.flush())
            });
            close();
        };
        self.writers.retain(|writer| !writer.is_finished());
        self.writers.push(std::thread::Builder::new().spawn(write).map_err(cannot)?);
        let out = Out { queue, gone: Rc::default() };
        let talk = match kind {
            Kind::Gdb => Talk::Gdb(Gdb::default()),
            Kind::Telnet => Talk::Telnet(Telnet::new(&out)),
            Kind::Tcl => Talk::Tcl(Tcl::default()),
            Kind::Rtt(channel, port) => Talk::Rtt(channel, port, true),
        };
        self.next += 1;
        let desk = Desk { host: self.host, id, out, core: Cell::new(core), stop: self.stop.clone(), shared: self.shared.clone() };
        self.clients.insert(id, Client { desk, talk, _here: here });
        Ok(())
    }

    fn hear(&mut self, news: News) -> Result<()> {
        let (id, bytes) = match news {
            News::Bytes(id, bytes) => (id, bytes),
            News::Gone(id) => {
                self.clients.remove(&id).map(|mut client| client.leave());
                return Ok(());
            }
        };
        let Some(Client { desk, talk, .. }) = self.clients.get_mut(&id) else { return Ok(()) };
        let heard = match talk {
            Talk::Gdb(gdb) => gdb.hear(desk, &bytes),
            Talk::Telnet(telnet) => telnet.hear(desk, &bytes),
            Talk::Tcl(tcl) => tcl.hear(desk, &bytes),
            Talk::Rtt(channel, _, first) => match std::mem::take(first) {
                true => no_browser(&bytes),
                false => Ok(()),
            }
            .and_then(|()| desk.session()?.rtt_send(*channel, &bytes)),
        };
        match heard {
            Err(error) if matches!(error.cause, Cause::Exit(_)) => Err(error),
            Err(error) => {
                self.host.cx().ears.warn(format!("a client was sent away: {}", error.message));
                desk.out.gone.set(true);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// What the program in the chip says is for the terminal and for all clients that can be told now.
    fn attend(&mut self) {
        let heard = Rc::<Heard>::default();
        self.host.heard_by(heard.clone(), || self.host.attend());
        for event in heard.0.take() {
            let text = text(event.clone()).unwrap_or_default();
            let lines = self.unended.whole(&text);
            let mut shown = false;
            for client in self.clients.values_mut() {
                match &mut client.talk {
                    Talk::Gdb(gdb) => shown |= gdb.tell(&client.desk.out, &text),
                    Talk::Telnet(telnet) => lines.iter().for_each(|text| telnet.tell(&client.desk.out, text)),
                    Talk::Tcl(_) | Talk::Rtt(..) => {}
                }
            }
            // Our own gdb is at the same terminal.
            if !shown || self.child.is_none() {
                self.host.cx().ears.sink.emit(event);
            }
        }
    }

    /// Look at what clients wait for; now and then for those who only look on.
    fn look(&mut self) {
        let now_and_then = self.looked.elapsed() >= LOOK;
        let telnets = now_and_then && self.clients.values().any(|client| matches!(client.talk, Talk::Telnet(_)));
        let news = if telnets { telnet::news(self.host) } else { Vec::new() };
        for Client { desk, talk, .. } in self.clients.values_mut() {
            match talk {
                Talk::Gdb(gdb) => gdb.look(desk),
                Talk::Telnet(telnet) => news.iter().for_each(|text| telnet.tell(&desk.out, text)),
                Talk::Tcl(tcl) if now_and_then => tcl.look(desk),
                Talk::Tcl(_) | Talk::Rtt(..) => {}
            }
        }
        if now_and_then {
            self.looked = Instant::now();
        }
    }
}

impl Server<'_> {
    /// What came up in channels of RTT is for the clients of their ports; one that reads too slowly is left behind.
    fn pass_on(&mut self) {
        let cx = self.host.cx();
        let ports: BTreeSet<u16> = cx.rtt_ports.borrow().iter().map(|row| row.port).collect();
        let rows = self.clients.values().filter_map(|client| match client.talk {
            Talk::Rtt(channel, port, _) => Some((&client.desk.out, channel, port)),
            _ => None,
        });
        let rows: Vec<_> = rows.filter(|(out, _, port)| ports.contains(port) || out.gone.replace(true)).collect();
        let channels = rows.iter().map(|row| row.1).collect();
        let came = cx.session.borrow_mut().as_mut().map(|session| session.rtt_taken(&channels)).unwrap_or_default();
        for (out, channel, _) in rows {
            let bytes = came.get(&channel).filter(|bytes| !bytes.is_empty());
            if bytes.is_some_and(|bytes| out.queue.try_send(bytes.clone()).is_err()) {
                cx.ears.warn(format!("a client of RTT's channel {channel} was sent away: it does not read"));
                out.gone.set(true);
            }
        }
    }
}

impl Client<'_> {
    /// Has work to do although nothing comes.
    fn busy(&self) -> bool {
        match &self.talk {
            Talk::Gdb(gdb) => gdb.steps(),
            _ => false,
        }
    }

    /// False, for `retain`.
    fn leave(&mut self) -> bool {
        if let Talk::Gdb(gdb) = &mut self.talk {
            gdb.leave(&self.desk);
        }
        false
    }
}

/// Ctrl-C of the client whose command runs stops the command, and is not for the protocol. `alive`: the server has him still.
fn read(mut from: impl Read, id: Id, news: &SyncSender<News>, stop: &Stop, cancel: &Cancel, alive: &Weak<()>) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Ok(0) | Err(_) => break,
            Ok(count) => {
                let bytes = &buffer[..count];
                let mut running = stop.lock().unwrap_or_else(PoisonError::into_inner);
                if running.client == Some(id) && bytes.contains(&3) {
                    running.stopped = true;
                    cancel.set(signal_hook::consts::SIGINT);
                    continue;
                }
                drop(running);
                if news.send(News::Bytes(id, bytes.to_vec())).is_err() {
                    return;
                }
            }
        }
    }
    let _ = news.send(News::Gone(id));
    // Who only sends waits for his answers (`… | nc`). What has not ended by then has no end, and holds up the others.
    let mut began = Instant::now();
    while alive.strong_count() > 0 {
        std::thread::sleep(POLL);
        let mut running = stop.lock().unwrap_or_else(PoisonError::into_inner);
        if running.client != Some(id) {
            began = Instant::now();
        } else if began.elapsed() >= AFTERWARDS {
            (running.stopped, began) = (true, Instant::now());
            cancel.set(signal_hook::consts::SIGINT);
        }
    }
}
