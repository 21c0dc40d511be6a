//! Every firmware of a probe with every kind of command: each works, or says which firmware it needs.

use rocd::command::Settings;
use rocd::error::{Kind, Result};
use rocd::event::Silent;
use rocd::host::{Cancel, Host};
use rocd::sim::{Board, Config};
use std::rc::Rc;

/// Around each version at which the firmware learnt something, and what never was.
const FIRMWARES: &[(&str, &str)] = &[
    ("v2", "V2J0S7"),
    ("v2", "V2J13S0"),
    ("v2", "V2J14S0"),
    ("v2", "V2J15S0"),
    ("v2", "V2J20S4"),
    ("v2", "V2J22S0"),
    ("v2", "V2J24S0"),
    ("v2", "V2J26S0"),
    ("v2", "V2J28S0"),
    ("v2", "V2J29S0"),
    ("v2", "V2J31S0"),
    ("v2", "V2J32S0"),
    ("v2", "V2J63S63"),
    ("v3", "V3J1M1"),
    ("v3", "V3J2M1"),
    ("v3", "V3J6M2"),
    ("v3", "V3J99M99"),
];

const LINES: &[&str] = &[
    "connect under_reset",
    "adapter speed 1000; connect",
    "targets; reset halt; step; resume",
    "halt; reg; reg r0 1",
    "mdb 0x20000001 3; mdw 0x20000000; mdd 0x20000000",
    "mdh 0x20000002 3; mwh 0x20000002 1",
    "mwb 0x20000003 1; mww 0x20000000 1 2000; mwd 0x20000008 1",
    "bp 0x08000100 2 hw; wp 0x20000000 4",
    "bp 0x20000100 2",
    "flash info 0; flash erase_sector 0 0 0",
];

fn run(board: &Board, target: &str, line: &str) -> Result<()> {
    let host = Host::new(Rc::new(Silent), Cancel::default(), Settings::default(), 0)?;
    host.file("sim")?;
    host.file(target)?;
    host.cx().board.borrow_mut().board = Some(board.clone());
    let done = host.line(line, &mut |_| {});
    let left = host.leave();
    done.and(left)
}

#[test]
fn each_works_or_says_which_firmware_it_needs() {
    for (chip, target, firmware) in [("stm32g071", "stm32g0", "blinky-g071.elf"), ("stm32h743", "stm32h7", "blinky-h743.elf")] {
        let program = format!("program {{{}/tests/firmware/{firmware}}} reset", env!("CARGO_MANIFEST_DIR"));
        for (probe, version) in FIRMWARES {
            let config = Config {
                chip: Some(chip.into()),
                probe: Some(probe.to_string()),
                firmware: Some(version.to_string()),
                ..Config::default()
            };
            let board = Board::new(&config).unwrap();
            let newest = *version == "V2J63S63" || *version == "V3J99M99";
            for line in [program.as_str()].iter().chain(LINES) {
                match run(&board, target, line) {
                    Ok(()) => {}
                    Err(error) => {
                        let says = error.message.contains("needs ST-Link firmware V") || error.message.contains("has no SWD or JTAG part");
                        assert!(says && error.kind == Kind::Probe && !newest, "{version} on {chip}: {line}: {error}");
                        assert!(error.message.contains(version) && error.hint.is_some(), "{version}: {line}: {error}");
                    }
                }
                assert!(!board.nrst_low() && !board.debugging(), "{version} on {chip}: {line}: the probe is not left in order");
            }
        }
    }
}
