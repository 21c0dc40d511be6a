//! Built-in commands that let other programs in: gdb, telnet, and what speaks OpenOCD's RPC (server.rs does the work).

use super::{Args, Command, Cx, Value};
use crate::error::{Error, Result};
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};

pub const COMMANDS: &[Command] = &[
    Command::new(
        "serve [gdb [pipe|<gdb_port:num>]] [telnet [<telnet_port:num>]] [tcl [<tcl_port:num>]]",
        "Serve gdb, telnet and OpenOCD's Tcl RPC (none named: all) until `shutdown`; 0 is any free port, pipe is stdin and stdout",
        "serve gdb pipe",
        serve,
    ),
    Command::new(
        "gdb <file>",
        "Debug an ELF with gdb-multiarch, or $ROCD_GDB: connected and loaded",
        "gdb tests/firmware/blinky-h743.elf",
        serve,
    ),
    Command::new(
        "bindto <address:word>",
        "Let servers listen at this address, and not at 127.0.0.1 only",
        "bindto 127.0.0.1",
        |cx, args| {
            cx.settings.borrow_mut().bindto = Some(args.text("address")?.to_string());
            Ok(Value::None)
        },
    ),
];

/// Of a command that would hold up all others: a client of ours may not ask for it.
pub fn no_client(cx: &Cx, what: &str) -> Result<()> {
    match cx.settings.borrow().serving {
        true => Err(Error::command(format!("{what} is for the terminal: rocd is serving already"))),
        false => Ok(()),
    }
}

fn serve(cx: &Cx, args: &Args) -> Result<Value> {
    let serve = cx.up.serve.get().ok_or_else(|| Error::command("there is no server here"))?;
    serve(args)
}

/// A port for `what`, where `bindto` says; 0 is any that is free.
pub fn listen(cx: &Cx, what: &str, port: u64) -> Result<(TcpListener, SocketAddr)> {
    let host = cx.settings.borrow().bindto.clone().unwrap_or("127.0.0.1".into());
    let port = u16::try_from(port).map_err(|_| Error::usage(format!("{port} is no port; they go up to {}", u16::MAX)))?;
    let opened = TcpListener::bind((host.as_str(), port)).and_then(|listener| {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    });
    opened.map_err(|error| {
        let hint = match error.kind() {
            ErrorKind::AddrInUse => "does another debug server run? 0 takes any port that is free",
            ErrorKind::PermissionDenied => "ports below 1024 are the administrator's: 0 takes any that is free",
            _ => "`bindto` takes an address of this machine",
        };
        Error::command(format!("{what} cannot listen at {host}:{port}: {error}")).hint(hint)
    })
}
