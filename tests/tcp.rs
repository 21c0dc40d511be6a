//! rocd as a client of an ST-LINK server: its own, for ST's is not to be had; the protocol is that which OpenOCD speaks.

mod served;

use served::Board;
use std::path::Path;
use std::process::{Command, Output};

fn rocd(interface: &Path, target: &str, line: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rocd"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .arg("-f")
        .arg(interface)
        .args(["-f", target, "-c", line])
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
fn done(output: Output) -> String {
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success(), "{said}");
    said
}

#[track_caller]
fn failed(output: Output, code: i32) -> String {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

fn image(elf: &str, folder: &Path) -> Vec<u8> {
    let binary = folder.join("image.bin");
    let status = Command::new("arm-none-eabi-objcopy").args(["-O", "binary", elf]).arg(&binary).status();
    match status {
        Ok(status) if status.success() => std::fs::read(binary).unwrap(),
        _ => Vec::new(),
    }
}

/// Blocks of a V3 are larger than the server's buffer: what arrives shows that they were cut.
#[test]
fn a_large_image_arrives_whole_through_every_generation_of_probe() {
    let folder = tempfile::tempdir().unwrap();
    for (board, target, elf) in [
        ("stm32h743,v3", "stm32h7", "tests/firmware/dense-200k-h743.elf"),
        ("stm32h743,v2:V2J24S4", "stm32h7", "tests/firmware/dense-200k-h743.elf"),
        ("stm32g071,v2-1", "stm32g0", "tests/firmware/dense-120k-g071.elf"),
    ] {
        let mut served = Board::serve(board, &[]);
        let said = done(rocd(&served.interface(folder.path()), target, &format!("program {elf} verify")));
        assert!(said.contains("verified "), "{board}: {said}");
        let expected = image(elf, folder.path());
        let found = served.dump(0x0800_0000, 120 << 10);
        assert!(found.iter().any(|byte| *byte != 0xff), "{board}: flash is blank");
        if !expected.is_empty() {
            let len = expected.len().min(found.len());
            assert!(found[..len] == expected[..len], "{board}: flash is not the image");
        }
        served.shutdown();
    }
}

#[test]
fn the_probe_is_listed_by_the_servers_address_and_chosen_by_its_serial_number() {
    let folder = tempfile::tempdir().unwrap();
    let served = Board::serve("stm32g071,v3,303030303030303030303041", &["--board", "stm32h743,v2"]);
    let interface = served.interface(folder.path());
    let said = done(rocd(&interface, "stm32g0", "probe list"));
    let address = &served.address;
    assert!(said.contains(&format!("ST-Link V3E (0483:374e) V3J10M3 serial 303030303030303030303041 at {address}/0")), "{said}");
    assert!(said.contains(&format!("ST-Link V2 (0483:3748) V2J37S7 serial 526F6364426F617264000001 at {address}/1")), "{said}");
    let said = failed(rocd(&interface, "stm32g0", "connect"), 3);
    assert!(said.contains("2 probes are plugged in") && said.contains("adapter serial NUMBER"), "{said}");
    let said = done(rocd(&interface, "stm32g0", "adapter serial 303030303030303030303041; connect"));
    assert!(said.contains("STM32G07x/08x"), "{said}");
    let said = done(rocd(&interface, "stm32h7", &format!("adapter usb location {address}/1; connect")));
    assert!(said.contains("STM32H742/743/753"), "{said}");
}

#[test]
fn a_server_that_is_not_there_or_goes_away_is_said_with_its_address() {
    let folder = tempfile::tempdir().unwrap();
    let mut served = Board::serve("stm32h743,v3", &[]);
    let interface = served.interface(folder.path());
    served.run("sim unplug");
    let said = failed(rocd(&interface, "stm32h7", "connect"), 3);
    assert!(said.contains("no probe is plugged in that driver `stlink` knows"), "{said}");
    served.kill();
    let said = failed(rocd(&interface, "stm32h7", "connect"), 3);
    assert!(said.contains(&format!("no ST-LINK server answers at {}", served.address)), "{said}");
    assert!(said.contains("hint: start ST's stlink-server, or `rocd sim serve`"), "{said}");
}

#[test]
fn the_plug_pulled_behind_the_server_is_the_probes_end_and_not_the_servers() {
    let folder = tempfile::tempdir().unwrap();
    let mut served = Board::serve("stm32h743,v3", &[]);
    let interface = served.interface(folder.path());
    let child = Command::new(env!("CARGO_BIN_EXE_rocd"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .arg("-f")
        .arg(&interface)
        .args(["-f", "stm32h7", "-c", "connect; sleep 3000; mdw 0x08000000"])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_secs(1));
    served.run("sim unplug");
    let said = failed(child.wait_with_output().unwrap(), 3);
    assert!(said.contains("the server has lost the probe (status 0x1053"), "{said}");
    served.run("sim plug");
    done(rocd(&interface, "stm32h7", "mdw 0x08000000"));
}
